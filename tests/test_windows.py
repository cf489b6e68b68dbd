"""Equations on which Newton's method overflows or wanders over the whole horizon, solved all the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import deersolve as ds
from tests.references import gru, gru_weights, loop, lorenz, lotka_volterra, on

EPS = np.finfo(np.float64).eps


def logistic(y, x, r):
    return r * y * (1.0 - y)


def off_by(f, y0, x, params, y):
    """Return by how much a trajectory misses its own next step, relative to |f|, |f'| |y| and |y| up to constants."""
    before = np.concatenate([y0[..., None, :], y[..., :-1, :]], axis=-2)
    after = f(before, x, params)
    return np.max(np.abs(after - y) / (np.abs(after) + np.abs(y) + np.abs(before)))


@pytest.mark.parametrize("method", ["auto", ds.Newton(window=10_000)], ids=str)
@pytest.mark.parametrize("r", [2.8, 3.5, 4.0])
@pytest.mark.cases_backend("jax")
def test_the_logistic_map(lib, method, r):
    y0 = np.array([0.3])
    sol = lib.solve(ds.Recurrence(logistic, lib.asarray(y0), params=r, n_points=3000), method=method)
    assert bool(sol.converged)
    # The certificate weighs y by the slope of f, at most r, where off_by weighs it by 1.
    assert off_by(logistic, y0, None, r, lib.to_numpy(sol.y)) <= 16 * max(r, 1.0) * EPS


@pytest.mark.parametrize("scale", [1.0, 2.0, 4.0, 8.0])
@pytest.mark.deep_backend("strict")
@pytest.mark.cases_backend("torch")
def test_a_gru_with_large_weights(lib, scale):
    if lib.is_jax and scale in (2.0, 4.0):
        pytest.skip("1 and 8 are enough to compile")
    rng = np.random.default_rng(0)
    weights = gru_weights(4, scale=scale * 2)
    x, y0 = rng.normal(size=(2, 1500, 4)), np.zeros((2, 4))
    sol = lib.solve(ds.Recurrence(gru, lib.asarray(y0), lib.asarray(x), on(lib, weights)), method="auto")
    y = lib.to_numpy(sol.y)
    assert bool(ds.array_namespace(sol.y).all(sol.converged))
    assert off_by(gru, y0, x, weights, y) <= 128 * EPS  # about 60 operations in a step
    if scale == 1.0:
        np.testing.assert_allclose(y, loop(gru, y0[:, None], x, weights), rtol=0, atol=1e-12)


@pytest.mark.filterwarnings("ignore::deersolve.DiscretisationWarning")
@pytest.mark.parametrize(("f", "T", "y0"), [(lotka_volterra, 12, [1.0, 1.0]), (lorenz, 5, [1.0, 1.0, 1.0])])
@pytest.mark.deep_backend("strict")
@pytest.mark.cases_backend("torch")
def test_an_oscillator_over_many_periods(lib, f, T, y0):
    t = np.linspace(0.0, T, 100 * T + 1)
    problem = ds.InitialValueProblem(f, lib.asarray(t), lib.asarray(y0))
    sol, reference = lib.solve(problem, method="auto"), lib.solve(problem, method=ds.Newton(window=20))
    assert bool(sol.converged)
    growth = 1e3 if f is lotka_volterra else np.exp(0.9 * T) * 1e3  # the largest Lyapunov exponent is 0.9
    apart = np.max(np.abs(lib.to_numpy(sol.y - reference.y)))
    assert apart <= growth * EPS * np.max(np.abs(lib.to_numpy(sol.y)))


@pytest.mark.skip_backend("jax", reason="a compiled f is traced: its calls say nothing")
@pytest.mark.deep_backend("strict")
def test_work_is_bounded_where_newton_is_hopeless(lib):
    """The logistic map at r = 4 doubles errors each step; windows that fail must cost a few evaluations per point."""
    points = [0]

    def f(y, x, r):
        points[0] += y.shape[-2]
        return logistic(y, x, r)

    problem = ds.Recurrence(f, lib.asarray([0.3]), params=4.0, n_points=20_000)
    sol = lib.solve(problem, method=ds.Newton(window=20_000), check_inputs=False)
    assert bool(sol.converged)
    assert points[0] < 10 * 20_000


def test_one_exploding_element_touches_no_other(lib):
    r, y0 = np.array([2.5, 3.9, 6.0, 4.0])[:, None, None], np.full((4, 1), 0.3)

    def f(y, x, params):
        return logistic(y, x, x)

    problem = ds.Recurrence(f, lib.asarray(y0), lib.asarray(r), n_points=2000)
    sol = lib.solve(problem, method=ds.Newton(window=2000), on_failure="return")
    assert lib.to_numpy(sol.status).tolist() == [0, 0, int(ds.Status.NONFINITE), 0]
    y = lib.to_numpy(sol.y)
    for k in (0, 1, 3):
        assert off_by(f, y0[k], r[k], None, y[k]) <= 16 * r[k].item() * EPS  # as above: by the slope of f
    good = loop(logistic, y0[2, None], None, 6.0, n_points=4)
    np.testing.assert_allclose(y[2, :4], good, rtol=1e-12)  # what came before is kept


@pytest.mark.filterwarnings("ignore::deersolve.DiscretisationWarning")
def test_another_root_of_the_implicit_rule_is_not_taken(lib):
    """Rates of a line search: the first window that Newton's method solved ended in a root of -714 lynxes."""
    rates = lib.asarray(np.exp([-0.6816, -3.6164, -0.1226, -3.6374]))

    def f(y, t, p):
        u, v = y[..., 0], y[..., 1]
        return ds.array_namespace(y).stack([(p[0] - p[1] * v) * u, (-p[2] + p[3] * u) * v], axis=-1)

    t = lib.asarray(np.linspace(0.0, 20.0, 201))
    sol = lib.solve(ds.InitialValueProblem(f, t, lib.asarray(np.exp([3.5043, 1.5295])), params=rates))
    assert bool(sol.converged)
    assert np.all(lib.to_numpy(sol.y) > 0)


def test_a_guess_serves_in_windows(lib):
    t = np.linspace(0.0, 10.0, 601)
    problem = ds.InitialValueProblem(lotka_volterra, lib.asarray(t), lib.asarray([1.0, 1.0]))
    sol = lib.solve(problem, method=ds.Newton(window=20))
    again = lib.solve(problem, sol.y, method=ds.Newton(window=20))
    assert int(again.stats.steps) <= 1 < int(sol.stats.steps)


def steep(y, x, params):
    a, b, c = params
    return a * ds.array_namespace(y).tanh(b * y) + c * y * y + x


@given(
    a=st.floats(-4, 4), b=st.floats(-8, 8), c=st.sampled_from([0.0, 0.0, 0.01, 0.3]),
    T=st.integers(1, 900), window=st.sampled_from([7, 100, 900]), seed=st.integers(0, 999),
)  # fmt: skip
def test_converged_means_that_every_step_is_satisfied(a, b, c, T, window, seed):
    """Stable, chaotic and exploding recurrences: NumPy, a batch of two."""
    rng = np.random.default_rng(seed)
    x, y0, params = rng.normal(size=(2, T, 1)), rng.normal(size=(2, 1)), (a, b, c)
    problem = ds.Recurrence(steep, y0, x, params)
    sol = ds.solve(problem, method=ds.Newton(window=window), on_failure="return")
    with np.errstate(all="ignore"):
        right = loop(steep, y0[:, None], x, params)
    for k in range(2):
        if np.all(np.isfinite(right[k])):
            assert sol.status[k] == 0
            assert off_by(steep, y0[k], x[k], params, sol.y[k]) <= 64 * EPS * (1 + abs(a) + abs(b))
        else:
            assert sol.status[k] == int(ds.Status.NONFINITE)
