"""The Numba kernel of a stage in a rectangle: conjugate residuals, preconditioned by solves along both axes.

A way is the lines of one axis of one stage, as :class:`deersolve.linalg.banded.compiled_lines.Way` has them; factors
are LU with row exchanges in LAPACK's band form, column by column, of each line by itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .march_kernels import compiled


@compiled
def room(way: Any, dtype: Any) -> Any:
    """Return room for the factors of all lines of an element, and for their row exchanges."""
    blocks, points, _, _, half = way
    (L, N), n = points.shape, blocks.shape[4]
    return np.empty((L, N * n, 3 * half + 1), dtype=dtype), np.empty((L, N * n), dtype=np.int64)


@compiled
def factor(way: Any, element: int, factors: Any) -> None:
    """Write the factors of all lines of an element."""
    blocks, points, beside, place, half = way
    (L, N), count, n = points.shape, blocks.shape[3], blocks.shape[4]
    lu, exchanged = factors
    lu[:] = 0.0
    for line in range(L):
        for i in range(N):
            for k in range(count):
                j = beside[i, k]
                if j >= 0:
                    for a in range(n):
                        for c in range(n):
                            row, column = place[i] * n + a, place[j] * n + c
                            lu[line, column, 2 * half + row - column] += blocks[element, line, i, k, a, c]
        eliminate(lu[line], exchanged[line], half)


@compiled
def eliminate(lu: Any, exchanged: Any, half: int) -> None:
    """Turn a band into its factors."""
    M, middle = lu.shape[0], 2 * half
    for j in range(M):
        below, behind = min(half, M - 1 - j), min(M, j + middle + 1)
        best = 0
        for i in range(1, below + 1):
            if abs(lu[j, middle + i]) > abs(lu[j, middle + best]):
                best = i
        exchanged[j] = best
        if best > 0:
            for c in range(j, behind):
                at = middle + j - c
                lu[c, at], lu[c, at + best] = lu[c, at + best], lu[c, at]
        over = 1.0 / lu[j, middle]
        for i in range(1, below + 1):
            lu[j, middle + i] *= over
        for c in range(j + 1, behind):
            at = middle + j - c
            t = lu[c, at]
            if t != 0.0:
                for i in range(1, below + 1):
                    lu[c, at + i] -= lu[j, middle + i] * t


@compiled
def along(way: Any, factors: Any, r: Any, out: Any) -> None:
    """Write the solution along every line of an element."""
    blocks, points, _, place, half = way
    (L, N), n, middle = points.shape, blocks.shape[4], 2 * half
    lu, exchanged = factors
    M = N * n
    b = np.empty(M, dtype=r.dtype)
    for line in range(L):
        for i in range(N):
            for a in range(n):
                b[place[i] * n + a] = r[points[line, i] * n + a]
        for j in range(M):
            t, further = b[j], exchanged[line, j]
            if further > 0:
                b[j], b[j + further] = b[j + further], t
                t = b[j]
            for i in range(1, min(half, M - 1 - j) + 1):
                b[j + i] -= lu[line, j, middle + i] * t
        for j in range(M - 1, -1, -1):
            t = b[j] / lu[line, j, middle]
            b[j] = t
            for i in range(1, min(middle, j) + 1):
                b[j - i] -= lu[line, j, middle - i] * t
        for i in range(N):
            for a in range(n):
                out[points[line, i] * n + a] = b[place[i] * n + a]


@compiled
def add_product(way: Any, element: int, v: Any, out: Any) -> None:
    """Add the product of the matrices of all lines of an element with v."""
    blocks, points, beside, _, _ = way
    (L, N), count, n = points.shape, blocks.shape[3], blocks.shape[4]
    for line in range(L):
        for i in range(N):
            here = points[line, i] * n
            for k in range(count):
                if beside[i, k] >= 0:
                    there = points[line, beside[i, k]] * n
                    for a in range(n):
                        total = blocks[element, line, i, k, a, 0] * v[there]
                        for c in range(1, n):
                            total += blocks[element, line, i, k, a, c] * v[there + c]
                        out[here + a] += total


@compiled
def propose(ways: Any, factors: Any, e: int, units: Any, r: Any, work: Any, z: Any, q: Any) -> None:  # noqa: PLR0913
    """Write z with left F S right z = r, and q, the product of the matrix with z."""
    left, right = units
    w, v = work[0], work[1]
    for i in range(r.shape[0]):
        z[i] = r[i] / left[e, i]
    along(ways[0], factors[0], z, w)
    along(ways[1], factors[1], w, v)
    for i in range(r.shape[0]):
        z[i], q[i] = v[i] / right[e, i], w[i] - v[i]
    add_product(ways[0], e, v, q)
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
    """Return the largest absolute value; NaN where there is one."""
    most = 0.0
    for i in range(u.shape[0]):
        if u[i] != u[i]:
            return np.nan
        most = max(most, abs(u[i]))
    return most


@compiled
def conjugate(  # noqa: PLR0913 - a system, its units and its room
    ways: Any, factors: Any, e: int, units: Any, b: Any, tol: float, limit: int, room: Any, x: Any
) -> None:
    """Write x with |b - A x| <= tol |b|."""
    held, work = room
    scale = largest(b)
    x[:] = 0.0
    if not 0.0 < scale < np.inf:
        x[:] = scale * 0.0
        return
    size, count = b.shape[0], held.shape[1]
    r = work[2]
    for i in range(size):
        r[i] = b[i] / scale
    enough = tol * tol * dot(r, r)
    for step in range(limit):
        z, q = held[0, step % count], held[1, step % count]
        propose(ways, factors, e, units, r, work, z, q)
        for back in range(1, min(step, count - 1) + 1):
            before, image = held[0, (step - back) % count], held[1, (step - back) % count]
            share = dot(image, q)
            for i in range(size):
                z[i] -= share * before[i]
                q[i] -= share * image[i]
        norm = np.sqrt(dot(q, q))
        if not 0.0 < norm < np.inf:
            break
        share = dot(r, q) / norm
        for i in range(size):
            z[i] /= norm
            q[i] /= norm
            x[i] += share * z[i]
            r[i] -= share * q[i]
        if not dot(r, r) > enough:
            break
    for i in range(size):
        x[i] *= scale


@compiled
def to_roundoff(ways: Any, factors: Any, e: int, units: Any, b: Any, numbers: Any, room: Any, x: Any) -> None:  # noqa: PLR0913
    """Write x to roundoff by solving for what is left; NaN where that stays far from it."""
    limit, _, passes, enough, far, half_the_digits = numbers
    left, right = units
    v, made, rest, change = room[1][0], room[1][1], room[1][3], room[1][4]
    x[:], rest[:] = 0.0, b
    most, off = largest(b), 0.0
    for k in range(passes):
        if most == 0.0 or (k > 0 and not off > enough):
            break
        conjugate(ways, factors, e, units, rest, half_the_digits, limit, room, change)
        for i in range(b.shape[0]):
            x[i] += change[i]
            v[i] = right[e, i] * x[i]
            made[i] = -v[i]
        add_product(ways[0], e, v, made)
        add_product(ways[1], e, v, made)
        for i in range(b.shape[0]):
            rest[i] = b[i] - left[e, i] * made[i]
        off = largest(rest) / (2 * largest(x) + most)
    if not off <= far:
        x[:] = np.nan


@compiled
def solve(first: Any, second: Any, left: Any, right: Any, b: Any, tols: Any, numbers: Any, out: Any) -> None:  # noqa: PLR0913
    """Write the solution of a stage for every element; to roundoff where a tolerance is negative."""
    limit, directions, size = numbers[0], numbers[1], b.shape[1]
    held, work = np.empty((2, directions, size), dtype=b.dtype), np.empty((5, size), dtype=b.dtype)
    factors = room(first, b.dtype), room(second, b.dtype)
    for e in range(b.shape[0]):
        factor(first, e, factors[0])
        factor(second, e, factors[1])
        if tols[e] < 0.0:
            to_roundoff((first, second), factors, e, (left, right), b[e], numbers, (held, work), out[e])
        else:
            conjugate((first, second), factors, e, (left, right), b[e], tols[e], limit, (held, work), out[e])
