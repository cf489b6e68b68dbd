"""The constants of the cost model, fitted to times of a GRU on this machine."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from scipy.optimize import nnls

from ..backends.libraries import Library
from ..newton.cost import STATED, Cost
from ..newton.methods import Newton, Sequential
from ..problems.recurrence import Recurrence
from ..recurrent.kernels import FORWARD, WITH_BACKWARD
from ..solver import solve
from .cases.in_time import gru

LOOP = ((300, 1, 1), (300, 4, 16), (300, 4, 64), (300, 16, 64))
NEWTON = ((64, 1, 1), (500, 2, 1), (2_000, 1, 4), (2_000, 4, 1), (300, 8, 4), (300, 16, 1), (2_000, 8, 1))
KERNELS = ((1_000, 1, 1), (1_000, 16, 1), (1_000, 4, 4))
AT_ONCE = ((64, 1, 1), (5_000, 1, 1), (2_000, 4, 1), (1_000, 4, 4), (500, 16, 1))
"""(T, n, B)."""
SECONDS = 0.5  # of one size
PROPORTION = 0.03  # the weight of what is stated, beside that of a time

Run = Callable[[], Any]


def calibrations(libraries: Sequence[Library]) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    """Yield what is measured next, and the function that returns its constants by their names."""
    for library in libraries:
        if library.name in STATED and library.kind == "cpu":
            yield library.name, partial(_named, library)
            if library.name == "torch":
                yield "the kernels of torch.nn", _kernels


def _named(library: Library) -> dict[str, Any]:
    cost = cost_of(library)
    return {library.name: {"call": cost.call, "loop": cost.loop, "newton": cost.newton}}


def cost_of(library: Library) -> Cost:
    """Return what the loop and Newton's method take: c0 + c1 B n a step, and a + b1 n + b2 n^2 a point and element."""

    def run(size: tuple[int, int, int], method: Any) -> float:
        problem = _batch(library, *size)
        return best(lambda: solve(problem, method=method))

    stated = STATED[library.name]
    loops = [run(size, Sequential()) / size[0] for size in LOOP]
    c0, c1 = fitted([(1.0, B * n) for _, n, B in LOOP], loops, stated.loop)
    call, b1, b2 = _at_once(NEWTON, [run(size, Newton()) for size in NEWTON], (stated.call, *stated.newton))
    return dataclasses.replace(stated, call=call, loop=(c0, c1), newton=(b1, b2))


def _at_once(sizes: Sequence[tuple[int, int, int]], times: list[float], stated: Sequence[float]) -> tuple[float, ...]:
    """Return a, b1 and b2 of a + T B (b1 n + b2 n^2)."""
    return fitted([(1.0, T * B * n, T * B * n * n) for T, n, B in sizes], times, stated)


def _batch(library: Library, T: int, n: int, B: int) -> Recurrence:
    """Return B times the same GRU."""
    problem = gru(library.asarray, T, n).problem
    x = library.asarray(np.broadcast_to(library.to_numpy(problem.x), (B, T, n)).copy())
    return Recurrence(problem.f, library.asarray(np.zeros((B, n))), x, problem.params)


def _kernels() -> dict[str, Any]:
    """Return the times of PyTorch's kernel, c T, and of a layer solved at once, a + T B (b1 n + b2 n^2)."""
    found = {}
    for name, stated, follows in (("kernels, forward", FORWARD, False), ("kernels", WITH_BACKWARD, True)):
        kernel = [_layer(size, "kernel", follows) for size in KERNELS]
        (step,) = fitted([(T,) for T, _, _ in KERNELS], kernel, [stated.step])
        at_once = [_layer(size, "newton", follows) for size in AT_ONCE]
        call, *point = _at_once(AT_ONCE, at_once, (stated.call, *stated.point))
        found[name] = {"step": step, "call": call, "point": tuple(point)}
    return found


def _layer(size: tuple[int, int, int], way: str, follows: bool) -> float:
    """Return the time of a layer of PyTorch, or of ours on all steps at once."""
    import torch

    from ..torch import GRU

    T, n, B = size
    layer = torch.nn.GRU(n, n) if way == "kernel" else GRU(n, n, method=way)
    x = torch.randn(T, B, n)

    def run() -> None:
        with torch.set_grad_enabled(follows):
            y = layer(x)[0]
        if follows:
            y.sum().backward()

    return best(run)


def best(run: Run) -> float:
    """Return the best of some times behind a first one, in microseconds: at least three, SECONDS in all."""
    run()
    times: list[float] = []
    while len(times) < 3 or sum(times) < SECONDS:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return 1e6 * min(times)


def fitted(rows: Sequence[Sequence[float]], times: Sequence[float], stated: Sequence[float]) -> tuple[float, ...]:
    """Return constants >= 0 whose relative errors of all times are least in the square.

    Where the times say little of one it keeps its proportion to the others, as stated.
    """
    scaled, m = np.asarray(rows) * np.asarray(stated) / np.asarray(times)[:, None], len(stated)
    alike = PROPORTION * (np.eye(m) - 1 / m)
    level = np.mean(np.sum(scaled, axis=1))
    factors = nnls(np.concatenate([scaled, alike * level]), np.concatenate([np.ones(len(times)), np.zeros(m)]))[0]
    return tuple(float(c) for c in factors * np.asarray(stated))
