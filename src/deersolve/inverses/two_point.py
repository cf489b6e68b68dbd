"""First-order systems u' = f with conditions on both ends, by the trapezoidal rule."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from operator import add
from typing import Any

from ..backends import backend_of
from ..backends.namespace import Array, array_namespace
from ..grids.interval import Interval, Values
from ..linalg.banded import linked, linked_transposed, linking
from ..linalg.structure import Dense, Diagonal, Structure
from .base import Rule
from .intervals import early, late, mean, rise, sides, stacked
from .quadrature import quadrature_defect
from .registration import register

Solver = Callable[[Array], Array]
SINGULAR = 1e-2  # what rounding errors may be beside the right-hand side of the linearised equation


@register("ddx.twopoint", structures=(Dense, Diagonal), exact=True)
class TwoPoint(Rule):
    """Row 0 holds the conditions, row i + 1 is ``D_i (f_i + f_{i+1}) / 2 - (u_{i+1} - u_i)``.

    Conditions that are a function stand behind the last point of f; row 0 is

        unit (f_N + value - first u_0 - last u_{N-1}).

    With G at every point interval i links two neighbours, and row 0 links the ends:

        (D_i G_i / 2 - I) delta_i + (D_i G_{i+1} / 2 + I) delta_{i+1} = r_{i+1}.

    References
    ----------
    U. M. Ascher, R. M. M. Mattheij, R. D. Russell, "Numerical Solution of Boundary Value Problems for Ordinary
    Differential Equations", SIAM, 1995, chapter 5.
    """

    order: int | None = 2

    def residual(self, y: Array, fy: Array, *, grid: Interval, boundary: Values, **kw: Any) -> Array:
        """Return what the conditions and the rule miss."""
        met = _of_ends(grid.first, grid.last, y[..., :1, :], y[..., -1:, :])
        at_points, behind = _split(grid, fy)
        return stacked(grid.unit * (behind + boundary.value - met), grid.D * mean(at_points) - rise(y))

    def magnitude(self, y: Array, fy: Array, *, grid: Interval, boundary: Values) -> Array:
        """Return the size of the terms of each row, in the conditions for the largest u: at the ends it may be 0."""
        xp = array_namespace(y)
        met = xp.max(y, axis=-2, keepdims=True) @ xp.matrix_transpose(grid.sizes)
        at_points, behind = _split(grid, fy)
        steps = grid.D * mean(at_points) + (late(y) + early(y))
        return stacked(grid.unit * (behind + xp.abs(boundary.value) + met), steps)

    def defect(self, y: Array, fy: Array, *, grid: Interval, boundary: Values, **kw: Any) -> tuple[Array, Array] | None:
        """Return the residual of y in the quadrature of 4th order, and its doubts."""
        return quadrature_defect(y, _split(grid, fy)[0], grid.D)

    def solve(self, Gs: tuple[Structure, ...], r: Array, *, grid: Interval, boundary: Values) -> Array:
        """Return delta by one system that links neighbours and the two ends."""
        return linked(*_links(grid, Gs, r), r)

    def solver(self, Gs: tuple[Structure, ...], like: Array, *, grid: Interval, boundary: Values) -> Solver:
        """Return the same as a function of r, which factors the matrix once."""
        return linking(*_links(grid, Gs, like), like)

    def transpose(self, Gs: tuple[Structure, ...], c: Array, *, grid: Interval, boundary: Values) -> Array:
        """Return u by the transposed system."""
        return linked_transposed(*_links(grid, Gs, c), c)

    def determines(self, Gs: tuple[Structure, ...], like: Array, *, grid: Interval, boundary: Values) -> Array:
        """Return where rounding errors of the products in ``A delta = v`` are small beside v, (*B,); v is about 1."""
        xp, eps = array_namespace(like), float(array_namespace(like).finfo(like.dtype).eps)
        links = _links(grid, Gs, like)
        size = xp.abs(linked(*links, _wave(like)))
        E, F, first, last = map(xp.abs, links)
        steps = (E @ early(size)[..., None] + F @ late(size)[..., None])[..., 0]
        conditions = _of_ends(first, last, size[..., :1, :], size[..., -1:, :])
        terms = xp.max(stacked(conditions, steps), axis=(-2, -1))
        return xp.isfinite(terms) & (eps * terms <= SINGULAR)


def _links(grid: Interval, Gs: tuple[Structure, ...], like: Array) -> tuple[Array, Array, Array, Array]:
    """Return the blocks E, F (*B, N - 1, n, n) of every interval, and those of the conditions, (*B, n, n)."""
    xp, N, dense = array_namespace(like), grid.n_points, [G.to_dense() for G in Gs]
    G = reduce(add, dense)[..., :N, :, :]  # at the points the signals are the same
    ahead, behind = sides(Dense(G), grid.D)
    given = [xp.sum(g[..., N:, :, :], axis=-3) for g in dense]  # behind the last point; of no rows: 0
    first, last = (xp.broadcast_to(a, b.shape) + b for a, b in ((grid.first, given[0]), (grid.last, given[-1])))
    unit = xp.matrix_transpose(grid.unit)
    return -behind.to_dense(), ahead.to_dense(), unit * first, unit * last


def _split(grid: Interval, fy: Array) -> tuple[Array, Array]:
    """Return f at the points, and the sum of what stands behind the last one, (*B, 1, n), 0 if nothing does."""
    N = grid.n_points
    return fy[..., :N, :], array_namespace(fy).sum(fy[..., N:, :], axis=-2, keepdims=True)


def _of_ends(first: Array, last: Array, u_first: Array, u_last: Array) -> Array:
    """Return ``first u_0 + last u_{N-1}``, (*B, 1, n)."""
    xp = array_namespace(u_first)
    return u_first @ xp.matrix_transpose(first) + u_last @ xp.matrix_transpose(last)


def _wave(like: Array) -> Array:
    """Return numbers of size 1 without a pattern, of the shape of ``like``."""
    xp, where = array_namespace(like), backend_of(like).placement(like)
    rows, columns = (xp.astype(xp.arange(size, device=where), like.dtype) for size in like.shape[-2:])
    wave = xp.sin(1.0 + 1.7 * rows[:, None] + 0.9 * columns[None, :])
    return xp.broadcast_to(wave, like.shape)
