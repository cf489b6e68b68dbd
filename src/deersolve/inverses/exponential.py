"""The paper's rules for y' = f (arXiv 2309.12252, eq. 8-11): `exact=False`, G does not cancel at their solutions."""

from __future__ import annotations

from typing import Any, ClassVar

from ..backends.namespace import Array
from ..grids.base import Data
from ..grids.shifters import identity
from ..grids.times import Initial, TimeGrid
from ..linalg.scans import affine_scan, affine_scan_transposed
from ..linalg.structure import Dense, Structure
from .base import Rule
from .intervals import early, ends, hermite, late, mean, propagators, rise, stacked
from .phi_functions import exp_and_phi, phi_two
from .quadrature import quadrature_defect
from .registration import register


class Exponential(Rule):
    """y_{i+1} = exp(-G D) y_i + D phi_1(-G D) (f + G y), with G and f + G y taken on the interval.

    ``weight`` is that of the right end in the mean of the two: 0 left, 1 right, 1/2 the paper's midpoint.
    G does not cancel at the solution, so y depends on G, the iteration converges linearly with a rate
    O(D^2), and only the dense G is offered.
    """

    scans: ClassVar[bool] = True

    weight: ClassVar[float] = 0.5
    shifts, axes, reach, history = (identity,), 1, (1, 0), 1

    def residual(self, y: Array, fy: Array, *, grid: TimeGrid, boundary: Initial, **kw: Any) -> Array:
        """Return ``D phi_1 (z - G y_i) - (y_{i+1} - y_i)``, z the mean of f + G y; ``Gs`` is needed."""
        (G,) = kw["Gs"]
        step = grid.D * self._slope(y, fy + G @ y, self._mean(G), grid)
        return stacked(boundary.y0 - y[..., :1, :], step - rise(y))

    def magnitude(self, y: Array, fy: Array, *, grid: TimeGrid, boundary: Initial) -> Array:
        """Return ``y_{i+1} + y_i``."""
        return stacked(y[..., :1, :], late(y) + early(y))

    def defect(
        self, y: Array, fy: Array, *, grid: TimeGrid, boundary: Initial, **kw: Any
    ) -> tuple[Array, Array] | None:
        """Return phi_1 times the residual of y in the quadrature of 4th order, and its doubts; ``Gs`` is needed."""
        made = quadrature_defect(y, fy, grid.D)
        if made is None:
            return None
        _, phi = exp_and_phi(_exponent(self._mean(kw["Gs"][0]), grid))
        defect, doubt = (stacked(rows[..., :1, :], phi @ late(rows)) for rows in made)
        return defect, doubt

    def polynomials(self, y: Array, functions: dict[str, Any], data: Data) -> Array:
        """Return the cubics with y and f of both ends."""
        return hermite(y, functions["f"](y, data.x), data.grid.D)

    def solve(self, Gs: tuple[Structure, ...], r: Array, *, grid: TimeGrid, boundary: Initial) -> Array:
        """Return delta with ``delta_{i+1} = exp(-G D) delta_i + r_{i+1}``."""
        return affine_scan((self._propagators(Gs[0], grid),), (1,), r, way=self.scan)

    def transpose(self, Gs: tuple[Structure, ...], c: Array, *, grid: TimeGrid, boundary: Initial) -> Array:
        """Return u by the reversed scan."""
        return affine_scan_transposed((self._propagators(Gs[0], grid),), (1,), c, way=self.scan)

    def _slope(self, y: Array, z: Array, G: Structure, grid: TimeGrid) -> Array:
        """Return the mean of y' over every interval, of its G and of z at its ends."""
        _, phi = exp_and_phi(_exponent(G, grid))
        return phi @ (mean(z, self.weight) - G @ early(y))

    def _mean(self, G: Structure) -> Structure:
        first, last = ends(G)
        return first.map(lambda v: (1 - self.weight) * v + self.weight * last.values)

    def _propagators(self, G: Structure, grid: TimeGrid) -> Structure:
        E, _ = exp_and_phi(_exponent(self._mean(G), grid))
        return propagators(E)


@register("ddt.exponential", structures=(Dense,), exact=False)
class Midpoint(Exponential):
    """The paper's midpoint: the mean of the two ends. Order 2."""

    order = 2


@register("ddt.exponential_left", structures=(Dense,), exact=False)
class Left(Exponential):
    """G and f + G y at the left end. Order 1; 2 for an autonomous equation, where it is Rosenbrock-Euler."""

    order = 1
    weight = 0.0


@register("ddt.exponential_right", structures=(Dense,), exact=False)
class Right(Exponential):
    """G and f + G y at the right end. Order 1."""

    order = 1
    weight = 1.0


@register("ddt.exponential_linear", structures=(Dense,), exact=False)
class Linear(Exponential):
    """G at the midpoint, f + G y linear between the two ends. Order 2."""

    order = 2

    def _slope(self, y: Array, z: Array, G: Structure, grid: TimeGrid) -> Array:
        """Return ``phi_1 (z_i - G y_i) + phi_2 (z_{i+1} - z_i)``."""
        A = _exponent(G, grid)
        _, phi = exp_and_phi(A)
        return phi @ (early(z) - G @ early(y)) + phi_two(A) @ rise(z)


def _exponent(G: Structure, grid: TimeGrid) -> Structure:
    """Return ``-G D``."""
    return G.map(lambda v: -v * grid.D[(..., *(None for _ in range(G.tail - 1)))])
