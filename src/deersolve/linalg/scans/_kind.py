"""Structures of several kinds become arrays of one kind: all dense or all diagonal."""

from __future__ import annotations

from collections.abc import Callable

from ...backends.namespace import Array, array_namespace
from ..structure import BlockDiagonal, Dense, Diagonal, Structure


def one_kind(As: list[Structure], b: Array) -> tuple[list[Array], Array, int, Callable[[Array], Array]]:
    """Convert to the densest kind present.

    Parameters
    ----------
    As : list of Structure
        Dense, diagonal and block-diagonal coefficients, at least one.
    b : array, shape (*B, T, n)

    Returns
    -------
    arrays : list of arrays, shape (*B', T, n, n) if n_core is 3, (*B', T, n) if it is 2
    b : array
        For blocks of size s the shape is (*B, n / s, T, s): the blocks are a batch axis.
    n_core : int
    restore : callable
        Maps a result like b to the shape of the caller's b.
    """
    As = [_simpler(A) for A in As]
    if all(isinstance(A, Diagonal) for A in As):
        return [A.values for A in As], b, 2, _same
    sizes = {A.values.shape[-1] for A in As if isinstance(A, BlockDiagonal)}
    if len(sizes) > 1 or any(isinstance(A, Dense) for A in As):
        return [A.to_dense() for A in As], b, 3, _same
    xp, (size,), shape = array_namespace(b), sizes, b.shape
    blocks = [xp.moveaxis(_blocks(A, size), -3, -4) for A in As]
    parts = xp.moveaxis(xp.reshape(b, (*shape[:-1], shape[-1] // size, size)), -2, -3)
    return blocks, parts, 3, lambda y: _join(y)


def _same(y: Array) -> Array:
    return y


def _join(y: Array) -> Array:
    """Undo the move of the blocks: (*B, m, T, s) becomes (*B, T, m s)."""
    xp = array_namespace(y)
    y = xp.moveaxis(y, -3, -2)
    return xp.reshape(y, (*y.shape[:-2], y.shape[-2] * y.shape[-1]))


def _simpler(A: Structure) -> Structure:
    """Return the same matrices in the cheapest kind that their shape shows."""
    if isinstance(A, BlockDiagonal) and A.values.shape[-3] == 1:
        A = Dense(A.values[..., 0, :, :])
    if isinstance(A, BlockDiagonal) and A.values.shape[-1] == 1:
        return Diagonal(A.values[..., 0, 0])
    return Diagonal(A.values[..., 0]) if isinstance(A, Dense) and A.n == 1 else A


def _blocks(A: Structure, size: int) -> Array:
    """Return the blocks (*B, T, m, s, s) of a block-diagonal or diagonal structure."""
    if isinstance(A, BlockDiagonal):
        return A.values
    xp, shape = array_namespace(A.values), A.values.shape
    return Diagonal(xp.reshape(A.values, (*shape[:-1], shape[-1] // size, size))).to_dense()
