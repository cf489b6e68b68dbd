"""A SciPy script, its right-hand side unchanged, solved on all time points at once.

The equation is the damped pendulum with a driving torque,

    angle'' = -(g / l) sin(angle) - c angle' + a cos(w t),

written as solve_ivp wants it: fun(t, y), components first, a list back. ``ds.from_scipy`` is the
only change. You see that deersolve solves on *your* grid, so the grid decides the accuracy; that it
estimates this error without a reference; and what ``y_corrected`` gains for one more linear solve.

Run: python examples/from_scipy.py [picture.png]
"""

import os
import sys

import numpy as np
from scipy.integrate import solve_ivp

import deersolve as ds

SMALL = bool(os.environ.get("DEERSOLVE_SMALL"))
SIZES = (501, 1001) if SMALL else (501, 1001, 2001, 4001)
PARAMETERS = (9.81, 0.2, 1.5, 2.0)  # g / l in 1/s^2, c in 1/s, a in 1/s^2, w in 1/s
Y0 = np.array([1.0, 0.0])  # rad, rad/s


def pendulum(t, y, g_l, c, a, w):
    angle, speed = y
    return [speed, -g_l * np.sin(angle) - c * speed + a * np.cos(w * t)]


def check(claim, holds):
    if not holds:
        raise SystemExit(f"FAILED: {claim}")


def relative(y, reference):
    """The largest error over t by the largest value over t, of the worst component."""
    return np.max(np.max(np.abs(y - reference), axis=0) / np.max(np.abs(reference), axis=0))


def compare(n_points):
    t = np.linspace(0.0, 10.0, n_points)
    scipy = solve_ivp(pendulum, (0, 10), Y0, t_eval=t, args=PARAMETERS, method="DOP853", rtol=1e-12, atol=1e-12)
    sol = ds.solve(ds.InitialValueProblem(ds.from_scipy(pendulum), t, Y0, params=PARAMETERS))

    true, estimate = relative(sol.y, scipy.y.T), float(sol.stats.discretisation_error)
    corrected = relative(sol.y_corrected, scipy.y.T)
    print(f"{n_points:5d} points: error {true:.2e}, estimate {estimate:.2e}; corrected {corrected:.2e}")
    check("the estimate is within 20 % of the true error", abs(estimate / true - 1) < 0.2)
    check("y_corrected is far closer", corrected < true / 20)
    return t, sol, scipy.y.T, true, estimate, corrected


def orders(results):
    """The order of accuracy, from the last two grids: each has half the step of the one before."""
    (*_, y_1, _, c_1), (*_, y_2, _, c_2) = results[-2:]
    return np.log2(y_1 / y_2), np.log2(c_1 / c_2)


def plot(path, results):
    import matplotlib.pyplot as plt

    t, sol, reference, *_ = results[0]
    step = [r[0][1] for r in results]
    fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    left.plot(t, sol.y[:, 0], label=f"deersolve, {len(t)} points")
    left.plot(t[::20], reference[::20, 0], "k.", label="solve_ivp, tolerance 1e-12")
    left.set(xlabel="time (s)", ylabel="angle (rad)", title="Damped, driven pendulum")
    left.legend()
    _, _, _, true, estimate, corrected = zip(*results, strict=True)
    right.loglog(step, true, "o-", label="y")
    right.loglog(step, estimate, "x--", label="y, estimated by deersolve")
    right.loglog(step, corrected, "s-", label="y_corrected")
    right.set_xticks(step, [f"{1000 * s:g}" for s in step])
    right.minorticks_off()
    right.set(xlabel="step of the grid (ms)", ylabel="largest error / largest value", title="Error")
    right.legend()
    right.grid(alpha=0.3)
    fig.savefig(path, dpi=130)


if __name__ == "__main__":
    results = [compare(n) for n in SIZES]
    order, order_corrected = orders(results)
    print(f"order of accuracy: y {order:.2f}, y_corrected {order_corrected:.2f}")
    check("y is of 2nd, y_corrected of 4th order", order > 1.9 and order_corrected > 3.7)
    if len(sys.argv) > 1:
        plot(sys.argv[1], results)
