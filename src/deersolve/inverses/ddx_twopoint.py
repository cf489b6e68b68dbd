"""First-order systems u' = f with conditions on both ends, by the trapezoidal rule."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from operator import add
from typing import Any, ClassVar

from ..backends import backend_of
from ..backends.namespace import Array, array_namespace
from ..grids.span import Given, Span
from ..linalg.banded import linked, linked_transposed, linking
from ..linalg.structure import Dense, Diagonal, Structure, identity
from ._base import Rule, register
from ._quadrature import quadrature_defect

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

    order: ClassVar[int | None] = 2

    def residual(self, y: Array, fy: Array, *, grid: Span, boundary: Given, **kw: Any) -> Array:
        """Return what the conditions and the rule miss."""
        xp = array_namespace(y)
        met = _at(y, 0) @ xp.matrix_transpose(grid.first) + _at(y, -1) @ xp.matrix_transpose(grid.last)
        steps = _means(grid, fy) - (y[..., 1:, :] - y[..., :-1, :])
        return _stacked(grid.unit * (_conditions(grid, fy) + boundary.value - met), steps)

    def magnitude(self, y: Array, fy: Array, *, grid: Span, boundary: Given) -> Array:
        """Return the size of the terms of each row, in the conditions for the largest u: at the ends it may be 0."""
        xp = array_namespace(y)
        met = xp.max(y, axis=-2, keepdims=True) @ xp.matrix_transpose(grid.sizes)
        steps = _means(grid, fy) + y[..., 1:, :] + y[..., :-1, :]
        return _stacked(grid.unit * (_conditions(grid, fy) + xp.abs(boundary.value) + met), steps)

    def defect(self, y: Array, fy: Array, *, grid: Span, boundary: Given, **kw: Any) -> tuple[Array, Array] | None:
        """Return the residual of y in the quadrature of 4th order, and its doubts."""
        return quadrature_defect(y, fy[..., : grid.n_points, :], grid.D)

    def solve(self, Gs: tuple[Structure, ...], r: Array, *, grid: Span, boundary: Given) -> Array:
        """Return delta by one system that links neighbours and the two ends."""
        return linked(*_links(grid, Gs, r), r)

    def solver(
        self, Gs: tuple[Structure, ...], like: Array, *, grid: Span, boundary: Given
    ) -> Callable[[Array], Array]:
        """Return the same as a function of r, which factors the matrix once."""
        return linking(*_links(grid, Gs, like), like)

    def transpose(self, Gs: tuple[Structure, ...], c: Array, *, grid: Span, boundary: Given) -> Array:
        """Return u by the transposed system."""
        return linked_transposed(*_links(grid, Gs, c), c)

    def determines(self, Gs: tuple[Structure, ...], like: Array, *, grid: Span, boundary: Given) -> Array:
        """Return where rounding errors of the products in ``A delta = v`` are small beside v, (*B,); v is about 1."""
        xp, eps = array_namespace(like), float(array_namespace(like).finfo(like.dtype).eps)
        E, F, first, last = _links(grid, Gs, like)
        size = xp.abs(linked(E, F, first, last, _wave(like)))
        E, F, first, last = map(xp.abs, (E, F, first, last))
        steps = (E @ size[..., :-1, :, None] + F @ size[..., 1:, :, None])[..., 0]
        ends = _at(size, 0) @ xp.matrix_transpose(first) + _at(size, -1) @ xp.matrix_transpose(last)
        terms = xp.max(_stacked(ends, steps), axis=(-2, -1))
        return xp.isfinite(terms) & (eps * terms <= SINGULAR)


def _links(grid: Span, Gs: tuple[Structure, ...], like: Array) -> tuple[Array, Array, Array, Array]:
    """Return the blocks E, F (*B, N - 1, n, n) of every interval, and those of the conditions, (*B, n, n)."""
    xp, N, dense = array_namespace(like), grid.n_points, [G.to_dense() for G in Gs]
    eye, half = identity(like, like.shape[-1], like.ndim + 1), grid.D[..., None] / 2
    G = reduce(add, dense)  # at the points the signals are the same
    behind = [xp.sum(g[..., N:, :, :], axis=-3) for g in dense]  # of no rows: 0
    behind = behind if len(behind) > 1 else [behind[0], behind[0]]
    first, last = (xp.broadcast_to(a, b.shape) + b for a, b in zip((grid.first, grid.last), behind, strict=True))
    unit = xp.matrix_transpose(grid.unit)
    return half * G[..., : N - 1, :, :] - eye, half * G[..., 1:N, :, :] + eye, unit * first, unit * last


def _means(grid: Span, fy: Array) -> Array:
    """Return ``D (f_i + f_{i+1}) / 2``."""
    N = grid.n_points
    return grid.D * (fy[..., : N - 1, :] + fy[..., 1:N, :]) / 2


def _conditions(grid: Span, fy: Array) -> Array:
    """Return what stands behind the last point, or 0, (*B, 1, n)."""
    return array_namespace(fy).sum(fy[..., grid.n_points :, :], axis=-2, keepdims=True)


def _at(y: Array, end: int) -> Array:
    return y[..., :1, :] if end == 0 else y[..., -1:, :]


def _wave(like: Array) -> Array:
    """Return numbers of size 1 without a pattern, of the shape of ``like``."""
    xp, where = array_namespace(like), backend_of(like).placement(like)
    rows, columns = (xp.astype(xp.arange(size, device=where), like.dtype) for size in like.shape[-2:])
    wave = xp.sin(1.0 + 1.7 * rows[:, None] + 0.9 * columns[None, :])
    return xp.broadcast_to(wave, like.shape)


def _stacked(first: Array, rows: Array) -> Array:
    xp = array_namespace(first, rows)
    return xp.concat([xp.broadcast_to(first, (*rows.shape[:-2], 1, rows.shape[-1])), rows], axis=-2)
