"""The affine recurrence on a CPU: distance from the memory limit, and gain over a loop.

Run ``python benchmarks/bench_scans.py`` (under three minutes); needs Numba for the first half and JAX
for the last table. All in float64 and with one thread for the scans.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from deersolve.linalg.scans import affine_scan, which_scan
from deersolve.linalg.structure import Dense
from timing import compare, header, ratios, table

SIZES = (16, 96)
"""Megabytes of data: within the last cache of a server, and beyond it."""
LOOP_TARGETS = {1: 50.0, 2: 20.0, 4: 5.0, 8: 2.5, 16: 1.0, 64: 1.0}
"""The least gain of the best way without Numba over a NumPy loop."""


def main() -> None:
    print(header("numpy", "scipy", "numba", "jax"), end="\n\n")
    for megabytes in SIZES:
        rows = [one_size(n, megabytes) for n in LOOP_TARGETS]
        print(f"{megabytes} MB of data, B = 1, one lag of 1:", end="\n\n")
        titles = ["n", "T", "one pass ms", "GB/s", "numba ms", "over the pass", "target"]
        titles += ["loop ms", "without Numba", "ms", "gain over the loop", "target"]
        print(table(titles, rows), end="\n\n")
    print("JAX, jitted, n = 4, T = 100,000:", end="\n\n")
    print(ratios(jax_ways(4, 100_000), "lax"))


def one_size(n: int, megabytes: int) -> list[Any]:
    """Time one size; the loop runs on a part of the horizon where the whole would take long."""
    T = megabytes * 2**20 // (8 * (n * n + 2 * n))
    A, b = draw(n, T)
    T_loop = min(T, 100_000)
    part_A, part_b = A[:T_loop], b[:T_loop]
    way = without_numba(n, T)
    candidates: dict[str, Callable[[], Any]] = {
        "loop": lambda: loop(part_A, part_b),
        way: lambda: affine_scan((Dense(A),), (1,), b, way=way),
    }
    one_pass = memory_pass()
    if one_pass:
        candidates["pass"] = lambda: one_pass(A.reshape(-1), b.reshape(-1), np.empty(b.size))
        candidates["numba"] = lambda: affine_scan((Dense(A),), (1,), b, way="numba")
    times = {name: t.median for name, t in compare(candidates, repeats=5).items()}
    loop_time = times["loop"] * T / T_loop
    nan = float("nan")
    limit, numba = times.get("pass", nan), times.get("numba", nan)
    gain = [1e3 * loop_time, way, 1e3 * times[way], loop_time / times[way], f">= {LOOP_TARGETS[n]:g}"]
    bandwidth = 8e-9 * T * (n * n + 2 * n) / limit
    return [n, T, 1e3 * limit, bandwidth, 1e3 * numba, numba / limit, "<= 2", *gain]


def draw(n: int, T: int) -> tuple[Any, Any]:
    """Draw a contractive recurrence."""
    rng = np.random.default_rng(n)
    return rng.uniform(-0.5 / n, 0.5 / n, size=(T, n, n)), rng.normal(size=(T, n))


def loop(A: Any, b: Any) -> Any:
    """The NumPy loop that every way is measured against."""
    y = np.empty_like(b)
    y[0] = b[0]
    for i in range(1, len(b)):
        y[i] = A[i] @ y[i - 1] + b[i]
    return y


def without_numba(n: int, T: int) -> str:
    """Return the way that would be chosen on NumPy if Numba were not installed."""
    from deersolve.linalg.scans import choose

    installed = choose.is_installed
    try:
        choose.is_installed = lambda module: module != "numba" and installed(module)
        return which_scan("dense", n, (1,), T, 1, "numpy", "cpu", "float64")[0]
    finally:
        choose.is_installed = installed


@functools.cache
def memory_pass() -> Callable[..., Any] | None:
    """Return one pass over the data at the speed of the memory: read A (in four streams) and b, write y."""
    try:
        import numba
    except ImportError:
        return None

    @numba.njit(fastmath=True)
    def one_pass(A: Any, b: Any, y: Any) -> Any:
        for i in range(b.size):
            y[i] = b[i]
        part = A.size // 4
        t0, t1, t2, t3 = 0.0, 0.0, 0.0, 0.0
        for i in range(part):
            t0 += A[i]
            t1 += A[part + i]
            t2 += A[2 * part + i]
            t3 += A[3 * part + i]
        return t0 + t1 + t2 + t3

    return one_pass


def jax_ways(n: int, T: int) -> dict[str, Any]:
    """Time both ways of JAX."""
    import jax

    jax.config.update("jax_enable_x64", True)
    A, b = (jax.numpy.asarray(a) for a in draw(n, T))
    runs = {
        way: jax.jit(functools.partial(lambda A, b, way: affine_scan((Dense(A),), (1,), b, way=way), way=way))
        for way in ("lax", "associative")
    }
    return compare({way: functools.partial(run, A, b) for way, run in runs.items()}, repeats=7)


if __name__ == "__main__":
    main()
