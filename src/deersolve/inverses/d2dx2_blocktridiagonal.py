"""Second-order equations on a line: a u'' + b u' + c u = f(u, u', x, params)."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from ..backends.namespace import Array, array_namespace
from ..grids.line import Ends, Line
from ..linalg.banded import repeated, transposed
from ..linalg.structure import Dense, Diagonal, Structure, identity
from .base import Rule, register
from .differences import FEWEST, jumps, missed

Blocks = tuple[Array, Array, Array]


@register("d2dx2.blocktridiagonal", structures=(Dense, Diagonal), exact=True)
class BlockTridiagonal(Rule):
    """Row i is ``m_i (f_i - (a u'' + b u' + c u)_i)`` by central differences; where a value is given, ``value - u_i``.

    1 / m_i is the weight of u_i itself, so that rows are in the units of u.

    With G at every point a row couples three neighbours, n x n blocks each: a block tridiagonal system, closed to a
    ring where the axis is periodic. Second order in the spacing.
    """

    order: ClassVar[int | None] = 2

    def residual(self, y: Array, fy: Array, *, grid: Line, boundary: Ends, **kw: object) -> Array:
        """Return ``m (f - L u)``, and in the last row of a ring with an image ``u_0 - u_{N-1}``."""
        u = grid.proper(y)
        rows = _unit(grid) * (grid.proper(fy) - _applied(grid, u)) - (1 - grid.free) * u + _given(grid, boundary)
        return rows if not grid.has_image else _with_image(rows, y[..., :1, :] - y[..., -1:, :])

    def refuses(self, Js: tuple[Structure, ...], *, grid: Line) -> str | None:
        """Name a component that no condition and no term fixes."""
        xp, J = array_namespace(grid.free), Js[0].to_dense()
        c = grid.proper(grid.weights[2]) + 0 * grid.free
        for k, is_unfixed in enumerate(grid.unfixed):
            if is_unfixed and not any(bool(xp.any(a[..., k] != 0)) for a in (c, J)):
                return (
                    f"left and right: expected a condition on u_{k} itself, or an f or c that depends on it; received "
                    "slopes only (or a ring), which fix it up to a constant, and have no solution at all unless f adds "
                    "up to what flows in."
                )
        return None

    def magnitude(self, y: Array, fy: Array, *, grid: Line, boundary: Ends) -> Array:
        """Return ``m (|f| + |L| |u|)`` with the boundary data among its terms; of an image that of its point.

        It is eps of the largest one of a component at least: what the solve of a whole line leaves of a u that decays
        from one end to nothing at the other.
        """
        xp, u = array_namespace(y), grid.proper(y)
        rows = _unit(grid) * (grid.proper(fy) + _applied(grid, u, sizes=True)) + (1 - grid.free) * u
        rows = rows + xp.abs(_given(grid, boundary))
        rows = xp.maximum(rows, float(xp.finfo(rows.dtype).eps) * xp.max(rows, axis=-2, keepdims=True))
        return rows if not grid.has_image else _with_image(rows, rows[..., :1, :])

    def solve(self, Gs: tuple[Structure, ...], r: Array, *, grid: Line, boundary: Ends) -> Array:
        """Return delta by one block tridiagonal solve; where a value is given, exactly what it misses."""
        return self.solver(Gs, r, grid=grid, boundary=boundary)(r)

    def solver(self, Gs: tuple[Structure, ...], like: Array, *, grid: Line, boundary: Ends) -> Callable[[Array], Array]:
        """Return the same as a function of r: the system is factored once."""
        inner = repeated(_blocks(grid, Gs), grid.proper(like), grid.is_ring)

        def solve(r: Array) -> Array:
            rows = grid.proper(r)
            delta = inner(rows)
            delta = array_namespace(r).where(grid.free > 0, delta, rows + 0 * delta)
            return delta if not grid.has_image else _with_image(delta, delta[..., :1, :] + r[..., -1:, :])

        return solve

    def truncation(
        self, Gs: tuple[Structure, ...], y: Array, fy: Array, *, grid: Line, boundary: Ends
    ) -> tuple[Array, Array, Array] | None:
        """Return what differences of fourth order change of the residual of y, or None on too few points.

        A jump of f anywhere between two points is the same to them: half of it is what one of their rows may miss.
        """
        u = grid.proper(y)
        if u.shape[-2] < FEWEST:
            return None
        a, b, _ = map(grid.proper, grid.weights)
        G1, unit = Dense(_points(grid, Gs[1].to_dense())), _unit(grid)

        def change(first: Array, second: Array) -> Array:
            return laid(-unit * (a * second + b * first + (G1 @ first)))

        def laid(rows: Array) -> Array:
            return rows if not grid.has_image else _with_image(rows, 0 * rows[..., :1, :])

        plain, smoothed = missed(grid, boundary, u)
        return change(*plain), change(*smoothed), laid(0.5 * unit * jumps(grid.proper(fy), grid.is_ring))

    def transpose(self, Gs: tuple[Structure, ...], c: Array, *, grid: Line, boundary: Ends) -> Array:
        """Return u by the transposed system."""
        if not grid.has_image:
            return transposed(_blocks(grid, Gs), c, grid.is_ring)
        rows = array_namespace(c).concat([c[..., :1, :] + c[..., -1:, :], c[..., 1:-1, :]], axis=-2)
        return _with_image(transposed(_blocks(grid, Gs), rows, grid.is_ring), c[..., -1:, :])


def _with_image(rows: Array, last: Array) -> Array:
    return array_namespace(rows).concat([rows, last], axis=-2)


def _unit(grid: Line) -> Array:
    """Return m, 0 where a value is given."""
    a, b, c = map(grid.proper, grid.weights)
    own = abs(a * grid.second.middle) + abs(b * grid.first.middle) + abs(c)
    return grid.free / array_namespace(own).where(own > 0, own, 1.0)


def _applied(grid: Line, u: Array, sizes: bool = False) -> Array:
    """Return ``L u`` without boundary data, or the size of its terms."""
    xp, (a, b, c) = array_namespace(u), tuple(map(grid.proper, grid.weights))
    if not sizes:
        return a * grid.second.of(u, grid.is_ring) + b * grid.first.of(u, grid.is_ring) + c * u
    second, first = grid.second.sizes(), grid.first.sizes()
    return xp.abs(a) * second.of(u, grid.is_ring) + xp.abs(b) * first.of(u, grid.is_ring) + xp.abs(c) * u


def _given(grid: Line, ends: Ends) -> Array:
    """Return what the boundary data adds to the residual: the values themselves, or a part of the stencils."""
    if grid.is_ring:
        return grid.free * 0
    a, b, _ = grid.weights
    beyond = a * grid.second.given(ends) + b * grid.first.given(ends)
    return grid.values(ends) - _unit(grid) * beyond


def _blocks(grid: Line, Gs: tuple[Structure, ...]) -> Blocks:
    """Return the blocks of ``L + M (G_0 + G_1 d/ds)`` in every row, (*B, N, n, n)."""
    (a, b, c), unit = tuple(map(grid.proper, grid.weights)), _unit(grid)
    G0, G1 = (unit[..., None] * _points(grid, G.to_dense()) for G in Gs)
    eye = identity(G0, G0.shape[-1], G0.ndim)

    def row(second: Array, first: Array, own: Array) -> Array:
        diagonal = unit * (a * second + b * first) + own
        return diagonal[..., None] * eye + G1 * first[..., None, :]

    lower = row(grid.second.lower, grid.first.lower, 0 * unit)
    upper = row(grid.second.upper, grid.first.upper, 0 * unit)
    middle = row(grid.second.middle, grid.first.middle, unit * c + (1 - grid.free)) + G0
    return lower, middle, upper


def _points(grid: Line, G: Array) -> Array:
    return G[..., :-1, :, :] if grid.has_image and G.shape[-3] > 1 else G
