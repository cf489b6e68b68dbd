"""Ordinary differential equations with an initial value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from ..backends.generic import Backend
from ..backends.given import batch_of, beside, expanded, plain, ranks, spanning
from ..backends.namespace import Array, Tree, array_namespace, dtype_name
from ..backends.trees import tree_leaves
from ..errors import LibraryError, mismatch
from ..grids.base import Data
from ..grids.levels import with_stages
from ..grids.shifters import identity
from ..grids.times import Initial, TimeGrid
from .base import Problem, guess_of


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
        pass ``x={"t": t[:, None], "u": u}`` for both. What is passed stays as it is: there u may have two values.
    params : any, optional
        Passed to f as it is.
    jac : callable, optional
        See :class:`Problem`.

    Raises
    ------
    InputError
        By :func:`solve`, if the grid is not monotone and finite, or a time stands there more than twice, or shapes do
        not match.

    Notes
    -----
    By default the rule is "ddt.trapezoid". With ``inverse="trbdf2"``, of second order too and L-stable, f also sees the
    stage of each interval: arrays (*B, T, 2, n), and leaves of x between two times as their mean by its place.

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
    is_causal: ClassVar[bool] = True
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
        y0, backend, y_guess = self.beginning(y_guess)
        grid = _time_grid(self.t, y0, backend)
        xp, n, T = array_namespace(y0), y0.shape[-1], grid.n_points
        rank = max(y0.ndim + 1, grid.t.ndim + 1, ranks(self.x), getattr(y_guess, "ndim", 0))
        if self.x is None:
            x, is_seen = xp.astype(grid.t, y0.dtype), backend.is_concrete(grid.D)
            x = (x if is_seen and not bool(xp.any(grid.D == 0)) else grid.sided(x))[..., None]
            x = xp.reshape(x, (*(1 for _ in range(rank - x.ndim)), *x.shape))
        else:
            x = expanded(self.x, y0, backend, rank)
        spanning(x, T)
        parts = [("y0", tuple(y0.shape[:-1])), ("t", tuple(grid.t.shape[:-1]))]
        parts += [("x", tuple(a.shape[:-2])) for a in tree_leaves(x)]
        parts += [("y_guess", tuple(y_guess.shape[:-2]))] if getattr(y_guess, "ndim", 0) > 2 else []
        batch = batch_of(parts)
        first = y0[..., None, :]
        first = xp.reshape(first, (*(1 for _ in range(len(batch) + 2 - first.ndim)), *first.shape))
        t = xp.reshape(grid.t, (*(1 for _ in range(len(batch) + 1 - grid.t.ndim)), *grid.t.shape))
        D = xp.reshape(grid.D, (*(1 for _ in range(len(batch) + 2 - grid.D.ndim)), *grid.D.shape))
        guess = guess_of(y_guess, first, (*batch, T, n))
        start = xp.broadcast_to(first, (*batch, 1, n))
        data = Data(x, TimeGrid(t, D), Initial(first), xp.concat([start, guess[..., 1:, :]], axis=-2))
        return backend, with_stages(data, rule.nodes)


def _time_grid(t: Any, y0: Array, backend: Backend) -> TimeGrid:
    """Return times and interval lengths; differences are taken in the dtype of t."""
    t, own = plain(t if hasattr(t, "shape") else beside(t, y0, backend, "t"), "t")
    if t.ndim < 1 or t.shape[-1] < 2 or 0 in t.shape:
        raise mismatch("t", "shape (T,) or (*B, T) with T >= 2", tuple(t.shape), "A single point has no interval.")
    kind = dtype_name(t)
    if kind not in ("float32", "float64"):
        raise LibraryError(f"t: expected float32 or float64; received {kind}. Write 1.0 instead of 1, or convert it.")
    if own is not backend and not backend.accepts(t):
        raise LibraryError(f"t: expected an array of {backend.name}, like y0; received one of {own.name}.")
    D = t[..., 1:] - t[..., :-1]
    if own.is_concrete(t):
        times = own.to_numpy(t)
        at_once = array_namespace(times)
        if not bool(at_once.all(at_once.isfinite(times))):
            raise mismatch("t", "finite times", "NaN or infinity")
        if not _is_ordered(at_once, times) and not _is_ordered(at_once, -times):
            what = "strictly increasing or strictly decreasing times; some may stand there twice, where f jumps"
            raise mismatch("t", what, "a grid that is neither")
    like = array_namespace(y0)
    if own is not backend:
        return TimeGrid(backend.convert(t, y0, None), backend.convert(D[..., None], y0, y0.dtype))
    beside(t, y0, backend, "t", cast=False)
    return TimeGrid(t, like.astype(D, y0.dtype)[..., None])


def _is_ordered(xp: Any, times: Array) -> bool:
    """Tell whether times rise, and none stands there more than twice, nor alone."""
    rises = times[..., 1:] > times[..., :-1]
    if bool(xp.all(rises)):
        return True
    is_pair = ~rises & (times[..., 1:] == times[..., :-1])
    apart = ~(is_pair[..., 1:] & is_pair[..., :-1])
    return bool(xp.all(rises | is_pair)) and bool(xp.all(apart)) and bool(xp.all(xp.any(rises, axis=-1)))
