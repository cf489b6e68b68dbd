"""The march: every batch element goes its own steps, whose errors are those allowed, to the last time."""

from __future__ import annotations

import dataclasses
from typing import Any

from ..backends.generic import Backend
from ..backends.namespace import Array, Tree, array_namespace, padded_behind
from ..backends.trees import record, tree_leaves, tree_map
from .base import Field, Stepper
from .controller import FAILED, SHORTEST, factor, first_step

RUNNING, ARRIVED, TOO_SMALL, TOO_MANY, STIFF, NOT_FINITE, STALLED = range(7)
"""How far an element is: those behind did not, for the step they ended with."""
ULPS = 16  # of the time: what a step is more than
EVERY, LEFT = 1000, 1e6  # attempts after which it is asked whether so many are left
WAY = 100  # tolerances
"""The error of a smooth step is a small part of its way. Where f jumps at a value that y stays at, as -sign(y) at 0, it
is as large as the way, whatever the step: with ways below WAY, and more than LEFT attempts ahead, it is STALLED."""


@dataclasses.dataclass(frozen=True)
class Course:
    """From where to where, and how.

    Attributes
    ----------
    field : Field
        f and the tolerance.
    start, end : array, shape (*B, 1)
        The first and the last time.
    stops : array, shape (*B, S), or None
        Times where f jumps: a step ends there, and f is called on its side of them only.
    first, longest : array or None
        The length of the first step, and of the longest.
    most : int
        The largest number of steps, those that are rejected included.
    looks : bool
        Whether an element ends where another rule would be better.
    halt : Halt or None
        What ends an element where its events happened.
    """

    backend: Backend
    stepper: Stepper
    field: Field
    start: Array
    end: Array
    stops: Array | None
    first: Any
    longest: Any
    most: int
    looks: bool
    halt: Any = None

    def between(self, t: Array, stop: Array) -> Field:
        """Return f on the piece from t to a stop: at the ends of pieces the limit from its side."""
        if self.stops is None:
            return self.field
        xp = array_namespace(t)
        side = float(xp.finfo(self.field.atol.dtype).eps) * xp.where(self.end < self.start, -xp.ones_like(t), 1.0)
        low = xp.where(xp.any(self.stops == t, axis=-1, keepdims=True), t + side * xp.abs(t), t)
        high = xp.where(stop == self.end, stop, stop - side * xp.abs(stop))
        low, high = xp.minimum(low, high), xp.maximum(low, high)
        slope = self.field.slope
        return dataclasses.replace(self.field, slope=lambda t, y: slope(xp.minimum(xp.maximum(t, low), high), y))


@record
class Walker:
    """Where each element is: t, h (*B, 1), y (*B, 1, n), and how many steps it took and tried."""

    t: Array
    y: Array
    h: Array
    carry: Tree
    rejected: Array
    code: Array
    taken: Array
    tried: Array
    seen: Any = None


@record
class Trace:
    """Every attempt, (M, *B, ...): where it led, whether it was taken, and its polynomial where the rule has it."""

    t: Array
    y: Array
    taken: Array
    path: Any


def march(course: Course, y0: Array) -> tuple[Trace, Walker]:
    """Go from y0, (*B, 1, n), to the last time; return all steps and where each element came to."""
    course = dataclasses.replace(course, stepper=course.stepper.beside(course.field, y0, course.looks))
    walker = _begun(course, y0)

    def goes_on(walker: Walker) -> Array:
        return walker.code == RUNNING

    watched = _step if course.backend.compiles else Watched(walker.t)
    trace, walker = course.backend.recorded_loop(goes_on, lambda w: watched(course, w), walker, course.most)
    xp = array_namespace(y0)
    code = xp.where(walker.code == RUNNING, TOO_MANY + 0 * walker.code, walker.code)
    code = xp.where(xp.all(xp.isfinite(walker.y), axis=(-2, -1)), code, NOT_FINITE + 0 * code)
    return trace, dataclasses.replace(walker, code=code)


def _begun(course: Course, y0: Array) -> Walker:
    xp, t = array_namespace(y0), course.start
    code = xp.astype(t[..., 0] * 0, xp.int32) + RUNNING
    field = course.between(t, _next(course, t))
    carry, span = course.stepper.start(field, t, y0), course.end - t
    if course.first is None:
        fy = tree_leaves(carry)[0]
        h = first_step(field, t, y0, fy, span, course.stepper.order)
        h = xp.astype(h, t.dtype)
    else:
        h = xp.minimum(course.first + 0 * t, xp.abs(span))
    arrived = xp.where(span[..., 0] == 0, ARRIVED + 0 * code, code)
    none, seen = 0 * arrived, None if course.halt is None else course.halt.start(t, y0)
    return Walker(t, y0, xp.where(span < 0, -h, h), carry, arrived < RUNNING, arrived, none, none, seen)


def _step(course: Course, at: Walker) -> tuple[Walker, Trace]:
    """Attempt one step of every element."""
    xp, running = array_namespace(at.y), at.code == RUNNING
    stop = _next(course, at.t)
    gap, field = stop - at.t, course.between(at.t, stop)
    length = at.h if course.longest is None else _clipped(xp, at.h, course.longest)
    hits = xp.abs(length) >= 0.999 * xp.abs(gap)
    between = (at.t + length) - at.t  # what is between two times, not what was meant
    length = xp.where(between == 0, length, between)
    h = xp.where(running[..., None], xp.where(hits, gap, length), 0.0)
    made = course.stepper.attempt(field, at.t, at.y, h, at.carry)
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
    stuck = ~taken & ~(xp.abs(grown) > least)[..., 0]  # NaN too
    lost = xp.where(made.error < xp.inf, TOO_SMALL + 0 * at.code, NOT_FINITE)
    code = xp.where(running & stuck, lost, at.code)
    if course.looks and made.is_stiff is not None:
        code = xp.where(taken & made.is_stiff, STIFF + 0 * code, code)
    code = xp.where(taken & (t == course.end)[..., 0], ARRIVED + 0 * code, code)
    seen = at.seen
    if course.halt is not None:
        seen, ended = course.halt.after(seen, t, y, taken)
        code = xp.where(running & ended, ARRIVED + 0 * code, code)
    carry = _chosen(taken, made.carry, at.carry if made.kept is None else made.kept)
    if course.stops is not None:
        carry = _begun_anew(course, taken & hits[..., 0] & (code == RUNNING), t, y, carry)
    h_next = xp.where(running[..., None], grown, at.h)
    took, tried = (count + xp.astype(flag, xp.int32) for count, flag in ((at.taken, taken), (at.tried, running)))
    return Walker(t, y, h_next, carry, running & ~taken, code, took, tried, seen), Trace(t, y, taken, made.path)


class Watched:
    """Steps that end where they get nowhere, looked at now and then."""

    def __init__(self, t: Array) -> None:
        self.t, self.count = t, 0

    def __call__(self, course: Course, at: Walker) -> tuple[Walker, Trace]:
        """Attempt one step of every element."""
        at, trace = _step(course, at)
        self.count += 1
        if self.count % EVERY == 0:
            xp, field = array_namespace(at.y), course.field
            way = xp.abs(at.h)[..., None] * xp.abs(tree_leaves(at.carry)[0]) / field.scale(at.y, at.y)
            left = xp.abs(course.end - at.t) * EVERY > LEFT * xp.abs(at.t - self.t)
            is_lost = left[..., 0] & (xp.max(way, axis=(-2, -1)) < WAY) & (at.code == RUNNING)
            at, self.t = dataclasses.replace(at, code=xp.where(is_lost, STALLED + 0 * at.code, at.code)), at.t
        return at, trace


def _begun_anew(course: Course, flags: Array, t: Array, y: Array, carry: Tree) -> Tree:
    """Return what the next step needs, of those that are at a stop without a step before."""

    def begun(carry: Tree) -> Tree:
        new = course.stepper.start(course.between(t, _next(course, t)), t, y)
        return _chosen(flags, new, carry)

    return course.backend.when(flags, begun, carry)


def _next(course: Course, t: Array) -> Array:
    """Return the first stop behind t, or the end."""
    if course.stops is None:
        return course.end
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
