"""Runge-Kutta rules for u_t - D Laplacian(u) = f in a box: the march over levels, forwards and backwards."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any

from ..backends import backend_of
from ..backends.namespace import Array, array_namespace, joined, part
from ..grids.levels import Levels
from ..grids.times import Initial
from ..linalg.structure import Dense, Structure
from .runge_kutta import RungeKutta

Matrices = tuple[Array | None, ...]
"""G_0 and those of the other signals at every stage, (*B, T, m, *R, n, n); None for one that is seen to be zero."""
Solver = Callable[[Any, int, Array], Array]
"""``(i, k, r)``: the solve for stage k of interval i, of rows (*B, *R, n)."""


class InSpace(RungeKutta):
    """The rows of :class:`RungeKutta`, each divided by the weight of U_k in it; ``value - u`` where a value is given.

    With G at every point a stage is one linear system in space, whose solve a subclass has; levels follow one another.
    """

    @abc.abstractmethod
    def stage_solver(self, linear: Matrices, grid: Levels, like: Array) -> Solver:
        """Return the solve of a stage, ``I - h a_kk (D Laplacian - sum_p G_p S_p)`` in the units of its rows."""

    @abc.abstractmethod
    def turned_solver(self, linear: Matrices, grid: Levels, like: Array) -> Solver:
        """Return the solve of the transposed stage."""

    def slopes(self, y: Array, fy: Array, grid: Levels) -> Array:
        """Return ``D Laplacian(u) + f``."""
        box = grid.whole
        return box.a * (box.laplacian(y) + box.laplacian_given(grid.sides)) + fy

    def sizes(self, y: Array, fy: Array, grid: Levels) -> Array:
        """Return the size of its terms."""
        box = grid.whole
        return abs(box.a) * (box.laplacian_size(y) + abs(box.laplacian_given(grid.sides))) + fy

    def units(self, grid: Levels) -> list[Array]:
        """Return, for each stage, one divided by the weight of U_k in its row; 0 where a value is given."""
        own, h = grid.whole.own, abs(grid.D)
        return [grid.whole.free / (1 + h * abs(a) * own) for a in self.own]

    def rows(self, grid: Levels, u: Array, F: Array, sign: float) -> Array:
        """Return the same, and ``value - u`` where a value is given, or the sum of the absolute terms."""
        box, values = grid.whole, grid.whole.values(grid.sides)
        given = (1 - box.free) * ((abs(values) if sign > 0 else values) + sign * u)
        return super().rows(grid, u, F, sign) + grid.behind(given)

    def solve(self, Gs: tuple[Structure, ...], r: Array, *, grid: Levels, boundary: Initial) -> Array:
        """Return delta by one linear system a stage, level after level; given values miss what they miss."""
        xp, linear, d = array_namespace(r), self.matrices(Gs), grid.level.ndim
        first = part(r, grid.axis, None, 1)
        start = one_of(first, 0, -1, d + 1) + 0
        levels = self.levels(linear, grid, r, start, self._change(linear, grid, start, 0, -1))
        return joined([first, xp.where(grid.whole.free > 0, levels, grid.behind(r))], grid.axis)

    def matrices(self, Gs: tuple[Structure, ...]) -> Matrices:
        """Return the matrices at every point."""
        return tuple(G.to_dense() for G in Gs)

    def levels(self, linear: Matrices, grid: Levels, rows: Array, start: Array, slope: Array) -> Array:
        """Return all levels behind a start, (*B, T - 1, m, *R, n), one stage after the other."""
        backend, xp, d = backend_of(rows), array_namespace(rows), grid.level.ndim
        units, solve = self.units(grid), self.stage_solver(linear, grid, start)
        per_unit = [1 / xp.where(unit > 0, unit, 1.0) for unit in units]
        length = xp.where(grid.D == 0, 1.0, grid.D)

        def body(carry: tuple[Array, Array], i: Any) -> tuple[tuple[Array, Array], Array]:
            before, slope = carry
            known, made = one_of(grid.D, i, 0, d + 1) * slope, list[Array]()
            changes: list[Array] = []  # h times D Laplacian - G of each stage
            for k, (first, *rest) in enumerate(self.tableau):
                change = before + first * known
                for a, other in zip(rest[:k], changes, strict=True):
                    change = change + a * other
                right = one_of(rows, i + 1, k, d + 1) + one_of(units[k], i, 0, d + 1) * change
                made.append(solve(i, k, right))
                changes.append((made[-1] - right * one_of(per_unit[k], i, 0, d + 1)) / rest[k])
            return (made[-1], changes[-1] / one_of(length, i, 0, d + 1)), xp.stack(made, axis=grid.stage_axis)

        return in_place(backend.scan(body, (start, slope), grid.length)[1], grid.axis)

    def transpose(self, Gs: tuple[Structure, ...], c: Array, *, grid: Levels, boundary: Initial) -> Array:
        """Return u by the transposed systems, from the last level to the first."""
        backend, xp, d = backend_of(c), array_namespace(c), grid.level.ndim
        linear, units, count = self.matrices(Gs), self.units(grid), grid.length
        first = part(c, grid.axis, None, 1)
        start = xp.zeros_like(one_of(first, 0, -1, d + 1)) + 0
        solve = self.turned_solver(linear, grid, start)

        def body(borne: Array, j: Any) -> tuple[Array, Array]:
            i = count - 1 - j
            h = one_of(grid.D, i, 0, d + 1)
            sums = [one_of(c, i + 1, k, d + 1) for k in range(len(self.tableau))]
            sums[-1] = sums[-1] + borne
            out: list[Array] = []
            passed = xp.zeros_like(borne)
            for k in range(len(self.tableau) - 1, -1, -1):
                first, *rest = self.tableau[k]
                out.insert(0, solve(i, k, sums[k]))
                q = one_of(units[k], i, 0, d + 1) * out[0]
                passed = passed + q + self._turned(linear, grid, h * first * q, i, -1)
                for place, a in enumerate(rest[:k]):
                    sums[place] = sums[place] + self._turned(linear, grid, h * a * q, i + 1, place)
            return passed, xp.stack(out, axis=grid.stage_axis)

        borne, levels = backend.scan(body, start, count)
        last = grid.at(first, slice(-1, None)) + borne[(..., None, None, *(slice(None),) * (d + 1))]
        first = joined([grid.at(first, slice(None, -1)), last], grid.stage_axis)
        return joined([first, xp.flip(in_place(levels, grid.axis), axis=grid.axis)], grid.axis)

    def _change(self, linear: Matrices, grid: Levels, u: Array, i: Any, k: int) -> Array:
        """Return ``D Laplacian(u) - G_0 u - G_1 u_s - ...`` with the G of one stage of a level."""
        box, (G0, *Gs) = grid.level, self._at(linear, i, k, grid)
        change = box.a * box.laplacian(u) - (G0 @ u)
        for G, signal in zip(Gs, box.signals, strict=True):
            change = change if G is None else change - (G @ signal.of(u))
        return change

    def _turned(self, linear: Matrices, grid: Levels, q: Array, i: Any, k: int) -> Array:
        """Return the transpose of :meth:`_change`, of q."""
        box, (G0, *Gs) = grid.level, self._at(linear, i, k, grid)
        change = box.laplacian_adjoint(box.a * q) - (G0.mT @ q)
        for G, signal in zip(Gs, box.signals, strict=True):
            change = change if G is None else change - signal.adjoint(G.mT @ q)
        return change

    def _at(self, linear: Matrices, i: Any, k: int, grid: Levels) -> list[Any]:
        """Return the matrices of one stage of a level, (*B, *R, n, n)."""
        d = grid.level.ndim
        return [None if G is None else Dense(one_of(G, i, k, d + 2)) for G in linear]


def one_of(a: Array, i: Any, k: int, ndim: int) -> Array:
    """Return place (i, k) on the two axes before the last ndim, (*B, ...); on an axis of 1 the only one."""
    axis = -ndim - 2
    level = a if a.shape[axis] == 1 else backend_of(a).slice(a, i, 1, axis)
    return level[(..., 0, k % a.shape[axis + 1], *(slice(None),) * ndim)]


def in_place(levels: Array, axis: int) -> Array:
    """Return the stacked levels, (T - 1, *B, m, *R, n), with time where it belongs."""
    places = range(1, levels.ndim)
    return array_namespace(levels).permute_dims(levels, (*places[: axis + 1], 0, *places[axis + 1 :]))
