"""What rules say of every interval at once, from its two ends: sums, differences and the linear equation."""

from __future__ import annotations

from ..backends.namespace import Array, array_namespace
from ..linalg.structure import Dense, Diagonal, Structure, Zero, identity


def early(a: Array) -> Array:
    """Return ``a_i``."""
    return a[..., :-1, :]


def late(a: Array) -> Array:
    """Return ``a_{i+1}``."""
    return a[..., 1:, :]


def rise(a: Array) -> Array:
    """Return ``a_{i+1} - a_i``."""
    return late(a) - early(a)


def mean(a: Array, theta: float = 0.5) -> Array:
    """Return ``(1 - theta) a_i + theta a_{i+1}``."""
    return (1 - theta) * early(a) + theta * late(a)


def stacked(first: Array, rows: Array) -> Array:
    """Return the first row and those of the intervals as one array."""
    xp = array_namespace(first, rows)
    return xp.concat([xp.broadcast_to(first, (*rows.shape[:-2], 1, rows.shape[-1])), rows], axis=-2)


def ends(G: Structure) -> tuple[Structure, Structure]:
    """Return ``G_i`` and ``G_{i+1}``."""
    inner = tuple(slice(None) for _ in range(G.tail))
    return G.map(lambda v: v[(..., slice(None, -1), *inner)]), G.map(lambda v: v[(..., slice(1, None), *inner)])


def sides(G: Structure, D: Array, theta: float = 0.5) -> tuple[Structure, Structure]:
    """Return ``I + theta D G_{i+1}`` and ``I - (1 - theta) D G_i``."""
    behind, ahead = ends(G)
    return _one_plus(theta * D, ahead), _one_plus((theta - 1) * D, behind)


def _one_plus(D: Array, G: Structure) -> Structure:
    if isinstance(G, Diagonal | Zero):
        return Diagonal(1 + D * G.diagonal())
    dense = G.to_dense()
    return Dense(identity(dense, G.n, dense.ndim) + D[..., None] * dense)


def propagators(A: Structure) -> Structure:
    """Return the A of every interval as that of the point at its end; nothing leads to the first point."""
    xp, axis = array_namespace(A.values), -1 - A.tail

    def after_nothing(values: Array) -> Array:
        first = values[(..., slice(None, 1), *(slice(None) for _ in range(A.tail)))]
        return xp.concat([xp.zeros_like(first), values], axis=axis)

    return A.map(after_nothing)


def hermite(y: Array, fy: Array, D: Array) -> Array:
    """Return the cubics with the values y and slopes fy of the ends of every interval, (*B, T - 1, 4, n)."""
    way, first, last = rise(y), D * early(fy), D * late(fy)
    rows = [early(y), first, 3 * way - 2 * first - last, first + last - 2 * way]
    return array_namespace(y).stack(rows, axis=-2)
