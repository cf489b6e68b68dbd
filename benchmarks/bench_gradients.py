"""Forward and gradient against what a user would train with instead: one table, interleaved medians.

Run as ``python benchmarks/bench_gradients.py``; ``--quick`` shrinks the sizes.
"""

from __future__ import annotations

import sys

import deersolve as ds
from bench_solve import draw, gru
from timing import compare, header

QUICK = "--quick" in sys.argv
SLOWEST = 2e6  # steps of the loop times batch elements above which a row is left out
GOALS = {(4, 10_000, 1): 30, (4, 100_000, 1): 70, (4, 10_000, 16): 4}


def torch_rows():
    import torch

    for B in (1, 16):
        for n in (1, 2, 4, 8, 16, 32):
            for T in (1000, 10_000) if QUICK else (1000, 10_000, 100_000):
                if T * B * n > SLOWEST:
                    continue
                torch.manual_seed(0)
                cell = torch.nn.GRU(n, n, batch_first=True)
                x, zero = torch.randn(B, T, n), torch.zeros(B, n)
                parts = (cell.weight_ih_l0, cell.weight_hh_l0, cell.bias_ih_l0, cell.bias_hh_l0)

                def weights(parts=parts, n=n):
                    w, u, b, c = (torch.stack(p.split(n)) for p in parts)
                    return w.transpose(1, 2), u.transpose(1, 2), b, c

                def gradient(y, cell=cell):
                    cell.zero_grad()
                    y.square().sum().backward()
                    return torch.cat([p.grad.flatten() for p in cell.parameters()])

                def ours(x=x, zero=zero, weights=weights, gradient=gradient):
                    return gradient(ds.solve(ds.Recurrence(gru, zero, x, weights()), method="newton").y)

                def loop(cell=cell, x=x, gradient=gradient):
                    return gradient(cell(x)[0])

                a, b = ours(), loop()
                error = float((a - b).abs().max() / b.abs().max())
                yield f"torch GRU n={n} T={T:,} B={B} float32", loop, ours, GOALS.get((n, T, B)), error


def jax_rows():
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    T = 10_000 if QUICK else 100_000
    for n, target in ((1, 0.95), (4, 1.5), (16, None)):
        weights, x = draw(n, T)
        weights, x = tuple(jnp.asarray(a) for a in weights), jnp.asarray(x)

        def ours(weights, x, n=n):
            return (ds.solve(ds.Recurrence(gru, jnp.zeros(n), x, weights)).y ** 2).sum()

        def loop(weights, x, n=n):
            return (jax.lax.scan(lambda h, x_i: (gru(h, x_i, weights),) * 2, jnp.zeros(n), x)[1] ** 2).sum()

        found, expected = (jax.jit(jax.grad(f)) for f in (ours, loop))
        a, b = (jnp.concatenate([jnp.ravel(g) for g in f(weights, x)]) for f in (found, expected))
        error = float(jnp.abs(a - b).max() / jnp.abs(b).max())
        run = [lambda f=f, weights=weights, x=x: jax.block_until_ready(f(weights, x)) for f in (expected, found)]
        yield f"JAX GRU n={n} T={T:,} method auto against lax.scan", *run, target, error


def main():
    print(header("deersolve", "numpy", "torch", "jax", "numba"))
    print("\n| forward and gradient | theirs ms (quartiles) | ours ms (quartiles) | ratio | target | difference |")
    print("|---|---|---|---|---|---|")
    for rows in (torch_rows, jax_rows):
        for name, theirs, ours, target, error in rows():
            found = compare({"theirs": theirs, "ours": ours}, 3 if QUICK else 5)
            a, b = found["theirs"], found["ours"]
            cells = [f"{t.median * 1e3:.1f} ({t.q1 * 1e3:.1f}-{t.q3 * 1e3:.1f})" for t in (a, b)]
            goal = f"{target}x" if target else "-"
            ratio = a.median / b.median
            print(f"| {name} | {cells[0]} | {cells[1]} | {ratio:.2f}x | {goal} | {error:.1e} |", flush=True)


if __name__ == "__main__":
    main()
