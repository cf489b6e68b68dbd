"""The steps of a recurrence, the times of a differential equation, and what both start from.

A grid knows how to cut itself into windows along its first axis, so that one algorithm marches over
recurrences and differential equations alike.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, Self

from ..backends.namespace import Array, array_namespace, joined, part
from ..backends.trees import record, static
from ..errors import check_whole
from .base import Grid

Slice = Callable[[Array, Any, int, int], Array]
"""``slice(array, start, length, axis)``."""


@record
class Steps(Grid):
    """The grid of a recurrence: ``n_points`` steps, each coupled to those ``lags`` steps before it.

    Attributes
    ----------
    live : array of bool, shape (*B, n_points, 1), optional
        At which steps the equation is looked at; by default all.
    """

    marches: ClassVar[bool] = True
    n_points: int = static()
    lags: tuple[int, ...] = static(default=(1,))
    live: Array | None = None

    def __post_init__(self) -> None:
        check_whole("Steps", "n_points", self.n_points, least=0)
        for lag in self.lags if isinstance(self.lags, tuple) else (None,):
            check_whole("Steps", "lags as a tuple, each", lag)

    @property
    def length(self) -> int:
        """How many steps can be marched over."""
        return self.n_points

    def window(self, cut: Slice, start: Any, length: int) -> Steps:
        """Return the grid of ``length`` steps from ``start``."""
        return Steps(length, self.lags)

    def only(self, numbers: Array, first: Array, end: Array) -> Steps:
        """Return the grid on which y stays but for the steps from first to end, exclusive: nothing overflows there."""
        return dataclasses.replace(self, live=(numbers >= first) & (numbers < end))


@record
class TimeGrid(Grid):
    """The grid of an initial value problem.

    Attributes
    ----------
    t : array, shape (*B, T)
        The times, in the unit that ``f = dy/dt`` uses, in the dtype they were given in.
    D : array, shape (*B, T - 1, 1)
        The interval lengths ``t[1:] - t[:-1]``, taken in the dtype of ``t``, then cast to that of y.
    live : array of bool, shape (*B, T, 1), optional
        At which points the equation is looked at; by default all.
    """

    marches: ClassVar[bool] = True
    overlap: ClassVar[int] = 1
    t: Array
    D: Array
    live: Array | None = dataclasses.field(default=None, kw_only=True)

    @property
    def times(self) -> Array:
        """The times."""
        return self.t

    @property
    def lengths(self) -> Array:
        """The interval lengths."""
        return self.D

    @property
    def n_points(self) -> int:
        """The number of grid points T."""
        return int(self.t.shape[-1])

    def sided(self, times: Array, ends: float = 0.0) -> Array:
        """Return the times, of two that are the same one a little earlier and the other a little later.

        With ``ends=1.0`` the first and the last one are a little inside.
        """
        xp = array_namespace(times)
        zero = self.D[..., :1, 0] * 0
        pairs = xp.astype(self.D[..., 0] == 0, times.dtype)
        side = xp.concat([zero + ends, pairs], axis=-1) - xp.concat([pairs, zero + ends], axis=-1)
        ahead = xp.where(xp.sum(self.D, axis=-2) < 0, -1.0, xp.ones_like(zero))
        limits = xp.finfo(times.dtype)
        return times + side * ahead * (xp.abs(times) * float(limits.eps) + float(limits.smallest_normal))

    @property
    def length(self) -> int:
        """How many intervals can be marched over."""
        return self.n_points - 1

    def window(self, cut: Slice, start: Any, length: int) -> Self:
        """Return the grid of ``length`` intervals from point ``start``."""
        t, D = cut(self.t, start, length + 1, -1), cut(self.D, start, length, self.axis)
        return dataclasses.replace(self, t=t, D=D, live=None)

    def longer(self, repeated: Callable[..., Array], still: Array) -> Self:
        """Return the grid with so many intervals of no length behind its end."""
        return dataclasses.replace(self, t=repeated(self.t, -1), D=joined([self.D, still], self.axis))

    def only(self, numbers: Array, first: Array, end: Array) -> Self:
        """Return the grid on which y stays but for the intervals from first to end: those behind have no length."""
        xp = array_namespace(self.D)
        after = numbers >= first
        live = joined([part(after, self.axis, None, 1), after], self.axis)
        return dataclasses.replace(self, D=xp.where(numbers < end, self.D, 0.0), live=live)


@record
class Initial:
    """Data before (a recurrence) or at (a differential equation) the first point.

    Attributes
    ----------
    y0 : array, shape (*B, K, n)
        The K values before the first point, oldest first; K = 1 for a differential equation.
    """

    y0: Array

    def after(self, y: Array, axis: int = -2, overlap: int = 0) -> Initial:
        """Return the data for what follows the points y along an axis: the newest K values.

        The first ``overlap`` points are the last of these data.
        """
        K, points = self.y0.shape[axis], y.shape[axis]
        new = points - overlap
        if new >= K:
            return Initial(part(y, axis, points - K, None) if points > K else y)
        history = array_namespace(y).broadcast_to(self.y0, (*y.shape[:axis], *self.y0.shape[axis:]))
        return Initial(joined([part(history, axis, new, None), part(y, axis, overlap, None)], axis))
