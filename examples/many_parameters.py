"""Ten thousand parameter sets of one equation, solved to a tolerance in one batch.

An epidemic by Kermack and McKendrick, of the fractions s susceptible and i infectious (time in days),

    s' = -beta s i,        i' = beta s i - gamma i,

for 10,000 draws of beta and gamma: how many are infectious at the peak, and how many have been ill at the end? What
varies from element to element is ``x``, of shape (B, 1, k); what all share is ``params``. Each element has a grid of
its own, and f is called with all of them at once, so that Python costs the same as for one.

The rule is "dopri5". An error is estimated step by step, and in hundreds of thousands of steps an estimate can be 0 by
chance: with the default, "dopri8" in long steps, one of these elements came out wrong by 8e-4 at rtol=1e-7.
``ds.Adaptive(estimate=True)`` finds that too, for a few times the cost. So does a check like the next one.

The share that has been ill, r, is known from beta and gamma alone: ln(s_end / s_0) = -(beta / gamma) r. And a hundred
of the elements are solved one by one, by SciPy's odeint.

W. O. Kermack and A. G. McKendrick, Proceedings of the Royal Society A 115 (1927) 700.

Run: python examples/many_parameters.py [picture.png]
"""

import os
import sys
import time

import numpy as np
from scipy.integrate import odeint

import deersolve as ds

SMALL = bool(os.environ.get("DEERSOLVE_SMALL"))
SETS, SAMPLE = (2_000, 50) if SMALL else (10_000, 100)
DAYS = np.linspace(0.0, 120.0, 121)
START = np.array([1.0 - 1e-3, 1e-3])


def spreads(y, rates, params):
    s, i = y[..., 0], y[..., 1]
    new = rates[..., 0] * s * i
    return np.stack([-new, new - rates[..., 1] * i], axis=-1)


def one_by_one(rates):
    def f(y, t, beta, gamma):
        s, i = y
        return [-beta * s * i, beta * s * i - gamma * i]

    return np.stack([odeint(f, START, DAYS, args=(*r,), rtol=1e-9, atol=1e-11) for r in rates])


def check(claim, holds):
    if not holds:
        raise SystemExit(f"FAILED: {claim}")


def plot(path, y, rates):
    import matplotlib.pyplot as plt

    number = rates[:, 0] / rates[:, 1]
    fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for share in (5, 25, 50, 75, 95):
        left.plot(DAYS, 100 * np.percentile(y[..., 1], share, axis=0), label=f"{share} % of all sets are below")
    left.set(xlabel="time (days)", ylabel="infectious (%)", title=f"{len(y):,} sets of rates")
    left.legend(fontsize="small")
    dots = right.scatter(number, 100 * y[..., 1].max(axis=-1), s=2, c=1 / rates[:, 1])
    right.set(xlabel="basic reproduction number", ylabel="infectious at the peak (%)")
    fig.colorbar(dots, label="days of being infectious")
    fig.savefig(path, dpi=130)


if __name__ == "__main__":
    rng = np.random.default_rng(0)
    rates = np.stack([rng.uniform(0.15, 0.6, SETS), rng.uniform(0.07, 0.14, SETS)], axis=-1)  # 1/day
    problem = ds.InitialValueProblem(spreads, DAYS, np.tile(START, (SETS, 1)), x=rates[:, None, :])
    began = time.perf_counter()
    sol = ds.solve(problem, rtol=1e-6, atol=1e-8, inverse="dopri5")
    ours = time.perf_counter() - began
    steps = sol.stats.steps
    print(f"{SETS:,} sets in {ours:.2f} s, {steps.min()} to {steps.max()} steps of {sol.stats.rule}")

    began = time.perf_counter()
    known = one_by_one(rates[:SAMPLE])
    loop = (time.perf_counter() - began) * SETS / SAMPLE
    error = np.abs(sol.y[:SAMPLE] - known).max()
    print(f"odeint in a loop, from {SAMPLE} of them: {loop:.1f} s; largest distance {error:.1e}")
    check("all agree with odeint", error < 1e-5)

    s, i = np.moveaxis(sol.y[:, -1], -1, 0)
    ill = 1 - s - i
    final = np.log(s / START[0]) + rates[:, 0] / rates[:, 1] * ill
    print(f"ln(s_end / s_0) + (beta / gamma) r: at most {np.abs(final).max():.1e}")
    check("the share that has been ill is that of the closed form", np.abs(final).max() < 1e-4)
    print(f"{100 * np.median(sol.y[..., 1].max(axis=-1)):.1f} % infectious at the median peak")
    if len(sys.argv) > 1:
        plot(sys.argv[1], sol.y, rates)
