"""Auto against the better of the loop and Newton's method, over a grid of sizes: a table and its quantiles.

    python benchmarks/bench_auto.py [numpy] [torch] [jit] [--quick]

A GRU on white noise and, for ODEs, coupled Van der Pol oscillators; n components, T points, B elements. "Newton" is the
faster of the whole horizon and windows. Under jit the loop is ``jax.lax.scan`` itself, without a certificate.
"""

from __future__ import annotations

import itertools
import sys
import warnings

import numpy as np

import deersolve as ds
from bench_solve import draw, gru
from timing import compare, header

QUICK = "--quick" in sys.argv
MOST = 2**24  # numbers in all Jacobians of a cell
warnings.filterwarnings("ignore")


def oscillators(y, t, params):
    """Return the slope of n/2 Van der Pol oscillators in a ring."""
    xp, m = ds.array_namespace(y), y.shape[-1] // 2
    u, v = y[..., :m], y[..., m:]
    return xp.concat([v, (1 - u * u) * v - u + 0.1 * xp.roll(u, 1, axis=-1)], axis=-1)


def problem(kind, n, T, B, move):
    """Return the problem of one cell, its arrays moved to a library."""
    rng = np.random.default_rng(0)
    if kind == "GRU":
        weights, x = draw(n, T, B)
        return ds.Recurrence(gru, move(np.zeros((B, n))), move(x), tuple(map(move, weights)))
    y0 = rng.normal(size=(B, n))
    return ds.InitialValueProblem(oscillators, move(np.linspace(0.0, T / 100, T)), move(y0), None)


def candidates(kind, p, library):
    """Return Auto and what it could have chosen, as functions without arguments."""
    methods = {"auto": ds.Auto(), "loop": ds.Sequential(), "newton": ds.Newton(), "windows": ds.Newton(window=256)}
    if library != "jit":
        return {k: (lambda m=m: ds.solve(p, method=m, on_failure="return").y) for k, m in methods.items()}
    import jax
    import jax.numpy as jnp

    def scan(p):
        return jnp.moveaxis(
            jax.lax.scan(lambda h, x: (h := gru(h, x, p.params), h), p.boundary.y0, jnp.moveaxis(p.x, -2, 0))[1], 0, -2
        )

    def solved(m):
        if kind == "GRU":
            run = jax.jit(lambda y0, x, w: ds.solve(ds.Recurrence(gru, y0, x, w), method=m, on_failure="return").y)
            return lambda: run(p.boundary.y0, p.x, p.params)
        ode = lambda t, y0: ds.InitialValueProblem(oscillators, t, y0)  # noqa: E731
        run = jax.jit(lambda t, y0: ds.solve(ode(t, y0), method=m, on_failure="return").y)
        return lambda: run(p.t, p.boundary.y0)

    made = {k: solved(m) for k, m in methods.items() if k != "windows"}
    if kind == "GRU":
        scanned = jax.jit(lambda y0, x, w: scan(ds.Recurrence(gru, y0, x, w)))
        made["loop"] = lambda: scanned(p.boundary.y0, p.x, p.params)
    return made


def cells(library):
    """Return the sizes to try."""
    ns, Ts, Bs = ((2, 16), (1_000,), (1, 16)) if QUICK else ((1, 2, 4, 8, 16, 32), (300, 3_000, 30_000), (1, 8, 64))
    for kind, n, T, B in itertools.product(("GRU", "oscillators"), ns, Ts, Bs):
        if n * n * T * B > (MOST if kind == "GRU" else MOST // 8) or (
            kind != "GRU" and (n % 2 or n > 8 or (T > 3_000 and library != "jit"))
        ):
            continue
        yield kind, n, T, B


def mover(library):
    """Return what takes a NumPy array to the library."""
    if library == "torch":
        import torch

        return torch.as_tensor
    if library == "jit":
        import jax

        jax.config.update("jax_enable_x64", True)
        return jax.numpy.asarray
    return np.asarray


def main() -> None:
    """Print the table of each library."""
    for library in [a for a in sys.argv[1:] if not a.startswith("-")] or ["numpy", "torch", "jit"]:
        print(header("numpy", {"jit": "jax"}.get(library, library)))
        print(f"\n| {library} | n | T | B | auto ms | loop | newton | windows | chosen | auto / best |")
        print("|---" * 10 + "|")
        ratios = []
        for kind, n, T, B in cells(library):
            p = problem(kind, n, T, B, mover(library))
            found = compare(candidates(kind, p, library), repeats=3)
            ms = {k: 1e3 * t.median for k, t in found.items()}
            best = min(v for k, v in ms.items() if k != "auto")
            ratios.append(ms["auto"] / best)
            chosen = ds.solve(p, on_failure="return").stats.method
            times = " | ".join(f"{ms[k]:.3g}" if k in ms else "" for k in ("auto", "loop", "newton", "windows"))
            print(f"| {kind} | {n} | {T:,} | {B} | {times} | {chosen} | {ratios[-1]:.2f} |", flush=True)
        quantiles = np.quantile(ratios, [0.5, 0.95, 1.0])
        print("\nmedian {:.2f}, 95 % of cells {:.2f}, worst {:.2f}, of {} cells\n".format(*quantiles, len(ratios)))


if __name__ == "__main__":
    main()
