"""Whole solves on a GPU: every library that has one, Newton on all points against the loop. Skips itself elsewhere.

Run as ``python benchmarks/bench_gpu.py``; prints one Markdown table with hardware and versions.
"""

from __future__ import annotations

import subprocess

import numpy as np

import deersolve as ds
from bench_solve import draw, gru
from timing import compare, header


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


def solver(put, n, T, B, method):
    """Return a function that solves a GRU in float32, by AD or dual numbers as the library has it."""
    weights, x = draw(n, T, B)
    weights, x = tuple(put(w.astype("float32")) for w in weights), put(x.astype("float32"))
    zero = put(np.zeros((B, n), "float32"))
    return lambda: ds.solve(ds.Recurrence(gru, zero, x, weights), method=method).y


def main():
    found = list(devices())
    if not found:
        print("no library with a GPU here: nothing measured")
        return
    card = subprocess.run(
        ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"],
        check=False,
        capture_output=True,
        text=True,
    )
    print(card.stdout.strip(), header("deersolve", "torch", "jax", "cupy-cuda12x", "numpy"), sep="\n")
    print("\n| library | n | T | B | loop ms | Newton ms | ratio |\n|---|---|---|---|---|---|---|")
    for name, put in found:
        for n, T, B in ((1, 10_000, 16), (4, 10_000, 16), (4, 100_000, 1), (16, 10_000, 4)):
            newton = compare({"newton": solver(put, n, T, B, "newton")}, 5)["newton"].median
            if T > 10_000 and name != "jax":
                print(f"| {name} | {n} | {T:,} | {B} | - | {1e3 * newton:.1f} | - |", flush=True)
                continue
            loop = compare({"loop": solver(put, n, T, B, "sequential")}, 1)["loop"].median
            cells = f"{1e3 * loop:.1f} | {1e3 * newton:.1f} | {loop / newton:.1f}x"
            print(f"| {name} | {n} | {T:,} | {B} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
