"""Runge-Kutta rules for u_t - D u_ss = f(u, u_s) on a line: a stage is one block tridiagonal system."""

from __future__ import annotations

from ..backends import backend_of
from ..backends.namespace import Array, array_namespace, joined, part
from ..grids.axis import Axis
from ..grids.levels import Levels
from ..linalg.banded import compiled_march as march
from ..linalg.banded import series, transposed
from ..linalg.banded import solve as solve_line
from ..linalg.structure import Structure, identity
from .runge_kutta import register_all
from .runge_kutta_in_space import InSpace, Matrices, Solver, one_of

Blocks = tuple[Array, ...]


class Banded(InSpace):
    """The rows of :class:`InSpace` on one axis; of fluxes that know two cells on each side a row has five blocks."""

    def stage_solver(self, linear: Matrices, grid: Levels, like: Array) -> Solver:
        """Return the solve of a stage, of which what it can is done for all of them at once."""
        stages = len(self.tableau)
        solve = series(_in_a_row(self._blocks(linear, grid), grid), like, grid.whole.axes[0].is_ring)
        return lambda i, k, r: solve(i * stages + k, r)

    def turned_solver(self, linear: Matrices, grid: Levels, like: Array) -> Solver:
        """Return the solve of the transposed stage."""
        blocks, is_ring = self._blocks(linear, grid), grid.whole.axes[0].is_ring
        return lambda i, k, c: transposed(tuple(one_of(b, i, k, 3) for b in blocks), c, is_ring)

    def levels(self, linear: Matrices, grid: Levels, rows: Array, start: Array, slope: Array) -> Array:
        """Return all levels behind a start: by a compiled loop where there is one, with pivots where needed."""
        is_wide = len(grid.whole.axes[0].around) > 2  # five blocks a row
        if is_wide or not march.takes(rows, start, slope, grid.D, *linear):
            return super().levels(linear, grid, rows, start, slope)
        xp, axis = array_namespace(rows), grid.whole.axes[0]
        units = joined([unit + 0 * grid.D for unit in self.units(grid)], grid.stage_axis)
        known = grid.behind(rows), units, grid.steps, self.tableau, start, slope
        levels, trusted = march.march(self._blocks(linear, grid), *known, axis.is_ring)
        if bool(xp.all(trusted)):
            return levels
        pivoted = super().levels(linear, grid, rows, start, slope)
        return xp.where(trusted[..., None, None, None, None], levels, pivoted)

    def stays(self, Gs: tuple[Structure, ...], *, grid: Levels) -> Array:
        """Return the same, or of one component that v > 0 for some M v > 0.

        M has no positive entry beside its diagonal then (A. Berman, R. J. Plemmons, "Nonnegative Matrices in the
        Mathematical Sciences", SIAM, 1994, chapter 6).
        """
        holds = super().stays(Gs, grid=grid)
        if grid.shape[-1] > 1 or len(grid.whole.axes[0].around) > 2:
            return holds
        positive: Array = backend_of(holds).rarely(~holds, lambda flags: flags | self._is_positive(Gs, grid), holds)
        return positive

    def _is_positive(self, Gs: tuple[Structure, ...], grid: Levels) -> Array:
        """Return of which intervals the matrix of every stage maps some v > 0 to 1, (*B, T), the first with them."""
        xp, blocks = array_namespace(grid.D), self._blocks(self.matrices(Gs), grid)
        v = solve_line(blocks, xp.ones_like(blocks[0][..., 0]), grid.whole.axes[0].is_ring)
        found = xp.all(v > 0, axis=(-3, -2, -1))
        return xp.concat([xp.ones_like(found[..., :1]), found], axis=-1)

    def _blocks(self, linear: Matrices, grid: Levels) -> Blocks:
        """Return the blocks of ``I - h a_kk (D d2/ds2 - G_0 - G_1 d/ds ...)`` in the units of its rows, by columns."""
        box, units = grid.whole, self.units(grid)
        weights = [unit * grid.D * a for unit, a in zip(units, self.own, strict=True)]
        Gs = tuple(part(G, grid.axis - 1, 1, None) for G in linear)
        unit, weight = (joined([a + 0 * grid.D for a in parts], grid.stage_axis) for parts in (units, weights))
        return implicit(box.axes[0], unit + (1 - box.free), weight, box.a, Gs)


def implicit(axis: Axis, own: Array, weights: Array, D: Array, Gs: tuple[Array, ...]) -> Blocks:
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


def _in_a_row(blocks: Blocks, grid: Levels) -> Blocks:
    """Return the systems of all stages of all intervals on one axis, (*B, (T - 1) m, N, n, n)."""
    xp, rank = array_namespace(blocks[0]), max(b.ndim for b in blocks)

    def flat(b: Array) -> Array:
        b = xp.reshape(b, (*(1,) * (rank - b.ndim), *b.shape))
        full = xp.broadcast_to(b, (*b.shape[:-5], grid.length, *b.shape[-4:]))
        return xp.reshape(full, (*full.shape[:-5], grid.length * full.shape[-4], *full.shape[-3:]))

    return tuple(map(flat, blocks))


register_all("heat", Banded)
