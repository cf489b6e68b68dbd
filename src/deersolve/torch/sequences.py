"""Packed sequences as padded ones with lengths, (T, B, n), and back."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence


def unpacked(given: Any, batch_first: bool) -> tuple[Tensor, Any]:
    """Return a sequence (T, B, n), in the order that was packed, and its lengths; None of a tensor."""
    if isinstance(given, PackedSequence):
        return pad_packed_sequence(given)  # type: ignore[no-any-return]
    return (given.transpose(0, 1) if batch_first else given), None


def packed(y: Tensor, lengths: Tensor, like: PackedSequence) -> PackedSequence:
    """Return a sequence (T, B, n) packed as another one."""
    order = like.sorted_indices
    y, lengths = (y, lengths) if order is None else (y[:, order], lengths[order.cpu()])
    return PackedSequence(pack_padded_sequence(y, lengths).data, like.batch_sizes, order, like.unsorted_indices)
