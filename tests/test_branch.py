"""The root of an implicit rule that continues from the y before it, and the others, which are artefacts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import deersolve as ds
from deersolve.testing import hard

RULES = {"trapezoid": 0.5, "backward_euler": 1.0}
pytestmark = pytest.mark.skip_backend("strict:device1", reason="device1 is tested on the same algorithm elsewhere")
coarse = pytest.mark.filterwarnings("ignore::deersolve.DiscretisationWarning")


def square(y, t, params):
    return y * y


def roots(y, D, theta):
    """Return both roots z of z - y = D ((1 - theta) y^2 + theta z^2), the one that continues first."""
    inner = np.sqrt(1 - 4 * theta * D * (y + (1 - theta) * D * y * y))
    return (1 - inner) / (2 * theta * D), (1 + inner) / (2 * theta * D)


@coarse
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("method", ["newton", "auto", "sequential"])
def test_of_two_roots_the_one_that_continues(lib, rule, method):
    right, wrong = roots(1.0, 0.1, RULES[rule])
    problem = ds.InitialValueProblem(square, lib.asarray([0.0, 0.1]), lib.asarray([1.0]))
    sol = lib.solve(problem, inverse=rule, method=method)
    np.testing.assert_allclose(lib.to_numpy(sol.y)[1, 0], right, rtol=1e-14)
    guess = lib.asarray([[1.0], [wrong]])
    sol = lib.solve(problem, guess, inverse=rule, method=method, on_failure="return")
    if method == "newton":
        assert int(sol.status) == int(ds.Status.NO_DISCRETE_SOLUTION)
    if int(sol.status) == 0:
        np.testing.assert_allclose(lib.to_numpy(sol.y)[1, 0], right, rtol=1e-14)


@coarse
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("method", ["auto", "sequential"])
def test_past_a_blow_up_the_status_says_so_and_what_came_before_is_kept(lib, rule, method):
    t = np.linspace(0.0, 1.2, 121)
    problem = ds.InitialValueProblem(square, lib.asarray(t), lib.asarray([1.0]))
    sol = lib.solve(problem, inverse=rule, method=method, on_failure="return")
    assert int(sol.status) == int(ds.Status.NO_DISCRETE_SOLUTION)
    y, expected = lib.to_numpy(sol.y)[:, 0], [1.0]
    while 4 * RULES[rule] * 0.01 * (expected[-1] + (1 - RULES[rule]) * 0.01 * expected[-1] ** 2) < 1:
        expected.append(roots(expected[-1], 0.01, RULES[rule])[0])
    n = len(expected) - 1  # the last root may be lost to roundoff beside its fold
    assert 0.8 < t[n] < 1.1
    if method == "auto":
        np.testing.assert_allclose(y[:n], expected[:n], rtol=1e-10)


@coarse
def test_kinetics_whose_windows_had_ended_in_another_root(lib):
    """HIRES on a logarithmic mesh: -0.0145 in its sixth component was certified, once."""
    case = hard.hires(lib.asarray, hard.logarithmic(1e-3, 321.8122, 2_000))
    sol = lib.solve(case.problem)
    assert bool(sol.converged)
    np.testing.assert_allclose(lib.to_numpy(sol.y)[-1], case.exact, rtol=5e-3)
    assert lib.to_numpy(sol.y).min() >= 0


@coarse
@given(
    a=st.floats(-3, 3), b=st.floats(-3, 3), c=st.floats(-3, 3), d=st.floats(-3, 3),
    y0=st.floats(-2, 2), D=st.floats(1e-3, 3.0), seed=st.integers(0, 99), rule=st.sampled_from(sorted(RULES)),
)  # fmt: skip
def test_random_cubics_are_continued_or_failed(a, b, c, d, y0, D, seed, rule):
    """One interval of y' = a + b y + c y^2 + d y^3 from any guess: CONVERGED is the root followed from s = 0 to 1."""
    theta = RULES[rule]

    def f(y, t=None, params=None):
        return a + b * y + c * y * y + d * y * y * y

    problem = ds.InitialValueProblem(f, np.array([0.0, D]), np.array([y0]))
    guess = np.array([[y0], [5.0 * np.random.default_rng(seed).normal()]])
    for method in (ds.Newton(), ds.Auto()):
        sol = ds.solve(problem, guess, inverse=rule, method=method, on_failure="return")
        if sol.status == 0:
            z = sol.y[1, 0]
            slope = 1 - theta * D * (b + 2 * c * z + 3 * d * z * z)
            assert slope > -1e-9 * (1 + abs(slope))


@coarse
def test_a_chord_does_not_judge_by_the_terms_of_where_it_came_from():
    """y (1 - D) = ... has no root at D = 1: a step from 4.5e6 back to 0 was certified by the terms of 4.5e6, once."""

    def f(y, x, params):
        return np.tanh(y) - np.abs(y) + x

    t, x = np.array([0.0, 1.0], np.float32), np.array([[-1.8320857], [0.45849404]], np.float32)
    problem = ds.InitialValueProblem(f, t, np.array([-1.611425], np.float32), x)
    sol = ds.solve(problem, inverse="backward_euler", on_failure="return")
    assert sol.status == int(ds.Status.NO_DISCRETE_SOLUTION)
