"""What a step of the loop and one of Newton's method cost, from stated constants, or from those of this machine.

Those stated are fitted to a GRU on two cores of an AMD EPYC (``benchmarks/bench_auto.py``); ``deersolve info
--calibrate`` fits them where it runs. An f of more or fewer operations scales both alike, near enough.
"""

from __future__ import annotations

import dataclasses
import math

from ..backends.generic import Backend
from ..backends.namespace import Array
from .equation import System
from .measured import constants

SHORT = 256  # steps of the shortest window that memory asks for
FEW = 64  # points that no Newton step is much cheaper without
PACKED = 3  # times a call of Newton's method: to pack trees in rows, and to look whether f is one of rows
CROSSING = 11  # components of one element from which a vjp of each step costs less than Jacobians; of 16, half as many
RECORDED = 72  # the same of a graph that has each step, from which on reverse mode through that costs less
NEVER = 10**9  # steps: an accelerator works on all points at once


@dataclasses.dataclass(frozen=True)
class Cost:
    """Microseconds, of all Newton steps together: ``loop`` a step and element, ``newton`` a point and element."""

    call: float  # once for each window
    loop: tuple[float, float]  # c0 + c1 B n for each step
    newton: tuple[float, float]  # (b1 + b2 w) n for each point and element, of Jacobians with w numbers in a row
    cache: int  # bytes of a Jacobian and of the vectors beside it that a window should hold
    vectors: int  # how many those are

    def of_loop(self, T: int, n: int, batch: int) -> float:
        """Return what the loop over T steps takes."""
        return T * (self.loop[0] + self.loop[1] * batch * n)

    def of_newton(self, T: int, n: int, batch: int, width: int) -> float:
        """Return what Newton's method takes on T points."""
        return self.call + T * batch * n * (self.newton[0] + self.newton[1] * width)


# A window on NumPy should stay in the cache; one on PyTorch in what malloc does not hand back to the system each time.
NUMPY = Cost(2500.0, (23.0, 0.085), (0.42, 0.03), 4_000_000, 10)
TORCH = Cost(6000.0, (63.0, 0.085), (0.35, 0.06), 25_000_000, 1)
GRAPH = Cost(12_000.0, (125.0, 0.2), (0.7, 0.12), 25_000_000, 1)  # forward and backward
LEAST = {"numpy": 4.0, "torch": 20.0}  # c0 of an f of two operations or three
STATED = {"numpy": NUMPY, "torch": TORCH}


def cost_of(backend: Backend) -> Cost:
    """Return the constants of a library, measured on this machine if they were."""
    name = "torch" if backend.name == "torch" else "numpy"
    return constants(name, STATED[name])


def window_of(system: System) -> int:
    """Return how many steps a window should have, by memory alone."""
    (n, batch), cost = system.sizes, cost_of(system.backend)
    return max(SHORT, int(cost.cache // (8 * batch * n * (system.width + cost.vectors))))


def overhead(system: System) -> int:
    """Return the number of points that cost as much as a Newton step does beside its points."""
    if system.backend.device_kind(system.data.guess) != "cpu":
        return NEVER
    cost, (n, batch) = cost_of(system.backend), system.sizes
    one = cost.of_newton(1, n, batch, system.width) - cost.call
    return max(round(cost.call / 2 / one), FEW)


def prefers_loop(backend: Backend, like: Array, T: int, sizes: tuple[int, int], width: int) -> bool:
    """Return whether a loop over T steps is faster than Newton's method, for n components and B elements on a device.

    Jacobians have ``width`` numbers in a row. A compiled loop on a CPU always is.
    """
    if backend.device_kind(like) != "cpu":
        return False
    cost = cost_of(backend)
    return backend.compiles or cost.of_loop(T, *sizes) < cost.of_newton(T, *sizes, width)


def prefers_plain_loop(backend: Backend, like: Array, T: int, sizes: tuple[int, int], width: int) -> bool:
    """Return whether the loop that one would write, of an f that may be cheap, is faster than Newton's method.

    Where a graph is recorded its way back counts too: the loop goes it step by step.
    """
    if backend.device_kind(like) != "cpu":
        return False
    cost, first = cost_of(backend), LEAST["torch" if backend.records else "numpy"]
    if backend.records and not backend.can_write(()):
        cost, first = GRAPH, GRAPH.loop[0]
    loop = T * (first + cost.loop[1] * math.prod(sizes))
    return backend.compiles or loop < cost.of_newton(T, *sizes, width) + PACKED * cost.call


def prefers_steps(system: System) -> bool:
    """Return whether the derivative of a loop is faster by one step after the other than by Jacobians of all steps."""
    backend, like, (n, batch) = system.backend, system.data.guess, system.sizes
    if backend.device_kind(like) != "cpu":
        return False
    return n**4 * batch > CROSSING**4 if backend.compiles else n**2.5 * batch > RECORDED**2.5
