"""``RNN``, ``GRU`` and ``LSTM`` with the constructors, arguments, results and errors of :mod:`torch.nn`."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import dropout, linear
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from ..backends import backend_of
from ..backends._compilers import untraced
from ..errors import check_flag
from ..newton.methods import Auto, method_of
from ..recurrent.kernels import kernel
from ..solution.solution import Solution
from . import steps
from .sequences import packed, unpacked
from .trajectories import Trajectories, numbers_of

_SHORT = (torch.float16, torch.bfloat16)
State = Any
"""h, (layers, B, n), or of an LSTM (h, c)."""


class _AtOnce(torch.nn.RNNBase):  # type: ignore[misc]
    """What the three layers have in common: their sequences, laid out for a scan, and back."""

    step: ClassVar[Callable[..., Any]]
    compiled: ClassVar[tuple[torch.dtype, ...]] = ()  # of which a CPU has one kernel for all steps, by oneDNN

    def __init__(self, *args: Any, method: Any = "auto", warm_start: bool = False, **options: Any) -> None:
        """Take what the layer of :mod:`torch.nn` takes, a method of :func:`deersolve.scan`, and where to start."""
        super().__init__(*args, **options)
        check_flag("warm_start", warm_start)
        self.method, self.warm_start = method_of(method), warm_start
        self.trajectories = Trajectories()
        self.solution: dict[str, Solution | None] | None = None

    @untraced
    def forward(self, input: Any, hx: State = None, *, index: Any = None) -> tuple[Any, State]:
        """Return the outputs and the last states, as the layer of :mod:`torch.nn` does.

        ``index``, (B,), numbers the sequences for ``warm_start``: by default each is that of its place in the batch.
        """
        self.solution = None
        data = input.data if isinstance(input, PackedSequence) else input
        if data.numel() == 0 or (isinstance(self.method, Auto) and self._kernel_is_faster(input)):
            return super().forward(input, hx)  # type: ignore[no-any-return]
        return self._at_once(input, hx, index)

    def _at_once(self, input: Any, hx: State, index: Any) -> tuple[Any, State]:
        """Return the same by a scan; half precision is widened on the way."""
        is_packed = isinstance(input, PackedSequence)
        if is_packed:
            self.check_input(input.data, input.batch_sizes)
        else:
            self._check(input)
        many = input if is_packed or input.dim() == 3 else input.unsqueeze(self._batch_dim)
        x, lengths = unpacked(many, self.batch_first)
        wide, kind = torch.promote_types(x.dtype, torch.float32), x.dtype
        states = self._first(hx, x, is_batched=is_packed or input.dim() == 3)
        states = self._of_each(lambda a: a.to(wide), states)
        numbers = numbers_of(index, x.shape[1]) if self.warm_start and self.training else None
        y, last = self._layers(x.to(wide), states, lengths, input, numbers)
        y, last = y.to(kind).contiguous(), self._of_each(lambda a: a.to(kind), last)
        if is_packed:
            return packed(y, lengths, input), last
        y = y.transpose(0, 1) if self.batch_first else y
        if input.dim() == 3:
            return y, last
        return y.squeeze(self._batch_dim), self._of_each(lambda a: a.squeeze(1), last)

    def _kernel_is_faster(self, x: Any) -> bool:
        """Return whether PyTorch's own kernel is: cuDNN's always, on a CPU that of few steps or many numbers."""
        data = x.data if isinstance(x, PackedSequence) else x
        if not backend_of(data).is_concrete((data, *self.parameters())):
            return False  # PyTorch's kernels have no rule for torch.func.vmap
        is_short = data.dtype in _SHORT or torch.is_autocast_enabled(data.device.type)
        if data.device.type != "cpu" or data.dim() < 2 or is_short or data.dtype in self.compiled:
            return True
        T, batch = (len(x.batch_sizes), int(x.batch_sizes[0])) if data is not x else self._sizes(x)
        follows = torch.is_grad_enabled() and (data.requires_grad or any(p.requires_grad for p in self.parameters()))
        return kernel(follows).is_faster(T, batch, sum(self._widths))

    def _sizes(self, x: Tensor) -> tuple[int, int]:
        """Return the numbers of steps and of sequences."""
        shape = tuple(x.shape)
        if len(shape) == 2:
            return shape[0], 1
        return (shape[1], shape[0]) if self.batch_first else (shape[0], shape[1])

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

    def _layers(self, x: Tensor, states: State, lengths: Any, given: Any, numbers: Any) -> tuple[Tensor, State]:
        """Return the outputs of the last layer, (T, B, n), and all last states."""
        found: dict[str, Solution | None] = {}
        ends, directions = [], ("", "_reverse") if self.bidirectional else ("",)
        for layer in range(self.num_layers):
            outputs = []
            for k, direction in enumerate(directions):
                suffix, row = f"l{layer}{direction}", layer * len(directions) + k
                gates = linear(x, *self._weights(suffix, x, "weight_ih", "bias_ih"))
                first = self._of_each(operator.itemgetter(row), states)
                last, y, found[suffix] = self.trajectories.scan(
                    suffix,
                    numbers,
                    self._step,
                    first,
                    gates.to(x.dtype),
                    reverse=bool(k),
                    lengths=lengths,
                    params=self._weights(suffix, x, "weight_hh", "bias_hh", "weight_hr"),
                    method=self.method,
                )
                ends.append(last)
                outputs.append(y)
            x = torch.cat(outputs, -1) if len(outputs) > 1 else outputs[0]
            if self.dropout and self.training and layer < self.num_layers - 1:
                x = self._dropped(x, lengths, given)
        self.solution = found
        if isinstance(states, tuple):
            return x, tuple(torch.stack(parts) for parts in zip(*ends, strict=True))
        return x, torch.stack(ends)

    def _dropped(self, x: Tensor, lengths: Any, given: Any) -> Tensor:
        """Return x without some of its numbers: of packed sequences those that PyTorch would draw."""
        if not isinstance(given, PackedSequence):
            return dropout(x, self.dropout)
        kept = packed(x, lengths, given)
        return pad_packed_sequence(kept._replace(data=dropout(kept.data, self.dropout)))[0]

    @property
    def _step(self) -> Callable[..., Any]:
        return type(self).step


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
        return steps.relu if self.mode == "RNN_RELU" else steps.tanh


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

    step = staticmethod(steps.gru)


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

    step = staticmethod(steps.lstm)
    compiled = (torch.float32,)

    @property
    def _widths(self) -> list[int]:
        return [self.proj_size or self.hidden_size, self.hidden_size]
