"""Compute references.json: y(t_end) of every problem by two methods, and by what is published.

``python -m ivp_sets.compute_references [names]`` in the folder benchmarks; without names, all (some minutes). Without
stiffness: the extrapolated midpoint rule of order 16 on equal steps of 80-bit numbers, its steps doubled until two runs
agree, against DOP853. Linear: exp(t A) of 60 digits. Stiff: Radau and LSODA at the tightest tolerances that they take,
on the components divided by their sizes. Where the set has digits of quadruple precision, these are the reference.
"""

from __future__ import annotations

import json
import sys
import time

import mpmath
import numpy as np
from scipy.integrate import solve_ivp

from . import BARI, PROBLEMS
from .records import REFERENCES

METHODS = {"Beam": ("DOP853", ""), "SE4": ("Radau", ""), "Ring modulator": ("LSODA", "")}
"""The beam's frequencies are bounded. Without a second method: what is published; LSODA does not come to an end."""

ORDER = 8  # columns of the extrapolation


def midpoint(fun, y0, t_end, steps):
    """Return y(t_end) by ``steps`` equal steps of the midpoint rule, extrapolated in h^2 (Gragg, Bulirsch, Stoer)."""
    y, H = np.asarray(y0, dtype=np.longdouble), np.longdouble(t_end) / steps
    counts = 2 * np.arange(1, ORDER + 1)
    for k in range(steps):
        t, table = k * H, []
        start = fun(t, y)
        for i, n in enumerate(counts):
            h = H / np.longdouble(n)
            old, new = y, y + h * start
            for j in range(1, n):
                old, new = new, old + 2 * h * fun(t + j * h, new)
            rows = [new]
            for j in range(i):
                ratio = (np.longdouble(n) / np.longdouble(counts[i - j - 1])) ** 2
                rows.append(rows[-1] + (rows[-1] - table[j]) / (ratio - 1))
            table = rows
        y = table[-1]
    return y


def extrapolated(problem):
    """Return y(t_end) and how many steps it took."""
    last = np.inf
    for steps in (64, 128, 256, 512, 1024, 2048, 4096):
        y = midpoint(problem.fun, problem.y0, problem.t_end, steps)
        if np.abs(y - last).max() < 1e-14 * np.abs(y).max():
            break
        last = y
    return y.astype(float), f"extrapolated midpoint rule, 80 bits, {steps} steps"


def exponential(problem):
    """Return exp(t A) y0 of 60 digits, with the constant b as one more component."""
    A, n = problem.jac, len(problem.y0)
    with mpmath.workdps(60):
        full = mpmath.zeros(n + 1)
        rest = problem.fun(0.0, np.zeros(n))
        for i in range(n):
            full[i, n] = mpmath.mpf(float(rest[i])) * problem.t_end
            for j in range(n):
                full[i, j] = mpmath.mpf(float(A[i, j])) * problem.t_end
        halvings = max(0, int(np.ceil(np.log2(max(1.0, np.abs(A).sum(axis=1).max() * problem.t_end)))))
        power = mpmath.expm(full / 2**halvings, method="taylor")
        for _ in range(halvings):
            power = power * power
        y = power * mpmath.matrix([*problem.y0, 1.0])
        return np.array([float(y[i]) for i in range(n)]), "matrix exponential, 60 digits"


def by_scipy(problem, method, sizes, rtol):
    """Return y(t_end) of the equation of y / sizes, and the largest |y_i| on the way; from break to break."""
    z, largest = np.array(problem.y0) / sizes, np.abs(problem.y0)
    start = 0.0
    for end in (*problem.breaks, problem.t_end):
        options = {"rtol": rtol, "atol": rtol * 1e-4, "method": method}
        if method == "Radau":
            options["first_step"] = 1e-14 * problem.t_end
        found = solve_ivp(lambda t, z: problem.fun(t, z * sizes) / sizes, (start, end), z, **options)
        if not found.success:
            raise ArithmeticError(f"{problem.name}, {method}: {found.message}")
        z, largest = found.y[:, -1], np.maximum(largest, (np.abs(found.y) * sizes[:, None]).max(axis=1))
        start = np.nextafter(end, np.inf)
    return z * sizes, largest


def entry(problem):
    method, second = METHODS.get(problem.name, ("Radau", "LSODA") if problem.is_stiff else ("DOP853", ""))
    sizes = np.ones(len(problem.y0))
    _, largest = by_scipy(problem, method, sizes * problem.size, 1e-5)
    if problem.is_stiff:
        sizes = np.where(largest > 0.0, np.maximum(largest, 1e-12 * largest.max()), 1.0)
    is_printed = len(problem.published) == len(problem.y0) and (problem in BARI or not second) and problem.is_stiff
    rtol = 1e-9 if is_printed else 1e-13 if method == "DOP853" else 1e-12
    rough, largest = by_scipy(problem, method, sizes, rtol)
    if problem.jac is not None:
        y, how = exponential(problem)
    elif not problem.is_stiff:
        y, how = extrapolated(problem)
    else:
        y, how = rough, f"{method}, rtol {rtol}"
        rough = by_scipy(problem, second, sizes, 1e-12)[0] if second else np.array(problem.published)
    far = float((np.abs(y - rough) / np.maximum(largest, 1e-300)).max())
    m = len(problem.published)
    off = float((np.abs(y[:m] - problem.published) / largest[:m]).max()) if m else float("nan")
    if is_printed:
        y, how = np.array(problem.published), f"published; checked by {how}"
    return {"y": y.tolist(), "largest": largest.tolist(), "how": how, "second method": far, "published": off}


def main():
    names = sys.argv[1:] or list(PROBLEMS)
    known = json.loads(REFERENCES.read_text(encoding="utf-8")) if REFERENCES.exists() else {}
    for name in names:
        start = time.perf_counter()
        known[name] = entry(PROBLEMS[name])
        took = time.perf_counter() - start
        e = known[name]
        print(f"{name:20} {e['second method']:9.1e} {e['published']:9.1e} {took:6.1f} s  {e['how']}", flush=True)
        ordered = {name: known[name] for name in PROBLEMS if name in known}
        lines = ",\n".join(f"{json.dumps(n)}: {json.dumps(v)}" for n, v in ordered.items())
        REFERENCES.write_text("{\n" + lines + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
