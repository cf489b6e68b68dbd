"""A Hamiltonian of two bodies, learnt from their orbits by deersolve, all times at once, and by Runge-Kutta methods.

The state s = (positions, momenta) of two unit masses in a plane, 8 numbers, obeys s' = J grad H(s), with H a network
of 6 layers of 64 softplus units (Greydanus et al., arXiv 1906.01563; Lim et al., arXiv 2309.12252, figure 4). It is
fitted to orbits of the gravitational problem at 10,001 times of [0, 10]; the loss is the mean squared error of all
states. The horizon grows: the first tenth of the orbits, then 35 %, then all. Newton's method starts from the states
that the same orbits had when they were last seen, and beyond them, or at first, from the data.

All runs start from the same weights, see the same batches and compute in float64, each to about 1e-6 of the states. The
fit needs less; that much makes the curves comparable. (In float32, on all points, gradients are right to 1e-4 only.)

- deersolve, 10,001 points: the trapezoid on all times, as in the paper;
- deersolve, 101 points: y_corrected, of 4th order, on every 100th time, and cubic Hermite interpolation between;
- diffrax, Tsit5: adaptive steps, and that library's interpolation and adjoint;
- RK4: a scan with one step from each time to the next, timed on a few steps only.

The run-to-run spread is how far one more run parts from the last, whose first weights differ by 1e-6, as the solves do.

Run: python examples/hamiltonian.py [picture.png]
"""

import importlib.util
import itertools
import os
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy.integrate import solve_ivp

import deersolve as ds

SMALL = bool(os.environ.get("DEERSOLVE_SMALL"))
UNITS, LAYERS, ORBITS, BATCH, RATE, STRIDE = (16, 2, 4, 2, 3e-3, 10) if SMALL else (64, 6, 16, 4, 3e-3, 100)
T = 401 if SMALL else 10_001
SCHEDULE = [(400, 20)] if SMALL else [(1000, 80), (3500, 40), (10_000, 24)]  # intervals, steps
TIMES = np.linspace(0.0, 10.0, T)

jax.config.update("jax_enable_x64", True)


def gravity(t, s):
    apart = s[2:4] - s[:2]
    force = apart / np.sum(apart**2) ** 1.5
    return np.concatenate([s[4:], force, -force])


def draw(count, rng):
    """Return orbits (count, T, 8) about the centre of mass, bounded and not far from circles."""
    orbits = []
    for _ in range(count):
        radius, angle, excess = rng.uniform(0.7, 1.3), rng.uniform(0, 2 * np.pi), rng.uniform(0.9, 1.1)
        q = radius * np.array([np.cos(angle), np.sin(angle)])
        p = excess / (2 * radius**1.5) * np.array([-q[1], q[0]])
        start = np.concatenate([q, -q, p, -p])
        orbits.append(solve_ivp(gravity, (0, 10), start, "DOP853", TIMES, rtol=1e-10, atol=1e-10).y.T)
    return np.array(orbits)


def network(rng):
    """Return the matrix and the bias of each layer."""
    sizes = [8, *[UNITS] * LAYERS, 1]
    return [
        (jnp.asarray(1.5 * rng.normal(size=(a, b)) / np.sqrt(a)), jnp.zeros(b)) for a, b in itertools.pairwise(sizes)
    ]


def energy(s, weights):
    *hidden, (last, _) = weights
    for matrix, bias in hidden:
        s = jax.nn.softplus(s @ matrix + bias)
    return s @ last[:, 0]


def field(s, t, weights):
    """J grad H, at any number of points."""
    slope = jax.grad(lambda s: energy(s, weights).sum())(s)
    return jnp.concatenate([slope[..., 4:], -slope[..., :4]], -1)


def problem(weights, y0, t):
    return ds.InitialValueProblem(field, t, y0, params=weights)


def by_newton(weights, y0, t, guess):
    return ds.solve(problem(weights, y0, t), guess, method=ds.Newton(rtol=1e-6)).y


def by_newton_on_few(weights, y0, t, guess):
    knots, D = t[::STRIDE], t[STRIDE] - t[0]
    y = ds.solve(problem(weights, y0, knots), guess[:, ::STRIDE], method=ds.Newton(rtol=1e-6)).y_corrected
    slope = D.astype(y.dtype) * field(y, None, weights)
    r = np.arange(STRIDE) / STRIDE
    basis = np.array([(1 + 2 * r) * (1 - r) ** 2, r**2 * (3 - 2 * r), r * (1 - r) ** 2, r**2 * (r - 1)], y0.dtype)
    ends = jnp.stack([y[:, :-1], y[:, 1:], slope[:, :-1], slope[:, 1:]])
    between = jnp.einsum("kr,kbin->birn", basis, ends)
    return jnp.concatenate([between.reshape(len(y), -1, 8), y[:, -1:]], 1)


def by_tsit5(weights, y0, t, guess):
    import diffrax

    term = diffrax.ODETerm(lambda t, y, weights: field(y, t, weights))
    steps = diffrax.PIDController(rtol=1e-7, atol=1e-7)
    saved = diffrax.SaveAt(ts=t)
    sol = diffrax.diffeqsolve(
        term, diffrax.Tsit5(), t[0], t[-1], None, y0, weights, saveat=saved, stepsize_controller=steps
    )
    return sol.ys.swapaxes(0, 1)


def by_rk4(weights, y0, t, guess):
    def step(y, D):
        k1 = field(y, None, weights)
        k2 = field(y + D / 2 * k1, None, weights)
        k3 = field(y + D / 2 * k2, None, weights)
        k4 = field(y + D * k3, None, weights)
        y = y + D / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        return y, y

    rows = jax.lax.scan(step, y0, jnp.diff(t).astype(y0.dtype))[1]
    return jnp.concatenate([y0[:, None], rows.swapaxes(0, 1)], 1)


WAYS = {f"deersolve, {T:,} points": by_newton, f"deersolve, {T // STRIDE + 1} points": by_newton_on_few}
if importlib.util.find_spec("diffrax"):
    WAYS["diffrax, Tsit5"] = by_tsit5
else:
    print("diffrax is not installed: no adaptive method to compare with")


def loss(weights, way, data, t, guess):
    y = way(weights, data[:, 0], t, guess)
    return jnp.mean((y - data) ** 2), y


slope_of_loss = jax.jit(jax.value_and_grad(loss, has_aux=True), static_argnums=1)


def train(way, weights, data, schedule=SCHEDULE):
    """Return the weights, and the loss and the seconds of each step without those of compilation."""
    optimiser = optax.adam(RATE)

    @jax.jit
    def update(weights, state, slope):
        change, state = optimiser.update(slope, state)
        return optax.apply_updates(weights, change), state

    state, guess = optimiser.init(weights), data.copy()
    losses, seconds, order = [], [], np.random.default_rng(2)
    for intervals, steps in schedule:
        t, here = TIMES[: intervals + 1], slice(intervals + 1)
        update(weights, state, slope_of_loss(weights, way, data[:BATCH, here], t, guess[:BATCH, here])[1])
        while steps:
            for rows in order.permutation(len(data)).reshape(-1, BATCH)[:steps]:
                start = time.perf_counter()
                (value, y), slope = slope_of_loss(weights, way, data[rows, here], t, guess[rows, here])
                weights, state = update(weights, state, slope)
                guess[rows, here] = y
                losses.append(float(value))
                seconds.append(time.perf_counter() - start)
                steps -= 1
    return weights, np.array(losses), np.array(seconds)


def apart(a, b):
    """Return the difference of two trees in the 2-norm, relative to the second."""
    norm = optax.tree.norm
    return float(norm(jax.tree.map(jnp.subtract, a, b)) / norm(b))


def check(claim, holds):
    if not holds:
        raise SystemExit(f"FAILED: {claim}")


def accuracy(way, weights, data, reference):
    """Return the relative errors of the states and of the slope of the loss."""
    (_, y), slope = slope_of_loss(weights, way, data, TIMES, data)
    return apart(y, reference[0]), apart(slope, reference[1])


def check_estimate(weights, y0):
    """Check the estimated error of the trapezoid on few points, and y_corrected, in float64."""
    t = TIMES[::STRIDE]
    sol = ds.solve(problem(weights, jnp.asarray(y0), t))
    compiled = jax.jit(field)
    exact = solve_ivp(lambda t, s: compiled(s, t, weights), (0, 10), y0, "DOP853", t, rtol=1e-10, atol=1e-10)
    peak = np.max(np.abs(exact.y), axis=1)
    error, rest = (float(np.max(np.max(np.abs(y - exact.y.T), axis=0) / peak)) for y in (sol.y, sol.y_corrected))
    estimate = float(sol.stats.discretisation_error)
    print(f"on {len(t)} points: {error:.1e} from solve_ivp, estimated {estimate:.1e}; y_corrected {rest:.1e}")
    check("the estimate is within 20 % of the true error", abs(estimate / error - 1) < 0.2)
    check("y_corrected is far closer", rest < error / 10)


def plot(path, runs):
    import matplotlib.pyplot as plt

    fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained", sharey=True)
    for (name, (_, losses, seconds)), style in zip(runs.items(), ("C0-", "C2--", "C1:"), strict=False):
        left.semilogy(losses, style, label=name, lw=2)
        right.semilogy(np.cumsum(seconds), losses, style, label=name, lw=1.5)
    left.set(xlabel="step", ylabel="training loss", title="the same curve")
    for k, (intervals, _) in zip(np.cumsum([0, *(steps for _, steps in SCHEDULE)]), SCHEDULE, strict=False):
        left.axvline(k, color="0.8", lw=0.8, zorder=0)
        left.annotate(
            f"to t = {TIMES[intervals]:g}", (k, 1), (4, -12), ("data", "axes fraction"), "offset points", fontsize=8
        )
    right.set(xlabel="seconds", title="in more or less time", xscale="log")
    left.set_ylim(top=3 * max(losses.max() for _, losses, _ in runs.values()))
    fig.legend(*left.get_legend_handles_labels(), frameon=False, loc="outside lower center", ncols=3)
    fig.savefig(path, dpi=130)


if __name__ == "__main__":
    data, start = draw(ORBITS, np.random.default_rng(0)), network(np.random.default_rng(1))
    runs = {name: train(way, start, data) for name, way in WAYS.items()}
    *_, (weights, losses, _) = runs.values()
    nearby = jax.tree.map(lambda a: a * (1 + 1e-6), start)
    spread = np.max(np.abs(train(list(WAYS.values())[-1], nearby, data)[1] / losses - 1))
    print(f"run-to-run spread of the losses: at most {spread:.1e}")

    intervals, steps = SCHEDULE[-1]
    batch = data[:BATCH]
    (_, exact), slope = slope_of_loss(weights, by_rk4, batch, TIMES, batch)
    print(f"{len(losses)} steps, the last {steps} on {T:,} times; seconds a step: the median of those")
    print(f"{'':26}{'error of y':>12}{'of gradient':>12}{'s a step':>10}{'s in all':>10}{'last loss':>11}{'apart':>9}")
    for name, (_, ours, seconds) in runs.items():
        of_y, of_gradient = accuracy(WAYS[name], weights, batch, (exact, slope))
        distance = np.max(np.abs(ours / losses - 1))
        print(f"{name:26}{of_y:12.1e}{of_gradient:12.1e}{np.median(seconds[-steps:]):10.3f}"
              f"{seconds.sum():10.1f}{ours[-1]:11.5f}{distance:9.1e}")  # fmt: skip
        check(f"{name}: states and gradients to 1e-5 of those of RK4", max(of_y, of_gradient) < 1e-5)
        check(f"{name}: the same training as the others", distance <= spread)
        check(f"{name}: the loss goes down", np.mean(ours[-steps // 2 :]) < np.mean(ours[-steps : -steps // 2]))
    seconds = train(by_rk4, start, data, [(intervals, 3)])[2]
    print(f"{'RK4':26}{np.median(seconds):34.3f}")
    check_estimate(weights, batch[0, 0])
    if len(sys.argv) > 1:
        plot(sys.argv[1], runs)
