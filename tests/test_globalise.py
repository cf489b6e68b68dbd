"""Damped steps, line searches and Levenberg-Marquardt: what each minimises, and that none certifies what is wrong."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import deersolve as ds
from deersolve.inverses import assembled, registry
from deersolve.linalg.structure import BlockDiagonal, Dense, Diagonal, Zero
from deersolve.newton.iterate import Options, start_at
from deersolve.newton.iteration import advance
from deersolve.newton.measures import ROUNDOFF, magnitudes
from deersolve.newton.steps.base import norm
from deersolve.testing.systems import random_G, system_of
from tests import strategies
from tests.references import gru, gru_weights, loop, lotka_volterra, on

EPS = np.finfo(np.float64).eps
STEPS = [ds.Full(), ds.Damped(0.7), ds.LineSearch(), ds.LevenbergMarquardt()]
STRUCTURES = ["dense", "diagonal", "zero", "picard", "hutchinson", ds.BlockDiagonal.of_size(1)]
SOLVES = [
    (key, kind)
    for key in ("shift.scan", "ddt.trapezoid", "ddt.backward_euler")
    for kind in (Dense, Diagonal, BlockDiagonal, Zero)
]


def on_rule(key):
    """Return the rule and the strategy for its linear systems."""
    return registry[key], key.split(".")[0]


@pytest.mark.parametrize(("key", "kind"), SOLVES)
@given(data=st.data(), damping=st.sampled_from([1e-6, 1e-3, 1.0, 1e3]))
def test_the_damped_solve_is_that_of_least_squares(key, kind, damping, data):
    """The normal equations square the condition number of the stacked matrix [A, sqrt(damping) I]."""
    rule, family = on_rule(key)
    system = data.draw(strategies.linear_systems(family, kind))
    where = {"grid": system.grid, "boundary": system.boundary}
    batch = system.r.shape[:-2]
    used = {k for k in getattr(system.grid, "lags", ()) if k < system.r.shape[-2]}
    if len(used) > 1 and kind is not Zero:
        with pytest.raises(ds.InputError, match="one lag"):
            rule.damped(system.Gs, system.r, np.full(batch, damping), **where)
        return
    found = rule.damped(system.Gs, system.r, np.full(batch, damping), **where)
    for b in np.ndindex(batch):
        G, r = tuple(G.map(lambda v, b=b: v[b]) for G in system.Gs), system.r[b]
        A = assembled(rule, G, r, **where)
        stacked = np.concatenate([A, np.sqrt(damping) * np.eye(r.size)])
        expected = np.linalg.lstsq(stacked, np.concatenate([r.reshape(-1), np.zeros(r.size)]), rcond=None)[0]
        size = np.linalg.norm(r) / np.linalg.norm(stacked, 2) + np.linalg.norm(expected)
        bound = 64 * EPS * np.linalg.cond(stacked) ** 2 * size
        np.testing.assert_allclose(found[b].reshape(-1), expected, rtol=0, atol=bound)


@pytest.mark.parametrize("kind", [Dense, Diagonal])
@pytest.mark.parametrize("T", [1, 2, 4, 7])
@pytest.mark.cases_backend("jax")
def test_the_damped_solve_on_every_library(lib, T, kind):
    """However far the recurrence grows, the solution is within |r| / 2 sqrt(damping)."""
    rng, n = np.random.default_rng(T), 2
    G, r, damping = random_G(kind, (3, T, n), rng, 30.0), rng.normal(size=(3, T, n)), np.array([1e-4, 1e-2, 1.0])
    grid, boundary = ds.Steps(T), ds.Initial(np.zeros((1, n)))
    where = {"grid": grid, "boundary": boundary}
    moved = (G.map(lib.asarray),)
    found = lib.to_numpy(registry["shift.scan"].damped(moved, lib.asarray(r), lib.asarray(damping), **where))
    assert np.all(np.linalg.norm(found, axis=(1, 2)) <= np.linalg.norm(r, axis=(1, 2)) / (2 * np.sqrt(damping)))
    for b in range(3):
        A = assembled(registry["shift.scan"], (G.map(lambda v, b=b: v[b]),), r[b], **where)
        normal = A.T @ A + damping[b] * np.eye(T * n)
        expected = np.linalg.solve(normal, A.T @ r[b].reshape(-1))
        bound = 64 * EPS * np.linalg.cond(normal) * np.linalg.norm(expected)
        np.testing.assert_allclose(found[b].reshape(-1), expected, rtol=0, atol=bound)


def van_der_pol(y, x, mu):
    """One step of Euler's explicit rule."""
    a, b = y[..., 0], y[..., 1]
    return y + 0.01 * ds.array_namespace(y).stack([b, mu * (1.0 - a * a) * b - a], axis=-1)


@pytest.mark.parametrize("step", [ds.LevenbergMarquardt(), ds.LineSearch()], ids=str)
def test_an_oscillator_that_overflows_with_full_steps(lib, step):
    if lib.is_jax and step == ds.LevenbergMarquardt():
        pytest.skip("compiled for the differential equation below")
    T = 2000 if step == ds.LevenbergMarquardt() else 1000  # at 2000 no multiple of the correction is finite
    problem = ds.Recurrence(van_der_pol, lib.asarray([2.0, 0.0]), params=1.0, n_points=T)
    whole = lib.solve(problem, method="newton", on_failure="return")
    assert int(whole.status) == int(ds.Status.NONFINITE)
    sol = lib.solve(problem, method=ds.Newton(step=step))
    expected = loop(van_der_pol, np.array([[2.0, 0.0]]), None, 1.0, n_points=T)
    np.testing.assert_allclose(lib.to_numpy(sol.y), expected, rtol=0, atol=1e4 * EPS)  # a limit cycle: no growth


@pytest.mark.parametrize("step", [ds.LevenbergMarquardt(), ds.LineSearch()], ids=str)
def test_a_differential_equation_that_overflows_with_full_steps(lib, step):
    t = np.linspace(0.0, 10.0, 1001)
    problem = ds.InitialValueProblem(lotka_volterra, lib.asarray(t), lib.asarray([1.0, 1.0]))
    whole = lib.solve(problem, method="newton", on_failure="return")
    assert int(lib.to_numpy(whole.status)) == int(ds.Status.NONFINITE)
    sol = lib.solve(problem, method=ds.Newton(step=step), on_failure="return")
    assert int(lib.to_numpy(sol.status)) == 0
    expected = ds.solve(ds.InitialValueProblem(lotka_volterra, t, np.ones(2)), method=ds.Newton(window=20)).y
    np.testing.assert_allclose(lib.to_numpy(sol.y), expected, rtol=0, atol=1e4 * EPS * np.abs(expected).max())


@pytest.mark.transformed
@pytest.mark.parametrize("step", STEPS[2:], ids=str)
@pytest.mark.cases_backend("jax:vmap")
def test_inside_transformations(lib, step):
    rng = np.random.default_rng(3)
    weights, x, y0 = gru_weights(1), rng.normal(size=(2, 15, 1)), np.zeros((2, 1))
    problem = ds.Recurrence(gru, lib.asarray(y0), lib.asarray(x), on(lib, weights))
    sol = lib.solve(problem, method=ds.Newton(step=step))
    np.testing.assert_allclose(lib.to_numpy(sol.y), loop(gru, y0[:, None], x, weights), rtol=0, atol=64 * EPS)


def iterates(system, options):
    """Yield every iterate of one method on its own, from the guess."""
    it = start_at(system, system.data.guess, options)
    while bool(ds.array_namespace(it.y).any(it.active)):
        yield it
        it = advance(system, it, options)
    yield it


@pytest.mark.skip_backend("jax", reason="outside jit every step is compiled anew")
def test_a_line_search_never_raises_the_residual(lib):
    """Three elements, of which plain steps overflow in one: each falls, until it is at roundoff."""
    y0 = np.array([[2.0, 0.0], [0.1, 0.1], [-3.0, 1.0]])
    system = system_of(ds.Recurrence(van_der_pol, lib.asarray(y0), params=1.0, n_points=700), registry["shift.scan"])
    before, count = None, 0
    for it in iterates(system, Options(step=ds.LineSearch())):
        at = system.linearise(it.y)
        now = lib.to_numpy(norm(system, system.residual(it.y)))
        noise = 4 * ROUNDOFF * EPS * lib.to_numpy(norm(system, magnitudes(system, it.y, at.fy, 0.0 * at.fy)))
        if before is not None:
            assert np.all((now < before) | (now <= noise))
        before, count = now, count + 1
    assert np.all(before <= noise)
    assert count > 5


@pytest.mark.skip_backend("jax", reason="the same operations, compiled twice")
@pytest.mark.parametrize("step", STEPS[2:], ids=str)
def test_elements_do_not_see_each_other(lib, step):
    y0 = np.array([[2.0, 0.0], [0.1, 0.1], [-3.0, 1.0]])
    options = {"params": 1.0, "n_points": 300}
    both = lib.solve(ds.Recurrence(van_der_pol, lib.asarray(y0), **options), method=ds.Newton(step=step))
    steps = lib.to_numpy(both.stats.steps)
    assert len(set(steps)) > 1
    for k in range(3):
        one = lib.solve(ds.Recurrence(van_der_pol, lib.asarray(y0[k]), **options), method=ds.Newton(step=step))
        assert int(one.stats.steps) == steps[k]
        np.testing.assert_allclose(lib.to_numpy(both.y)[k], lib.to_numpy(one.y), rtol=0, atol=1e3 * EPS)


def test_a_damped_step_leaves_its_share_of_the_error():
    """f is affine, so that each step multiplies the error by 1 - fraction, to roundoff."""
    problem = ds.Recurrence(lambda y, x, p: 0.5 * y + x, np.zeros(1), np.ones((20, 1)))
    system = system_of(problem, registry["shift.scan"])
    exact = 2.0 - 0.5 ** np.arange(20)[:, None]
    off = [np.abs(it.y - exact).max() for it in iterates(system, Options(step=ds.Damped(0.75), max_steps=10))]
    np.testing.assert_allclose(off[:11], 0.25 ** np.arange(11) * off[0], rtol=0, atol=8 * EPS)


def test_the_damping_follows_the_residual():
    """It rises and falls with it, and has fallen to the steps of Newton's method where those certify."""
    problem = ds.Recurrence(van_der_pol, np.array([2.0, 0.0]), params=4.0, n_points=600)
    system = system_of(problem, registry["shift.scan"])
    seen = list(iterates(system, Options(step=ds.LevenbergMarquardt())))[:-1]  # the last has moved no more
    norms = [float(norm(system, system.residual(it.y))) for it in seen]
    rises = [after >= before for before, after in pairwise(norms)]
    assert rises == [bool(b.damping > a.damping) for a, b in pairwise(seen)]
    assert any(rises)
    assert EPS <= float(seen[-1].damping) < 1e-6


@pytest.mark.parametrize("step", STEPS, ids=str)
def test_a_guess_where_f_is_not_finite_is_reported(lib, step):
    problem = ds.Recurrence(lambda y, x, p: ds.array_namespace(y).sqrt(y), lib.asarray([1.0]), n_points=10)
    guess = lib.asarray(np.where(np.arange(10) == 4, -1.0, 1.0)[:, None])
    sol = lib.solve(problem, guess, method=ds.Newton(step=step), on_failure="return")
    assert int(sol.status) == int(ds.Status.NONFINITE)


@pytest.mark.parametrize("structure", ["dense", "diagonal", "hutchinson"])
@pytest.mark.parametrize("step", STEPS, ids=str)
def test_y_does_not_depend_on_the_step(lib, step, structure):
    if lib.is_jax and step == ds.LevenbergMarquardt() and structure != "diagonal":
        pytest.skip("compiled in other tests")
    rng = np.random.default_rng(3)
    weights, x, y0 = gru_weights(3, scale=0.7), rng.normal(size=(2, 40, 3)), np.zeros((2, 3))
    problem = ds.Recurrence(gru, lib.asarray(y0), lib.asarray(x), on(lib, weights))
    sol = lib.solve(problem, method=ds.Newton(step=step, structure=structure, max_steps=200))
    np.testing.assert_allclose(lib.to_numpy(sol.y), loop(gru, y0[:, None], x, weights), rtol=0, atol=64 * EPS)


@pytest.mark.parametrize("window", [None, 30])
def test_windows_take_any_step(window):
    problem = ds.Recurrence(van_der_pol, np.array([2.0, 0.0]), params=1.0, n_points=100)
    expected = loop(van_der_pol, np.array([[2.0, 0.0]]), None, 1.0, n_points=100)
    for step in STEPS:
        sol = ds.solve(problem, method=ds.Newton(step=step, window=window))
        np.testing.assert_allclose(sol.y, expected, rtol=0, atol=1e3 * EPS)
        assert step == ds.Full() or str(step) in sol.stats.method


def steep(y, x, params):
    a, b, c = params
    return a * ds.array_namespace(y).tanh(b * y) + c * y * y + x


@given(
    a=st.floats(-4, 4), b=st.floats(-8, 8), c=st.sampled_from([0.0, 0.0, 0.01, 0.3]), T=st.integers(1, 300),
    structure=st.sampled_from(STRUCTURES), step=st.sampled_from(STEPS), window=st.sampled_from([None, None, 40]),
    max_steps=st.sampled_from([3, 30]), seed=st.integers(0, 999),
)  # fmt: skip
def test_converged_means_that_every_step_is_satisfied(a, b, c, T, structure, step, window, max_steps, seed):
    """Stable, chaotic and exploding recurrences, every choice of A and of the step."""
    rng = np.random.default_rng(seed)
    x, y0, params = rng.normal(size=(2, T, 1)), rng.normal(size=(2, 1)), (a, b, c)
    problem = ds.Recurrence(steep, y0, x, params)
    method = ds.Newton(structure=structure, step=step, window=window, max_steps=max_steps)
    sol = ds.solve(problem, method=method, on_failure="return")
    for k in range(2):
        if sol.status[k] != 0:
            assert sol.status[k] in (int(ds.Status.MAX_STEPS), int(ds.Status.NONFINITE))
            continue
        before = np.concatenate([y0[k, None], sol.y[k, :-1]])
        with np.errstate(over="ignore"):
            J = np.abs(a * b / np.cosh(b * before) ** 2 + 2 * c * before)
            after = steep(before, x[k], params)
        size = np.abs(sol.y[k]) + np.abs(after) + (J + abs(a * b)) * np.abs(before) + abs(a) + np.abs(x[k])
        last = np.concatenate([np.zeros((1, 1)), size[:-1]])
        # by its residual, or by its correction, of which the residual is delta_i - J_i delta_{i-1}
        assert np.all(np.abs(after - sol.y[k]) <= 16 * EPS * size + EPS ** (2 / 3) * (size + J * last))


WRONG = {
    "fraction": (lambda: ds.Damped(0.0), "fraction"),
    "fraction over 1": (lambda: ds.Damped(1.5), "fraction"),
    "factor of a line search": (lambda: ds.LineSearch(factor=1.0), "factor"),
    "tries": (lambda: ds.LineSearch(tries=0), "tries"),
    "damping": (lambda: ds.LevenbergMarquardt(damping=0.0), "damping"),
    "factor": (lambda: ds.LevenbergMarquardt(factor=1.0), "factor"),
    "infinite damping": (lambda: ds.LevenbergMarquardt(damping=float("inf")), "damping"),
    "step": (lambda: ds.Newton(step="damped"), "Damped"),
    "a class": (lambda: ds.Newton(step=ds.LineSearch), "LineSearch"),
}


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG.keys())
def test_wrong_options_are_clear_errors(case):
    make, words = case
    with pytest.raises(ds.InputError, match=words):
        make()


def test_rules_that_cannot_are_clear_errors():
    lags = ds.Recurrence(lambda a, b, x, p: 0.1 * (a + b), np.ones((2, 1)), lags=(1, 2), n_points=5)
    with pytest.raises(ds.InputError, match="one lag"):
        ds.solve(lags, method=ds.Newton(step=ds.LevenbergMarquardt()))
    ode = ds.InitialValueProblem(lambda y, t, p: -y, np.linspace(0, 1, 9), np.ones(1))
    for step in STEPS[2:]:
        with pytest.raises(ds.InputError, match="exact"):
            ds.solve(ode, inverse="exponential", method=ds.Newton(step=step))
    guess = np.ones((9, 1))
    paper = ds.Problem(lambda y, x, p: -y, shift=ds.identity, inverse=lambda Gs, rhs: rhs, x=guess)
    with pytest.raises(ds.InputError, match="exact"):
        ds.solve(paper, guess, method=ds.Newton(step=ds.LineSearch()))
    mine = type("Mine", (ds.inverses.Rule,), {"key": "shift.mine", "residual": lambda s, y, fy, **kw: fy - y})
    with pytest.raises(ds.InputError, match="damped"):
        ds.solve(
            ds.Recurrence(lambda y, x, p: 0.5 * y, np.ones(1), n_points=5),
            inverse=mine(), method=ds.Newton(step=ds.LevenbergMarquardt()),
        )  # fmt: skip


def test_steps_are_values():
    assert ds.Newton(step=ds.LineSearch()) == ds.Newton(step=ds.LineSearch())
    assert hash(ds.Newton(step=ds.Damped(0.5))) == hash(ds.Newton(step=ds.Damped(0.5)))
    with pytest.raises(dataclasses.FrozenInstanceError):
        ds.Damped(0.5).fraction = 1.0


@pytest.mark.parametrize("step", STEPS, ids=str)
def test_what_is_solved_stays_as_it_is(step):
    """With three steps a stretch: what damped least squares would move, to lessen what comes behind, is held."""
    rng = np.random.default_rng(76)
    x, y0, params = rng.normal(size=(2, 14, 1)), rng.normal(size=(2, 1)), (0.0, 0.0, 0.3)
    method = ds.Newton(step=step, window=40, max_steps=3)
    sol = ds.solve(ds.Recurrence(steep, y0, x, params), method=method, on_failure="return")
    before = np.concatenate([y0[:, None], sol.y[:, :-1]], axis=1)
    off = np.abs(steep(before, x, params) - sol.y) / (np.abs(sol.y) + np.abs(x) + 0.6 * np.abs(before) ** 2)
    assert np.all(off[sol.status == 0] <= 16 * EPS)
