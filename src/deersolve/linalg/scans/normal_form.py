"""The normal form: structures of any kind, rank and batch as arrays that every way understands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from ...backends.namespace import Array, array_namespace
from ...errors import mismatch
from ..structure import Structure, Zero


@dataclass(frozen=True)
class NormalForm:
    """The arguments of a :data:`~deersolve.linalg.scans.affine.Way`, and the way back for its result.

    Attributes
    ----------
    As : tuple of arrays, shape (*B', T - k_p, n, n) or (*B', T - k_p, n)
        Only the coefficients that are used: row j belongs to point j + k_p.
    lags : tuple of int
        Distinct and ascending; empty where y = b.
    b : array, shape (*B, T, n)
    restore : callable
        Maps y to the shape that the caller's b had (blocks leave the batch again).
    """

    As: tuple[Array, ...]
    lags: tuple[int, ...]
    b: Array
    restore: Callable[[Array], Array]

    @property
    def is_dense(self) -> bool:
        """Whether the coefficients are matrices (else diagonals)."""
        return bool(self.As) and bool(self.As[0].ndim == self.b.ndim + 1)

    def reversed(self) -> NormalForm:
        """Return the adjoint in reversed time: ``A'_p[j] = A_p[T - k_p - 1 - j]^T``, b reversed."""
        xp = array_namespace(self.b)
        flipped = [xp.flip(A, axis=-3 if self.is_dense else -2) for A in self.As]
        turned = [xp.matrix_transpose(A) for A in flipped] if self.is_dense else flipped
        return replace(self, As=tuple(turned), b=xp.flip(self.b, axis=-2))


def normal_form(As: tuple[Structure, ...], lags: tuple[int, ...], b: Array) -> NormalForm:
    """Drop what is not used, agree on one kind, trim and merge lags, align dtypes and batches."""
    _check(As, lags, b)
    used = [(A, k) for A, k in zip(As, lags, strict=True) if not isinstance(A, Zero) and k < b.shape[-2]]
    if not used or 0 in b.shape:
        return NormalForm((), (), b, lambda y: y)
    arrays, b, n_core, restore = _of_one_kind([A for A, _ in used], b)
    merged: dict[int, Array] = {}
    for A, (_, k) in zip(arrays, used, strict=True):
        rows = A[..., k:, :, :] if n_core == 3 else A[..., k:, :]
        merged[k] = merged[k] + rows if k in merged else rows
    order = tuple(sorted(merged))
    aligned, b = _align([merged[k] for k in order], b, n_core)
    return NormalForm(aligned, order, b, restore)


def _of_one_kind(As: list[Structure], b: Array) -> tuple[list[Array], Array, int, Callable[[Array], Array]]:
    """Convert to the densest kind present.

    Returns
    -------
    arrays : list of arrays, shape (*B', T, n, n) if n_core is 3, (*B', T, n) if it is 2
    b : array
        For blocks of size s the shape is (*B, n / s, T, s): the blocks are a batch axis.
    n_core : int
    restore : callable
        Maps a result like b to the shape of the caller's b.
    """
    xp, n, sizes = array_namespace(b), b.shape[-1], {A.block for A in As} - {1}
    if not sizes:
        return [A.diagonal() for A in As], b, 2, lambda y: y
    layouts = {A.layout for A in As if A.block > 1}
    if len(layouts) > 1 or n in sizes:
        return [A.to_dense() for A in As], b, 3, lambda y: y
    layout = layouts.pop()
    blocks = [xp.moveaxis(A.in_blocks(layout.size, layout.strided).values, -3, -4) for A in As]
    parts = xp.moveaxis(layout.parted(b), -2, -3)
    return blocks, parts, 3, lambda y: layout.whole(xp.moveaxis(y, -3, -2))


def _align(arrays: list[Array], b: Array, n_core: int) -> tuple[tuple[Array, ...], Array]:
    """Give every array one dtype and the rank of the batch, and b the full batch."""
    xp = array_namespace(b, *arrays)
    dtype = xp.result_type(b, *arrays)
    batch: tuple[int, ...] = b.shape[:-2]
    for A in arrays:
        batch = _broadcast(batch, A.shape[:-n_core])
    aligned = []
    for A in arrays:
        missing = len(batch) - (A.ndim - n_core)
        A = A if A.dtype == dtype else xp.astype(A, dtype)
        aligned.append(xp.reshape(A, (*(1,) * missing, *A.shape)) if missing else A)
    b = b if b.dtype == dtype else xp.astype(b, dtype)
    full = (*batch, *b.shape[-2:])
    return tuple(aligned), b if b.shape == full else xp.broadcast_to(b, full)


def _broadcast(one: tuple[int, ...], two: tuple[int, ...]) -> tuple[int, ...]:
    rank = max(len(one), len(two))
    pairs = list(zip((1,) * (rank - len(one)) + tuple(one), (1,) * (rank - len(two)) + tuple(two), strict=True))
    if any(i != j and 1 not in (i, j) for i, j in pairs):
        raise mismatch("batch axes of A", f"a shape that broadcasts with {tuple(one)}", tuple(two))
    return tuple(j if i == 1 else i for i, j in pairs)


def _check(As: tuple[Structure, ...], lags: tuple[int, ...], b: Array) -> None:
    if len(As) != len(lags):
        raise mismatch("lags", f"one for each of the {len(As)} structures", tuple(lags))
    if any(k < 1 for k in lags):
        raise mismatch("lags", "integers of at least 1", tuple(lags))
    if b.ndim < 2:
        raise mismatch("b", "the shape (*B, T, n)", tuple(b.shape))
    for A in As:
        received, expected = (*A.values.shape[-A.tail - 1 :][:1], A.n), tuple(b.shape[-2:])
        if received != expected:
            raise mismatch(f"{type(A).__name__} coefficients", f"(T, n) = {expected} as in b", received)
