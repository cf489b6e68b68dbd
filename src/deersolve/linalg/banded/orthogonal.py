"""Linear equations between neighbours and between the two ends, by orthogonal reduction in log2 N rounds.

    E_i w_i + F_i w_{i+1} = g_i,   i = 0 ... K - 1,        first w_0 + last w_K = ends

Two equations that share w_{i+1} are multiplied by the transposed Q of [F_i; E_{i+1}] = Q R: the lower half is free of
w_{i+1} and links w_i with w_{i+2}, the upper half gives w_{i+1} back in the end. Reflections do not grow, so that the
reduction is stable where elimination without pivoting across blocks is not.

S. J. Wright, "Stable parallel algorithms for two-point boundary value problems", SIAM J. Sci. Stat. Comput. 13 (1992).
"""

from __future__ import annotations

from ...backends import backend_of
from ...backends.namespace import Array, array_namespace
from ..structure import identity


def solve(blocks: tuple[Array, Array, Array], r: Array, is_ring: bool) -> Array:
    """Return y of a block tridiagonal system: w_i = (y_i, y_{i+1}), with row i + 1 and what it shares with w_{i+1}."""
    xp, n, N = array_namespace(r), r.shape[-1], r.shape[-2]
    full = (*r.shape, n)
    lower, middle, upper = (xp.broadcast_to(a, full) for a in blocks)
    size = xp.max(xp.abs(xp.concat([lower, middle, upper], axis=-1)), axis=-1)
    size = xp.where(size > 0, size, 1.0)
    lower, middle, upper = (a / size[..., None] for a in (lower, middle, upper))
    r = r / size
    if is_ring:  # w_0 ... w_N, the last of which is the first
        order = (slice(1, None), slice(None, 1))
        lower, middle, upper = (xp.concat([a[..., k, :, :] for k in order], axis=-3) for a in (lower, middle, upper))
        rows = xp.concat([r[..., k, :] for k in order], axis=-2)
        first, ends = identity(r, 2 * n, r.ndim), xp.zeros_like(xp.concat([r[..., 0, :], r[..., 0, :]], axis=-1))
        last = -first
    else:
        top = xp.concat([middle[..., 0, :, :], upper[..., 0, :, :]], axis=-1)
        bottom = xp.concat([lower[..., N - 1, :, :], middle[..., N - 1, :, :]], axis=-1)
        first = xp.concat([top, xp.zeros_like(top)], axis=-2)
        last = xp.concat([xp.zeros_like(bottom), bottom], axis=-2)
        ends = xp.concat([r[..., 0, :], r[..., N - 1, :]], axis=-1)
        lower, middle, upper = (a[..., 1:-1, :, :] for a in (lower, middle, upper))
        rows = r[..., 1:-1, :]
    none = xp.zeros_like(lower)
    one = none + identity(lower, n, lower.ndim)
    E = xp.concat([xp.concat([none, one], axis=-1), xp.concat([lower, middle], axis=-1)], axis=-2)
    F = xp.concat([xp.concat([-one, none], axis=-1), xp.concat([none, upper], axis=-1)], axis=-2)
    g = xp.concat([xp.zeros_like(rows), rows], axis=-1)
    w = staircase(E, F, g, first, last, ends)
    if is_ring:
        return w[..., :-1, :n]
    return xp.concat([w[..., :n], w[..., -1:, n:]], axis=-2)


def linked(before: Array, behind: Array, r: Array) -> Array:
    """Return w with ``before_i w_{i-1} + behind_i w_i = r_i``, where before_0 and behind_0 are for w_0 and the last."""
    xp = array_namespace(r)
    size = xp.max(xp.abs(xp.concat([before, behind], axis=-1)), axis=-1)
    size = xp.where(size > 0, size, 1.0)
    before, behind, r = before / size[..., None], behind / size[..., None], r / size
    inner = (..., slice(1, None), slice(None), slice(None))
    ends = before[..., 0, :, :], behind[..., 0, :, :], r[..., 0, :]
    return staircase(before[inner], behind[inner], r[..., 1:, :], *ends)


def staircase(E: Array, F: Array, g: Array, first: Array, last: Array, ends: Array) -> Array:
    """Return w_0 ... w_K, shape (*B, K + 1, m), for E, F (*B, K, m, m), g (*B, K, m), first, last (*B, m, m)."""
    xp, K, m = array_namespace(g), g.shape[-2], g.shape[-1]
    if K == 0:
        return backend_of(g).linear_solve(first + last, ends[..., None])[..., None, :, 0]
    if K == 1:
        two = xp.broadcast_to(first, E[..., 0, :, :].shape), xp.broadcast_to(last, E[..., 0, :, :].shape)
        matrix = xp.concat([xp.concat([E[..., 0, :, :], F[..., 0, :, :]], axis=-1), xp.concat(two, axis=-1)], axis=-2)
        given = xp.concat([g[..., 0, :], xp.broadcast_to(ends, g[..., 0, :].shape)], axis=-1)
        w = backend_of(g).linear_solve(matrix, given[..., None])[..., 0]
        return xp.stack([w[..., :m], w[..., m:]], axis=-2)
    even, odd = slice(0, K - K % 2, 2), slice(1, None, 2)
    shared = xp.concat([F[..., even, :, :], E[..., odd, :, :]], axis=-2)
    none = xp.zeros_like(F[..., even, :, :])
    before = xp.concat([E[..., even, :, :], none], axis=-2)
    behind = xp.concat([none, F[..., odd, :, :]], axis=-2)
    given = xp.concat([g[..., even, :], g[..., odd, :]], axis=-1)[..., None]
    made = _reflected(shared, xp.concat([before, behind, given], axis=-1))
    upper, below = made[..., :m, :], made[..., m:, :]
    parts = [below[..., m : 2 * m], below[..., 2 * m : 3 * m], below[..., 3 * m]]
    if K % 2:
        parts = [xp.concat([p, a[..., K - 1 :, :, :]], axis=-3) for p, a in zip(parts[:2], (E, F), strict=True)] + [
            xp.concat([parts[2], g[..., K - 1 :, :]], axis=-2)
        ]
    w = staircase(parts[0], parts[1], parts[2], first, last, ends)
    count = K // 2
    left, right = w[..., :count, :, None], w[..., 1 : count + 1, :, None]
    known = upper[..., m : 2 * m] @ left + upper[..., 2 * m : 3 * m] @ right
    inner = backend_of(g).linear_solve(upper[..., :m], upper[..., 3 * m :] - known)[..., 0]
    pairs = xp.stack([w[..., :count, :], inner], axis=-2)
    flat = xp.reshape(pairs, (*pairs.shape[:-3], 2 * count, m))
    return xp.concat([flat, w[..., count:, :]], axis=-2)


def _reflected(shared: Array, others: Array) -> Array:
    """Return ``Q^T [shared, others]`` for shared = Q R, (*S, 2 m, m): one reflection of Householder's a column."""
    xp, m = array_namespace(shared), shared.shape[-1]
    whole = xp.concat([shared, others], axis=-1)
    place = xp.arange(2 * m, device=backend_of(shared).placement(shared))
    tiny = float(xp.finfo(shared.dtype).smallest_normal)
    for k in range(m):
        column = xp.where(place >= k, whole[..., k], 0.0)
        head = column[..., k : k + 1]
        square = xp.sum(column * column, axis=-1, keepdims=True)
        norm = xp.sqrt(xp.where(square > 0, square, tiny))
        signed = xp.where(square > 0, xp.where(head < 0, -norm, norm), 0.0)
        v = (column + xp.where(place == k, signed, 0.0))[..., None]
        length = square + xp.abs(head) * norm  # half of v . v
        ratio = xp.sum(v * whole, axis=-2, keepdims=True) / xp.where(length > 0, length, 1.0)[..., None]
        whole = whole - v * ratio  # of a column of zeros v is 0
    return whole
