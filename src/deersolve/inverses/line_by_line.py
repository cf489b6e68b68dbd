"""Stages of an equation with fluxes in a rectangle: what carries u along s and along r, one after the other."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from ..backends import backend_of
from ..backends.namespace import Array, array_namespace
from ..grids.box import Box
from ..linalg import banded as bands
from ..linalg import krylov
from ..linalg.banded import compiled_lines
from ..linalg.banded.lines import Lines
from .elliptic_krylov import LIMIT, half_the_digits
from .runge_kutta_banded import implicit

Solve = Callable[[Any, Array, "Array | None"], Array]
"""(k, r, tol) -> delta of stage k, for r (*B, X, Y, n); to roundoff for tol = None."""


@dataclasses.dataclass(frozen=True)
class Stage:
    """One stage of many."""

    by: Solve
    k: Any

    def solve(self, r: Array, tol: Any) -> Array:
        """Return delta as far as is asked for."""
        return self.by(self.k, r, tol)

    def exactly(self, r: Array) -> Array:
        """Return delta to roundoff, or NaN."""
        return self.by(self.k, r, None)

    def roughly(self, r: Array) -> Array:
        """Return delta to half of the digits."""
        return self.by(self.k, r, 0 * r[..., :1, :1, :1] + half_the_digits(r))


@dataclasses.dataclass(frozen=True)
class Stages:
    """The matrices ``left (F + S - 1) right`` of many stages, preconditioned by ``left F S right``.

    F and S couple u along one axis each, and are solved line by line. Of a stage 1 + h A, A = R + A_s + A_r, they are
    F = 1 + h (R + A_s) and S = 1 + h A_r, and F S differs from it by h^2 A_s A_r.

    References
    ----------
    R. M. Beam, R. F. Warming, "An implicit factored scheme for the compressible Navier-Stokes equations", AIAA Journal
    16 (1978).

    Attributes
    ----------
    first, second : Lines
        F and S.
    left, right : array, shape (*B, K, X, Y, n), or with axes of 1
        Units of the rows, and of the unknowns.
    """

    first: Lines
    second: Lines
    left: Array
    right: Array

    @property
    def transposed(self) -> Stages:
        """The transposed matrices."""
        return Stages(self.second.transposed, self.first.transposed, self.right, self.left)

    def solver(self, like: Array) -> Solve:
        """Return a function that solves for one stage after the other, r like ``like``; each is factored once."""
        made = compiled_lines.solver(self.first, self.second, (self.left, self.right), like, LIMIT)
        return self._plain(like) if made is None else made

    def _plain(self, like: Array) -> Solve:
        """Return the same, by conjugate residuals as every library has them."""
        first, second = self.first, self.second
        along_first, along_second = (bands.series(p.blocks, p.laid(like), p.is_ring) for p in (first, second))

        def solve(k: Any, r: Array, tol: Array | None) -> Array:
            left, right = (_of_stage(unit, k) for unit in (self.left, self.right))

            def propose(r: Array) -> tuple[Array, Array]:
                w = first.natural(along_first(k, first.laid(r / left)))
                v = second.natural(along_second(k, second.laid(w)))
                return v / right, left * (first.times(k, v) + w - v)

            def apply(x: Array) -> Array:
                v = right * x
                return left * (first.times(k, v) + second.times(k, v) - v)

            if tol is not None:
                return krylov.solve(propose, r, 2, tol, LIMIT)
            half = half_the_digits(r)
            return krylov.to_roundoff(lambda rest: krylov.solve(propose, rest, 2, half, LIMIT), apply, r, 2)

        return solve


def _of_stage(unit: Array, k: Any) -> Array:
    """Return the units of stage k, (*B, X, Y, n)."""
    return unit[..., 0, :, :, :] if unit.shape[-4] == 1 else backend_of(unit).slice(unit, k, 1, -4)[..., 0, :, :, :]


def stages_of(box: Box, linear: tuple[Array | None, ...], h: Array) -> Stages:
    """Return the stages ``u (1 + h (G_0 + sum_p G_p S_p - D Laplacian)) delta = r`` in the units u of their rows.

    A flux has in A_s the weights of the states around u, and minus their sum for u itself; R is what G_0 has besides.

    Parameters
    ----------
    box : Box
        In cells, so that no value is given.
    linear : tuple of array, shape (*B, J, m, X, Y, n, n), or None for zero
        G_0, those of the slopes, those of the states around u along s and along r.
    h : array, shape (*B, J, m, 1, 1, 1)
        The interval length by the stage's own weight.
    """
    xp, own, (s, r) = array_namespace(h), linear[0], box.axes
    assert own is not None
    slope_s, slope_r, *around = (0 * own if G is None else G for G in linear[1:])
    around_s, around_r = around[: len(s.around)], around[len(s.around) :]
    own_r = sum((-G for G in around_r), start=0 * own)
    one, unit = 0 * h + 1, 1 / (1 + abs(h) * box.own)
    along_s = implicit(s, one, h, box.a, (own - own_r, slope_s, *around_s))
    along_r = implicit(r, one, h, box.a, (own_r, slope_r, *around_r))
    unit = xp.reshape(unit, (*unit.shape[:-5], unit.shape[-5] * unit.shape[-4], *unit.shape[-3:]))
    ways = ((along_s, s), (along_r, r))
    first, second = (Lines.of_levels(blocks, axis.place, 2, axis.is_ring) for blocks, axis in ways)
    return Stages(first, second, unit, 0 * unit + 1)
