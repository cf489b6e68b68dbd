"""On a GPU: whole solves and gradients against the loop, the scans alone, and where a step's time goes.

``python benchmarks/bench_gpu.py [solve] [gradient] [scans] [plane] [torch] [jax] [cupy]`` prints Markdown tables with
hardware and versions; without names, everything. It does nothing where no library has a GPU. GRU in float32 throughout,
weights and input drawn as in bench_solve.py; Bratu's equation in a square in float64.
"""

from __future__ import annotations

import functools
import subprocess
import sys
import time

import numpy as np

import deersolve as ds
from bench_solve import draw, gru
from deersolve.linalg.scans import affine_scan, which_scan
from deersolve.linalg.structure import Dense
from deersolve.testing.cases import in_space
from timing import compare, header, synchronise

SIZES = ((1, 10_000, 16), (1, 100_000, 16), (1, 1_000_000, 16), (4, 10_000, 16), (4, 100_000, 16), (16, 10_000, 16))
SHORTER = ((1, 10_000, 16), (1, 100_000, 16), (4, 10_000, 16), (4, 100_000, 16))
"""For gradients."""
LONGEST = {"cupy": 1_000, "jax": 10_000}
"""Steps of the longest loop that is timed; a longer one is that one times the ratio of the lengths."""


def devices():
    """Yield the name of each library with a GPU and a function that moves a NumPy array there."""
    try:
        import torch

        if torch.cuda.is_available():
            yield "torch", lambda a: torch.as_tensor(a, device="cuda")
    except ImportError:
        pass
    try:
        import jax

        jax.config.update("jax_enable_x64", True)
        if jax.default_backend() == "gpu":
            yield "jax", jax.numpy.asarray
    except ImportError:
        pass
    try:
        import cupy

        if cupy.cuda.is_available():
            yield "cupy", cupy.asarray
    except ImportError:
        pass


def inputs(put, n, T, B):
    """Return y0, x and the weights in float32."""
    weights, x = draw(n, T, B)
    return put(np.zeros((B, n), "float32")), put(x.astype("float32")), tuple(put(w.astype("float32")) for w in weights)


def loop(name, y0, x, weights):
    """Return the loop that a user would write: ``lax.scan`` under jit, a Python loop elsewhere."""
    if name == "jax":
        import jax

        def run(y0, x, weights):
            step = lambda h, u: (gru(h, u, weights),) * 2  # noqa: E731
            return jax.numpy.moveaxis(jax.lax.scan(step, y0, jax.numpy.moveaxis(x, -2, 0))[1], 0, -2)

        return jax.jit(run)
    if name == "torch":
        import torch

        cell = torch.nn.GRU(y0.shape[-1], y0.shape[-1], batch_first=True).cuda()  # cuDNN: the best loop there is

        def run(y0, x, weights):
            h, parts = None, []
            for piece in x.split(10_000, dim=1):  # it refuses 100,000 steps at once
                y, h = cell(piece.contiguous(), h)
                parts.append(y)
            return torch.cat(parts, dim=1)

        return run
    return lambda y0, x, weights: ds.solve(ds.Recurrence(gru, y0, x, weights), method="sequential").y


def newton(name, **options):
    """Return our solve, as a function that gives y and the number of steps; under jit on JAX."""

    def run(y0, x, weights):
        sol = ds.solve(ds.Recurrence(gru, y0, x, weights), method=ds.Newton(**options))
        return sol.y, sol.stats.steps

    if name != "jax":
        return run
    import jax

    return jax.jit(run)


def with_steps(result):
    """Return y and the number of steps of what a loop or Newton's method returned."""
    return result if isinstance(result, tuple) else (result, None)


def gradient(name, run):
    """Return the gradient of the mean square of y by the weights and x."""
    if name == "jax":
        import jax

        def loss(y0, x, weights):
            y, steps = with_steps(run(y0, x, weights))
            return (y**2).mean(), steps

        return jax.jit(jax.grad(loss, argnums=(1, 2), has_aux=True))

    def backward(y0, x, weights):
        leaves = [a.detach().requires_grad_() for a in (x, *weights)]
        y, steps = with_steps(run(y0, leaves[0], tuple(leaves[1:])))
        (y**2).mean().backward()
        return leaves[0].grad, steps

    return backward


def solves(name, put, sizes, transform=lambda name, run: run):
    """Print a row for each size: the loop (~: part of it, scaled), Newton, their ratio and the steps."""
    print(f"\n| {name} | n | T | B | loop ms | Newton ms | ratio | steps | first call s | peak MB |")
    print("|---|---|---|---|---|---|---|---|---|---|", flush=True)
    for n, T, B in sizes:
        args = inputs(put, n, T, B)
        ours = transform(name, newton(name))
        start = time.perf_counter()
        steps = int(synchronise(ours(*args))[1].max())
        first = time.perf_counter() - start
        fast = compare({"ours": functools.partial(ours, *args)}, 5)["ours"].median
        most = peak(name)
        short = min(T, LONGEST.get(name, T))
        part = (args[0], args[1][:, :short], args[2])
        theirs = transform(name, loop(name, *part))
        slow = compare({"loop": functools.partial(theirs, *part)}, 1 if name == "cupy" else 3)["loop"].median
        slow, mark = slow * T / short, "" if short == T else "~"
        cells = f"{mark}{1e3 * slow:.1f} | {1e3 * fast:.2f} | {slow / fast:.1f}x | {steps} | {first:.1f}"
        print(f"| | {n} | {T:,} | {B} | {cells} | {most} |", flush=True)


def peak(name):
    """Return the most megabytes that the library has held so far, where it tells."""
    if name == "torch":
        import torch

        most = torch.cuda.max_memory_allocated() // 2**20
        torch.cuda.reset_peak_memory_stats()
        return most
    return "-"


def scans(name, put):
    """Print the scan alone, by every way, next to the time that reading A and b and writing y takes at 4 TB/s."""
    print(f"\n| {name}: the scan alone, B = 16 | n | T | chosen | ms by way | floor ms |\n|---|---|---|---|---|---|")
    ways = {"torch": ("cuda", "blelloch"), "cupy": ("cuda", "blelloch"), "jax": ("associative", "lax", "blelloch")}[
        name
    ]
    for n, T in ((1, 10_000), (1, 100_000), (1, 1_000_000), (4, 10_000), (4, 100_000), (16, 10_000)):
        A, b = (put(a.astype("float32")) for a in random(n, T))
        runs = {}
        for way in ways:
            if way == "lax" and T > 10_000:
                continue
            run = functools.partial(lambda A, b, way: affine_scan((Dense(A),), (1,), b, way=way), way=way)
            if name == "jax":
                import jax

                run = jax.jit(run)
            runs[way] = functools.partial(run, A, b)
        times = compare(runs, 5)
        chosen = which_scan("dense", n, (1,), T, 16, name, "gpu" if name == "jax" else "cuda", "float32")[0]
        cells = ", ".join(f"{way} {1e3 * t.median:.2f}" for way, t in times.items())
        floor = 1e3 * 4 * 16 * T * (n * n + 2 * n) / 4e12
        print(f"| | {n} | {T:,} | {chosen} | {cells} | {floor:.3f} |", flush=True)


def random(n, T, B=16):
    rng = np.random.default_rng(n)
    return rng.uniform(-0.5 / n, 0.5 / n, size=(B, T, n, n)), rng.normal(size=(B, T, n))


def plane(name, put):
    """Print Bratu's equation on N x N points from 0, on the GPU and by NumPy on its host."""
    print(f"\n| {name}: Bratu 2D | N | ms | NumPy ms | ratio | steps | first call s |\n|---|---|---|---|---|---|---|")
    for N in (64, 256, 1024):
        ours, host = in_space.bratu(put, N, 6.0).problem, in_space.bratu(np.asarray, N, 6.0).problem
        start = time.perf_counter()
        steps = int(synchronise(ds.solve(ours)).stats.steps)
        first = time.perf_counter() - start
        runs = {"ours": lambda: ds.solve(ours).y, "host": lambda: ds.solve(host).y}  # noqa: B023
        t = {k: 1e3 * v.median for k, v in compare(runs, 3 if N < 1024 else 1).items()}
        ratio = t["host"] / t["ours"]
        print(f"| | {N} | {t['ours']:.1f} | {t['host']:.1f} | {ratio:.1f}x | {steps} | {first:.1f} |", flush=True)


def main():
    found = dict(devices())
    if not found:
        print("no library with a GPU here: nothing measured")
        return
    card = subprocess.run(
        ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"],
        check=False,
        capture_output=True,
        text=True,
    )
    print(card.stdout.strip(), header("torch", "jax", "cupy-cuda12x", "cupy-cuda13x", "numpy"), sep="\n")
    every = ("solve", "gradient", "scans", "plane")
    parts = [word for word in sys.argv[1:] if word in every] or every
    names = [word for word in sys.argv[1:] if word in found] or list(found)
    for name in names:
        if "scans" in parts:
            scans(name, found[name])
        if "solve" in parts:
            solves(name, found[name], SIZES)
        if "plane" in parts:
            plane(name, found[name])
        if "gradient" in parts and name != "cupy":
            print(f"\nForward and gradient, {name}:")
            solves(name, found[name], SHORTER, gradient)


if __name__ == "__main__":
    main()
