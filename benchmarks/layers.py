"""The BVP test set of J. R. Cash and F. Mazzia: 35 problems with a small number eps, for NumPy.

Those of second order are ``a u'' = f(u, u', s, eps)`` with values at both ends; the others are systems. Where there is
no closed form, ``exact`` is None.

References
----------
F. Mazzia, J. R. Cash, "A Fortran test set for boundary value problem solvers", AIP Conference Proceedings 1648 (2015).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from deersolve.grids.conditions import Coupled, Dirichlet
from deersolve.problems import BoundaryValueProblem, TwoPointProblem

PI = np.pi


@dataclass(frozen=True)
class Layer:
    """One problem of second order between two points."""

    f: Callable[..., Any]
    left: Callable[[float], float]
    right: Callable[[float], float]
    exact: Callable[..., Any] | None = None
    first: float = 0.0
    last: float = 1.0
    a: Callable[..., Any] = lambda s, eps: eps + 0 * s

    def grid(self, N: int) -> Any:
        """Return N points at equal distances."""
        return np.linspace(self.first, self.last, N)

    def second_order(self, s: Any, eps: float) -> BoundaryValueProblem:
        """Return the equation as it is."""
        ends: dict[str, Any] = {"left": Dirichlet(self.left(eps)), "right": Dirichlet(self.right(eps))}
        a = self.a(s, eps)[:, None]
        return BoundaryValueProblem(lambda u, u_s, x, p: self.f(u, u_s, x["s"], eps), s, a=a, **ends)

    def first_order(self, s: Any, eps: float) -> TwoPointProblem:
        """Return the equation as a system of two components, u and u'."""

        def f(u: Any, x: Any, p: Any) -> Any:
            s = x["s"][..., 0]
            return np.stack([u[..., 1], self.f(u[..., 0], u[..., 1], s, eps) / self.a(s, eps)], axis=-1)

        ends = Coupled([[1.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [1.0, 0.0]], [self.left(eps), self.right(eps)])
        return TwoPointProblem(f, s, ends)


@dataclass(frozen=True)
class System:
    """One system of first order, ``u' = f(u, s, eps)``: the given values are of components at the ends."""

    f: Callable[..., Any]
    at_first: dict[int, float]
    at_last: dict[int, float]
    n: int

    def grid(self, N: int) -> Any:
        """Return N points at equal distances."""
        return np.linspace(0.0, 1.0, N)

    def first_order(self, s: Any, eps: float) -> TwoPointProblem:
        """Return the system."""
        rows = [np.zeros((self.n, self.n)), np.zeros((self.n, self.n))]
        value: list[float] = []
        for matrix, given in zip(rows, (self.at_first, self.at_last), strict=True):
            for component, number in given.items():
                matrix[len(value), component] = 1.0
                value.append(number)

        def f(u: Any, x: Any, p: Any) -> Any:
            parts = [u[..., k] for k in range(self.n)]
            return np.stack([part + 0 * u[..., 0] for part in self.f(parts, eps)], axis=-1)

        return TwoPointProblem(f, s, Coupled(rows[0], rows[1], np.asarray(value)))


def _erf(s: Any, eps: float) -> Any:
    from scipy.special import erf

    return erf(s / np.sqrt(2 * eps))


def _airy(s: Any, eps: float) -> Any:
    """Return the solution of ``eps u'' = s u`` that is 1 at -1 and at 1."""
    from scipy.special import airy

    c = eps ** (-1 / 3)
    (Ai, _, Bi, _), (A, _, B, _), (Ai1, _, Bi1, _) = airy(c * s), airy(-c), airy(c)
    alpha, beta = np.linalg.solve([[A, B / Bi1], [Ai1, 1.0]], [1.0, 1.0])
    return alpha * Ai + beta * Bi / Bi1


def _confluent(s: Any, eps: float) -> Any:
    """Return ``M(-1/2, 1/2, s^2 / 2 eps) / M(-1/2, 1/2, 1 / 2 eps)``, the even solution of ``eps u'' = s u' - u``."""
    from scipy.special import hyp1f1

    z, last = s * s / (2 * eps), 1 / (2 * eps)
    if last < 300:
        return hyp1f1(-0.5, 0.5, z) / hyp1f1(-0.5, 0.5, last)

    def series(z: Any) -> Any:
        term, total = 1.0, 1.0
        for k in range(12):
            term = term * (1.5 + k) / z
            total = total + term
        return total

    least = max(last - 700, 100.0)
    far = np.maximum(z, least)
    return np.where(z > least, np.exp(far - last) * last / far * series(far) / series(last), 0.0)


def _sinh(s: Any, eps: float) -> Any:
    """Return ``sinh((1 + s) / sqrt eps) / sinh(2 / sqrt eps)``, 1 at s = 1 and 0 at s = -1."""
    k = eps**-0.5
    return (np.exp(k * (s - 1)) - np.exp(-k * (s + 3))) / (1 - np.exp(-4 * k))


def _log_cosh(z: Any) -> Any:
    return np.logaddexp(z, -z) - np.log(2.0)


def _wavy(u: Any, v: Any, s: Any, eps: float) -> Any:
    return u - (eps * PI**2 + 1) * np.cos(PI * s)


def _shocked(u: Any, v: Any, s: Any, eps: float) -> Any:
    return u - u * v


def _nozzle(u: Any, v: Any, s: Any, eps: float) -> Any:
    A, slope, gamma = 1 + s * s, 2 * s, 1.4
    flow = ((1 + gamma) / 2 - eps * slope) * u * v - v / u - slope / A * (1 - (gamma - 1) / 2 * u * u)
    return flow / (A * u)


def _of(*ends: float) -> dict[str, Any]:
    """Return the same values at the ends for every eps."""
    return {"left": lambda eps: ends[0], "right": lambda eps: ends[1]}


def _cosine(s: Any, eps: float) -> Any:
    return np.cos(PI * s)


BOTH: dict[str, Any] = {"first": -1.0, "last": 1.0}

SECOND_ORDER: dict[int, Layer] = {
    1: Layer(
        lambda u, v, s, eps: u,
        **_of(1.0, 0.0),
        exact=lambda s, eps: _sinh(1 - 2 * s, 4 * eps),
    ),
    2: Layer(
        lambda u, v, s, eps: v, **_of(1.0, 0.0), exact=lambda s, eps: np.expm1((s - 1) / eps) / np.expm1(-1 / eps)
    ),
    3: Layer(
        lambda u, v, s, eps: u - (2 + np.cos(PI * s)) * (v + PI * np.sin(PI * s)) - (1 + eps * PI**2) * np.cos(PI * s),
        **_of(-1.0, -1.0),
        exact=_cosine,
        **BOTH,
    ),
    4: Layer(
        lambda u, v, s, eps: (1 + eps) * u - v,
        left=lambda eps: 1 + np.exp(-2.0),
        right=lambda eps: 1 + np.exp(-2 * (1 + eps) / eps),
        exact=lambda s, eps: np.exp(s - 1) + np.exp(-(1 + eps) * (1 + s) / eps),
        **BOTH,
    ),
    5: Layer(
        lambda u, v, s, eps: s * v + u - (1 + eps * PI**2) * np.cos(PI * s) + PI * s * np.sin(PI * s),
        **_of(-1.0, -1.0),
        exact=_cosine,
        **BOTH,
    ),
    6: Layer(
        lambda u, v, s, eps: -s * v - eps * PI**2 * np.cos(PI * s) - PI * s * np.sin(PI * s),
        **_of(-2.0, 0.0),
        exact=lambda s, eps: np.cos(PI * s) + _erf(s, eps) / _erf(1.0, eps),
        **BOTH,
    ),
    7: Layer(
        lambda u, v, s, eps: u - s * v - (1 + eps * PI**2) * np.cos(PI * s) - PI * s * np.sin(PI * s),
        **_of(-1.0, 1.0),
        exact=lambda s, eps: (
            np.cos(PI * s)
            + s
            + (s * _erf(s, eps) + np.sqrt(2 * eps / PI) * np.exp(-s * s / (2 * eps)))
            / (_erf(1.0, eps) + np.sqrt(2 * eps / PI) * np.exp(-1 / (2 * eps)))
        ),
        **BOTH,
    ),
    8: Layer(
        lambda u, v, s, eps: -v,
        **_of(1.0, 2.0),
        exact=lambda s, eps: (2 - np.exp(-1 / eps) - np.exp(-s / eps)) / (1 - np.exp(-1 / eps)),
    ),
    9: Layer(
        lambda u, v, s, eps: -4 * s * v - 2 * u,
        left=lambda eps: 1 / (1 + eps),
        right=lambda eps: 1 / (1 + eps),
        exact=lambda s, eps: 1 / (eps + s * s),
        a=lambda s, eps: eps + s * s,
        **BOTH,
    ),
    10: Layer(
        lambda u, v, s, eps: -s * v, **_of(0.0, 2.0), exact=lambda s, eps: 1 + _erf(s, eps) / _erf(1.0, eps), **BOTH
    ),
    11: Layer(_wavy, **_of(-1.0, -1.0), exact=_cosine, **BOTH),
    12: Layer(_wavy, **_of(-1.0, 0.0), exact=lambda s, eps: np.cos(PI * s) + _sinh(s, eps), **BOTH),
    13: Layer(_wavy, **_of(0.0, -1.0), exact=lambda s, eps: np.cos(PI * s) + _sinh(-s, eps), **BOTH),
    14: Layer(_wavy, **_of(0.0, 0.0), exact=lambda s, eps: np.cos(PI * s) + _sinh(s, eps) + _sinh(-s, eps), **BOTH),
    15: Layer(lambda u, v, s, eps: s * u, **_of(1.0, 1.0), exact=_airy, **BOTH),
    16: Layer(
        lambda u, v, s, eps: -(PI**2) / 4 * u,
        left=lambda eps: 0.0,
        right=lambda eps: np.sin(PI / (2 * eps)),
        exact=lambda s, eps: np.sin(PI * s / (2 * eps)),
        a=lambda s, eps: eps**2 + 0 * s,
    ),
    17: Layer(
        lambda u, v, s, eps: -3 * eps * u / (eps + s * s) ** 2,
        left=lambda eps: -0.1 / np.sqrt(eps + 0.01),
        right=lambda eps: 0.1 / np.sqrt(eps + 0.01),
        exact=lambda s, eps: s / np.sqrt(eps + s * s),
        a=lambda s, eps: 1 + 0 * s,
        first=-0.1,
        last=0.1,
    ),
    18: Layer(
        lambda u, v, s, eps: -v,
        left=lambda eps: 1.0,
        right=lambda eps: np.exp(-1 / eps),
        exact=lambda s, eps: np.exp(-s / eps),
    ),
    19: Layer(lambda u, v, s, eps: PI / 2 * np.sin(PI * s / 2) * np.exp(2 * u) - np.exp(u) * v, **_of(0.0, 0.0)),
    20: Layer(
        lambda u, v, s, eps: 1 - v * v,
        left=lambda eps: 1 + eps * _log_cosh(-0.745 / eps),
        right=lambda eps: 1 + eps * _log_cosh(0.255 / eps),
        exact=lambda s, eps: 1 + eps * _log_cosh((s - 0.745) / eps),
    ),
    21: Layer(
        lambda u, v, s, eps: u + u * u - np.exp(-2 * s / np.sqrt(eps)),
        left=lambda eps: 1.0,
        right=lambda eps: np.exp(-1 / np.sqrt(eps)),
        exact=lambda s, eps: np.exp(-s / np.sqrt(eps)),
    ),
    22: Layer(lambda u, v, s, eps: -v - u * u, **_of(0.0, 0.5)),
    23: Layer(lambda u, v, s, eps: np.sinh(u / eps) / eps, **_of(0.0, 1.0), a=lambda s, eps: 1 + 0 * s),
    24: Layer(_nozzle, **_of(0.9129, 0.375)),
    25: Layer(_shocked, **_of(-1 / 3, 1 / 3)),
    26: Layer(_shocked, **_of(1.0, -1 / 3)),
    27: Layer(_shocked, **_of(1.0, 1 / 3)),
    28: Layer(_shocked, **_of(1.0, 1.5)),
    29: Layer(_shocked, **_of(0.0, 1.5)),
    30: Layer(_shocked, **_of(-7 / 6, 1.5)),
    34: Layer(lambda u, v, s, eps: -eps * np.exp(u), **_of(0.0, 0.0), a=lambda s, eps: 1 + 0 * s),
    35: Layer(
        lambda u, v, s, eps: s * v - u,
        **_of(1.0, 2.0),
        exact=lambda s, eps: s / 2 + 1.5 * _confluent(s, eps),
        **BOTH,
    ),
}


def _beam(u: Any, eps: float) -> Any:
    return (
        np.sin(u[1]),
        u[2],
        -u[3] / eps,
        ((u[0] - 1) * np.cos(u[1]) - u[2] / np.cos(u[1]) - eps * u[2] * u[3] * np.tan(u[1])) / eps,
    )


def _channel(u: Any, eps: float) -> Any:
    return u[1], u[2], u[3], (u[1] * u[2] - u[0] * u[3]) / eps


def _swirl(u: Any, eps: float) -> Any:
    return u[1], u[2], u[3], (-u[0] * u[3] - u[4] * u[5]) / eps, u[5], (u[1] * u[4] - u[0] * u[5]) / eps


SYSTEMS: dict[int, System] = {
    31: System(_beam, {0: 0.0, 2: 0.0}, {0: 0.0, 2: 0.0}, 4),
    32: System(_channel, {0: 0.0, 1: 0.0}, {0: 1.0, 1: 0.0}, 4),
    33: System(_swirl, {0: 0.0, 1: 0.0, 4: -1.0}, {0: 0.0, 1: 0.0, 4: 1.0}, 6),
}
