"""Which way a block tridiagonal system is solved."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ...backends import backend_of
from ...backends.namespace import Array, array_namespace
from ..structure import identity
from . import lapack, tridiagonal
from . import orthogonal as staircase
from . import pentadiagonal as pairs

Blocks = tuple[Array, ...]
"""lower, middle and upper blocks of every row, each (*B, N, n, n); or five, those two rows away among them, which are 0
beyond the ends of an open line."""


def solve(blocks: Blocks, r: Array, is_ring: bool) -> Array:
    """Return y with ``lower_i y_{i-1} + middle_i y_i + upper_i y_{i+1} = r_i``, shape (*B, N, n).

    In a ring the first row sees the last and the last the first; else those blocks are not looked at. A singular
    matrix gives numbers that are not finite.
    """
    return repeated(blocks, r, is_ring)(r)


def repeated(blocks: Blocks, like: Array, is_ring: bool) -> Callable[[Array], Array]:
    """Return the same as a function of r, an array like ``like``: what does not depend on r is done once."""
    backend, N = backend_of(like), like.shape[-2]
    if len(blocks) == 5:
        solve_pairs = repeated(pairs.blocks(blocks, is_ring), pairs.rows(like), is_ring)
        return lambda r: pairs.apart(solve_pairs(pairs.rows(r)), N)
    if N == 1:  # a single row is its own neighbour
        matrix = sum(blocks, start=0 * blocks[0]) if is_ring else blocks[1]
        return lambda r: backend.linear_solve(matrix, r[..., None])[..., 0]
    blocks, is_ring = (_joined(blocks), False) if is_ring and N == 2 else (blocks, is_ring)
    if not is_ring and tridiagonal.takes(like):
        return lambda r: backend.compiled(tridiagonal.solve)(blocks, r)
    if not all(map(lapack.takes, (*blocks, like))):
        return lambda r: backend.compiled(staircase.solve, "is_ring")(blocks, r, is_ring=is_ring)
    factored = lapack.repeated(blocks, like, is_ring)
    return lambda r: factored(r) if r.shape == like.shape else lapack.solve(blocks, r, is_ring)


def series(blocks: Blocks, like: Array, is_ring: bool) -> Callable[[Any, Array], Array]:
    """Return a function ``(k, r)`` that solves the k-th of many systems, whose blocks are (*B, K, N, n, n).

    What can be done for all of them at once is done here; each is factored once.
    """
    backend, N = backend_of(like), like.shape[-2]
    if len(blocks) == 5:
        solve_pairs = series(pairs.blocks(blocks, is_ring), pairs.rows(like), is_ring)
        return lambda k, r: pairs.apart(solve_pairs(k, pairs.rows(r)), N)
    if N > 2 and all(map(lapack.takes, (*blocks, like))):
        return lapack.series(blocks, like, is_ring)
    return lambda k, r: solve(tuple(backend.slice(b, k, 1, -4)[..., 0, :, :, :] for b in blocks), r, is_ring)


def turned(blocks: Blocks) -> Blocks:
    """Return the blocks of the transposed matrix."""
    xp, middle = array_namespace(blocks[0]), len(blocks) // 2
    there = [xp.roll(xp.matrix_transpose(b), k - middle, axis=-3) for k, b in enumerate(blocks)]
    return tuple(reversed(there))


def transposed(blocks: Blocks, c: Array, is_ring: bool) -> Array:
    """Return u with the transposed matrix."""
    return solve(turned(blocks), c, is_ring)


def linked(E: Array, F: Array, first: Array, last: Array, r: Array) -> Array:
    """Return w with ``first w_0 + last w_K = r_0`` and ``E_i w_i + F_i w_{i+1} = r_{i+1}``, shape (*B, K + 1, n).

    E and F are (*B, K, n, n), first and last (*B, n, n). A singular matrix gives numbers that are not finite.
    """
    return linking(E, F, first, last, r)(r)


def linking(E: Array, F: Array, first: Array, last: Array, like: Array) -> Callable[[Array], Array]:
    """Return the same as a function of r, an array like ``like``: what does not depend on r is done once."""
    before, behind = _behind(first, E, like), _behind(last, F, like)
    if all(map(lapack.takes, (before, behind, like))):
        return lapack.linking(before, behind)
    return partial(backend_of(like).compiled(staircase.linked), before, behind)


def linked_transposed(E: Array, F: Array, first: Array, last: Array, c: Array) -> Array:
    """Return v with the transposed matrix: its unknowns are linked to a ring, v_0 behind v_K."""
    xp = array_namespace(c)
    E, F, first, last = (xp.matrix_transpose(a) for a in (E, F, first, last))
    down, up = _behind(first, F, c), _behind(last, E, c)
    eye, rows = identity(c, c.shape[-1], c.ndim), xp.concat([0 * c[..., :1, :], c], axis=-2)
    return linked(down, xp.roll(up, -1, axis=-3), eye, -eye, rows)[..., :-1, :]


def _behind(end: Array, blocks: Array, like: Array) -> Array:
    """Return the block of an end and the others behind it, (*B, K + 1, n, n), with the batch axes of ``like``."""
    xp, (batch, count, n) = array_namespace(like), (like.shape[:-2], like.shape[-2], like.shape[-1])
    parts = (end[..., None, :, :], 1), (blocks, count - 1)
    return xp.concat([xp.broadcast_to(a, (*batch, k, n, n)) for a, k in parts], axis=-3)


def _joined(blocks: Blocks) -> Blocks:
    """Return a ring of two rows as an open line: each has the other on both sides."""
    lower, middle, upper = blocks
    return lower + upper, middle, upper + lower
