"""Windows whose length follows the equation: what is solved of one is kept, and the next begins behind it."""

from __future__ import annotations

import dataclasses

from .branch import one_interval
from .march import judged, loop, windowed
from .newton import BACKWARD, Iterate, Options, is_paper_form, newton, start_at
from .prefix import PATIENCE, SHRINK, is_quadratic, kept, together
from .progress import listener, listening
from .system import System
from .typing import Array, array_namespace

TRUST = 8  # windows that must not fail before longer ones are tried again
SHORT = 256  # steps of a recurrence for which the loop is cheaper than a window
STRETCH = 1024  # steps that the loop then takes; four times as many each time


def can_slide(system: System, options: Options) -> bool:
    """Return whether Python may look at what a window gave, that says how far it is right, and steps are few."""
    is_short = is_quadratic(system.rule, options) and not is_paper_form(system.rule)
    return is_short and system.backend.is_concrete(system.data)


def sliding(system: System, options: Options, window: int, is_strict: bool = False) -> Iterate:
    """Solve windows of at most ``window`` steps or intervals one after the other.

    Of a window that Newton's method does not finish, the points before the first one that is not solved are kept: the
    equation is causal, so they stand by themselves. The next window is a quarter as long; one that is finished is
    followed by one of twice its length. Where only short windows of a recurrence can be solved, the loop takes over for
    a stretch. An element that fails in the loop, or in a window of one interval, has failed: the others go on.

    Where windows certified by their corrections do not make a whole that is certified, all is done once more and long
    windows must be certified by their residuals.
    """
    asked, options = options, dataclasses.replace(options, patience=min(options.max_steps, PATIENCE))
    whole = start_at(system, system.data.guess, options)
    length, overlap = system.data.grid.length, system.data.grid.overlap
    total = dataclasses.replace(whole, certified=whole.active)
    pieces: list[Array] = []
    boundary, place, pace = system.start(), 0, Pace(window, window, window)
    while place < length and bool(array_namespace(whole.y).any(total.certified)):
        alive, left = total.certified, length - place
        by_loop = not overlap and pace.has_lost and pace.size <= SHORT
        steps = min(pace.stretched() if by_loop else pace.size, left)
        part = system.window(place, steps, boundary)
        if by_loop:
            it = loop(part, options)
        else:
            with listening(listener() if steps == length else None):
                it = newton(part, start_at(part, part.data.guess, options, active=alive), options)
            if not system.backend.is_concrete(it.certified):
                return windowed(system, asked, window)
            it = _by_residual(it) if is_strict and SHORT < steps < length else it
            it = _kept(part, it, alive, asked, pace)
        total = dataclasses.replace(together(total, it, ~it.certified, alive), certified=alive & it.certified)
        if it.y.shape[-2] == overlap:
            continue
        pieces.append(it.y[..., overlap if pieces else 0 :, :])
        boundary = boundary.after(it.y)
        place += it.y.shape[-2] - overlap
    if place < length:
        pieces.append(system.window(place, length - place, boundary).data.guess[..., overlap if pieces else 0 :, :])
    xp = array_namespace(whole.y)
    done = judged(system, options, dataclasses.replace(total, y=xp.concat(pieces, axis=-2)))
    if not is_strict and bool(xp.any(total.certified & ~done.certified)):
        return sliding(system, asked, window, is_strict=True)
    return done


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


def _kept(part: System, it: Iterate, alive: Array, options: Options, pace: Pace) -> Iterate:
    """Return what is solved of a window, and set the pace of the next."""
    xp, steps, overlap = array_namespace(it.y), part.data.grid.length, part.data.grid.overlap
    if steps == 1 and overlap:
        it = one_interval(part, it, alive, options)
    if not bool(xp.any(alive & ~it.certified)):
        pace.won()
        return it
    until, known = kept(part, it)
    count = int(xp.min(xp.where(alive, until, steps)))
    if count == 0 and steps == 1:
        return it
    pace.lost(steps, count)
    return dataclasses.replace(known, y=it.y[..., : count + overlap, :], certified=alive)
