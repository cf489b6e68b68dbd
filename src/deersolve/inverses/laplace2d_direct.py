"""Equations with a Laplacian in the plane: D (u_ss + u_rr) = f(u, u_s, u_r, x, params), by a sparse LU."""

from __future__ import annotations

from typing import ClassVar
from weakref import WeakKeyDictionary

from ..backends import backend_of
from ..backends.namespace import Array, array_namespace
from ..grids.line import Stencil
from ..grids.plane import Plane, Sides, turned
from ..linalg import sparse_lu as sparse
from ..linalg.structure import Dense, Diagonal, Structure, identity
from ._laplace2d import Laplace2D, unit_of
from .base import register

_kept: WeakKeyDictionary[Plane, sparse.Kept] = WeakKeyDictionary()


@register("laplace2d.direct", structures=(Dense, Diagonal), exact=True)
class Direct(Laplace2D):
    """The rows of :class:`Laplace2D`, with a sparse LU of their matrix for each batch element.

    The matrix of

        D Laplacian(delta) + G_0 delta + G_1 delta_s + G_2 delta_r = r / m

    couples five neighbours. It is factorised on the host, in the order of nested dissection, and solved with until the
    residual is at roundoff; the transposed equations take the same factors. A matrix that is singular to working
    precision gives NaN. Work O(N^3) and memory O(N^2 log N) on N x N points, whatever f is.

    References
    ----------
    A. George, SIAM Journal on Numerical Analysis 10 (1973); J. W. Demmel, S. C. Eisenstat, J. R. Gilbert, X. S. Li,
    J. W. H. Liu, "A supernodal approach to sparse partial pivoting", SIAM Journal on Matrix Analysis 20 (1999).
    """

    advice: ClassVar[str] = "A matrix that is singular to working precision gives NaN"

    def solve(self, Gs: tuple[Structure, ...], r: Array, *, grid: Plane, boundary: Sides) -> Array:
        """Return delta to roundoff, where a value is given exactly; NaN for an element whose matrix is singular."""
        delta = sparse.solve(entries(grid, Gs), r, _rings(grid), _factors(grid))
        return array_namespace(r).where(grid.free > 0, delta, r + 0 * delta)

    def transpose(self, Gs: tuple[Structure, ...], c: Array, *, grid: Plane, boundary: Sides) -> Array:
        """Return u by the transposed equations, likewise."""
        return sparse.solve(entries(grid, Gs), c, _rings(grid), _factors(grid), transposed=True)


def entries(grid: Plane, Gs: tuple[Structure, ...]) -> Array:
    """Return the weights of each point and of its four neighbours, (*B, 5, X, Y, n, n), or n x 1 of a diagonal G."""
    xp, unit = array_namespace(grid.free), unit_of(grid)[..., None]
    is_diagonal = all(isinstance(G, Diagonal) for G in Gs)
    G0, G1, G2 = (unit * (G.diagonal()[..., None] if is_diagonal else G.to_dense()) for G in Gs)
    eye = identity(G0, G0.shape[-1], G0.ndim)

    def part(G: Array, second: Array, first: Array) -> Array:
        return (unit * (grid.D * second)[..., None]) * eye + G * (
            first[..., None] if is_diagonal else first[..., None, :]
        )

    (s2, s1), (r2, r1) = ((turned_of(grid.s.second), turned_of(grid.s.first)), (grid.r.second, grid.r.first))
    own = part(G1, s2.middle + r2.middle, s1.middle) + part(G2, 0 * r2.middle, r1.middle) + G0
    parts = [
        own + (1 - grid.free)[..., None] * eye,
        part(G1, s2.lower, s1.lower),
        part(G1, s2.upper, s1.upper),
        part(G2, r2.lower, r1.lower),
        part(G2, r2.upper, r1.upper),
    ]
    return xp.stack(xp.broadcast_arrays(*parts), axis=-5)


def turned_of(stencil: Stencil) -> Stencil:
    """Return the weights along s of arrays that are not turned."""
    return Stencil(*(turned(getattr(stencil, k)) for k in ("lower", "middle", "upper", "left", "right")))


def _rings(grid: Plane) -> tuple[bool, bool]:
    return grid.s.is_ring, grid.r.is_ring


def _factors(grid: Plane) -> sparse.Kept | None:
    """Return where factors are kept for as long as the grid lives; a compiled program would outlive it."""
    return None if backend_of(grid.free).compiles else _kept.setdefault(grid, {})
