"""The march over a trajectory, window after window; how long they are follows the equation."""

from __future__ import annotations

import dataclasses

from ...backends.namespace import Array, array_namespace
from ..cost import overhead
from ..equation import System
from ..first_guess import first_guess
from ..iterate import Iterate, Options, start_at
from ..listener import listener, listening
from .compiled import is_quadratic, judged, windowed
from .homotopy import PATIENCE, is_one_interval, newton_on_branch, one_interval
from .loop import loop
from .pace import Fixed, LoopingPace, Pace
from .resume import resume
from .trajectory import Attempt, Trajectory
from .watch import Watch

FIRST = 64, 512  # intervals of the first window of a differential equation, at least and at most


class UnseenError(Exception):
    """Nobody can look at what a window gave: its numbers are not known yet."""


def march(trajectory: Trajectory, attempt: Attempt, lengths: Fixed | Pace) -> Trajectory:
    """Solve window after window to the end, or until no element is left that has not failed."""
    while trajectory.goes_on():
        steps, by = lengths.following(trajectory.left)
        stretch = trajectory.ahead(steps)
        with listening(listener() if steps == trajectory.system.grid.length else None):
            it = attempt(stretch, trajectory.alive, by)
        if not stretch.backend.is_concrete(it.certified):
            raise UnseenError
        trajectory.add(lengths.kept(stretch, it, trajectory.alive, by), by, lengths.numbers)
    return trajectory


def can_follow(system: System, options: Options) -> bool:
    """Return whether Python may look at what a window gave, that says how far it is right, and steps are few."""
    is_short = is_quadratic(system.rule, options) and system.rule.knows_size
    return is_short and not system.backend.compiles and system.backend.is_concrete(system.data)


def adaptive(system: System, options: Options, window: int, watch: Watch) -> Iterate:
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

    def attempt(stretch: System, alive: Array, by: str) -> Iterate:
        if by == "loop":
            return loop(stretch, patient)
        if is_one_interval(stretch):
            return one_interval(stretch, patient, alive)
        return newton_on_branch(stretch, start_at(stretch, first_guess(stretch), patient, active=alive), patient)

    begun = Trajectory(system, options, watch)
    pace = _pace(system, window).resumed(resume(begun, options, attempt))

    def strict(stretch: System, alive: Array, by: str) -> Iterate:
        it = attempt(stretch, alive, by)
        is_trusted = by == "loop" or not pace.trusted < stretch.grid.length < system.grid.length
        return it if is_trusted else dataclasses.replace(it, certified=it.certified & it.at_roundoff)

    for tried in (attempt, strict):
        try:
            trajectory = march(begun.copy(), tried, dataclasses.replace(pace))
        except UnseenError:
            return windowed(system, options, window)
        done = judged(system, patient, trajectory.joined())
        if not bool(array_namespace(done.y).any(trajectory.alive & ~done.certified)):
            break
    return done


def _pace(system: System, window: int) -> Pace:
    """Return the lengths to begin with: of a differential equation short ones."""
    beside = overhead(system)
    if not system.grid.overlap:
        return LoopingPace(window, window, window, beside)
    return Pace(window, min(max(beside, FIRST[0]), FIRST[1], window), window, beside)
