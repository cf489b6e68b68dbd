"""First-order systems with conditions that see both ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from ..backends.generic import Backend
from ..backends.namespace import Array, Tree
from ..errors import mismatch
from ..grids.base import Data
from ..grids.conditions import Coupled, Periodic
from ..grids.interval import between_ends, components_of
from ..grids.shifters import WithEnd, identity
from ..linalg.structure import as_structure
from .around import Around, Signals
from .base import Problem
from .space import check_fields

if TYPE_CHECKING:
    from .complex_state import Pairs


class TwoPointProblem(Problem):
    """du/ds = f(u, x, params) between s[0] and s[-1], with n conditions on u at both ends.

    Parameters
    ----------
    f : callable
        ``f(u, x, params)``, of arrays (*B, N, n) and at every point by itself.
    s : array, shape (N,)
        The points, both ends included, strictly increasing.
    ends : Coupled, Periodic or callable
        The conditions: linear ones, ``first @ u(a) + last @ u(b) = value``; the same at both ends; or a function
        ``ends(u_a, u_b, params)`` of arrays (*B, 1, n), which has to be 0, of their shape: as many conditions as
        components. ``ds.from_scipy(bc)`` takes the ``bc(ya, yb)`` of ``scipy.integrate.solve_bvp``, and
        ``ds.from_scipy(fun)`` its ``fun(x, y)``.
    x : dict of array, optional
        What f is given beside ``x["s"]``, the points; leaves (N, k) or (*B, N, k).
    params, jac
        As for every problem.

    Notes
    -----
    The trapezoidal rule, of second order in the spacing; ``sol.y_corrected`` is of fourth order. An unknown number, as
    an eigenvalue or a period, is one more component p with p' = 0, and takes one more condition.

    u starts from 0 unless ``solve`` is given a ``y_guess``, which also says how many components there are where the
    conditions do not.

    Examples
    --------
    u'' = -u, u(0) = 0, u(pi / 2) = 1, whose solution is sin(s):

    >>> import numpy as np
    >>> import deersolve as ds
    >>> s = np.linspace(0.0, np.pi / 2, 101)
    >>> def f(u, x, params):
    ...     return np.stack([u[..., 1], -u[..., 0]], axis=-1)
    >>> ends = ds.Coupled(first=[[1.0, 0.0], [0.0, 0.0]], last=[[0.0, 0.0], [1.0, 0.0]], value=[0.0, 1.0])
    >>> sol = ds.solve(ds.TwoPointProblem(f, s, ends))
    >>> bool(np.abs(sol.y_corrected[:, 0] - np.sin(s)).max() < 1e-8)
    True
    """

    family: str = "ddx"
    axes: tuple[str, ...] = ("s",)
    fields = {  # noqa: RUF012
        **dict.fromkeys(("first", "last"), ("condition", "k")),
        "value": ("k",),
        "x": ("s", "k"),
    }

    def __init__(
        self,
        f: Callable[..., Array],
        s: Array,
        ends: Any,
        x: Tree = None,
        params: Any = None,
        *,
        jac: Callable[..., Any] | None = None,
    ) -> None:
        super().__init__(f, shift=identity, inverse="ddx.twopoint", x=x, params=params, jac=jac)
        if not isinstance(ends, Coupled | Periodic) and (isinstance(ends, type) or not callable(ends)):
            expected = "Coupled(first, last, value), Periodic() or a function (u_a, u_b, params)"
            raise mismatch("ends", expected, repr(ends))
        check_fields(x, ("s",))
        ends = getattr(ends, "conditions", ends)
        self.s, self.ends = s, ends
        named = ("first", "last", "value") if isinstance(ends, Coupled) else ()
        self.coefficients = {name: getattr(ends, name) for name in named}
        self.fields = {name: axes for name, axes in self.fields.items() if name in (*named, "x")}
        if self.functional is not None:
            self.shift = (WithEnd(0), WithEnd(-1))
            self.f, self.jac = OfFirst(f), None if jac is None else JacobiansOfFirst(jac)

    @property
    def functional(self) -> Callable[..., Array] | None:
        """The conditions where they are a function."""
        return self.ends if callable(self.ends) else None

    def given(self, name: str) -> Any:
        """Return a field as it was given."""
        return self.coefficients[name] if name in self.coefficients else super().given(name)

    def held(self) -> list[Any]:
        """Return what is given at the ends."""
        return [*self.coefficients.values()]

    def components(self) -> int:
        """Return how many components there are by the matrices of the conditions."""
        return components_of(self.ends, None)

    def in_pairs(self, pairs: Pairs) -> Problem:
        """Return the problem of pairs of real numbers, as they are laid out."""
        new = cast("TwoPointProblem", super().in_pairs(pairs))
        if self.functional is not None:
            new.ends = pairs.conditions(self.functional)
        elif self.coefficients:
            new.coefficients = {name: pairs.apart(name, value) for name, value in self.coefficients.items()}
            new.ends = Coupled(**new.coefficients)
        return new

    def points(self) -> dict[str, Any]:
        """Return the points, or edges, of each axis."""
        return {"s": self.s}

    def discretise(self, y_guess: Any, rule: Any) -> tuple[Backend, Data]:
        """Return the backend, and grid, data and guess as the solver takes them."""
        return between_ends(self, y_guess)


class OfFirst(Around):
    """A function of the first of two signals; the second is for the conditions, which see another end there."""

    def __call__(self, u: Array, other: Array, x: Tree, params: Any) -> Any:
        """Return ``function(u, x, params)``."""
        return self.function(u, x, params)

    def inside(self, ys: Signals, x: Tree, params: Any) -> tuple[Signals, Tree, Any]:
        """Return the first signal."""
        return ys[:1], x, params

    def otherwise(self, ys: Signals, x: Tree, params: Any) -> Any:
        """Return the same as it has to be called instead: the last row of the signals is that of the conditions."""
        return super().otherwise(tuple(y[..., :-1, :] for y in ys), x, params)


class JacobiansOfFirst(OfFirst):
    """The Jacobian of such a function by the first signal, and 0 by the second."""

    def __call__(self, u: Array, other: Array, x: Tree, params: Any) -> Any:
        """Return both."""
        J = as_structure(self.function(u, x, params), u)
        return J, J.map(lambda v: 0 * v)
