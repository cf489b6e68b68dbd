"""The theta rules for y' = f: y_{i+1} - y_i = D_i ((1 - theta) f_i + theta f_{i+1})."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

from ..backends import backend_of
from ..backends.namespace import Array, array_namespace
from ..grids.times import Initial, TimeGrid
from ..linalg.scans import affine_scan, affine_scan_transposed, bidiagonal
from ..linalg.structure import Dense, Diagonal, Structure, Zero, identity
from ._base import Rule
from ._quadrature import quadrature_defect

CONTRACTS = 0.5  # of an interval times the slopes of f: from 1 on a root may have been passed
CURVED = 0.2  # of the way over an interval: what its length makes of the change of f that the slopes do not tell


class Theta(Rule):
    """Row 0 is y_0 = y0; row i + 1 is the rule on interval i, with the whole of it in the units of y.

    The linear solve is one n x n system for each interval, all at once, and then a scan:

        (I + theta D G_{i+1}) delta_{i+1} = (I - (1 - theta) D G_i) delta_i + r_{i+1}.
    """

    theta: ClassVar[float]

    def residual(self, y: Array, fy: Array, *, grid: TimeGrid, boundary: Initial, **kw: Any) -> Array:
        """Return ``y0 - y_0`` and ``D ((1 - theta) f_i + theta f_{i+1}) - (y_{i+1} - y_i)``."""
        mean = (1 - self.theta) * fy[..., :-1, :] + self.theta * fy[..., 1:, :]
        rows = grid.D * mean - (y[..., 1:, :] - y[..., :-1, :])
        return _stacked(boundary.y0 - y[..., :1, :], rows)

    def magnitude(self, y: Array, fy: Array, *, grid: TimeGrid, boundary: Initial) -> Array:
        """Return ``y_{i+1} + y_i + D ((1 - theta) f_i + theta f_{i+1})``."""
        xp = array_namespace(y)
        mean = (1 - self.theta) * fy[..., :-1, :] + self.theta * fy[..., 1:, :]
        return _stacked(y[..., :1, :], y[..., 1:, :] + y[..., :-1, :] + xp.abs(grid.D) * mean)

    def defect(
        self, y: Array, fy: Array, *, grid: TimeGrid, boundary: Initial, **kw: Any
    ) -> tuple[Array, Array] | None:
        """Return the residual of y in the quadrature of 4th order, and its doubts."""
        return quadrature_defect(y, fy, grid.D)

    def solve(self, Gs: tuple[Structure, ...], r: Array, *, grid: TimeGrid, boundary: Initial) -> Array:
        """Return delta: one small system for each interval, then a scan."""
        As, b, _ = self._recurrence(Gs[0], r, grid)
        return affine_scan((As,), (1,), b)

    def transpose(self, Gs: tuple[Structure, ...], c: Array, *, grid: TimeGrid, boundary: Initial) -> Array:
        """Return u: the reversed scan, then the transposed small systems."""
        A, _, implicit = self._recurrence(Gs[0], c, grid)
        v = affine_scan_transposed((A,), (1,), c)
        return _stacked(v[..., :1, :], _small_solve(implicit.mT, v[..., 1:, :]))

    def steps(self, Gs: tuple[Structure, ...], r: Array, *, grid: TimeGrid) -> Structure | None:
        """Return ``(I + theta D G_{i+1})^{-1} (I - (1 - theta) D G_i)``."""
        return self._recurrence(Gs[0], r, grid)[0]

    def continues(
        self, Gs: tuple[Structure, ...], y: Array, fy: Array, *, grid: TimeGrid, boundary: Initial
    ) -> tuple[Array, Array]:
        """Return where ``det(I + theta D G_{i+1}) > 0``, and where there is but one root, both (*B, T).

        The determinant is 1 for D = 0. The root that continues from y_i while D grows to its value loses it only where
        it ends, in a fold with another root: what has a negative one is on another branch, an artefact of the rule.
        Where the implicit part is a contraction at both ends, and all but linear between them, there is one root.
        """
        (G,), weight = Gs, self.theta * grid.D
        behind, ahead = (G.map(partial(_points, G, where=part)) for part in (slice(None, -1), slice(1, None)))
        implicit = _one_plus(weight, ahead)
        xp = array_namespace(implicit.values)
        way, change = (a[..., 1:, :] - a[..., :-1, :] for a in (y, fy))
        scale = xp.maximum(xp.abs(y[..., 1:, :]), xp.abs(y[..., :-1, :])) + float(xp.finfo(y.dtype).smallest_normal)
        far, missed = (xp.max(xp.abs(v) / scale, axis=-1) for v in (way, weight * (change + (ahead @ way))))
        is_linear = missed <= CURVED * far + float(xp.finfo(y.dtype).eps) ** 0.5
        contracts = xp.maximum(_off_identity(implicit), _off_identity(_one_plus(weight, behind))) < CONTRACTS
        holds = implicit.values > 0 if isinstance(implicit, Diagonal) else has_positive_determinant(implicit.to_dense())
        holds = xp.all(holds, axis=-1) if isinstance(implicit, Diagonal) else holds
        first = xp.ones_like(holds[..., :1])
        return xp.concat([first, holds], axis=-1), xp.concat([first, contracts & is_linear], axis=-1)

    def _implicit(self, G: Structure, grid: TimeGrid) -> Structure:
        """Return ``I + theta D G_{i+1}``."""
        return _one_plus(self.theta * grid.D, G.map(lambda v: _points(G, v, slice(1, None))))

    def damped(
        self, Gs: tuple[Structure, ...], r: Array, damping: Array, *, grid: TimeGrid, boundary: Initial
    ) -> Array:
        """Return delta in damped least squares, of the rows as they are written above."""
        P, Q = self._sides(Gs[0], grid)
        xp = array_namespace(r)
        if isinstance(P, Diagonal):
            P, Q = (xp.broadcast_to(A.diagonal(), r[..., 1:, :].shape) for A in (P, Q))
            return bidiagonal(_stacked(xp.ones_like(P[..., :1, :]), P), Q, r, damping)
        full = (*r[..., 1:, :].shape, r.shape[-1])
        P, Q = (xp.broadcast_to(A.to_dense(), full) for A in (P, Q))
        first = xp.broadcast_to(identity(P, r.shape[-1], P.ndim), (*P.shape[:-3], 1, *P.shape[-2:]))
        return bidiagonal(xp.concat([first, P], axis=-3), Q, r, damping)

    def _sides(self, G: Structure, grid: TimeGrid) -> tuple[Structure, Structure]:
        """Return ``I + theta D G_{i+1}`` and ``I - (1 - theta) D G_i`` on every interval."""
        implicit = self._implicit(G, grid)
        explicit = _one_plus((self.theta - 1) * grid.D, G.map(lambda v: _points(G, v, slice(None, -1))))
        return implicit, explicit

    def _recurrence(self, G: Structure, r: Array, grid: TimeGrid) -> tuple[Structure, Array, Structure]:
        """Return A, b of ``delta_{i+1} = A_{i+1} delta_i + b_{i+1}`` and ``I + theta D G_{i+1}``."""
        implicit, explicit = self._sides(G, grid)
        xp = array_namespace(r)
        rows = r[..., 1:, :]
        if isinstance(implicit, Diagonal):
            A, b = explicit.diagonal() / implicit.values, rows / implicit.values
            return Diagonal(_stacked(xp.zeros_like(A[..., :1, :]), A)), _stacked(r[..., :1, :], b), implicit
        batch = (*rows.shape, rows.shape[-1])
        both = [xp.broadcast_to(explicit.to_dense(), batch), rows[..., None]]
        M = xp.broadcast_to(implicit.to_dense(), batch)
        solved = backend_of(r).linear_solve(M, xp.concat(both, axis=-1))
        A, b = solved[..., :-1], solved[..., -1]
        first = xp.zeros_like(A[..., :1, :, :])
        return Dense(xp.concat([first, A], axis=-3)), _stacked(r[..., :1, :], b), implicit


def _off_identity(M: Structure) -> Array:
    """Return the largest sum of a row of ``|M - I|`` at every point."""
    xp = array_namespace(M.values)
    if isinstance(M, Diagonal):
        return xp.max(xp.abs(M.values - 1), axis=-1)
    dense = M.to_dense()
    return xp.max(xp.sum(xp.abs(dense - identity(dense, M.n, dense.ndim)), axis=-1), axis=-1)


def _points(G: Structure, values: Array, where: slice) -> Array:
    """Cut the grid axis of stored values."""
    return values[(..., where, *(slice(None) for _ in range(G.tail)))]


def _one_plus(D: Array, G: Structure) -> Structure:
    """Return ``I + D G`` on every interval."""
    if isinstance(G, Diagonal | Zero):
        return Diagonal(1 + D * G.diagonal())
    dense = G.to_dense()
    return Dense(identity(dense, G.n, dense.ndim) + D[..., None] * dense)


def has_positive_determinant(M: Array) -> Array:
    """Return it for (*S, n, n): at once where the diagonal outweighs the rows, which most intervals have."""
    xp, n = array_namespace(M), M.shape[-1]
    if n == 1:
        return M[..., 0, 0] > 0
    if n == 2:
        return M[..., 0, 0] * M[..., 1, 1] > M[..., 0, 1] * M[..., 1, 0]
    diagonal = xp.linalg.diagonal(M)
    outweighs = diagonal > xp.sum(xp.abs(M), axis=-1) - xp.abs(diagonal)
    safe = xp.all(outweighs, axis=-1)
    return backend_of(M).when(xp.any(~safe), lambda safe: safe | (xp.linalg.slogdet(M)[0] > 0), safe)


def _small_solve(M: Structure, v: Array) -> Array:
    if isinstance(M, Diagonal):
        return v / M.values
    xp = array_namespace(v)
    full = xp.broadcast_to(M.to_dense(), (*v.shape, v.shape[-1]))
    return backend_of(v).linear_solve(full, v[..., None])[..., 0]


def _stacked(first: Array, rows: Array) -> Array:
    xp = array_namespace(first, rows)
    return xp.concat([xp.broadcast_to(first, (*rows.shape[:-2], 1, rows.shape[-1])), rows], axis=-2)
