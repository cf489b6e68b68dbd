"""Pseudo-transient continuation: what a step is, what it finds where Newton's method does not, what it refuses."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import deersolve as ds
from deersolve.inverses import registry
from deersolve.newton.iterate import Options, start_at
from deersolve.newton.iteration import advance
from deersolve.testing.systems import system_of

EPS = np.finfo(np.float64).eps
WALL = {"left": ds.Dirichlet(-1.0), "right": ds.Dirichlet(1.0)}
N, D = 41, 4e-3
S = np.linspace(-1.0, 1.0, N)
NOISE = np.sin(20.0 * S)[:, None]


def uptake(u, u_s, x, p):
    """A rate that saturates: Newton's method for u / sqrt(1 + u^2) = 0 sends u to -u^3."""
    return u / ds.array_namespace(u).sqrt(1 + u * u) - x["source"]


def tissue(put, sign=1.0):
    """Return sign D u'' = sign (uptake - source) and a guess from which Newton's method goes round in circles."""
    s = np.linspace(0.0, 1.0, 17)[:, None]
    ends = {"left": ds.Dirichlet(put(np.zeros(1))), "right": ds.Dirichlet(put(np.zeros(1)))}
    options = {"a": put(np.array([sign * 0.01])), "x": {"source": put(0.8 * np.cos(2 * np.pi * s))}, **ends}

    def f(u, u_s, x, p):
        return sign * uptake(u, u_s, x, p)

    return ds.BoundaryValueProblem(f, put(s[:, 0]), **options), put(5.0 * np.sin(np.pi * s))


def phases(put, s=S):
    """Return the steady Allen-Cahn equation between two phases."""
    ends = {"left": ds.Dirichlet(put(np.array([-1.0]))), "right": ds.Dirichlet(put(np.array([1.0])))}
    return ds.Elliptic1D(lambda u, u_s, x, p: u * u * u - u, put(s), D, **ends)


def same(a):
    return a


def flow_matrix(u):
    """Return D d2/ds2 - (3 u^2 - 1) between the ends, assembled here."""
    h, inner = 2.0 / (len(u) - 1), len(u) - 2
    second = (np.eye(inner, k=1) - 2 * np.eye(inner) + np.eye(inner, k=-1)) / h**2
    return D * second - np.diag(3 * u[1:-1] ** 2 - 1)


def flow_of(u):
    """Return D u'' - (u^3 - u) between the ends."""
    h = 2.0 / (len(u) - 1)
    return D * (u[2:] - 2 * u[1:-1] + u[:-2]) / h**2 - (u[1:-1] ** 3 - u[1:-1])


@pytest.mark.cases_backend("jax")
@pytest.mark.slow_backend("jax")
def test_where_newtons_method_fails(lib):
    """The uptake grows with u, so that there is one solution; Newton's method finds it from 0."""
    problem, guess = tissue(lib.asarray)
    if not lib.is_jax:  # which compiles for long
        lost = lib.solve(problem, guess, method="newton", on_failure="return")
        assert int(lost.status) == int(ds.Status.MAX_STEPS)
    sol = lib.solve(problem, guess, method=ds.Newton(step=ds.PseudoTransient()))
    assert int(sol.stats.steps) < 30
    expected = ds.solve(tissue(same)[0], method="newton").y
    np.testing.assert_allclose(lib.to_numpy(sol.y), expected, rtol=0, atol=1e-12)


@given(dt=st.floats(1e-3, 1e3), seed=st.integers(0, 99))
def test_a_step_is_one_of_backward_euler(dt, seed):
    """delta / dt = F(u) + F'(u) delta, as it is tried first: with no more than 0.8 of F missed, or less dt."""
    u = np.tanh(S / np.sqrt(2 * D)) + 0.2 * np.random.default_rng(seed).normal(size=N)
    u[0], u[-1] = -1.0, 1.0
    system = system_of(phases(same), registry["d2dx2.blocktridiagonal"], u[:, None])
    step = ds.PseudoTransient(dt)
    options = Options(step=step)
    delta = (advance(system, start_at(system, u[:, None], options), options).y - u[:, None])[:, 0]
    for tried in dt * step.factor ** -np.arange(step.tries):
        A = np.eye(N - 2) / tried - flow_matrix(u)
        expected = np.linalg.solve(A, flow_of(u))
        missed = flow_of(np.concatenate([[-1.0], u[1:-1] + expected, [1.0]])) - expected / tried
        if np.linalg.norm(missed) <= 0.8 * np.linalg.norm(flow_of(u)):
            break
    bound = 64 * EPS * np.linalg.cond(A) * np.abs(expected).max() + 4 * EPS * np.abs(u).max()
    np.testing.assert_allclose(delta[1:-1], expected, rtol=0, atol=bound)
    assert delta[0] == delta[-1] == 0


def test_the_sign_of_the_equation_does_not_matter():
    """-a u'' = -f is the same flow: the same steps to the same u."""
    made = (tissue(same, sign) for sign in (1.0, -1.0))
    sols = [ds.solve(problem, guess, method=ds.Newton(step=ds.PseudoTransient())) for problem, guess in made]
    np.testing.assert_array_equal(sols[0].y, sols[1].y)
    assert sols[0].stats.steps == sols[1].stats.steps


def test_it_goes_where_the_flow_goes():
    """From u = 0.1 in a box the flow goes to 1, from -0.1 to -1; u = 0 is steady too, and near."""
    slopes = {"left": ds.Neumann(), "right": ds.Neumann()}
    problem = ds.Elliptic1D(lambda u, u_s, x, p: u**3 - u, S, 1.0, **slopes)
    for sign in (1.0, -1.0):
        guess = np.full((N, 1), 0.1 * sign)
        assert np.abs(ds.solve(problem, guess, method="newton", on_failure="return").y).max() < 1e-6
        sol = ds.solve(problem, guess, method=ds.Newton(step=ds.PseudoTransient()))
        np.testing.assert_allclose(sol.y, sign, rtol=1e-12)


def test_a_ring_and_two_components():
    """The Brusselator without patterns: u = a, v = b / a is stable for b < 1 + a^2 where both diffuse alike."""
    a, b = 1.0, 1.7

    def brusselator(w, w_s, x, p):
        u, v = w[..., :1], w[..., 1:]
        return -np.concatenate([a - (b + 1) * u + u * u * v, b * u - u * u * v], axis=-1)

    ring = {"left": ds.Periodic(), "right": ds.Periodic()}
    problem = ds.Elliptic1D(brusselator, S, np.array([1e-2, 1e-2]), **ring)
    guess = np.stack([1 + 4 * np.sin(3 * np.pi * S), 1 + 4 * np.cos(2 * np.pi * S)], axis=-1)
    guess[-1] = guess[0]
    sol = ds.solve(problem, guess, method=ds.Newton(step=ds.PseudoTransient()))
    np.testing.assert_allclose(sol.y, np.broadcast_to([a, b / a], sol.y.shape), rtol=1e-11)


RING = {"left": ds.Periodic(), "right": ds.Periodic()}
OPEN = {"left": ds.Neumann(), "right": ds.Robin(1.0, 0.5, 0.2)}


@pytest.mark.parametrize("cells", [False, True], ids=["points", "cells"])
@pytest.mark.parametrize("ends", [RING, OPEN], ids=["ring", "slopes"])
def test_every_kind_of_line(ends, cells):
    """Two coefficients at once; on a ring of points the last row is that of an image."""
    s, a = np.linspace(0.0, 1.0, 33), np.array([0.01, 0.02])[:, None, None]

    def f(u, u_s, x, p):
        return uptake(u, u_s, {"source": 0.8 * np.cos(2 * np.pi * x["s"])}, p)

    problem = ds.BoundaryValueProblem(f, s, a=a, cells=cells, **ends)
    guess = 5 * np.cos(2 * np.pi * np.linspace(0.0, 1.0, 33 - cells))[:, None] + 1
    sol = ds.solve(problem, guess, method=ds.Newton(step=ds.PseudoTransient()))
    assert np.all(sol.stats.steps < 30)
    np.testing.assert_allclose(sol.y, ds.solve(problem, 0 * guess, method="newton").y, rtol=0, atol=1e-12)


@pytest.mark.skip_backend("jax", reason="compiles for long, and runs the same operations")
def test_a_plate(lib):
    s = np.linspace(0.0, 1.0, 9)
    sides = {k: ds.Dirichlet() for k in ("left", "right", "bottom", "top")}
    x = {"source": lib.asarray((0.8 * np.cos(2 * np.pi * s)[:, None] * np.cos(np.pi * s))[..., None])}

    def f(u, u_s, u_r, x, p):
        return uptake(u, None, x, p)

    problem = ds.Elliptic2D(f, (lib.asarray(s), lib.asarray(s)), 0.005, x=x, **sides)
    guess = lib.asarray((5 * np.sin(np.pi * s)[:, None] * np.sin(np.pi * s))[..., None])
    lost = lib.solve(problem, guess, method=ds.Newton(max_steps=30), on_failure="return")
    assert int(lost.status) != 0
    sol = lib.solve(problem, guess, method=ds.Newton(step=ds.PseudoTransient(), max_steps=30))
    near = lib.solve(problem, 0 * guess, method="newton")
    np.testing.assert_allclose(lib.to_numpy(sol.y), lib.to_numpy(near.y), rtol=0, atol=1e-12)


@pytest.mark.skip_backend("jax", reason="compiles for long, and runs the same operations")
def test_elements_do_not_see_each_other(lib):
    problem, guess = tissue(lib.asarray)
    method, many = ds.Newton(step=ds.PseudoTransient(1.0)), lib.asarray([[[1.0]], [[0.0]], [[-8.0]]]) * guess
    both = lib.solve(problem, many, method=method)
    steps = lib.to_numpy(both.stats.steps)
    assert len(set(steps)) > 1
    for k in range(3):
        one = lib.solve(problem, many[k, ...], method=method)
        assert int(one.stats.steps) == steps[k]
        np.testing.assert_allclose(lib.to_numpy(both.y)[k], lib.to_numpy(one.y), rtol=0, atol=1e-12)


@pytest.mark.filterwarnings("ignore::deersolve.DiscretisationWarning")  # of a coarse grid, and rightly
@given(
    D=st.sampled_from([1e-3, 1e-1, 1.0]), c=st.floats(-4, 4), b=st.floats(-3, 3), dt=st.sampled_from([1e-3, 1.0, 1e3]),
    structure=st.sampled_from(["dense", "diagonal", "zero"]), seed=st.integers(0, 999),
)  # fmt: skip
def test_converged_means_that_every_row_is_satisfied(D, c, b, dt, structure, seed):
    """Equations with steady states, without, and with many; every choice of G."""
    s, guess = np.linspace(0.0, 1.0, 31), np.random.default_rng(seed).normal(size=(2, 31, 1))
    ends = {"left": ds.Dirichlet(np.array([[0.5], [1.0]])), "right": ds.Dirichlet(0.0)}
    problem = ds.Elliptic1D(lambda u, u_s, x, p: c * np.exp(-u * u) + b * u * u_s - u, s, D, **ends)
    method = ds.Newton(step=ds.PseudoTransient(dt), structure=structure, max_steps=40)
    sol = ds.solve(problem, guess, method=method, on_failure="return")
    for u in sol.y[np.asarray(sol.converged), :, 0]:
        h, middle = s[1] - s[0], u[1:-1]
        slope = (u[2:] - u[:-2]) / (2 * h)
        row = D * (u[2:] - 2 * middle + u[:-2]) / h**2 - c * np.exp(-(middle**2)) - b * middle * slope + middle
        size = (4 * D / h**2 + abs(b) * 2 * np.abs(u).max() / h + 4 * abs(c) + 2) * np.abs(u).max() + abs(c)
        assert np.abs(row).max() <= EPS ** (2 / 3) * size * (1 + h * h / D * (abs(b) / h + abs(c) + 1))


WRONG = {
    "dt": (lambda: ds.PseudoTransient(0.0), "dt as a finite number > 0"),
    "infinite dt": (lambda: ds.PseudoTransient(float("inf")), "dt"),
    "tries": (lambda: ds.PseudoTransient(tries=0), "tries"),
}


@pytest.mark.parametrize("name", WRONG)
def test_options_out_of_range(name):
    make, message = WRONG[name]
    with pytest.raises(ds.InputError, match=message):
        make()


def test_an_equation_in_time_has_no_steady_state():
    method = ds.Newton(step=ds.PseudoTransient())
    decay = ds.InitialValueProblem(lambda y, t, p: -y, np.linspace(0.0, 1.0, 11), np.ones(1))
    steps = ds.Recurrence(lambda y, x, p: 0.5 * y, np.ones(1), n_points=5)
    heat = ds.Evolution1D(lambda u, u_s, x, p: -u, np.linspace(0.0, 0.1, 3), S, NOISE, **WALL)
    for problem in (decay, steps, heat):
        with pytest.raises(ds.InputError, match="an equation in space alone"):
            ds.solve(problem, method=method)


def test_what_the_statistics_say():
    method = ds.Newton(step=ds.PseudoTransient(0.5))
    problem, guess = tissue(same)
    sol = ds.solve(problem, guess, method=method)
    assert sol.stats.method == "newton(step=PseudoTransient(dt=0.5, tries=10))"
    assert dataclasses.replace(ds.PseudoTransient(0.5)) == ds.PseudoTransient(0.5)
