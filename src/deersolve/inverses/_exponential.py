"""The paper's rule for y' = f (arXiv 2309.12252, eq. 8-11), for any mean of the two ends of an interval."""

from __future__ import annotations

from typing import Any, ClassVar

from ..backends.namespace import Array, array_namespace
from ..grids.times import Initial, TimeGrid
from ..linalg.scans import affine_scan, affine_scan_transposed
from ..linalg.structure import Dense, Diagonal, Structure, Zero
from ._base import Rule
from ._phi import exp_and_phi
from ._quadrature import quadrature_defect
from ._theta import _points, _stacked

Weights = tuple[float, float]


class Exponential(Rule):
    """y_{i+1} = exp(-G D) y_i + D phi_1(-G D) (f + G y), with G and f + G y taken on the interval.

    ``weights`` are those of the left and the right end in the mean: (1, 0) left, (0, 1) right,
    (1/2, 1/2) the paper's midpoint. G does not cancel at the solution, so y depends on G, the
    iteration converges linearly with a rate O(D^2), and only the dense G is offered.
    """

    weights: ClassVar[Weights] = (0.5, 0.5)

    def residual(self, y: Array, fy: Array, *, grid: TimeGrid, boundary: Initial, **kw: Any) -> Array:
        """Return ``D phi_1 (z - G y_i) - (y_{i+1} - y_i)``, z the mean of f + G y; ``Gs`` is needed."""
        (G,) = kw["Gs"]
        mean, _, phi = self._on_intervals(G, grid)
        z = self._mean(fy + G @ y)
        rows = grid.D * (phi @ (z - mean @ y[..., :-1, :])) - (y[..., 1:, :] - y[..., :-1, :])
        return _stacked(boundary.y0 - y[..., :1, :], rows)

    def magnitude(self, y: Array, fy: Array, *, grid: TimeGrid, boundary: Initial) -> Array:
        """Return ``y_{i+1} + y_i``."""
        return _stacked(y[..., :1, :], y[..., 1:, :] + y[..., :-1, :])

    def defect(
        self, y: Array, fy: Array, *, grid: TimeGrid, boundary: Initial, **kw: Any
    ) -> tuple[Array, Array] | None:
        """Return phi_1 times the residual of y in the quadrature of 4th order, and its doubts; ``Gs`` is needed."""
        made = quadrature_defect(y, fy, grid.D)
        if made is None:
            return None
        _, _, phi = self._on_intervals(kw["Gs"][0], grid)
        defect, doubt = (_stacked(rows[..., :1, :], phi @ rows[..., 1:, :]) for rows in made)
        return defect, doubt

    def solve(self, Gs: tuple[Structure, ...], r: Array, *, grid: TimeGrid, boundary: Initial) -> Array:
        """Return delta with ``delta_{i+1} = exp(-G D) delta_i + r_{i+1}``."""
        return affine_scan((self._propagators(Gs[0], grid),), (1,), r)

    def transpose(self, Gs: tuple[Structure, ...], c: Array, *, grid: TimeGrid, boundary: Initial) -> Array:
        """Return u by the reversed scan."""
        return affine_scan_transposed((self._propagators(Gs[0], grid),), (1,), c)

    def _mean(self, values: Array) -> Array:
        left, right = self.weights
        return left * values[..., :-1, :] + right * values[..., 1:, :]

    def _on_intervals(self, G: Structure, grid: TimeGrid) -> tuple[Structure, Structure, Structure]:
        left, right = self.weights

        def mean_of(values: Array) -> Array:
            first, last = _points(G, values, slice(None, -1)), _points(G, values, slice(1, None))
            return left * first + right * last

        mean = G.map(mean_of)
        flat = isinstance(mean, Diagonal | Zero)
        E, phi = exp_and_phi(mean.map(lambda v: -v * (grid.D if flat else grid.D[..., None])))
        return mean, E, phi

    def _propagators(self, G: Structure, grid: TimeGrid) -> Structure:
        _, E, _ = self._on_intervals(G, grid)
        xp = array_namespace(E.values)
        if isinstance(E, Diagonal):
            return Diagonal(_stacked(xp.zeros_like(E.values[..., :1, :]), E.values))
        return Dense(xp.concat([xp.zeros_like(E.values[..., :1, :, :]), E.values], axis=-3))
