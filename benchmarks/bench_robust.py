"""Which problems are solved with the defaults, from the constant guess, how fast, and how right.

    python benchmarks/bench_robust.py [numpy|torch|jax|jit ...]

"against the loop" is the largest difference from ``method="sequential"``, relative to the largest |y|; where two right
orbits part (a chaotic problem) look at the backward error instead, which is that of every step by itself.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import deersolve as ds
import hard
from deersolve.testing.cases import Case, in_time

TRIALS = 3


def stiff_mesh(asarray: Any, N: int) -> Any:
    return hard.fitting(hard.van_der_pol(np.asarray, np.zeros(2)), 163.0, N)


def star_mesh(N: int) -> Any:
    return hard.fitting(hard.pleiades(np.asarray, np.zeros(2)), 3.0, N)


def long(case: Callable[[Any, int], Case], N: int, last: float, asarray: Any) -> Case:
    made = case(asarray, N)
    problem = made.problem
    return Case(ds.InitialValueProblem(problem.f, asarray(np.linspace(0.0, last, N + 1)), problem.boundary.y0), None)


def work() -> dict[str, Callable[[Any], Case]]:
    """Return the cases by name."""
    vdp, stars = stiff_mesh(np.asarray, 4_000), star_mesh(10_000)
    cases = {
        "LV T=10, N=1,000": lambda a: in_time.lotka_volterra(a, 1_000),
        "LV T=10, N=10,000": lambda a: in_time.lotka_volterra(a, 10_000),
        "LV T=100, N=10,000": partial(long, in_time.lotka_volterra, 10_000, 100.0),
        "pendulum T=20, N=1,000": lambda a: in_time.pendulum(a, 1_000),
        "Lorenz T=2, N=1,000": lambda a: in_time.lorenz(a, 1_000),
        "Lorenz T=15, N=10,000": partial(long, in_time.lorenz, 10_000, 15.0),
        "pleiades T=3, N=10,000": lambda a: hard.pleiades(a, stars),
        "van der Pol mu=100 T=163, N=4,000": lambda a: hard.van_der_pol(a, vdp),
        "robertson T=1e5, N=2,000": lambda a: hard.robertson(a, hard.logarithmic(1e-5, 1e5, 2_000)),
        "hires T=322, N=2,000": lambda a: hard.hires(a, hard.logarithmic(1e-3, 321.8122, 2_000)),
        "logistic map r=4, T=100,000": lambda a: in_time.logistic_map(a, 100_000),
    }
    for cell in ("gru", "lstm"):
        for scale in (1, 2, 4):
            name = f"{cell.upper()} n=4, weights x{scale}, T=100,000"
            cases[name] = partial(hard.gated, seed=1, T=100_000, scale=scale, cell=cell)
    for seed in range(3):
        cases[f"neural ODE {seed}, N=1,000"] = partial(hard.neural_ode, seed=seed)
    return cases


def libraries() -> dict[str, tuple[Any, Any]]:
    """Return asarray and a way to call, by name."""
    import jax
    import torch

    jax.config.update("jax_enable_x64", True)

    def jitted(problem: Any, **options: Any) -> Any:
        is_ode = isinstance(problem, ds.InitialValueProblem)
        where = (problem.t, problem.boundary.y0) if is_ode else (problem.boundary.y0, problem.x)

        @jax.jit
        def run(where: Any) -> Any:
            more = {} if is_ode else {"n_points": getattr(problem.grid, "n_points", None)}
            return ds.solve(type(problem)(problem.f, *where, **more), on_failure="return", **options)

        return lambda: jax.block_until_ready(run(where))

    def plain(problem: Any, **options: Any) -> Any:
        return lambda: ds.solve(problem, on_failure="return", **options)

    def waited(problem: Any, **options: Any) -> Any:
        return lambda: jax.block_until_ready(ds.solve(problem, on_failure="return", **options))

    return {
        "numpy": (np.asarray, plain),
        "torch": (lambda a: torch.asarray(np.asarray(a)), plain),
        "jax": (jax.numpy.asarray, waited),
        "jit": (jax.numpy.asarray, jitted),
    }


def median(run: Callable[[], Any]) -> float:
    """Return seconds, after a first call."""
    seconds = []
    for _ in range(TRIALS):
        begin = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - begin)
        if sum(seconds) > 5.0:
            break
    return float(np.median(seconds))


def main() -> None:
    """Print the table."""
    asked = sys.argv[1:] or ["numpy", "torch", "jax", "jit"]
    print("| library | problem | status | method | steps | backward error | against the loop | s | loop s | ratio |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name, (asarray, call) in libraries().items():
        if name not in asked:
            continue
        for title, make in work().items():
            problem = make(asarray).problem
            auto, loop = call(problem), call(problem, method="sequential")
            sol, other = auto(), loop()
            status = ds.Status(int(sol.status)).name
            y, truth = np.asarray(sol.y), np.asarray(other.y)
            apart = np.max(np.abs(y - truth)) / np.max(np.abs(truth))
            ours, theirs = median(auto), median(loop)
            print(
                f"| {name} | {title} | {status} | {sol.stats.method} | {int(sol.stats.steps)} | "
                f"{float(sol.stats.residual):.1e} | {apart:.1e} | {ours:.3f} | {theirs:.3f} | {ours / theirs:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
