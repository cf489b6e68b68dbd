"""The grid of every batch element, of the steps that it took."""

from __future__ import annotations

from typing import Any

from ..backends.generic import Backend
from ..backends.namespace import Array, array_namespace, joined, padded_behind, part
from ..backends.trees import record, static
from ..grids.base import Data
from ..grids.levels import with_stages
from ..grids.times import Initial, TimeGrid
from ..solution.dense import picked
from .inputs import Moments
from .march import Course, Trace, Walker


@record
class Walked(TimeGrid):
    """The grid of a march: at its end times stand still, and move together if they do."""

    @property
    def taken(self) -> Array:
        """How many intervals there are, up to the last one with a length in any element."""
        xp, D = array_namespace(self.D), self.D[..., 0]
        numbers = xp.where(D != 0, 1 + xp.arange(D.shape[-1]), 0)
        return xp.max(numbers)

    def continued(self, rows: Array, last: Array, changes: Array) -> Array:
        """Return rows of steps, of which those behind ``taken`` are the last one and all changes since."""
        xp = array_namespace(rows)
        return xp.where(self._rests, last + xp.cumulative_sum(xp.where(self._rests, changes, 0.0), axis=-2), rows)

    def backwards(self, rows: Array) -> tuple[Array, Array]:
        """Return the sum of the rows behind ``taken``, and for each of those rows that of itself and what is behind."""
        xp = array_namespace(rows)
        rows = xp.where(self._rests, rows, 0.0)
        sums = xp.flip(xp.cumulative_sum(xp.flip(rows, axis=-2), axis=-2), axis=-2)
        return part(sums, -2, None, 1), xp.where(self._rests, sums, 0.0)

    @property
    def _rests(self) -> Array:
        return (array_namespace(self.D).arange(self.D.shape[-2]) >= self.taken)[:, None]


@record
class Found:
    """Where an element came to.

    Attributes
    ----------
    t : array, shape (*B, N + 1)
        The times; behind the last one it stands still.
    y : array, shape (*B, N + 1, n)
        y there.
    code : array of int, shape (*B,)
        Of :mod:`deersolve.adaptive.march`.
    taken, tried : array of int, shape (*B,)
        How many steps were taken, and how many were tried.
    path : array, shape (*B, N, s, n), or None
        The coefficients of theta, ..., theta^s in every interval, of rules that have them.
    """

    t: Array
    y: Array
    code: Array
    taken: Array
    tried: Array
    path: Any = None
    y_corrected: Any = static(default=None)


def found(course: Course, y0: Array, trace: Trace, walker: Walker) -> Found:
    """Return the steps that were taken, of each element; behind the last one it stands still."""
    xp, n_batch = array_namespace(y0), y0.ndim - 2
    behind, most = (*range(1, n_batch + 1), 0), trace.taken.shape[0]
    taken = xp.permute_dims(trace.taken, behind)
    places = xp.arange(most, device=course.backend.placement(taken))
    order = xp.sort(xp.where(taken, places, places + most), axis=-1)
    there, order = order < most, xp.where(order < most, order, 0)

    def of_taken(a: Array, last: Array) -> Array:
        rows = picked(xp.permute_dims(a, (*behind, *range(n_batch + 1, a.ndim))), order, a.ndim - 1 - n_batch)
        return xp.where(padded_behind(there, rows.ndim), rows, last)

    first = xp.broadcast_to(course.start, (*taken.shape[:-1], 1))
    t = joined([first, of_taken(trace.t[..., 0], walker.t), walker.t], -1)
    y = joined([y0, of_taken(trace.y[..., 0, :], walker.y), walker.y], -2)
    path = None
    if trace.path is not None:
        path = of_taken(trace.path, xp.zeros_like(trace.path[0, ...])[..., None, :, :])
        path = joined([path, 0 * path[..., :1, :, :]], -3)
    whole = Found(t, y, walker.code, walker.taken, walker.tried, path)
    return whole if course.stops is None else _doubled(course, whole)


def _doubled(course: Course, at: Found) -> Found:
    """Return the grid with every stop that was reached standing twice."""
    xp = array_namespace(at.y)
    given: Array = course.stops
    stops = xp.broadcast_to(given, (*at.t.shape[:-1], given.shape[-1]))
    ahead = xp.where(course.end < course.start, -xp.ones_like(course.end), 1.0)
    inside = (ahead * stops > ahead * at.t[..., :1]) & (ahead * stops < ahead * at.t[..., -1:])
    last = at.t[..., -1:]
    t = joined([at.t, xp.where(inside, stops, last)], -1)
    hit = xp.astype(at.t[..., None, :] == stops[..., :, None], xp.int32)
    of_stops = picked(at.y, xp.argmax(hit, axis=-1), 1)
    y = joined([at.y, xp.where(inside[..., None], of_stops, at.y[..., -1:, :])], -2)
    order = xp.argsort(ahead * t, axis=-1, stable=True)
    y, path = picked(y, order, 1), at.path
    if path is not None:  # of an interval that ends where it begins there is none
        none = xp.zeros((*path.shape[:-3], stops.shape[-1], *path.shape[-2:]), dtype=path.dtype)
        path = picked(joined([path, none], -3), order[..., 1:] - 1, 2)
    return Found(xp.take_along_axis(t, order, axis=-1), y, at.code, at.taken, at.tried, path)


def trimmed(backend: Backend, at: Found) -> Found:
    """Return the grid without the places that no element needs, where Python can see how many those are."""
    if not backend.is_concrete(at.taken):
        return at
    needed, most = int(backend.compiled(_needed)(at.t)), at.t.shape[-1] - 1
    if backend.compiles:
        needed = 2 ** (needed - 1).bit_length()
    needed = min(max(needed, 1), most)
    path = None if at.path is None else part(at.path, -3, None, needed)
    return Found(part(at.t, -1, None, needed + 1), part(at.y, -2, None, needed + 1), at.code, at.taken, at.tried, path)


def _needed(t: Array) -> Array:
    """Return how many intervals the element with the most of them has before its end."""
    xp = array_namespace(t)
    ended = (t[..., 1:] == t[..., -1:]) & (t[..., :-1] == t[..., -1:])
    return xp.max(xp.sum(xp.astype(~ended, xp.int32), axis=-1))


def data_on(
    t: Array, y: Array, y0: Array, has_stops: bool, nodes: tuple[float, ...], moments: Moments
) -> tuple[Data, Array]:
    """Return the data of a rule on a grid (*B, N + 1), its guess y, (*B, N + 1, n), in all stages of an interval.

    And the times as f is given them, (*B, N + 1, 1): one that stands there twice, where f jumps, on both sides of it.
    """
    xp = array_namespace(y)
    grid = Walked(t, xp.astype(t[..., 1:] - t[..., :-1], y.dtype)[..., None])
    seen = xp.astype(t, y.dtype)
    seen = (grid.sided(seen) if has_stops else seen)[..., None]
    return with_stages(Data(moments.at(seen), grid, Initial(y0), y), nodes), seen
