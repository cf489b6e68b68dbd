"""``RNN``, ``GRU`` and ``LSTM`` of :mod:`torch.nn`, solved for all steps at once where that is faster.

Constructor, arguments, results and ``state_dict`` are those of :mod:`torch.nn`: replace ``torch.nn.GRU`` by
``deersolve.torch.GRU``. Of a short or wide sequence PyTorch's own kernel runs, forward and backward; a long sequence of
few components is solved by Newton's method on all steps at once.
"""

from .cell import Cell, from_cell
from .layers import GRU, LSTM, RNN

__all__ = ["GRU", "LSTM", "RNN", "Cell", "from_cell"]
