"""Windows whose length follows the equation: what is solved of one is kept, and the next begins behind it."""

from __future__ import annotations

import dataclasses
from functools import partial

from ...backends.namespace import Array, array_namespace, part
from ..cost import overhead
from ..equation import System
from ..iteration import Iterate, Options, start_at
from ..listener import listener, listening
from .branch import one_interval
from .compiled import judged, loop, windowed
from .homotopy import newton_on_branch
from .pace import Pace
from .resume import resume
from .solved_part import PATIENCE, is_quadratic, kept
from .trajectory import Walk

SHORT = 256  # steps of a recurrence for which the loop is cheaper than a window
FIRST = 64, 512  # intervals of the first window of a differential equation, at least and at most


def can_slide(system: System, options: Options) -> bool:
    """Return whether Python may look at what a window gave, that says how far it is right, and steps are few."""
    is_short = is_quadratic(system.rule, options) and system.rule.knows_size
    return is_short and system.backend.is_concrete(system.data)


def sliding(system: System, options: Options, window: int) -> Iterate:
    """Solve windows of at most ``window`` steps or intervals one after the other.

    Of a window that Newton's method does not finish, the points before the first one that is not solved are kept: the
    equation is causal, so they stand by themselves, and the next window is shorter. Lengths follow the equation
    (:class:`Pace`), for a differential equation from a short one on. Where only short windows of a recurrence can be
    solved, the loop takes over for a stretch. An element that fails in the loop, or in a window of one interval, has
    failed: the others go on.

    Where windows certified by their corrections do not make a whole that is certified, all is done once more, and
    windows must be certified by their residuals, but for those of a recurrence that are no longer than a loop's.
    """
    patient = dataclasses.replace(options, patience=min(options.max_steps, PATIENCE))
    begun = Walk(system, options)
    beside = overhead(system)
    first = min(max(beside, FIRST[0]), FIRST[1]) if system.data.grid.overlap else window
    pace = Pace.of(window, beside, first, resume(begun, options, partial(_tried, options=patient)))
    for is_strict in (False, True):
        walk = begun.copy()
        if not _slide(walk, patient, dataclasses.replace(pace), is_strict):
            return windowed(system, options, window)
        done = judged(system, patient, walk.joined())
        if not bool(array_namespace(done.y).any(walk.alive & ~done.certified)):
            break
    return done


def _slide(walk: Walk, options: Options, pace: Pace, is_strict: bool) -> bool:
    """Walk to the end; return False where nobody can look at what a window gave."""
    length, overlap = walk.system.data.grid.length, walk.system.data.grid.overlap
    while walk.goes_on():
        by_loop = not overlap and pace.has_lost and pace.size <= SHORT
        steps = min(pace.stretched() if by_loop else pace.size, walk.left)
        stretch = walk.part(steps)
        by = "loop" if by_loop else "newton"
        with listening(listener() if steps == length else None):
            it = _tried(stretch, walk.alive, by, options)
        if not stretch.backend.is_concrete(it.certified):
            return False
        if not by_loop:
            it = _by_residual(it) if is_strict and (1 if overlap else SHORT) < steps < length else it
            it = _kept(stretch, it, walk.alive, pace)
        walk.add(it, by, pace.numbers)
    return True


def _tried(stretch: System, alive: Array, by: str, options: Options) -> Iterate:
    """Return what the loop or Newton's method makes of a window."""
    if by == "loop":
        return loop(stretch, options)
    it = newton_on_branch(stretch, start_at(stretch, stretch.data.guess, options, active=alive), options)
    steps, overlap = stretch.data.grid.length, stretch.data.grid.overlap
    if steps > 1 or not overlap or not stretch.backend.is_concrete(it.certified):
        return it
    return one_interval(stretch, it, alive, options)


def _by_residual(it: Iterate) -> Iterate:
    """Return the window, certified by its residual alone: a small error of one may grow in the others."""
    return dataclasses.replace(it, certified=it.certified & it.at_roundoff)


def _kept(stretch: System, it: Iterate, alive: Array, pace: Pace) -> Iterate:
    """Return what is solved of a window, and set the pace of the next."""
    xp, steps, overlap = array_namespace(it.y), stretch.data.grid.length, stretch.data.grid.overlap
    if not bool(xp.any(alive & ~it.certified)):
        pace.won(steps, int(xp.max(xp.where(alive, it.steps, 0))))
        return it
    until, known = kept(stretch, it)
    count = int(xp.min(xp.where(alive, until, steps)))
    if count == 0 and steps == 1:
        return it
    pace.lost(steps, count)
    unknown = xp.full_like(it.history, xp.nan)  # it did not come to its end
    return dataclasses.replace(
        known, y=part(it.y, stretch.data.grid.axis, None, count + overlap), certified=alive, history=unknown
    )
