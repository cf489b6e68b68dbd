"""``numba``: compiled loops over arrays in the memory of the CPU, unrolled for small n."""

from __future__ import annotations

import math
from typing import Any

from ...backends.namespace import Array
from ...errors import mismatch
from ..host import from_numpy, is_host_float, is_installed, to_numpy
from .affine import register


@register("numba")
def numba(As: tuple[Array, ...], lags: tuple[int, ...], b: Array) -> Array:
    """Return ``y_i = sum_p A_{p,i} y_{i-k_p} + b_i`` in one pass over A and b.

    Notes
    -----
    Work ``O(P T n^2)``; y itself is the ring buffer. Reads A by its strides: the adjoint, with time
    flipped and A transposed, copies nothing. One thread and no interpreter lock, so that several
    scans may run at once. The first call with a new (kind, n up to 8, lags, dtype) compiles for a
    second.
    """
    if not is_installed("numba"):
        raise mismatch("the way 'numba'", "Numba to be installed", "no Numba", "Run pip install numba.")
    import numpy as np

    from .numba_kernels import Kind, kernel

    rhs = to_numpy(b)
    if not is_host_float(rhs):
        raise mismatch("the way 'numba'", "float32 or float64", rhs.dtype)
    batch, (points, n) = rhs.shape[:-2], rhs.shape[-2:]
    is_dense = As[0].ndim == rhs.ndim + 1
    kind = Kind(is_dense, n, len(lags), lags[0] == 1, rhs.dtype.char).simplest
    terms: list[Any] = []
    for A, k in zip(As, lags, strict=True):
        one_batch = _flat_batch(to_numpy(A), batch, 3 if is_dense else 2)
        terms += [k, *(_flat(one_batch) if kind.is_flat else [one_batch])]
    y = np.empty(rhs.shape, rhs.dtype)
    kernel(kind)(y.reshape(-1, points, n), _flat_batch(rhs, batch, 2), *terms)
    return from_numpy(y, like=b)


def _flat_batch(a: Any, batch: tuple[int, ...], n_core: int) -> Any:
    """Return ``a`` with the batch in one axis; a batch of ones is repeated without a copy."""
    import numpy as np

    core, own = a.shape[-n_core:], a.shape[:-n_core]
    size = math.prod(batch)
    if own != batch and math.prod(own) == 1:
        return np.broadcast_to(a.reshape(1, *core), (size, *core))
    return (a if own == batch else np.broadcast_to(a, (*batch, *core))).reshape(size, *core)


def _flat(a: Any) -> tuple[Any, int, int, int, bool]:
    """Return matrices (S, T, n, n) flat: an array, the first's place, two strides and the order."""
    import numpy as np

    n, item = a.shape[-1], a.itemsize
    if sorted(a.strides[-2:]) != [item, n * item]:
        a = np.ascontiguousarray(a)
    steps = [stride // item for stride in a.strides[:2]]
    lowest = a[tuple(slice(None, None, -1 if step < 0 else 1) for step in steps)]
    reach = [(size - 1) * step for size, step in zip(a.shape[:2], steps, strict=True)]
    span = n * n + sum(abs(r) for r in reach)
    flat = np.lib.stride_tricks.as_strided(lowest, (span,), (item,), writeable=False)
    return flat, sum(-r for r in reach if r < 0), *steps, a.strides[-1] == item
