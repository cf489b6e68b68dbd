"""Diagonally implicit Runge-Kutta rules for u_t - D u_ss = f(u, u_s), stage by stage and level by level.

    U_k = u_{j-1} + h (a_k0 F_{j-1} + sum_{l <= k} a_kl F_l),    F = D u_ss + f,    u_j = U_m

The stages of the interval that ends at a level are stored with it; the last one is u there.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import reduce
from typing import Any, ClassVar

from ..backends import backend_of
from ..backends.namespace import Array, array_namespace
from ..grids.axis import Axis
from ..grids.levels import Levels
from ..grids.times import Initial
from ..linalg.banded import compiled_march as march
from ..linalg.banded import series, transposed
from ..linalg.banded import solve as solve_line
from ..linalg.matrix_sign import in_right_half_plane
from ..linalg.structure import BlockDiagonal, Structure, identity
from .base import Rule
from .quadrature import quadrature_defect
from .theta import CONTRACTS, CURVED


class Heat(Rule):
    """Row 0 is u_0 - U_k, those behind it are the stages, and ``value - u`` where a value is given.

    With G at every point a stage is one block tridiagonal system in space; levels follow one another.
    """

    structures = (BlockDiagonal,)
    nodes: ClassVar[tuple[float, ...]]
    tableau: ClassVar[tuple[tuple[float, ...], ...]]

    def residual(self, y: Array, fy: Array, *, grid: Levels, boundary: Initial, **kw: Any) -> Array:
        """Return what each stage misses, divided by the weight of U_k in its own row."""
        u, off = self._field(grid, y), 1 - self._free(grid)
        made = self._rows(grid, u, self._slopes(grid, u, fy), -1.0) + off * (self._values(grid) - u)[..., 1:, :, :, :]
        return self._stacked(grid, boundary, y, made)

    def magnitude(self, y: Array, fy: Array, *, grid: Levels, boundary: Initial) -> Array:
        """Return the size of the terms of each row."""
        xp, u = array_namespace(y), self._field(grid, y)
        made = self._rows(grid, u, self._sizes(grid, u, fy), 1.0)
        made = made + (1 - self._free(grid)) * (abs(self._values(grid)) + u)[..., 1:, :, :, :]
        return xp.concat([y[..., :1, :], _flat(made)], axis=-2)

    def defect(self, y: Array, fy: Array, *, grid: Levels, boundary: Initial, **kw: Any) -> tuple[Array, Array] | None:
        """Return the residual of the levels in a quadrature in time, and its doubts, as :meth:`_shared` has them."""
        xp, u = array_namespace(y), self._field(grid, y)
        levels = u[..., -1, :, :], self._slopes(grid, u, fy)[..., -1, :, :]
        laid = [xp.reshape(a, (*a.shape[:-2], a.shape[-2] * a.shape[-1])) for a in levels]
        made = quadrature_defect(laid[0], laid[1], grid.D)
        if made is None:
            return None
        defect, doubt = (self._shared(grid, xp.reshape(rows, levels[0].shape)) for rows in made)
        return defect, doubt

    def _shared(self, grid: Any, levels: Array) -> Array:
        """Return rows of the levels, (*B, T, X, n), in the units of those of the stages, of which each has its part."""
        xp, whole = array_namespace(levels), levels[..., 1:, None, :, :]
        rows = xp.concat([unit * (c * whole) for unit, c in zip(self._units(grid), self.nodes, strict=True)], axis=-3)
        rows = xp.concat([0 * rows[..., :1, :, :, :], rows], axis=-4)
        return _flat(rows)

    def continues(
        self, Gs: tuple[Structure, ...], y: Array, fy: Array, *, grid: Any, boundary: Initial
    ) -> tuple[Array, Array] | None:
        """Return where :meth:`stays` holds, twice; compiled code looks once, at the end, and not at every step."""
        if not backend_of(grid.D).is_concrete(tuple(G.values for G in Gs)):
            return None
        found = self.stays(Gs, grid=grid)
        return found, found

    def stays(self, Gs: tuple[Structure, ...], *, grid: Any) -> Array:
        """Return where the matrices of the stages surely have eigenvalues with a positive real part, (*B, T).

        They have for h = 0, and a root that continues from there loses it only where it ends. Where f has no slopes, it
        is enough that those of ``I + h a_kk G`` at each point have; or, of one component, that v > 0 for some M v > 0,
        since M has no positive entry beside its diagonal then (A. Berman, R. J. Plemmons, "Nonnegative Matrices in the
        Mathematical Sciences", SIAM, 1994, chapter 6). With slopes nothing is said.
        """
        G0, *slopes = linear = self._linear(Gs, grid)
        xp, (m, *points, n) = array_namespace(G0), grid.shape
        flat = xp.reshape(G0, (*G0.shape[: -3 - len(points)], m, -1, n, n))[..., 1:, :, :, :, :]
        weights = backend_of(G0).convert([row[k + 1] for k, row in enumerate(self.tableau)], G0, G0.dtype)
        h = intervals(grid)
        own = (h * xp.reshape(weights, (*(1 for _ in range(h.ndim - 3)), m, 1, 1)))[..., None] * flat
        reacts = in_right_half_plane(own + identity(own, n, own.ndim))
        flows = _flows(G0, slopes) | xp.any(own != own)
        holds = xp.all(reacts, axis=(-2, -1)) | flows
        if n == 1 and len(points) == 1 and len(grid.whole.axes[0].around) <= 2:
            holds = backend_of(G0).rarely(~holds, lambda flags: flags | self._is_positive(linear, grid), holds)
        return xp.concat([xp.ones_like(holds[..., :1]), holds], axis=-1)

    def is_mild(self, Gs: tuple[Structure, ...], y: Array, fy: Array, *, grid: Any) -> Array:
        """Return where ``h a_kk |G|`` is below 1/2 at both ends, and f all but linear between them, (*B, T - 1).

        With slopes of f it is everywhere: :meth:`stays` says nothing then.
        """
        G0, *slopes = self._linear(Gs, grid)
        xp, (_, *points, n) = array_namespace(G0), grid.shape
        rows = xp.sum(xp.abs(xp.reshape(G0, (*G0.shape[: -3 - len(points)], -1, n, n))), axis=-1)
        largest = xp.max(rows, axis=(-2, -1))
        weight = xp.abs(grid.D[..., 0]) * max(row[k + 1] for k, row in enumerate(self.tableau))
        way, change = (a - self.before(a, grid=grid) for a in (y, fy))
        far = xp.max(xp.abs(way), axis=-1)[..., 1:]
        missed = xp.max(xp.abs(change + (Gs[0] @ way)), axis=-1)[..., 1:]
        small = float(xp.finfo(y.dtype).eps) ** 0.5 * xp.max(xp.abs(y), axis=-1)[..., 1:]
        contracts = weight * xp.maximum(largest[..., 1:], largest[..., :-1]) < CONTRACTS
        return (contracts & (weight * missed <= CURVED * far + small)) | _flows(G0, slopes)

    def before(self, y: Array, *, grid: Any) -> Array:
        """Return the level before in the place of each stage; the first level is its own."""
        xp, m = array_namespace(y), grid.shape[0]
        stages = xp.reshape(y, (*y.shape[:-1], m, y.shape[-1] // m))
        levels = stages[..., -1:, :]
        start = xp.concat([levels[..., :1, :, :], levels[..., :-1, :, :]], axis=-3)
        return xp.reshape(xp.broadcast_to(start, stages.shape), y.shape)

    def _is_positive(self, linear: Any, grid: Any) -> Array:
        """Return of which intervals the matrix of every stage maps some v > 0 to 1."""
        xp, blocks = array_namespace(grid.D), self._blocks(linear, grid)
        v = solve_line(blocks, xp.ones_like(blocks[0][..., 0]), grid.whole.axes[0].is_ring)
        return xp.all(v > 0, axis=(-3, -2, -1))

    def _field(self, grid: Any, y: Array) -> Array:
        """Return u, (*B, T, m, X, n)."""
        u: Array = grid.apart(y)
        return u

    def _free(self, grid: Any) -> Array:
        """Return 1 where the equation holds, 0 where a value is given."""
        free: Array = grid.whole.free
        return free

    def _values(self, grid: Any) -> Array:
        """Return the values that conditions give at the ends, zero between them, (*B, T, m, X, n)."""
        values: Array = grid.whole.values(grid.sides)
        return values

    def _own(self, grid: Any) -> Array:
        """Return the size of the weight of u in its own D u_ss."""
        own: Array = grid.whole.own
        return own

    def _slopes(self, grid: Any, u: Array, fy: Array) -> Array:
        """Return F at every level and stage."""
        box = grid.whole
        return box.a * (box.laplacian(u) + box.laplacian_given(grid.sides)) + self._field(grid, fy)

    def _sizes(self, grid: Any, u: Array, fy: Array) -> Array:
        """Return the size of the terms of F."""
        box = grid.whole
        return abs(box.a) * (box.laplacian_size(u) + abs(box.laplacian_given(grid.sides))) + self._field(grid, fy)

    def _rows(self, grid: Levels, u: Array, F: Array, sign: float) -> Array:
        """Return ``u_{j-1} + h sum_l a_kl F_l - U_k`` in its units, or for sign = 1 the sum of the absolute terms."""
        size = abs if sign > 0 else lambda a: a
        h, behind, units = size(intervals(grid)), u[..., :-1, -1:, :, :], self._units(grid)
        rows = []
        for k, (first, *rest) in enumerate(self.tableau):
            slope = size(first) * F[..., :-1, -1:, :, :]
            for place, a in enumerate(rest[: k + 1]):
                slope = slope + size(a) * F[..., 1:, place : place + 1, :, :]
            rows.append(units[k] * (behind + h * slope + sign * u[..., 1:, k : k + 1, :, :]))
        return array_namespace(u).concat(rows, axis=-3)

    def solve(self, Gs: tuple[Structure, ...], r: Array, *, grid: Levels, boundary: Initial) -> Array:
        """Return delta by one block tridiagonal system a stage, level after level; given values miss what they miss."""
        xp = array_namespace(r)
        rows, linear = self._field(grid, r), self._linear(Gs, grid)
        rows = xp.broadcast_to(rows, (*r.shape[:-2], *rows.shape[-4:]))
        first = xp.broadcast_to(rows[..., :1, :, :, :], (*r.shape[:-2], 1, *rows.shape[-3:]))
        start = first[..., -1:, :, :] + 0
        slope = self._change(linear, grid, start, 0, -1)
        levels = self._levels(linear, grid, rows, start, slope)
        levels = xp.where(self._free(grid) > 0, levels, rows[..., 1:, :, :, :])
        delta = xp.concat([first, levels], axis=-4)
        return _flat(delta)

    def _levels(self, linear: Any, grid: Any, rows: Array, start: Array, slope: Array) -> Array:
        """Return all levels, (*B, T - 1, m, X, n): by a compiled loop where there is one, with pivots where needed."""
        is_wide = len(grid.whole.axes[0].around) > 2  # five blocks a row
        if is_wide or not march.takes(rows, start, slope, grid.D, *linear):
            return self._one_by_one(linear, grid, rows, start, slope)
        blocks, xp = self._blocks(linear, grid), array_namespace(rows)
        units = xp.concat([u + 0 * intervals(grid) for u in self._units(grid)], axis=-3)
        known = start[..., 0, 0, :, :], slope[..., 0, 0, :, :]
        behind = rows[..., 1:, :, :, :]
        levels, trusted = march.march(
            blocks, behind, units, grid.D[..., 0], self.tableau, *known, grid.whole.axes[0].is_ring
        )
        if bool(xp.all(trusted)):
            return levels
        pivoted = self._one_by_one(linear, grid, rows, start, slope)
        return xp.where(trusted[..., None, None, None, None], levels, pivoted)

    def _one_by_one(self, linear: Any, grid: Any, rows: Array, start: Array, slope: Array) -> Array:
        """Return the same, one stage after the other."""
        backend, xp, units, h = backend_of(rows), array_namespace(rows), self._units(grid), intervals(grid)
        solve = self._solver(linear, grid, rows[..., 0, 0, :, :])
        per_unit = [1 / xp.where(unit > 0, unit, 1.0) for unit in units]
        length = xp.where(h == 0, 1.0, h)

        def at(a: Array, i: Any, axis: int = -4) -> Array:
            return a if a.shape[axis] == 1 else backend.slice(a, i, 1, axis)

        def body(carry: tuple[Array, Array], i: Any) -> tuple[tuple[Array, Array], Array]:
            before, slope = carry
            step, given = at(h, i), at(rows, i + 1)
            known, made = step * slope, []  # h times D d2/ds2 - G of the level before, and of each stage
            changes: list[Array] = []
            for k, (first, *rest) in enumerate(self.tableau):
                change = before + first * known
                for a, other in zip(rest[:k], changes, strict=True):
                    change = change + a * other
                right = given[..., k : k + 1, :, :] + at(units[k], i) * change
                stage = solve(i, k, right[..., 0, 0, :, :])[..., None, None, :, :]
                made.append(stage)
                changes.append((stage - right * at(per_unit[k], i)) / rest[k])
            return (stage, changes[-1] / at(length, i)), xp.concat(made, axis=-3)

        _, levels = backend.scan(body, (start, slope), grid.length)
        return _in_place(levels)

    def transpose(self, Gs: tuple[Structure, ...], c: Array, *, grid: Levels, boundary: Initial) -> Array:
        """Return u by the transposed systems, from the last level to the first."""
        backend, xp = backend_of(c), array_namespace(c)
        given = self._field(grid, c)
        linear, units, count = self._linear(Gs, grid), self._units(grid), grid.length
        solve = self._turned_solver(linear, grid, given[..., 0, 0, :, :])

        def at(a: Array, i: Any, axis: int = -4) -> Array:
            return a if a.shape[axis] == 1 else backend.slice(a, i, 1, axis)

        def body(borne: Array, j: Any) -> tuple[Array, Array]:
            i = count - 1 - j
            h, here = intervals(grid), at(given, i + 1)
            h = at(h, i)
            sums = [here[..., k : k + 1, :, :] for k in range(len(self.tableau))]
            sums[-1] = sums[-1] + borne
            out: list[Array] = []
            passed = xp.zeros_like(borne)
            for k in range(len(self.tableau) - 1, -1, -1):
                first, *rest = self.tableau[k]
                w = solve(i, k, sums[k][..., 0, 0, :, :])[..., None, None, :, :]
                out.insert(0, w)
                q = at(units[k], i) * w
                passed = passed + q + self._turned(linear, grid, h * first * q, i, -1)
                for place, a in enumerate(rest[:k]):
                    change = self._turned(linear, grid, h * a * q, i + 1, place)
                    sums[place] = sums[place] + change
            return passed, xp.concat(out, axis=-3)

        start = xp.zeros_like(xp.broadcast_to(given, (*c.shape[:-2], *given.shape[-4:]))[..., :1, -1:, :, :])
        borne, levels = backend.scan(body, start + 0, count)
        first = xp.broadcast_to(given[..., :1, :, :, :], (*c.shape[:-2], 1, *given.shape[-3:]))
        first = xp.concat([first[..., :-1, :, :], first[..., -1:, :, :] + borne], axis=-3)
        u = xp.concat([first, xp.flip(_in_place(levels), axis=-4)], axis=-4)
        return _flat(u)

    def _solver(self, linear: Any, grid: Any, like: Array) -> Callable[..., Array]:
        """Return a function (i, k, r) that solves for stage k of interval i, r (*B, X, n)."""
        blocks, stages = _in_a_row(self._blocks(linear, grid), grid.length), len(self.tableau)
        solve = series(blocks, like, grid.whole.axes[0].is_ring)
        return lambda i, k, r: solve(i * stages + k, r)

    def _turned_solver(self, linear: Any, grid: Any, like: Array) -> Callable[..., Array]:
        """Return a function (i, k, c) that solves the transposed equations."""
        blocks = self._blocks(linear, grid)

        def solve(i: Any, k: int, c: Array) -> Array:
            three = tuple(level_of(b, i, -5)[..., 0, k, :, :, :] for b in blocks)
            return transposed(three, c, grid.whole.axes[0].is_ring)

        return solve

    def _change(self, linear: Any, grid: Any, d: Array, level: Any, stage: int) -> Array:
        """Return ``D d_ss - G_0 d - G_1 d_s - ...`` with the G of one stage of a level."""
        box, (G0, *Gs) = grid.whole, (_stage(level_of(G, level, -5), stage) for G in linear)
        change = box.a * box.laplacian(d) - _times(G0, d)
        for G, signal in zip(Gs, box.signals, strict=True):
            change = change - _times(G, signal.of(d))
        return change

    def _turned(self, linear: Any, grid: Any, q: Array, level: Any, stage: int) -> Array:
        """Return the transpose of :meth:`_change`, of q."""
        box, xp = grid.whole, array_namespace(q)
        G0, *Gs = (xp.matrix_transpose(_stage(level_of(G, level, -5), stage)) for G in linear)
        change = box.laplacian_adjoint(box.a * q) - _times(G0, q)
        for G, signal in zip(Gs, box.signals, strict=True):
            change = change - signal.adjoint(_times(G, q))
        return change

    def _units(self, grid: Levels) -> list[Array]:
        """Return, for each stage, one divided by the weight of U_k in its row; 0 where a value is given."""
        own, h = self._own(grid), abs(intervals(grid))
        return [self._free(grid) / (1 + h * abs(row[k + 1]) * own) for k, row in enumerate(self.tableau)]

    def _stacked(self, grid: Any, boundary: Initial, y: Array, rows: Array) -> Array:
        """Return all rows: the first level, what is behind."""
        xp = array_namespace(y)
        behind = _flat(rows)
        return xp.concat([boundary.y0 - y[..., :1, :] + 0 * behind[..., :1, :], behind], axis=-2)

    def _linear(self, Gs: tuple[Structure, ...], grid: Any) -> Any:
        """Return the G_p at every point, (*B, T, m, X, n, n)."""
        xp, (m, X, n) = array_namespace(grid.D), grid.shape
        parts = []
        for G in Gs:
            values = G.in_blocks(n).values
            parts.append(xp.reshape(values, (*values.shape[:-3], m, X, n, n)))
        return tuple(parts)

    def _blocks(self, linear: tuple[Array, ...], grid: Levels) -> tuple[Array, ...]:
        """Return the blocks of ``I - h a_kk (D d2/ds2 - G_0 - G_1 d/ds ...)`` in the units of its rows, by columns."""
        xp, box = array_namespace(grid.D), grid.whole
        G0, *Gs = (G[..., 1:, :, :, :, :] for G in linear)
        units = xp.concat([u + 0 * intervals(grid) for u in self._units(grid)], axis=-3)
        weights = xp.concat(
            [
                u * intervals(grid) * row[k + 1]
                for k, (u, row) in enumerate(zip(self._units(grid), self.tableau, strict=True))
            ],
            axis=-3,
        )
        return implicit(box.axes[0], units + (1 - box.free), weights, box.a, (G0, *Gs))


def implicit(axis: Axis, own: Array, weights: Array, D: Array, Gs: tuple[Array, ...]) -> tuple[Array, ...]:
    """Return the blocks of ``own - weights (D d2/ds2 - G_0 - sum_p G_p S_p)`` in every row, from left to right."""
    G0, *others = Gs
    eye, around = identity(G0, G0.shape[-1], G0.ndim), [signal.bands() for signal in (axis.first, *axis.around)]
    blocks = dict.fromkeys(sorted({k for bands in around for k in bands}), (0 * weights * D)[..., None] * eye)
    for k, weight in axis.second.bands().items():
        blocks[k] = ((own if k == 0 else 0 * own) - weights * D * weight)[..., None] * eye
    for G, bands in zip(others, around, strict=True):
        for k, weight in bands.items():
            blocks[k] = blocks[k] + (weights[..., None] * G) * weight[..., None, :]
    blocks[0] = blocks[0] + weights[..., None] * G0
    return tuple(blocks.values())


def _flows(G0: Array, slopes: list[Array | None]) -> Array:
    """Return whether f has slopes anywhere."""
    xp = array_namespace(G0)
    return reduce(operator.or_, (xp.any(G != 0) for G in slopes if G is not None), xp.any(G0 != G0))


def _flat(u: Array) -> Array:
    """Return (*B, T, m X n) of (*B, T, m, X, n)."""
    return array_namespace(u).reshape(u, (*u.shape[:-3], u.shape[-3] * u.shape[-2] * u.shape[-1]))


def _in_a_row(blocks: tuple[Array, ...], length: int) -> tuple[Array, ...]:
    """Return the systems of all stages of all intervals on one axis, (*B, (T - 1) m, X, n, n)."""
    xp, rank = array_namespace(blocks[0]), max(b.ndim for b in blocks)

    def flat(b: Array) -> Array:
        b = xp.reshape(b, (*(1 for _ in range(rank - b.ndim)), *b.shape))
        full = xp.broadcast_to(b, (*b.shape[:-5], length, *b.shape[-4:]))
        return xp.reshape(full, (*full.shape[:-5], length * full.shape[-4], *full.shape[-3:]))

    return tuple(map(flat, blocks))


def intervals(grid: Levels) -> Array:
    """Return h, (*B, T - 1, 1, 1, 1)."""
    return grid.D[..., None, None]


def level_of(a: Array, i: Any, axis: int) -> Array:
    """Return level i of an array, its axis kept; of one that does not vary, itself."""
    return a if a.shape[axis] == 1 else backend_of(a).slice(a, i, 1, axis)


def _stage(G: Array, stage: int) -> Array:
    """Return the matrices of one stage, its axis kept; G is (*B, 1, m, X, n, n)."""
    place = stage % G.shape[-4]
    return G[..., place : place + 1, :, :, :]


def _times(G: Array, v: Array) -> Array:
    return array_namespace(v).matmul(G, v[..., None])[..., 0]


def _in_place(levels: Array) -> Array:
    """Return the stacked levels, (T - 1, *B, 1, m, X, n), with time where it belongs."""
    xp, rank = array_namespace(levels), levels.ndim
    order = (*range(1, rank - 4), 0, rank - 4, rank - 3, rank - 2, rank - 1)
    turned = xp.permute_dims(levels, order)
    return xp.reshape(turned, (*turned.shape[:-5], turned.shape[-5], *turned.shape[-3:]))
