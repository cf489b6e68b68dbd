"""Recurrences of any lags."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from ..backends.generic import Backend
from ..backends.given import Given, spanning
from ..backends.namespace import Array, Tree, padded
from ..backends.trees import tree_leaves
from ..errors import check_whole, is_whole, mismatch
from ..grids.base import Data
from ..grids.shifters import lag
from ..grids.times import Initial, Steps
from ..inverses.leads import Between, Ends, TwoSided
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
        The lags k_p >= 1. Negative ones are leads, y_{i+|k|}: the values behind the last point are needed too, and all
        equations are solved at once (0 is allowed then, y_i itself).
    y_end : array, optional
        Of leads: the values behind the last point, (*B, n) if the largest lead is 1, else (*B, K, n), nearest first.
        Then y0 is (*B, n) if the largest lag is 1, and None if there is none.
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

    A mean of both neighbours, from 0 to 1:

    >>> mean = ds.Recurrence(
    ...     lambda back, ahead, x, _: (back + ahead) / 2, [0.0], lags=(1, -1), y_end=[1.0], n_points=3
    ... )
    >>> ds.solve(mean).y[:, 0]
    array([0.25, 0.5 , 0.75])
    """

    family: str = "shift"

    def __new__(cls, *args: Any, lags: Any = (1,), **options: Any) -> Recurrence:
        """Return a problem that is solved from both ends, where a lag is negative."""
        looks_ahead = any(is_whole(k) and k < 0 for k in (lags if isinstance(lags, tuple | list) else (lags,)))
        return super().__new__(FromBothEnds if looks_ahead else cls)

    def __init__(  # noqa: PLR0913 - the public signature
        self,
        f: Callable[..., Array],
        y0: Array,
        x: Tree = None,
        params: Any = None,
        *,
        lags: tuple[int, ...] = (1,),
        y_end: Array = None,
        n_points: int | None = None,
        jac: Callable[..., Any] | None = None,
    ) -> None:
        if y_end is not None:
            raise mismatch(
                "y_end", "a lag < 0 in lags, such as (1, -1), beside values behind the last point", repr(lags)
            )
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


_self, *_arguments = inspect.signature(Recurrence.__init__).parameters.values()
setattr(Recurrence, "__signature__", inspect.Signature(_arguments))  # noqa: B010 - that of __new__ says nothing


class FromBothEnds(Recurrence):
    """A :class:`Recurrence` with leads."""

    family: str = ""

    def __init__(  # noqa: PLR0913 - the public signature
        self,
        f: Callable[..., Array],
        y0: Array = None,
        x: Tree = None,
        params: Any = None,
        *,
        lags: tuple[int, ...] = (1, -1),
        y_end: Array = None,
        n_points: int | None = None,
        jac: Callable[..., Any] | None = None,
    ) -> None:
        lags = tuple(lags) if isinstance(lags, tuple | list) else (lags,)
        if not all(map(is_whole, lags)) or len(set(lags)) != len(lags):
            raise mismatch("Recurrence", "lags as distinct integers, such as (1, -1)", repr(lags))
        self.before, self.behind = max(0, *lags), max(0, *(-k for k in lags))
        ends = {"y0": (y0, self.before, "before the first"), "y_end": (y_end, self.behind, "behind the last")}
        for name, (value, K, where) in ends.items():
            if (value is None) != (K == 0):
                raise mismatch(name, f"{K or 'no'} values {where} point, for lags {lags}", "None" if K else "some")
        lengths = [leaf.shape[-2] for leaf in tree_leaves(x) if getattr(leaf, "ndim", 0) > 1 and leaf.shape[-2] > 1]
        if n_points is None and not lengths:
            raise mismatch("Recurrence", "n_points=, or an x that spans the grid, beside leads", "none of them")
        self.n_points = n_points = max(lengths) if n_points is None else n_points
        check_whole("Recurrence", "n_points", n_points)
        rule = TwoSided(int(n_points), tuple(map(int, lags)))
        Problem.__init__(self, f, shift=rule.shifts, inverse=rule, x=x, params=params, jac=jac)
        self.lags, self.coefficients = lags, {name: value for name, (value, K, _) in ends.items() if K}
        sizes = {"y0": self.before, "y_end": self.behind}
        self.fields = {name: ("lag", "k") if sizes[name] > 1 else ("k",) for name in self.coefficients}
        self.fields |= {"x": ("t", "k")}

    def points(self) -> dict[str, Any]:
        """Return the numbers of the steps."""
        return {"step": range(self.n_points)}

    def discretise(self, y_guess: Any, rule: Any) -> tuple[Backend, Data]:
        """Return the backend, and grid, data and guess as the solver takes them; the guess is a straight line."""
        given, T = Given(2, **self.coefficients, y_guess=y_guess), int(self.n_points)
        sizes, ends = {"y0": self.before, "y_end": self.behind}, {}
        for name, value in self.coefficients.items():
            a, K = given.array(name, value), sizes[name]
            a = a[..., None, :] if K == 1 else a
            if a.ndim < 2 or a.shape[-2] != K:
                raise mismatch(name, f"shape (*B, K, n) with K = {K}", tuple(a.shape))
            ends[name] = given.of_batch(name, a)
        x = given.tree(self.x)
        spanning(x, T)
        ends = {name: padded(a, given.rank) for name, a in ends.items()}
        first, *last = (a[..., -1:, :] if name == "y0" else a[..., :1, :] for name, a in ends.items())
        xp, n = given.xp, first.shape[-1]
        part = xp.astype(xp.arange(1, T + 1, device=given.backend.placement(first)), first.dtype) / (T + 1)
        line = first + padded(part[:, None], given.rank) * ((last[0] if last else first) - first)
        start = given.start(xp.broadcast_to(line, (*line.shape[:-2], T, n)), T, n)
        return given.backend, Data(given.laid(x), Between(), Ends(ends.get("y0"), ends.get("y_end")), start)
