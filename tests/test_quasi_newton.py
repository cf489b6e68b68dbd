"""Choices of A: the same y, the first k points after k steps, no Jacobian where none is needed, exact gradients."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import deersolve as ds
from deersolve.backends import backend_of
from deersolve.backends.dual import DualArray
from deersolve.inverses import registry
from deersolve.linalg.structure import Diagonal, Zero
from deersolve.newton.iterate import Options, start_at
from deersolve.newton.iteration import iterate
from deersolve.testing.systems import system_of
from tests.references import gru, gru_weights, loop, on, pendulum

EPS = np.finfo(np.float64).eps
CHOICES = ["dense", "diagonal", "zero", "picard", "hutchinson", ds.Hutchinson(seed=5), ds.BlockDiagonal.of_size(2)]
CHEAP = ["zero", "picard", "hutchinson"]


def chosen(structure):
    """Return what a name stands for."""
    return ds.Newton(structure=structure).structure


@pytest.mark.transformed
@pytest.mark.parametrize("structure", CHOICES, ids=str)
@pytest.mark.cases_backend("jax", "picard")
def test_y_does_not_depend_on_the_choice(lib, structure):
    if lib.is_transformed and structure not in CHEAP:
        pytest.skip("in the table of gradients")
    rng = np.random.default_rng(3)
    weights, x, y0 = gru_weights(2, scale=0.7), rng.normal(size=(2, 40, 2)), np.zeros((2, 2))
    problem = ds.Recurrence(gru, lib.asarray(y0), lib.asarray(x), on(lib, weights))
    sol = lib.solve(problem, method=ds.Newton(structure=structure))
    np.testing.assert_allclose(lib.to_numpy(sol.y), loop(gru, y0[:, None], x, weights), rtol=0, atol=64 * EPS)
    assert sol.stats.method == ("newton" if structure == "dense" else f"newton(structure={chosen(structure).name})")


def two_lags(a, b, x, params):
    xp = ds.array_namespace(a)
    return xp.tanh(0.5 * a - 0.4 * b + 0.2 * xp.flip(a, axis=-1) + x)


@pytest.mark.parametrize("structure", ["zero", "hutchinson"])
def test_several_lags(lib, structure):
    x, y0 = np.random.default_rng(3).normal(size=(40, 2)), np.zeros((3, 2))
    problem = ds.Recurrence(two_lags, lib.asarray(y0), lib.asarray(x), lags=(1, 3))
    sol = lib.solve(problem, method=ds.Newton(structure=structure))
    np.testing.assert_allclose(lib.to_numpy(sol.y), loop(two_lags, y0, x, None, lags=(1, 3)), rtol=0, atol=64 * EPS)


@pytest.mark.filterwarnings("ignore::deersolve.DiscretisationWarning")
@pytest.mark.parametrize("structure", ["zero", "hutchinson"])
def test_a_differential_equation(lib, structure):
    """Of which ``Zero`` is Picard's iteration."""
    W = np.array([[-0.5, 0.3], [-0.2, -0.4]])

    def f(y, t, p):
        return ds.array_namespace(y).tanh(y @ lib.asarray(W)) + ds.array_namespace(y).cos(t)

    problem = ds.InitialValueProblem(f, lib.asarray(np.linspace(0.0, 3.0, 31)), lib.asarray([1.0, -1.0]))
    sol, dense = (lib.solve(problem, method=ds.Newton(structure=s)) for s in (structure, "dense"))
    np.testing.assert_allclose(lib.to_numpy(sol.y), lib.to_numpy(dense.y), rtol=0, atol=64 * EPS)


@given(
    structure=st.sampled_from(CHOICES), scale=st.sampled_from([0.5, 2.0, 8.0]), steps=st.integers(0, 12),
    y_guess=st.sampled_from([None, 0.3]), seed=st.integers(0, 999),
)  # fmt: skip
def test_after_k_steps_the_first_k_points_are_right(structure, scale, steps, y_guess, seed):
    """By induction over the points, whatever A is: what is right stays, and the next point is f of it."""
    rng, T, n = np.random.default_rng(seed), 16, 2
    weights, x, y0 = gru_weights(n, seed, scale), rng.normal(size=(T, n)), rng.normal(size=n)
    problem = ds.Recurrence(gru, y0, x, weights)
    guess = None if y_guess is None else np.full((T, n), y_guess)
    system = system_of(problem, registry["shift.scan"], guess)
    options = Options(max_steps=max(steps, 1), structure=chosen(structure), reuse=0)
    with system.backend.quiet():
        it = iterate(system, start_at(system, system.data.guess, options), options)
    count, right = int(it.steps), loop(gru, y0[None], x, weights)
    assert count <= max(steps, 1)
    growth = max(1.0, np.abs(system.linearise(right).Gs[0].values).sum(-1).max()) ** count
    np.testing.assert_allclose(it.y[:count], right[:count], rtol=0, atol=64 * EPS * growth)


@pytest.mark.parametrize("structure", CHEAP)
def test_at_most_T_steps(lib, structure):
    """A rotation by 1 in every step: the diagonal of J says little, and no choice contracts."""
    T, c, s = 24, np.cos(1.0), np.sin(1.0)
    turn = lib.asarray(np.array([[c, s], [-s, c]]))
    problem = ds.Recurrence(lambda y, x, p: y @ turn, lib.asarray([1.0, 0.0]), n_points=T)
    sol = lib.solve(problem, method=ds.Newton(structure=structure, reuse=0))
    angles = np.arange(1.0, T + 1)
    np.testing.assert_allclose(lib.to_numpy(sol.y), np.stack([np.cos(angles), np.sin(angles)], -1), atol=1e3 * EPS)
    assert 3 < int(sol.stats.steps) <= T + 1  # one dense step may be needed to certify


def directions_of(structure, jac=None):
    """Return in how many directions f was differentiated, for each evaluation, in the steps of one choice."""
    seen = []

    def f(y, x, p):
        seen.append(y.tangent.shape[0] if isinstance(y, DualArray) else 0)
        return gru(y, x, p)

    x = np.random.default_rng(0).normal(size=(20, 3))
    problem = ds.Recurrence(f, np.zeros(3), x, gru_weights(3, scale=0.5), jac=jac)
    system = system_of(problem, registry["shift.scan"])
    options = Options(structure=chosen(structure), reuse=0)
    it = iterate(system, start_at(system, system.data.guess, options), options)
    np.testing.assert_allclose(it.y, loop(gru, np.zeros((1, 3)), x, gru_weights(3, scale=0.5)), rtol=0, atol=64 * EPS)
    return set(seen)


def test_no_more_is_differentiated_than_needed():
    assert directions_of("dense") == {3}
    assert directions_of("zero") == directions_of("picard") == {0}
    assert directions_of("hutchinson") == {0, 1}


def test_the_estimate_is_a_random_sign_off_the_diagonal():
    """v (J v) of J = [[a, b], [c, d]] is (a + s b, d + s c) with s = v_1 v_2, either 1 or -1."""
    J = np.array([[0.5, 0.25], [-0.125, 0.75]])
    problem = ds.Recurrence(lambda y, x, p: y @ J.T, np.ones(2), n_points=5000)
    system = system_of(problem, registry["shift.scan"])
    one, again, other = (system.linearise(system.data.guess, ds.Hutchinson(seed)).Gs[0] for seed in (3, 3, 4))
    assert isinstance(one, Diagonal)
    assert {tuple(row) for row in (-one.values).tolist()} == {(0.75, 0.625), (0.25, 0.875)}
    np.testing.assert_array_equal(one.values, again.values)
    assert np.any(one.values != other.values)
    off = -one.values[:, 0] - 0.5  # of 5,000 signs the mean is within 5 standard deviations of 0
    assert abs(off.mean()) < 5 * 0.25 / np.sqrt(5000)


@pytest.mark.parametrize("seed", range(3))
def test_of_a_diagonal_jacobian_the_estimate_is_exact(lib, seed):
    x = np.random.default_rng(0).normal(size=(2, 9, 3))
    problem = ds.Recurrence(
        lambda y, x, p: ds.array_namespace(y).tanh(2.0 * y + x), lib.asarray(np.zeros((2, 3))), lib.asarray(x)
    )
    system = system_of(problem, registry["shift.scan"])
    y = lib.asarray(np.random.default_rng(1).normal(size=(2, 9, 3)))
    (found,), (full,) = (system.linearise(y, s).Gs for s in (ds.Hutchinson(seed), ds.Dense))
    np.testing.assert_allclose(lib.to_numpy(found.values), lib.to_numpy(full.diagonal()), rtol=8 * EPS)


def test_a_given_jacobian_serves_hutchinson():
    def jac(y, x, p):
        return np.broadcast_to(0.5 * np.ones(2), y.shape)

    problem = ds.Recurrence(lambda y, x, p: 0.5 * y + x, np.zeros(2), np.ones((9, 2)), jac=jac)
    sol = ds.solve(problem, method=ds.Newton(structure="hutchinson"))
    assert int(sol.stats.steps) == 1  # affine, and the diagonal is all there is
    np.testing.assert_allclose(sol.y[:, 0], 2 - 0.5 ** np.arange(9), rtol=4 * EPS)


@pytest.mark.cases_backend("jax")
def test_an_f_that_ignores_y(lib):
    problem = ds.Recurrence(
        lambda y, x, p: ds.array_namespace(x).cos(x), lib.asarray([0.0]), lib.asarray(np.ones((9, 1)))
    )
    for structure in CHEAP:
        sol = lib.solve(problem, method=ds.Newton(structure=structure))
        np.testing.assert_allclose(lib.to_numpy(sol.y), np.cos(np.ones((9, 1))), rtol=2 * EPS)


@pytest.mark.parametrize("structure", CHEAP)
@pytest.mark.cases_backend("jax")
def test_the_certificate_does_not_see_the_choice(lib, structure):
    """y_i = x_i in turns of 10^12 and 1: what A = I adds up leaves 10^-4 in the ones, which |A||y| would excuse."""
    x = np.where(np.arange(40) % 2, 1.0, 1e12 / 3)[:, None] * np.random.default_rng(0).uniform(1, 2, (40, 1))
    problem = ds.Recurrence(lambda y, x, p: x + 0.0 * y, lib.asarray([0.0]), lib.asarray(x))
    sol = lib.solve(problem, method=ds.Newton(structure=structure))
    np.testing.assert_allclose(lib.to_numpy(sol.y), x, rtol=32 * EPS)


@pytest.mark.parametrize("window", [None, 1])
@pytest.mark.parametrize("structure", ["diagonal", "zero", "hutchinson", ds.BlockDiagonal.of_size(1)], ids=str)
def test_another_root_of_an_implicit_rule_is_not_certified(lib, structure, window):
    """u' = v^2, v' = u^2 from 1, 1: u_1 = 1.05 + 0.05 u_1^2 has two roots. At the second, the guess, what tells them
    apart is off the diagonal.
    """
    problem = ds.InitialValueProblem(
        lambda y, t, p: ds.array_namespace(y).flip(y * y, axis=-1), lib.asarray([0.0, 0.1]), lib.asarray([1.0, 1.0])
    )
    first, second = ((1.0 - sign * np.sqrt(1.0 - 0.21)) / 0.1 for sign in (1, -1))
    method = ds.Newton(structure=structure, window=window)
    sol = lib.solve(problem, lib.asarray([[1.0, 1.0], [second, second]]), method=method, on_failure="return")
    assert int(sol.status) != 0 or np.abs(lib.to_numpy(sol.y)[1] - first).max() <= 16 * EPS


@pytest.mark.parametrize("structure", ["diagonal", "hutchinson", "zero"])
def test_windows_of_a_differential_equation(structure):
    t = np.linspace(0.0, 10.0, 401)
    problem = ds.InitialValueProblem(pendulum, t, np.array([2.0, 0.0]))
    sol = ds.solve(problem, method=ds.Newton(structure=structure, window=40))
    expected = ds.solve(problem, method="newton").y
    np.testing.assert_allclose(sol.y, expected, rtol=0, atol=1e3 * EPS)


STEPS = [ds.Full(), ds.Damped(0.7), ds.LineSearch(), ds.LevenbergMarquardt()]


@pytest.mark.deep_backend("strict")
def test_adjoints_are_those_of_the_exact_jacobian(lib):
    rng = np.random.default_rng(3)
    weights, x, y0 = gru_weights(2), rng.normal(size=(30, 2)), np.zeros(2)
    c = lib.asarray(rng.normal(size=(30, 2)))
    problem = ds.Recurrence(gru, lib.asarray(y0), lib.asarray(x), on(lib, weights))
    expected = ds.adjoint(problem, lib.solve(problem, method="sequential"), c)
    choices = [*CHOICES, *STEPS[1:]]
    if lib.is_jax:
        choices = ["picard", "hutchinson", ds.LevenbergMarquardt()]  # each is compiled
    for choice in choices:
        options = {"step": choice} if choice in STEPS else {"structure": choice}
        found = ds.adjoint(problem, lib.solve(problem, method=ds.Newton(max_steps=200, **options)), c)
        for a, b in zip(found["params"], expected["params"], strict=True):
            np.testing.assert_allclose(lib.to_numpy(a), lib.to_numpy(b), rtol=1e-12, atol=1e-12)


METHODS = [ds.Newton(structure=s) for s in CHEAP] + [ds.Newton(step=s, max_steps=200) for s in STEPS[1:]]
METHOD_IDS = [*CHEAP, "damped", "line search", "levenberg-marquardt"]
WEIGHTS = gru_weights(2)
INPUTS = np.random.default_rng(3).normal(size=(20, 2))


@pytest.mark.parametrize("method", METHODS, ids=METHOD_IDS)
@pytest.mark.deep_but("picard")
def test_gradients_on_jax(method):
    jax = pytest.importorskip("jax")

    def loss(weights, method):
        problem = ds.Recurrence(gru, jax.numpy.zeros(2), jax.numpy.asarray(INPUTS), weights)
        sol = ds.solve(problem, method=method)
        return jax.numpy.sum(jax.numpy.sin(sol.y))

    found, expected = (jax.jit(jax.grad(lambda w, m=m: loss(w, m)))(WEIGHTS) for m in (method, "sequential"))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("method", METHODS, ids=METHOD_IDS)
def test_gradients_on_torch(method):
    torch = pytest.importorskip("torch")

    def gradients(method):
        weights = [torch.tensor(w, requires_grad=True) for w in WEIGHTS]
        sol = ds.solve(
            ds.Recurrence(gru, torch.zeros(2, dtype=torch.float64), torch.tensor(INPUTS), weights), method=method
        )
        torch.sum(torch.sin(sol.y)).backward()
        return [w.grad.numpy() for w in weights]

    for a, b in zip(gradients(method), gradients("sequential"), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def test_equal_choices_compile_once():
    jax = pytest.importorskip("jax")
    backend = backend_of(jax.numpy.ones(2))
    problem = ds.Recurrence(lambda y, x, p: 0.37 * jax.numpy.tanh(y), jax.numpy.ones(2), n_points=7)
    counts = []
    for seed in (11, 11, 12):
        ds.solve(problem, method=ds.Newton(structure=ds.Hutchinson(seed)))
        counts.append(len(backend._compiled))
    assert counts[0] == counts[1]


def test_wrong_choices_are_clear_errors():
    lags = ds.Recurrence(lambda a, b, x, p: a + b, np.ones((2, 1)), lags=(1, 2), n_points=5)
    ode = ds.InitialValueProblem(lambda y, t, p: -y, np.linspace(0, 1, 9), np.ones(1))
    for problem, structure in itertools.product((lags, ode), (ds.Picard(), "picard")):
        with pytest.raises(ds.InputError, match="one lag"):
            ds.solve(problem, method=ds.Newton(structure=structure))
    with pytest.raises(ds.InputError, match="seed"):
        ds.Hutchinson(0.5)
    for kind in (ds.Picard, ds.Hutchinson, ds.BlockDiagonal):
        with pytest.raises(ds.UnknownKeyError, match=r"Picard\(\)"):
            ds.Newton(structure=kind)
    assert chosen("zero") is Zero


@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_blocks_of_another_size(lib, size):
    """Of matrices of every structure what lies in blocks on the diagonal, cut smaller or filled up with zeros."""
    made = np.random.default_rng(0).normal(size=(3, 2, 4, 4))
    four = ds.BlockDiagonal(lib.asarray(made))
    kept = np.kron(np.eye(8 // size), np.ones((size, size)))
    for structure in (four, ds.Dense(four.to_dense()), ds.Diagonal(four.diagonal()), ds.Zero(four.diagonal())):
        found = structure.in_blocks(size)
        assert found.values.shape == (3, 8 // size, size, size)
        expected = lib.to_numpy(structure.to_dense()) * kept
        np.testing.assert_array_equal(lib.to_numpy(found.to_dense()), expected)
