"""Equations with a Laplacian in a box of any number of axes, without a matrix."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

from ..backends import backend_of
from ..backends.namespace import Array, array_namespace
from ..backends.trees import record
from ..grids.axis import Composed, Sides, Stencil
from ..grids.box import Box, components_first, components_last
from ..linalg import krylov
from ..linalg.structure import Dense, Diagonal, Structure
from .elliptic import Elliptic
from .registration import register

FORCING = 0.1  # of the residual: the most that a step of Newton's method leaves
LIMIT = 300  # iterations
MISSED = 100  # times what was asked of an estimate: what its iteration may have left


def over(grid: Box) -> tuple[int, ...]:
    """Return the axes of space of an array (*B, *R, n)."""
    return tuple(range(-grid.ndim - 1, -1))


@register("laplace.krylov", structures=(Dense, Diagonal), exact=True)
@register("laplace2d.krylov", structures=(Dense, Diagonal), exact=True)
class Krylov(Elliptic):
    """The rows of :class:`Elliptic`, without a matrix.

    The linear system

        D Laplacian(delta) + G_0 delta + G_1 delta_s + G_2 delta_r = r / m

    is solved by conjugate residuals, preconditioned by the same with the mean of ``G_0 / D`` in the place of the three:
    that is diagonal in the eigenvectors of the axes, whatever their spacing and conditions. A step of Newton's
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

    def magnitude(self, y: Array, fy: Array, *, grid: Box, boundary: Sides) -> Array:
        """Return the largest size of the terms of a component's rows: an iteration knows no other scale.

        The weights of the neighbours of u add up to its own.
        """
        rows = grid.unit * (fy + 2 * grid.own * y) + abs(self.given(grid, boundary)) + (1 - grid.free) * y
        return array_namespace(y).max(rows, axis=over(grid), keepdims=True) + 0 * rows

    def correction(
        self, Gs: tuple[Structure, ...], y: Array, ys: tuple[Array, ...], fy: Array, data: object
    ) -> tuple[Array, Array]:
        """Return the residual and a correction that leaves a small part of it."""
        grid, boundary = data.grid, data.boundary  # type: ignore[attr-defined]
        r = self.residual(y, fy, grid=grid, boundary=boundary)
        return r, Linear(grid, Gs).newton(y, r)

    def solve(self, Gs: tuple[Structure, ...], r: Array, *, grid: Box, boundary: Sides) -> Array:
        """Return delta to roundoff; NaN for an element whose iteration does not get there."""
        return Linear(grid, Gs).exactly(r)

    def estimator(
        self, Gs: tuple[Structure, ...], like: Array, *, grid: Box, boundary: Sides
    ) -> Callable[[Array], Array]:
        """Return ``r -> delta`` to half of the digits, NaN for an element whose iteration does not get there."""
        return Linear(grid, Gs).roughly

    def transpose(self, Gs: tuple[Structure, ...], c: Array, *, grid: Box, boundary: Sides) -> Array:
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


def shift_of(grid: Box, G0: Structure) -> Shift:
    """Return g of one or of many G_0, of the rank of the box."""
    xp, space = array_namespace(grid.free), over(grid)
    level = G0.diagonal() / grid.a * grid.free
    inside = xp.mean(grid.free + 0 * level, axis=space, keepdims=True)
    mean = xp.mean(level, axis=space, keepdims=True) / xp.where(inside > 0, inside, 1.0)
    eigenvalues, last = grid.eigenvalues, tuple(range(-grid.ndim, 0))
    nearest = -xp.max(eigenvalues, axis=last, keepdims=True)
    floor = 1e-8 * xp.max(xp.abs(eigenvalues), axis=last, keepdims=True)
    g = components_first(mean, grid.ndim)
    # Shifted by more than half way to the next eigenvalue it would be singular itself; that of a constant is 0.
    g = xp.minimum(g, nearest - xp.maximum(0.5 * xp.maximum(nearest, xp.abs(g)), floor))
    return Shift(1 / (eigenvalues + g), grid.a * components_last(g, grid.ndim))


class Linear:
    """The linear equations at one G, ``m (D Laplacian + G_0 + G_1 d/ds + G_2 d/dr)``, and their preconditioner.

    That is ``P = m D (Laplacian + g)`` with a number g for each component. Its z = P^{-1} r is exact, so that

        A z = r + m (G_0 - g D) z + m (G_1 z_s + G_2 z_r)

    takes no Laplacian.
    """

    def __init__(self, grid: Box, Gs: tuple[Structure | None, ...], shift: Shift | None = None) -> None:
        """Take G_0, and the others or None for zero; the shift is that of G_0."""
        self.grid, self.unit, self.free = grid, grid.unit, grid.free
        assert Gs[0] is not None
        self.G0, self.slopes = Gs[0], seen(grid, Gs[1:])
        shift = shift_of(grid, self.G0) if shift is None else shift
        self.scale, self.level = shift.scale, shift.level
        weight = self.unit * grid.a
        self.weight = array_namespace(weight).where(weight != 0, weight, 1.0)

    def apply(self, v: Array) -> Array:
        """Return the product with the matrix."""
        return self.unit * (self.grid.a * self.grid.laplacian(v) + self._terms(v)) + (1 - self.free) * v

    def transposed(self, c: Array) -> Array:
        """Return the product with the transposed matrix."""
        w = self.unit * c
        return self.grid.laplacian_adjoint(self.grid.a * w) + self._turned_terms(w) + (1 - self.free) * c

    def _terms(self, v: Array) -> Array:
        """Return ``G_0 v + G_1 v_s + G_2 v_r``."""
        return sum((G @ signal.of(v) for signal, G in self.slopes), start=self.G0 @ v)

    def _turned_terms(self, w: Array) -> Array:
        """Return the transpose of that."""
        return sum((signal.adjoint(G.mT @ w) for signal, G in self.slopes), start=self.G0.mT @ w)

    def newton(self, y: Array, r: Array) -> Array:
        """Return delta with an error of its own size, so that the next one is as small as by a full solve."""
        xp, eps = array_namespace(r), float(array_namespace(r).finfo(r.dtype).eps)
        largest = partial(xp.max, axis=(*over(self.grid), -1), keepdims=True)

        def tol(z: Array) -> Array:
            first = xp.maximum(largest(xp.abs(z)), largest(xp.abs((1 - self.free) * r)))
            size = largest(xp.abs(y)) + first
            ahead = xp.where(size > 0, first / xp.where(size > 0, size, 1.0), 1.0)
            return FORCING * xp.clip(xp.maximum(ahead, eps / xp.where(ahead > 0, ahead, 1.0)), max=1.0)

        return self.solve(r, tol)

    def exactly(self, r: Array) -> Array:
        """Return delta to roundoff, or NaN."""
        return krylov.to_roundoff(lambda rest: self.solve(rest, half_the_digits(r)), self.apply, r, self.grid.ndim)

    def roughly(self, r: Array) -> Array:
        """Return delta to half of the digits, or NaN."""
        delta = self.solve(r, half_the_digits(r))
        xp, axes = array_namespace(r), (*over(self.grid), -1)
        left, size = (xp.sum(a * a, axis=axes, keepdims=True) for a in (r - self.apply(delta), r))
        return xp.where(left <= (MISSED * half_the_digits(r)) ** 2 * size, delta, xp.nan)

    def transposed_exactly(self, c: Array) -> Array:
        """Return u to roundoff, or NaN."""
        return krylov.to_roundoff(
            lambda rest: self.transposed_solve(rest, half_the_digits(c)), self.transposed, c, self.grid.ndim
        )

    def solve(self, r: Array, tol: Any) -> Array:
        """Return delta: the given values as they are, the rest by the iteration."""
        if not self.grid.holds:
            return krylov.solve(self._propose, r, self.grid.ndim, tol, LIMIT)
        free, given = self.free, (1 - self.free) * r
        rest = free * (r - self.apply(given))
        return given + free * krylov.solve(self._propose, rest, self.grid.ndim, tol, LIMIT)

    def transposed_solve(self, c: Array, tol: float) -> Array:
        """Return u: the rest by the iteration, then what belongs to given values."""
        free = self.free
        inner = free * krylov.solve(self._propose_transposed, free * c, self.grid.ndim, tol, LIMIT)
        return inner + (1 - free) * (c - self.transposed(inner))

    def _propose(self, r: Array) -> tuple[Array, Array]:
        z = self.free * self._constant(r / self.weight, False)
        return z, r + self.unit * (self._terms(z) - self.level * z)

    def _propose_transposed(self, c: Array) -> tuple[Array, Array]:
        z = self.free * self._constant(c, True) / self.weight
        w = self.unit * z
        return z, c + self.free * (self._turned_terms(w) - self.level * w)

    def _constant(self, v: Array, is_turned: bool) -> Array:
        """Solve ``(Laplacian + shift) u = v`` in the eigenvectors of the axes, or its transpose."""
        d = self.grid.ndim
        return components_last(self.grid.in_eigenvectors(components_first(v, d), self.scale, is_turned), d)


def seen(grid: Box, Gs: tuple[Structure | None, ...]) -> list[tuple[Stencil | Composed, Structure]]:
    """Return slopes and cells beside with their matrices; without those that are seen to be zero."""
    return [(signal, G) for signal, G in zip(grid.signals, Gs, strict=True) if G is not None and not is_seen_zero(G)]


def is_seen_zero(G: Structure) -> bool:
    """Return whether all matrices are zero, and the library lets Python see that."""
    return backend_of(G.values).is_concrete(G.values) and not bool(array_namespace(G.values).any(G.values != 0))


def half_the_digits(like: Array) -> float:
    """Return the square root of roundoff: two such solves, one behind the other, reach it."""
    return math.sqrt(array_namespace(like).finfo(like.dtype).eps)
