"""From the points of an axis and the conditions at its ends to its differences."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cached_property, lru_cache, partial
from typing import Any

from ..backends.generic import Backend
from ..backends.namespace import Array, array_namespace, padded
from ..backends.trees import tree_map
from ..errors import mismatch
from .axis import Axis, Basis, Composed, Ends, Placed, Stencil, laid_along
from .conditions import Side
from .fluxes import mirrors, reach_of

FEWEST = 3  # points that a stencil takes
STRAIGHT = (2.0, -1.0, 0.0)
"""The state on a straight line through the first two."""

Rows = tuple[Array, Array, Array]
"""The weights of u before every point, of u there and of u behind it."""


def check_points(s: Array, name: str, fewest: int, backend: Backend, what: str = "points, both ends included") -> None:
    """Raise unless there are so many of them, and they rise."""
    if s.ndim != 1 or s.shape[0] < fewest:
        raise mismatch(name, f"shape (N,) with N >= {fewest}: the {what}", tuple(s.shape))
    if not is_rising(s, backend):
        raise mismatch(name, "finite, strictly increasing points", "a grid that is not")


def is_rising(s: Array, backend: Backend) -> bool:
    """Return whether numbers are finite and rise; of traced ones nobody knows."""
    if not backend.is_concrete(s):
        return True
    numbers = backend.to_numpy(s)
    return bool((numbers[1:] > numbers[:-1]).all()) and bool((abs(numbers) < float("inf")).all())


@dataclasses.dataclass(frozen=True)
class Line(Placed):
    """The points of an axis before there are conditions at its ends.

    ``edges`` is what the user gave; ``places`` are all points; ``points`` are those without the image of the first.
    """

    name: str
    edges: Array
    place: int
    is_ring: bool
    cells: bool
    flux: Any

    def checked(self, backend: Backend) -> Line:
        """Return the line; raise unless it has points, or the edges of cells."""
        what = "edges of cells" if self.cells else "points, both ends included"
        check_points(self.edges, self.name, FEWEST + (self.cells or self.is_ring), backend, what)
        return self

    @cached_property
    def places(self) -> Array:
        """All points: the midpoints of cells."""
        return 0.5 * (self.edges[1:] + self.edges[:-1]) if self.cells else self.edges

    @cached_property
    def points(self) -> Array:
        """The points that are solved for."""
        return self.places[:-1] if self.has_image else self.places

    @cached_property
    def widths(self) -> Array:
        """The distances between the edges, as a column."""
        return (self.edges[1:] - self.edges[:-1])[:, None]

    @cached_property
    def gaps(self) -> Array:
        """The distances between neighbours, (N + 1, 1), with the points beyond both ends."""
        xp, h = array_namespace(self.edges), self.widths
        if self.has_image:
            return xp.concat([h[-1:, :], h], axis=0)
        inner = 0.5 * (h[1:, :] + h[:-1, :]) if self.cells else h
        first, last = [0.5 * (h[:1, :] + h[-1:, :])] * 2 if self.is_ring else [h[:1, :], h[-1:, :]]
        return xp.concat([first, inner, last], axis=0)

    def differences(self) -> tuple[Rows, Rows]:
        """Return the weights of d2/ds2 and of d/ds by central differences."""
        before, behind = self.gaps[:-1, :], self.gaps[1:, :]
        both = before + behind
        width = self.widths if self.cells else 0.5 * both
        down, up = 1 / (width * before), 1 / (width * behind)
        slope = -behind / (before * both), (behind - before) / (before * behind), before / (behind * both)
        return (down, -(down + up), up), slope


def axis_of(line: Line, sides: tuple[Side, Side], rank: int, backend: Backend) -> Axis:
    """Return the axis, laid along its place in arrays with so many axes."""
    closed, place = Closed(line, sides, backend), line.place
    parts = (closed.second, closed.first, closed.free, closed.held, closed.around)
    kind: dict[str, Any] = {"name": line.name, "place": place, "is_ring": line.is_ring, "cells": line.cells}
    kind |= {"gaps": line.gaps, "mirrored": Ends(closed.ghosts[0][0], closed.ghosts[1][0])}
    kind["unfixed"] = tuple([p == 0 == q for p, q in zip(sides[0].a, sides[1].a, strict=True)])
    return Axis(line.points, *tree_map(lambda a: laid_along(a, place, rank), parts), **kind)


class Closed:
    """A line with conditions at both ends: its differences and neighbours, as columns (N, n).

    ``top`` and ``bottom`` are 1 in the first and in the last row, and nowhere in a ring.
    """

    def __init__(self, line: Line, sides: tuple[Side, Side], backend: Backend) -> None:
        """Eliminate the points beyond the ends."""
        self.line, self.stencil = line, partial(Stencil, axis=line.place, is_ring=line.is_ring)
        like, gaps, cells = line.edges, line.gaps, line.cells

        def row(numbers: list[float]) -> Array:
            return backend.convert([numbers], like, like.dtype)

        self.one = 0 * gaps[1:, :] + row([1.0] * len(sides[0].a))
        self.none = 0 * self.one[:1, :]
        self.top, self.bottom = (self.none, self.none) if line.is_ring else _end_rows(self.one)
        outer = zip(sides, (gaps[:1, :], gaps[-1:, :]), strict=True)
        self.ghosts = [ghost_of(side, h, cells, row) for side, h in outer]
        is_held = [row([float(fixed and not cells) for fixed in side.fixes]) for side in sides]
        self.held = Ends(self.top * is_held[0], self.bottom * is_held[1])
        self.free = self.one - self.held.first - self.held.last
        self.second, self.first = map(self._stencil, line.differences())

    def _stencil(self, rows: Rows) -> Stencil:
        """Return the map of three neighbours, with what the conditions say of u beyond the ends."""
        lower, middle, upper = (self.one * r for r in rows)
        top, bottom = self.top * lower[:1, :], self.bottom * upper[-1:, :]
        (p0, p1, q), (r0, r1, t) = self.ghosts
        return self.stencil(
            lower=(1 - self.top) * lower + bottom * r1,
            middle=middle + top * p0 + bottom * r0,
            upper=(1 - self.bottom) * upper + top * p1,
            first=top * q,
            last=bottom * t,
        )

    @property
    def around(self) -> tuple[Stencil | Composed, ...]:
        """The states beside u: those of the cells before and behind, or what is in their place where that is a wall.

        For a flux of the two states beside a face, u at the wall, or beyond it if it ``mirrors``; for one of four
        states u beyond it and, by a straight line, further on.
        """
        flux = self.line.flux
        if flux is None:
            return ()
        share = 1.0 if mirrors(flux) or reach_of(flux) == 2 else 0.5  # half way to the state beyond is the wall
        walls = [(1 - share + share * own, 0.0, share * value) for own, _, value in self.ghosts]
        before, behind = self._neighbours(*walls)
        if reach_of(flux) == 1:
            return before, behind
        further, beyond = self._neighbours(STRAIGHT, STRAIGHT)
        return Composed(further, before), before, behind, Composed(beyond, behind)

    def _neighbours(self, first: Any, last: Any) -> tuple[Stencil, Stencil]:
        """Return u before and behind; past an end a state of weights (of the last u, the one before, given)."""
        one, none, top, bottom = self.one, self.none, self.top, self.bottom
        at, of = [one * top * w for w in first[:2]], [one * bottom * w for w in last[:2]]
        before = self.stencil(one - top, at[0], at[1], top * first[2], none)
        return before, self.stencil(of[1], of[0], one - bottom, none, bottom * last[2])


def _end_rows(one: Array) -> tuple[Array, Array]:
    """Return 1 in the first row, and 1 in the last."""
    xp = array_namespace(one)
    top = xp.concat([one[:1, :], 0 * one[1:, :]], axis=0)
    return top, xp.flip(top, axis=0)


def ghost_of(side: Side, h: Array, cells: bool, row: Callable[..., Array]) -> tuple[Array, Array, Array]:
    """Return p, q, r of the value beyond an end, ``p u_0 + q u_1 + r value``, u_0 next to the end.

    In cells the end is between u and u_0, so that a (u + u_0) / 2 + b (u - u_0) / h = value. Else u_0 is at the end:
    a u_0 + b (u - u_1) / (2 h) = value, and where u_0 itself is given the slope next to it is that of the first gap.
    """
    if cells:
        a, b = row([*side.a]), row([*side.b])
        near, far = a / 2 + b / h, a / 2 - b / h
        return -far / near, 0 * a, 1 / near
    is_given = row([float(fixed) for fixed in side.fixes])
    ratio = row([0.0 if q == 0 else p / q for p, q in zip(side.a, side.b, strict=True)])
    weight = row([0.0 if q == 0 else 1 / q for q in side.b])
    return 2 * is_given - 2 * h * ratio, 1 - 2 * is_given, 2 * h * weight


def basis_of(axis: Axis, n_batch: int, backend: Backend) -> Basis:
    """Return the eigenvectors of d2/ds2 between points where no value is given, with so many axes for a batch."""
    import numpy as np

    second, like = axis.second, axis.points
    parts = (second.lower, second.middle, second.upper, axis.free)
    if not backend.is_concrete(parts):
        raise mismatch(axis.name, "points whose numbers are known when the program is traced", "traced ones")
    numbers = [backend.to_numpy(a).astype(float).reshape(-1, a.shape[-1]) for a in parts]
    columns = [tuple(a[:, k].tobytes() for a in numbers) for k in range(axis.free.shape[-1])]
    made = [eigenvectors(*column, axis.is_ring) for column in (columns[:1] if len(set(columns)) == 1 else columns)]
    arrays = [backend.convert(np.stack(group), like, like.dtype) for group in zip(*made, strict=True)]
    return Basis(*(padded(a, a.ndim + n_batch) for a in arrays))


@lru_cache(maxsize=8)
def eigenvectors(lower: bytes, middle: bytes, upper: bytes, free: bytes, is_ring: bool) -> tuple[Any, Any, Any]:
    """Return to, back and values of a :class:`Basis` for one component; the arguments hold float64."""
    import numpy as np

    low, own, up = (np.frombuffer(a) for a in (lower, middle, upper))
    is_free = np.frombuffer(free) > 0
    T = np.diag(own) + np.diag(up[:-1], 1) + np.diag(low[1:], -1)
    if is_ring:
        T[0, -1], T[-1, 0] = low[0], up[-1]
    coupled = is_free[1:] & is_free[:-1]
    ratio = np.where(coupled, up[:-1], 1.0) / np.where(coupled, low[1:], 1.0)
    root = np.sqrt(np.concatenate([[1.0], np.cumprod(ratio)]))  # root T / root is symmetric
    T = np.where(is_free[:, None] & is_free, T, np.diag(np.full(len(T), 2 * T.min())))
    S = T * root[:, None] / root
    values, Q = np.linalg.eigh(0.5 * (S + S.T))
    return Q.T * root, Q / root[:, None], values
