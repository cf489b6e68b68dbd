"""Runge-Kutta rules for u_t - D Laplacian(u) = f in a box of any number of axes, without a matrix."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

from ..backends.namespace import Array, array_namespace, part
from ..grids.levels import Levels
from ..grids.times import Initial
from ..linalg.structure import Dense, Structure, identity
from .elliptic_krylov import FORCING, Linear, Shift, is_seen_zero, shift_of
from .line_by_line import Stage, Stages, stages_of
from .runge_kutta import register_all
from .runge_kutta_in_space import InSpace, Matrices, Solver, one_of

Equations = Callable[[Any, int], tuple[Linear, Array, Array]]
"""``(i, k)``: the equations of stage k of interval i, the factor of its rows, and whether h is 0."""


class Krylov(InSpace):
    """The rows of :class:`InSpace`, without a matrix.

    A stage is (I - h a (D Laplacian - G_0 - G_1 d/ds - ...)) delta = r, that is the equation of "laplace.krylov" with
    -(G_0 + 1 / (h a)) in the place of G_0.
    """

    is_inexact: ClassVar[bool] = True
    by: Callable[[Any, Array], Array] = staticmethod(lambda at, r: at.exactly(r))
    """The solve of a stage: to roundoff, or as far as is asked for."""

    def solving(self, by: Callable[[Any, Array], Array]) -> Krylov:
        """Return the rule with another solve of its stages."""
        other = copy.copy(self)
        other.by = by
        return other

    def correction(
        self, Gs: tuple[Structure, ...], y: Array, ys: tuple[Array, ...], fy: Array, data: Any
    ) -> tuple[Array, Array]:
        """Return the residual and a correction with an error of its own size, as "laplace.krylov" does."""
        xp, grid, box = array_namespace(y), data.grid, data.grid.whole
        eps = float(xp.finfo(y.dtype).eps)
        r = grid.kept(self.residual(y, fy, grid=grid, boundary=data.boundary))
        steps = grid.behind(r) * (1 + abs(grid.D) * box.own * box.free)
        largest = partial(xp.max, axis=tuple(range(grid.axis, 0)))
        first = largest(xp.abs(steps))
        size = largest(xp.abs(y)) + first
        ahead = xp.where(size > 0, first / xp.where(size > 0, size, 1.0), 1.0)
        tol = FORCING * xp.clip(xp.maximum(ahead, eps / xp.where(ahead > 0, ahead, 1.0)), max=1.0)
        tol = tol[(..., *(None,) * (box.ndim + 1))]
        loose = self.solving(lambda at, r: at.solve(r, tol))
        return r, loose.solve(Gs, r, grid=grid, boundary=data.boundary)

    def estimator(
        self, Gs: tuple[Structure, ...], like: Array, *, grid: Levels, boundary: Initial
    ) -> Callable[[Array], Array]:
        """Return ``r -> delta`` to half of the digits."""
        return partial(self.solving(lambda at, r: at.roughly(r)).solve, Gs, grid=grid, boundary=boundary)

    def magnitude(self, y: Array, fy: Array, *, grid: Levels, boundary: Initial) -> Array:
        """Return the largest size of the terms of a component's rows at each stage, as "laplace.krylov" does."""
        rows = super().magnitude(y, fy, grid=grid, boundary=boundary)
        return array_namespace(y).max(rows, axis=tuple(range(-grid.whole.ndim - 1, -1)), keepdims=True) + 0 * rows

    def matrices(self, Gs: tuple[Structure, ...]) -> Matrices:
        """Return the matrices at every point; None for those of a signal that are seen to be zero."""
        return tuple(None if p > 0 and is_seen_zero(G) else G.to_dense() for p, G in enumerate(Gs))

    def stage_solver(self, linear: Matrices, grid: Levels, like: Array) -> Solver:
        """Return the solve of a stage, as far as is asked for."""
        if self._has_fluxes(grid):
            return self._by_lines(self._stages(linear, grid), like)
        equations = self._equations(linear, grid)

        def solve(i: Any, k: int, r: Array) -> Array:
            at, factor, still = equations(i, k)
            return array_namespace(r).where(still, r, self.by(at, factor * r))

        return solve

    def turned_solver(self, linear: Matrices, grid: Levels, like: Array) -> Solver:
        """Return the solve of the transposed stage, to roundoff."""
        if self._has_fluxes(grid):
            return self._by_lines(self._stages(linear, grid).transposed, like)
        equations = self._equations(linear, grid)

        def solve(i: Any, k: int, c: Array) -> Array:
            at, factor, still = equations(i, k)
            return array_namespace(c).where(still, c, factor * at.transposed_exactly(c))

        return solve

    def _equations(self, linear: Matrices, grid: Levels) -> Equations:
        """Return the equations of every stage."""
        whole, xp, d = grid.whole, array_namespace(grid.D), grid.level.ndim
        G0, *slopes = _late(linear, grid)
        assert G0 is not None
        h = grid.D
        step = xp.where(h == 0, 1.0, h) * self.own_weights(grid)
        eye = identity(G0, G0.shape[-1], G0.ndim)
        G0 = -(G0 + eye / step[..., None])
        shift = shift_of(whole, Dense(G0))
        factor = (1 - whole.free) - whole.unit * (1 + abs(step) * whole.own) / step

        def equations(i: Any, k: int) -> tuple[Linear, Array, Array]:
            Gs = [None if G is None else Dense(-one_of(G, i, k, d + 2)) for G in slopes]
            at = Shift(one_of(shift.scale, i, k, d + 1), one_of(shift.level, i, k, d + 1))
            return (
                Linear(grid.level, (Dense(one_of(G0, i, k, d + 2)), *Gs), at),
                one_of(factor, i, k, d + 1),
                one_of(h == 0, i, k, d + 1),
            )

        return equations

    def _has_fluxes(self, grid: Levels) -> bool:
        """Return whether f knows states in the cells around."""
        return any(axis.around for axis in grid.level.axes)

    def _stages(self, linear: Matrices, grid: Levels) -> Stages:
        """Return the stages of an equation with fluxes."""
        return stages_of(grid.whole, _late(linear, grid), grid.D * self.own_weights(grid))

    def _by_lines(self, stages: Stages, like: Array) -> Solver:
        """Return their solve, whose lines are a preconditioner."""
        solve, m = stages.solver(like), len(self.own)
        return lambda i, k, r: self.by(Stage(solve, i * m + k), r)


def _late(linear: Matrices, grid: Levels) -> Matrices:
    """Return the matrices behind the first level."""
    axis = grid.axis - 1
    return tuple(G if G is None or G.shape[axis] == 1 else part(G, axis, 1, None) for G in linear)


for family in ("heat2d", "heat3d"):
    register_all(family, Krylov)
