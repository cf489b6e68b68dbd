"""``blelloch``: work-efficient odd-even reduction in the Array API, for GPUs and for autograd."""

from __future__ import annotations

from ...backends.namespace import Array, Namespace, array_namespace
from .affine import register
from .lag_one import to_lag_one


@register("blelloch")
def blelloch(As: tuple[Array, ...], lags: tuple[int, ...], b: Array) -> Array:
    """Return ``y_i = A_i y_{i-1} + b_i`` from the recurrence of every second point.

    Notes
    -----
    ``y_{2j+1} = (A_{2j+1} A_{2j}) y_{2j-1} + (A_{2j+1} b_{2j} + b_{2j+1})`` is a recurrence of half
    the length; the even points follow from it. Work ``O(T n^3)``, depth ``2 log2 T``, about two
    copies of A. Several lags need ``n * max(lags) <= 16``.
    """
    A, d, restore = to_lag_one(As, lags, b)
    return restore(_scan(array_namespace(b), A, d))


def _scan(xp: Namespace, A: Array, b: Array) -> Array:
    """Scan b, shape (*B, T, n), with A of points 1 to T - 1."""
    T = b.shape[-2]
    if T == 1:
        return b
    is_dense, half = A.ndim == b.ndim + 1, T // 2

    def times(a: Array, v: Array) -> Array:
        return xp.matmul(a, v[..., None])[..., 0] if is_dense else a * v

    def rows(start: int, stop: int | None = None) -> Array:
        return A[..., start:stop:2, :, :] if is_dense else A[..., start:stop:2, :]

    even, odd = b[..., 0::2, :], b[..., 1::2, :]
    to_odd, to_even = rows(0), rows(1)  # A_1, A_3, ... and A_2, A_4, ...
    later = to_odd[..., 1:, :, :] if is_dense else to_odd[..., 1:, :]
    between = rows(1, 2 * half - 1)  # A_2, A_4, ...: one for each of A_3, A_5, ...
    product = xp.matmul(later, between) if is_dense else later * between
    odd = _scan(xp, product, odd + times(to_odd, even[..., :half, :]))
    rest = even[..., 1:, :] + times(to_even, odd[..., : T - half - 1, :])
    return _interleave(xp, xp.concat([even[..., :1, :], rest], axis=-2), odd)


def _interleave(xp: Namespace, even: Array, odd: Array) -> Array:
    """Return even[0], odd[0], even[1], odd[1], ... along the time axis."""
    half = odd.shape[-2]
    pairs = xp.stack([even[..., :half, :], odd], axis=-2)
    joined = xp.reshape(pairs, (*odd.shape[:-2], 2 * half, odd.shape[-1]))
    return xp.concat([joined, even[..., half:, :]], axis=-2) if even.shape[-2] > half else joined
