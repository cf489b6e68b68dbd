"""The theta rules for y' = f: y_{i+1} - y_i = D_i ((1 - theta) f_i + theta f_{i+1})."""

from __future__ import annotations

from typing import Any, ClassVar

from ..backends import backend_of
from ..backends.namespace import Array, array_namespace
from ..grids import shifters
from ..grids.base import Data
from ..grids.times import Initial, TimeGrid
from ..linalg.scans import affine_scan, affine_scan_transposed, bidiagonal
from ..linalg.structure import BlockDiagonal, Dense, Diagonal, Structure, Zero, identity
from .base import Rule
from .intervals import early, ends, hermite, late, mean, propagators, rise, sides, stacked
from .quadrature import quadrature_defect
from .registration import register

CONTRACTS = 0.5  # of an interval times the slopes of f: from 1 on a root may have been passed
CURVED = 0.2  # of the way over an interval: what its length makes of the change of f that the slopes do not tell
STRUCTURES = (Dense, Diagonal, BlockDiagonal, Zero)


class Theta(Rule):
    """Row 0 is y_0 = y0; row i + 1 is the rule on interval i, with the whole of it in the units of y.

    The linear solve is one n x n system for each interval, all at once, and then a scan:

        (I + theta D G_{i+1}) delta_{i+1} = (I - (1 - theta) D G_i) delta_i + r_{i+1}.
    """

    scans: ClassVar[bool] = True

    theta: ClassVar[float]
    shifts, axes, reach, history = (shifters.identity,), 1, (1, 0), 1

    def residual(self, y: Array, fy: Array, *, grid: TimeGrid, boundary: Initial, **kw: Any) -> Array:
        """Return ``y0 - y_0`` and ``D ((1 - theta) f_i + theta f_{i+1}) - (y_{i+1} - y_i)``."""
        return stacked(boundary.y0 - y[..., :1, :], grid.D * mean(fy, self.theta) - rise(y))

    def magnitude(self, y: Array, fy: Array, *, grid: TimeGrid, boundary: Initial) -> Array:
        """Return ``y_{i+1} + y_i + D ((1 - theta) f_i + theta f_{i+1})``."""
        return stacked(y[..., :1, :], abs(grid.D) * mean(fy, self.theta) + (late(y) + early(y)))

    def defect(
        self, y: Array, fy: Array, *, grid: TimeGrid, boundary: Initial, **kw: Any
    ) -> tuple[Array, Array] | None:
        """Return the residual of y in the quadrature of 4th order, and its doubts."""
        return quadrature_defect(y, fy, grid.D)

    def solve(self, Gs: tuple[Structure, ...], r: Array, *, grid: TimeGrid, boundary: Initial) -> Array:
        """Return delta: one small system for each interval, then a scan."""
        A, b = _over(*sides(Gs[0], grid.D, self.theta), late(r))
        return affine_scan((propagators(A),), (1,), stacked(r[..., :1, :], b), way=self.scan)

    def transpose(self, Gs: tuple[Structure, ...], c: Array, *, grid: TimeGrid, boundary: Initial) -> Array:
        """Return u: the reversed scan, then the transposed small systems."""
        implicit, explicit = sides(Gs[0], grid.D, self.theta)
        A, _ = _over(implicit, explicit, late(c))
        v = affine_scan_transposed((propagators(A),), (1,), c, way=self.scan)
        return stacked(v[..., :1, :], _small_solve(implicit.mT, late(v)))

    def steps(self, Gs: tuple[Structure, ...], r: Array, *, grid: TimeGrid) -> Structure | None:
        """Return ``(I + theta D G_{i+1})^{-1} (I - (1 - theta) D G_i)``."""
        return propagators(_over(*sides(Gs[0], grid.D, self.theta), late(r))[0])

    def polynomials(self, y: Array, functions: dict[str, Any], data: Data) -> Array:
        """Return the cubics with y and f of both ends; of the trapezoid the third power is roundoff."""
        return hermite(y, functions["f"](y, data.x), data.grid.D)

    def continues(
        self, Gs: tuple[Structure, ...], y: Array, fy: Array, *, grid: TimeGrid, boundary: Initial
    ) -> tuple[Array, Array]:
        """Return where ``det(I + theta D G_{i+1}) > 0``, and where there is but one root, both (*B, T).

        The determinant is 1 for D = 0. The root that continues from y_i while D grows to its value loses it only where
        it ends, in a fold with another root: what has a negative one is on another branch, an artefact of the rule.
        Where the implicit part is a contraction at both ends, and all but linear between them, there is one root.
        """
        (G,), weight, xp = Gs, self.theta * grid.D, array_namespace(y)
        implicit, ahead = sides(G, grid.D, self.theta)[0], ends(G)[1]
        limits, way = xp.finfo(y.dtype), rise(y)
        scale = xp.maximum(xp.abs(late(y)), xp.abs(early(y))) + float(limits.smallest_normal)
        far, missed = (xp.max(xp.abs(v) / scale, axis=-1) for v in (way, weight * (rise(fy) + (ahead @ way))))
        is_linear = missed <= CURVED * far + float(limits.eps) ** 0.5
        size = _norm(G)[..., None]
        contracts = (abs(weight) * xp.maximum(early(size), late(size)))[..., 0] < CONTRACTS
        holds = has_positive_determinant(implicit)
        first = xp.ones_like(holds[..., :1])
        return xp.concat([first, holds], axis=-1), xp.concat([first, contracts & is_linear], axis=-1)

    def damped(
        self, Gs: tuple[Structure, ...], r: Array, damping: Array, *, grid: TimeGrid, boundary: Initial
    ) -> Array:
        """Return delta in damped least squares, of the rows as they are written above."""
        P, Q = sides(Gs[0], grid.D, self.theta)
        xp = array_namespace(r)
        if isinstance(P, Diagonal):
            P, Q = (xp.broadcast_to(A.diagonal(), late(r).shape) for A in (P, Q))
            return bidiagonal(stacked(xp.ones_like(P[..., :1, :]), P), Q, r, damping)
        full = (*late(r).shape, r.shape[-1])
        P, Q = (xp.broadcast_to(A.to_dense(), full) for A in (P, Q))
        first = xp.broadcast_to(identity(P, r.shape[-1], P.ndim), (*P.shape[:-3], 1, *P.shape[-2:]))
        return bidiagonal(xp.concat([first, P], axis=-3), Q, r, damping)


@register("ddt.trapezoid", structures=STRUCTURES, exact=True)
class Trapezoid(Theta):
    """y_{i+1} - y_i = D_i (f_i + f_{i+1}) / 2. Order 2, A-stable; it rings on a coarse, stiff grid."""

    order = 2
    theta = 0.5


@register("ddt.backward_euler", structures=STRUCTURES, exact=True)
class BackwardEuler(Theta):
    """y_{i+1} - y_i = D_i f_{i+1}. Order 1, L-stable: it damps stiff components at once, on any grid."""

    order = 1
    theta = 1.0

    def polynomials(self, y: Array, functions: dict[str, Any], data: Data) -> Array:
        """Return the straight lines between the points: the rule has no slope at the beginning of an interval."""
        return array_namespace(y).stack([early(y), rise(y)], axis=-2)


def _over(M: Structure, A: Structure, v: Array) -> tuple[Structure, Array]:
    """Return ``M^{-1} A`` and ``M^{-1} v`` on every interval."""
    if isinstance(M, Diagonal):
        return Diagonal(A.diagonal() / M.values), v / M.values
    xp, full = array_namespace(v), (*v.shape, v.shape[-1])
    dense = [xp.broadcast_to(m.to_dense(), full) for m in (M, A)]
    solved = backend_of(v).linear_solve(dense[0], xp.concat([dense[1], v[..., None]], axis=-1))
    return Dense(solved[..., :-1]), solved[..., -1]


def _small_solve(M: Structure, v: Array) -> Array:
    """Return ``M^{-1} v`` on every interval."""
    if isinstance(M, Diagonal):
        return v / M.values
    full = array_namespace(v).broadcast_to(M.to_dense(), (*v.shape, v.shape[-1]))
    return backend_of(v).linear_solve(full, v[..., None])[..., 0]


def _norm(G: Structure) -> Array:
    """Return the largest sum of a row of ``|G|`` at every point."""
    if isinstance(G, Diagonal | Zero):
        return array_namespace(G.values).max(abs(G.diagonal()), axis=-1)
    dense = abs(G.to_dense())
    xp = array_namespace(dense)
    return xp.max(xp.sum(dense, axis=-1), axis=-1)


def has_positive_determinant(structure: Structure) -> Array:
    """Return it on every interval: at once where the diagonal outweighs the rows, which most intervals have."""
    xp = array_namespace(structure.values)
    if isinstance(structure, Diagonal):
        return xp.all(structure.values > 0, axis=-1)
    M, n = structure.to_dense(), structure.n
    if n == 1:
        return M[..., 0, 0] > 0
    if n == 2:
        return M[..., 0, 0] * M[..., 1, 1] > M[..., 0, 1] * M[..., 1, 0]
    diagonal = xp.linalg.diagonal(M)
    outweighs = diagonal > xp.sum(xp.abs(M), axis=-1) - xp.abs(diagonal)
    safe = xp.all(outweighs, axis=-1)
    return backend_of(M).when(xp.any(~safe), lambda safe: safe | (xp.linalg.slogdet(M)[0] > 0), safe)
