"""How long the next window is: of one length, or as long as pays, by what the last ones took."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, Self

from ...backends.namespace import Array, array_namespace, part
from ..equation import System
from ..iterate import Iterate
from .compiled import SHRINK
from .trajectory import kept

STRETCHES = 100  # of the horizon, each of which is lost as a whole where nobody sees its windows
LEAST = 1024  # steps or intervals of one: each costs some milliseconds beside the work
TRUST = 8  # windows that must not fail before longer ones are tried again
SHORT = 256  # steps of a recurrence for which the loop is cheaper than a window
STRETCH = 1024  # steps that the loop takes where windows are short; four times as many each time
SAME = 0.95  # the part of a price that must be undercut
LONGER, SHORTER = 1.15, 0.8  # how many times the Newton steps a window twice, half as long takes, at best
UNIT = 1000  # prices are kept in thousandths


def stretch_of(length: int, window: int = 1) -> int:
    """Return the length of stretches of whole windows where nobody sees those: short, but worth what each costs."""
    least = max(-(-length // STRETCHES), LEAST)
    return -(-least // window) * window


@dataclasses.dataclass(frozen=True)
class Fixed:
    """Windows of one length, solved by one method, and kept as they are."""

    size: int
    by: str
    numbers: ClassVar[tuple[int, ...]] = ()

    def following(self, left: int) -> tuple[int, str]:
        """Return how long the next window is, and by what it is solved."""
        return min(self.size, left), self.by

    def kept(self, stretch: System, it: Iterate, alive: Array, by: str) -> Iterate:
        """Return the window."""
        return it


@dataclasses.dataclass
class Pace:
    """Windows as long as pays.

    A window of w steps that takes k Newton steps costs k (w + overhead), ``overhead`` in steps: what a Newton step
    costs beside its points. Long windows take more Newton steps, short ones pay more overhead; the length moves by
    factors of two to where a step is cheapest. A window that fails halves it, or more; the limit is half of what
    failed last, and doubles with every ``TRUST`` windows that do not.
    """

    trusted: ClassVar[int] = 1  # the longest window of which a small correction is trusted after a whole that failed

    window: int
    size: int
    limit: int
    overhead: int
    below: int = 0  # the price of a step in windows half as long, of this length and twice as long; 0 if not known
    here: int = 0
    above: int = 0
    wins: int = 0
    has_lost: bool = False
    stretch: int = STRETCH

    def resumed(self, numbers: tuple[int, ...]) -> Self:
        """Return the pace that a march goes on with: the one it had, where that can be one of windows like these."""
        if len(numbers) != len(self.numbers):
            return self
        named: dict[str, Any] = dict(zip((field.name for field in dataclasses.fields(self)), numbers, strict=True))
        before = dataclasses.replace(self, **named)
        return before if before.window == self.window and before._is_possible else self

    @property
    def numbers(self) -> tuple[int, ...]:
        """All of it, as integers."""
        return tuple(map(int, dataclasses.astuple(self)))

    @property
    def _is_possible(self) -> bool:
        """Whether windows have a length, and one that is not beyond what was asked for."""
        size, limit = range(1, max(self.window, self.stretch) + 1), range(1, self.window + 1)
        return self.size in size and self.limit in limit and self.stretch >= STRETCH and min(self.numbers) >= 0

    def following(self, left: int) -> tuple[int, str]:
        """Return how long the next window is, with so many steps left, and by what it is solved."""
        return min(self.size, left), "newton"

    def kept(self, stretch: System, it: Iterate, alive: Array, by: str) -> Iterate:
        """Return what is solved of a window, and set the length of the next."""
        if by == "loop":
            return it
        xp, steps, grid = array_namespace(it.y), stretch.grid.length, stretch.grid
        if not bool(xp.any(alive & ~it.certified)):
            self._won(steps, int(xp.max(xp.where(alive, it.steps, 0))))
            return it
        until, known = kept(stretch, it)
        count = int(xp.min(xp.where(alive, until, steps)))
        if count == 0 and steps == 1:
            return it
        self._lost(steps, count)
        y = part(it.y, grid.axis, None, count + grid.overlap)
        unknown = xp.full_like(it.history, xp.nan)  # it did not come to its end
        return dataclasses.replace(known, y=y, certified=alive, history=unknown)

    def _won(self, steps: int, newton: int) -> None:
        """Move to where a step is cheaper, after a window of so many steps that took so many Newton steps."""
        self.wins += 1
        if self.wins % TRUST == 0:
            self.limit = min(2 * self.limit, self.window)
            self.above = 0
        if steps < self.size:
            return
        self.here = self._price(steps, newton)
        longer = min(2 * self.size, self.limit)
        up = self.above or self._price(longer, LONGER * newton)
        down = self.below or self._price(steps // 2, SHORTER * newton)
        if longer > self.size and up < SAME * self.here and up <= down:
            self.size, self.below, self.here, self.above = longer, self.here, self.above, 0
        elif self.size > 1 and down < SAME * self.here:
            self.size, self.below, self.here, self.above = self.size // 2, 0, self.below, self.here

    def _lost(self, steps: int, solved: int) -> None:
        """Shrink a window of so many steps, of which so many were solved."""
        self.size = max(min(solved, steps // 2), steps // SHRINK, 1)
        self.limit, self.wins, self.has_lost = max(steps // 2, 1), 0, True
        self.below = self.here = self.above = 0

    def _price(self, steps: int, newton: float) -> int:
        return max(int(UNIT * newton * (steps + self.overhead) / max(steps, 1)), 1)


class LoopingPace(Pace):
    """The same of a recurrence: where only short windows can be solved, the loop takes over, ever longer."""

    trusted = SHORT

    def following(self, left: int) -> tuple[int, str]:
        """Return how long the next window is, with so many steps left, and by what it is solved."""
        if not (self.has_lost and self.size <= SHORT):
            return super().following(left)
        self.size = self.stretch
        self.stretch = SHRINK * self.stretch
        return min(self.size, left), "loop"
