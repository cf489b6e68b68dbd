"""Where convection outruns diffusion between points that do not resolve u: the place, for a warning.

On a cell with |b| h > 2 D a central difference gives one neighbour a negative weight, and u may oscillate from point to
point. Where u is smooth that does no harm, so that u itself is looked at: what the difference misses of the change of
u over a cell, h^3 u''' / 6, is a third of what the slope between two points differs from the mean of those beside it,
times h.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from ...grids.axis import Axis
from ...grids.base import Data
from ...solution.solution import Solution
from ..equation import System

MISSED = 1e-2  # of the range of u: what a difference may miss over one cell
LEVELS = 64  # of an evolution, spread evenly, are looked at
FLAT = 1e3  # in units of eps |u|: a range of u that is roundoff
FEWEST = 4  # points
NOTHING = 1e-12  # of convection: a diffusion that is none


@dataclasses.dataclass(frozen=True)
class Place:
    """A place where u is not resolved: what is missed there of its range, and the cell Peclet number."""

    at: dict[str, float]
    missed: float
    number: float

    def __str__(self) -> str:
        where = ", ".join(f"{name} = {value:.4g}" for name, value in self.at.items())
        return (
            f"u is not resolved at {where}: in one cell a central difference misses {self.missed:.0%} of the range of "
            f"u, and the cell Peclet number |df/du_s| h / (2 D) is {self.number:.3g}; above 1 u may oscillate from "
            "point to point. Refine or grade the grid there, or in an evolution give the convection as a flux, with "
            "ds.upwind."
        )


@dataclasses.dataclass(frozen=True)
class ProbedAxis:
    """One axis of space; the fields have it in front: (X, ..., n)."""

    name: str
    line: Axis
    place: int  # where it is in a field, from behind
    slope: int  # the signal of f that is the slope along it
    beside: tuple[int, ...]  # those that are the states before and behind

    def turned(self, a: Any, tail: int) -> Any:
        """Return a field (..., X, ...) with so many axes of a point with this axis in front."""
        return np.moveaxis(a, self.place + 1 - tail, 0)


def worst_place(system: System, sol: Solution) -> Place | None:
    """Return where convection is resolved worst, None where all of it is; y has the layout of the solver."""
    backend, grid, y = system.backend, system.data.grid, sol.y
    if not (grid.lines and system.rule.is_builtin and backend.is_concrete((y, sol.status))):
        return None
    levels: Any = [None]
    if grid.marches:
        step = -(-grid.n_points // LEVELS)
        levels = range((grid.n_points - 1) % step, grid.n_points, step)
        y = y[(*(slice(None),) * system.n_batch, slice(levels[0], None, step), ...)]
    with np.errstate(all="ignore"):  # of elements that failed
        u = of_range_1(system, np.asarray(backend.to_numpy(grid.in_space(y, 1))), sol)
        places = [place for axis in axes(grid) for place in _places(system, axis, u, sol.y, levels)]
    return max(places, key=lambda place: place.missed, default=None)


def of_range_1(system: System, u: Any, sol: Solution) -> Any:
    """Return each component by its range, 0 where that is roundoff or the element has failed."""
    over = tuple(range(system.n_batch, u.ndim - 1))
    range_ = np.max(u, axis=over, keepdims=True) - np.min(u, axis=over, keepdims=True)
    least = FLAT * np.finfo(u.dtype).eps * np.max(np.abs(u), axis=over, keepdims=True)
    good = np.asarray(system.backend.to_numpy(sol.converged))[(..., *(None,) * (u.ndim - system.n_batch))]
    is_usable = good & (range_ > least)
    return np.where(is_usable, u / np.where(is_usable, range_, 1.0), 0.0)


def axes(grid: Any) -> list[ProbedAxis]:
    """Return the axes, with the signals that f is given of each."""
    made, behind = [], 1 + len(grid.lines)
    for k, (name, line) in enumerate(grid.lines.items()):
        count = len(line.around)
        beside = (behind, behind + 1) if count == 2 else ()  # limited slopes, of four, are made for steep u
        made.append(ProbedAxis(name, line, k - 1 - len(grid.lines), 1 + k, beside))
        behind += count
    return made


def _places(system: System, axis: ProbedAxis, u: Any, y: Any, levels: Any) -> Iterator[Place]:
    """Return the worst place along one axis, of an evolution at its worst levels and at its last."""
    s = np.asarray(system.backend.to_numpy(axis.line.points), dtype=float)
    if len(s) < FEWEST:
        return
    missed = np.max(_missed(axis.line.is_ring, s, axis.turned(u, 1)), axis=-1)  # (X, *B, T, ...)
    if levels[0] is None:
        missed = np.expand_dims(missed, 1 + system.n_batch)
    worst = np.max(missed, axis=tuple(k for k in range(missed.ndim) if k != 1 + system.n_batch))
    half = len(worst) // 2
    for k in sorted({int(np.argmax(worst)), half + int(np.argmax(worst[half:])), len(worst) - 1}):
        if worst[k] > MISSED:
            at = np.take(missed, k, axis=1 + system.n_batch)
            numbers = _numbers(system, axis, y, levels[k])
            score = np.where((at > MISSED) & (numbers > 1), at, 0.0)
            index = np.unravel_index(int(np.argmax(score)), score.shape)
            if score[index] > 0:
                where = coordinates(system, axis, s, index, levels[k])
                yield Place(where, float(score[index]), float(numbers[index]))


def _missed(is_ring: bool, s: Any, v: Any) -> Any:
    """Return what a central difference misses of the change of v between two points, (X - 1, ...) or on a ring X."""
    h = np.diff(s).reshape(-1, *(1,) * (v.ndim - 1))
    if is_ring:
        h = np.concatenate([h, h[:1]]) if len(h) < len(v) else h
        v = np.concatenate([v, v[:1]])
    d, middle = np.diff(v, axis=0) / h, np.cumsum(h, axis=0) - h / 2
    if is_ring:
        length = np.sum(h, axis=0, keepdims=True)
        d = np.concatenate([d[-1:], d, d[:1]])
        middle = np.concatenate([middle[-1:] - length, middle, middle[:1] + length])
    part = (middle[1:-1] - middle[:-2]) / (middle[2:] - middle[:-2])
    off = d[1:-1] - (1 - part) * d[:-2] - part * d[2:]
    if not is_ring:
        first = d[0] - d[1] - (d[1] - d[2]) * (middle[1] - middle[0]) / (middle[2] - middle[1])
        last = d[-1] - d[-2] - (d[-2] - d[-3]) * (middle[-2] - middle[-1]) / (middle[-3] - middle[-2])
        off = np.concatenate([first[None], off, last[None]])
    return np.abs(off) * h / 3


def _numbers(system: System, axis: ProbedAxis, y: Any, level: int | None) -> Any:
    """Return the cell Peclet number between all points of one level, (X - 1, *B, ...) or on a ring X.

    A neighbour has the weight D d2 + (b - df/du_s) d1, and what a flux adds: the number is what convection takes from
    it by what diffusion gives, above 1 where the weight is negative.
    """
    line, (D, b, _) = axis.line, coefficients(system, axis)
    Js = jacobians(system, y, (axis.slope, *axis.beside), level)
    G1, *beside = (axis.turned(J, 2) for J in Js)
    is_steady = level is None
    G1 = np.sign(D)[..., None] * (b[..., None] * np.eye(G1.shape[-1]) - G1) if is_steady else G1
    ratios = []
    for k, pair in enumerate(((line.second.lower, line.first.lower), (line.second.upper, line.first.upper))):
        second, first, free = (column(system, a, G1.ndim - 1) for a in (*pair, line.free))
        convection = free[..., None] * (G1 * first[..., None, :] + (beside[k] if beside else 0.0))
        ratios.append(_largest_loss(convection, np.abs(D) * second))
    low, up = ratios
    return np.maximum(up, np.roll(low, -1, axis=0)) if line.is_ring else np.maximum(up[:-1], low[1:])


def _largest_loss(convection: Any, diffusion: Any) -> Any:
    """Return the largest eigenvalue of ``-convection / diffusion`` at every point; 0 of an element without numbers."""
    convection = np.where(np.isfinite(convection), convection, 0.0)
    diffusion = np.where(np.isfinite(diffusion), diffusion, 0.0)
    size = np.max(np.abs(convection), axis=(-2, -1))[..., None]
    least = np.where(size > 0, NOTHING * size, 1.0)
    return np.max(np.linalg.eigvals(-convection / np.maximum(diffusion, least)[..., None]).real, axis=-1)


def column(system: System, a: Any, ndim: int) -> Any:
    """Return an array (1, ..., X, n) of a line as (X, 1, ..., n)."""
    return np.asarray(system.backend.to_numpy(a)).reshape(-1, *(1,) * (ndim - 2), a.shape[-1])


def coefficients(system: System, axis: ProbedAxis) -> Any:
    """Return the weights of both derivatives and of u, of (X, *B, ..., n) or with axes of 1."""
    grid = system.data.grid
    ndim = system.n_batch + len(grid.lines) + 1
    a, b, c = grid.transport
    for v in (a, b[[*grid.lines].index(axis.name)], c):
        yield axis.turned(np.asarray(system.backend.to_numpy(v)).reshape(*(1,) * (ndim - v.ndim), *v.shape), 1)


def jacobians(system: System, y: Any, signals: tuple[int, ...], level: int | None = None) -> Any:
    """Return df by some signals as fields, (*B, X, ..., n, n), at one level."""
    if level is None:
        at, Js = system, [J.to_dense() for J in system.jacobians(system.shifted(y))[1]]
    else:
        cut, start = system.backend.slice, max(level - 1, 0)
        data = system.data
        part = Data(
            system.inputs(start, 2), data.grid.window(cut, start, 1), data.boundary, cut(y, start, 2, data.grid.axis)
        )
        at = dataclasses.replace(system, data=part)
        Js = [cut(J.values, level - start, 1, data.grid.axis - 1) for J in at.jacobians(at.shifted(part.guess))[1]]
    for p in signals:
        J = np.asarray(system.backend.to_numpy(at.data.grid.in_space(Js[p], 2)))
        yield J if level is None else np.take(J, 0, axis=system.n_batch)


def coordinates(system: System, axis: ProbedAxis, s: Any, index: Any, level: int | None) -> dict[str, float]:
    """Return where an interval is."""
    grid, to_numpy = system.data.grid, system.backend.to_numpy
    at = {axis.name: float(0.5 * (s[index[0]] + s[min(index[0] + 1, len(s) - 1)]))}
    others = [name for name in grid.lines if name != axis.name]
    for name, place in zip(others, index[len(index) - len(others) :], strict=True):
        at[name] = float(to_numpy(grid.lines[name].points)[place])
    if level is not None:
        at["t"] = float(to_numpy(grid.times)[level])
    return at
