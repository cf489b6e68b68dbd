"""Recurrences: y_i = f(y_{i-k_1}, ..., y_{i-k_P}, x_i, params)."""

from __future__ import annotations

from typing import Any, ClassVar

from ..backends.namespace import Array, array_namespace, padded_behind
from ..grids.shifters import Lag, lag
from ..grids.times import Initial, Steps
from ..linalg.scans import affine_scan, affine_scan_transposed, damped_scan
from ..linalg.structure import BlockDiagonal, Dense, Diagonal, Structure, Zero
from .base import Rule
from .registration import register


@register("shift.scan", structures=(Dense, Diagonal, BlockDiagonal, Zero), exact=True)
class ShiftScan(Rule):
    """delta_i + sum_p G_{p,i} delta_{i-k_p} = r_i: an affine recurrence (L and M are the identity)."""

    axes, reach = 1, (0, 0)
    is_loop: ClassVar[bool] = True
    scans: ClassVar[bool] = True

    def shifts_on(self, grid: Steps) -> tuple[Lag, ...]:
        """Return the lags of the grid."""
        return tuple(map(lag, grid.lags))

    def residual(self, y: Array, fy: Array, *, grid: Steps, boundary: Initial, **kw: Any) -> Array:
        """Return ``f(y) - y``."""
        return fy - y

    def solve(self, Gs: tuple[Structure, ...], r: Array, *, grid: Steps, boundary: Initial) -> Array:
        """Return delta by a scan."""
        return affine_scan(tuple(_where_live(-G, grid) for G in Gs), grid.lags, r, way=self.scan)

    def transpose(self, Gs: tuple[Structure, ...], c: Array, *, grid: Steps, boundary: Initial) -> Array:
        """Return u by the reversed scan."""
        return affine_scan_transposed(tuple(-G for G in Gs), grid.lags, c, way=self.scan)

    def steps(self, Gs: tuple[Structure, ...], r: Array, *, grid: Steps) -> Structure | None:
        """Return the Jacobians, for a lag of 1."""
        return -Gs[0] if grid.lags == (1,) else None

    def damped(self, Gs: tuple[Structure, ...], r: Array, damping: Array, *, grid: Steps, boundary: Initial) -> Array:
        """Return delta in damped least squares, for one lag."""
        return damped_scan(tuple(_where_live(-G, grid) for G in Gs), grid.lags, r, damping)


def _where_live(A: Structure, grid: Steps) -> Structure:
    """Return A with zeros at the steps that are not looked at: no product with them overflows."""
    if grid.live is None:
        return A
    xp, live = array_namespace(grid.live), grid.live[..., 0]
    return A.map(lambda a: xp.where(padded_behind(live, a.ndim), a, 0.0))
