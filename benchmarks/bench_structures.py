"""What the choices of A and of the step cost, and where each helps: two Markdown tables.

Run as ``python benchmarks/bench_structures.py``; ``--quick`` shrinks the sizes. Plain loops are not in it: on a CPU
they are faster than all of these for such n (``bench_solve.py``).
"""

from __future__ import annotations

import sys
import warnings

import numpy as np

import deersolve as ds
from bench_solve import draw, gru
from timing import compare, header, table

QUICK = "--quick" in sys.argv
T = 1000 if QUICK else 10_000
CHOICES = {
    "Dense": ds.Newton(),
    "Diagonal": ds.Newton(structure="diagonal"),
    "Hutchinson": ds.Newton(structure="hutchinson"),
    "Picard": ds.Newton(structure="picard"),
    "Zero (Jacobi)": ds.Newton(structure="zero"),
    "Dense, LineSearch": ds.Newton(step=ds.LineSearch()),
    "Dense, LevenbergMarquardt (ELK)": ds.Newton(step=ds.LevenbergMarquardt()),
    "Diagonal, LevenbergMarquardt": ds.Newton(structure="diagonal", step=ds.LevenbergMarquardt()),
}
REPEATS = 3


def solve(method, weights, x, y0):
    return ds.solve(ds.Recurrence(gru, y0, x, weights), method=method, on_failure="return")


def costs():
    """Yield a row for each choice: a GRU as torch.nn initialises it."""
    import jax

    jax.config.update("jax_enable_x64", True)
    for n in (16, 32):
        here = (*draw(n, T), np.zeros(n))
        there = jax.tree.map(jax.numpy.asarray, here)
        right = solve("sequential", *here).y
        on_numpy = {name: lambda m=m, a=here: solve(m, *a).y for name, m in CHOICES.items()}
        compiled = {name: jax.jit(lambda *a, m=m: solve(m, *a).y) for name, m in CHOICES.items()}
        on_jax = {name: lambda run=run, a=there: run(*a) for name, run in compiled.items()}
        numpy_s, jax_s = (compare(candidates, REPEATS) for candidates in (on_numpy, on_jax))
        for name, method in CHOICES.items():
            sol = solve(method, *here)
            off = f"{np.abs(sol.y - right).max():.0e}" if sol.converged else "-"
            status, steps = ds.Status(int(sol.status)).name, int(sol.stats.steps)
            yield [f"GRU n={n} T={T:,}", name, status, steps, numpy_s[name].median, jax_s[name].median, off]


def van_der_pol(mu):
    def f(y, x, params):
        a, b = y[..., 0], y[..., 1]
        return y + 0.01 * np.stack([b, mu * (1.0 - a * a) * b - a], axis=-1)

    return f


def lotka_volterra(y, t, params):
    a, b = y[..., 0], y[..., 1]
    return np.stack([1.5 * a - a * b, -3.0 * b + a * b], axis=-1)


def rnn(y, x, W):
    return np.tanh(y @ W + x)


def hard():
    """Yield a row for each equation: the steps to CONVERGED of every choice, over the whole horizon at once."""
    rng = np.random.default_rng(0)
    W = rng.normal(size=(4, 4))
    t = [np.linspace(0.0, end, 100 * end + 1) for end in (10, 12)]
    equations = {
        "Van der Pol, mu = 1, explicit Euler, T = 1,000": ds.Recurrence(van_der_pol(1.0), [2.0, 0.0], n_points=1000),
        "Van der Pol, mu = 1, explicit Euler, T = 2,000": ds.Recurrence(van_der_pol(1.0), [2.0, 0.0], n_points=2000),
        "Van der Pol, mu = 4, explicit Euler, T = 1,000": ds.Recurrence(van_der_pol(4.0), [2.0, 0.0], n_points=1000),
        "Lotka-Volterra, trapezoid, to t = 10": ds.InitialValueProblem(lotka_volterra, t[0], [1.0, 1.0]),
        "Lotka-Volterra, trapezoid, to t = 12": ds.InitialValueProblem(lotka_volterra, t[1], [1.0, 1.0]),
        "tanh RNN, n = 4, T = 4,000": ds.Recurrence(rnn, np.zeros(4), rng.normal(size=(4000, 4)), W),
        "logistic map, r = 2.8, T = 10,000": ds.Recurrence(lambda y, x, p: 2.8 * y * (1.0 - y), [0.3], n_points=10_000),
        "logistic map, r = 3.9, T = 50": ds.Recurrence(lambda y, x, p: 3.9 * y * (1.0 - y), [0.3], n_points=50),
    }
    for name, problem in equations.items():
        row = [name]
        for label, method in CHOICES.items():
            if label == "Picard" and isinstance(problem, ds.InitialValueProblem):
                row.append("as Zero")
                continue
            sol = ds.solve(problem, method=method, on_failure="return")
            row.append(str(int(sol.stats.steps)) if sol.converged else ds.Status(int(sol.status)).name)
        yield row


def main():
    warnings.simplefilter("ignore", ds.DiscretisationWarning)
    print(header("deersolve", "numpy", "jax", "numba"), end="\n\n")
    columns = ["equation", "choice", "status", "steps", "NumPy s", "JAX jit s", "off the loop"]
    print(table(columns, list(costs())), end="\n\n")
    print(table(["equation", *CHOICES], list(hard())))


if __name__ == "__main__":
    main()
