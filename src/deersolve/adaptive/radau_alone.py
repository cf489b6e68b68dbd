"""Radau IIA for one element where nothing is compiled: :mod:`deersolve.adaptive.radau` with numbers of Python."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..backends.generic import Backend
from ..backends.namespace import Array, array_namespace
from .controller import FAILED, SAFETY
from .differences import jacobian as differences
from .error import ESTIMATED
from .modes import ENOUGH, LEAST, MOST, ROUNDOFF, SLOW, Modes
from .radau_numbers import Collocation

CLOSE, FINEST = 1e-10, 1e-4  # what is left of Z: of y, and of the tolerance at least, for errors of steps grow
STALLED = 0.5  # the rate that stands for one at roundoff
FEW = 256  # steps: equations of which so many are not estimated have no slack
Slopes = Callable[[list[float], Array], Array]
"""f of times, and of y (K, n) at them."""


class RadauAlone:
    """A rule, f and a tolerance; what it holds is that of the step before.

    Parameters
    ----------
    slopes : callable
        f of K times and y (K, n).
    jacobian : callable or None
        df/dy, (n, n), of a time and y (n,); None for differences.
    """

    is_stiff = False

    def __init__(
        self, backend: Backend, rule: Collocation, slopes: Slopes, jacobian: Any, rtol: Array, atol: Array
    ) -> None:
        self.backend, self.rule, self.given, self.jacobian = backend, rule, slopes, jacobian
        self.rtol, self.atol, self.order, self.s = rtol, atol, len(rule.nodes) + 1, len(rule.nodes)
        self.slack, self.taken = slack(rule, rtol), 0
        self.close = min(max(CLOSE / (float(array_namespace(rtol).min(rtol)) or CLOSE), FINEST), ENOUGH)

    def start(self, t: float, y: Array, limits: tuple[float, float]) -> None:
        """Begin at a time, with no step before."""
        low, high = limits

        def slopes(ts: list[float], ys: Array) -> Array:
            return self.given([min(max(t, low), high) for t in ts], ys)

        self.slopes = slopes
        xp = array_namespace(y)
        like, size = y * y[:, None], abs(y)
        self.modes, self.eps = Modes(self.backend, self.rule, like), float(xp.finfo(y.dtype).eps)
        self.nodes = self.backend.convert([[c] for c in self.rule.nodes], like, size.dtype)
        self.powers = self.backend.convert([range(1, self.s + 1)], like, size.dtype)
        self.clock = 0 * size[:1]
        path: Any = None
        self.f, self.path, self.h, self.before = self.slopes([t], y[None, :])[0, ...], path, 1.0, math.inf
        self.slack = self.slack if FEW * y.shape[0] < ESTIMATED else 1.0
        self.J, self.is_fresh, self.is_slow, self.is_again, self.ahead = like, False, True, True, 1.0

    def attempt(self, t: float, y: Array, h: float) -> tuple[Array, float, float]:
        """Return y at t + h, its error (that of no such y is NaN), and by what the next step is longer at most."""
        xp, modes = array_namespace(y), self.modes
        allowed = self.atol + self.rtol * abs(y)
        if self.is_slow:
            self.J, self.is_fresh, self.is_slow = self._slope_of(t, y, allowed), True, False
        inverse, real = modes.inverse(h * self.J)
        Z, rate = self._newton(inverse, t, y, h, allowed)
        self.is_slow, was_again, self.is_again = not (self.is_fresh or rate < 1), self.is_again, True
        if not rate < 1:
            return y, math.nan, FAILED
        new, q = y + Z[-1, ...], modes.fit @ Z
        allowed = self.atol + self.rtol * xp.maximum(abs(y), abs(new))
        defect = h * self.f - q[0, ...]
        first = real @ defect
        error = _size(first / allowed) / self.slack
        if was_again and error > 1:
            two = self.slopes([t, t], xp.stack([y + first, y]))
            error = _size((real @ (defect + h * (two[0, ...] - two[1, ...]))) / allowed) / self.slack
        now, before = max(error, LEAST), max(self.before, LEAST)
        growth = SAFETY * abs(h / self.h) * (before / now**2) ** (1 / self.order)
        if error <= 1:
            self.f, self.path, self.h, self.before = (modes.rates[-1, ...] @ Z) / h, q, h, error
            self.is_fresh, self.is_again, self.is_slow = False, False, rate > SLOW
            self.taken += 1
            self.slack = self.slack if max(self.taken, FEW) * y.shape[0] < ESTIMATED else 1.0
        return new, error, growth

    def _slope_of(self, t: float, y: Array, allowed: Array) -> Array:
        """Return df/dy."""
        if self.jacobian is not None:
            made: Array = self.jacobian(t, y)
            return made
        return differences(self._at_rows, self.clock + t, y[None, :], allowed)

    def _at_rows(self, t: Array, ys: Array) -> Array:
        return self.slopes([float(at) for at in t], ys)

    def _newton(self, inverse: Array, t: float, y: Array, h: float, allowed: Array) -> tuple[Array, float]:
        """Return Z and the rate of convergence, which is not below 1 where there is no Z."""
        xp, modes, rule, eps = array_namespace(y), self.modes, self.rule, self.eps
        times = [t + c * h for c in rule.nodes]
        roundoff = ROUNDOFF * eps * _size(y / allowed)
        close, enough, nearest = self.close + roundoff, ENOUGH + roundoff, math.inf
        Z: Any = 0 * self.nodes * y
        if self.path is not None:
            Z = ((1 + self.nodes * (h / self.h)) ** self.powers - 1) @ self.path
        ahead, before, rate = (self.ahead + eps) ** 0.8, math.inf, 0.0
        for k in range(MOST):
            residual = h * self.slopes(times, y + Z) - modes.rates @ Z
            change = xp.reshape(inverse @ xp.reshape(residual, (-1,)), Z.shape)
            Z = Z + change
            size = _size(change / allowed)
            if k:
                rate = size / before
                ahead = rate / (1 - rate) if rate < 1 else math.inf
            left = ahead * size
            if left <= close:
                self.ahead = ahead
                return Z, rate
            if not left * min(rate, 1.0) ** (MOST - 1 - k) <= enough and (k or not left < math.inf):
                break
            before, nearest = size, min(nearest, left)
        self.ahead = 1.0
        return Z, STALLED if nearest <= enough and size <= enough else math.inf


def _size(part: Array) -> float:
    """Return the root of the mean square."""
    flat = array_namespace(part).reshape(abs(part), (-1,))
    return math.sqrt(float(flat @ flat) / flat.shape[0])


def slack(rule: Collocation, rtol: Array) -> float:
    """Return how many tolerances the error of the embedded rule may be, which is of h^(s + 1), that of y of h^(2 s).

    An estimate of ``tol^((s + 1) / (2 s)) / 10`` is a step's error of about the tolerance (E. Hairer and G. Wanner,
    Stiff differential equations solved by Radau methods, J. Comput. Appl. Math. 111 (1999) 93, and their code RADAU).
    Between the steps the polynomial is of h^(s + 1) too: here it is the root of that slack, 5 at 1e-6, 20 at 1e-9.
    It is used where the error of all steps is estimated behind.
    """
    least, s = float(array_namespace(rtol).min(rtol)), len(rule.nodes)
    return max(0.1**0.5 * least ** (0.25 / s - 0.25), 1.0) if least else 1.0
