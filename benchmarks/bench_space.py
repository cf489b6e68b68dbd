"""Equations in space against what a user would pick instead, at equal error: interleaved medians, one table each.

``python benchmarks/bench_space.py [bratu] [growth] [burgers] [batch] [fluxes]``; without names, all.
"""

from __future__ import annotations

import functools
import sys
import time
import warnings

import numpy as np
import scipy.sparse as sp
from scipy.fft import dstn, idstn
from scipy.integrate import odeint, solve_ivp
from scipy.optimize import newton_krylov
from scipy.sparse.linalg import LinearOperator, splu

import deersolve as ds
from deersolve.testing.cases import in_space
from timing import compare, header

LAM = 6.0
warnings.simplefilter("ignore", ds.DiscretisationWarning)


def laplacian(N):
    """Return the five-point matrix of N x N points inside the unit square."""
    h = 1.0 / (N + 1)
    one = sp.diags_array([1.0, -2.0, 1.0], offsets=[-1, 0, 1], shape=(N, N)) / h**2
    return (sp.kron(one, sp.eye(N)) + sp.kron(sp.eye(N), one)).tocsc()


def by_splu(N, order):
    """Return Newton's method with a sparse LU, to the residual that ours leaves."""
    A = laplacian(N)

    def run():
        u = np.zeros(N * N)
        for _ in range(20):
            e = LAM * np.exp(u)
            r = A @ u + e
            if np.abs(r).max() < 1e-12 * np.abs(A.diagonal()).max():
                break
            u = u - splu((A + sp.diags_array(e)).tocsc(), permc_spec=order).solve(r)
        return u.reshape(N, N)

    return run


def by_newton_krylov(N):
    """Return SciPy's Newton-Krylov with the inverse of the Laplacian, by sine transforms, as preconditioner."""
    h = 1.0 / (N + 1)
    k = 2.0 * (np.cos(np.pi * np.arange(1, N + 1) * h) - 1.0) / h**2
    eigenvalues = k[:, None] + k[None, :]

    def residual(u):
        v = np.zeros((N + 2, N + 2))
        v[1:-1, 1:-1] = u
        return (v[2:, 1:-1] + v[:-2, 1:-1] + v[1:-1, 2:] + v[1:-1, :-2] - 4.0 * u) / h**2 + LAM * np.exp(u)

    def inverse(r):
        return idstn(dstn(r.reshape(N, N), type=1) / eigenvalues, type=1).ravel()

    M = LinearOperator((N * N, N * N), matvec=inverse)
    return lambda: newton_krylov(residual, np.zeros((N, N)), inner_M=M, method="lgmres", f_tol=1e-8)


def bratu():
    """Bratu's equation in the unit square from u = 0."""
    print(
        "\n| Bratu 2D, N x N | ours ms | first ms | splu ms | over splu | newton_krylov ms | over it | direct ms | "
        "splu over it | apart | steps |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|", flush=True)
    for N in (64, 128, 256):
        problem = in_space.bratu(np.asarray, N, LAM).problem
        start = time.perf_counter()
        sol = ds.solve(problem)
        first = time.perf_counter() - start
        others = {"splu": by_splu(N, "MMD_AT_PLUS_A"), "newton_krylov": by_newton_krylov(N)}
        others["direct"] = lambda: ds.solve(problem, inverse="direct").y[1:-1, 1:-1, 0]  # noqa: B023
        apart = max(np.abs(run() - sol.y[1:-1, 1:-1, 0]).max() for run in others.values())
        t = {k: v.median for k, v in compare({"ours": lambda: ds.solve(problem).y, **others}, 5).items()}  # noqa: B023
        ours, lu, nk, direct = (1e3 * t[k] for k in ("ours", "splu", "newton_krylov", "direct"))
        cells = f"{ours:.1f} | {1e3 * first:.1f} | {lu:.1f} | {lu / ours:.1f}x | {nk:.1f} | {nk / ours:.1f}x"
        cells += f" | {direct:.1f} | {lu / direct:.1f}x"
        print(f"| {N} | {cells} | {apart:.1e} | {int(sol.stats.steps)} |", flush=True)


def growth():
    """The same from 64 to 1,024 points an axis."""
    print("\n| Bratu 2D, N x N | ms | microseconds a point | steps |\n|---|---|---|---|", flush=True)
    for N in (64, 128, 256, 512, 1024):
        problem = in_space.bratu(np.asarray, N, LAM).problem
        steps = int(ds.solve(problem).stats.steps)
        ours = compare({"ours": lambda: ds.solve(problem).y}, 1)["ours"].median  # noqa: B023
        print(f"| {N} | {1e3 * ours:.0f} | {1e6 * ours / N**2:.2f} | {steps} |", flush=True)


def burgers_right(u, h, D):
    before, behind = np.roll(u, 1), np.roll(u, -1)
    return -u * (behind - before) / (2 * h) + D * (before - 2 * u + behind) / h**2


def right_of(c, h, u):
    before, behind = np.roll(u, 1), np.roll(u, -1)
    return -c * u * (behind - before) / (2 * h) + 0.02 * (before - 2 * u + behind) / h**2


def burgers_problem(N, T, D=0.01, u0=None):
    edges = np.linspace(0.0, 1.0, N + 1)
    s = 0.5 * (edges[1:] + edges[:-1])
    ring = {"left": ds.Periodic(), "right": ds.Periodic(), "cells": True}
    u0 = np.sin(2 * np.pi * s)[:, None] if u0 is None else u0
    f = lambda u, u_s, x, p: -u * u_s  # noqa: E731
    return ds.Evolution1D(f, np.linspace(0.0, 1.0, T), edges, u0, D, **ring), s


def burgers():
    """Periodic Burgers on 256 cells to t = 1; errors against odeint to 1e-12."""
    N, D = 256, 0.01
    s = burgers_problem(N, 3)[1]
    h, u0 = 1.0 / N, np.sin(2 * np.pi * s)
    right = lambda u, t: burgers_right(u, h, D)  # noqa: E731
    reference = odeint(right, u0, [0.0, 1.0], rtol=1e-12, atol=1e-12, mxstep=100_000)[-1]
    runs = {}
    for rule, levels in (("trapezoid", 101), ("trbdf2", 101), ("trbdf2", 301)):
        runs[f"deersolve {rule}, {levels} levels"] = functools.partial(
            lambda p, rule: ds.solve(p, inverse=rule).y[-1, :, 0], burgers_problem(N, levels)[0], rule
        )
    for levels in (51, 101):
        runs[f"deersolve trapezoid, y_corrected, {levels} levels"] = functools.partial(
            lambda p: ds.solve(p, inverse="trapezoid").y_corrected[-1, :, 0], burgers_problem(N, levels)[0]
        )
    for tol in (1e-4, 1e-6, 1e-8):
        runs[f"odeint banded, {tol:g}"] = functools.partial(
            lambda tol: odeint(folded(right, N), u0[fold(N)], [0.0, 1.0], rtol=tol, atol=tol, ml=2, mu=2)[-1][
                unfold(N)
            ],
            tol,
        )
        runs[f"solve_ivp BDF, {tol:g}"] = functools.partial(
            lambda tol: solve_ivp(
                lambda t, u: right(u, t), (0.0, 1.0), u0, method="BDF", rtol=tol, atol=tol, jac_sparsity=ring_of(N)
            ).y[:, -1],
            tol,
        )
    print("\n| Burgers, 256 cells | ms | error at t = 1 |\n|---|---|---|", flush=True)
    times = compare(runs, 3)
    for name, run in runs.items():
        print(f"| {name} | {1e3 * times[name].median:.1f} | {np.abs(run() - reference).max():.1e} |", flush=True)


def fold(N):
    """Return the order 0, N - 1, 1, N - 2, ...: in it a ring has a band of two."""
    order = np.empty(N, dtype=int)
    order[0::2], order[1::2] = np.arange((N + 1) // 2), N - 1 - np.arange(N // 2)
    return order


def unfold(N):
    return np.argsort(fold(N))


def folded(right, N):
    there, back = fold(N), unfold(N)
    return lambda u, t: right(u[back], t)[there]


def ring_of(N):
    pattern = sp.lil_array(sp.diags_array([1.0, 1.0, 1.0], offsets=[-1, 0, 1], shape=(N, N)))
    pattern[0, -1] = pattern[-1, 0] = 1
    return pattern.tocsr()


def batch():
    """64 values of c in u_t + c u u_s = 0.02 u_ss at once, on 128 cells, against one after the other."""
    N, levels = 128, 51
    speeds = np.linspace(0.4, 2.0, 64)
    s = burgers_problem(N, 3)[1]
    h, u0 = 1.0 / N, np.sin(2 * np.pi * s)
    edges = np.linspace(0.0, 1.0, N + 1)
    ring = {"left": ds.Periodic(), "right": ds.Periodic(), "cells": True}
    many = ds.Evolution1D(
        lambda u, u_s, x, p: -x["speed"] * u * u_s,
        np.linspace(0.0, 1.0, levels),
        edges,
        np.broadcast_to(u0[:, None], (64, N, 1)),
        0.02,
        x={"speed": speeds[:, None, None, None]},
        **ring,
    )

    def one_by_one(solver):
        found = []
        for c in speeds:
            found.append(solver(functools.partial(right_of, c, h)))
        return np.stack(found)

    def bdf(right):
        where = {"method": "BDF", "rtol": 1e-5, "atol": 1e-5, "jac_sparsity": ring_of(N)}
        return solve_ivp(lambda t, u: right(u), (0.0, 1.0), u0, **where).y[:, -1]

    def lsoda(right):
        return odeint(lambda u, t: right(u), u0, [0.0, 1.0], rtol=1e-5, atol=1e-5)[-1]

    def exact(right):
        return odeint(lambda u, t: right(u), u0, [0.0, 1.0], rtol=1e-11, atol=1e-11, mxstep=100_000)[-1]

    reference = one_by_one(exact)
    runs = {
        "deersolve, trapezoid": lambda: ds.solve(many, inverse="trapezoid").y[:, -1, :, 0],
        "deersolve, trapezoid, y_corrected": lambda: ds.solve(many, inverse="trapezoid").y_corrected[:, -1, :, 0],
        "64 times solve_ivp BDF": lambda: one_by_one(bdf),
        "64 times odeint": lambda: one_by_one(lsoda),
    }
    times = compare(runs, 3)
    print("\n| 64 equations of 128 cells | ms | error at t = 1 |\n|---|---|---|", flush=True)
    for name, run in runs.items():
        print(f"| {name} | {1e3 * times[name].median:.0f} | {np.abs(run() - reference).max():.1e} |", flush=True)


def van_leer(a, b):
    both = a * b
    return np.where(both > 0, 2 * both / np.where(both > 0, a + b, 1.0), 0.0)


def passing(u, axis, is_limited):
    """Return the upwind flux of u^2 / 2 behind every cell of a ring."""
    before, behind, next_one = (np.roll(u, k, axis) for k in (1, -1, -2))
    step = behind - u
    left = u + 0.5 * van_leer(u - before, step) if is_limited else u
    right = behind - 0.5 * van_leer(step, next_one - behind) if is_limited else behind
    return 0.25 * (left**2 + right**2) - 0.5 * np.maximum(abs(left), abs(right)) * (right - left)


def fluxes():
    """Burgers' equation along both axes of a periodic rectangle, by fluxes, against RK45, whose steps follow it."""
    N, D = 32, 1e-3
    edges, s = np.linspace(0.0, 1.0, N + 1), (np.arange(N) + 0.5) / N
    u0 = 1 + 0.5 * np.sin(2 * np.pi * s)[:, None] * np.cos(2 * np.pi * s)
    ring = {side: ds.Periodic() for side in ("left", "right", "bottom", "top")}
    upwind = ds.upwind(lambda u, x, p: u * u / 2, lambda u, x, p: abs(u))

    def right(is_limited, t, flat):
        u, made = flat.reshape(N, N), 0.0
        for axis in (0, 1):
            behind = passing(u, axis, is_limited)
            second = np.roll(u, 1, axis) - 2 * u + np.roll(u, -1, axis)
            made = made - N * (behind - np.roll(behind, 1, axis)) + D * N * N * second
        return made.ravel()

    print("\n| fluxes, 32 x 32 cells, 51 levels | Newton steps | s | RK45, 1e-8, s |\n|---|---|---|---|", flush=True)
    for name, flux in (("upwind", upwind), ("limited", ds.limited(upwind))):
        t = np.linspace(0.0, 1.0, 51)
        problem = ds.Evolution2D(None, t, (edges, edges), u0[..., None], D, cells=True, flux=(flux, flux), **ring)
        runs = {
            "ours": functools.partial(ds.solve, problem),
            "RK45": functools.partial(
                solve_ivp, functools.partial(right, name == "limited"), (0.0, 1.0), u0.ravel(), rtol=1e-8, atol=1e-8
            ),
        }
        times, steps = compare(runs, 3), int(ds.solve(problem).stats.steps)
        print(f"| {name} | {steps} | {times['ours'].median:.1f} | {times['RK45'].median:.1f} |", flush=True)


def main():
    print(header("deersolve", "numpy", "scipy"))
    parts = {"bratu": bratu, "growth": growth, "burgers": burgers, "batch": batch, "fluxes": fluxes}
    for name in [word for word in sys.argv[1:] if word in parts] or list(parts):
        parts[name]()


if __name__ == "__main__":
    main()
