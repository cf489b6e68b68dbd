"""LAPACK's band solvers, with pivoting across blocks: on the host."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ...backends.namespace import Array, array_namespace
from ..host import device_name, family, from_numpy, is_recorded, to_numpy


def takes(like: Array) -> bool:
    """Return whether SciPy can work on such arrays: NumPy's, and PyTorch's on a CPU outside of transforms."""
    return family(like) in ("numpy", "torch") and device_name(like) == "cpu" and not is_recorded(like)


def solve(blocks: tuple[Array, Array, Array], r: Array, is_ring: bool) -> Array:
    """Return y; all batch elements are one long band, as their blocks do not touch.

    A ring is folded flat, in the order 0, N - 1, 1, N - 2, ...: neighbours are then two blocks apart at most.
    """
    import numpy as np

    xp, shape, n = array_namespace(r), r.shape, r.shape[-1]
    full = (*shape, n)
    parts = [to_numpy(xp.broadcast_to(a, full)).reshape(-1, *full[-3:]) for a in blocks]
    (lower, middle, upper), is_bad = _without_bad(parts)
    rows, is_bad = _without_bad_rows(to_numpy(r).reshape(-1, *shape[-2:]), is_bad)
    count, N = rows.shape[:2]
    place = fold(N) if is_ring else np.arange(N)
    y = _band(_entries(lower, middle, upper, place, is_ring), count, N, n, rows[:, np.argsort(place), :])
    y[is_bad] = math.nan
    return from_numpy(y[:, place, :].reshape(shape), r)


def series(
    blocks: tuple[Array, Array, Array], like: Array, is_ring: bool, one: Callable[[Any, Array], Array]
) -> Callable[[Any, Array], Array]:
    """Return a function ``(k, r)`` for blocks (*B, K, N, n, n): all bands are laid out at once.

    ``one`` solves a single system, for the case that it is singular.
    """
    import numpy as np
    from scipy.linalg import get_lapack_funcs

    xp, (N, n) = array_namespace(like), like.shape[-2:]
    full = (*like.shape[:-2], blocks[0].shape[-4], N, n, n)
    order = (-4, *range(len(full) - 4), -3, -2, -1)
    lower, middle, upper = (to_numpy(xp.broadcast_to(b, full)).transpose(order) for b in blocks)
    K, count = full[-4], math.prod(full[:-4])
    place = fold(N) if is_ring else np.arange(N)
    inverse = np.argsort(place)
    (lower, middle, upper), is_bad = _without_bad([b.reshape(K * count, N, n, n) for b in (lower, middle, upper)])
    entries = _entries(lower, middle, upper, place, is_ring)
    wide = max(int(np.max(np.abs(i - j))) for i, j, _ in entries)
    half = (wide + 1) * n - 1
    band = np.zeros((K, count * N * n, 3 * half + 1), dtype=middle.dtype)
    inner, start = np.arange(n), (np.arange(count) * N)[:, None]
    for i, j, values in entries:
        row = ((start + i)[..., None, None] * n + inner[:, None]) + 0 * inner
        column = ((start + j)[..., None, None] * n + inner) + 0 * inner[:, None]
        band[:, column, 2 * half + row - column] = values.reshape(K, *row.shape)
    (solver,) = get_lapack_funcs(("gbsv",), (band,))

    def solve_one(k: Any, r: Array) -> Array:
        rows, failed = _without_bad_rows(to_numpy(r).reshape(count, N, n), is_bad.reshape(K, count)[k])
        rows = rows[:, inverse, :]
        *_, y, info = solver(half, half, band[k].T, rows.reshape(-1, 1), overwrite_ab=True, overwrite_b=True)
        if info:
            return one(k, r)
        y = y.reshape(count, N, n)
        y[failed] = math.nan
        return from_numpy(y[:, place, :].reshape(r.shape), r)

    return solve_one


def _without_bad(blocks: list[Any]) -> tuple[list[Any], Any]:
    """Return the blocks (count, N, n, n) with unit matrices for systems that are not finite, and which those are.

    In one long band NaN times a zero would reach the neighbours.
    """
    import numpy as np

    is_bad = ~np.logical_and.reduce([np.isfinite(b).all(axis=(1, 2, 3)) for b in blocks])
    if not is_bad.any():
        return blocks, is_bad
    lower, middle, upper = (np.where(is_bad[:, None, None, None], 0.0, b) for b in blocks)
    middle[is_bad] = np.eye(middle.shape[-1], dtype=middle.dtype)
    return [lower, middle, upper], is_bad


def _without_bad_rows(rows: Any, is_bad: Any) -> tuple[Any, Any]:
    """Return right-hand sides (count, N, n), 0 for systems that are not finite, and which those are."""
    import numpy as np

    is_bad = is_bad | ~np.isfinite(rows).all(axis=(1, 2))
    return (np.where(is_bad[:, None, None], 0.0, rows) if is_bad.any() else rows), is_bad


def fold(N: int) -> Any:
    """Return where each point of a ring is put."""
    import numpy as np

    order = np.empty(N, dtype=np.int64)
    order[0::2] = np.arange((N + 1) // 2)
    order[1::2] = N - 1 - np.arange(N // 2)
    return np.argsort(order)


def _entries(lower: Any, middle: Any, upper: Any, place: Any, is_ring: bool) -> Any:
    """Return (row, column, blocks) of each kind of neighbour, rows and columns in their new places."""
    import numpy as np

    here = place
    before, behind = np.roll(place, 1), np.roll(place, -1)
    if is_ring:
        return [(here, before, lower), (here, here, middle), (here, behind, upper)]
    return [(here[1:], before[1:], lower[:, 1:]), (here, here, middle), (here[:-1], behind[:-1], upper[:, :-1])]


def repeated(
    blocks: tuple[Array, Array, Array], like: Array, is_ring: bool, one: Callable[[Array], Array]
) -> Callable[[Array], Array]:
    """Return a function r -> y for one matrix: it is factored once.

    ``one`` solves with a singular matrix.
    """
    import numpy as np
    from scipy.linalg import get_lapack_funcs

    xp, shape, (N, n) = array_namespace(like), like.shape, like.shape[-2:]
    parts = [to_numpy(xp.broadcast_to(a, (*shape, n))).reshape(-1, N, n, n) for a in blocks]
    place = fold(N) if is_ring else np.arange(N)
    inverse, count = np.argsort(place), len(parts[0])
    (lower, middle, upper), is_bad = _without_bad(parts)
    half, band = _laid(_entries(lower, middle, upper, place, is_ring), count, N, n, middle.dtype)
    factor, back = get_lapack_funcs(("gbtrf", "gbtrs"), (band,))
    made, pivots, info = factor(band, half, half, overwrite_ab=True)
    if info:
        return one

    def solve_one(r: Array) -> Array:
        if r.shape != shape:
            return one(r)
        rows, is_lost = _without_bad_rows(to_numpy(r).reshape(count, N, n), is_bad)
        y, _ = back(made, half, half, rows[:, inverse, :].reshape(-1, 1), pivots)
        if count > 1 and not np.isfinite(y).all():
            return one(r)
        y = y.reshape(count, N, n)
        y[is_lost] = math.nan
        return from_numpy(y[:, place, :].reshape(shape), r)

    return solve_one


def _laid(entries: Any, count: int, N: int, n: int, dtype: Any) -> tuple[int, Any]:
    """Return the half width and the matrix in LAPACK's band form, with room for the factors."""
    import numpy as np

    wide = max(int(np.max(np.abs(i - j), initial=0)) for i, j, _ in entries)
    half = (wide + 1) * n - 1
    band = np.zeros((3 * half + 1, count * N * n), dtype=dtype, order="F")
    inner = np.arange(n)
    start = (np.arange(count) * N)[:, None]
    for i, j, blocks in entries:
        row = ((start + i)[..., None, None] * n + inner[:, None]) + 0 * inner
        column = ((start + j)[..., None, None] * n + inner) + 0 * inner[:, None]
        band[2 * half + row - column, column] = blocks
    return half, band


def _band(entries: Any, count: int, N: int, n: int, rows: Any) -> Any:
    """Return y of the system, (count, N, n), in the new places."""
    import numpy as np
    from scipy.linalg import get_lapack_funcs

    half, band = _laid(entries, count, N, n, rows.dtype)
    (solver,) = get_lapack_funcs(("gbsv",), (band, rows))
    *_, y, info = solver(half, half, band, rows.reshape(-1, 1), overwrite_ab=True)
    if info > 0 or (count > 1 and not np.isfinite(y).all()):
        return _apart(entries, count, N, n, rows)
    return y.reshape(count, N, n)


def _apart(entries: Any, count: int, N: int, n: int, rows: Any) -> Any:
    """Return y element by element: one that is singular, or overflows, touches no other."""
    import numpy as np

    if count == 1:
        return np.full(rows.shape, math.nan, dtype=rows.dtype)
    parts = [
        _band([(i, j, blocks[k : k + 1]) for i, j, blocks in entries], 1, N, n, rows[k : k + 1]) for k in range(count)
    ]
    return np.concatenate(parts)
