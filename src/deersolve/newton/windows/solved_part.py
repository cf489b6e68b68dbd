"""How far a trajectory is solved: what is solved from the first point on stands by itself, by causality."""

from __future__ import annotations

import dataclasses

from ...backends.namespace import Array, array_namespace
from ...backends.trees import record
from ...inverses import Rule
from ..equation import System
from ..iteration import Iterate, Options, start_at
from .homotopy import newton_on_branch

PATIENCE = 12  # Newton steps after which a shorter stretch is cheaper
LINEAR = 32  # the same for iterations of linear convergence
SHRINK = 4
ENOUGH = 50  # Newton steps in which a root of one interval is found, if there is one


def is_quadratic(rule: Rule, options: Options) -> bool:
    """Return whether a few steps solve whatever stretch is short enough."""
    return rule.exact and options.is_plain


@record
class Course:
    """The last iterate, which elements go on, how many steps they have solved and how many they try next, (*B,).

    ``at_once`` tells which elements came to rest in one piece.
    """

    it: Iterate
    at_once: Array
    alive: Array
    place: Array
    size: Array


def persistent(system: System, start: Iterate, options: Options) -> tuple[Iterate, Array]:
    """Solve what Newton's method solves, keep it, and look at ever shorter stretches behind it.

    The second that is returned tells which elements came to rest in one piece, before their steps were used up.

    Every batch element goes at its own pace, and no shape changes: the grid stands still behind its stretch. An
    element that fails on a single step or interval has failed; it keeps what it had.
    """
    xp, length = array_namespace(start.y), system.data.grid.length
    zero, numbers = start.steps * 0, system.numbers(length)
    speaks = options.rtol is not None or not system.rule.knows_size  # a correction: as asked, or for want of more
    patience = min(PATIENCE if is_quadratic(system.rule, options) else LINEAR, options.max_steps)

    def unfinished(course: Course) -> Array:
        return xp.any(course.alive & (course.place < length))

    def go_on(course: Course) -> Course:
        tries = course.alive & (course.place < length)
        end = xp.minimum(course.place + course.size, zero + length)
        grid = system.data.grid.only(numbers, system.per_element(course.place), system.per_element(end))
        part = dataclasses.replace(system, data=dataclasses.replace(system.data, grid=grid))
        limit = xp.where(course.size == 1, options.max_steps, zero + patience)
        fresh = start_at(part, course.it.y, options, active=tries)
        it = newton_on_branch(part, fresh, dataclasses.replace(options, patience=limit))
        # A small error of a part may grow in what follows: the residual has to certify it, if it is not one step.
        is_whole = (course.place == 0) & (course.size >= length)
        is_sure = it.at_roundoff | (course.size == 1) | is_whole | speaks
        place, it = kept(part, dataclasses.replace(it, certified=it.certified & is_sure))
        place = xp.where(tries, xp.clip(place, course.place, end), course.place)
        gained = place - course.place
        stuck = tries & (gained == 0) & (course.size == 1)
        y = xp.where(system.per_element(tries), _with_guess_behind(system, it.y, place), course.it.y)
        shorter = xp.maximum(xp.minimum(gained, course.size // 2), xp.maximum(course.size // SHRINK, zero + 1))
        longer = xp.minimum(2 * course.size, zero + length)
        return Course(
            it=dataclasses.replace(together(course.it, lost(system, it, options), stuck, tries), y=y),
            at_once=course.at_once | (is_whole & it.certified & (it.steps < limit)),
            alive=course.alive & ~stuck,
            place=place,
            size=xp.where(it.certified, longer, shorter),
        )

    first = Course(start, start.active & False, start.active, zero, zero + length)
    last: Course = system.backend.while_loop(unfinished, go_on, first)
    return dataclasses.replace(last.it, certified=last.alive, active=start.active & False), last.at_once


def kept(system: System, it: Iterate) -> tuple[Array, Iterate]:
    """Return how many steps or intervals each element has solved, and the iterate with the errors of those."""
    xp, grid, part = array_namespace(it.y), system.data.grid, it.reached
    steps = xp.where(it.certified, grid.length, xp.clip(part.points - grid.overlap, min=0))
    return steps, it.updated(~it.certified, error=part.error, residual=part.residual)


def lost(system: System, it: Iterate, options: Options) -> Iterate:
    """Return the iterate of one interval, for the case that it is the last: many steps have found no root."""
    if not system.data.grid.overlap or options.max_steps < ENOUGH:
        return it
    return dataclasses.replace(it, strayed=it.strayed | ~it.broken)


def _with_guess_behind(system: System, y: Array, place: Array) -> Array:
    """Return the points that are solved, and behind them the guess, moved to where they end."""
    xp, guess = array_namespace(y), system.data.guess
    points = system.per_element(place) + system.data.grid.overlap
    where = system.numbers(y.shape[system.grid.axis])
    jump = xp.sum(xp.where(where == points - 1, y - guess, 0.0), axis=system.grid.axis, keepdims=True)
    return xp.where(where < points, y, guess + jump)


def together(total: Iterate, it: Iterate, failed: Array, seen: Array) -> Iterate:
    """Add what a stretch gave, of the elements in ``seen``, to what is known of those before it."""
    xp = array_namespace(it.y)

    def worst(name: str, seen: Array) -> Array:
        before, now = getattr(total, name), getattr(it, name)
        shown = seen[(..., *(None for _ in range(now.ndim - seen.ndim)))]
        return xp.where(shown, largest_known(xp.stack([before, now]), axis=0), before)

    return dataclasses.replace(
        total,
        broken=total.broken | (failed & it.broken),
        strayed=total.strayed | (failed & it.strayed),
        steps=xp.where(seen, xp.maximum(total.steps, it.steps), total.steps),
        error=worst("error", seen),
        residual=worst("residual", seen),
        history=worst("history", seen & it.certified),
    )


def largest_known(values: Array, axis: int) -> Array:
    """Return the largest entry that is not NaN, or NaN where there is none."""
    xp = array_namespace(values)
    best = xp.max(xp.where(xp.isnan(values), -xp.inf, values), axis=axis)
    return xp.where(xp.isinf(best) & (best < 0), xp.nan, best)
