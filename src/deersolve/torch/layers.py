"""``RNN``, ``GRU`` and ``LSTM`` of :mod:`torch.nn`, solved for all steps at once where that is faster.

Constructor, arguments, results and ``state_dict`` are those of :mod:`torch.nn`: replace ``torch.nn.GRU`` by
``deersolve.torch.GRU``. Of a short or wide sequence PyTorch's own kernel runs, forward and backward; a long sequence of
few components is solved by Newton's method on all steps at once.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import dropout, linear
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from .backends._compilers import untraced
from .errors import mismatch
from .newton.methods import Auto, method_of
from .recurrent.kernels import FORWARD, WITH_BACKWARD
from .recurrent.scan import scan

__all__ = ["GRU", "LSTM", "RNN", "Cell", "from_cell"]

ADVICE = "Ragged sequences: pad them, and give lengths=..."
_SHORT = (torch.float16, torch.bfloat16)
State = Any
"""h, (layers, B, n), or of an LSTM (h, c)."""


def _rnn(h: Tensor, gates: Tensor, weights: tuple[Tensor | None, ...]) -> tuple[Tensor, Tensor]:
    """Return h' = tanh(gates + W_hh h + b_hh)."""
    h = torch.tanh(gates + linear(h, weights[0], weights[1]))
    return h, h


def _relu(h: Tensor, gates: Tensor, weights: tuple[Tensor | None, ...]) -> tuple[Tensor, Tensor]:
    """Return h' = max(0, gates + W_hh h + b_hh)."""
    h = torch.relu(gates + linear(h, weights[0], weights[1]))
    return h, h


def _gru(h: Tensor, gates: Tensor, weights: tuple[Tensor | None, ...]) -> tuple[Tensor, Tensor]:
    """Return h' = (1 - z) tanh(g_n + r (W_hn h + b_hn)) + z h."""
    r, z, n = gates.chunk(3, -1)
    hr, hz, hn = linear(h, weights[0], weights[1]).chunk(3, -1)
    z = torch.sigmoid(z + hz)
    h = (1 - z) * torch.tanh(n + torch.sigmoid(r + hr) * hn) + z * h
    return h, h


def _lstm(
    state: tuple[Tensor, Tensor], gates: Tensor, weights: tuple[Tensor | None, ...]
) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """Return c' = f c + i g and h' = o tanh(c'), projected where there is a W_hr."""
    h, c = state
    i, f, g, o = (gates + linear(h, weights[0], weights[1])).chunk(4, -1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    h = torch.sigmoid(o) * torch.tanh(c)
    h = h if weights[2] is None else linear(h, weights[2])
    return (h, c), h


def _sizes(x: Tensor, batch_first: bool) -> tuple[int, int]:
    """Return the numbers of steps and of sequences."""
    shape = tuple(x.shape)
    if len(shape) == 2:
        return shape[0], 1
    return (shape[1], shape[0]) if batch_first else (shape[0], shape[1])


class _AtOnce(torch.nn.RNNBase):  # type: ignore[misc]
    """What the three layers have in common: their sequences, laid out for a scan, and back."""

    step: ClassVar[Callable[..., Any]]
    compiled: ClassVar[tuple[torch.dtype, ...]] = ()  # of which a CPU has one kernel for all steps, by oneDNN

    def __init__(self, *args: Any, method: Any = "auto", **options: Any) -> None:
        """Take what the layer of :mod:`torch.nn` takes, and a method of :func:`deersolve.scan`."""
        super().__init__(*args, **options)
        self.method = method_of(method)

    def forward(self, input: Any, hx: State = None) -> tuple[Any, State]:
        """Return the outputs and the last states, as the layer of :mod:`torch.nn` does."""
        data = input.data if isinstance(input, PackedSequence) else input
        if data.numel() == 0 or (isinstance(self.method, Auto) and self._kernel_is_faster(input)):
            return super().forward(input, hx)  # type: ignore[no-any-return]
        return self._at_once(input, hx)

    @untraced
    def _at_once(self, input: Any, hx: State) -> tuple[Any, State]:
        """Return the same by a scan; half precision is widened on the way."""
        is_packed = isinstance(input, PackedSequence)
        x, lengths = input, None
        if is_packed:
            x, lengths = pad_packed_sequence(input)
            self.check_input(input.data, input.batch_sizes)
        else:
            self._check(input)
            x = input if input.dim() == 3 else input.unsqueeze(self._batch_dim)
            x = x.transpose(0, 1) if self.batch_first else x
        wide, kind = torch.promote_types(x.dtype, torch.float32), x.dtype
        states = self._first(hx, x, is_batched=is_packed or input.dim() == 3)
        states = self._of_each(lambda a: a.to(wide), states)
        y, last = self._layers(x.to(wide), states, lengths, input)
        y, last = y.to(kind).contiguous(), self._of_each(lambda a: a.to(kind), last)
        if is_packed:
            return self._packed(y, lengths, input), last
        y = y.transpose(0, 1) if self.batch_first else y
        if input.dim() == 3:
            return y, last
        return y.squeeze(self._batch_dim), self._of_each(lambda a: a.squeeze(1), last)

    def _kernel_is_faster(self, x: Any) -> bool:
        """Return whether PyTorch's own kernel is: cuDNN's always, on a CPU that of few steps or many numbers."""
        data = x.data if isinstance(x, PackedSequence) else x
        is_short = data.dtype in _SHORT or torch.is_autocast_enabled(data.device.type)
        if data.device.type != "cpu" or data.dim() < 2 or is_short or data.dtype in self.compiled:
            return True
        T, batch = (len(x.batch_sizes), int(x.batch_sizes[0])) if data is not x else _sizes(x, self.batch_first)
        follows = torch.is_grad_enabled() and (data.requires_grad or any(p.requires_grad for p in self.parameters()))
        return (WITH_BACKWARD if follows else FORWARD).is_faster(T, batch, sum(self._widths))

    @property
    def _batch_dim(self) -> int:
        return 0 if self.batch_first else 1

    def _check(self, x: Tensor) -> None:
        """Raise as PyTorch does where the input has another rank or size."""
        if x.dim() not in (2, 3):
            raise ValueError(f"{type(self).__name__}: Expected input to be 2D or 3D, got {x.dim()}D instead")
        self.check_input(x if x.dim() == 3 else x.unsqueeze(self._batch_dim), None)

    def _of_each(self, function: Callable[[Tensor], Tensor], state: State) -> State:
        return tuple(map(function, state)) if isinstance(state, tuple) else function(state)

    def _first(self, hx: State, x: Tensor, is_batched: bool) -> State:
        """Return the first states, (layers, B, n); 0 if none are given. Raise as PyTorch does where they do not fit."""
        rows = self.num_layers * (2 if self.bidirectional else 1)
        sizes = [(rows, x.shape[1], width) for width in self._widths]
        if hx is None:
            zeros = [x.new_zeros(size) for size in sizes]
            return tuple(zeros) if len(zeros) > 1 else zeros[0]
        given = hx if isinstance(hx, tuple) else (hx,)
        if len(given) != len(sizes):
            raise RuntimeError(f"Expected {len(sizes)} hidden states, got {len(given)}")
        given = given if is_batched else tuple(a.unsqueeze(1) for a in given)
        for k, (a, size) in enumerate(zip(given, sizes, strict=True)):
            which = f"[{k}]" if len(sizes) > 1 else ""
            self.check_hidden_size(a, size, f"Expected hidden{which} size {{}}, got {{}}")
        return given if len(given) > 1 else given[0]

    @property
    def _widths(self) -> list[int]:
        """The components of each state."""
        return [self.hidden_size]

    def _weights(self, suffix: str, like: Tensor, *names: str) -> tuple[Tensor | None, ...]:
        found = (getattr(self, f"{name}_{suffix}", None) for name in names)
        return tuple(a if a is None else a.to(like.dtype) for a in found)

    def _layers(self, x: Tensor, states: State, lengths: Tensor | None, given: Any) -> tuple[Tensor, State]:
        """Return the outputs of the last layer, (T, B, n), and all last states."""
        ends, directions = [], ("", "_reverse") if self.bidirectional else ("",)
        for layer in range(self.num_layers):
            outputs = []
            for k, direction in enumerate(directions):
                suffix, row = f"l{layer}{direction}", layer * len(directions) + k
                gates = linear(x, *self._weights(suffix, x, "weight_ih", "bias_ih"))
                first = self._of_each(operator.itemgetter(row), states)
                last, y = scan(
                    self._step,
                    first,
                    gates.to(x.dtype),
                    reverse=bool(k),
                    lengths=lengths,
                    batch_axis=0,
                    params=self._weights(suffix, x, "weight_hh", "bias_hh", "weight_hr"),
                    method=self.method,
                )
                ends.append(last)
                outputs.append(y)
            x = torch.cat(outputs, -1) if len(outputs) > 1 else outputs[0]
            if self.dropout and self.training and layer < self.num_layers - 1:
                x = self._dropped(x, lengths, given)
        if isinstance(states, tuple):
            return x, tuple(torch.stack(parts) for parts in zip(*ends, strict=True))
        return x, torch.stack(ends)

    def _dropped(self, x: Tensor, lengths: Any, given: Any) -> Tensor:
        """Return x without some of its numbers: of packed sequences those that PyTorch would draw."""
        if not isinstance(given, PackedSequence):
            return dropout(x, self.dropout)
        packed = self._packed(x, lengths, given)
        return pad_packed_sequence(packed._replace(data=dropout(packed.data, self.dropout)))[0]

    @property
    def _step(self) -> Callable[..., Any]:
        return type(self).step

    def _packed(self, y: Tensor, lengths: Any, like: PackedSequence) -> PackedSequence:
        order = like.sorted_indices
        y, lengths = (y, lengths) if order is None else (y[:, order], lengths[order.cpu()])
        return PackedSequence(pack_padded_sequence(y, lengths).data, like.batch_sizes, order, like.unsorted_indices)


class RNN(_AtOnce, torch.nn.RNN):  # type: ignore[misc]
    """:class:`torch.nn.RNN`, h_t = tanh(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh), or with ``nonlinearity="relu"``.

    Examples
    --------
    >>> import torch
    >>> from deersolve.torch import RNN
    >>> output, h = RNN(3, 2)(torch.zeros(5, 4, 3))
    >>> output.shape, h.shape
    (torch.Size([5, 4, 2]), torch.Size([1, 4, 2]))
    """

    @property
    def _step(self) -> Callable[..., Any]:
        return _relu if self.mode == "RNN_RELU" else _rnn


class GRU(_AtOnce, torch.nn.GRU):  # type: ignore[misc]
    """:class:`torch.nn.GRU`: r and z are sigmoids, h_t = (1 - z) tanh(g_n + r (W_hn h_{t-1} + b_hn)) + z h_{t-1}.

    Examples
    --------
    >>> import torch
    >>> from deersolve.torch import GRU
    >>> theirs, ours = torch.nn.GRU(3, 2), GRU(3, 2, method="newton")
    >>> ours.load_state_dict(theirs.state_dict())
    <All keys matched successfully>
    >>> x = torch.ones(50, 1, 3)
    >>> bool(torch.allclose(ours(x)[0], theirs(x)[0], atol=1e-6))
    True
    """

    step = staticmethod(_gru)


class LSTM(_AtOnce, torch.nn.LSTM):  # type: ignore[misc]
    """:class:`torch.nn.LSTM`: c_t = f c_{t-1} + i g, h_t = o tanh(c_t), projected where ``proj_size`` is given.

    Examples
    --------
    >>> import torch
    >>> from deersolve.torch import LSTM
    >>> output, (h, c) = LSTM(3, 4, proj_size=2, method="newton")(torch.zeros(5, 1, 3))
    >>> output.shape, h.shape, c.shape
    (torch.Size([5, 1, 2]), torch.Size([1, 1, 2]), torch.Size([1, 1, 4]))
    """

    step = staticmethod(_lstm)
    compiled = (torch.float32,)

    @property
    def _widths(self) -> list[int]:
        return [self.proj_size or self.hidden_size, self.hidden_size]


class Cell(torch.nn.Module):  # type: ignore[misc]
    """A layer of any cell; see :func:`from_cell`."""

    def __init__(self, cell: torch.nn.Module, batch_first: bool, reverse: bool, method: Any) -> None:
        super().__init__()
        self.cell, self.batch_first, self.reverse, self.method = cell, batch_first, reverse, method_of(method)

    def forward(self, input: Tensor, hx: State = None, lengths: Any = None) -> tuple[Tensor, State]:
        """Return the outputs of all steps and the last state.

        Parameters
        ----------
        input : tensor, (T, B, k), or (B, T, k) if ``batch_first``
        hx : tensor or tuple of tensors, each (B, n)
            The first state; 0 of ``cell.hidden_size`` components by default.
        lengths : tensor of int, shape (B,), optional
            How many steps each sequence has.
        """
        if not isinstance(input, Tensor) or input.dim() != 3:
            received = tuple(input.shape) if isinstance(input, Tensor) else type(input).__name__
            raise mismatch(
                "input", "a tensor (T, B, k), or (B, T, k) with batch_first", received, "lengths=... of ragged ones."
            )
        x = input.transpose(0, 1) if self.batch_first else input
        hx = self._zero(x) if hx is None else hx

        def step(state: State, x: Tensor) -> tuple[State, Tensor]:
            new = self.cell(x, state)
            return new, new[0] if isinstance(new, tuple) else new

        last, y = scan(step, hx, x, reverse=self.reverse, lengths=lengths, batch_axis=0, method=self.method)
        return (y.transpose(0, 1) if self.batch_first else y), last

    def _zero(self, x: Tensor) -> State:
        """Return the first state where none is given."""
        size = getattr(self.cell, "hidden_size", None)
        if not isinstance(size, int):
            raise mismatch("hx", "a first state, where the cell has no hidden_size", "None")
        zero = x.new_zeros(x.shape[1], size)
        return (zero, torch.zeros_like(zero)) if isinstance(self.cell, torch.nn.LSTMCell) else zero


def from_cell(cell: torch.nn.Module, *, batch_first: bool = False, reverse: bool = False, method: Any = "auto") -> Cell:
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

    Returns
    -------
    Cell
        A module whose ``forward(input, hx=None, lengths=None)`` returns the outputs and the last state.

    Examples
    --------
    >>> import torch
    >>> from deersolve.torch import from_cell
    >>> output, h = from_cell(torch.nn.GRUCell(3, 2))(torch.zeros(5, 4, 3))
    >>> output.shape, h.shape
    (torch.Size([5, 4, 2]), torch.Size([4, 2]))
    """
    return Cell(cell, batch_first, reverse, method)
