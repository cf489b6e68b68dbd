"""An equation with a shifter and an inverse operator of your own: a day without a beginning.

A plate lies in the sun by day and radiates at all times,

    C T' = sunlight(t) - sigma T^4,

and every day is like the last: T is periodic, so there is no initial value and nothing to march
from. On a ring of points t_i, with the midpoint rule, this is L[T] = f(S[T], sunlight) with

    L[T]_i = (T_{i+1} - T_i) / h,       S[T]_i = (T_i + T_{i+1}) / 2,

both matrices. A rule needs two methods: ``residual``, f - L[T], and ``solve``, which inverts
L + G S for G = -df/dT given at every point. That is all: Newton's method, the derivative of f and
the check that ``solve`` inverts what ``residual`` states come from the library.

Run: python examples/own_rule.py [picture.png]
"""

import os
import sys

import numpy as np
from scipy.integrate import solve_ivp

import deersolve as ds

SMALL = bool(os.environ.get("DEERSOLVE_SMALL"))
POINTS = 96 if SMALL else 288  # a multiple of 4: sunrise and sunset fall on the grid
DAY = 24.0  # hours
CAPACITY = 10.0  # W h / (m^2 K): about 1 cm of water
SIGMA = 5.670374e-8  # W / (m^2 K^4)


def sunlight(t):
    """W / m^2 at t hours after midnight."""
    return 1000 * np.maximum(-np.cos(2 * np.pi * t / DAY), 0)


def heating(T, sun, params):
    """dT/dt, in K / h."""
    return (sun - SIGMA * T**4) / CAPACITY


# The equation, in fewer than 25 lines:
def ring(n):
    """Return L and S on n points of a ring."""
    here, after = np.eye(n), np.roll(np.eye(n), 1, axis=1)
    return (after - here) * n / DAY, (here + after) / 2


@ds.inverses.register("ddt.ring_midpoint", structures=(ds.Dense,), exact=True)
class RingMidpoint:
    def residual(self, y, fy, *, grid, boundary):
        L, _ = ring(y.shape[-2])
        return fy - L @ y

    def solve(self, Gs, r, *, grid, boundary):
        L, S = ring(r.shape[-2])
        return np.linalg.solve(L + Gs[0].diagonal() * S, r)  # one component, so G_i is a number


def day(n):
    midpoints = (np.arange(n) + 0.5) * DAY / n
    problem = ds.Problem(
        heating,
        shift=lambda T: ring(n)[1] @ T,
        inverse="ddt.ring_midpoint",
        x=sunlight(midpoints)[:, None],
    )
    return ds.solve(problem, y_guess=np.full((n, 1), 280.0))


def check(claim, holds):
    if not holds:
        raise SystemExit(f"FAILED: {claim}")


def after_many_days(n):
    """The reference: march from 280 K until the start is forgotten, and keep the last day."""
    start = np.array([280.0])
    for _ in range(20):  # restarted at sunrise and sunset, where the sunlight has a kink
        values = []
        for a, b in ((0, 6), (6, 18), (18, 24)):
            t = np.linspace(a, b, n * (b - a) // 24 + 1)
            part = solve_ivp(
                lambda t, T: heating(T, sunlight(t), None),
                (a, b), start, t_eval=t, method="DOP853", rtol=1e-11, atol=1e-9,
            )  # fmt: skip
            start = part.y[:, -1]
            values.append(part.y[0, :-1])
    return np.concatenate(values)


def plot(path, sol, reference):
    import matplotlib.pyplot as plt

    n = len(reference)
    t = np.arange(n) * DAY / n
    fig, (top, bottom) = plt.subplots(2, 1, sharex=True, figsize=(8, 5), height_ratios=(1, 3), layout="constrained")
    top.fill_between(t, sunlight(t), color="gold", alpha=0.6)
    top.set(ylabel="sunlight (W/m²)", title="A plate in the sun: the periodic day")
    bottom.plot(t, sol.y[:, 0], color="C3", label="solved on the ring of one day")
    bottom.plot(t[:: n // 24], reference[:: n // 24], "k.", label="the 20th day of a march")
    bottom.set(xlabel="hours after midnight", xticks=range(0, 25, 3), xlim=(0, 24))
    bottom.set_ylabel("temperature (K)")
    bottom.legend(loc="upper left")
    fig.savefig(path, dpi=130)


if __name__ == "__main__":
    errors = {}
    for n in (POINTS // 2, POINTS):
        sol, reference = day(n), after_many_days(n)
        T = sol.y[:, 0]
        defect = np.diff(T, append=T[0]) - DAY / n * heating(
            (T + np.roll(T, -1)) / 2, sunlight((np.arange(n) + 0.5) * DAY / n), None
        )
        errors[n] = np.max(np.abs(T - reference))
        print(
            f"{n} points: {int(sol.stats.steps)} Newton steps, {T.min():.1f} K to {T.max():.1f} K, "
            f"equation holds to {np.max(np.abs(defect)):.0e} K, {errors[n]:.1e} K from the march"
        )
        check("the discrete equation holds to roundoff", np.max(np.abs(defect)) < 1e-11)
    ratio = errors[POINTS // 2] / errors[POINTS]
    print(f"twice the points, an error {ratio:.2f} times smaller: 2nd order")
    check("the midpoint rule is of 2nd order", abs(ratio - 4) < 0.2)
    if len(sys.argv) > 1:
        plot(sys.argv[1], sol, reference)
