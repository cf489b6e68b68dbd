"""A training step of the Hamiltonian network of examples/hamiltonian.py, by deersolve and by diffrax, in turns.

``python benchmarks/bench_hamiltonian.py``. The network, the orbits, batches of 4, float64, Adam and the 10,001 times of
the loss are those of the example. All start from weights that were fitted a little on a tenth of the orbits. A step
is loss, gradient and update, compiled; errors are those of the states and of the gradient from Tsit5 at 1e-11.
"""

from __future__ import annotations

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

import deersolve as ds
from timing import compare, header, table

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
import hamiltonian as example

TURNS = 7


def by_tsit5(rtol):
    import diffrax

    def y(weights, y0, t, guess):
        term = diffrax.ODETerm(lambda t, y, weights: example.field(y, t, weights))
        steps, saved = diffrax.PIDController(rtol=rtol, atol=rtol), diffrax.SaveAt(ts=t)
        more = {"saveat": saved, "stepsize_controller": steps, "max_steps": 4096}
        return diffrax.diffeqsolve(term, diffrax.Tsit5(), t[0], t[-1], None, y0, weights, **more).ys.swapaxes(0, 1)

    return y


def by_adaptive(rtol):
    def y(weights, y0, t, guess):
        return ds.solve(example.problem(weights, y0, t), method=ds.Adaptive(rtol, rtol, max_steps=64)).y

    return y


def on_knots(stride, rule, method):
    """Return the solution at every ``stride``-th time by a rule on that grid, and cubic Hermite pieces between."""

    def y(weights, y0, t, guess):
        knots, D = t[::stride], t[stride] - t[0]
        y = ds.solve(example.problem(weights, y0, knots), guess[:, ::stride], inverse=rule, method=method).y
        slope, r = D * example.field(y, None, weights), np.arange(stride) / stride
        basis = np.array([(1 + 2 * r) * (1 - r) ** 2, r**2 * (3 - 2 * r), r * (1 - r) ** 2, r**2 * (r - 1)])
        ends = jnp.stack([y[:, :-1], y[:, 1:], slope[:, :-1], slope[:, 1:]])
        between = jnp.einsum("kr,kbin->birn", basis, ends)
        return jnp.concatenate([between.reshape(len(y), -1, 8), y[:, -1:]], 1)

    return y


WAYS = {
    "diffrax, Tsit5, 1e-7": by_tsit5(1e-7),
    "Newton, 101 times, y_corrected": example.by_newton_on_few,
    "Adaptive, 1e-6": by_adaptive(1e-6),
    "loop of dopri5, 101 times": on_knots(100, "dopri5", ds.Sequential()),
}


def step_of(way, optimiser):
    @jax.jit
    def step(weights, state, data, t, guess):
        (loss, y), slope = jax.value_and_grad(example.loss, has_aux=True)(weights, way, data, t, guess)
        change, state = optimiser.update(slope, state)
        return optax.apply_updates(weights, change), state, loss, y, slope

    return step


def main():
    data, optimiser = example.draw(4, np.random.default_rng(0)), optax.adam(example.RATE)
    weights, t = example.network(np.random.default_rng(1)), jnp.asarray(example.TIMES)
    state, warm = optimiser.init(weights), step_of(by_tsit5(1e-5), optimiser)
    for _ in range(80):
        weights, state, *_ = warm(weights, state, data[:, :1001], t[:1001], data[:, :1001])
    data = jnp.asarray(data)
    exact = step_of(by_tsit5(1e-11), optimiser)(weights, state, data, t, data)[3:]
    print(header("deersolve", "jax", "diffrax", "optax") + "\n")
    runs, known = {}, {}
    for name, way in WAYS.items():
        if sys.argv[1:] and not any(word in name for word in sys.argv[1:]):
            continue
        step = step_of(way, optimiser)
        _, _, loss, y, slope = step(weights, state, data, t, exact[0])
        print(name, float(loss), flush=True)
        known[name] = float(loss), example.apart(y, exact[0]), example.apart(slope, exact[1])
        runs[name] = lambda step=step: step(weights, state, data, t, exact[0])[2]
    times = compare(runs, TURNS)
    base = times["diffrax, Tsit5, 1e-7"].median if "diffrax, Tsit5, 1e-7" in times else float("nan")
    rows = [
        [n, f"{a:.6f}", f"{b:.0e}", f"{c:.0e}", 1e3 * times[n].median, times[n].median / base]
        for n, (a, b, c) in known.items()
    ]
    print(table(["a step", "loss", "error of y", "of the gradient", "ms", "times diffrax"], rows))


if __name__ == "__main__":
    main()
