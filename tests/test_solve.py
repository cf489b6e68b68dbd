"""The solver over all array libraries, against loops, closed forms and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

import deersolve as ds
from tests.references import (
    PENDULUM_20,
    gru,
    gru_weights,
    loop,
    lorenz,
    lotka_volterra,
    on,
    pendulum,
)

pytestmark = pytest.mark.transformed
METHODS = ["auto", "newton", "sequential", ds.Newton(window=37), ds.Newton(structure="diagonal")]
EPS = np.finfo(np.float64).eps


def contractive(a, b, x, params):
    xp = ds.array_namespace(a)
    return 0.5 * xp.tanh(a) - 0.3 * b + x


def once_is_enough(lib, method, is_new=True):
    """Skip what JAX compiles elsewhere: inside vmap two methods are tried."""
    if lib.is_jax and (not is_new or (lib.is_transformed and method not in ("auto", "newton"))):
        pytest.skip("nearly the same program, slow to compile")


@pytest.mark.parametrize("method", METHODS, ids=str)
@pytest.mark.cases_backend("jax")
@pytest.mark.cases_backend("jax:vmap")
def test_gru_equals_the_loop(lib, method):
    once_is_enough(lib, method)
    rng = np.random.default_rng(1)
    x, y0, weights = rng.normal(size=(2, 120, 3)), np.zeros((2, 3)), gru_weights(3)
    expected = loop(gru, y0[:, None], x, weights)
    sol = lib.solve(ds.Recurrence(gru, lib.asarray(y0), lib.asarray(x), on(lib, weights)), method=method)
    assert bool(ds.array_namespace(sol.y).all(sol.converged))
    np.testing.assert_allclose(lib.to_numpy(sol.y), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("method", METHODS, ids=str)
@pytest.mark.parametrize("lags", [(1, 3), (3, 1), (2, 5), (1, 200)], ids=str)
@pytest.mark.cases_backend("jax")
@pytest.mark.cases_backend("jax:vmap")
def test_two_lags(lib, method, lags):
    once_is_enough(lib, method, lags in ((1, 3), (1, 200)))
    rng = np.random.default_rng(2)
    x, y0 = rng.normal(size=(90, 2)), rng.normal(size=(max(lags), 2))
    expected = loop(contractive, y0, x, None, lags)
    problem = ds.Recurrence(contractive, lib.asarray(y0), lib.asarray(x), lags=lags)
    sol = lib.solve(problem, method=method)
    np.testing.assert_allclose(lib.to_numpy(sol.y), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("T", [1, 2, 3, 7])
@pytest.mark.cases_backend("jax")
@pytest.mark.cases_backend("jax:vmap")
def test_fewer_points_than_history(lib, T):
    rng = np.random.default_rng(3)
    y0, x = rng.normal(size=(4, 5, 2)), rng.normal(size=(4, T, 2))

    def f(a, x, params):
        return 0.5 * ds.array_namespace(a).sin(a) + x

    sol = lib.solve(ds.Recurrence(f, lib.asarray(y0), lib.asarray(x), lags=(5,)))
    expected = loop(f, y0, x, None, (5,))
    np.testing.assert_allclose(lib.to_numpy(sol.y), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("method", METHODS, ids=str)
@pytest.mark.cases_backend("jax")
@pytest.mark.cases_backend("jax:vmap", "-newton")
@pytest.mark.slow_backend("jax:vmap")
def test_pendulum_on_a_non_uniform_grid(lib, method):
    once_is_enough(lib, method)
    t = 3.0 * np.linspace(0.0, 1.0, 101) ** 1.5
    exact = solve_ivp(lambda t, y: [y[1], -np.sin(y[0])], (0, 3), [2.0, 0.0], "DOP853", t, rtol=1e-12, atol=1e-12).y.T
    sol = lib.solve(ds.InitialValueProblem(pendulum, lib.asarray(t), lib.asarray([2.0, 0.0])), method=method)
    error = np.abs(lib.to_numpy(sol.y) - exact).max()
    assert error < 1e-3
    assert np.abs(lib.to_numpy(sol.y_corrected) - exact).max() < error / 50
    y = lib.to_numpy(sol.y)
    mean = (lib.to_numpy(pendulum(sol.y, None, None))[1:] + lib.to_numpy(pendulum(sol.y, None, None))[:-1]) / 2
    np.testing.assert_allclose(y[1:] - y[:-1], np.diff(t)[:, None] * mean, rtol=0, atol=16 * EPS)


def test_backends_agree_to_1e_12(lib):
    t = np.linspace(0.0, 2.0, 60)

    def decay(y, t, k):
        return -k * y * y + ds.array_namespace(y).sin(t)

    ours = lib.solve(ds.InitialValueProblem(decay, lib.asarray(t), lib.asarray([1.0, 2.0]), params=0.7))
    reference = ds.solve(ds.InitialValueProblem(decay, t, np.array([1.0, 2.0]), params=0.7))
    np.testing.assert_allclose(lib.to_numpy(ours.y), reference.y, rtol=1e-12)


@pytest.mark.parametrize(("n_points", "bound"), [(1000, 3.3e-4), (10_000, 3.3e-6)])
def test_pendulum_accuracy_from_the_default_guess(n_points, bound):
    """Scaled error of the trapezoid: second order; measured by SciPy's DOP853 at 1e-13."""
    t = np.linspace(0.0, 20.0, n_points + 1)
    exact = solve_ivp(lambda t, y: [y[1], -np.sin(y[0])], (0, 20), [2.0, 0.0], "DOP853", t, rtol=1e-13, atol=1e-13).y.T
    np.testing.assert_allclose(exact[-1], PENDULUM_20, atol=1e-10)
    sol = ds.solve(ds.InitialValueProblem(pendulum, t, np.array([2.0, 0.0])), method="newton")
    error = np.abs(sol.y - exact).max(0)
    assert (error / np.abs(exact).max(0)).max() <= bound
    if n_points == 1000:
        assert np.abs(sol.y_corrected - exact).max() <= 2e-6


@pytest.mark.parametrize("n_points", [300, 1000, 3000, 10_000])
@pytest.mark.parametrize(
    ("f", "y0", "T"),
    [(lotka_volterra, [1.0, 1.0], 10.0), (pendulum, [2.0, 0.0], 20.0), (lorenz, [1.0, 1.0, 1.0], 2.0)],
    ids=["lotka-volterra", "pendulum", "lorenz"],
)
@pytest.mark.filterwarnings("ignore::deersolve.DiscretisationWarning")
@pytest.mark.deep_but("-300", "-10000")
def test_discretisation_estimate_within_1_5_of_the_truth(f, y0, T, n_points):
    t = np.linspace(0.0, T, n_points + 1)
    exact = solve_ivp(lambda t, y: f(y, t, None), (0, T), y0, "DOP853", t, rtol=1e-13, atol=1e-13).y.T
    sol = ds.solve(ds.InitialValueProblem(f, t, np.array(y0)))
    truth = (np.abs(sol.y - exact).max(0) / np.abs(sol.y).max(0)).max()
    assert truth > 1e3 * EPS
    assert 1 / 1.5 <= float(sol.stats.discretisation_error) / truth <= 1.5


@pytest.mark.slow
def test_gru_32_float32_and_float64():
    n, T = 32, 10_000
    weights = gru_weights(n)
    x = np.random.default_rng(5).normal(size=(T, n))
    y0 = np.zeros((1, n))
    for dtype, bound in ((np.float32, 4e-7), (np.float64, 1e-13)):
        w = tuple(a.astype(dtype) for a in weights)
        expected = loop(gru, y0.astype(dtype), x.astype(dtype), w)
        problem = ds.Recurrence(gru, y0[0].astype(dtype), x.astype(dtype), w)
        sol = ds.solve(problem, method="newton")
        assert sol.y.dtype == dtype
        assert np.abs(sol.y - expected).max() <= bound
        assert int(sol.stats.steps) <= 6


def test_batch_equals_singles():
    """Step by step, of an f without matrix products, which may round one row differently from many."""
    n, B = 3, 16
    rng = np.random.default_rng(6)
    x, y0, W = rng.normal(size=(B, 200, n)), rng.normal(size=(B, n)), 0.6 * rng.normal(size=(n, n))

    def cell(y, x, W):
        return np.tanh(np.sum(W * y[..., None, :], axis=-1) + x)

    batch = ds.solve(ds.Recurrence(cell, y0, x, W), method="newton")
    for b in range(B):
        one = ds.solve(ds.Recurrence(cell, y0[b], x[b], W), method="newton")
        assert int(one.stats.steps) == int(batch.stats.steps[b])
        assert int(one.status) == int(batch.status[b])
        np.testing.assert_allclose(batch.y[b], one.y, rtol=0, atol=4 * EPS)


@pytest.mark.cases_backend("jax")
def test_one_bad_element_leaves_the_others_bitwise_alone(lib):
    """Element 1 needs many more steps, element 2 overflows; the others do not notice."""

    def f(y, x, params):
        return x[..., :1] * ds.array_namespace(y).tanh(y) + x[..., 1:2]

    x = np.random.default_rng(7).normal(size=(4, 60, 2))
    x[:, :, 0] = np.array([0.5, 3.0, 0.5, 0.9])[:, None]
    y0 = lib.asarray([[0.3]] * 4)
    good = lib.solve(ds.Recurrence(f, y0, lib.asarray(x)), method="newton", on_failure="return")
    x[2, 30, 1] = np.nan
    bad = lib.solve(ds.Recurrence(f, y0, lib.asarray(x)), method="newton", on_failure="return")
    status = lib.to_numpy(bad.status)
    assert status[2] != 0
    assert status[[0, 1, 3]].tolist() == [0, 0, 0]
    keep = [0, 1, 3]
    np.testing.assert_array_equal(lib.to_numpy(bad.y)[keep], lib.to_numpy(good.y)[keep])
    np.testing.assert_array_equal(lib.to_numpy(bad.stats.steps)[keep], lib.to_numpy(good.stats.steps)[keep])
    assert np.isfinite(lib.to_numpy(bad.y)[keep]).all()


@given(n=st.integers(1, 4), T=st.integers(1, 40), seed=st.integers(0, 2**31), gain=st.floats(0.1, 0.95))
def test_any_contractive_recurrence_equals_its_loop(n, T, seed, gain):
    rng = np.random.default_rng(seed)
    W = rng.normal(size=(n, n))
    W *= gain / np.linalg.norm(W, 2)
    x, y0 = rng.normal(size=(T, n)), rng.normal(size=n)

    def f(y, x, W):
        return np.tanh(y @ W + x)

    sol = ds.solve(ds.Recurrence(f, y0, x, W), method="newton")
    kappa = 1 / (1 - gain)
    np.testing.assert_allclose(sol.y, loop(f, y0[None], x, W), rtol=0, atol=32 * kappa * EPS)


def test_first_points_are_exact_after_as_many_steps():
    """After k Newton steps the first k points are right, whatever happens later (ELK, proposition 1)."""

    def f(y, x, params):
        return np.cos(2.0 * y)

    expected = loop(f, np.array([[0.3]]), None, None, n_points=10)
    for k in (1, 2, 3, 5, 8):
        sol = ds.solve(
            ds.Recurrence(f, np.array([0.3]), n_points=10), method=ds.Newton(max_steps=k), on_failure="return"
        )
        np.testing.assert_allclose(sol.y[:k], expected[:k], rtol=0, atol=8 * 2**k * EPS)


@pytest.mark.cases_backend("jax")
def test_float64_grid_beside_float32_state(lib):
    t = 1000.0 + np.linspace(0.0, 1.0, 2001)
    y0 = lib.asarray([1.0], "float32")
    sol = lib.solve(ds.InitialValueProblem(lambda y, t, k: -y, lib.asarray(t), y0, params=None), method="newton")
    assert str(sol.y.dtype).endswith("float32")
    np.testing.assert_allclose(lib.to_numpy(sol.y)[:, 0], np.exp(-(t - 1000.0)), rtol=0, atol=2001 * 6e-8)


def test_numpy_times_beside_a_jax_state():
    jnp = pytest.importorskip("jax.numpy")
    t = np.linspace(0.0, 1.0, 101)
    sol = ds.solve(ds.InitialValueProblem(lambda y, t, p: -y, t, jnp.asarray([1.0])))
    np.testing.assert_allclose(np.asarray(sol.y)[:, 0], np.exp(-t), atol=1e-5)


def test_descending_times(lib):
    t = np.linspace(1.0, 0.0, 201)
    sol = lib.solve(ds.InitialValueProblem(lambda y, t, p: -y, lib.asarray(t), lib.asarray([np.exp(-1.0)])))
    np.testing.assert_allclose(lib.to_numpy(sol.y)[:, 0], np.exp(-t), atol=1e-5)


def test_initial_value_is_kept_exactly(lib):
    t = lib.asarray(np.linspace(0.0, 1.0, 31))
    sol = lib.solve(ds.InitialValueProblem(lambda y, t, p: -y, t, lib.asarray([0.1, 0.7])))
    assert lib.to_numpy(sol.y)[0].tolist() == [0.1, 0.7]


def test_batched_times_and_inputs_of_different_rank(lib):
    t = np.linspace(0.0, 1.0, 51) * np.array([[1.0], [2.0], [3.0]])
    rate = np.array([0.5, 1.0, 2.0])[:, None, None]
    problem = ds.InitialValueProblem(
        lambda y, x, p: -x["k"] * y, lib.asarray(t), lib.asarray([1.0]), x={"k": lib.asarray(rate)}
    )
    sol = lib.solve(problem)
    np.testing.assert_allclose(lib.to_numpy(sol.y)[..., 0], np.exp(-rate[..., 0] * t), atol=2e-3)


def test_warm_start_takes_fewer_steps(lib):
    x, weights = np.random.default_rng(8).normal(size=(100, 3)), gru_weights(3)
    problem = ds.Recurrence(gru, lib.asarray(np.zeros(3)), lib.asarray(x), on(lib, weights))
    cold = lib.solve(problem, method="newton")
    warm = lib.solve(problem, cold.y, method="newton")
    assert int(warm.stats.steps) == 0 < int(cold.stats.steps)


@pytest.mark.filterwarnings("ignore::deersolve.DiscretisationWarning")
def test_stiff_on_a_coarse_grid():
    """y' = -1e6 (y - cos t) from y0 = 2: backward Euler and the exponential are right, the trapezoid bounded."""
    t = np.linspace(0.0, 3.0, 31)

    def f(y, t, params):
        return -1e6 * (y - np.cos(t))

    for rule in ("backward_euler", "exponential"):
        sol = ds.solve(ds.InitialValueProblem(f, t, np.array([2.0])), inverse=rule, method="newton")
        offset = (
            0.1 if rule == "exponential" else 1.1e-5
        )  # 1 / (1 + 1e6 D) of the jump at 0; the exponential averages cos t over an interval
        assert np.abs(sol.y[1:, 0] - np.cos(t[1:])).max() <= offset
    sol = ds.solve(ds.InitialValueProblem(f, t, np.array([2.0])), inverse="trapezoid", method="newton")
    assert np.abs(sol.y).max() <= 2.1


@pytest.mark.cases_backend("jax")
@pytest.mark.cases_backend("jax:vmap")
def test_own_rule_and_shifter_on_every_backend(lib):
    """Poisson's equation on a ring, u_i - (u_{i-1} + u_{i+1}) / 4 = f(u): a rule by a dense solve."""
    N = 12
    ring = np.eye(N) - 0.25 * (np.roll(np.eye(N), 1, 0) + np.roll(np.eye(N), -1, 0))
    L, eye = lib.asarray(ring), lib.asarray(np.eye(N))

    def inverse(Gs, rhs):
        xp = ds.array_namespace(rhs)
        return xp.linalg.solve(L + eye * Gs[0].diagonal(), rhs)

    def f(u, x, params):
        return 0.3 * ds.array_namespace(u).cos(u) + x

    x = np.linspace(0.0, 1.0, N)[:, None]
    problem = ds.Problem(f, shift=ds.identity, inverse=inverse, x=lib.asarray(x))
    sol = lib.solve(problem, lib.asarray(np.zeros((N, 1))))
    u = lib.to_numpy(sol.y)
    np.testing.assert_allclose(ring @ u, 0.3 * np.cos(u) + x, rtol=0, atol=16 * EPS)


def test_analytic_jacobian_dense_and_diagonal(lib):
    def f(y, x, params):
        return 0.5 * ds.array_namespace(y).sin(y) + x

    x = np.random.default_rng(9).normal(size=(50, 3))

    def slope(y, x, params):
        return 0.5 * ds.array_namespace(y).cos(y)

    def full(y, x, params):
        return slope(y, x, params)[..., None] * lib.asarray(np.eye(3)[None])

    expected = loop(f, np.zeros((1, 3)), x, None)
    for jac in (slope, full):
        sol = lib.solve(ds.Recurrence(f, lib.asarray(np.zeros(3)), lib.asarray(x), jac=jac), method="newton")
        assert sol.stats.derivative == "analytic"
        np.testing.assert_allclose(lib.to_numpy(sol.y), expected, rtol=0, atol=1e-14)


def test_repr_says_what_one_wants_to_know():
    sol = ds.solve(ds.InitialValueProblem(pendulum, np.linspace(0, 2, 41), np.array([1.0, 0.0])))
    text = repr(sol)
    for word in ("CONVERGED", "ddt.trapezoid", "discretisation error", "steps"):
        assert word in text
