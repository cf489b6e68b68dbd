"""Where a solve met numbers that are not finite, and in what: looked for after it failed, at the y that it returned."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from ...backends.namespace import Array, part
from ...solution.solution import Solution
from ...solution.status import Status
from ..equation import System
from ..memory import bytes_of, steps_within
from ..methods import MEMORY


def first_nonfinite(sol: Solution, system: System, y: Array) -> str:
    """Return a sentence on the first element that is NONFINITE: the first point, and whether f, its Jacobian or ...

    ``y`` is the solution as the solver has it. Of a trajectory the points before are right, so that the first one says
    more than any other.
    """
    backend = system.backend
    codes = backend.to_numpy(sol.status).reshape(-1)
    failed = [k for k, code in enumerate(codes) if int(code) == int(Status.NONFINITE)]
    if not failed:
        return ""
    shape, number = tuple(sol.status.shape), failed[0]
    with backend.quiet(), backend.frozen():
        parts = _parts(system, backend.without_gradient(y))
        found = next((made for part in parts if (made := _found(*part, number)) is not None), None)
    if found is None:
        return "The step from the last y overflowed. "
    what, index = found
    place = tuple(map(int, np.unravel_index(number, shape)))
    who = f"of element {place} " if len(codes) > 1 else ""
    return f"First, {who}{what}{_place(sol, system, number, index)}. "


def _parts(system: System, y: Array) -> Iterator[tuple[int, System]]:
    """Yield the equation at y, in pieces that are linearised within the memory of a solve, with their first points."""
    whole = dataclasses.replace(system, data=dataclasses.replace(system.data, guess=y))
    grid = system.data.grid
    if not system.marches:
        yield 0, whole
        return
    size = steps_within(bytes_of(MEMORY), y, grid) or grid.length
    for start in range(0, grid.length, size):
        history = (
            whole.start().after(part(y, grid.axis, None, start + grid.overlap), grid.axis, grid.overlap)
            if start
            else whole.start()
        )
        yield start, whole.window(start, min(size, grid.length - start), history)


def _found(start: int, part: System, number: int) -> tuple[str, tuple[int, ...]] | None:
    """Return what is not finite of an element, and the index of the first point and component where it is not."""
    y, backend, rank = part.data.guess, part.backend, part.data.guess.ndim - part.n_batch

    def first(values: Array, *, axes: int = rank) -> tuple[int, ...] | None:
        numbers = backend.to_numpy(values)
        own = numbers.shape[-axes:]
        numbers = np.broadcast_to(numbers, (*y.shape[: part.n_batch], *own)).reshape(-1, *own)
        places = np.argwhere(~np.isfinite(numbers[number]))
        return (start + int(places[0][0]), *map(int, places[0][1:])) if len(places) else None

    place = first(y)
    if place is not None:
        return "f is not finite", place  # in the loop of a recurrence f is y
    ys = part.shifted(y)
    place = first(part.f(*ys))
    if place is not None:
        return "f is not finite", place
    at = part.linearise(y)
    for J in at.Gs:
        place = first(J.values, axes=rank - 1 + J.tail)
        if place is not None:
            return "the Jacobian of f is not finite, where f is,", (*place[: rank - 1], _row(place[rank - 1 :]))
    delta = part.correction(at.Gs, y, at.ys, at.fy)[1]
    place = first(delta)
    return None if place is None else ("the linear solve is not finite, where f and its Jacobian are,", place)


def _row(tail: tuple[int, ...]) -> int:
    """Return the row of an entry of what a structure stores: (i, j), (i,), or (block, i, j)."""
    return tail[0] if len(tail) < 3 else 0


def _place(sol: Solution, system: System, number: int, index: tuple[int, ...]) -> str:
    """Return words on a point: its time, its place in space, or its number."""
    grid, backend = system.data.grid, system.backend
    *point, component = grid.shown(index)
    axes = {name: getattr(sol, name) for name in ("t", "s", "r", "q") if getattr(sol, name) is not None}
    words = []
    for (name, points), k in zip(axes.items(), point, strict=False):
        values = backend.to_numpy(points)
        if k >= values.shape[-1]:
            return " in the conditions at the ends"
        row = np.broadcast_to(values, (*sol.status.shape, values.shape[-1])).reshape(-1, values.shape[-1])[number]
        words.append(f"{name} = {row[k]:.6g}")
    words = words or [f"point {tuple(map(int, point))}" if len(point) > 1 else f"step {point[0]}"]
    return f" at {', '.join(words)}" + (f" in component {component}" if sol.y.shape[-1] > 1 else "")
