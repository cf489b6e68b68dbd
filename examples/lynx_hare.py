"""Lotka and Volterra's equations, fitted to the lynx and hare pelts of Hudson Bay, 1900 to 1920.

Hares u breed and are eaten, lynxes v eat and starve (u, v in thousands of pelts, time in years):

    u' = (alpha - beta v) u,        v' = (-gamma + delta u) v.

Unknown are four rates and the two values of 1900. The equation is solved on a grid of 20 steps a
year; for the Jacobian of the fit, twelve shifted sets of parameters are a *batch* of one solve. The
rates vary over the batch, so they travel in x, not in params.

The rates are checked against the posterior means of the Bayesian fit of the same model and record.

Data: D. A. MacLulich, Fluctuations in the numbers of the varying hare (1937), as tabulated by
P. Howard, http://www.math.tamu.edu/~phoward/m442/modbasics.pdf (2009).
Reference: B. Carpenter, Predator-prey population dynamics: the Lotka-Volterra model in Stan (2018).

Run: python examples/lynx_hare.py [picture.png]
"""

import os
import sys

import numpy as np
from scipy.integrate import solve_ivp
from scipy.optimize import least_squares

import deersolve as ds

SMALL = bool(os.environ.get("DEERSOLVE_SMALL"))
PER_YEAR = 10 if SMALL else 20
YEARS = np.arange(1900, 1921)
# fmt: off
HARES = np.array([30, 47.2, 70.2, 77.4, 36.3, 20.6, 18.1, 21.4, 22, 25.4, 27.1,
                  40.3, 57, 76.6, 52.3, 19.5, 11.2, 7.6, 14.6, 16.2, 24.7])
LYNXES = np.array([4, 6.1, 9.8, 35.2, 59.4, 41.7, 19, 13, 8.3, 9.1, 7.4,
                   8, 12.3, 19.5, 45.7, 51.1, 29.7, 15.8, 9.7, 10.1, 8.6])
# fmt: on
PELTS = np.stack([HARES, LYNXES], axis=-1)
STAN = np.array([0.55, 0.028, 0.80, 0.024])  # alpha, beta, gamma, delta: posterior means
GUESS = np.log([0.5, 0.025, 0.8, 0.025, *PELTS[0]])


def lotka_volterra(y, rates, params):
    u, v = y[..., 0], y[..., 1]
    alpha, beta, gamma, delta = np.moveaxis(rates, -1, 0)
    return np.stack([(alpha - beta * v) * u, (-gamma + delta * u) * v], axis=-1)


def trajectories(theta):
    """Solve for every row of theta, the logarithms of (alpha, beta, gamma, delta, u_0, v_0)."""
    values = np.exp(theta)
    t = np.linspace(0.0, 20.0, 20 * PER_YEAR + 1)
    rates, start = values[..., None, :4], values[..., 4:]
    return t, ds.solve(ds.InitialValueProblem(lotka_volterra, t, start, x=rates))


def residuals(theta):
    """log(model / data), one row for each row of theta."""
    _, sol = trajectories(theta)
    misfit = np.log(sol.y[..., ::PER_YEAR, :] / PELTS)
    return misfit.reshape(*theta.shape[:-1], -1)


def jacobian(theta, step=1e-5):
    """Central differences: all columns in one batched solve."""
    shifts = step * np.eye(theta.size)
    up, down = np.split(residuals(theta + np.concatenate([shifts, -shifts])), 2)
    return (up - down).T / (2 * step)


def check(claim, holds):
    if not holds:
        raise SystemExit(f"FAILED: {claim}")


def plot(path, t, y):
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots(figsize=(8, 4), layout="constrained")
    for k, (name, colour) in enumerate([("hare", "C0"), ("lynx", "C3")]):
        ax.plot(1900 + t, y[:, k], color=colour, label=f"{name}, model")
        ax.plot(YEARS, PELTS[:, k], "o", color=colour, mfc="none", label=f"{name}, record")
    ax.set(xlabel="year", ylabel="pelts (thousands)", xticks=YEARS[::2], ylim=(0, 95))
    ax.set_title("Lotka-Volterra fitted to the Hudson Bay record")
    ax.legend(ncols=4, loc="upper center", frameon=False)
    fig.savefig(path, dpi=130)


if __name__ == "__main__":
    fit = least_squares(residuals, GUESS, jacobian)
    found = np.exp(fit.x)
    sigma = np.sqrt(2 * fit.cost / (fit.fun.size - fit.x.size))
    for name, value, mean in zip(("alpha", "beta", "gamma", "delta"), found, STAN, strict=False):
        print(f"{name:6s} {value:.4f}   Stan {mean:.3f}   ({value / mean - 1:+.1%})")
    print(f"scatter of log(pelts) {sigma:.2f}, {fit.nfev} evaluations of the fit")
    check("the rates are within 10 % of Stan's means", np.all(np.abs(found[:4] / STAN - 1) < 0.1))

    t, sol = trajectories(fit.x)
    scipy = solve_ivp(
        lambda t, y: lotka_volterra(y, found[:4], None),
        (0, 20), found[4:], t_eval=t, rtol=1e-10, atol=1e-9,
    )  # fmt: skip
    error = np.max(np.max(np.abs(sol.y - scipy.y.T), axis=0) / np.max(scipy.y, axis=1))
    estimate = float(sol.stats.discretisation_error)
    print(f"{len(t)} points: {error:.1e} from solve_ivp, estimated {estimate:.1e}")
    check("the estimate is within 20 % of the true error", abs(estimate / error - 1) < 0.2)
    check("the trajectory agrees with solve_ivp", error < 1e-2)
    if len(sys.argv) > 1:
        plot(sys.argv[1], t, sol.y)
