"""``sequential``: the recurrence as it is written, one point after the other. The ground truth."""

from __future__ import annotations

from collections.abc import Callable

from ...backends.namespace import Array, array_namespace
from ..host import from_numpy, in_host_memory, to_numpy
from .affine import register


@register("sequential")
def sequential(As: tuple[Array, ...], lags: tuple[int, ...], b: Array) -> Array:
    """Return ``y_i = sum_p A_{p,i} y_{i-k_p} + b_i``, in blocks of min(lags) points.

    Notes
    -----
    Work ``O(P T n^2)``, depth ``T / min(lags)``. Points closer than the smallest lag do not depend
    on each other. NumPy writes in place, also for PyTorch on the CPU; elsewhere, and where operations
    are recorded, no array is changed, so that AD and tracing work.
    """
    is_dense = As[0].ndim == b.ndim + 1
    if in_host_memory(*As, b):
        made = _in_place(tuple(map(to_numpy, As)), lags, to_numpy(b), _numpy_product(is_dense, b.ndim))
        return from_numpy(made, like=b)
    xp = array_namespace(b)
    size = min(lags)
    blocks: list[Array] = []
    for start in range(0, b.shape[-2], size):
        stop = min(start + size, b.shape[-2])
        block = b[..., start:stop, :]
        for A, k in zip(As, lags, strict=True):
            low = max(start, k)
            if low < stop:
                rows = A[..., low - k : stop - k, :, :] if is_dense else A[..., low - k : stop - k, :]
                past = _past(blocks, low - k, stop - k, size)
                term = xp.matmul(rows, past[..., None])[..., 0] if is_dense else rows * past
                head, tail = block[..., : low - start, :], block[..., low - start :, :]
                block = tail + term if low == start else xp.concat([head, tail + term], axis=-2)
        blocks.append(block)
    return xp.concat(blocks, axis=-2)


def _past(blocks: list[Array], start: int, stop: int, size: int) -> Array:
    """Return the points from start to stop out of blocks of the given size."""
    first, last = start // size, (stop - 1) // size
    found = blocks[first]
    if last > first:
        found = array_namespace(found).concat(blocks[first : last + 1], axis=-2)
    return found[..., start - first * size : stop - first * size, :]


def _numpy_product(is_dense: bool, ndim: int) -> Callable[[Array, Array], Array]:
    """Return the product of coefficients with vectors, the fastest that NumPy has for the rank."""
    import operator

    import numpy as np

    if not is_dense:
        return operator.mul
    if ndim == 2:
        return operator.matmul
    return lambda a, v: np.matmul(a, v[..., None])[..., 0]


def _in_place(
    As: tuple[Array, ...], lags: tuple[int, ...], b: Array, product: Callable[[Array, Array], Array]
) -> Array:
    """Run on NumPy arrays with the time axis first."""
    import numpy as np

    As = tuple(np.moveaxis(A, b.ndim - 2, 0) for A in As)
    y = np.array(np.moveaxis(b, -2, 0), order="C")
    if len(lags) == 1 and lags[0] == 1:
        for a, past, now in zip(As[0], y, y[1:], strict=False):
            now += product(a, past)
    else:
        _in_blocks(As, lags, y)
    return np.moveaxis(y, 0, -2)


def _in_blocks(As: tuple[Array, ...], lags: tuple[int, ...], y: Array) -> None:
    """Run any lags, min(lags) points at a time."""
    import numpy as np

    size, points = min(lags), y.shape[0]
    for start in range(size, points, size):
        stop = min(start + size, points)
        for A, k in zip(As, lags, strict=True):
            low = max(start, k)
            if low < stop:
                rows, past = A[low - k : stop - k], y[low - k : stop - k]
                term = np.matmul(rows, past[..., None])[..., 0] if A.ndim > y.ndim else rows * past
                y[low:stop] += term
