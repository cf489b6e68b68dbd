"""Derivatives of solves to a tolerance, against the variational equation solved by SciPy and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import brentq
from tests.conftest import library

import deersolve as ds

TIMES = np.array([0.0, 0.5, 3.3, 5.0])
STARTS, RATES = np.array([[2.0, 0.0], [1.0, -0.5], [0.3, 1.0]]), np.array([[1.0, 0.1], [1.2, 0.0], [4.0, 0.2]])
EPS = float(np.finfo(float).eps)
TOLERANCES = pytest.mark.parametrize(
    ("rule", "rtol"), [(None, 1e-6), ("dopri5", 1e-6), ("dopri8", 1e-9), ("radau5", 1e-6), ("radau9", 1e-8)]
)


def graphs(*cases):
    """Return the parameters of a test of derivatives on a graph: PyTorch, and one case on JAX."""
    return [*(("torch", *c) for c in cases), pytest.param("jax", *cases[-1], marks=pytest.mark.deep)]


def pendulum(y, p, _):
    xp = ds.array_namespace(y)
    return xp.stack([y[..., 1], -p[..., 0] * xp.sin(y[..., 0]) - p[..., 1] * y[..., 1]], axis=-1)


def exact(y0, p, times=TIMES):
    """Return y, (T, 2), and its derivative by y0 and p, (T, 2, 4), in dense output."""

    def f(t, z):
        y, S = z[:2], z[2:].reshape(2, 4)
        A = np.array([[0.0, 1.0], [-p[0] * np.cos(y[0]), -p[1]]])
        B = np.array([[0.0, 0.0, 0.0, 0.0], [0.0, 0.0, -np.sin(y[0]), -y[1]]])
        return np.concatenate([[y[1], -p[0] * np.sin(y[0]) - p[1] * y[1]], (A @ S + B).ravel()])

    start = np.concatenate([y0, np.eye(2, 4).ravel()])
    z = solve_ivp(f, times[[0, -1]], start, "DOP853", rtol=1e-12, atol=1e-13, dense_output=True).sol
    return lambda t: (z(t)[:2].T, np.moveaxis(z(t)[2:].reshape(2, 4, *np.shape(t)), (0, 1), (-2, -1)))


def close(found, expected, rtol):
    """Ten times the tolerance, of the largest entry."""
    np.testing.assert_allclose(found, expected, rtol=0, atol=10 * rtol * np.abs(expected).max())


@TOLERANCES
def test_sensitivity_and_adjoint_of_a_batch_with_a_grid_each(rule, rtol):
    problem = ds.InitialValueProblem(pendulum, TIMES, STARTS, RATES[:, None, :])
    sol = ds.solve(problem, rtol=rtol, atol=rtol, inverse=rule)
    assert len({len(set(t)) for t in sol.grid}) > 1
    rows = np.eye(4)
    directions = [{"y0": k[:2] + 0 * STARTS, "x": k[2:] + 0 * RATES[:, None, :]} for k in rows]
    dy = np.moveaxis(ds.sensitivity(problem, sol, directions), 0, -1)
    reference = np.stack([exact(*one)(TIMES)[1] for one in zip(STARTS, RATES, strict=True)])
    close(dy, reference, rtol)
    c = np.random.default_rng(0).normal(size=sol.y.shape)
    bar = ds.adjoint(problem, sol, c, wrt=("y0", "x"))
    found = np.concatenate([bar["y0"], bar["x"][:, 0, :]], axis=-1)
    np.testing.assert_allclose(found, np.einsum("btn,btnk->bk", c, dy), rtol=1e-12)


def test_backwards_in_time_and_a_time_that_is_wanted_on_the_grid():
    problem = ds.InitialValueProblem(lambda y, t, k: -k * t * y, np.array([2.0, 1.0, 1.0, 0.0]), [1.0], params=0.7)
    sol = ds.solve(problem, rtol=1e-8)
    dy = ds.sensitivity(problem, sol, {"params": 1.0})
    close(dy[:, 0], [(4 - t * t) / 2 * math.exp(0.35 * (4 - t * t)) for t in (2, 1, 1, 0)], 1e-8)


def test_signals_and_their_breaks_on_numpy():
    drip = ds.Signal([0.0, 1.0, 2.5], [2.0, 0.0, 1.0], outside="hold")
    problem = ds.InitialValueProblem(lambda y, x, k: x - k * y, np.array([0.0, 2.0, 3.0]), [0.0], drip, params=0.5)
    dy = ds.sensitivity(problem, ds.solve(problem, rtol=1e-9), {"params": 1.0})

    def y(k):
        first = 2 / k * (math.exp(-k * (3 - 1)) - math.exp(-3 * k))
        return first + 1 / k * (1 - math.exp(-0.5 * k))

    close(dy[-1, 0], (y(0.5 + 1e-4) - y(0.5 - 1e-4)) / 2e-4, 1e-8)
    for name in ("x", "t"):
        with pytest.raises(ds.InputError, match=f"{name}: expected params, y0 or an x of all times"):
            ds.sensitivity(problem, ds.solve(problem, rtol=1e-6), {name: np.zeros(3)})


def test_a_complex_start():
    """y' = (i - k) y: dy = y0 (-t) exp((i - k) t) dk + exp((i - k) t) dy0."""
    start, times = np.array([1 + 2j]), np.array([0.0, 1.0, 2.0])
    problem = ds.InitialValueProblem(lambda y, t, k: (1j - k) * y, times, start, params=0.3)
    sol = ds.solve(problem, rtol=1e-8)
    dy = ds.sensitivity(problem, sol, [{"params": 1.0}, {"y0": np.array([1j])}])[..., 0]
    flow = np.exp((1j - 0.3) * problem.t)
    close(dy, np.stack([-problem.t * flow * (1 + 2j), 1j * flow]), 1e-8)
    bar = ds.adjoint(problem, sol, np.array([[0.0], [0.0], [1.0 + 0j]]))
    close(bar["params"], (-2 * flow[-1] * (1 + 2j)).real, 1e-8)


def test_what_is_no_solution_of_the_problem_and_what_failed():
    start, times = np.array([[0.1], [1.0]]), np.array([0.0, 2.0])
    problem = ds.InitialValueProblem(lambda y, t, p: p * y * y, times, start, params=1.0)
    short = ds.Adaptive(1e-6, max_steps=30)
    sol = ds.solve(problem, method=short, on_failure="return")  # the second one has no solution at t = 1
    dy = ds.sensitivity(problem, sol, {"params": 1.0})[:, -1, 0]
    close(dy[0], 2 * 0.1**2 / (1 - 0.2) ** 2, 1e-6)
    assert np.isnan(dy[1])
    with pytest.raises(ds.InputError, match="every element CONVERGED"):
        ds.adjoint(problem, sol, np.ones((2, 2, 1)))
    problem.params = 1.01
    with pytest.raises(ds.InputError, match="more than a hundred times its tolerance"):
        ds.sensitivity(problem, sol, {"params": 1.0})


def gradient(lib, function, *values, mode="value_and_grad"):
    """Return value and gradients of a function of arrays, on JAX compiled; ``mode="jvp"``: the forward mode there."""
    args = tuple(map(lib.asarray, values))
    if lib.is_jax:
        import jax

        if mode == "jvp":
            both = jax.jit(lambda *args: (function(*args), jax.jacfwd(function, range(len(args)))(*args)))
            value, bars = both(*args)
        else:
            value, bars = jax.jit(jax.value_and_grad(function, range(len(args))))(*args)
    else:
        args = tuple(a.requires_grad_() for a in args)
        value = function(*args)
        value.backward()
        bars = [a.grad for a in args]
    return float(lib.to_numpy(value)), [lib.to_numpy(a) for a in bars]


def mapped(lib, function):
    """Return a function of a batch, on JAX by its vmap of one element."""
    if not lib.is_jax:
        return function
    import jax

    return jax.vmap(function)


@pytest.mark.parametrize(("name", "rule", "rtol"), graphs(("dopri8", 1e-8), ("radau5", 1e-6)))
def test_the_graph_of_a_solve_of_a_batch(name, rule, rtol):
    lib = library(name)
    c, last = np.random.default_rng(0).normal(size=(3, 4, 2)), np.array([1.0, -1.0])

    def values(y0, p):
        problem = ds.InitialValueProblem(pendulum, lib.asarray(TIMES), y0, p[..., None, :])
        sol = ds.solve(problem, rtol=rtol, atol=rtol, inverse=rule)
        return sol.y, sol(2.2)

    def loss(y0, p):
        y, middle = mapped(lib, values)(y0, p)
        return (lib.asarray(c) * y).sum() + (middle * lib.asarray(last)).sum()

    _, bars = gradient(lib, loss, STARTS, RATES)
    S = [exact(*one) for one in zip(STARTS, RATES, strict=True)]
    expected = np.stack([np.einsum("tn,tnk", c[k], S[k](TIMES)[1]) + last @ S[k](2.2)[1] for k in range(3)])
    close(np.concatenate(bars, axis=-1), expected, rtol)


@pytest.mark.parametrize(("name", "rule"), graphs(("radau5",), ("dopri5",)))
def test_first_and_last_time_and_a_break(name, rule):
    """y' = 2 [t > b] - y, y(a) = 1: y(c) = exp(a - c) + 2 (1 - exp(b - c)), also where the times descend."""
    lib, rtol = library(name), 1e-8

    def end(times):
        problem = ds.InitialValueProblem(
            lambda y, t, b: lib.xp.where(t > b, 2.0, 0.0) - y, times, lib.asarray([1.0]), params=times[1]
        )
        return ds.solve(problem, rtol=rtol, inverse=rule).y[-1, 0]

    a, b, c = 0.3, 1.1, 2.0
    value, (bar,) = gradient(lib, end, [a, b, b, c], mode="jvp")
    rise, fall = 2 * math.exp(b - c), math.exp(a - c)
    close(value, fall + 2 - rise, rtol)
    close([bar[0], bar[1] + bar[2], bar[3]], [fall, -rise, rise - fall], rtol)


@pytest.mark.parametrize("name", ["torch", pytest.param("jax", marks=pytest.mark.deep)])
def test_the_time_of_an_event(name):
    lib = library(name)

    def crosses(t, y, g, c):
        return y[0]

    crosses.terminal = True

    def f(t, y, g, c):
        return lib.xp.stack([y[1], -g * lib.xp.sin(y[0]) - c * y[1]])

    def time(y0, p):
        return ds.solve_ivp(f, (0.0, 5.0), y0, args=(p[0], p[1]), events=crosses, rtol=1e-8, atol=1e-8).t_events[0][0]

    value, bars = gradient(lib, time, STARTS[0], RATES[0])
    z = exact(STARTS[0], RATES[0])
    at = brentq(lambda t: z(t)[0][0], 0.5, 3.0, xtol=1e-14)
    y, S = z(at)
    close(value, at, 1e-8)
    close(np.concatenate(bars), -S[0] / y[1], 1e-8)


@pytest.mark.parametrize("mode", ["reverse", pytest.param("forward", marks=pytest.mark.deep)])
def test_many_components_on_jax_are_followed_step_by_step(mode):
    """y' = A y of 12 components, exp(A t) y0, inside a program with room for more steps than are taken."""
    import jax
    import jax.numpy as jnp

    rng = np.random.default_rng(0)
    A, y0, t = rng.normal(size=(12, 12)) / 4, rng.normal(size=12), np.array([0.0, 0.3, 0.9, 1.0, 1.7, 2.0])

    def squares(A, y0, t):
        problem = ds.InitialValueProblem(lambda y, t, A: y @ A.T, t, y0, params=A)
        y = ds.solve(problem, inverse="dopri5", method=ds.Adaptive(1e-7, 1e-7, max_steps=40)).y
        return jnp.sum(y[1:] ** 2)

    def exact(A, y0, t):
        return sum(jnp.sum((jax.scipy.linalg.expm(A * (t[k] - t[0])) @ y0) ** 2) for k in range(1, 6))

    at = tuple(map(jnp.asarray, (A, y0, t)))
    known = jax.jit(jax.grad(exact, (0, 1, 2)))(*at)
    if mode == "forward":
        made = (jax.jit(lambda *at: jax.jvp(squares, at, known)[1])(*at),)
        known = (sum((a**2).sum() for a in known),)
    else:
        made = jax.jit(jax.grad(squares, (0, 1, 2)))(*at)
    for a, b in zip(made, known, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=3e-6 * float(abs(b).max()))
