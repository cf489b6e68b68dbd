"""The discrete equation of L u = f(u, du/ds_k, x, params) in a box, whatever solves the linear one."""

from __future__ import annotations

from ..backends.namespace import Array, array_namespace
from ..grids.axis import Sides
from ..grids.box import SIDES, Box
from ..linalg.structure import Structure
from .base import Rule


class Elliptic(Rule):
    """Row i is ``m_i (f_i - (L u)_i)``, ``L u = a Laplacian(u) + sum_k b_k du/ds_k + c u`` by central differences.

    1 / m_i is the weight of u_i itself in its row, so that rows are in the units of u. Where a value is given the row
    is ``value - u_i``. Second order in the spacing.
    """

    order: int | None = 2

    def residual(self, y: Array, fy: Array, *, grid: Box, boundary: Sides, **kw: object) -> Array:
        """Return ``m (f - L u)``, and what values miss."""
        rows = grid.unit * (fy - grid.linear(y)) - (1 - grid.free) * y
        return rows + self.given(grid, boundary)

    def given(self, grid: Box, boundary: Sides) -> Array:
        """Return what the boundary data adds to the residual: values themselves, or a part of the stencils."""
        return grid.values(boundary) - grid.unit * grid.linear_given(boundary)

    def magnitude(self, y: Array, fy: Array, *, grid: Box, boundary: Sides) -> Array:
        """Return ``m (|f| + |L| |u|)`` with the boundary data among its terms."""
        rows = grid.unit * (fy + grid.linear_size(y)) + (1 - grid.free) * y
        return rows + abs(self.given(grid, boundary))

    def refuses(self, Js: tuple[Structure, ...], *, grid: Box) -> str | None:
        """Name a component that no condition and no term fixes."""
        xp, J = array_namespace(grid.free), Js[0].to_dense()
        c = 0 * grid.free if grid.c is None else grid.c + 0 * grid.free
        *names, last = (name for pair in SIDES[: grid.ndim] for name in pair)
        for k, is_unfixed in enumerate(zip(*(axis.unfixed for axis in grid.axes), strict=True)):
            if all(is_unfixed) and not any(bool(xp.any(a[..., k] != 0)) for a in (c, J)):
                return (
                    f"{', '.join(names)} and {last}: expected a condition on u_{k} itself, or an f"
                    f"{' or c' if grid.c is not None else ''} that depends on it; received slopes only (or "
                    f"{'a ring' if grid.ndim == 1 else 'rings'}), which fix it up to a constant, and have no solution "
                    "at all unless f adds up to what flows in."
                )
        return None
