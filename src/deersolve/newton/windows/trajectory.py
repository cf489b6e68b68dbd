"""A trajectory that is solved window by window: how far it has come, and what is known of it so far."""

from __future__ import annotations

import copy
import dataclasses
import time
from collections.abc import Callable

from ...backends.namespace import Array, array_namespace, joined, part
from ...solution.window import SolvedWindow, Window
from ..equation import System
from ..iterate import Iterate, Options, start_at
from .watch import Watch

Attempt = Callable[[System, Array, str], Iterate]
"""``attempt(stretch, alive, by)``: what "newton" or the "loop" makes of a window, of the elements that are alive."""


class Trajectory:
    """The windows up to ``place``, and the equation behind it.

    Attributes
    ----------
    total : Iterate
        What is known of all windows together; its y is not yet that of the whole.
    place : int
        How many steps or intervals are behind.
    """

    def __init__(self, system: System, options: Options, watch: Watch) -> None:
        guessed = start_at(system, system.data.guess, options)
        self.system, self.watch, self.began = system, watch, time.perf_counter()
        self.total = dataclasses.replace(guessed, certified=guessed.active)
        self.boundary, self.place = system.start(), 0
        overlap = system.grid.overlap
        self.pieces: list[Array] = [part(self.boundary.y0, system.grid.axis, -overlap, None)] if overlap else []
        self.windows: list[Window] = []

    def copy(self) -> Trajectory:
        """Return one that goes its own way from here."""
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
        return int(self.system.grid.length - self.place)

    def goes_on(self) -> bool:
        """Return whether anything is left to be solved."""
        return self.left > 0 and bool(array_namespace(self.alive).any(self.alive))

    def ahead(self, steps: int) -> System:
        """Return the equation of so many steps or intervals from here."""
        return self.system.window(self.place, steps, self.boundary)

    def add(self, it: Iterate, by: str, pace: tuple[int, ...] = (), is_resumed: bool = False) -> None:
        """Add the window that begins here; elements that are not certified have failed."""
        xp, seen, overlap, axis = array_namespace(it.y), self.alive, self.system.grid.overlap, self.system.grid.axis
        self.total = added(self.total, it, seen)
        if it.y.shape[axis] == overlap:
            return
        y = part(it.y, axis, overlap, None)
        window = SolvedWindow(
            start=self.place,
            length=int(y.shape[axis]),
            steps=int(xp.max(xp.astype(seen, it.steps.dtype) * it.steps)),
            by=by,
            total=self.system.grid.length,
            y=y,
            converged=self.alive,
            seconds=time.perf_counter() - self.began,
            resumed=is_resumed,
            pace=pace,
        )
        self.pieces.append(y)
        self.windows.append(window.record)
        self.boundary, self.place = self.boundary.after(it.y, axis, overlap), window.end
        self.watch.tell(window)

    def joined(self) -> Iterate:
        """Return the whole; behind the last window stands the guess, moved to where that ends."""
        pieces, grid = [*self.pieces], self.system.grid
        if self.left:
            pieces.append(part(self.ahead(self.left).data.guess, grid.axis, grid.overlap, None))
        return dataclasses.replace(self.total, y=joined(pieces, grid.axis), windows=tuple(self.windows))


def added(total: Iterate, it: Iterate, seen: Array) -> Iterate:
    """Return what is known after a window more; of the elements in ``seen``, those it did not solve have failed."""
    known = together(total, it, ~it.certified, seen)
    return dataclasses.replace(known, certified=total.certified & it.certified)


def together(total: Iterate, it: Iterate, failed: Array, seen: Array) -> Iterate:
    """Add what a window gave, of the elements in ``seen``, to what is known of those before it."""
    xp = array_namespace(it.y)

    def worst(name: str) -> Array:
        return largest_known(xp.stack([getattr(total, name), getattr(it, name)]), axis=0)

    known = total.updated(
        seen, steps=xp.maximum(total.steps, it.steps), error=worst("error"), residual=worst("residual")
    )
    return dataclasses.replace(
        known.updated(seen & it.certified, history=worst("history")),
        broken=total.broken | (failed & it.broken),
        strayed=total.strayed | (failed & it.strayed),
        belied=total.belied | (seen & it.certified & it.belied),
    )


def largest_known(values: Array, axis: int) -> Array:
    """Return the largest entry that is not NaN, or NaN where there is none."""
    xp = array_namespace(values)
    best = xp.max(xp.where(xp.isnan(values), -xp.inf, values), axis=axis)
    return xp.where(xp.isinf(best) & (best < 0), xp.nan, best)


def kept(system: System, it: Iterate) -> tuple[Array, Iterate]:
    """Return how many steps or intervals each element has solved, and the iterate with the errors of those.

    What is solved from the first point on stands by itself: the equation is causal.
    """
    xp, grid, reached = array_namespace(it.y), system.grid, it.reached
    steps = xp.where(it.certified, grid.length, xp.clip(reached.points - grid.overlap, min=0))
    return steps, it.updated(~it.certified, error=reached.error, residual=reached.residual)
