"""Second-order equations on a line: a u'' + b u' + c u = f(u, u', x, params)."""

from __future__ import annotations

from collections.abc import Callable

from ..backends.namespace import Array, array_namespace
from ..grids.axis import Sides
from ..grids.box import Box
from ..linalg.banded import repeated, transposed
from ..linalg.structure import Dense, Diagonal, Structure, identity
from .differences import FEWEST, jumps, missed
from .elliptic import Elliptic
from .registration import register

Blocks = tuple[Array, Array, Array]


@register("d2dx2.blocktridiagonal", structures=(Dense, Diagonal), exact=True)
class BlockTridiagonal(Elliptic):
    """The rows of :class:`Elliptic` on one axis.

    With G at every point a row couples three neighbours, n x n blocks each: a block tridiagonal system, closed to a
    ring where the axis is periodic.
    """

    def magnitude(self, y: Array, fy: Array, *, grid: Box, boundary: Sides) -> Array:
        """Return ``m (|f| + |L| |u|)`` with the boundary data among its terms.

        It is eps of the largest one of a component at least: what the solve of a whole line leaves of a u that decays
        from one end to nothing at the other.
        """
        xp, rows = array_namespace(y), super().magnitude(y, fy, grid=grid, boundary=boundary)
        return xp.maximum(rows, float(xp.finfo(rows.dtype).eps) * xp.max(rows, axis=-2, keepdims=True))

    def solve(self, Gs: tuple[Structure, ...], r: Array, *, grid: Box, boundary: Sides) -> Array:
        """Return delta by one block tridiagonal solve; where a value is given, exactly what it misses."""
        return self.solver(Gs, r, grid=grid, boundary=boundary)(r)

    def solver(self, Gs: tuple[Structure, ...], like: Array, *, grid: Box, boundary: Sides) -> Callable[[Array], Array]:
        """Return the same as a function of r: the system is factored once."""
        inner = repeated(_blocks(grid, Gs), like, grid.axes[0].is_ring)

        def solve(r: Array) -> Array:
            delta = inner(r)
            return array_namespace(r).where(grid.free > 0, delta, r + 0 * delta)

        return solve

    def truncation(
        self, Gs: tuple[Structure, ...], y: Array, fy: Array, *, grid: Box, boundary: Sides
    ) -> tuple[Array, Array, Array] | None:
        """Return what differences of fourth order change of the residual of y, or None on too few points.

        A jump of f anywhere between two points is the same to them: half of it is what one of their rows may miss.
        """
        if y.shape[-2] < FEWEST:
            return None
        (axis,), (a, (b,), _) = grid.axes, grid.transport
        G1, unit = Dense(Gs[1].to_dense()), grid.unit

        def change(first: Array, second: Array) -> Array:
            return -unit * (a * second + b * first + (G1 @ first))

        plain, smoothed = missed(axis, boundary.ends[0], y)
        return change(*plain), change(*smoothed), 0.5 * unit * jumps(fy, axis.is_ring)

    def transpose(self, Gs: tuple[Structure, ...], c: Array, *, grid: Box, boundary: Sides) -> Array:
        """Return u by the transposed system."""
        return transposed(_blocks(grid, Gs), c, grid.axes[0].is_ring)


def _blocks(grid: Box, Gs: tuple[Structure, ...]) -> Blocks:
    """Return the blocks of ``L + M (G_0 + G_1 d/ds)`` in every row, (*B, N, n, n)."""
    (axis,), unit = grid.axes, grid.unit
    a, (b,), c = grid.transport
    G0, G1 = (unit[..., None] * G.to_dense() for G in Gs)
    eye = identity(G0, G0.shape[-1], G0.ndim)

    def row(second: Array, first: Array, own: Array) -> Array:
        diagonal = unit * (a * second + b * first) + own
        return diagonal[..., None] * eye + G1 * first[..., None, :]

    lower = row(axis.second.lower, axis.first.lower, 0 * unit)
    upper = row(axis.second.upper, axis.first.upper, 0 * unit)
    middle = row(axis.second.middle, axis.first.middle, unit * c + (1 - grid.free)) + G0
    return lower, middle, upper
