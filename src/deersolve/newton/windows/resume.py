"""Windows that a checkpoint holds: what satisfies the present equation is taken over, the rest is solved again."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterator

from ...backends.namespace import Array, array_namespace, dtype_name, joined, part
from ...errors import CheckpointWarning, level_of_caller
from ...linalg.structure import Dense
from ...solution.window import SolvedWindow, within
from ..equation import System
from ..iteration import Iterate, Options, newton, start_at
from ..steps.full import FULL
from .compiled import loop_checked
from .solved_part import kept
from .trajectory import Walk
from .watch import watcher

BYTES = 2**26  # of Jacobians and the like, for which windows are judged together

Try = Callable[[System, Array, str], Iterate]
"""``attempt(stretch, alive, by)``: what a window gives that is solved once more."""


def resume(walk: Walk, options: Options, attempt: Try) -> tuple[int, ...]:
    """Add the windows from the first on that satisfy the equation, and return the pace of the last.

    Points are judged as those of any solution are: by one evaluation, which gives the residual and the full Newton
    correction. An element that had failed is tried once more in the window where it did, and has to fail again.
    """
    watch = watcher()
    if watch is None:
        return ()
    watch.begin(walk.system.data.grid.length)
    if not watch.takes_over:
        return ()
    guess, axis = walk.system.data.guess, walk.system.grid.axis
    shape = tuple(map(int, (*guess.shape[:axis], *guess.shape[axis + 1 :])))
    stored = within(watch.store.stored(shape, dtype_name(guess)), walk.left)
    pace: tuple[int, ...] = ()
    for windows in _chunks(stored, walk.system):
        added, pace = _added(walk, windows, options, attempt)
        if not added:
            break
    if stored and walk.place < stored[-1].end:
        what = "the rest is solved again" if walk.place else "all is solved again"
        warnings.warn(
            f"{watch.store} holds {stored[-1].end} steps; {walk.place} from the first on satisfy this equation. "
            f"So {what}, and written over. Were f, params, x, y0 or the grid changed since?",
            CheckpointWarning,
            stacklevel=level_of_caller(),
        )
    return pace


def _chunks(windows: list[SolvedWindow], system: System) -> Iterator[list[SolvedWindow]]:
    """Yield windows of one kind that are judged together; one in which an element failed by itself."""
    n, batch = system.sizes
    most = BYTES // (8 * batch * (n * n + 10 * n))
    chunk: list[SolvedWindow] = []
    total, was_lost = 0, 0
    for window in windows:
        lost = int((~window.converged).sum())
        if chunk and (lost != was_lost or window.by != chunk[-1].by or total + window.length > most):
            yield chunk
            chunk, total = [], 0
        chunk.append(window)
        total += window.length
        if lost != was_lost:
            yield chunk
            chunk, total = [], 0
        was_lost = lost
    if chunk:
        yield chunk


def _added(walk: Walk, windows: list[SolvedWindow], options: Options, attempt: Try) -> tuple[bool, tuple[int, ...]]:
    """Add what holds of windows that follow each other; return whether all does, and the pace behind it."""
    y = _points(walk, windows)
    stays = walk.alive & walk.system.backend.convert(windows[-1].converged, y, array_namespace(y).bool)
    stretch = walk.part(sum(w.length for w in windows))
    count, it = _holds(stretch, y, stays, windows[0].by, options)
    if count < stretch.data.grid.length and len(windows) > 1:
        for window in windows:
            added, pace = _added(walk, [window], options, attempt)
            if not added:
                break
        return added, pace
    fails = walk.alive & ~stays
    if bool(array_namespace(y).any(fails)):
        again = attempt(stretch, fails, windows[0].by)
        if bool(array_namespace(y).any(again.certified & fails)):
            return False, ()
        it = _beside(it, again, fails)
    return count == stretch.data.grid.length, _taken(
        walk, windows, dataclasses.replace(it, y=y, certified=stays), count
    )


def _points(walk: Walk, windows: list[SolvedWindow]) -> Array:
    """Return the points of windows; of a differential equation also the one before them."""
    import numpy as np

    guess, grid = walk.system.data.guess, walk.system.data.grid
    y = walk.system.backend.convert(np.concatenate([w.y for w in windows], axis=grid.axis), guess, guess.dtype)
    return joined([walk.boundary.y0, y], grid.axis) if grid.overlap else y


def _holds(stretch: System, y: Array, alive: Array, by: str, options: Options) -> tuple[int, Iterate]:
    """Return how many steps hold for all elements that are alive, and what is known of them; 0 where f cannot tell."""
    try:
        return _judged(stretch, y, alive, by, options)
    except Exception:  # f may raise at points that are not of this equation
        return 0, start_at(stretch, stretch.data.guess, options)


def _judged(stretch: System, y: Array, alive: Array, by: str, options: Options) -> tuple[int, Iterate]:
    xp, length = array_namespace(y), stretch.data.grid.length
    if by == "loop" and not stretch.data.grid.overlap:
        it = loop_checked(stretch, options, y)
        if not bool(xp.any(alive & ~it.certified)):
            return length, it
    judging = dataclasses.replace(options, patience=0, structure=Dense, step=FULL)
    until, it = kept(stretch, newton(stretch, start_at(stretch, y, judging, active=alive), judging))
    return int(xp.min(xp.where(alive, until, length))), it


def _beside(it: Iterate, other: Iterate, who: Array) -> Iterate:
    """Return what is known of some elements from another iterate."""
    xp = array_namespace(it.y)
    names = ("broken", "strayed", "error", "residual")
    return dataclasses.replace(it, **{name: xp.where(who, getattr(other, name), getattr(it, name)) for name in names})


def _taken(walk: Walk, windows: list[SolvedWindow], it: Iterate, count: int) -> tuple[int, ...]:
    """Add so many steps as the windows that they were, and return the pace behind the last."""
    xp, alive, overlap, axis = array_namespace(it.y), walk.alive, walk.system.grid.overlap, walk.system.grid.axis
    pace: tuple[int, ...] = ()
    first = walk.place
    for window in within(windows, first + count):
        points = part(it.y, axis, window.start - first, window.end - first + overlap)
        steps = xp.where(alive, it.steps * 0 + window.steps, 0)
        walk.add(dataclasses.replace(it, y=points, steps=steps), window.by, window.pace, is_resumed=True)
        pace = window.pace
    return pace
