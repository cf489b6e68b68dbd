"""The Numba kernel of a stage in a rectangle: conjugate residuals, preconditioned by solves along both axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from .march_kernels import compiled


@compiled
def along(way: Any, element: int, r: Any, out: Any) -> None:
    """Write the solution along every line of an element."""
    lu, exchanged, places, _, _, _ = way
    (L, M), half = places.shape, (lu.shape[2] - 1) // 3
    b = np.empty(M, dtype=r.dtype)
    for l in range(L):
        line = element * L + l
        for j in range(M):
            b[j] = r[places[l, j]] if places[l, j] >= 0 else 0.0
        for j in range(M):
            t, further = b[j], exchanged[line, j]
            if further:
                b[j], b[j + further] = b[j + further], t
                t = b[j]
            for i in range(1, min(half, M - 1 - j) + 1):
                b[j + i] -= lu[line, j, 2 * half + i] * t
        for j in range(M - 1, -1, -1):
            t = b[j] / lu[line, j, 2 * half]
            if places[l, j] >= 0:
                out[places[l, j]] = t
            for i in range(1, min(2 * half, j) + 1):
                b[j - i] -= lu[line, j, 2 * half - i] * t


@compiled
def add_product(way: Any, element: int, v: Any, out: Any) -> None:
    """Add the product of all lines of an element with v."""
    _, _, _, blocks, points, is_ring = way
    (L, N), count, n = points.shape, blocks.shape[0], blocks.shape[3]
    for k in range(count):
        shift = k - count // 2
        for l in range(L):
            line = element * L + l
            for i in range(N):
                j = i + shift
                if j < 0 or j >= N:
                    if not is_ring:
                        continue
                    j = j + N if j < 0 else j - N
                here, there = points[l, i] * n, points[l, j] * n
                for a in range(n):
                    for c in range(n):
                        out[here + a] += blocks[k, line, i, a, c] * v[there + c]


@compiled
def propose(first: Any, second: Any, e: int, left: Any, right: Any, r: Any, work: Any, z: Any, q: Any) -> None:  # noqa: PLR0913
    """Write z with left F S right z = r, and q, the product of the matrix with z."""
    w, v = work[0], work[1]
    for i in range(r.shape[0]):
        z[i] = r[i] / left[e, i]
    along(first, e, z, w)
    along(second, e, w, v)
    for i in range(r.shape[0]):
        z[i], q[i] = v[i] / right[e, i], w[i] - v[i]
    add_product(first, e, v, q)
    for i in range(r.shape[0]):
        q[i] *= left[e, i]


@compiled
def dot(u: Any, v: Any) -> float:
    """Return the sum of the products."""
    total = 0.0
    for i in range(u.shape[0]):
        total += u[i] * v[i]
    return total


@compiled
def largest(u: Any) -> float:
    """Return the largest absolute value, NaN where there is one."""
    most = 0.0
    for i in range(u.shape[0]):
        size = abs(u[i])
        if not size <= most:
            most = size
        if size != size:
            return np.nan
    return most


@compiled
def conjugate(first: Any, second: Any, e: int, left: Any, right: Any, b: Any, tol: float, limit: int, held: Any, work: Any, x: Any) -> None:  # noqa: PLR0913, E501
    """Write x with |b - A x| <= tol |b|."""
    scale = largest(b)
    x[:] = 0.0
    if not scale > 0.0:
        x[:] = scale
        return
    size, count = b.shape[0], held.shape[1]
    r = work[2]
    for i in range(size):
        r[i] = b[i] / scale
    enough = tol * tol * dot(r, r)
    for step in range(limit):
        place = step % count
        z, q = held[0, place], held[1, place]
        propose(first, second, e, left, right, r, work, z, q)
        for back in range(1, min(step, count - 1) + 1):
            toward, image = held[0, (step - back) % count], held[1, (step - back) % count]
            share = dot(image, q)
            for i in range(size):
                z[i] -= share * toward[i]
                q[i] -= share * image[i]
        norm = np.sqrt(dot(q, q))
        if not (norm > 0.0 and norm < np.inf):
            break
        for i in range(size):
            z[i] /= norm
            q[i] /= norm
        share = dot(r, q)
        for i in range(size):
            x[i] += share * z[i]
            r[i] -= share * q[i]
        if not dot(r, r) > enough:
            break
    for i in range(size):
        x[i] *= scale


@compiled
def solve(first: Any, second: Any, left: Any, right: Any, b: Any, tols: Any, numbers: Any, out: Any) -> None:  # noqa: PLR0913
    """Write the solution of a stage for every element; to roundoff where a tolerance is negative."""
    limit, directions, passes, enough, far, half_the_digits = numbers
    size = b.shape[1]
    held, work = np.empty((2, directions, size), dtype=b.dtype), np.empty((5, size), dtype=b.dtype)
    for e in range(b.shape[0]):
        x = out[e]
        if tols[e] >= 0.0:
            conjugate(first, second, e, left, right, b[e], tols[e], limit, held, work, x)
            continue
        rest, change = work[3], work[4]
        x[:], rest[:] = 0.0, b[e]
        off, most = np.inf, largest(b[e])
        if not most > 0.0:
            x[:] = most
            continue
        for _ in range(passes):
            conjugate(first, second, e, left, right, rest, half_the_digits, limit, held, work, change)
            v, made = work[0], work[1]
            for i in range(size):
                x[i] += change[i]
                v[i] = right[e, i] * x[i]
                made[i] = -v[i]
            add_product(first, e, v, made)
            add_product(second, e, v, made)
            for i in range(size):
                rest[i] = b[e, i] - left[e, i] * made[i]
            off = largest(rest) / (2 * largest(x) + most)
            if not off > enough:
                break
        if not off <= far:
            x[:] = np.nan
