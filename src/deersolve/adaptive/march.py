"""The march: every batch element goes its own steps, whose errors are those allowed, from the first time to the last."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from ..backends.generic import Backend
from ..backends.namespace import Array, Tree, array_namespace, padded_behind
from ..backends.trees import record, tree_leaves, tree_map
from .base import Slope, Stepper
from .controller import FAILED, SHORTEST, factor, first_step

RUNNING, ARRIVED, TOO_SMALL, TOO_MANY, STIFF = range(5)
"""How far an element is: the last three did not arrive, for a step that is none, for so many, or for stability."""
ULPS = 16  # of the time: what a step is more than


@dataclasses.dataclass(frozen=True)
class Course:
    """From where to where, and how.

    Attributes
    ----------
    slope, jacobian : callable
        f of times (*B, K) and y (*B, K, n), and its Jacobians.
    start, end : array, shape (*B, 1)
        The first and the last time.
    stops : array, shape (*B, S)
        Times that a step ends at, in order.
    rtol, atol : array
        What an error of a component may be: atol + rtol |y|.
    first, longest : array or None
        The length of the first step, and of the longest.
    most : int
        The largest number of steps, those that are rejected included.
    """

    backend: Backend
    stepper: Stepper
    slope: Slope
    jacobian: Callable[[Array, Array], Array]
    start: Array
    end: Array
    stops: Array | None
    rtol: Array
    atol: Array
    first: Any
    longest: Any
    most: int

    def scale(self, y: Array, new: Array) -> Array:
        """Return the tolerance of each component."""
        xp = array_namespace(y)
        return self.atol + self.rtol * xp.maximum(xp.abs(y), xp.abs(new))


@record
class Walker:
    """Where each element is: t, h (*B, 1), y (*B, 1, n)."""

    t: Array
    y: Array
    h: Array
    carry: Tree
    rejected: Array
    code: Array


@record
class Trace:
    """Every attempted step, (M, *B, ...): where it led, whether it was taken, and whether it was one; its polynomial."""

    t: Array
    y: Array
    taken: Array
    running: Array
    path: Any


def march(course: Course, y0: Array) -> tuple[Trace, Walker]:
    """Go from y0, (*B, 1, n), to the last time; return all steps and where each element came to."""
    walker = _begun(course, y0)

    def goes_on(walker: Walker) -> Array:
        return walker.code == RUNNING

    trace, walker = course.backend.recorded_loop(goes_on, lambda w: _step(course, w), walker, course.most)
    xp = array_namespace(y0)
    code = xp.where(walker.code == RUNNING, TOO_MANY + 0 * walker.code, walker.code)
    return trace, dataclasses.replace(walker, code=code)


def _begun(course: Course, y0: Array) -> Walker:
    xp, t = array_namespace(y0), course.start
    code = xp.astype(t[..., 0] * 0, xp.int32) + RUNNING
    carry = course.stepper.start(course.slope, course.jacobian, t, y0)
    span = course.end - t
    if course.first is None:
        fy = tree_leaves(carry)[0]
        h = first_step(course.slope, t, y0, fy, span, course.stepper.order, course.scale(y0, y0))
        h = xp.astype(h, t.dtype)
    else:
        h = xp.minimum(course.first + 0 * t, xp.abs(span))
    arrived = xp.where(span[..., 0] == 0, ARRIVED + 0 * code, code)
    return Walker(t, y0, xp.where(span < 0, -h, h), carry, arrived < RUNNING, arrived)


def _step(course: Course, at: Walker) -> tuple[Walker, Trace]:
    """Attempt one step of every element."""
    xp, running = array_namespace(at.y), at.code == RUNNING
    stop = course.end if course.stops is None else _next(course, at.t)
    gap = stop - at.t
    length = at.h if course.longest is None else _clipped(xp, at.h, course.longest)
    hits = xp.abs(length) >= 0.999 * xp.abs(gap)
    h = xp.where(running[..., None], xp.where(hits, gap, length), 0.0)
    made = course.stepper.attempt(course.slope, course.jacobian, at.t, at.y, h, at.carry, course.scale)
    taken = (made.error <= 1) & ~made.failed & running
    grown = factor(xp.where(made.failed, xp.inf, made.error), course.stepper.order, at.rejected)
    if made.growth is not None:
        best = xp.where(taken & (made.growth < grown), xp.maximum(made.growth, 0 * grown + SHORTEST), grown)
        grown = xp.where(made.failed, 0 * grown + FAILED, best)
    grown = h * xp.astype(grown, h.dtype)[..., None]
    is_cut = hits & taken[..., None] & (xp.abs(grown) < xp.abs(at.h))  # it was cut short by a stop, not by its error
    grown = xp.where(is_cut, at.h, grown)
    moved = xp.where(hits, stop, at.t + h)
    t, y = xp.where(taken[..., None], moved, at.t), xp.where(taken[..., None, None], made.y, at.y)
    least = ULPS * float(xp.finfo(t.dtype).eps) * xp.maximum(xp.abs(t), xp.abs(gap) * 0)
    stuck = ~taken & (xp.abs(grown) <= least)[..., 0]
    code = xp.where(running & stuck, TOO_SMALL + 0 * at.code, at.code)
    code = xp.where(taken & (t == course.end)[..., 0], ARRIVED + 0 * code, code)
    carry = _chosen(taken, made.carry, at.carry if made.kept is None else made.kept)
    h_next = xp.where(running[..., None], grown, at.h)
    return Walker(t, y, h_next, carry, running & ~taken, code), Trace(t, y, taken, running, made.path)


def _next(course: Course, t: Array) -> Array:
    """Return the first stop behind t, or the end."""
    xp, stops, end = array_namespace(t), course.stops, course.end
    ahead = xp.where(end >= course.start, stops > t, stops < t)
    nearest = xp.min(xp.where(ahead, xp.abs(stops - t), xp.abs(end - t)), axis=-1, keepdims=True)
    found = xp.min(xp.where(ahead & (xp.abs(stops - t) <= nearest), stops, xp.inf), axis=-1, keepdims=True)
    return xp.where(xp.isfinite(found), found, end)


def _clipped(xp: Any, h: Array, longest: Any) -> Array:
    return xp.where(h < 0, -xp.minimum(-h, longest + 0 * h), xp.minimum(h, longest + 0 * h))


def _chosen(taken: Array, new: Tree, old: Tree) -> Tree:
    xp = array_namespace(taken)
    return tree_map(lambda a, b: a if a is b else xp.where(padded_behind(taken, a.ndim), a, b), new, old)
