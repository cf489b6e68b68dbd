"""Windows solved one after the other by Python: how far they have come, and what is known of them together."""

from __future__ import annotations

import copy
import dataclasses
import time

from ...backends.namespace import Array, array_namespace, joined, part
from ...solution.window import SolvedWindow, Window
from ..equation import System
from ..iteration import Iterate, Options, start_at
from .solved_part import together
from .watch import watcher


class Walk:
    """The windows up to ``place``, and the equation behind it.

    Attributes
    ----------
    total : Iterate
        What is known of all windows together; its y is not yet that of the whole.
    place : int
        How many steps or intervals are behind.
    """

    def __init__(self, system: System, options: Options) -> None:
        guessed = start_at(system, system.data.guess, options)
        self.system, self.began = system, time.perf_counter()
        self.total = dataclasses.replace(guessed, certified=guessed.active)
        self.boundary, self.place = system.start(), 0
        self.pieces: list[Array] = [self.boundary.y0] if system.data.grid.overlap else []
        self.windows: list[Window] = []

    def copy(self) -> Walk:
        """Return a walk that goes its own way from here."""
        other = copy.copy(self)
        other.pieces, other.windows = [*self.pieces], [*self.windows]
        return other

    @property
    def alive(self) -> Array:
        """The elements that have not failed, (*B,)."""
        return self.total.certified

    @property
    def left(self) -> int:
        """How many steps or intervals there are still to do."""
        return int(self.system.data.grid.length - self.place)

    def goes_on(self) -> bool:
        """Return whether anything is left to be solved."""
        return self.left > 0 and bool(array_namespace(self.alive).any(self.alive))

    def part(self, steps: int) -> System:
        """Return the equation of so many steps or intervals from here."""
        return self.system.window(self.place, steps, self.boundary)

    def add(self, it: Iterate, by: str, pace: tuple[int, ...] = (), is_resumed: bool = False) -> None:
        """Add the window that begins here; elements that are not certified have failed."""
        xp, seen, overlap, axis = array_namespace(it.y), self.alive, self.system.grid.overlap, self.system.grid.axis
        total = together(self.total, it, ~it.certified, seen)
        self.total = dataclasses.replace(total, certified=seen & it.certified)
        if it.y.shape[axis] == overlap:
            return
        y = part(it.y, axis, overlap, None)
        window = SolvedWindow(
            start=self.place,
            length=int(y.shape[axis]),
            steps=int(xp.max(xp.astype(seen, it.steps.dtype) * it.steps)),
            by=by,
            total=self.system.data.grid.length,
            y=y,
            converged=self.alive,
            seconds=time.perf_counter() - self.began,
            resumed=is_resumed,
            pace=pace,
        )
        self.pieces.append(y)
        self.windows.append(window.record)
        self.boundary, self.place = self.boundary.after(it.y, axis), window.end
        watch = watcher()
        if watch is not None:
            watch.tell(window)

    def joined(self) -> Iterate:
        """Return the whole; behind the last window stands the guess, moved to where that ends."""
        pieces, grid = [*self.pieces], self.system.grid
        if self.left:
            pieces.append(part(self.part(self.left).data.guess, grid.axis, grid.overlap, None))
        return dataclasses.replace(self.total, y=joined(pieces, grid.axis), windows=tuple(self.windows))
