"""The grid of every batch element, of the steps that it took."""

from __future__ import annotations

from typing import Any

from ..backends.generic import Backend
from ..backends.namespace import Array, array_namespace, joined, padded_behind, part
from ..backends.trees import record, static
from ..grids.base import Data
from ..grids.levels import with_stages
from ..grids.times import Initial, TimeGrid
from .march import Course, Trace, Walker


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
    """Return the steps that were taken, of each element; where one was not, an interval has no length.

    Where Python looks on, those are left out.
    """
    xp, n_batch = array_namespace(y0), y0.ndim - 2
    behind = (*range(1, n_batch + 1), 0)
    taken, running, t = (xp.permute_dims(a, behind) for a in (trace.taken, trace.running, trace.t[..., 0]))
    y = xp.permute_dims(trace.y[..., 0, :], (*behind, n_batch + 1))
    path = None if trace.path is None else xp.permute_dims(trace.path, (*behind, n_batch + 1, n_batch + 2))
    taken_count, tried = (xp.sum(xp.astype(a, xp.int32), axis=-1, dtype=xp.int32) for a in (taken, running))
    if not course.backend.compiles:
        order = xp.argsort(xp.astype(~taken, xp.int32), axis=-1, stable=True)
        t, running = (xp.take_along_axis(a, order, axis=-1) for a in (t, taken))
        y = xp.take_along_axis(y, xp.broadcast_to(order[..., None], y.shape), axis=-2)
        if path is not None:
            path = xp.take_along_axis(path, xp.broadcast_to(order[..., None, None], path.shape), axis=-3)
    t, y = xp.where(running, t, walker.t), xp.where(running[..., None], y, walker.y)
    stands = xp.broadcast_to(course.start, (*taken.shape[:-1], 1))
    whole = Found(joined([stands, t], -1), joined([y0, y], -2), walker.code, taken_count, tried, path)
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
    rows = xp.argmax(hit, axis=-1)[..., None]
    of_stops = xp.take_along_axis(at.y, xp.broadcast_to(rows, (*rows.shape[:-1], at.y.shape[-1])), axis=-2)
    y = joined([at.y, xp.where(inside[..., None], of_stops, at.y[..., -1:, :])], -2)
    order = xp.argsort(ahead * t, axis=-1, stable=True)
    y = xp.take_along_axis(y, xp.broadcast_to(order[..., None], y.shape), axis=-2)
    path = at.path
    if path is not None:  # of an interval that ends where it begins there is none
        none = xp.zeros((*path.shape[:-3], stops.shape[-1], *path.shape[-2:]), dtype=path.dtype)
        rows = padded_behind(order[..., 1:] - 1, path.ndim)
        path = joined([path, none], -3)
        path = xp.take_along_axis(path, xp.broadcast_to(rows, path.shape), axis=-3)
    return Found(xp.take_along_axis(t, order, axis=-1), y, at.code, at.taken, at.tried, path)


def trimmed(backend: Backend, at: Found) -> Found:
    """Return the grid without the places that no element needs, where Python can see how many those are."""
    if not backend.is_concrete(at.taken):
        return at
    xp, most = array_namespace(at.y), at.t.shape[-1] - 1
    ended = (at.t[..., 1:] == at.t[..., -1:]) & (at.t[..., :-1] == at.t[..., -1:])
    needed = int(xp.max(xp.sum(xp.astype(~ended, xp.int32), axis=-1)))
    if backend.compiles:
        needed = 2 ** (needed - 1).bit_length()
    needed = min(max(needed, 1), most)
    path = None if at.path is None else part(at.path, -3, None, needed)
    return Found(part(at.t, -1, None, needed + 1), part(at.y, -2, None, needed + 1), at.code, at.taken, at.tried, path)


def data_on(t: Array, y: Array, y0: Array, has_stops: bool, nodes: tuple[float, ...]) -> Data:
    """Return the data of a rule on a grid (*B, N + 1), its guess y, (*B, N + 1, n), in all stages of an interval.

    f is given the times; one that stands there twice, where f jumps, on both sides of it.
    """
    xp = array_namespace(y)
    grid = TimeGrid(t, xp.astype(t[..., 1:] - t[..., :-1], y.dtype)[..., None])
    seen = xp.astype(t, y.dtype)
    seen = grid.sided(seen) if has_stops else seen
    return with_stages(Data(seen[..., None], grid, Initial(y0), y), nodes)
