"""The logistic map, y_i = r y_{i-1} (1 - y_{i-1}), and a recurrence with the lags 1 and 3.

A recurrence looks sequential: each value needs the one before. Here all values are unknowns of one
large equation, and Newton's method finds them together. You see

* a stable map (r = 2.8): five Newton steps give the same 10 000 numbers as the loop, and the error
  is squared by each. The guess counts: near 0.6 the map contracts, so nothing grows along the line;
  near 0.1 it stretches by 2.24 a step, and 2.24^10000 overflows. There ``solve`` by itself
  (method="auto") falls back to the loop, and ``stats.choice`` says so;
* a chaotic map (r = 4): roundoff doubles at each step, so that two correct trajectories part after
  50. Do not compare with a loop: check that every step satisfies the equation to roundoff;
* several lags: f takes one argument for each lag, y0 holds the history, oldest first.

Run: python examples/logistic_map.py [picture.png]
"""

import os
import sys

import numpy as np

import deersolve as ds

SMALL = bool(os.environ.get("DEERSOLVE_SMALL"))
T = 1_000 if SMALL else 10_000
EPS = np.finfo(float).eps


def logistic(y, x, r):
    return r * y * (1 - y)


def feedback(y_1, y_3, x, params):
    """y_i = 1.2 sin(y_{i-1}) - 0.5 y_{i-3} + 0.3 x_i."""
    return 1.2 * np.sin(y_1) - 0.5 * y_3 + 0.3 * x


def check(claim, holds):
    if not holds:
        raise SystemExit(f"FAILED: {claim}")


def logistic_loop(y, r, by=lambda y, r: r * y * (1 - y)):
    values = []
    for _ in range(T):
        y = by(y, r)
        values.append(y)
    return np.array(values)


def stable():
    r = 2.8
    problem = ds.Recurrence(logistic, np.array([0.4]), params=r, n_points=T)
    sol = ds.solve(problem, y_guess=np.array([0.6]), method="newton")
    error = np.max(np.abs(sol.y[:, 0] - logistic_loop(0.4, r)))
    course = [f"{e:.0e}" for e in sol.stats.history if np.isfinite(e)]
    print(f"r = 2.8, {T} points: {int(sol.stats.steps)} Newton steps, {error:.0e} from the loop")
    print(f"         relative error at each step: {', '.join(course)}")
    check("Newton's method and the loop agree", error < 1e-13)

    far = ds.solve(ds.Recurrence(logistic, np.array([0.1]), params=r, n_points=T))
    print(f"         from y0 = 0.1: {far.stats.choice}")
    check("the fallback agrees too", np.max(np.abs(far.y[:, 0] - logistic_loop(0.1, r))) < 1e-13)
    return sol


def chaotic(method):
    sol = ds.solve(ds.Recurrence(logistic, np.array([0.1]), params=4.0, n_points=T), method=method)
    y = np.concatenate([[0.1], sol.y[:, 0]])
    defect = np.max(np.abs(y[1:] - 4 * y[:-1] * (1 - y[:-1])))
    print(f"r = 4, {sol.stats.method:10s} ({method!r}): each step holds to {defect / EPS:.1f} eps")
    check("every step of the chaotic map holds to roundoff", defect <= 8 * EPS)
    again = logistic_loop(0.1, 4.0, by=lambda y, r: r * y - r * y * y)
    apart = int(np.argmax(np.abs(again - sol.y[:, 0]) > 0.1))
    print(f"         a loop over r y - r y^2 parts from it at step {apart}")
    check("two correct trajectories part", 40 < apart < 80)
    return sol


def two_lags():
    x = np.cos(0.05 * np.arange(T))[:, None]
    history = np.array([[0.1], [0.2], [0.3]])  # y_{-3}, y_{-2}, y_{-1}
    sol = ds.solve(ds.Recurrence(feedback, history, x, lags=(1, 3)), method="newton")
    y = [0.1, 0.2, 0.3]
    for x_i in x[:, 0]:
        y.append(1.2 * np.sin(y[-1]) - 0.5 * y[-3] + 0.3 * x_i)
    error = np.max(np.abs(sol.y[:, 0] - y[3:]))
    print(f"lags (1, 3): {int(sol.stats.steps)} Newton steps, {error:.0e} from the loop")
    check("the recurrence with two lags agrees with its loop", error < 1e-12)
    return sol


def plot(path, calm, chaos, other):
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(2, 1, figsize=(7, 5), layout="constrained")
    axes[0].plot(calm.y[:60, 0], ".-", label="logistic map, r = 2.8")
    axes[0].plot(other.y[:60, 0], ".-", label="lags 1 and 3")
    axes[1].plot(chaos.y[:60, 0], ".-", color="C3", lw=0.7, label="logistic map, r = 4 (chaotic)")
    for ax in axes:
        ax.set(xlabel="step i", ylabel="y")
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False)
    fig.savefig(path, dpi=130)


if __name__ == "__main__":
    calm, other = stable(), two_lags()
    chaos = chaotic("sequential")
    chaotic("auto")
    if len(sys.argv) > 1:
        plot(sys.argv[1], calm, chaos, other)
