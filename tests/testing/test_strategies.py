"""Problems drawn around an f: they solve, print as code that makes the same problem, and shrink to the simplest."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, find, given
from hypothesis import strategies as st

import deersolve as ds
from deersolve.testing import (
    CheckFailure,
    around,
    arrays,
    changed,
    check_equals_loop,
    conditions,
    dtypes,
    grids,
    libraries,
    methods,
    problems,
    settings,
    shortened,
)
from deersolve.testing.code import code_of

pytestmark = pytest.mark.filterwarnings("ignore::deersolve.DiscretisationWarning")


def cell(h, x, W):
    return np.tanh(h @ W + x)


def of_two(h, g, x, p):
    return p * np.sin(h) + 0.2 * g


def rate(y, t, p):
    return -p * y


def swing(u, x, p):
    return np.stack([u[..., 1], -np.sin(u[..., 0])], axis=-1)


def load(u, u_s, x, p):
    return -p * np.exp(u)


def load_in_a_plane(u, u_s, u_r, x, p):
    return -p * np.exp(u)


def growth(u, u_s, x, p):
    return p * u * (1 - u)


def cosine(y, x, p):
    return p * np.cos(y)


def inverse(Gs, rhs):
    return np.linalg.solve(np.eye(rhs.shape[-1]) + Gs[0].to_dense(), rhs[..., None])[..., 0]


SURE = settings(max_examples=500, derandomize=True, database=None)
ENDS = ds.Coupled([[1.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [1.0, 0.0]], np.array([0.0, 0.3]))
KINDS = {
    "recurrence": lambda: problems(cell, x=np.ones((5, 2)), params=np.eye(2) / 2),
    "two lags": lambda: problems(of_two, lags=(1, 3), params=st.sampled_from([0.3, 0.5]), dtype=dtypes()),
    "initial value": lambda: problems(rate, ds.InitialValueProblem, params=0.5, t=grids(descending=True)),
    "torch": lambda: problems(rate, ds.InitialValueProblem, params=np.array(0.5), library=libraries("numpy", "torch")),
    "two ends": lambda: problems(swing, ds.TwoPointProblem, ends=ENDS),
    "boundary values": lambda: problems(load, ds.BoundaryValueProblem, params=0.3, n=1, left=conditions("Dirichlet")),
    "elliptic": lambda: problems(load_in_a_plane, ds.Elliptic, axes=2, params=0.3),
    "rectangle": lambda: problems(load_in_a_plane, ds.Elliptic2D, params=0.3, n=1),
    "evolution on a line": lambda: problems(growth, ds.Evolution1D, params=0.5, t=grids(2, 4)),
    "evolution": lambda: problems(growth, ds.Evolution, params=0.5, axes=1, t=grids(2, 4)),
    "own": lambda: problems(cosine, ds.Problem, shift=ds.identity, inverse=inverse, params=0.4, y_guess=arrays(4, 2)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_drawn_problem_solves_and_prints_as_code_that_makes_it(kind):
    if kind == "torch":
        pytest.importorskip("torch")

    @settings(max_examples=3, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(KINDS[kind]())
    def pasted(problem):
        names = {}
        exec(repr(problem), names)  # as a user pastes it
        sol, again = ds.solve(problem), ds.solve(names["problem"], names.get("y_guess"))
        np.testing.assert_array_equal(np.asarray(again.y), np.asarray(sol.y))
        assert isinstance(problem, type(names["problem"]))

    pasted()


def test_every_argument_may_be_a_value_or_a_strategy():
    drawn = problems(cell, y0=np.zeros(3), x=arrays(4, 3), params=st.just(np.eye(3)), batch=())
    problem = find(drawn, lambda p: True, settings=SURE)
    assert problem.start.shape == (3,)
    assert np.array_equal(problem.x, np.zeros((4, 3)))
    assert "y0=np.array([0.0, 0.0, 0.0])" in repr(problem)


def test_examples_shrink_to_few_points_no_batch_and_zeros():
    drawn = problems(of_two, lags=(1, 3), params=0.3)
    simplest = find(drawn, lambda p: p.grid.n_points >= 3, settings=SURE)
    assert simplest.grid.n_points == 3
    assert np.array_equal(simplest.start, np.zeros((3, 2)))
    t = find(grids(), lambda t: len(t) > 4, settings=SURE)
    np.testing.assert_array_equal(t, np.linspace(0.0, 1.0, 5))
    assert code_of(t) == "np.linspace(0.0, 1.0, 5)"


def test_an_array_that_was_written_to_prints_as_what_it_is():
    t = find(grids(), lambda t: len(t) > 2, settings=SURE)
    t[1] = 0.25
    assert code_of(t) == "np.array([0.0, 0.25, 1.0])"


def test_a_property_that_fails_shows_the_simplest_problem_as_code():
    def wrong(h, x, p):  # knows the number of points
        return np.tanh(h) + 0.1 * h.shape[-2]

    @settings(max_examples=20, derandomize=True)
    @given(problems(wrong, n=1))
    def property_of_f(problem):
        check_equals_loop(problem)

    with pytest.raises((CheckFailure, ds.FunctionError)) as caught:
        property_of_f()
    assert "ds.Recurrence(" in "\n".join([str(caught.value), *caught.value.__notes__])


@settings(max_examples=5)
@given(problems(cell, x=np.ones((5, 2)), params=np.eye(2) / 2), methods())
def test_every_method_has_one_answer(problem, method):
    sol = ds.solve(problem, method=method)
    np.testing.assert_allclose(sol.y, ds.solve(problem, method="sequential").y, rtol=1e-12)


def test_problems_around_a_problem_are_code_too():
    given = ds.Recurrence(cell, np.ones(2), np.ones((30, 2)), np.eye(2) / 2)
    drawn = find(around(given), lambda p: p.start[0] == 2.0 and p.params[0, 0] == 1.0, settings=SURE)
    names = {"problem": given}
    exec(repr(drawn), names)
    assert drawn.x.shape == (2, 2)
    np.testing.assert_array_equal(ds.solve(drawn).y, ds.solve(names["problem"]).y)


def test_a_problem_is_cut_to_its_first_points():
    t = np.linspace(0.0, 1.0, 11)
    decay = ds.InitialValueProblem(rate, t, np.ones(1), params=2.0)
    np.testing.assert_array_equal(ds.solve(shortened(decay, 4)).y, ds.solve(decay).y[:4])
    steps = ds.Recurrence(of_two, np.ones((3, 1)), None, 0.3, lags=(1, 3), n_points=9)
    np.testing.assert_array_equal(ds.solve(shortened(steps, 4)).y, ds.solve(steps).y[:4])
    line = ds.BoundaryValueProblem(load, t, left=ds.Dirichlet(), right=ds.Dirichlet(), params=0.3)
    assert shortened(line, 4) is line
    heat = ds.Evolution1D(growth, t, t, np.ones((11, 1)), left=ds.Neumann(), right=ds.Neumann(), params=0.3)
    np.testing.assert_allclose(ds.solve(shortened(heat, 4)).y, ds.solve(heat).y[:4], rtol=1e-12)


def test_a_problem_with_other_data_is_another_problem():
    t = np.linspace(0.0, 1.0, 11)
    line = ds.BoundaryValueProblem(load, t, left=ds.Dirichlet(), right=(ds.Robin(1.0, 0.5, 0.2),), params=0.3)
    other = changed(line, left=np.array([0.7]), right=(np.array([0.1]),), a=2.0, params=0.5)
    made = ds.BoundaryValueProblem(load, t, left=ds.Dirichlet(0.7), right=(ds.Robin(1.0, 0.5, 0.1),), a=2.0, params=0.5)
    np.testing.assert_array_equal(ds.solve(other).y, ds.solve(made).y)
    assert line.sides["left"].value == 0.0
    ends = ds.TwoPointProblem(swing, t, ENDS)
    np.testing.assert_allclose(ds.solve(changed(ends, value=np.array([0.0, 0.1]))).y[-1, 0], 0.1)


def test_what_cannot_be_drawn_has_to_be_given():
    with pytest.raises(ds.InputError, match="ends= for a TwoPointProblem"):
        problems(swing, ds.TwoPointProblem)
    with pytest.raises(ds.InputError, match="problems: expected arguments of Recurrence"):
        problems(cell, z=1)


def test_without_hypothesis_there_is_an_error_that_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    with pytest.raises(ds.InputError, match=r"pip install 'deersolve\[check\]'"):
        problems(cell)


def test_settings_have_no_deadline_and_repeat_in_ci(monkeypatch):
    monkeypatch.setenv("CI", "1")
    assert settings().derandomize
    assert settings(max_examples=7).max_examples == 7
    assert settings().deadline is None
    monkeypatch.delenv("CI")
    assert not settings().derandomize
