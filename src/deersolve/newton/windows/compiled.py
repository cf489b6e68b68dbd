"""Windows of one length, as a compiled program has them, which sees no number; and joined ones judged once more."""

from __future__ import annotations

import dataclasses
from typing import Any

from ...backends.namespace import Array, array_namespace, joined, part
from ...backends.spans import end_to_end
from ...backends.trees import record
from ...grids.times import Initial
from ...inverses import Rule
from ..blocks import Blockwise
from ..equation import System
from ..first_guess import first_guess
from ..iterate import Iterate, Options, start_at
from ..iteration import newton
from ..listener import listening
from ..measures import eps_of, judge, magnitudes, slope_terms
from ..slopes import off_slope
from .homotopy import PATIENCE, is_one_interval, lost, newton_on_branch, one_interval
from .loop import carried
from .trajectory import added, kept, together

LINEAR = 32  # the same for iterations of linear convergence
SHRINK = 4


def windowed(system: System, options: Options, window: int) -> Iterate:
    """Solve windows of ``window`` steps or intervals one after the other; the last state is carried on.

    Each window is certified by itself. Where one was certified by its correction alone, the whole
    horizon is judged once more, since an error of one window may grow in the next.
    """
    whole, grid = start_at(system, system.data.guess, options), system.grid
    if window >= grid.length:
        return judged(system, options, *_solved(system, options, whole.active))
    count, rest = divmod(grid.length, window)
    marched = system
    if grid.overlap and rest:  # one shape of window compiles in half the time of two
        marched, count, rest = system.longer(window - rest), count + 1, 0

    def solve_from(total: Iterate, start: Any, steps: int) -> tuple[Iterate, Array]:
        before = Initial(total.y)
        with listening(None):  # a line for each step of each window would be too many
            it, _ = _solved(marched.window(start, steps, before), options, whole.active)
        return dataclasses.replace(
            added(total, it, whole.active), y=before.after(it.y, grid.axis, grid.overlap).y0
        ), it.y

    total = dataclasses.replace(whole, certified=whole.active, y=carried(system).y0)
    total, windows = system.backend.scan(lambda total, i: solve_from(total, i * window, window), total, count)
    pieces = [end_to_end(windows, grid.axis, grid.overlap)]
    if rest:
        total, last = solve_from(total, count * window, rest)
        pieces.append(last)
    y = part(joined(pieces, grid.axis), grid.axis, None, grid.length + grid.overlap)
    return judged(system, options, dataclasses.replace(total, y=y, active=whole.active & False))


def _solved(stretch: System, options: Options, alive: Array) -> tuple[Iterate, Array]:
    """Return what is made of a window, and which elements came to rest in one piece."""
    if is_one_interval(stretch):
        it = one_interval(stretch, options, alive)
        return it, it.certified & (it.steps < options.max_steps)
    return persistent(stretch, start_at(stretch, first_guess(stretch), options, active=alive), options)


def judged(system: System, options: Options, it: Iterate, known: Array | None = None) -> Iterate:
    """Judge the joined trajectory as a whole, unless every point satisfies its equation to roundoff.

    Elements that came to rest in one piece are ``known``.
    """
    is_own = not system.rule.is_builtin  # what a window is told of the points before it may be too little
    doubtful = it.certified & (~it.at_roundoff | is_own)
    doubtful = doubtful if known is None else doubtful & ~known

    def look(it: Iterate) -> Iterate:
        if system.block is not None:
            return _judged_in_blocks(system, options, it, doubtful)
        start = dataclasses.replace(it, active=doubtful, certified=it.certified & ~doubtful, steps=it.steps * 0)
        with listening(None):
            again = newton(system, start, dataclasses.replace(options, max_steps=2))
        return dataclasses.replace(again, steps=it.steps, history=it.history)

    again: Iterate = system.backend.rarely(doubtful, look, it)
    return again


def _judged_in_blocks(system: System, options: Options, it: Iterate, doubtful: Array) -> Iterate:
    y, linear = it.y, Blockwise(system, it.y)
    fy = system.f(*system.shifted(y))

    def look(block: System) -> Array:
        at, here = block.linearise(block.data.guess), block.data.guess
        return array_namespace(y).concat([slope_terms(at), off_slope(block, here, at)], axis=-1)

    rows = linear.rows(look)
    size = magnitudes(system, y, fy, rows[..., :-1])
    belied = ~(system.over_grid(array_namespace(y).max, rows[..., -1:]) <= 1)
    r = system.residual(y, fy)
    found = judge(system, y, size, r, linear.solve(r), options.atol)
    holds = found.finite & (found.at_roundoff | found.is_within(options.tolerances(eps_of(y))[0]))
    belied = belied & holds & ~found.at_roundoff
    return it.updated(doubtful, certified=holds, belied=belied, error=found.error, residual=found.residual)


def is_quadratic(rule: Rule, options: Options) -> bool:
    """Return whether a few steps solve whatever stretch is short enough."""
    return rule.exact and options.is_plain


@record
class Course:
    """The last iterate, of which what has not failed is certified, and what each element has solved, (*B,).

    Attributes
    ----------
    at_once : array
        Which elements came to rest in one piece.
    place, size : array
        How many steps they have solved, and how many they try next.
    """

    it: Iterate
    at_once: Array
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
        return xp.any(course.it.certified & (course.place < length))

    def go_on(course: Course) -> Course:
        tries = course.it.certified & (course.place < length)
        end = xp.minimum(course.place + course.size, zero + length)
        grid = system.data.grid.only(numbers, system.per_element(course.place), system.per_element(end))
        stretch = dataclasses.replace(system, data=dataclasses.replace(system.data, grid=grid))
        limit = xp.where(course.size == 1, options.max_steps, zero + patience)
        fresh = start_at(stretch, course.it.y, options, active=tries)
        it = newton_on_branch(stretch, fresh, dataclasses.replace(options, patience=limit))
        # A small error of a part may grow in what follows: the residual has to certify it, if it is not one step.
        is_whole = (course.place == 0) & (course.size >= length)
        is_sure = it.at_roundoff | (course.size == 1) | is_whole | speaks
        place, it = kept(stretch, dataclasses.replace(it, certified=it.certified & is_sure))
        place = xp.where(tries, xp.clip(place, course.place, end), course.place)
        gained = place - course.place
        stuck = tries & (gained == 0) & (course.size == 1)
        y = xp.where(system.per_element(tries), _with_guess_behind(system, it.y, place), course.it.y)
        known = together(course.it, lost(system, it, options), stuck, tries)
        shorter = xp.maximum(xp.minimum(gained, course.size // 2), xp.maximum(course.size // SHRINK, zero + 1))
        longer = xp.minimum(2 * course.size, zero + length)
        return Course(
            it=dataclasses.replace(known, y=y, certified=course.it.certified & ~stuck),
            at_once=course.at_once | (is_whole & it.certified & (it.steps < limit)),
            place=place,
            size=xp.where(it.certified, longer, shorter),
        )

    no = start.active & False
    first = Course(dataclasses.replace(start, certified=start.active), no, zero, zero + length)
    last: Course = system.backend.while_loop(unfinished, go_on, first)
    return dataclasses.replace(last.it, active=no), last.at_once


def _with_guess_behind(system: System, y: Array, place: Array) -> Array:
    """Return the points that are solved, and behind them the guess, moved to where they end."""
    xp, guess = array_namespace(y), system.data.guess
    points = system.per_element(place) + system.data.grid.overlap
    where = system.numbers(y.shape[system.grid.axis])
    jump = xp.sum(xp.where(where == points - 1, y - guess, 0.0), axis=system.grid.axis, keepdims=True)
    return xp.where(where < points, y, guess + jump)
