"""Two-point problems against scipy.integrate.solve_bvp at equal error: interleaved medians.

``python benchmarks/bench_twopoint.py [bratu] [layer] [cycle] [chain] [batch]``; without names, all. Ours is
``y_corrected`` on the coarsest grid of 2^k intervals (as found before), SciPy's the loosest tolerance of 10^-k, that
reach the error, the largest at their points relative to the largest value of a component. Both start from the same
guess, SciPy on 21 points, with derivatives by differences, which it takes by default.
"""

from __future__ import annotations

import sys
import warnings

import numpy as np
from scipy.integrate import solve_bvp

import deersolve as ds
from timing import compare, header, table

warnings.simplefilter("ignore", ds.DiscretisationWarning)
TARGETS = (1e-3, 1e-6, 1e-9)


class Case:
    """One problem, in the forms that both take: rate(s, u) for u (..., n), ends(a, b), grid(N), guess(s)."""

    def __init__(self, name, rate, ends, grid, guess, sizes):
        self.name, self.rate, self.ends, self.grid, self.guess = name, rate, ends, grid, guess
        self.sizes = sizes

    def ours(self, N):
        s = self.grid(N)
        problem = ds.TwoPointProblem(
            lambda u, x, p: self.rate(x["s"][..., 0], u), s, lambda a, b, p: np.stack(self.ends(a, b), axis=-1)
        )
        return s, ds.solve(problem, self.guess(s)).y_corrected

    def scipy(self, tol):
        s = self.grid(20)
        found = solve_bvp(
            lambda s, y: self.rate(s, y.T).T,
            lambda a, b: np.array(self.ends(a, b)),
            s,
            self.guess(s).T,
            tol=tol,
            max_nodes=100_000,
        )
        if not found.success:
            raise ArithmeticError(found.message)
        return found.x, found.y.T

    def reference(self):
        s = self.grid(20)
        found = solve_bvp(
            lambda s, y: self.rate(s, y.T).T,
            lambda a, b: np.array(self.ends(a, b)),
            s,
            self.guess(s).T,
            tol=1e-11,
            max_nodes=50_000,
        )
        return lambda s: found.sol(s).T


def error(found, exact):
    s, u = found
    known = exact(s)
    return float((np.abs(u - known) / np.abs(known).max(axis=0)).max())


def first(choices, run, exact, target):
    """Return the first choice that reaches the target, and its error."""
    for choice in choices:
        try:
            off = error(run(choice), exact)
        except (ArithmeticError, ds.ConvergenceError):
            continue
        if off <= target:
            return choice, off
    return None, float("nan")


def rows_of(case):
    exact, rows = case.reference(), []
    for target, size in zip(TARGETS, case.sizes, strict=True):
        N, a = first([size], case.ours, exact, target)
        tol, b = first([target * 10.0**k for k in (2, 1, 0, -1, -2)], case.scipy, exact, target)
        if N is None or tol is None:
            rows.append([case.name, f"{target:.0e}", N, a, tol, b, "", "", ""])
            continue
        t = compare({"ours": lambda: case.ours(N)[1], "scipy": lambda: case.scipy(tol)[1]}, 5)  # noqa: B023
        nodes = len(case.scipy(tol)[0])
        ours, other = (1e3 * t[k].median for k in ("ours", "scipy"))
        rows.append([case.name, f"{target:.0e}", N, f"{a:.1e}", nodes, f"{b:.1e}", ours, other, f"{other / ours:.2f}x"])
    return rows


def values(left, right):
    return lambda a, b: [a[..., 0] - left, b[..., 0] - right]


def even(N):
    return np.linspace(0.0, 1.0, N + 1)


def bratu():
    def guess(s):
        return np.stack([4.0 * np.sin(np.pi * s), 4.0 * np.pi * np.cos(np.pi * s)], axis=-1)

    rate = lambda s, u: np.stack([u[..., 1], -np.exp(u[..., 0])], axis=-1)  # noqa: E731
    return Case("Bratu, upper branch", rate, values(0.0, 0.0), even, guess, (32, 128, 1024))


def layer(eps=1e-3):
    def grid(N):
        return np.expm1(8.0 * even(N)) / np.expm1(8.0)

    def rate(s, u):
        return np.stack([u[..., 1], -(2.0 * u[..., 1] + np.exp(u[..., 0])) / eps], axis=-1)

    def guess(s):
        fast = np.log(2.0) * np.exp(-2.0 * s / eps)
        return np.stack([np.log(2.0 / (1.0 + s)) - fast, -1.0 / (1.0 + s) + 2.0 / eps * fast], axis=-1)

    return Case("boundary layer, 1e-3", rate, values(0.0, 0.0), grid, guess, (32, 256, 1024))


def cycle():
    def rate(s, u):
        y, v, T = u[..., 0], u[..., 1], u[..., 2]
        return np.stack([T * v, T * ((1.0 - y * y) * v - y), 0.0 * T], axis=-1)

    def ends(a, b):
        return [b[..., 0] - a[..., 0], b[..., 1] - a[..., 1], a[..., 1]]

    def guess(s):
        return np.stack([2.0 * np.cos(2 * np.pi * s), -2.0 * np.sin(2 * np.pi * s), 6.5 + 0.0 * s], axis=-1)

    return Case("van der Pol's period", rate, ends, even, guess, (64, 512, 2048))


def chain(m=8):
    """m rods with heat exchange between neighbours and a source: u_k'' = 4 (2 u_k - u_{k-1} - u_{k+1}) - e^{u_k}."""

    def rate(s, u):
        y, v = u[..., :m], u[..., m:]
        pull = 8.0 * y - 4.0 * np.roll(y, 1, axis=-1) - 4.0 * np.roll(y, -1, axis=-1)
        return np.concatenate([v, pull - np.exp(y) * np.linspace(0.2, 1.5, m)], axis=-1)

    def ends(a, b):
        return [*(a[..., k] for k in range(m)), *(b[..., k] for k in range(m))]

    return Case("8 coupled rods, n = 16", rate, ends, even, lambda s: np.zeros((len(s), 2 * m)), (16, 32, 256))


def batch(count=64):
    """Bratu's equation for 64 parameters at once, against one after the other."""
    lam = np.linspace(0.1, 3.0, count)
    theta = np.array([_theta(v) for v in lam])[:, None]

    def exact(s):
        return 2.0 * np.log(np.cosh(theta / 4) / np.cosh((s - 0.5) * theta / 2))

    def ours(N):
        s = even(N)
        f = lambda u, x, p: np.stack([u[..., 1], -x["lam"][..., 0] * np.exp(u[..., 0])], axis=-1)  # noqa: E731
        ends = ds.Coupled([[1.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [1.0, 0.0]])
        return ds.solve(ds.TwoPointProblem(f, s, ends, {"lam": lam[:, None, None]})).y_corrected[..., 0]

    def scipy(tol):
        s = even(20)
        return [
            solve_bvp(
                lambda s, y, v=v: np.stack([y[1], -v * np.exp(y[0])]),
                lambda a, b: np.array([a[0], b[0]]),
                s,
                np.zeros((2, 21)),
                tol=tol,
            )
            for v in lam
        ]

    rows = []
    for target, N in zip(TARGETS, (16, 64, 512), strict=True):
        assert np.abs(ours(N) - exact(even(N))).max() <= target
        tol = next(
            t
            for t in (10.0**-k for k in range(2, 12))
            if max(np.abs(r.y[0] - exact(r.x)[k]).max() for k, r in enumerate(scipy(t))) <= target
        )
        t = compare({"ours": lambda: ours(N), "scipy": lambda: scipy(tol) and 0}, 3)  # noqa: B023
        a, b = (1e3 * t[k].median for k in ("ours", "scipy"))
        nodes = max(len(r.x) for r in scipy(tol))
        rows.append([f"{count} Bratu equations", f"{target:.0e}", N, "", nodes, "", a, b, f"{b / a:.2f}x"])
    return rows


def _theta(lam):
    from scipy.optimize import brentq

    return brentq(lambda t: t - np.sqrt(2 * lam) * np.cosh(t / 4), 0.0, 4.5)


def main():
    print(header("deersolve", "numpy", "scipy"))
    parts = {"bratu": bratu, "layer": layer, "cycle": cycle, "chain": chain, "batch": batch}
    rows = []
    for name in [word for word in sys.argv[1:] if word in parts] or list(parts):
        made = parts[name]()
        rows += made if isinstance(made, list) else rows_of(made)
    titles = ["", "error below", "our intervals", "error", "their points", "error", "ours ms", "solve_bvp ms", "ratio"]
    print("\n" + table(titles, rows))


if __name__ == "__main__":
    main()
