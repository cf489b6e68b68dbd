"""A stiff ignition: a gas that burns in a cooled vessel, at three temperatures of its wall, in one batch.

Of a fuel with fraction c, in a vessel at temperature T (K, time in s), by Semenov's theory of thermal explosion,

    c' = -k c,        T' = rise k c - (T - wall) / tau,        k = A exp(-E / T).

The coldest wall takes the heat away as it comes; the other two ignite, after a delay, within microseconds. After that
k is millions a second: what is left is slow, and an explicit method is held back by stability. Each element of the
batch has a grid of its own, and the solver finds out by itself that the equation is stiff.

Every temperature is compared with SciPy's Radau at a tolerance of 1e-10, and so is the time of ignition.

N. N. Semenov, Zeitschrift fuer Physik 48 (1928) 571.

Run: python examples/ignition.py [picture.png]
"""

import sys
import time

import numpy as np
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

import deersolve as ds

A, E, RISE, TAU = 1e9, 15_000.0, 1_500.0, 2e-3  # 1/s, K, K, s
WALLS = np.array([780.0, 900.0, 950.0])  # K
END = 0.01  # s
HOT = 1_600.0  # K, the temperature at which it burns


def burns(y, wall, params):
    """Return dy/dt of y = (c, T / RISE); wall is T of the wall / RISE."""
    xp = ds.array_namespace(y)
    c, temperature = y[..., 0], y[..., 1]
    rate = A * xp.exp(-E / RISE / temperature) * c
    return xp.stack([-rate, rate - (temperature - wall[..., 0]) / TAU], axis=-1)


def of_scipy(wall):
    """Return T at all times, and when it passes HOT, of one wall."""

    def f(t, y):
        return burns(y, np.array([wall / RISE]), None)

    def is_hot(t, y):
        return y[1] - HOT / RISE

    start = [1.0, wall / RISE]
    return solve_ivp(f, (0, END), start, "Radau", rtol=1e-10, atol=1e-12, events=is_hot, dense_output=True)


def check(claim, holds):
    if not holds:
        raise SystemExit(f"FAILED: {claim}")


def plot(path, sol, delays):
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots(figsize=(8, 4), layout="constrained")
    for k, wall in enumerate(WALLS):
        grid = np.unique(sol.grid[k])
        t = np.unique(np.concatenate([grid, np.linspace(0, END, 2000)]))
        ax.plot(1e3 * t, RISE * sol(t)[k, :, 1], color=f"C{k}", label=f"wall at {wall:.0f} K")
        ax.plot(1e3 * grid, RISE * sol(grid)[k, :, 1], ".", color=f"C{k}")
    for delay in delays:
        ax.axvline(1e3 * delay, color="0.8", zorder=0)
    ax.set(xlabel="time (ms)", ylabel="temperature (K)", title="Thermal explosion; dots are the steps of the solver")
    ax.legend()
    fig.savefig(path, dpi=130)


if __name__ == "__main__":
    y0 = np.stack([np.ones(3), WALLS / RISE], axis=-1)
    problem = ds.InitialValueProblem(burns, np.array([0.0, END]), y0, x=WALLS[:, None, None] / RISE)
    began = time.perf_counter()
    sol = ds.solve(problem, rtol=1e-6, atol=1e-9)
    print(f"{1e3 * (time.perf_counter() - began):.0f} ms; rule {sol.stats.rule}: {sol.stats.choice}")

    delays = []
    for k, wall in enumerate(WALLS):
        grid, reference = np.unique(sol.grid[k]), of_scipy(wall)
        t = np.linspace(0.0, END, 1001)
        error = RISE * np.abs(sol(t)[k] - reference.sol(t).T).max()
        heat = RISE * sol(grid)[k, :, 1]
        line = f"wall {wall:.0f} K: {len(grid) - 1} steps, up to {heat.max():.0f} K"
        if heat.max() > HOT:
            delay = brentq(lambda t, k=k: RISE * sol(t)[k, 1] - HOT, 0.0, grid[heat.argmax()], xtol=1e-15)
            off = abs(delay - reference.t_events[0][0])
            delays.append(delay)
            line += f", ignites after {1e3 * delay:.6f} ms, {1e6 * off:.1e} us from SciPy's"
            check("the delay is right to 1e-6 of it", off < 1e-6 * delay)
        print(f"{line}; T within {error:.1e} K of SciPy's")
        check("T is right to 1e-6 of its rise", error < 1e-6 * RISE)
    check("two of three walls ignite", len(delays) == 2)
    if len(sys.argv) > 1:
        plot(sys.argv[1], sol, delays)
