"""The Numba kernel that marches over levels: stages by block elimination, in one compiled loop."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

OPTIONS: dict[str, Any] = {"nogil": True, "cache": True, "fastmath": {"contract", "reassoc"}, "error_model": "numpy"}


def compiled(function: Any) -> Any:
    """Compile a function that others here call."""
    return nb.njit(**OPTIONS)(function)


@compiled
def size(a: float) -> float:
    """Return |a|, infinite where that is not a number."""
    return abs(a) if a == a else np.inf


@compiled
def single(lower: Any, middle: Any, upper: Any, r: Any, is_ring: bool, work: Any, y: Any) -> float:  # noqa: PLR0913
    """Write y of one tridiagonal system, n = 1, and return the largest multiplier."""
    N = r.shape[0]
    last = N - 1 if is_ring else N
    c, z, f = work[0], work[1], work[2]
    largest = 0.0
    for i in range(last):
        pivot, right = middle[i, 0, 0], r[i, 0]
        far = lower[0, 0, 0] if i == 0 else 0.0
        if i > 0:
            pivot -= lower[i, 0, 0] * c[i - 1]
            right -= lower[i, 0, 0] * z[i - 1]
            far = -lower[i, 0, 0] * f[i - 1] if is_ring else 0.0
        over = 1.0 / pivot
        c[i] = upper[i, 0, 0] * over
        z[i] = right * over
        f[i] = far * over if is_ring else 0.0
        largest = max(largest, size(c[i]))
    if not is_ring:
        y[N - 1, 0] = z[N - 1]
        for i in range(N - 2, -1, -1):
            y[i, 0] = z[i] - c[i] * y[i + 1, 0]
        return largest
    p, q = z[last - 1], -(c[last - 1] + f[last - 1])
    y[last - 1, 0], f[last - 1] = p, q
    for i in range(last - 2, -1, -1):
        p, q = z[i] - c[i] * p, -c[i] * q - f[i]
        y[i, 0], f[i] = p, q
    near = lower[last, 0, 0] * f[last - 1] + middle[last, 0, 0] + upper[last, 0, 0] * q
    end = (r[last, 0] - lower[last, 0, 0] * y[last - 1, 0] - upper[last, 0, 0] * p) / near
    for i in range(last):
        y[i, 0] += f[i] * end
    y[last, 0] = end
    return largest


@compiled
def eliminate(A: Any, n: int, width: int) -> None:
    """Turn (A, B) into (1, A^{-1} B), A (n, n), with pivoting; the quotient of a singular A is not finite."""
    for k in range(n):
        place = k
        for i in range(k + 1, n):
            if abs(A[i, k]) > abs(A[place, k]):
                place = i
        if place != k:
            for j in range(k, width):
                A[k, j], A[place, j] = A[place, j], A[k, j]
        over = 1.0 / A[k, k]
        for j in range(k, width):
            A[k, j] *= over
        for i in range(n):
            if i != k:
                factor = A[i, k]
                for j in range(k, width):
                    A[i, j] -= factor * A[k, j]


@compiled
def blocks(lower: Any, middle: Any, upper: Any, r: Any, is_ring: bool, made: Any, y: Any) -> float:  # noqa: PLR0913
    """Write y of one block tridiagonal system, and return the largest multiplier; made is (N, n, 2 n + 1).

    Row i leaves ``y_i = z - C y_{i+1} - F y_last`` as (C, F, z); F is of a ring alone.
    """
    n, largest = r.shape[1], 0.0
    A = np.zeros((n, 3 * n + 1), dtype=y.dtype)
    for i in range(r.shape[0] - 1 if is_ring else r.shape[0]):
        lay(middle[i], upper[i], r[i], A)
        if i > 0:
            reduce(lower[i], made[i - 1], A)
        elif is_ring:
            A[:, 2 * n : 3 * n] = lower[0]
        eliminate(A, n, 3 * n + 1)
        for a in range(n):
            for b in range(2 * n + 1):
                made[i, a, b] = A[a, n + b]
            for b in range(n):
                largest = max(largest, size(made[i, a, b]))
    if is_ring:
        close(lower[-1], middle[-1], upper[-1], r[-1], made, A, y)
    else:
        backward(made, y)
    return largest


@compiled
def lay(middle: Any, upper: Any, r: Any, A: Any) -> None:
    """Write (middle, upper, 0, r) into A."""
    n = r.shape[0]
    for a in range(n):
        for b in range(n):
            A[a, b], A[a, n + b], A[a, 2 * n + b] = middle[a, b], upper[a, b], 0.0
        A[a, 3 * n] = r[a]


@compiled
def reduce(lower: Any, before: Any, A: Any) -> None:
    """Take out of A what the row before says of y there."""
    n = lower.shape[0]
    for a in range(n):
        for e in range(n):
            factor = lower[a, e]
            for b in range(n):
                A[a, b] -= factor * before[e, b]
                A[a, 2 * n + b] -= factor * before[e, n + b]
            A[a, 3 * n] -= factor * before[e, 2 * n]


@compiled
def backward(made: Any, y: Any) -> None:
    """Write y from the last row on."""
    N, n = y.shape
    for i in range(N - 1, -1, -1):
        for a in range(n):
            total = made[i, a, 2 * n]
            if i < N - 1:
                for e in range(n):
                    total -= made[i, a, e] * y[i + 1, e]
            y[i, a] = total


@compiled
def close(lower: Any, middle: Any, upper: Any, r: Any, made: Any, A: Any, y: Any) -> None:  # noqa: C901, PLR0913
    """Write y of a ring, whose last row is given: first y_i = p + Q y_last, in the places of z and F."""
    N, n = y.shape
    for i in range(N - 2, -1, -1):
        for a in range(n):
            for b in range(n + 1):
                A[a, b] = made[i, a, n + b] if b == n else -made[i, a, n + b]
            if i == N - 2:
                for b in range(n):
                    A[a, b] -= made[i, a, b]
            else:
                for e in range(n):
                    for b in range(n + 1):
                        A[a, b] -= made[i, a, e] * made[i + 1, e, n + b]
        made[i, :, n:] = A[:, : n + 1]
    for a in range(n):
        for b in range(n):
            A[a, b] = middle[a, b]
        A[a, n] = r[a]
        for e in range(n):
            for b in range(n + 1):
                taken = lower[a, e] * made[N - 2, e, n + b] + upper[a, e] * made[0, e, n + b]
                A[a, b] += -taken if b == n else taken
    eliminate(A, n, n + 1)
    for a in range(n):
        y[N - 1, a] = A[a, n]
    for i in range(N - 1):
        for a in range(n):
            total = made[i, a, 2 * n]
            for e in range(n):
                total += made[i, a, n + e] * y[N - 1, e]
            y[i, a] = total


def march(  # noqa: C901, PLR0913 - one loop over elements, levels, stages and points
    lower: Any,
    middle: Any,
    upper: Any,
    rows: Any,
    units: Any,
    h: Any,
    tableau: Any,
    start: Any,
    slope: Any,
    is_ring: bool,
    out: Any,
    grown: Any,
) -> None:
    """Write every stage of every level, and the largest multiplier of each element.

    Blocks (S, J, m, N, n, n), rows, units and out (S, J, m, N, n), h (S, J), tableau (m, m + 1), start and slope
    (S, N, n), grown (S,).
    """
    S, J, m, N, n = rows.shape
    work, made = np.empty((3, N), dtype=out.dtype), np.empty((N, n, 2 * n + 1), dtype=out.dtype)
    right, changes = np.empty((N, n), dtype=out.dtype), np.empty((m, N, n), dtype=out.dtype)
    before, known = np.empty((N, n), dtype=out.dtype), np.empty((N, n), dtype=out.dtype)
    for s in range(S):
        for x in range(N):
            for a in range(n):
                before[x, a], known[x, a] = start[s, x, a], slope[s, x, a]
        grown[s] = 0.0
        for i in range(J):
            step = h[s, i]
            over = 1.0 / step if step != 0.0 else 1.0
            for k in range(m):
                for x in range(N):
                    for a in range(n):
                        change = before[x, a] + tableau[k, 0] * step * known[x, a]
                        for j in range(k):
                            change += tableau[k, j + 1] * changes[j, x, a]
                        right[x, a] = rows[s, i, k, x, a] + units[s, i, k, x, a] * change
                stage = out[s, i, k]
                if n == 1:
                    largest = single(lower[s, i, k], middle[s, i, k], upper[s, i, k], right, is_ring, work, stage)
                else:
                    largest = blocks(lower[s, i, k], middle[s, i, k], upper[s, i, k], right, is_ring, made, stage)
                grown[s] = max(grown[s], largest)
                for x in range(N):
                    for a in range(n):
                        unit = units[s, i, k, x, a]
                        own = right[x, a] / unit if unit > 0.0 else right[x, a]
                        changes[k, x, a] = (stage[x, a] - own) / tableau[k, k + 1]
            for x in range(N):
                for a in range(n):
                    before[x, a], known[x, a] = out[s, i, m - 1, x, a], changes[m - 1, x, a] * over


def kernel(dtype: Any) -> Any:
    """Return the kernel for arrays of a dtype, of any strides."""
    scalar = nb.from_dtype(dtype)

    def strided(ndim: int) -> Any:
        return nb.types.Array(scalar, ndim, "A", readonly=True)

    shapes = [strided(6)] * 3 + [strided(5)] * 2 + [strided(2), scalar[:, ::1], strided(3), strided(3)]
    return nb.njit(nb.void(*shapes, nb.boolean, scalar[:, :, :, :, ::1], scalar[::1]), **OPTIONS)(march)
