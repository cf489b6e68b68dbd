"""Stretches of an axis: where they begin, and one array of what was made of each."""

from __future__ import annotations

from .namespace import Array, array_namespace, joined, part


def end_to_end(stack: Array, axis: int, overlap: int = 0) -> Array:
    """Lay windows (W, *B, P, ...) end to end along the axis of P: (*B, W (P - overlap) + overlap, ...)."""
    xp = array_namespace(stack)
    places = range(1, stack.ndim)
    inner = xp.permute_dims(part(stack, axis, overlap, None), (*places[:axis], 0, *places[axis:]))
    W, P = inner.shape[axis - 1 :][:2]
    flat = xp.reshape(inner, (*inner.shape[: axis - 1], W * P, *inner.shape[axis + 1 :]))
    return joined([part(stack[0, ...], axis, None, overlap), flat], axis) if overlap else flat


def spans_of(length: int, block: int) -> list[tuple[int, int]]:
    """Return the starts and lengths of blocks, all but the last of one length."""
    return [(start, min(block, length - start)) for start in range(0, length, block)]
