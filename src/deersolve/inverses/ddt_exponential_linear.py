"""The exponential rule for y' = f, f + G y linear on the interval: `exact=False`, G does not cancel at its solution."""

from __future__ import annotations

from typing import Any

from ..backends.namespace import Array, array_namespace
from ..grids.times import Initial, TimeGrid
from ..linalg.structure import Dense, Diagonal, Structure
from ._base import register
from ._exponential import Exponential
from ._phi import exp_and_phi
from ._theta import _stacked


@register("ddt.exponential_linear", structures=(Dense,), exact=False)
class Linear(Exponential):
    """G at the midpoint, f + G y linear between the two ends. Order 2."""

    order = 2

    def residual(self, y: Array, fy: Array, *, grid: TimeGrid, boundary: Initial, **kw: Any) -> Array:
        """Return ``D phi_1 (z_i - G y_i) + D phi_2 (z_{i+1} - z_i) - (y_{i+1} - y_i)``."""
        (G,) = kw["Gs"]
        mean, _, phi = self._on_intervals(G, grid)
        z = fy + G @ y
        z0, dz = z[..., :-1, :], z[..., 1:, :] - z[..., :-1, :]
        second = _phi_two(mean, phi, grid)
        step = grid.D * (phi @ (z0 - mean @ y[..., :-1, :]) + second @ dz)
        return _stacked(boundary.y0 - y[..., :1, :], step - (y[..., 1:, :] - y[..., :-1, :]))


def _phi_two(mean: Structure, phi: Structure, grid: TimeGrid) -> Structure:
    """Return phi_2(-G D) = (phi_1 - 1) / (-G D) from an augmented phi_1, which needs no inverse of G."""
    dense = mean.to_dense() * -grid.D[..., None]
    xp = array_namespace(dense)
    zero = xp.zeros_like(dense)
    eye = zero + Diagonal(xp.ones_like(mean.diagonal())).to_dense()
    top, low = xp.concat([dense, eye], axis=-1), xp.concat([zero, zero], axis=-1)
    _, augmented = exp_and_phi(Dense(xp.concat([top, low], axis=-2)))
    n = mean.n
    return Dense(augmented.to_dense()[..., :n, n:])
