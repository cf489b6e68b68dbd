"""Windows that a checkpoint holds: what satisfies the present equation is taken over, the rest is solved again."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator

from ...backends.namespace import Array, array_namespace, dtype_name, joined, part
from ...errors import CheckpointWarning, level_of_caller
from ...linalg.structure import Dense
from ...solution.window import SolvedWindow, within
from ..equation import System
from ..iterate import Iterate, Options, start_at
from ..iteration import newton
from ..steps.full import FULL
from .loop import loop_checked
from .trajectory import Attempt, Trajectory, kept

BYTES = 2**26  # of Jacobians and the like, for which windows are judged together


def resume(trajectory: Trajectory, options: Options, attempt: Attempt) -> tuple[int, ...]:
    """Add the windows from the first on that satisfy the equation, and return the pace of the last.

    Points are judged as those of any solution are: by one evaluation, which gives the residual and the full Newton
    correction. An element that had failed is tried once more in the window where it did, and has to fail again.
    """
    watch, guess, axis = trajectory.watch, trajectory.system.data.guess, trajectory.system.grid.axis
    watch.begin(trajectory.system.grid.length)
    if not watch.takes_over:
        return ()
    shape = tuple(map(int, (*guess.shape[:axis], *guess.shape[axis + 1 :])))
    stored = within(watch.store.stored(shape, dtype_name(guess)), trajectory.left)
    pace: tuple[int, ...] = ()
    for windows in _chunks(stored, trajectory.system):
        holds, pace = _added(trajectory, windows, options, attempt)
        if not holds:
            break
    if stored and trajectory.place < stored[-1].end:
        what = "the rest is solved again" if trajectory.place else "all is solved again"
        warnings.warn(
            f"{watch.store} holds {stored[-1].end} steps; {trajectory.place} from the first on satisfy this equation. "
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
    was_lost = 0
    for window in windows:
        lost = int((~window.converged).sum())
        is_full = sum(w.length for w in chunk) + window.length > most
        if chunk and (lost != was_lost or window.by != chunk[-1].by or is_full):
            yield chunk
            chunk = []
        chunk.append(window)
        if lost != was_lost:
            yield chunk
            chunk = []
        was_lost = lost
    if chunk:
        yield chunk


def _added(
    trajectory: Trajectory, windows: list[SolvedWindow], options: Options, attempt: Attempt
) -> tuple[bool, tuple[int, ...]]:
    """Add what holds of windows that follow each other; return whether all does, and the pace behind it."""
    y, alive, by = _points(trajectory, windows), trajectory.alive, windows[0].by
    stays = alive & trajectory.system.backend.convert(windows[-1].converged, y, alive.dtype)
    stretch = trajectory.ahead(sum(w.length for w in windows))
    count, it = _judged(stretch, y, stays, by, options)
    holds = count == stretch.grid.length
    if not holds and len(windows) > 1:  # an error that grows ends a long stretch before short ones
        for window in windows:
            holds, pace = _added(trajectory, [window], options, attempt)
            if not holds:
                break
        return holds, pace
    fails, any_of = alive & ~stays, array_namespace(y).any
    if bool(any_of(fails)):
        again = attempt(stretch, fails, by)
        if bool(any_of(again.certified & fails)):
            return False, ()
        it = it.taking(fails, again, "broken", "strayed", "error", "residual")
    return holds, _taken(trajectory, windows, dataclasses.replace(it, y=y, certified=stays), count)


def _points(trajectory: Trajectory, windows: list[SolvedWindow]) -> Array:
    """Return the points of windows; of a differential equation also the one before them."""
    import numpy as np

    guess, grid = trajectory.system.data.guess, trajectory.system.grid
    y = trajectory.system.backend.convert(np.concatenate([w.y for w in windows], axis=grid.axis), guess, guess.dtype)
    return joined([trajectory.boundary.y0, y], grid.axis) if grid.overlap else y


def _judged(stretch: System, y: Array, alive: Array, by: str, options: Options) -> tuple[int, Iterate]:
    """Return how many steps hold for all elements that are alive, and what is known of them; 0 where f cannot tell."""
    xp, length = array_namespace(y), stretch.grid.length
    judging = dataclasses.replace(options, patience=0, structure=Dense, step=FULL)
    try:
        if by == "loop" and not stretch.grid.overlap:
            it = loop_checked(stretch, options, y)
            if not bool(xp.any(alive & ~it.certified)):
                return length, it
        until, it = kept(stretch, newton(stretch, start_at(stretch, y, judging, active=alive), judging))
        return int(xp.min(xp.where(alive, until, length))), it
    except Exception:  # f may raise at points that are not of this equation
        return 0, start_at(stretch, stretch.data.guess, options)


def _taken(trajectory: Trajectory, windows: list[SolvedWindow], it: Iterate, count: int) -> tuple[int, ...]:
    """Add so many steps as the windows that they were, and return the pace behind the last."""
    xp, alive, grid, first = array_namespace(it.y), trajectory.alive, trajectory.system.grid, trajectory.place
    pace: tuple[int, ...] = ()
    for window in within(windows, first + count):
        points = part(it.y, grid.axis, window.start - first, window.end - first + grid.overlap)
        steps = xp.where(alive, it.steps * 0 + window.steps, 0)
        trajectory.add(dataclasses.replace(it, y=points, steps=steps), window.by, window.pace, is_resumed=True)
        pace = window.pace
    return pace
