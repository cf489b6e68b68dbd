"""Peak resident memory of one long solve and its gradient on PyTorch, over that of the imports.

    python benchmarks/bench_long.py [T] [memory]

A GRU with n = 16 on white noise, a batch of 4, float32: y is T n B 4 bytes, the Jacobians n times as much.
"""

from __future__ import annotations

import sys
import time

import torch

import deersolve as ds
from bench_memory import peak
from timing import header

N, BATCH = 16, 4


def main() -> None:
    """Print the sizes and times."""
    T, memory = int(float(sys.argv[1] if sys.argv[1:] else 1e6)), sys.argv[2] if sys.argv[2:] else "250MB"
    torch.manual_seed(0)
    bound = N**-0.5
    weights = [torch.empty(shape).uniform_(-bound, bound) for shape in ((N, 3 * N), (N, 3 * N), (3 * N,), (3 * N,))]
    W, U, b, c = (w.requires_grad_() for w in weights)

    def gru(h, x, params):
        u, v = x @ W + b, h @ U + c
        r, z = torch.sigmoid(u[..., :N] + v[..., :N]), torch.sigmoid(u[..., N : 2 * N] + v[..., N : 2 * N])
        return (1 - z) * torch.tanh(u[..., 2 * N :] + r * v[..., 2 * N :]) + z * h

    def run(T):
        x, began = torch.randn(BATCH, T, N), time.perf_counter()
        sol = ds.solve(ds.Recurrence(gru, torch.zeros(BATCH, N), x), method=ds.Auto(memory=memory))
        forward, seconds = peak(), time.perf_counter() - began
        sol.y.square().mean().backward()
        return sol, forward, seconds, time.perf_counter() - began - seconds

    run(300)
    before = peak()
    sol, forward, seconds, back = run(T)
    print(header("deersolve", "torch", "numba"))
    print(f"T = {T:,}, memory={memory!r}: {sol.stats.method}, all converged: {bool(sol.converged.all())}")
    print(f"x and y: {2 * T * N * BATCH * 4 / 2**20:.0f} MiB; all Jacobians: {T * N * N * BATCH * 4 / 2**20:.0f} MiB")
    print(f"forward:  {seconds:.1f} s, peak {forward - before:.0f} MiB")
    print(f"backward: {back:.1f} s, peak of both {peak() - before:.0f} MiB")


if __name__ == "__main__":
    main()
