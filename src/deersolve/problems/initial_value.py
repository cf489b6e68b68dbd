"""Ordinary differential equations with an initial value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from ..backends.generic import Backend
from ..backends.given import Given, plain
from ..backends.namespace import Array, Tree, array_namespace, dtype_name, padded
from ..backends.trees import tree_leaves, tree_map
from ..errors import LibraryError, mismatch
from ..grids.base import Data
from ..grids.levels import with_stages
from ..grids.shifters import identity
from ..grids.signal import Signal
from ..grids.times import Initial, TimeGrid
from .base import Problem


class InitialValueProblem(Problem):
    """dy/dt = f(y, x, params), y(t_0) = y0, on any grid t_0 < t_1 < ... (or descending).

    Parameters
    ----------
    f : callable
        ``f(y, x, params)``, (*B, T, n) -> (*B, T, n), the time derivative in the unit of t.
    t : array, shape (T,) or (*B, T)
        The grid; it may be wider than y0 (float64 grid, float32 state): differences are taken first. Where f jumps
        the time may stand there twice, as in ``[0, 0.5, 1, 1, 1.5]``: y is the same at both, f has the value before
        the jump at the first and the one behind it at the second.
    y0 : array, shape (*B, n)
        The value at t[0]. The solution y, (*B, T, n), contains it: y[..., 0, :] is y0.
    x : tree of arrays, optional
        All that varies, each leaf (*B or 1, T or 1, k). By default the time, shape (T, 1), of two that are the same
        one a rounding error earlier and the other later, so that ``t > 1`` and ``t >= 1`` are the two sides of 1;
        pass ``x={"t": t[:, None], "u": u}`` for both. What is passed stays as it is: there u may have two values. A
        :class:`Signal` is a leaf too, of which f is given the values at the times.
    params : any, optional
        Passed to f as it is.
    jac : callable, optional
        See :class:`Problem`.

    Raises
    ------
    InputError
        By :func:`solve`, if the grid is not monotone and finite, or a time but the last, which fills up elements that
        need fewer, stands there more than twice, or shapes do not match.

    Notes
    -----
    By default the rule is "ddt.trapezoid". Others by ``inverse=``:

    - "dopri5", "dopri8": explicit, of order 5 and 8 (Dormand and Prince), for what is not stiff;
    - "radau5", "radau9": L-stable, of order 5 and 9 (Radau IIA); "trbdf2" and "backward_euler" of order 2 and 1;
    - "gauss2", "gauss4", ..., "gauss10": symplectic, of that order, for what has an energy.

    With "trbdf2", "radau" and "gauss" f sees the stages of each interval: arrays (*B, T, m, n). At a stage between two
    times x is linear between its leaves there, those of whole numbers and flags are as they were before; the time,
    which is x by default, is exact.

    Examples
    --------
    >>> import numpy as np
    >>> import deersolve as ds
    >>> t = np.linspace(0.0, 1.0, 1001)
    >>> decay = ds.InitialValueProblem(lambda y, t, k: -k * y, t, np.array([1.0]), params=2.0)
    >>> sol = ds.solve(decay)
    >>> bool(abs(sol.y[-1, 0] - np.exp(-2.0)) < 1e-6)
    True

    A tap that opens at t = 1:

    >>> t = np.concatenate([np.linspace(0.0, 1.0, 101), np.linspace(1.0, 2.0, 101)])
    >>> tap = ds.InitialValueProblem(lambda y, t, p: (t > 1) - y, t, np.array([0.0]))
    >>> sol = ds.solve(tap)
    >>> bool(abs(sol.y[-1, 0] - (1 - np.exp(-1.0))) < 1e-5), bool(sol.stats.is_asymptotic)
    (True, True)
    """

    family: str = "ddt"
    takes_tolerance: ClassVar[bool] = True
    fields = {"y0": ("k",), "x": ("t", "k"), "t": ("t",)}  # noqa: RUF012

    def __init__(
        self,
        f: Callable[..., Array],
        t: Array,
        y0: Array,
        x: Tree = None,
        params: Any = None,
        *,
        jac: Callable[..., Any] | None = None,
    ) -> None:
        super().__init__(f, shift=identity, inverse="ddt.trapezoid", x=x, params=params, jac=jac)
        self.t, self.boundary = t, Initial(y0)

    def points(self) -> dict[str, Any]:
        """Return the times."""
        return {"t": self.t}

    def discretise(self, y_guess: Any, rule: Any) -> tuple[Backend, Data]:
        """Return the backend, and grid, data and guess as the solver takes them."""
        given = Given(2, y0=self.start, y_guess=y_guess)
        xp, first = given.xp, given.of_batch("y0", given.first[..., None, :])
        grid = _time_grid(self.t, given)
        T, n = grid.n_points, first.shape[-1]
        given.of_batch("t", grid.D)
        x = given.of_batch("x", _sides_of(grid, given)) if self.x is None else given.tree(self._inputs(grid), T)
        first = padded(first, given.rank)
        start = xp.concat([given.full(first, 1, n), given.start(first, T, n)[..., 1:, :]], axis=-2)
        grid = TimeGrid(padded(grid.t, given.rank - 1), padded(grid.D, given.rank))
        return given.backend, with_stages(Data(given.laid(x), grid, Initial(first), start), rule.nodes)

    def _inputs(self, grid: TimeGrid) -> Tree:
        """Return x, with signals at the times, of two that are the same on both sides of it."""
        return tree_map(lambda leaf: leaf(grid.sided(grid.t, 1.0)) if isinstance(leaf, Signal) else leaf, self.x)

    @property
    def breaks(self) -> list[float]:
        """Where signals jump or have a kink."""
        return sorted({float(at) for leaf in tree_leaves(self.x) if isinstance(leaf, Signal) for at in leaf.breaks})


def _sides_of(grid: TimeGrid, given: Given) -> Array:
    """Return the times in the dtype of y, (*B, T, 1), of two that are the same one earlier and one later."""
    times, is_seen = given.xp.astype(grid.t, given.first.dtype), given.backend.is_concrete(grid.D)
    return (times if is_seen and not bool(given.xp.any(grid.D == 0)) else grid.sided(times))[..., None]


def _time_grid(t: Any, given: Given) -> TimeGrid:
    """Return times and interval lengths; differences are taken in the library and dtype of t."""
    t, own = plain(t if hasattr(t, "shape") else given.array("t", t), "t")
    if t.ndim < 1 or t.shape[-1] < 2 or 0 in t.shape:
        raise mismatch("t", "shape (T,) or (*B, T) with T >= 2", tuple(t.shape), "A single point has no interval.")
    kind = dtype_name(t)
    if kind not in ("float32", "float64"):
        raise LibraryError(f"t: expected float32 or float64; received {kind}. Write 1.0 instead of 1, or convert it.")
    if own.is_concrete(t):
        times = own.to_numpy(t)
        xp = array_namespace(times)
        if not bool(xp.all(xp.isfinite(times))):
            raise mismatch("t", "finite times", "NaN or infinity")
        if not _is_ordered(xp, times) and not _is_ordered(xp, -times):
            what = "strictly increasing or strictly decreasing times; some may stand there twice, where f jumps"
            raise mismatch("t", what, "a grid that is neither")
    D = (t[..., 1:] - t[..., :-1])[..., None]
    like, t = given.first, given.leaf("t", t, cast=False)
    D = D if own is given.backend else given.backend.convert(D, like, None)
    return TimeGrid(t, given.xp.astype(D, like.dtype))


def _is_ordered(xp: Any, times: Array) -> bool:
    """Tell whether times rise, and none but the last stands there more than twice, nor alone."""
    rises = times[..., 1:] > times[..., :-1]
    if bool(xp.all(rises)):
        return True
    is_pair = ~rises & (times[..., 1:] == times[..., :-1])
    apart = ~(is_pair[..., 1:] & is_pair[..., :-1]) | (times[..., 2:] == times[..., -1:])
    return bool(xp.all(rises | is_pair)) and bool(xp.all(apart)) and bool(xp.all(xp.any(rises, axis=-1)))
