"""Recover a diffusion field D(s) from noisy data of u, where (D u')' = -1, u(0) = u(1) = 0.

log D is a sum of cosines; data and a penalty on their slopes make the loss, L-BFGS finds its minimum, and ds.adjoint
the gradient: one more linear solve, whatever the number of unknowns. Checked: the gradient by differences, the misfit
against the noise, and D against the truth.

Run: python examples/diffusion_field.py [picture.png]
"""

from __future__ import annotations

import os
import sys

import numpy as np
from scipy.optimize import minimize

import deersolve as ds

N = 201 if os.environ.get("DEERSOLVE_SMALL") else 801
NOISE = 0.01  # of the largest u
WAVES = 12
s = np.linspace(0.0, 1.0, N)
k = np.pi * np.arange(WAVES)
cosines, slopes = np.cos(s[:, None] * k), -k * np.sin(s[:, None] * k)


def check(claim, holds):
    if not holds:
        raise SystemExit(f"FAILED: {claim}")


def true_log_field(s):
    return 0.5 * np.sin(2 * np.pi * s) + 0.3 * s


def problem_of(D, slope):
    """D u'' + D' u' = -1."""
    ends = {"left": ds.Dirichlet(0.0), "right": ds.Dirichlet(0.0)}
    return ds.BoundaryValueProblem(lambda u, u_s, x, p: 0.0 * u - 1.0, s, a=D[:, None], b=slope[:, None], **ends)


def loss(theta, data, scale):
    """Return the loss and its gradient by the coefficients of log D."""
    D = np.exp(cosines @ theta)
    slope = D * (slopes @ theta)
    problem = problem_of(D, slope)
    sol = ds.solve(problem)
    off = (sol.y[:, 0] - data) / scale
    bars = ds.adjoint(problem, sol, (2 * off / scale)[:, None], wrt=("a", "b"))
    a, b = bars["a"][:, 0], bars["b"][:, 0]
    # a = D and b = D (log D)': what moves a coefficient moves both.
    gradient = cosines.T @ (a * D + b * slope) + slopes.T @ (b * D)
    weights = 1e-2 * (k / np.pi) ** 2
    return np.sum(off**2) + np.sum(weights * theta**2), gradient + 2 * weights * theta


def main():
    rng = np.random.default_rng(0)
    D = np.exp(true_log_field(s))
    slope = D * (np.pi * np.cos(2 * np.pi * s) + 0.3)
    clean = ds.solve(problem_of(D, slope)).y[:, 0]
    scale = NOISE * clean.max()
    data = clean + scale * rng.normal(size=N)

    start, h = 0.1 * rng.normal(size=WAVES), 1e-5
    direction = rng.normal(size=WAVES)
    _, gradient = loss(start, data, scale)
    difference = (loss(start + h * direction, data, scale)[0] - loss(start - h * direction, data, scale)[0]) / (2 * h)
    print(f"gradient along a direction {gradient @ direction:.10g}, by a difference {difference:.10g}")
    check("the gradient is that of differences", abs(gradient @ direction / difference - 1) < 1e-6)

    found = minimize(loss, np.zeros(WAVES), args=(data, scale), jac=True, method="L-BFGS-B", options={"maxiter": 500})
    recovered = np.exp(cosines @ found.x)
    u = ds.solve(problem_of(recovered, recovered * (slopes @ found.x))).y[:, 0]
    off = np.sqrt(np.mean((recovered / D - 1) ** 2))
    misfit = np.sqrt(np.mean((u - data) ** 2)) / scale
    print(f"{found.nit} steps, {found.nfev} solves; D is {100 * off:.1f} % off, u {misfit:.2f} times the noise")
    check("what is left of the data is noise", 0.9 < misfit < 1.1)
    check("D is recovered", off < 0.1)

    if len(sys.argv) > 1:
        picture(sys.argv[1], D, recovered, clean, u, data)


def picture(path, D, recovered, clean, u, data):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(s, data, ".", markersize=2, color="silver", label="data")
    left.plot(s, clean, color="black", label="true")
    left.plot(s, u, "--", color="#E69F00", label="fitted")
    left.set(xlabel="s", ylabel="u")
    right.plot(s, D, color="black", label="true")
    right.plot(s, recovered, "--", color="#E69F00", label="recovered")
    right.set(xlabel="s", ylabel="D", ylim=(0, None))
    for axes in (left, right):
        axes.legend(frameon=False)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
