"""Lotka and Volterra's equations, fitted to the lynx and hare pelts of Hudson Bay, 1900 to 1920.

Hares u breed and are eaten, lynxes v eat and starve (u, v in thousands of pelts, time in years):

    u' = (alpha - beta v) u,        v' = (-gamma + delta u) v.

Unknown are four rates and the two values of 1900; what is made small is the scatter of log(pelts). The equation is
solved on a grid of 20 steps a year, and the fit is made three times, each with exact derivatives of that solution:
SciPy's least_squares on NumPy with ds.sensitivity, L-BFGS of torch.optim on PyTorch with backward, and L-BFGS of optax
on JAX with grad. All three must meet in the same optimum.

The rates are checked against the posterior means of the Bayesian fit of the same model and record.

Data: D. A. MacLulich, Fluctuations in the numbers of the varying hare (1937), as tabulated by
P. Howard, http://www.math.tamu.edu/~phoward/m442/modbasics.pdf (2009).
Reference: B. Carpenter, Predator-prey population dynamics: the Lotka-Volterra model in Stan (2018).

Run: python examples/lynx_hare.py [picture.png]
"""

import importlib.util
import os
import sys

import numpy as np
from scipy.integrate import solve_ivp
from scipy.optimize import least_squares

import deersolve as ds

SMALL = bool(os.environ.get("DEERSOLVE_SMALL"))
PER_YEAR = 10 if SMALL else 20
TIMES = np.linspace(0.0, 20.0, 20 * PER_YEAR + 1)
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


def lotka_volterra(y, t, rates):
    xp = ds.array_namespace(y)
    u, v = y[..., 0], y[..., 1]
    alpha, beta, gamma, delta = (rates[k] for k in range(4))
    return xp.stack([(alpha - beta * v) * u, (-gamma + delta * u) * v], axis=-1)


def equation(values, t=TIMES):
    """Return the problem for (alpha, beta, gamma, delta, u_0, v_0), arrays of any library."""
    return ds.InitialValueProblem(lotka_volterra, t, values[4:], params=values[:4])


def by_scipy():
    """Fit on NumPy: residuals log(model / data), and their Jacobian by one linear solve for each unknown."""

    def residuals(theta):
        return np.log(ds.solve(equation(np.exp(theta))).y[::PER_YEAR] / PELTS).ravel()

    def jacobian(theta):
        values = np.exp(theta)
        problem = equation(values)
        sol = ds.solve(problem)
        columns = np.diag(values)
        directions = [{"params": column[:4], "y0": column[4:]} for column in columns]
        dy = ds.sensitivity(problem, sol, directions)[:, ::PER_YEAR]
        return (dy / sol.y[::PER_YEAR]).reshape(6, -1).T

    fit = least_squares(residuals, GUESS, jacobian, xtol=1e-14, ftol=1e-14, gtol=1e-12)
    return fit.x, fit


def by_torch():
    """Fit on PyTorch: torch.optim and backward."""
    import torch

    theta, t = torch.tensor(GUESS, requires_grad=True), torch.tensor(TIMES)
    data = torch.tensor(np.log(PELTS))
    search = {"line_search_fn": "strong_wolfe", "tolerance_grad": 1e-10, "tolerance_change": 1e-16}
    optimiser = torch.optim.LBFGS([theta], max_iter=200, **search)

    def loss():
        optimiser.zero_grad()
        value = ((ds.solve(equation(theta.exp(), t)).y[::PER_YEAR].log() - data) ** 2).sum() / 2
        value.backward()
        return value

    optimiser.step(loss)
    return theta.detach().numpy()


def by_jax():
    """Fit on JAX: optax and grad, compiled."""
    import jax
    import optax

    jax.config.update("jax_enable_x64", True)
    jnp = jax.numpy

    def loss(theta):
        y = ds.solve(equation(jnp.exp(theta), jnp.asarray(TIMES))).y[::PER_YEAR]
        return ((jnp.log(y) - np.log(PELTS)) ** 2).sum() / 2

    optimiser = optax.lbfgs()
    value_and_grad = optax.value_and_grad_from_state(loss)

    @jax.jit
    def step(theta, state):
        value, grad = value_and_grad(theta, state=state)
        updates, state = optimiser.update(grad, state, theta, value=value, grad=grad, value_fn=loss)
        return optax.apply_updates(theta, updates), state, jnp.abs(grad).max()

    theta = jnp.asarray(GUESS)
    state = optimiser.init(theta)
    for _ in range(200):
        theta, state, slope = step(theta, state)
        if slope < 1e-9:
            break
    return np.asarray(theta)


def others():
    """Yield the fits on what is installed."""
    for library, package, fit in (("PyTorch", "torch", by_torch), ("JAX", "optax", by_jax)):
        if importlib.util.find_spec(package):
            yield library, fit()


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
    theta, fit = by_scipy()
    found = np.exp(theta)
    sigma = np.sqrt(2 * fit.cost / (fit.fun.size - fit.x.size))
    for name, value, mean in zip(("alpha", "beta", "gamma", "delta"), found, STAN, strict=False):
        print(f"{name:6s} {value:.4f}   Stan {mean:.3f}   ({value / mean - 1:+.1%})")
    print(f"scatter of log(pelts) {sigma:.2f}, {fit.nfev} evaluations of the fit")
    check("the rates are within 10 % of Stan's means", np.all(np.abs(found[:4] / STAN - 1) < 0.1))

    for library, other in others():
        print(f"{library}: {np.max(np.abs(other - theta)):.1e} from the optimum of least_squares (in log)")
        check(f"{library} meets the same optimum to 1e-6", np.max(np.abs(other - theta)) < 1e-6)

    t, sol = TIMES, ds.solve(equation(found))
    scipy = solve_ivp(
        lambda t, y: lotka_volterra(y, t, found[:4]),
        (0, 20), found[4:], t_eval=t, rtol=1e-10, atol=1e-9,
    )  # fmt: skip
    error = np.max(np.max(np.abs(sol.y - scipy.y.T), axis=0) / np.max(scipy.y, axis=1))
    estimate = float(sol.stats.discretisation_error)
    print(f"{len(t)} points: {error:.1e} from solve_ivp, estimated {estimate:.1e}")
    check("the estimate is within 20 % of the true error", abs(estimate / error - 1) < 0.2)
    check("the trajectory agrees with solve_ivp", error < 1e-2)
    if len(sys.argv) > 1:
        plot(sys.argv[1], t, sol.y)
