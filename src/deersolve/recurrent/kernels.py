"""Whether the fused kernels of ``torch.nn`` are faster than Newton's method on all steps at once."""

from __future__ import annotations

import dataclasses

from ..newton.measured import constants


@dataclasses.dataclass(frozen=True)
class Kernel:
    """Microseconds on a core: a step of the kernel; Newton's method once, and b1 n + b2 n^2 for each point."""

    step: float
    call: float
    point: tuple[float, float]

    def is_faster(self, T: int, batch: int, n: int) -> bool:
        """Return whether the kernel takes less time for T steps of a batch with a state of n components."""
        newton = self.call + T * batch * (self.point[0] * n + self.point[1] * n * n)
        return SURE * self.step * T <= newton


SURE = 0.8  # of the time of a kernel: what Newton's method has to stay below
FORWARD = Kernel(24.0, 42_000.0, (0.3, 0.09))
WITH_BACKWARD = Kernel(290.0, 50_000.0, (0.7, 0.2))
"""Fitted to a GRU: n from 1 to 16, 128 to 10,000 steps, B from 1 to 64, torch 2.13 (benchmarks/bench_recurrent.py)."""


def kernel(with_backward: bool) -> Kernel:
    """Return the constants, measured on this machine if they were."""
    return constants(*(("kernels", WITH_BACKWARD) if with_backward else ("kernels, forward", FORWARD)))
