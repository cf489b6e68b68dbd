"""The trajectories of the last training steps, from which the next ones start."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..backends import backend_of
from ..backends.torch import is_plain
from ..errors import mismatch
from ..recurrent.scan import scanned
from ..recurrent.ways import Scanned
from ..solution.solution import Solution

MOST = 2**28  # numbers that are kept of all sequences, a gigabyte


class Trajectories:
    """What sequences had as states at all steps, (T, n), by their numbers: float32, and on no graph.

    No more than ``MOST`` numbers are kept; a sequence that finds no place any more starts as the first did.
    """

    def __init__(self) -> None:
        self.kept: dict[tuple[str, int], Tensor] = {}
        self.size = 0

    def __reduce__(self) -> Any:
        """Keep none in a copy of a layer, in memory or in a file."""
        return Trajectories, ()

    def scan(self, place: str, numbers: list[int] | None, f: Any, init: Any, xs: Any, **options: Any) -> Scanned:
        """Return what a scan finds, the solution without its graph, from what the sequences of these numbers had.

        Inside a transform of ``torch.func`` there are no numbers to keep.
        """
        keeps = numbers is not None and is_plain()
        guess = self._guess(place, numbers, init, xs.shape[0]) if keeps else None
        made = scanned(f, init, xs, batch_axis=0, y_guess=guess, **options)
        if made.solution is None or not is_plain():
            return made._replace(solution=None)
        sol: Solution = backend_of(made.solution.y).without_gradient(made.solution)
        if keeps:
            self._keep(place, numbers, sol.y)
        return made._replace(solution=sol)

    def _guess(self, place: str, numbers: Any, init: Any, T: int) -> Tensor | None:
        """Return (B, T, n): the first states where nothing is known, and the last known one behind shorter ones."""
        found = [self.kept.get((place, number)) for number in numbers]
        if all(a is None for a in found):
            return None
        leaves = init if isinstance(init, tuple) else (init,)
        first = torch.cat([a.reshape(len(numbers), -1) for a in leaves], -1).detach()
        if any(a is not None and a.shape[1] != first.shape[1] for a in found):
            return None
        return torch.stack([(row[None] if a is None else a.to(row))[_steps(a, T)]
                            for a, row in zip(found, first, strict=True)])  # fmt: skip

    def _keep(self, place: str, numbers: Any, y: Tensor) -> None:
        for number, row in zip(numbers, y.to(torch.float32), strict=True):
            old = self.kept.get((place, number))
            size = self.size + row.numel() - (0 if old is None else old.numel())
            if size <= MOST:
                self.kept[place, number], self.size = row.clone(), size


def _steps(a: Tensor | None, T: int) -> Tensor:
    """Return which of the known steps stands at each of T."""
    return torch.arange(T).clamp(max=0 if a is None else len(a) - 1)


def numbers_of(index: Any, batch: int) -> list[int]:
    """Return the numbers of the sequences of a batch, their places where none are given."""
    if index is None:
        return [*range(batch)]
    expected = f"whole numbers, shape {(batch,)}, one of each sequence of the batch"
    try:
        a = torch.as_tensor(index)
    except (TypeError, ValueError, RuntimeError):  # names, objects, rows of unlike lengths
        raise mismatch("index", expected, repr(index)) from None
    if a.dim() != 1 or len(a) != batch or a.is_floating_point() or a.is_complex() or a.dtype == torch.bool:
        raise mismatch("index", expected, f"{a.dtype}, shape {tuple(a.shape)}")
    return a.tolist()  # type: ignore[no-any-return]
