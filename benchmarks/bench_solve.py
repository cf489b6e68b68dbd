"""Whole solves against what a user would pick instead, at equal accuracy: one table, interleaved medians.

Run as ``python benchmarks/bench_solve.py``; ``--quick`` shrinks the sizes.
"""

from __future__ import annotations

import sys
import warnings

import numpy as np

import deersolve as ds
from timing import compare, header

QUICK = "--quick" in sys.argv
warnings.filterwarnings("ignore", category=DeprecationWarning)


def sigmoid(v):
    xp = ds.array_namespace(v)
    return 1.0 / (1.0 + xp.exp(-v))


def gru(h, x, weights):
    xp = ds.array_namespace(h)
    W, U, b, c = weights
    r = sigmoid(x @ W[0] + h @ U[0] + b[0] + c[0])
    z = sigmoid(x @ W[1] + h @ U[1] + b[1] + c[1])
    n = xp.tanh(x @ W[2] + b[2] + r * (h @ U[2] + c[2]))
    return (1.0 - z) * n + z * h


def draw(n, T, B=None, seed=0):
    rng = np.random.default_rng(seed)
    shapes = ((3, n, n), (3, n, n), (3, n), (3, n))
    weights = tuple(rng.uniform(-1, 1, s) / np.sqrt(n) for s in shapes)
    return weights, rng.normal(size=(T, n) if B is None else (B, T, n))


def numpy_loop(weights, x):
    h, out = np.zeros((*x.shape[:-2], x.shape[-1])), np.empty_like(x)
    for i in range(x.shape[-2]):
        h = gru(h, x[..., i, :], weights)
        out[..., i, :] = h
    return out


def numpy_rows():
    T = 10_000 if QUICK else 100_000
    for n, target in ((1, 10), (4, 6), (16, None)):
        weights, x = draw(n, T)
        ours = lambda: ds.solve(ds.Recurrence(gru, np.zeros(n), x, weights)).y  # noqa: B023, E731
        loop = lambda: numpy_loop(weights, x)  # noqa: B023, E731
        error = np.abs(ours() - loop()).max()
        yield f"NumPy GRU n={n} T={T:,} against a NumPy loop", loop, ours, target, error


def torch_rows():
    import torch

    for n, T, B, target in ((4, 10_000, 1, 5), (4, 100_000, 1, 7), (16, 10_000, 1, None), (4, 10_000, 16, None)):
        if QUICK and T > 10_000:
            continue
        torch.manual_seed(0)
        cell = torch.nn.GRU(n, n, batch_first=True)
        x = torch.randn(B, T, n)
        w, u = (torch.stack(p.split(n)).transpose(1, 2).detach() for p in (cell.weight_ih_l0, cell.weight_hh_l0))
        b, c = (torch.stack(p.split(n)).detach() for p in (cell.bias_ih_l0, cell.bias_hh_l0))
        zero = torch.zeros(B, n)

        def ours(x=x, weights=(w, u, b, c), zero=zero, method="newton"):
            with torch.no_grad():
                return ds.solve(ds.Recurrence(gru, zero, x, weights), method=method).y

        def loop(cell=cell, x=x):
            with torch.no_grad():
                return cell(x)[0]

        error = float((ours() - loop()).abs().max())
        yield f"torch GRU n={n} T={T:,} B={B} float32 forward against torch.nn.GRU", loop, ours, target, error


def jax_rows():
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    T = 10_000 if QUICK else 100_000
    for n, target in ((4, 2), (8, 2)):
        weights, x = draw(n, T)
        weights, x = tuple(jnp.asarray(a) for a in weights), jnp.asarray(x)

        def solver(way, weights=weights, x=x, n=n):
            def run(x, weights):
                with forced(way):
                    return ds.solve(ds.Recurrence(gru, jnp.zeros(n), x, weights), method="newton").y

            compiled = jax.jit(run)
            return lambda: compiled(x, weights).block_until_ready()

        scan = jax.jit(lambda x, w, h: jax.lax.scan(lambda h, xi: (gru(h, xi, w),) * 2, h, x)[1])

        def loop(weights=weights, x=x, n=n, scan=scan):
            return scan(x, weights, jnp.zeros(n))

        ours, other = solver("lax"), solver("associative")
        error = float(jnp.abs(ours() - loop()).max())
        yield f"JAX GRU n={n} T={T:,} dense Newton, loop scan against associative scan", other, ours, target, error
        yield (
            f"JAX GRU n={n} T={T:,} dense Newton against lax.scan",
            lambda f=loop: f().block_until_ready(),
            ours,
            None,
            error,
        )


class forced:
    """Run every scan in one named way."""

    def __init__(self, way):
        self.way = way

    def __enter__(self):
        from deersolve.backends import registry
        from deersolve.linalg.scans import affine

        registry["jax"]._compiled.clear()  # a solve compiled with another scan is another program
        self.module, self.before = affine, affine.pick
        affine.pick = lambda form: (self.way, "as asked")

    def __exit__(self, *_):
        self.module.pick = self.before


def memory_rows():
    """Print time a point over T: it must not grow."""
    weights, _ = draw(2, 1)
    print("\nTime per point, NumPy GRU n=2, method auto")
    for T in (10_000, 100_000) if QUICK else (10_000, 100_000, 1_000_000):
        x = np.random.default_rng(0).normal(size=(T, 2))
        found = compare({"ours": lambda x=x: ds.solve(ds.Recurrence(gru, np.zeros(2), x, weights))}, 3)
        print(f"  T = {T:>9,}: {found['ours'].median / T * 1e9:7.0f} ns")


def main():
    print(header("deersolve", "numpy", "torch", "jax", "numba"))
    print("\n| work | theirs ms (quartiles) | ours ms (quartiles) | ratio | target | largest difference |")
    print("|---|---|---|---|---|---|")
    for rows in (numpy_rows, torch_rows, jax_rows):
        for name, theirs, ours, target, error in rows():
            found = compare({"theirs": theirs, "ours": ours}, 3 if QUICK else 7)
            a, b = found["theirs"], found["ours"]
            cells = [f"{t.median * 1e3:.1f} ({t.q1 * 1e3:.1f}-{t.q3 * 1e3:.1f})" for t in (a, b)]
            goal = f"{target}x" if target else "-"
            print(
                f"| {name} | {cells[0]} | {cells[1]} | {a.median / b.median:.2f}x | {goal} | {error:.1e} |", flush=True
            )
    memory_rows()


if __name__ == "__main__":
    main()
