"""Recurrences of any lags."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..backends.generic import Backend
from ..backends.given import Given, spanning
from ..backends.namespace import Array, Tree, padded
from ..backends.trees import tree_leaves
from ..errors import check_whole, mismatch
from ..grids.base import Data
from ..grids.shifters import lag
from ..grids.times import Initial, Steps
from .base import Problem


class Recurrence(Problem):
    """y_i = f(y_{i-k_1}, ..., y_{i-k_P}, x_i, params), i = 0 ... T - 1.

    Parameters
    ----------
    f : callable
        ``f(y_1, ..., y_P, x, params)``, arguments in the order of ``lags``, each (*B, T, n) -> (*B, T, n).
    y0 : array
        The values before the first point: (*B, n) if the only lag is 1, else (*B, K, n) with
        K = max(lags), oldest first. The solution y, (*B, T, n), does not contain y0.
    x : tree of arrays, optional
        Inputs, each leaf (*B or 1, T or 1, k).
    params : any, optional
        Passed to f as it is.
    lags : tuple of int
        The lags k_p >= 1.
    n_points : int, optional
        T, needed only if no leaf of x spans the grid.
    jac : callable, optional
        See :class:`Problem`.

    Raises
    ------
    InputError
        If lags are not distinct integers >= 1; shapes are checked by :func:`solve`.

    Examples
    --------
    >>> import numpy as np
    >>> import deersolve as ds
    >>> logistic = ds.Recurrence(lambda y, x, r: r * y * (1 - y), np.array([0.5]), params=2.8, n_points=100)
    >>> round(float(ds.solve(logistic).y[-1, 0]), 9)
    0.642857143
    """

    family: str = "shift"

    def __init__(  # noqa: PLR0913 - the public signature
        self,
        f: Callable[..., Array],
        y0: Array,
        x: Tree = None,
        params: Any = None,
        *,
        lags: tuple[int, ...] = (1,),
        n_points: int | None = None,
        jac: Callable[..., Any] | None = None,
    ) -> None:
        lags = tuple(lags) if isinstance(lags, tuple | list) else (lags,)
        shift = tuple(lag(k) for k in lags)
        lags = tuple(int(k) for k in lags)
        if not lags or len(set(lags)) != len(lags):
            raise mismatch("Recurrence", "lags as distinct integers >= 1, such as (1, 3)", repr(lags))
        if n_points is not None:
            check_whole("Recurrence", "n_points", n_points)
            n_points = int(n_points)
        grid = None if n_points is None else Steps(n_points, lags)
        super().__init__(f, shift=shift, inverse="shift.scan", x=x, params=params, grid=grid, jac=jac)
        self.boundary, self.lags = Initial(y0), lags
        self.fields = {"y0": ("k",) if lags == (1,) else ("lag", "k"), "x": ("t", "k")}

    def points(self) -> dict[str, Any]:
        """Return the numbers of the steps; None where only the guess says how many there are."""
        lengths = [leaf.shape[-2] for leaf in tree_leaves(self.x) if getattr(leaf, "ndim", 0) > 1]
        lengths = [self.grid.n_points] if self.grid is not None else [size for size in lengths if size > 1]
        return {"step": range(max(lengths)) if lengths else None}

    def discretise(self, y_guess: Any, rule: Any) -> tuple[Backend, Data]:
        """Return the backend, and grid, data and guess as the solver takes them."""
        given, K = Given(2, y0=self.start, y_guess=y_guess), max(self.lags)
        y0, guess = given.first, given.guess
        if self.lags == (1,):
            y0 = y0[..., None, :]
        elif y0.ndim < 2 or y0.shape[-2] != K:
            raise mismatch("y0", f"shape (*B, K, n) with K = max(lags) = {K}, oldest first", tuple(y0.shape))
        y0, x = given.of_batch("y0", y0), given.tree(self.x)
        T = self._length(x, guess)
        spanning(x, T)
        y0 = padded(y0, given.rank)
        start = given.start(y0[..., -1:, :], T, y0.shape[-1])
        return given.backend, Data(given.laid(x), Steps(T, self.lags), Initial(y0), start)

    def _length(self, x: Tree, guess: Array | None) -> int:
        """Return T: what was given, or the largest number of points of what spans the grid."""
        if self.grid is not None:
            return int(self.grid.n_points)
        spans = [*tree_leaves(x), *([] if guess is None or guess.ndim < 2 else [guess])]
        lengths = [a.shape[-2] for a in spans]
        if not lengths:
            raise mismatch("Recurrence", "n_points=, or an x or y_guess that spans the grid", "none of them")
        if 0 in lengths:
            raise mismatch("Recurrence", "a grid of at least one point", "an empty one")
        return int(max(lengths))
