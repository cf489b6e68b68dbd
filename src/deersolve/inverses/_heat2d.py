"""Diagonally implicit Runge-Kutta rules for u_t - D (u_ss + u_rr) = f, level by level and without a matrix."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

from ..domain import Initial, kept
from ..plane import turned
from ..structure import BlockDiagonal, Dense, Structure, identity
from ..typing import Array, array_namespace
from ..volume import Volume
from ._carried import Carried
from ._heat import Heat, intervals, level_of
from .laplace2d_krylov import FORCING, Linear


class Heat2D(Heat):
    """The rows of :class:`Heat` with both axes of space laid out as one.

    A stage is (I - h a (D Laplacian - G_0 - G_1 d/ds - G_2 d/dr)) delta = r, that is the equation of
    "laplace2d.krylov" with -(G_0 + 1 / (h a)) in the place of G_0.
    """

    is_inexact: ClassVar[bool] = True
    tol: Array | None = None
    """What the solve of a stage leaves of its residual; None: roundoff."""

    def correction(
        self, Gs: tuple[Structure, ...], y: Array, ys: tuple[Array, ...], fy: Array, data: Any
    ) -> tuple[Array, Array]:
        """Return the residual and a correction with an error of its own size, as "laplace2d.krylov" does."""
        xp, grid = array_namespace(y), data.grid
        eps = float(xp.finfo(y.dtype).eps)
        r = kept(grid, self.residual(y, fy, grid=grid, boundary=data.boundary))
        steps = self._field(grid, r)[..., 1:, :, :, :] * (1 + abs(intervals(grid)) * self._own(grid))
        largest = partial(xp.max, axis=(-4, -3, -2, -1))
        first = largest(xp.abs(steps))
        size = largest(xp.abs(self._field(grid, y))) + first
        ahead = xp.where(size > 0, first / xp.where(size > 0, size, 1.0), 1.0)
        tol = FORCING * xp.clip(xp.maximum(ahead, eps / xp.where(ahead > 0, ahead, 1.0)), max=1.0)
        loose = copy.copy(self)
        loose.tol = tol[..., None, None, None]
        return r, loose.solve(Gs, r, grid=grid, boundary=data.boundary)

    def magnitude(self, y: Array, fy: Array, *, grid: Any, boundary: Initial) -> Array:
        """Return the largest size of the terms of a component's rows at each stage, as "laplace2d.krylov" does."""
        rows = self._field(grid, super().magnitude(y, fy, grid=grid, boundary=boundary))
        largest = array_namespace(y).max(rows, axis=-2, keepdims=True) + 0 * rows
        return array_namespace(y).reshape(largest, y.shape)

    def _field(self, grid: Volume, y: Array) -> Array:
        m, X, Y, n = grid.shape
        return array_namespace(y).reshape(y, (*y.shape[:-1], m, X * Y, n))

    def _in_space(self, grid: Volume, u: Array) -> Array:
        """Return (..., X, Y, n) of (..., X Y, n)."""
        _, X, Y, n = grid.shape
        return array_namespace(u).reshape(u, (*u.shape[:-2], X, Y, n))

    def _laid(self, u: Array) -> Array:
        """Return (..., X Y, n) of (..., X, Y, n)."""
        return array_namespace(u).reshape(u, (*u.shape[:-3], u.shape[-3] * u.shape[-2], u.shape[-1]))

    def _free(self, grid: Volume) -> Array:
        return self._laid(grid.whole.free)

    def _values(self, grid: Volume) -> Array:
        return self._laid(grid.whole.values(grid.sides))

    def _own(self, grid: Volume) -> Array:
        return self._laid(abs(grid.whole.D * grid.whole.own))

    def _slopes(self, grid: Volume, u: Array, fy: Array) -> Array:
        whole = grid.whole
        second = whole.laplacian(self._in_space(grid, u)) + whole.laplacian_given(grid.sides)
        return self._laid(whole.D * second) + self._field(grid, fy)

    def _sizes(self, grid: Volume, u: Array, fy: Array) -> Array:
        whole, v = grid.whole, self._in_space(grid, u)
        s, r = whole.s, whole.r
        second = turned(s.second.sizes().of(turned(v), s.is_ring)) + r.second.sizes().of(v, r.is_ring)
        return self._laid(abs(whole.D) * (second + abs(whole.laplacian_given(grid.sides)))) + self._field(grid, fy)

    def _linear(self, Gs: tuple[Structure, ...], grid: Volume) -> tuple[Array, ...]:
        """Return the G_p at every point, (*B, T, m, X, Y, n, n)."""
        xp, (m, X, Y, n) = array_namespace(grid.D), grid.shape
        parts = []
        for G in Gs:
            blocks = G if isinstance(G, BlockDiagonal) else BlockDiagonal.of_size(n).simplify(Dense(G.to_dense()))
            values = blocks.values
            parts.append(xp.reshape(values, (*values.shape[:-3], m, X, Y, n, n)))
        return tuple(parts)

    def _at(self, linear: tuple[Array, ...], level: Any, stage: int) -> tuple[Array, ...]:
        """Return the G_p of one stage of a level, (*B, X, Y, n, n)."""
        return tuple(level_of(G, level, -6)[..., 0, stage % G.shape[-5], :, :, :, :] for G in linear)

    def _solver(self, linear: tuple[Array, ...], grid: Volume, like: Array) -> Callable[..., Array]:
        def solve(i: Any, k: int, r: Array) -> Array:
            at, factor, still = self._equation(linear, grid, i, k)
            rows = self._in_space(grid, r)
            right = factor * rows
            delta = at.exactly(right) if self.tol is None else at.solve(right, self.tol)
            return self._laid(array_namespace(r).where(still, rows, delta))

        return solve

    def _turned_solver(self, linear: tuple[Array, ...], grid: Volume) -> Callable[..., Array]:
        def solve(i: Any, k: int, c: Array) -> Array:
            at, factor, still = self._equation(linear, grid, i, k)
            given = self._in_space(grid, c)
            return self._laid(array_namespace(c).where(still, given, factor * at.transposed_exactly(given)))

        return solve

    def _equation(self, linear: tuple[Array, ...], grid: Volume, i: Any, k: int) -> tuple[Linear, Array, Array]:
        """Return the equations of a stage, what its rows are multiplied by, and whether the interval has no length."""
        level, (G0, *Gs) = grid.level, self._at(linear, i + 1, k)
        xp = array_namespace(G0)
        h = level_of(grid.D, i, -2)[..., None]  # (*B, 1, 1, 1)
        still = h == 0
        step = xp.where(still, 1.0, h) * self.tableau[k][k + 1]
        eye = identity(G0, G0.shape[-1], G0.ndim)
        is_carried = level.s.around or level.r.around
        made = (Carried if is_carried else Linear)(
            level, (Dense(-(G0 + eye / step[..., None])), *(Dense(-G) for G in Gs)), 1 / step
        )
        return made, 1 - 2 * level.free, still

    def _change(self, linear: tuple[Array, ...], grid: Volume, d: Array, level: Any, stage: int) -> Array:
        plane, (G0, *Gs) = grid.level, (Dense(G) for G in self._at(linear, level, stage))
        v = self._in_space(grid, d[..., 0, 0, :, :])
        made = plane.D * plane.laplacian(v) - (G0 @ v)
        for G, signal in zip(Gs, plane.shifted(v), strict=True):
            made = made - (G @ signal)
        return self._laid(made)[..., None, None, :, :]

    def _turned(self, linear: tuple[Array, ...], grid: Volume, q: Array, level: Any, stage: int) -> Array:
        plane, (G0, *Gs) = grid.level, (Dense(G).mT for G in self._at(linear, level, stage))
        w, s, r = self._in_space(grid, q[..., 0, 0, :, :]), grid.level.s, grid.level.r
        Dw = plane.D * w
        made = turned(s.second.adjoint(turned(Dw), s.is_ring)) + r.second.adjoint(Dw, r.is_ring) - (G0 @ w)
        made = made - plane.gathered([G @ w for G in Gs])
        return self._laid(made)[..., None, None, :, :]

    def _stacked(self, grid: Volume, boundary: Initial, y: Array, rows: Array) -> Array:
        xp = array_namespace(y)
        m, X, Y, n = grid.shape
        behind = xp.reshape(rows, (*rows.shape[:-3], m * X * Y * n))
        return xp.concat([boundary.y0 - y[..., :1, :] + 0 * behind[..., :1, :], behind], axis=-2)
