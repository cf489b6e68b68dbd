"""The band of equations that link neighbours and the two ends, factored once by LAPACK: on the host.

The line is folded flat: points in the order 0, N - 1, 1, N - 2, ..., and the equations between them in the same order,
behind the one between the ends. Equation p + 1 then knows the points p and p + 2, and the last one its own and the one
before: all of it is a band of two blocks on each side, in which rows are exchanged across blocks. How much such an
elimination can grow is bounded by the width alone, however long the band and whichever way solutions grow.

Z. Bohte, "Bounds for rounding errors in the Gaussian elimination for band systems", J. Inst. Maths. Applics. 16 (1975).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ...backends.namespace import Array
from ..host import from_numpy, to_numpy
from .lapack import fold

Solver = Callable[[Any], Any]


def factored(before: Array, behind: Array) -> Callable[[Array], Array]:
    """Return r -> w with ``before_i w_{i-1} + behind_i w_i = r_i``; before_0 and behind_0 are for w_0 and the last.

    All arrays have the batch axes of r. What does not depend on r is done when the function is first called.
    """
    kept: list[Solver] = []

    def solve(r: Array) -> Array:
        if not kept:
            full = (-1, *before.shape[-3:])
            kept.append(_factored(to_numpy(before).reshape(full), to_numpy(behind).reshape(full)))
        return from_numpy(kept[0](to_numpy(r).reshape(-1, *r.shape[-2:])).reshape(r.shape), r)

    return solve


def _factored(before: Any, behind: Any) -> Solver:
    """Return the function (count, N, n) -> (count, N, n): an element that is not finite or singular gives NaN."""
    import numpy as np
    from scipy.linalg import get_lapack_funcs

    count, N, n = before.shape[:3]
    known = np.isfinite(before.sum(axis=(1, 2, 3)) + behind.sum(axis=(1, 2, 3)))
    if not known.all():
        return _of_those(known, _factored(before[known], behind[known]) if known.any() else _lost)
    half, band = 2 * n - 1, _band(before, behind)
    factor, solve = get_lapack_funcs(("gbtrf", "gbtrs"), (band,))
    lu, pivots, info = factor(band, half, half, overwrite_ab=True)
    if info and count == 1:
        return _lost
    if info:
        return _one_by_one([_factored(before[k : k + 1], behind[k : k + 1]) for k in range(count)])
    place, row = fold(N), np.argsort(_rows(N))

    def solved(r: Any) -> Any:
        finite = np.isfinite(r).all(axis=(1, 2))
        rows = np.where(finite[:, None, None], r, 0.0)[:, row, :]
        w, _ = solve(lu, half, half, rows.reshape(-1, 1), pivots, overwrite_b=True)
        w = w.reshape(count, N, n)[:, place, :]
        w[~finite] = math.nan
        return w

    return solved


def _lost(r: Any) -> Any:
    import numpy as np

    return np.full_like(r, math.nan)


def _of_those(known: Any, solve: Solver) -> Solver:
    def some(r: Any) -> Any:
        w = _lost(r)
        w[known] = solve(r[known])
        return w

    return some


def _one_by_one(solvers: list[Solver]) -> Solver:
    import numpy as np

    return lambda r: np.concatenate([solve(r[k : k + 1]) for k, solve in enumerate(solvers)])


def _rows(N: int) -> Any:
    """Return where each equation is put: that of the ends first."""
    import numpy as np

    return np.concatenate([[0], 1 + fold(N - 1)])


def _band(before: Any, behind: Any) -> Any:
    """Return LAPACK's band of all elements, one behind the other.

    Entry (i, j) is at ``[2 half + i - j, j]``, column by column, so that a diagonal of blocks is a strided array.
    """
    import numpy as np

    count, N, n = before.shape[:3]
    half = 2 * n - 1
    band = np.zeros((3 * half + 1, count * N * n), dtype=before.dtype, order="F")
    size, wide = before.itemsize, 3 * half + 1
    flat = band.reshape(-1, order="F")

    def put(i: int, j: int, blocks: Any) -> None:
        """Write the blocks (i, j), (i + 1, j + 1), ... of each element."""
        start = j * n * (wide - 1) + i * n + 2 * half
        steps = (N * n * wide, n * wide, 1, wide - 1)
        shape, strides = blocks.shape, tuple(size * k for k in steps)
        np.lib.stride_tricks.as_strided(flat[start:], shape, strides, writeable=True)[...] = blocks

    order = np.argsort(fold(N - 1))  # the equation at each place
    is_left = (np.arange(N - 1) % 2 == 0)[:, None, None]
    left, right = before[:, 1:][:, order], behind[:, 1:][:, order]
    near, far = np.where(is_left, left, right), np.where(is_left, right, left)
    put(0, 0, before[:, :1])
    put(0, 1, behind[:, :1])
    put(1, 0, near)
    put(1, 2, far[:, :-1])
    put(N - 1, N - 1, far[:, -1:])  # the two points that are left are neighbours
    return band
