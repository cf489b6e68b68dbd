"""Equations with a Laplacian in the plane: D (u_ss + u_rr) = f(u, u_s, u_r, x, params), without a matrix."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, ClassVar

from .. import krylov
from ..plane import Plane, Sides, components_first, components_last, turned
from ..structure import Dense, Diagonal, Structure
from ..typing import Array, array_namespace
from ._base import Rule, register

FORCING = 0.1  # of the residual: the most that a step of Newton's method leaves
LIMIT = 300  # iterations


@register("laplace2d.krylov", structures=(Dense, Diagonal), exact=True)
class Krylov(Rule):
    """Row (i, j) is ``m (f - D (u_ss + u_rr))`` by central differences; where a value is given, ``value - u``.

    1 / m is the weight of u itself, so that rows are in the units of u. The linear system

        D Laplacian(delta) + G_0 delta + G_1 delta_s + G_2 delta_r = r / m

    is solved by conjugate residuals, preconditioned by the same with the mean of ``G_0 / D`` in the place of the three:
    that is diagonal in the eigenvectors of the two lines, whatever their spacing and conditions. A step of Newton's
    method leaves a part of the residual that is as small as its correction; derivatives take it to roundoff.

    References
    ----------
    R. E. Lynch, J. R. Rice, D. H. Thomas, "Direct solution of partial difference equations by tensor product
    methods", Numerische Mathematik 6 (1964); S. C. Eisenstat, H. F. Walker, SIAM J. Sci. Comput. 17 (1996).
    """

    order: ClassVar[int | None] = 2
    is_inexact: ClassVar[bool] = True

    def residual(self, y: Array, fy: Array, *, grid: Plane, boundary: Sides, **kw: object) -> Array:
        """Return ``m (f - D Laplacian(y))``."""
        applied = grid.D * (grid.laplacian(y) + grid.laplacian_given(boundary))
        return _unit(grid) * (fy - applied) + grid.values(boundary) - (1 - grid.free) * y

    def magnitude(self, y: Array, fy: Array, *, grid: Plane, boundary: Sides) -> Array:
        """Return the largest size of the terms of a component's rows: an iteration knows no other scale."""
        xp, s, r = array_namespace(y), grid.s, grid.r
        size = turned(s.second.sizes().of(turned(y), s.is_ring)) + r.second.sizes().of(y, r.is_ring)
        rows = _unit(grid) * (fy + xp.abs(grid.D) * (size + xp.abs(grid.laplacian_given(boundary))))
        rows = rows + xp.abs(grid.values(boundary)) + (1 - grid.free) * y
        return xp.max(rows, axis=(-3, -2), keepdims=True) + 0 * rows

    def refuses(self, Js: tuple[Structure, ...], *, grid: Plane) -> str | None:
        """Name a component that no condition and no term fixes."""
        xp, J = array_namespace(grid.free), Js[0].to_dense()
        for k, is_unfixed in enumerate(zip(grid.s.unfixed, grid.r.unfixed, strict=True)):
            if all(is_unfixed) and not bool(xp.any(J[..., k] != 0)):
                return (
                    f"left, right, bottom and top: expected a condition on u_{k} itself, or an f that depends on it; "
                    "received slopes only (or rings), which fix it up to a constant, and have no solution at all "
                    "unless f adds up to what flows in."
                )
        return None

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


class Linear:
    """The linear equations at one G, and their preconditioner; 1 / m is the weight of u in D Laplacian(u) + rate u."""

    def __init__(self, grid: Plane, Gs: tuple[Structure, ...], rate: Any = 0.0) -> None:
        self.grid, self.Gs, self.free, self.rate = grid, Gs, grid.free, rate
        self.unit = grid.free / (grid.D * grid.own + rate)
        self._prepare()

    def _prepare(self) -> None:
        """Make the preconditioner."""
        grid, Gs = self.grid, self.Gs
        xp = array_namespace(grid.free)
        level = Gs[0].diagonal() / grid.D * self.free
        inside = xp.mean(self.free + 0 * level, axis=(-3, -2), keepdims=True)
        mean = xp.mean(level, axis=(-3, -2), keepdims=True) / xp.where(inside > 0, inside, 1.0)
        eigenvalues = grid.bases[0].values[..., :, None] + grid.bases[1].values[..., None, :]
        nearest = -xp.max(eigenvalues, axis=(-2, -1), keepdims=True)
        shift = components_first(mean)
        # Shifted by more than half way to the next eigenvalue it would be singular itself; that of a constant is 0.
        shift = xp.minimum(shift, nearest - 0.5 * xp.maximum(nearest, xp.abs(shift)))
        floor = 1e-8 * xp.max(xp.abs(eigenvalues), axis=(-2, -1), keepdims=True)
        self.scale = 1 / xp.minimum(eigenvalues + shift, -floor)
        weight = self.unit * grid.D
        self.weight = xp.where(weight != 0, weight, 1.0)

    def apply(self, v: Array) -> Array:
        """Return the product with the matrix."""
        grid, (G0, *Gs) = self.grid, self.Gs
        terms = grid.D * grid.laplacian(v) + (G0 @ v)
        for G, signal in zip(Gs, grid.shifted(v), strict=True):
            terms = terms + (G @ signal)
        return self.unit * terms + (1 - self.free) * v

    def transposed(self, c: Array) -> Array:
        """Return the product with the transposed matrix."""
        grid, (G0, *Gs) = self.grid, (G.mT for G in self.Gs)
        s, r, w = grid.s, grid.r, self.unit * c
        Dw = grid.D * w
        terms = turned(s.second.adjoint(turned(Dw), s.is_ring)) + r.second.adjoint(Dw, r.is_ring) + (G0 @ w)
        terms = terms + grid.gathered([G @ w for G in Gs])
        return terms + (1 - self.free) * c

    def newton(self, y: Array, r: Array) -> Array:
        """Return delta with an error of its own size, so that the next one is as small as by a full solve."""
        xp, eps = array_namespace(r), float(array_namespace(r).finfo(r.dtype).eps)
        guess = self._precondition(r) + (1 - self.free) * r
        largest = partial(xp.max, axis=(-3, -2, -1), keepdims=True)
        first = largest(xp.abs(guess))
        size = largest(xp.abs(y)) + first
        ahead = xp.where(size > 0, first / xp.where(size > 0, size, 1.0), 1.0)
        return self.solve(r, FORCING * xp.clip(xp.maximum(ahead, eps / xp.where(ahead > 0, ahead, 1.0)), max=1.0))

    def exactly(self, r: Array) -> Array:
        """Return delta to roundoff, or NaN."""
        return krylov.to_roundoff(lambda rest: self.solve(rest, half_the_digits(r)), self.apply, r, 2)

    def transposed_exactly(self, c: Array) -> Array:
        """Return u to roundoff, or NaN."""
        return krylov.to_roundoff(lambda rest: self.transposed_solve(rest, half_the_digits(c)), self.transposed, c, 2)

    def solve(self, r: Array, tol: Array | float) -> Array:
        """Return delta: the given values as they are, the rest by the iteration."""
        free, given = self.free, (1 - self.free) * r
        rest = free * (r - self.apply(given))
        inner = krylov.solve(lambda v: free * self.apply(v), self._precondition, rest, 2, tol, LIMIT)
        return given + free * inner

    def transposed_solve(self, c: Array, tol: float) -> Array:
        """Return u: the rest by the iteration, then what belongs to given values."""
        free = self.free
        inner = krylov.solve(lambda v: free * self.transposed(v), self._turned, free * c, 2, tol, LIMIT)
        inner = free * inner
        return inner + (1 - free) * (c - self.transposed(inner))

    def _precondition(self, r: Array) -> Array:
        return self.free * self._constant(r / self.weight, False)

    def _turned(self, c: Array) -> Array:
        return self.free * self._constant(self.free * c, True) / self.weight

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


def _unit(grid: Plane) -> Array:
    """Return m, 0 where a value is given."""
    return grid.free / (grid.D * grid.own)


def half_the_digits(like: Array) -> float:
    """Return the square root of roundoff: two such solves, one behind the other, reach it."""
    return math.sqrt(array_namespace(like).finfo(like.dtype).eps)
