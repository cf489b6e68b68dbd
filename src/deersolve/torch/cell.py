"""A layer of any cell."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from ..backends._compilers import untraced
from ..errors import check_flag, mismatch
from ..newton.methods import method_of
from ..solution.solution import Solution
from .sequences import packed, unpacked
from .trajectories import Trajectories, numbers_of

State = Any
"""h, (B, n), or a tuple of such."""


class Cell(torch.nn.Module):  # type: ignore[misc]
    """A layer of any cell; see :func:`from_cell`."""

    def __init__(self, cell: torch.nn.Module, batch_first: bool, reverse: bool, method: Any, warm_start: bool) -> None:
        super().__init__()
        for name, flag in (("batch_first", batch_first), ("reverse", reverse), ("warm_start", warm_start)):
            check_flag(name, flag)
        self.cell, self.batch_first, self.reverse, self.method = cell, batch_first, reverse, method_of(method)
        self.warm_start, self.trajectories = warm_start, Trajectories()
        self.solution: Solution | None = None

    @untraced
    def forward(self, input: Any, hx: State = None, lengths: Any = None, *, index: Any = None) -> tuple[Any, State]:
        """Return the outputs of all steps and the last state.

        Parameters
        ----------
        input : tensor, (T, B, k), or (B, T, k) if ``batch_first``, or PackedSequence
        hx : tensor or tuple of tensors, each (B, n)
            The first state; 0 of ``cell.hidden_size`` components by default.
        lengths : tensor of int, shape (B,), optional
            How many steps each sequence has; of a PackedSequence it is known.
        index : tensor of int, shape (B,), optional
            The number of each sequence, for ``warm_start``; by default its place in the batch.
        """
        is_packed = isinstance(input, PackedSequence)
        if not is_packed and (not isinstance(input, Tensor) or input.dim() != 3):
            received = tuple(input.shape) if isinstance(input, Tensor) else type(input).__name__
            raise mismatch("input", "a tensor (T, B, k), (B, T, k) with batch_first, or a PackedSequence", received)
        if is_packed and lengths is not None:
            raise mismatch("lengths", "None beside a PackedSequence, which has its own", type(lengths).__name__)
        x, known = unpacked(input, self.batch_first)
        lengths, hx = known if is_packed else lengths, self._zero(x) if hx is None else hx
        if any(tuple(a.shape[:1]) != (x.shape[1],) for a in (hx if isinstance(hx, tuple) else (hx,))):
            raise mismatch("hx", f"a state of {x.shape[1]} rows, (B, n), or a tuple of such", _shapes(hx))
        numbers = numbers_of(index, x.shape[1]) if self.warm_start and self.training else None

        def step(state: State, x: Tensor) -> tuple[State, Tensor]:
            new = self.cell(x, state)
            return new, new[0] if isinstance(new, tuple) else new

        last, y, self.solution = self.trajectories.scan(
            "", numbers, step, hx, x, reverse=self.reverse, lengths=lengths, method=self.method
        )
        if is_packed:
            return packed(y, lengths, input), last
        return (y.transpose(0, 1) if self.batch_first else y), last

    def _zero(self, x: Tensor) -> State:
        """Return the first state where none is given."""
        size = getattr(self.cell, "hidden_size", None)
        if not isinstance(size, int):
            raise mismatch("hx", "a first state, where the cell has no hidden_size", "None")
        zero = x.new_zeros(x.shape[1], size)
        return (zero, torch.zeros_like(zero)) if isinstance(self.cell, torch.nn.LSTMCell) else zero


def _shapes(state: State) -> Any:
    return [tuple(a.shape) for a in state] if isinstance(state, tuple) else tuple(state.shape)


def from_cell(
    cell: torch.nn.Module,
    *,
    batch_first: bool = False,
    reverse: bool = False,
    method: Any = "auto",
    warm_start: bool = False,
) -> Cell:
    """Return a layer that runs a cell over a sequence.

    Parameters
    ----------
    cell : torch.nn.Module
        ``cell(x, state) -> state`` of rows, as ``torch.nn.GRUCell``: x (B, k), the state (B, n) or a tuple of such,
        whose first entry is the output.
    batch_first, reverse : bool
        Whether inputs are (B, T, k); whether to go from the last step to the first.
    method
        That of :func:`deersolve.scan`.
    warm_start : bool
        Whether in training Newton's method starts from the states that the same sequences had the last time.

    Returns
    -------
    Cell
        A module whose ``forward(input, hx=None, lengths=None, *, index=None)`` returns the outputs and the last state.
        Its ``solution`` is the :class:`deersolve.Solution` of the last forward, None where a loop ran.

    Examples
    --------
    >>> import torch
    >>> from deersolve.torch import from_cell
    >>> output, h = from_cell(torch.nn.GRUCell(3, 2))(torch.zeros(5, 4, 3))
    >>> output.shape, h.shape
    (torch.Size([5, 4, 2]), torch.Size([4, 2]))
    """
    return Cell(cell, batch_first, reverse, method, warm_start)
