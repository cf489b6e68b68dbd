"""``RNN``, ``GRU`` and ``LSTM`` of :mod:`torch.nn`, solved for all steps at once where that is faster.

Constructor, arguments, results and ``state_dict`` are those of :mod:`torch.nn`: replace ``torch.nn.GRU`` by
``deersolve.torch.GRU``. Of a short or wide sequence PyTorch's own kernel runs, forward and backward; a long sequence of
few components is solved by Newton's method on all steps at once.

Each layer also takes

- ``method``, that of :func:`deersolve.scan`; ``"auto"`` chooses as above.
- ``warm_start=True``: in training Newton's method starts from the states that the same sequences had the last time,
  in fewer steps as the weights settle; results stay within its tolerance. ``forward(..., index=numbers)`` says which
  sequences they are, by default those of the same places in the batch. They are kept in float32 on their device, at
  most a gigabyte, and are no part of the ``state_dict``; in evaluation they are neither read nor written.

and behind a forward it has ``solution``, a dict with the :class:`deersolve.Solution` (status, stats, states) of each
layer and direction by the endings of PyTorch's names, ``"l0"``, ``"l0_reverse"``; None where PyTorch's kernel ran, an
entry None where a loop did, or a transform of ``torch.func`` followed.
"""

from .cell import Cell, from_cell
from .layers import GRU, LSTM, RNN

__all__ = ["GRU", "LSTM", "RNN", "Cell", "from_cell"]
