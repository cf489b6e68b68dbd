"""Equations with a Laplacian in the plane: D (u_ss + u_rr) = f(u, u_s, u_r, x, params), without a matrix."""

from __future__ import annotations

import dataclasses
import math
from functools import partial
from typing import Any, ClassVar

from ..backends import backend_of
from ..backends.namespace import Array, array_namespace
from ..backends.trees import record
from ..grids.line import Composed, Stencil
from ..grids.plane import Plane, Sides, components_first, components_last, turned
from ..linalg import krylov
from ..linalg.structure import Dense, Diagonal, Structure
from ._laplace2d import Laplace2D, unit_of
from .base import register

FORCING = 0.1  # of the residual: the most that a step of Newton's method leaves
LIMIT = 300  # iterations


@register("laplace2d.krylov", structures=(Dense, Diagonal), exact=True)
class Krylov(Laplace2D):
    """The rows of :class:`Laplace2D`, without a matrix.

    The linear system

        D Laplacian(delta) + G_0 delta + G_1 delta_s + G_2 delta_r = r / m

    is solved by conjugate residuals, preconditioned by the same with the mean of ``G_0 / D`` in the place of the three:
    that is diagonal in the eigenvectors of the two lines, whatever their spacing and conditions. A step of Newton's
    method leaves a part of the residual that is as small as its correction; derivatives take it to roundoff.

    References
    ----------
    R. E. Lynch, J. R. Rice, D. H. Thomas, "Direct solution of partial difference equations by tensor product
    methods", Numerische Mathematik 6 (1964); S. C. Eisenstat, H. F. Walker, SIAM J. Sci. Comput. 17 (1996).
    """

    is_inexact: ClassVar[bool] = True
    advice: ClassVar[str] = (
        f"Its linear solves stop at {LIMIT} iterations, as where first derivatives are large: try inverse='direct', "
        "which has none"
    )

    def magnitude(self, y: Array, fy: Array, *, grid: Plane, boundary: Sides) -> Array:
        """Return the largest size of the terms of a component's rows: an iteration knows no other scale.

        The weights of the neighbours of u add up to its own.
        """
        xp = array_namespace(y)
        rows = unit_of(grid) * (fy + xp.abs(grid.D) * (2 * grid.own * y + xp.abs(grid.laplacian_given(boundary))))
        rows = rows + xp.abs(grid.values(boundary)) + (1 - grid.free) * y
        return xp.max(rows, axis=(-3, -2), keepdims=True) + 0 * rows

    def correction(
        self, Gs: tuple[Structure, ...], y: Array, ys: tuple[Array, ...], fy: Array, data: object
    ) -> tuple[Array, Array]:
        """Return the residual and a correction that leaves a small part of it."""
        grid, boundary = data.grid, data.boundary  # type: ignore[attr-defined]
        r = self.residual(y, fy, grid=grid, boundary=boundary)
        return r, Linear(grid, Gs).newton(y, r)

    def solve(self, Gs: tuple[Structure, ...], r: Array, *, grid: Plane, boundary: Sides) -> Array:
        """Return delta to roundoff; NaN for an element whose iteration does not get there."""
        return Linear(grid, Gs).exactly(r)

    def transpose(self, Gs: tuple[Structure, ...], c: Array, *, grid: Plane, boundary: Sides) -> Array:
        """Return u by the transposed equations, likewise."""
        return Linear(grid, Gs).transposed_exactly(c)


@record
class Shift:
    """The number g of each component, the mean of G_0 / D.

    Attributes
    ----------
    scale : array, shape (*B, n, X, Y)
        One divided by the eigenvalues of Laplacian + g.
    level : array
        g D.
    """

    scale: Array
    level: Array


def shift_of(grid: Plane, G0: Structure) -> Shift:
    """Return g of one or of many G_0, of the rank of the plane."""
    xp = array_namespace(grid.free)
    level = G0.diagonal() / grid.D * grid.free
    inside = xp.mean(grid.free + 0 * level, axis=(-3, -2), keepdims=True)
    mean = xp.mean(level, axis=(-3, -2), keepdims=True) / xp.where(inside > 0, inside, 1.0)
    eigenvalues = grid.bases[0].values[..., :, None] + grid.bases[1].values[..., None, :]
    nearest = -xp.max(eigenvalues, axis=(-2, -1), keepdims=True)
    floor = 1e-8 * xp.max(xp.abs(eigenvalues), axis=(-2, -1), keepdims=True)
    g = components_first(mean)
    # Shifted by more than half way to the next eigenvalue it would be singular itself; that of a constant is 0.
    g = xp.minimum(g, nearest - xp.maximum(0.5 * xp.maximum(nearest, xp.abs(g)), floor))
    return Shift(1 / (eigenvalues + g), grid.D * components_last(g))


class Linear:
    """The linear equations at one G, ``m (D Laplacian + G_0 + G_1 d/ds + G_2 d/dr)``, and their preconditioner.

    That is ``P = m D (Laplacian + g)`` with a number g for each component. Its z = P^{-1} r is exact, so that

        A z = r + m (G_0 - g D) z + m (G_1 z_s + G_2 z_r)

    takes no Laplacian.
    """

    def __init__(self, grid: Plane, Gs: tuple[Structure | None, ...], shift: Shift | None = None) -> None:
        """Take G_0, and the others or None for zero; the shift is that of G_0."""
        self.grid, self.unit, self.free = grid, unit_of(grid), grid.free
        assert Gs[0] is not None
        self.G0, self.slopes = Gs[0], along_both(grid, Gs[1:])
        shift = shift_of(grid, self.G0) if shift is None else shift
        self.scale, self.level = shift.scale, shift.level
        weight = self.unit * grid.D
        self.weight = array_namespace(weight).where(weight != 0, weight, 1.0)

    def apply(self, v: Array) -> Array:
        """Return the product with the matrix."""
        return self.unit * (self.grid.D * self.grid.laplacian(v) + self._terms(v)) + (1 - self.free) * v

    def transposed(self, c: Array) -> Array:
        """Return the product with the transposed matrix."""
        s, r, w = self.grid.s, self.grid.r, self.unit * c
        Dw = self.grid.D * w
        second = turned(s.second.adjoint(turned(Dw), s.is_ring)) + r.second.adjoint(Dw, r.is_ring)
        return second + self._turned_terms(w) + (1 - self.free) * c

    def _terms(self, v: Array) -> Array:
        """Return ``G_0 v + G_1 v_s + G_2 v_r``."""
        return sum((G @ along.of(v) for along, G in self.slopes), start=self.G0 @ v)

    def _turned_terms(self, w: Array) -> Array:
        """Return the transpose of that."""
        return sum((along.adjoint(G.mT @ w) for along, G in self.slopes), start=self.G0.mT @ w)

    def newton(self, y: Array, r: Array) -> Array:
        """Return delta with an error of its own size, so that the next one is as small as by a full solve."""
        xp, eps = array_namespace(r), float(array_namespace(r).finfo(r.dtype).eps)
        largest = partial(xp.max, axis=(-3, -2, -1), keepdims=True)

        def tol(z: Array) -> Array:
            first = xp.maximum(largest(xp.abs(z)), largest(xp.abs((1 - self.free) * r)))
            size = largest(xp.abs(y)) + first
            ahead = xp.where(size > 0, first / xp.where(size > 0, size, 1.0), 1.0)
            return FORCING * xp.clip(xp.maximum(ahead, eps / xp.where(ahead > 0, ahead, 1.0)), max=1.0)

        return self.solve(r, tol)

    def exactly(self, r: Array) -> Array:
        """Return delta to roundoff, or NaN."""
        return krylov.to_roundoff(lambda rest: self.solve(rest, half_the_digits(r)), self.apply, r, 2)

    def transposed_exactly(self, c: Array) -> Array:
        """Return u to roundoff, or NaN."""
        return krylov.to_roundoff(lambda rest: self.transposed_solve(rest, half_the_digits(c)), self.transposed, c, 2)

    def solve(self, r: Array, tol: Any) -> Array:
        """Return delta: the given values as they are, the rest by the iteration."""
        if not self.grid.holds:
            return krylov.solve(self._propose, r, 2, tol, LIMIT)
        free, given = self.free, (1 - self.free) * r
        rest = free * (r - self.apply(given))
        return given + free * krylov.solve(self._propose, rest, 2, tol, LIMIT)

    def transposed_solve(self, c: Array, tol: float) -> Array:
        """Return u: the rest by the iteration, then what belongs to given values."""
        free = self.free
        inner = free * krylov.solve(self._propose_transposed, free * c, 2, tol, LIMIT)
        return inner + (1 - free) * (c - self.transposed(inner))

    def _propose(self, r: Array) -> tuple[Array, Array]:
        z = self.free * self._constant(r / self.weight, False)
        return z, r + self.unit * (self._terms(z) - self.level * z)

    def _propose_transposed(self, c: Array) -> tuple[Array, Array]:
        z = self.free * self._constant(c, True) / self.weight
        w = self.unit * z
        return z, c + self.free * (self._turned_terms(w) - self.level * w)

    def _constant(self, v: Array, is_turned: bool) -> Array:
        """Solve ``(Laplacian + shift) u = v`` in the eigenvectors of the lines, or its transpose."""
        xp, (s, r) = array_namespace(v), self.grid.bases
        turn = xp.matrix_transpose
        if is_turned:
            there, back = (turn(s.back), r.back), (turn(s.to), r.to)
        else:
            there, back = (s.to, turn(r.to)), (s.back, turn(r.back))
        c = xp.matmul(xp.matmul(there[0], components_first(v)), there[1])
        return components_last(xp.matmul(xp.matmul(back[0], c * self.scale), back[1]))


@dataclasses.dataclass(frozen=True)
class Along:
    """What f is given along s or along r on a plane, for right-hand sides of zero: a slope, or u in a cell beside."""

    stencil: Stencil | Composed
    is_ring: bool
    is_turned: bool

    def of(self, v: Array) -> Array:
        """Return that of v."""
        u = turned(v) if self.is_turned else v
        made = self.stencil.of(u, self.is_ring)
        return turned(made) if self.is_turned else made

    def adjoint(self, c: Array) -> Array:
        """Return the transpose of that, of c."""
        u = turned(c) if self.is_turned else c
        made = self.stencil.adjoint(u, self.is_ring)
        return turned(made) if self.is_turned else made


def along_both(grid: Plane, Gs: tuple[Structure | None, ...]) -> list[tuple[Along, Structure]]:
    """Return d/ds, d/dr and the cells beside with their matrices; without those that are seen to be zero."""
    s, r = (partial(Along, is_ring=line.is_ring, is_turned=line is grid.s) for line in (grid.s, grid.r))
    signals = (s(grid.s.first), r(grid.r.first), *map(s, grid.s.around), *map(r, grid.r.around))
    return [(along, G) for along, G in zip(signals, Gs, strict=True) if G is not None and not is_seen_zero(G)]


def is_seen_zero(G: Structure) -> bool:
    """Return whether all matrices are zero, and the library lets Python see that."""
    return backend_of(G.values).is_concrete(G.values) and not bool(array_namespace(G.values).any(G.values != 0))


def half_the_digits(like: Array) -> float:
    """Return the square root of roundoff: two such solves, one behind the other, reach it."""
    return math.sqrt(array_namespace(like).finfo(like.dtype).eps)
