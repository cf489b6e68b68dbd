"""Diagonally implicit Runge-Kutta rules for u_t - D (u_ss + u_rr) = f, level by level and without a matrix."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

from ..backends import backend_of
from ..backends.namespace import Array, array_namespace
from ..grids.levels import Levels
from ..grids.times import Initial
from ..linalg.structure import Dense, Structure, identity
from ._heat import Heat, intervals, level_of
from .elliptic_krylov import FORCING, Linear, Shift, is_seen_zero, seen, shift_of
from .line_by_line import Stages, stages_of

Matrices = tuple[Array | None, ...]


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
        r = grid.kept(self.residual(y, fy, grid=grid, boundary=data.boundary))
        steps = self._field(grid, r)[..., 1:, :, :, :] * (1 + abs(intervals(grid)) * self._own(grid) * self._free(grid))
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

    def _field(self, grid: Levels, y: Array) -> Array:
        m, X, Y, n = grid.shape
        return array_namespace(y).reshape(y, (*y.shape[:-1], m, X * Y, n))

    def _in_space(self, grid: Levels, u: Array) -> Array:
        """Return (..., X, Y, n) of (..., X Y, n)."""
        _, X, Y, n = grid.shape
        return array_namespace(u).reshape(u, (*u.shape[:-2], X, Y, n))

    def _laid(self, u: Array) -> Array:
        """Return (..., X Y, n) of (..., X, Y, n)."""
        return array_namespace(u).reshape(u, (*u.shape[:-3], u.shape[-3] * u.shape[-2], u.shape[-1]))

    def _free(self, grid: Levels) -> Array:
        return self._laid(grid.whole.free)

    def _values(self, grid: Levels) -> Array:
        return self._laid(grid.whole.values(grid.sides))

    def _own(self, grid: Levels) -> Array:
        return self._laid(grid.whole.own)

    def _slopes(self, grid: Levels, u: Array, fy: Array) -> Array:
        whole = grid.whole
        second = whole.laplacian(self._in_space(grid, u)) + whole.laplacian_given(grid.sides)
        return self._laid(whole.a * second) + self._field(grid, fy)

    def _sizes(self, grid: Levels, u: Array, fy: Array) -> Array:
        whole, second = grid.whole, grid.whole.laplacian_size(self._in_space(grid, u))
        return self._laid(abs(whole.a) * (second + abs(whole.laplacian_given(grid.sides)))) + self._field(grid, fy)

    def _linear(self, Gs: tuple[Structure, ...], grid: Levels) -> Matrices:
        """Return the G_p at every point, (*B, T, m, X, Y, n, n); None for a G_1 or G_2 that is seen to be zero."""
        xp, (m, X, Y, n) = array_namespace(grid.D), grid.shape
        parts: list[Array | None] = []
        for p, G in enumerate(Gs):
            blocks = G.in_blocks(n)
            values = blocks.values
            is_absent = p > 0 and is_seen_zero(blocks)
            parts.append(None if is_absent else xp.reshape(values, (*values.shape[:-3], m, X, Y, n, n)))
        return tuple(parts)

    def _at(self, linear: Matrices, level: Any, stage: int) -> tuple[Structure, tuple[Structure | None, ...]]:
        """Return G_0 and the others of one stage of a level, (*B, X, Y, n, n)."""
        G0, *Gs = (None if G is None else Dense(one_of(G, level, stage, 4)) for G in linear)
        assert G0 is not None
        return G0, tuple(Gs)

    def _levels(self, linear: Any, grid: Any, rows: Array, start: Array, slope: Array) -> Array:
        return self._one_by_one(linear, grid, rows, start, slope)

    def _solver(self, linear: Matrices, grid: Levels, like: Array) -> Callable[..., Array]:
        if any(axis.around for axis in grid.level.axes):
            return self._by_lines(self._stages(linear, grid), grid, like)
        equations = self._equations(linear, grid)

        def solve(i: Any, k: int, r: Array) -> Array:
            at, factor, still = equations(i, k)
            rows = self._in_space(grid, r)
            right = factor * rows
            delta = at.exactly(right) if self.tol is None else at.solve(right, self.tol)
            return self._laid(array_namespace(r).where(still, rows, delta))

        return solve

    def _turned_solver(self, linear: Matrices, grid: Levels, like: Array) -> Callable[..., Array]:
        if any(axis.around for axis in grid.level.axes):
            return self._by_lines(self._stages(linear, grid).transposed, grid, like)
        equations = self._equations(linear, grid)

        def solve(i: Any, k: int, c: Array) -> Array:
            at, factor, still = equations(i, k)
            given = self._in_space(grid, c)
            return self._laid(array_namespace(c).where(still, given, factor * at.transposed_exactly(given)))

        return solve

    def _equations(self, linear: Matrices, grid: Levels) -> Callable[[Any, int], tuple[Linear, Array, Array]]:
        """Return a function of (i, k): the equations of stage k of interval i, the factor of its rows, if h is 0."""
        whole, xp = grid.whole, array_namespace(grid.D)
        G0, *slopes = (G if G is None or G.shape[-6] == 1 else G[..., 1:, :, :, :, :, :] for G in linear)
        assert G0 is not None
        h = grid.D[..., None, None, None]  # (*B, T - 1, 1, 1, 1, 1)
        own = [row[k + 1] for k, row in enumerate(self.tableau)]
        a = xp.reshape(backend_of(h).convert(own, h, h.dtype), (*(1,) * (h.ndim - 4), -1, 1, 1, 1))
        step = xp.where(h == 0, 1.0, h) * a
        eye = identity(G0, G0.shape[-1], G0.ndim)
        G0 = -(G0 + eye / step[..., None])
        shift = shift_of(whole, Dense(G0))
        factor = (1 - whole.free) - whole.unit * (1 + abs(step) * whole.own) / step

        def equations(i: Any, k: int) -> tuple[Linear, Array, Array]:
            Gs = [Dense(one_of(G0, i, k, 4)), *(None if G is None else Dense(-one_of(G, i, k, 4)) for G in slopes)]
            at = Shift(one_of(shift.scale, i, k, 3), one_of(shift.level, i, k, 3))
            return Linear(grid.level, tuple(Gs), at), one_of(factor, i, k, 3), one_of(h == 0, i, k, 3)

        return equations

    def _stages(self, linear: Matrices, grid: Levels) -> Stages:
        """Return the stages of an equation with fluxes."""
        h = grid.D[..., None, None, None]
        own = backend_of(h).convert([row[k + 1] for k, row in enumerate(self.tableau)], h, h.dtype)
        parts = [G if G is None or G.shape[-6] == 1 else G[..., 1:, :, :, :, :, :] for G in linear]
        own = array_namespace(h).reshape(own, (*(1,) * (h.ndim - 4), -1, 1, 1, 1))
        return stages_of(grid.whole, tuple(parts), h * own)

    def _by_lines(self, stages: Stages, grid: Levels, like: Array) -> Callable[..., Array]:
        """Return a function (i, k, r) that solves for a stage, r (*B, X Y, n)."""
        solve, m = stages.solver(self._in_space(grid, like)), len(self.tableau)
        return lambda i, k, r: self._laid(solve(i * m + k, self._in_space(grid, r), self.tol))

    def _change(self, linear: Matrices, grid: Levels, d: Array, level: Any, stage: int) -> Array:
        box, (G0, Gs) = grid.level, self._at(linear, level, stage)
        v = self._in_space(grid, d[..., 0, 0, :, :])
        terms = sum((G @ signal.of(v) for signal, G in seen(box, Gs)), start=G0 @ v)
        return self._laid(box.a * box.laplacian(v) - terms)[..., None, None, :, :]

    def _turned(self, linear: Matrices, grid: Levels, q: Array, level: Any, stage: int) -> Array:
        box, (G0, Gs) = grid.level, self._at(linear, level, stage)
        w = self._in_space(grid, q[..., 0, 0, :, :])
        terms = sum((signal.adjoint(G.mT @ w) for signal, G in seen(box, Gs)), start=G0.mT @ w)
        return self._laid(box.laplacian_adjoint(box.a * w) - terms)[..., None, None, :, :]

    def _stacked(self, grid: Levels, boundary: Initial, y: Array, rows: Array) -> Array:
        xp = array_namespace(y)
        m, X, Y, n = grid.shape
        behind = xp.reshape(rows, (*rows.shape[:-3], m * X * Y * n))
        return xp.concat([boundary.y0 - y[..., :1, :] + 0 * behind[..., :1, :], behind], axis=-2)


def one_of(a: Array, i: Any, k: int, ndim: int) -> Array:
    """Return place (i, k) on the two axes before the last ndim, (*B, ...); on an axis of 1 the only one."""
    level = level_of(a, i, -ndim - 2)
    stage = k % a.shape[-ndim - 1]
    return level[(..., 0, stage, *(slice(None),) * ndim)]
