"""The discrete equation of D (u_ss + u_rr) = f(u, u_s, u_r, x, params), whatever solves the linear one."""

from __future__ import annotations

from typing import ClassVar

from ..backends.namespace import Array, array_namespace
from ..grids.plane import Plane, Sides, turned
from ..linalg.structure import Structure
from .base import Rule


class Laplace2D(Rule):
    """Row (i, j) is ``m (f - D (u_ss + u_rr))`` by central differences; where a value is given, ``value - u``.

    1 / m is the weight of u itself, so that rows are in the units of u.
    """

    order: ClassVar[int | None] = 2

    def residual(self, y: Array, fy: Array, *, grid: Plane, boundary: Sides, **kw: object) -> Array:
        """Return ``m (f - D Laplacian(y))``."""
        applied = grid.D * (grid.laplacian(y) + grid.laplacian_given(boundary))
        return unit_of(grid) * (fy - applied) + grid.values(boundary) - (1 - grid.free) * y

    def magnitude(self, y: Array, fy: Array, *, grid: Plane, boundary: Sides) -> Array:
        """Return ``m (|f| + |D| |Laplacian| |y|)`` with the boundary data among its terms."""
        xp, s, r = array_namespace(y), grid.s, grid.r
        size = turned(s.second.sizes().of(turned(y), s.is_ring)) + r.second.sizes().of(y, r.is_ring)
        rows = unit_of(grid) * (fy + xp.abs(grid.D) * (size + xp.abs(grid.laplacian_given(boundary))))
        return rows + xp.abs(grid.values(boundary)) + (1 - grid.free) * y

    def refuses(self, Js: tuple[Structure, ...], *, grid: Plane) -> str | None:
        """Name a component that no condition and no term fixes."""
        xp, J = array_namespace(grid.free), Js[0].to_dense()
        for k, is_unfixed in enumerate(zip(grid.s.unfixed, grid.r.unfixed, strict=True)):
            if all(is_unfixed) and not bool(xp.any(J[..., k] != 0)):
                return (
                    f"left, right, bottom and top: expected a condition on u_{k} itself, or an f that depends on it; "
                    "received slopes only (or rings), which fix it up to a constant, and have no solution at all "
                    "unless f adds up to what flows in."
                )
        return None


def unit_of(grid: Plane) -> Array:
    """Return m, 0 where a value is given."""
    return grid.free / (grid.D * grid.own)
