"""A stage of an equation with fluxes in a rectangle: what carries u along s and along r, one after the other."""

from __future__ import annotations

import dataclasses

from ..backends.namespace import Array, array_namespace
from ..backends.trees import tree_map
from ..grids.axis import Axis
from ..grids.box import Box
from ..linalg import banded as bands
from ..linalg.krylov import Map
from ..linalg.structure import Dense, Structure, identity
from .elliptic_krylov import Linear, seen
from .runge_kutta_banded import implicit


class LineByLine(Linear):
    """The stage 1 + h A, A = R + A_s + A_r, preconditioned by (1 + h (R + A_s)) (1 + h A_r), up to its sign and unit.

    Each factor couples u along one axis only, and is solved line by line. They differ from the stage by h^2 A_s A_r.
    A flux has in A_s the weights of the states around u, and minus their sum for u itself; R is what G_0 has besides.

    References
    ----------
    R. M. Beam, R. F. Warming, "An implicit factored scheme for the compressible Navier-Stokes equations", AIAA Journal
    16 (1978).
    """

    def __init__(self, grid: Box, G0: Structure, Gs: tuple[Structure | None, ...], step: Array) -> None:
        """Take the G_p of the stage, None for zero, and h a."""
        own, (s, r) = G0.to_dense(), grid.axes
        eye = identity(own, own.shape[-1], own.ndim)
        self.grid, self.free, self.step = grid, grid.free, step
        self.unit = 1 / (grid.own + 1 / step)
        self.G0 = Dense(-(own + eye / step[..., None]))
        self.slopes = [(signal, -G) for signal, G in seen(grid, Gs)]
        slope_s, slope_r, *around = (0 * own if G is None else G.to_dense() for G in Gs)
        around_s, around_r = around[: len(s.around)], around[len(s.around) :]
        own_r = -sum(around_r, start=0 * own)
        one, D = 0 * self.unit + 1, grid.a + 0 * self.unit
        along_s = [_with_lines_of_s(G) for G in (own - own_r, slope_s, *around_s)]
        self.blocks = (
            implicit(_turned_axis(s), turned(one), turned(one * step), turned(D), tuple(along_s)),
            implicit(r, one, one * step, D, (own_r, slope_r, *around_r)),
        )
        self.lines = self._solves(self.blocks)

    def _solves(self, blocks: tuple[bands.Blocks, bands.Blocks]) -> tuple[Map, Map]:
        """Return the solves along s, of lines (*B, Y, X, n), and along r."""
        like, (along_s, along_r) = self.G0.to_dense()[..., 0], blocks
        there = bands.repeated(along_s, turned(like), self.grid.axes[0].is_ring)
        return there, bands.repeated(along_r, like, self.grid.axes[1].is_ring)

    def transposed_exactly(self, c: Array) -> Array:
        """Return u by the transposed equations, whose factors are made outside of the iteration."""
        along_s, along_r = self.blocks
        self.turned_lines = self._solves((bands.turned(along_s), bands.turned(along_r)))
        return super().transposed_exactly(c)

    def _propose(self, r: Array) -> tuple[Array, Array]:
        """Solve along s, then along r."""
        along_s, along_r = self.lines
        z = along_r(turned(along_s(turned(-self.step / self.unit * r))))
        return z, self.apply(z)

    def _propose_transposed(self, c: Array) -> tuple[Array, Array]:
        """Solve the transposed equations along r, then along s."""
        along_s, along_r = self.turned_lines
        z = -self.step / self.unit * turned(along_s(turned(along_r(c))))
        return z, self.transposed(z)


def _with_lines_of_s(G: Array) -> Array:
    """Return (*B, Y, X, n, n) of (*B, X, Y, n, n)."""
    rank = G.ndim
    return array_namespace(G).permute_dims(G, (*range(rank - 4), rank - 3, rank - 4, rank - 2, rank - 1))


def turned(u: Array) -> Array:
    """Return (*B, Y, X, n) of (*B, X, Y, n), and the other way round."""
    rank = u.ndim
    return array_namespace(u).permute_dims(u, (*range(rank - 3), rank - 2, rank - 3, rank - 1))


def _turned_axis(axis: Axis) -> Axis:
    """Return the axis s with the weights of its stencils laid along the last axis of space."""
    second, first, *around = (tree_map(turned, stencil) for stencil in (axis.second, axis.first, *axis.around))
    return dataclasses.replace(axis, second=second, first=first, around=tuple(around))
