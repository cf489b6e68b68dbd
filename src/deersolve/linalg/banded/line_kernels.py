"""The Numba kernel of a stage in a rectangle: conjugate residuals, preconditioned by solves along both axes.

A way is the lines of one axis of one stage, as :class:`deersolve.linalg.banded.compiled_lines.Way` has them. Factors
are LU with row exchanges of each line, in LAPACK's band form, column by column.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .march_kernels import compiled


@compiled
def factored(way: Any, element: int) -> Any:
    """Return the factors of all lines of an element, and with which row further on each was exchanged."""
    blocks, where, beside, place, half = way
    (N, count), n = beside.shape, blocks.shape[4]
    lu = np.zeros((*where.shape, 3 * half + 1), dtype=blocks.dtype)
    exchanged = np.zeros(where.shape, dtype=np.int64)
    for line in range(where.shape[0]):
        for i in range(N):
            for k in range(count):
                if beside[i, k] >= 0:
                    row, column = place[i] * n, place[beside[i, k]] * n
                    for c in range(n):
                        for a in range(n):
                            at = 2 * half + row + a - column - c
                            lu[line, column + c, at] += blocks[element, line, i, k, a, c]
        eliminate(lu[line], exchanged[line], half)
    return lu, exchanged


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
        for c in range(j, behind if best > 0 else j):
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
    (lu, exchanged), where, middle = factors, way[1], 2 * way[4]
    M = where.shape[1]
    b = np.empty(M, dtype=r.dtype)
    for line in range(where.shape[0]):
        for j in range(M):
            b[j] = r[where[line, j]]
        for j in range(M):
            further = exchanged[line, j]
            b[j], b[j + further] = b[j + further], b[j]
            for i in range(1, min(middle // 2, M - 1 - j) + 1):
                b[j + i] -= lu[line, j, middle + i] * b[j]
        for j in range(M - 1, -1, -1):
            b[j] /= lu[line, j, middle]
            for i in range(1, min(middle, j) + 1):
                b[j - i] -= lu[line, j, middle - i] * b[j]
        for j in range(M):
            out[where[line, j]] = b[j]


@compiled
def add_product(way: Any, element: int, v: Any, out: Any) -> None:
    """Add the product of the matrices of all lines of an element with v."""
    blocks, where, beside, place, _ = way
    (N, count), n = beside.shape, blocks.shape[4]
    for line in range(where.shape[0]):
        for i in range(N):
            here = where[line, place[i] * n]
            for k in range(count):
                if beside[i, k] >= 0:
                    there = where[line, place[beside[i, k]] * n]
                    for a in range(n):
                        total = blocks[element, line, i, k, a, 0] * v[there]
                        for c in range(1, n):
                            total += blocks[element, line, i, k, a, c] * v[there + c]
                        out[here + a] += total


@compiled
def dot(u: Any, v: Any) -> Any:
    """Return the sum of the products."""
    total = u[0] * v[0]
    for i in range(1, u.shape[0]):
        total += u[i] * v[i]
    return total


@compiled
def add(u: Any, factor: Any, v: Any) -> None:
    """Add a multiple of v to u."""
    for i in range(u.shape[0]):
        u[i] += factor * v[i]


@compiled
def scaled(u: Any, by: Any, exponent: int, out: Any) -> None:
    """Write ``u by`` for the exponent 1, or ``u / by`` for -1."""
    for i in range(u.shape[0]):
        out[i] = u[i] * by[i] if exponent > 0 else u[i] / by[i]


@compiled
def largest(u: Any) -> Any:
    """Return the largest absolute value; NaN where there is one."""
    most = abs(u[0])
    for i in range(1, u.shape[0]):
        most = abs(u[i]) if not abs(u[i]) <= most else most
    return most


@compiled
def divide(u: Any, number: Any) -> None:
    """Divide u by a number."""
    for i in range(u.shape[0]):
        u[i] /= number


@compiled
def conjugate(ways: Any, factors: Any, e: int, units: Any, b: Any, tol: float, limit: int, held: Any) -> Any:  # noqa: PLR0913
    """Return x with |b - A x| <= tol |b|, A = left (F + S - 1) right, by left F S right."""
    (first, second), (left, right), count = ways, units, held.shape[1]
    x, w, v, r, scale = np.zeros_like(b), np.empty_like(b), np.empty_like(b), b.copy(), largest(b)
    if not 0.0 < scale < np.inf:
        scaled(b, b, 1, x)  # 0 of 0, and else no numbers
        return x
    divide(r, scale)
    enough = tol * tol * dot(r, r)
    for step in range(limit):
        z, q = held[0, step % count], held[1, step % count]
        scaled(r, left[e], -1, z)
        along(first, factors[0], z, w)
        along(second, factors[1], w, v)
        scaled(v, right[e], -1, z)
        for i in range(v.shape[0]):
            q[i] = w[i] - v[i]
        add_product(first, e, v, q)
        scaled(q, left[e], 1, q)
        for back in range(1, min(step, count - 1) + 1):
            before, image = held[0, (step - back) % count], held[1, (step - back) % count]
            share = dot(image, q)
            add(z, -share, before)
            add(q, -share, image)
        size = np.sqrt(dot(q, q))
        if not 0.0 < size < np.inf:
            break
        divide(z, size)
        divide(q, size)
        share = dot(r, q)
        add(x, share, z)
        add(r, -share, q)
        if not dot(r, r) > enough:
            break
    divide(x, 1 / scale)
    return x


@compiled
def to_roundoff(ways: Any, factors: Any, e: int, units: Any, b: Any, numbers: Any, held: Any) -> Any:  # noqa: PLR0913
    """Return x to roundoff by solving for what is left; NaN where that stays far from it."""
    (limit, _, passes, enough, far, half_the_digits), (left, right) = numbers, units
    x, rest, v, made = np.zeros_like(b), b.copy(), np.empty_like(b), np.empty_like(b)
    off = 0.0 if largest(b) == 0.0 else np.inf
    for _ in range(passes):
        if not off > enough:
            break
        add(x, 1.0, conjugate(ways, factors, e, units, rest, half_the_digits, limit, held))
        scaled(x, right[e], 1, v)
        for i in range(v.shape[0]):
            made[i] = -v[i]
        add_product(ways[0], e, v, made)
        add_product(ways[1], e, v, made)
        for i in range(v.shape[0]):
            rest[i] = b[i] - left[e, i] * made[i]
        off = largest(rest) / (2 * largest(x) + largest(b))
    if not off <= far:
        for i in range(x.shape[0]):
            x[i] = np.nan
    return x


@compiled
def solve(first: Any, second: Any, left: Any, right: Any, b: Any, tols: Any, numbers: Any, out: Any) -> None:  # noqa: PLR0913
    """Write the solution of a stage for every element; to roundoff where a tolerance is negative."""
    ways, units, limit = (first, second), (left, right), numbers[0]
    held = np.empty((2, numbers[1], b.shape[1]), dtype=b.dtype)
    for e in range(b.shape[0]):
        factors = factored(first, e), factored(second, e)
        if tols[e] < 0.0:
            x = to_roundoff(ways, factors, e, units, b[e], numbers, held)
        else:
            x = conjugate(ways, factors, e, units, b[e], tols[e], limit, held)
        for i in range(x.shape[0]):
            out[e, i] = x[i]
