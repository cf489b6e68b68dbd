"""Three equations with independent references, solved on every installed array library."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ..backends.libraries import Library
from ..solution.solution import Solution
from ..solution.status import Status, numbers
from ..solver import solve
from .cases import AsArray, Case, in_time

STEPS = 10_000
EQUATIONS: dict[str, tuple[Callable[[AsArray], Case], float]] = {
    "GRU, n = 4": (lambda asarray: in_time.gru(asarray, STEPS), 1e-12),
    "pendulum": (lambda asarray: in_time.pendulum(asarray, 1000), 3.3e-4),
    "two lags": (lambda asarray: in_time.forced_lags(asarray, STEPS), 1e-12),
}
"""Each with the bound of its error."""


@dataclass(frozen=True)
class Row:
    """What became of one equation on one library; times in seconds."""

    problem: str
    library: Library
    steps: int
    error: float
    bound: float
    discretisation: float | None
    time: float
    loop_time: float
    status: str

    @property
    def passed(self) -> bool:
        """Whether everything converged to within the bound."""
        return self.status == Status.CONVERGED.name and self.error <= self.bound


def rows(libraries: list[Library]) -> Iterator[tuple[str, Callable[[], Row]]]:
    """Yield what comes next and the function that computes it."""
    for name, (make, bound) in EQUATIONS.items():
        for library in libraries:
            yield f"{name} on {library.name}", functools.partial(_row, name, make, bound, library)


def _row(name: str, make: Callable[[AsArray], Case], bound: float, library: Library) -> Row:
    case = make(library.asarray)
    problem = case.problem

    def run(method: str) -> tuple[Solution, Any]:
        sol = solve(problem, method=method, on_failure="return")
        return sol, library.to_numpy(sol.y)  # which waits for the device

    (sol, y), seconds = _timed(lambda: run("newton"), warm_up=True)
    (loop, _), loop_seconds = _timed(lambda: run("sequential"), warm_up=library.name == "jax")
    estimate = sol.stats.discretisation_error
    codes = [int(c) for s in (sol, loop) for c in numbers(s.status)]
    return Row(
        name,
        library,
        int(max(numbers(sol.stats.steps))),
        _error(y, case),
        bound,
        None if estimate is None else max(numbers(estimate)),
        seconds,
        loop_seconds,
        Status(next((c for c in codes if c), 0)).name,
    )


def _timed(run: Callable[[], Any], warm_up: bool) -> tuple[Any, float]:
    """Return the result and the best of up to three times, of about a second in all."""
    result = run() if warm_up else None
    times: list[float] = []
    while len(times) < 3 and sum(times) < 1.0:
        start = time.perf_counter()
        result = run()
        times.append(time.perf_counter() - start)
    return result, min(times)


def _error(y: Any, case: Case) -> float:
    """Return the largest error relative to the largest |y|, of the worst component."""
    import numpy as np

    found = y[-1] if case.is_final else y
    return float(np.max(np.abs(found - case.exact) / np.max(np.abs(y), axis=0)))
