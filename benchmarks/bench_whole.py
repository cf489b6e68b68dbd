"""A tolerance by both ways: the march, and Newton's method on all steps at once, in turns.

``python benchmarks/bench_whole.py [numpy] [torch] [jax] [cupy]``: without names, NumPy and every library with a GPU.
The same rule on both ways (Radau IIA of order 9), the same tolerance. An error is that at the last time, relative to
the largest |y| of its component, of the worst. "calls" are those of operations of PyTorch on its CPU, what a launch is
on a GPU: below some thousand points each of those costs a GPU the same, whatever it works on.
"""

from __future__ import annotations

import sys
import warnings

import numpy as np

import deersolve as ds
from bench_gpu import devices
from timing import compare, header, synchronise, table


def lotka_volterra(y, t, p):
    xp = ds.array_namespace(y)
    u, v = y[..., 0], y[..., 1]
    return xp.stack([1.5 * u - u * v, u * v - 3.0 * v], axis=-1)


def van_der_pol(mu):
    def f(y, t, p):
        xp = ds.array_namespace(y)
        return xp.stack([y[..., 1], mu * (1 - y[..., 0] ** 2) * y[..., 1] - y[..., 0]], axis=-1)

    return f


def relaxation(y, t, p):
    """Prothero and Robinson's equation: y = cos t behind a layer of 1e-4."""
    return -1e4 * (y - ds.array_namespace(t).cos(t))


CASES = {
    "Lotka-Volterra to t = 10": (lotka_volterra, 10.0, (1.0, 1.0), (1.0263447675750899, 0.9096910781360402)),
    "van der Pol, mu = 100, to t = 163": (
        van_der_pol(100.0),
        163.0,
        (2.0, 0.0),
        (1.9989355768358275, -0.006672462034821017),
    ),
    "y' = -1e4 (y - cos t) to t = 2": (relaxation, 2.0, (0.0,), ((1e8 * np.cos(2) + 1e4 * np.sin(2)) / (1 + 1e8),)),
}
WAYS, RTOLS, COUNTS = ("march", "newton"), (1e-3, 1e-6, 1e-9), (1, 64)


def solved(case, put, way, rtol, count):
    """Return the solution of so many equal elements."""
    f, end, y0, _ = case
    start = put(np.tile(np.array(y0), (count, 1)) if count > 1 else np.array(y0))
    method = ds.Adaptive(rtol, 1e-3 * rtol, way=way)
    return ds.solve(ds.InitialValueProblem(f, put(np.array([0.0, end])), start), method=method, inverse="radau9")


def calls(run):
    """Return how many operations PyTorch was called for."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Counting(TorchDispatchMode):
        count = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            self.count += 1
            return func(*args, **(kwargs or {}))

    with Counting() as counting:
        run()
    return counting.count


def rounds(sol):
    """Return how many rounds there were, as the choice says."""
    words = sol.stats.choice.partition(" rounds")[0].split()
    return words[-1] if "rounds" in sol.stats.choice else "-"


def rows(name, put, count):
    """Yield a row for each case, tolerance and way."""
    for title, case in CASES.items():
        for rtol in RTOLS:
            runs = {way: (lambda w=way, r=rtol, c=case: solved(c, put, w, r, count)) for way in WAYS}
            times = compare({way: (lambda run=run: synchronise(run().y)) for way, run in runs.items()}, 7)
            for way, run in runs.items():
                sol = run()
                y, peak = ds.backends.backend_of(sol.y).to_numpy(sol.y), np.abs(np.asarray(case[2])).max()
                off = float((np.abs(y[..., -1, :] - np.array(case[3])) / max(peak, 1.0)).max())
                steps = int(sol.grid.shape[-1]) - 1
                made = calls(run) if name == "torch" and count == 1 else "-"
                ratio = times[way].median / times["march"].median
                yield [title, count, f"{rtol:.0e}", way, rounds(sol), steps, f"{off:.0e}", made, f"{ratio:.2f}"]


def main():
    warnings.simplefilter("ignore", ds.DiscretisationWarning)
    found = dict(devices())
    asked = sys.argv[1:] or ["numpy", *found]
    for name in asked:
        put = found.get(name) or {"numpy": np.asarray, "torch": on_cpu}.get(name)
        if put is None:
            print(f"{name}: no device here")
            continue
        print(header("deersolve", "numpy", *({name} - {"numpy"})) + "\n")
        titles = [name, "elements", "rtol", "way", "rounds", "steps", "error", "calls", "time / march"]
        print(table(titles, [row for count in COUNTS for row in rows(name, put, count)]) + "\n", flush=True)


def on_cpu(a):
    import torch

    return torch.as_tensor(a)


if __name__ == "__main__":
    main()
