"""``lapack``: the recurrence as a triangular band system, for NumPy without Numba."""

from __future__ import annotations

from typing import Any

from ...backends.namespace import Array
from ...errors import mismatch
from ..host import from_numpy, is_host_float, to_numpy
from .affine import register
from .lag_one import interleaved

CHUNK = 2**16
"""Entries of the band held at once, so that they stay in the cache."""


@register("lapack")
def lapack(As: tuple[Array, ...], lags: tuple[int, ...], b: Array) -> Array:
    """Solve ``y_i - sum_p A_{p,i} y_{i-k_p} = b_i`` with LAPACK's ``tbtrs``.

    Notes
    -----
    The matrix has a unit diagonal and ``n max(lags) + n - 1`` bands below it: work
    ``O(T n^2 max(lags))``. The batch is one long recurrence with ``A = 0`` at each start; the
    components of a diagonal recurrence are a batch, and so are the strands of a single lag.
    """
    arrays, rhs = [to_numpy(A) for A in As], to_numpy(b)
    if not is_host_float(rhs):
        raise mismatch("the way 'lapack'", "float32 or float64", rhs.dtype)
    return from_numpy(_solve(arrays, lags, rhs), like=b)


def _solve(As: list[Array], lags: tuple[int, ...], b: Array) -> Array:
    """Make strands and components batches, then solve."""
    if len(lags) == 1 and lags[0] > 1:
        A, b, restore = interleaved(As[0], lags[0], b)
        return restore(_solve([A], (1,), b))
    if As[0].ndim == b.ndim:
        columns = [A.swapaxes(-1, -2)[..., None, None] for A in As]
        return _in_chunks(columns, lags, b.swapaxes(-1, -2)[..., None])[..., 0].swapaxes(-1, -2)
    return _in_chunks(As, lags, b)


def _in_chunks(As: list[Array], lags: tuple[int, ...], b: Array) -> Array:
    """Solve for some points at a time; A_p has shape (*B', T - k_p, n, n), b has (*B, T, n)."""
    import numpy as np

    (T, n), K = b.shape[-2:], max(lags)
    length = min(T, max(4 * K, CHUNK // (b[..., 0, :].size * (n * K + n))))
    y, solver = np.empty(b.shape, b.dtype), _Band(b.shape, length, K)
    past = np.zeros((*b.shape[:-2], K, n), b.dtype)
    for start in range(0, T, length):
        stop = min(start + length, T)
        if stop - start < length:
            solver = _Band(b.shape, stop - start, K)
        rows = [A[..., max(start - k, 0) : stop - k, :, :] for A, k in zip(As, lags, strict=True)]
        y[..., start:stop, :] = solver(rows, lags, past, b[..., start:stop, :])
        past = y[..., stop - K : stop, :]
    return y


class _Band:
    """The band of ``length`` points and of the K known points before them.

    Entry [..., j, c, d] couples the unknown d rows below (point j, component c) to that unknown.
    """

    def __init__(self, shape: tuple[int, ...], length: int, K: int) -> None:
        self.shape, self.K = (*shape[:-2], K + length, shape[-1]), K
        self.entries: Any = None
        self.solve: Any = None

    def __call__(self, rows: list[Array], lags: tuple[int, ...], past: Array, b: Array) -> Array:
        """Return y for these points, given the K points of y before them."""
        import numpy as np
        from scipy.linalg import get_lapack_funcs

        n, points = self.shape[-1], self.shape[-2]
        if self.entries is None:
            self.entries = np.zeros((*self.shape, n * self.K + n), b.dtype)
            (self.solve,) = get_lapack_funcs(("tbtrs",), (b,))
        for A, k in zip(rows, lags, strict=True):
            used = self.entries[..., points - k - A.shape[-3] : points - k, :, :]
            for c in range(n):
                # not np.negative: NumPy 2.4.6 gets it wrong for some strides of input and output
                np.multiply(A[..., c], -1, out=used[..., c, n * k - c : n * k - c + n])
        rhs = np.concatenate([past, b], axis=-2)
        y = self._solved(rhs.reshape(1, -1))
        if not np.isfinite(y).all():  # 0 * NaN would carry on into the next batch element
            y = self._solved(rhs.reshape(-1, points * n))
        return y.reshape(self.shape)[..., self.K :, :]

    def _solved(self, rows: Array) -> Array:
        """Solve for right-hand sides that lie end to end, cut into ``len(rows)`` systems."""
        import numpy as np

        bands = self.entries.reshape(*rows.shape, -1)
        options = {"uplo": "L", "diag": "U"}
        return np.stack([self.solve(a.T, r[:, None], **options)[0] for a, r in zip(bands, rows, strict=True)])
