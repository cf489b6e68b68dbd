"""Windows whose length follows the equation: what is solved of one is kept, and the next begins behind it."""

from __future__ import annotations

import dataclasses
from functools import partial

from .branch import one_interval
from .march import judged, loop, windowed
from .newton import BACKWARD, Iterate, Options, is_paper_form, newton, start_at
from .prefix import PATIENCE, SHRINK, is_quadratic, kept
from .progress import listener, listening
from .resume import resume
from .system import System
from .typing import Array, array_namespace
from .walk import Walk

TRUST = 8  # windows that must not fail before longer ones are tried again
SHORT = 256  # steps of a recurrence for which the loop is cheaper than a window
STRETCH = 1024  # steps that the loop then takes; four times as many each time


def can_slide(system: System, options: Options) -> bool:
    """Return whether Python may look at what a window gave, that says how far it is right, and steps are few."""
    is_short = is_quadratic(system.rule, options) and not is_paper_form(system.rule)
    return is_short and system.backend.is_concrete(system.data)


def sliding(system: System, options: Options, window: int) -> Iterate:
    """Solve windows of at most ``window`` steps or intervals one after the other.

    Of a window that Newton's method does not finish, the points before the first one that is not solved are kept: the
    equation is causal, so they stand by themselves. The next window is a quarter as long; one that is finished is
    followed by one of twice its length. Where only short windows of a recurrence can be solved, the loop takes over for
    a stretch. An element that fails in the loop, or in a window of one interval, has failed: the others go on.

    Where windows certified by their corrections do not make a whole that is certified, all is done once more and long
    windows must be certified by their residuals.
    """
    patient = dataclasses.replace(options, patience=min(options.max_steps, PATIENCE))
    begun = Walk(system, options)
    pace = Pace.of(window, resume(begun, options, partial(_tried, options=patient)))
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
        part = walk.part(steps)
        by = "loop" if by_loop else "newton"
        with listening(listener() if steps == length else None):
            it = _tried(part, walk.alive, by, options)
        if not part.backend.is_concrete(it.certified):
            return False
        if not by_loop:
            it = _by_residual(it) if is_strict and SHORT < steps < length else it
            it = _kept(part, it, walk.alive, pace)
        walk.add(it, by, pace.numbers)
    return True


def _tried(part: System, alive: Array, by: str, options: Options) -> Iterate:
    """Return what the loop or Newton's method makes of a window."""
    if by == "loop":
        return loop(part, options)
    it = newton(part, start_at(part, part.data.guess, options, active=alive), options)
    steps, overlap = part.data.grid.length, part.data.grid.overlap
    if steps > 1 or not overlap or not part.backend.is_concrete(it.certified):
        return it
    return one_interval(part, it, alive, options)


def _by_residual(it: Iterate) -> Iterate:
    """Return the window, certified by its residual alone: a small error of one may grow in the others."""
    eps = float(array_namespace(it.y).finfo(it.y.dtype).eps)
    return dataclasses.replace(it, certified=it.certified & (it.residual <= BACKWARD * eps))


@dataclasses.dataclass
class Pace:
    """How long the next window is: half or less of one that failed, twice one that did not, up to a limit.

    The limit is half of what failed last, and doubles with every ``TRUST`` windows that do not.
    """

    window: int
    size: int
    limit: int
    wins: int = 0
    has_lost: bool = False
    stretch: int = STRETCH

    @classmethod
    def of(cls, window: int, numbers: tuple[int, ...]) -> Pace:
        """Return the pace that a walk goes on with: the one it had, where its windows had the same limit."""
        if numbers[:1] != (window,):
            return cls(window, window, window)
        _, size, limit, wins, has_lost, stretch = numbers
        return cls(window, size, limit, wins, bool(has_lost), stretch)

    @property
    def numbers(self) -> tuple[int, ...]:
        """All of it, as integers."""
        return tuple(map(int, dataclasses.astuple(self)))

    def won(self) -> None:
        """Grow."""
        self.wins += 1
        if self.wins % TRUST == 0:
            self.limit = min(2 * self.limit, self.window)
        self.size = min(2 * self.size, self.limit)

    def lost(self, steps: int, solved: int) -> None:
        """Shrink a window of so many steps, of which so many were solved."""
        self.size = max(min(solved, steps // 2), steps // SHRINK, 1)
        self.limit, self.wins, self.has_lost = max(steps // 2, 1), 0, True

    def stretched(self) -> int:
        """Return for how many steps the loop takes over, ever more."""
        self.size = self.stretch
        self.stretch = SHRINK * self.stretch
        return self.size


def _kept(part: System, it: Iterate, alive: Array, pace: Pace) -> Iterate:
    """Return what is solved of a window, and set the pace of the next."""
    xp, steps, overlap = array_namespace(it.y), part.data.grid.length, part.data.grid.overlap
    if not bool(xp.any(alive & ~it.certified)):
        pace.won()
        return it
    until, known = kept(part, it)
    count = int(xp.min(xp.where(alive, until, steps)))
    if count == 0 and steps == 1:
        return it
    pace.lost(steps, count)
    unknown = xp.full_like(it.history, xp.nan)  # it did not come to its end
    return dataclasses.replace(known, y=it.y[..., : count + overlap, :], certified=alive, history=unknown)
