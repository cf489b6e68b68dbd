"""A batch solved in parts, along its first axis: elements of one rule each, or as many as an estimate has room for."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from typing import Any

from ..backends import backend_of
from ..backends.namespace import Array, array_namespace, joined, padded_behind, part
from ..backends.trees import tree_map
from ..grids.base import Data
from ..grids.times import Initial, TimeGrid
from ..solution.dense import DenseOutput
from ..solution.solution import Solution, Stats
from ..solution.status import numbers
from .grid import Found, trimmed
from .solver import Solver

HELD = 2**17  # numbers of y whose errors are estimated at once


def has_parts(solver: Solver) -> bool:
    """Return whether there is a batch that can be cut: not by a compiler."""
    return solver.data.guess.ndim > 2 and not solver.backend.compiles


def part_of(solver: Solver, rows: list[int]) -> Solver:
    """Return what solves some elements."""
    data, size, n_batch = solver.data, solver.data.guess.shape[0], solver.data.guess.ndim - 2
    index = solver.backend.convert(rows, data.grid.t, array_namespace(data.guess).int64)

    def cut(a: Array, tail: int = 2) -> Array:
        has_rows = a.ndim == n_batch + tail and a.shape[0] == size
        return array_namespace(a).take(a, index, axis=0) if has_rows else a

    grid = TimeGrid(cut(data.grid.t, 1), cut(data.grid.D))
    made = Data(tree_map(cut, data.x), grid, Initial(cut(data.boundary.y0)), cut(data.guess))
    stops = None if solver.stops is None else cut(solver.stops, 1)
    return dataclasses.replace(solver, moments=tree_map(cut, solver.moments), data=made, stops=stops)


def found_of(solver: Solver, found: Found, rows: list[int]) -> Found:
    """Return the grids of some elements."""
    xp = array_namespace(found.y)
    index = solver.backend.convert(rows, found.y, xp.int64)
    return trimmed(solver.backend, tree_map(lambda a: xp.take(a, index, axis=0), found))


def chunks(found: Found) -> list[list[int]]:
    """Return elements in order, so many at a time that y on their grids is HELD numbers."""
    size = found.y.shape[0]
    each = max(HELD * size // math.prod(found.y.shape), 1)
    return [[*range(k, min(k + each, size))] for k in range(0, size, each)]


def sample(found: Found, most: int) -> list[int]:
    """Return some elements, every k-th and those of most steps: y on their grids is at most so many numbers."""
    xp, size = array_namespace(found.y), found.y.shape[0]
    half = max(most * size // math.prod(found.y.shape) // 2, 1)
    steps = xp.max(xp.reshape(found.tried, (size, -1)), axis=-1)
    return sorted({*range(0, size, -(-size // half)), *map(int, numbers(xp.argsort(-steps)[:half]))})


def whole(solver: Solver, parts: list[tuple[list[int], Solution]]) -> Solution:
    """Return one solution of those of parts, with their elements in order."""
    rows, sols = [row for some, _ in parts for row in some], [sol for _, sol in parts]
    xp, t = array_namespace(sols[0].y), solver.problem.t
    places = sorted(range(len(rows)), key=rows.__getitem__)
    order = solver.backend.convert(places, sols[0].y, xp.int64)

    def together(*arrays: Array) -> Array:
        return xp.take(joined(arrays, 0), order, axis=0)

    dense = DenseOutput(*map(together, *_of_one_size([sol.dense for sol in sols])))
    y, status = (together(*(getattr(sol, name) for sol in sols)) for name in ("y", "status"))
    return Solution(y, status, _stats([sol.stats for sol in sols], together), t=t, dense=dense)


def with_sample(sol: Solution, rows: list[int], some: Solution) -> Solution:
    """Return a solution with the estimated error of some elements; the largest of those is a guess for the others."""
    xp, known = array_namespace(sol.y), some.stats.discretisation_error
    place = {row: k for k, row in enumerate(rows)}
    places = [place.get(k, len(rows)) for k in range(sol.y.shape[0])]
    index = backend_of(known).convert(places, known, xp.int64)
    largest = xp.max(known) + 0 * known[:1, ...]
    error = xp.take(joined([known, largest], 0), index, axis=0)
    is_known = padded_behind(index < len(rows), error.ndim) & (error == error)
    return dataclasses.replace(
        sol, stats=dataclasses.replace(sol.stats, discretisation_error=error, is_asymptotic=is_known)
    )


def _of_one_size(outputs: list[DenseOutput]) -> Any:
    """Return times and coefficients of each, filled up to the longest: it stands still at its end."""
    intervals, degrees = (max(dense.coefficients.shape[k] for dense in outputs) for k in (-3, -2))
    for dense in outputs:
        t, c = dense.t, dense.coefficients
        xp, more = array_namespace(c), intervals - c.shape[-3]
        c = joined([c, *[0 * part(c, -2, None, 1)] * (degrees - c.shape[-2])], -2)
        end = xp.sum(part(c, -3, -1, None), axis=-2, keepdims=True)
        still = joined([end, *[0 * end] * (degrees - 1)], -2)
        yield joined([t, *[part(t, -1, -1, None)] * more], -1), joined([c, *[still] * more], -3)


def _stats(parts: list[Stats], together: Any) -> Stats:
    """Return the numbers of all elements."""
    known = {
        name: together(*(getattr(stats, name) for stats in parts)) for name in ("steps", "error", "residual", "history")
    }
    errors = [stats.discretisation_error for stats in parts]
    if not any(error is None for error in errors):
        known |= {
            name: together(*(getattr(s, name) for s in parts)) for name in ("discretisation_error", "is_asymptotic")
        }
    counts = Counter[str]()
    for stats in parts:
        counts[stats.choice] += math.prod(stats.steps.shape)
    told = [text if len(counts) == 1 else f"{count} of {sum(counts.values())} {text}" for text, count in counts.items()]
    implicit = next((s for s in parts if "radau" in s.rule), parts[0])
    return dataclasses.replace(implicit, **known, choice="; ".join(told))
