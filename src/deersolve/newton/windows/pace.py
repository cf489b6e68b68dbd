"""How long the next window is: as long as pays, by what the last ones took."""

from __future__ import annotations

import dataclasses

from .solved_part import SHRINK

TRUST = 8  # windows that must not fail before longer ones are tried again
STRETCH = 1024  # steps that the loop takes where windows are short; four times as many each time
SAME = 0.95  # the part of a price that must be undercut
LONGER, SHORTER = 1.15, 0.8  # how many times the Newton steps a window twice, half as long takes, at best
UNIT = 1000  # prices are kept in thousandths


@dataclasses.dataclass
class Pace:
    """The length of the next window.

    A window of w steps that takes k Newton steps costs k (w + overhead), ``overhead`` in steps: what a Newton step
    costs beside its points. Long windows take more Newton steps, short ones pay more overhead; the length moves by
    factors of two to where a step is cheapest. A window that fails halves it, or more; the limit is half of what
    failed last, and doubles with every ``TRUST`` windows that do not.
    """

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

    @classmethod
    def of(cls, window: int, overhead: int, first: int, numbers: tuple[int, ...]) -> Pace:
        """Return the pace that a walk goes on with: the one it had, where that can be one of windows like these."""
        fresh = cls(window, min(first, window), window, overhead)
        if len(numbers) != len(dataclasses.fields(cls)):
            return fresh
        named = zip((field.name for field in dataclasses.fields(cls)), numbers, strict=True)
        given = cls(**dict(named))  # type: ignore[arg-type]  # a flag is 0 or 1
        return given if given.window == window and given.is_possible else fresh

    @property
    def is_possible(self) -> bool:
        """Whether windows have a length, and one that is not beyond what was asked for."""
        size, limit = range(1, max(self.window, self.stretch) + 1), range(1, self.window + 1)
        return self.size in size and self.limit in limit and self.stretch >= STRETCH and min(self.numbers) >= 0

    @property
    def numbers(self) -> tuple[int, ...]:
        """All of it, as integers."""
        return tuple(map(int, dataclasses.astuple(self)))

    def won(self, steps: int, newton: int) -> None:
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

    def lost(self, steps: int, solved: int) -> None:
        """Shrink a window of so many steps, of which so many were solved."""
        self.size = max(min(solved, steps // 2), steps // SHRINK, 1)
        self.limit, self.wins, self.has_lost = max(steps // 2, 1), 0, True
        self.below = self.here = self.above = 0

    def stretched(self) -> int:
        """Return for how many steps the loop takes over, ever more."""
        self.size = self.stretch
        self.stretch = SHRINK * self.stretch
        return self.size

    def _price(self, steps: int, newton: float) -> int:
        return max(int(UNIT * newton * (steps + self.overhead) / max(steps, 1)), 1)
