"""Equations with a Laplacian in a box of any number of axes, by a sparse LU."""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import ClassVar
from weakref import WeakKeyDictionary

from ..backends import backend_of
from ..backends.namespace import Array, array_namespace
from ..grids.axis import Sides
from ..grids.box import Box
from ..linalg import sparse_lu as sparse
from ..linalg.structure import Dense, Diagonal, Structure, identity
from .elliptic import Elliptic
from .registration import register

_kept: WeakKeyDictionary[Box, sparse.Kept] = WeakKeyDictionary()


@register("laplace.direct", structures=(Dense, Diagonal), exact=True)
@register("laplace2d.direct", structures=(Dense, Diagonal), exact=True)
class Direct(Elliptic):
    """The rows of :class:`Elliptic`, with a sparse LU of their matrix for each batch element.

    The matrix of

        D Laplacian(delta) + G_0 delta + G_1 delta_s + G_2 delta_r + ... = r / m

    couples a point with its two neighbours on each axis. It is factorised on the host, in the order of nested
    dissection, and solved with until the residual is at roundoff; the transposed equations take the same factors. A
    matrix that is singular to working precision gives NaN. Work O(N^3) and memory O(N^2 log N) on N x N points, O(N^6)
    and O(N^4) on N x N x N, whatever f is.

    References
    ----------
    A. George, SIAM Journal on Numerical Analysis 10 (1973); J. W. Demmel, S. C. Eisenstat, J. R. Gilbert, X. S. Li,
    J. W. H. Liu, "A supernodal approach to sparse partial pivoting", SIAM Journal on Matrix Analysis 20 (1999).
    """

    advice: ClassVar[str] = "A matrix that is singular to working precision gives NaN"

    def solve(self, Gs: tuple[Structure, ...], r: Array, *, grid: Box, boundary: Sides) -> Array:
        """Return delta to roundoff, where a value is given exactly; NaN for an element whose matrix is singular."""
        delta = sparse.solve(entries(grid, Gs), r, _rings(grid), _factors(grid))
        return array_namespace(r).where(grid.free > 0, delta, r + 0 * delta)

    def transpose(self, Gs: tuple[Structure, ...], c: Array, *, grid: Box, boundary: Sides) -> Array:
        """Return u by the transposed equations, likewise."""
        return sparse.solve(entries(grid, Gs), c, _rings(grid), _factors(grid), transposed=True)


def entries(grid: Box, Gs: tuple[Structure, ...]) -> Array:
    """Return the weights of each point and of its neighbours on every axis, (*B, 1 + 2 d, *R, n, n), or n x 1.

    The last of a diagonal G.
    """
    xp, unit, a = array_namespace(grid.free), grid.unit[..., None], grid.a
    is_diagonal = all(isinstance(G, Diagonal) for G in Gs)
    G0, *slopes = (unit * (G.diagonal()[..., None] if is_diagonal else G.to_dense()) for G in Gs)
    eye = identity(G0, G0.shape[-1], G0.ndim)

    def part(G: Array, second: Array, first: Array) -> Array:
        return (unit * (a * second)[..., None]) * eye + G * (first[..., None] if is_diagonal else first[..., None, :])

    whole = reduce(add, (axis.second.middle for axis in grid.axes))
    total = part(slopes[0], whole, grid.axes[0].first.middle)
    for G, axis in zip(slopes[1:], grid.axes[1:], strict=True):
        total = total + part(G, 0 * whole, axis.first.middle)
    parts = [total + G0 + (1 - grid.free)[..., None] * eye]
    for G, axis in zip(slopes, grid.axes, strict=True):
        second, first = axis.second, axis.first
        parts += [part(G, second.lower, first.lower), part(G, second.upper, first.upper)]
    return xp.stack(xp.broadcast_arrays(*parts), axis=-grid.ndim - 3)


def _rings(grid: Box) -> tuple[bool, ...]:
    return tuple(axis.is_ring for axis in grid.axes)


def _factors(grid: Box) -> sparse.Kept | None:
    """Return where factors are kept for as long as the grid lives; a compiled program would outlive it."""
    return None if backend_of(grid.free).compiles else _kept.setdefault(grid, {})
