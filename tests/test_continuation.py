"""Branches of solutions along a parameter: Bratu's fold in one and two dimensions, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

import deersolve as ds
from deersolve.testing.cases import in_space

FOLD_1D = 3.513830719125161
"""8 (x / cosh x)^2 at the root of x tanh(x) = 1 is the fold of u'' + p e^u = 0, u(0) = u(1) = 0, with x = theta / 4."""
FOLD_2D = 6.808124423
"""Of the unit square, as in the literature (Glowinski, Keller, Reinhart, 1985; Mohsen, 2014)."""


def line(asarray, N, start=1.0):
    ends = {"left": ds.Dirichlet(), "right": ds.Dirichlet()}
    f = lambda u, u_s, x, p: -p * ds.array_namespace(u).exp(u)  # noqa: E731
    return ds.BoundaryValueProblem(f, asarray(np.linspace(0.0, 1.0, N + 1)), params=start, **ends)


def test_the_fold_is_the_root_of_its_equation():
    from scipy.optimize import brentq

    x = brentq(lambda x: x * np.tanh(x) - 1.0, 1.0, 1.5, xtol=1e-15)
    assert 8.0 * (x / np.cosh(x)) ** 2 == pytest.approx(FOLD_1D, rel=1e-13)


@pytest.mark.slow_backend("torch")
def test_the_whole_fold_in_one_dimension(lib):
    """Of second order: Richardson's extrapolation of the fold from 40 and 80 intervals is of fourth."""
    if lib.is_strict or lib.is_jax:
        pytest.skip("passes, but takes minutes where every operation is dispatched by itself; see the last test")
    sizes = (40, 80)
    branches = [ds.follow(line(lib.asarray, N), until=(0.5, 5.0), step=0.3) for N in sizes]
    for branch in branches:
        y = lib.to_numpy(branch.y)
        assert len(branch.folds) == 1
        assert branch.stopped == "params left (0.5, 5.0)"
        assert y[-1].max() > 4.5 > 0.2 > y[0].max()  # from the lower branch to the upper one
        assert np.all(np.diff(y.max(axis=(1, 2))) > 0)
    folds = [f.folds[0][0] for f in branches]
    assert (4 * folds[1] - folds[0]) / 3 == pytest.approx(FOLD_1D, abs=1e-5)
    assert folds[-1] == pytest.approx(FOLD_1D, abs=2.0 / sizes[-1] ** 2)


def test_the_points_lie_on_the_known_curve():
    """u(1/2) = 2 ln cosh(theta / 4) and theta = sqrt(2 p) cosh(theta / 4), up to the second order of the grid."""
    branch = ds.follow(line(np.asarray, 200), until=(0.5, 5.0), step=0.5)
    q = np.arccosh(np.exp(branch.y[:, 100, 0] / 2))  # theta / 4
    exact = 8.0 * (q / np.cosh(q)) ** 2
    assert np.abs(exact - branch.params).max() < 20.0 / 200**2


@pytest.mark.slow
def test_the_whole_fold_in_two_dimensions():
    folds = []
    for N in (12, 24):
        problem = in_space.bratu(np.asarray, N - 1, lam=1.0).problem
        branch = ds.follow(problem, until=(0.8, 8.0), step=0.3)
        assert len(branch.folds) == 1
        assert branch.y[-1].max() > 5.0
        folds.append(branch.folds[0][0])
    assert (4 * folds[1] - folds[0]) / 3 == pytest.approx(FOLD_2D, abs=1e-3)


def test_a_branch_ends_where_it_is_told():
    problem = line(np.asarray, 20)
    down = ds.follow(problem, step=-0.2, until=(0.2, 9.0))
    assert down.params[-1] == 0.2 < down.params[-2]
    few = ds.follow(problem, max_points=3)
    assert (len(few.params), few.stopped) == (3, "max_points = 3")
    assert np.all(np.diff(few.arclength) > 0)


def test_the_last_point_is_at_the_bound(lib):
    """There the branch is what solve finds at that parameter, before a fold and behind it."""
    if lib.is_strict or lib.is_jax:
        pytest.skip("passes, but takes minutes where every operation is dispatched by itself; see the last test")
    problem = line(lib.asarray, 20)
    up = ds.follow(problem, until=(0.5, 2.0))
    assert float(up.params[-1]) == 2.0
    assert float(up.arclength[-1]) > float(up.arclength[-2])
    at_bound = lib.to_numpy(ds.solve(line(lib.asarray, 20, start=2.0)).y)
    np.testing.assert_allclose(lib.to_numpy(up.y)[-1], at_bound, atol=1e-12)
    behind = ds.follow(problem, until=(0.9, 4.0), step=0.5)
    assert float(behind.params[-1]) == 0.9
    assert len(behind.folds) == 1
    again = ds.solve(line(lib.asarray, 20, start=0.9), behind.y[-1, ...], method=ds.Newton(max_steps=2)).y
    np.testing.assert_allclose(lib.to_numpy(behind.y)[-1], lib.to_numpy(again), atol=1e-10)


def test_a_branch_that_starts_at_its_bound_and_leaves():
    branch = ds.follow(line(np.asarray, 20), step=-0.1, until=(1.0, 2.0))
    assert branch.params.tolist() == [1.0]
    assert branch.stopped == "params left (1.0, 2.0)"


def test_a_branch_goes_straight_on_where_another_crosses():
    """u = 0 buckles at p = pi^2: there is no fold, and nothing is said of what crosses."""
    ends = {"left": ds.Dirichlet(), "right": ds.Dirichlet()}
    buckling = ds.BoundaryValueProblem(
        lambda u, u_s, x, p: -p * np.sin(u), np.linspace(0.0, 1.0, 21), params=9.0, **ends
    )
    branch = ds.follow(buckling, until=(8.0, 11.0), step=0.4)
    assert branch.folds == ()
    assert branch.params[-1] == 11.0
    assert not branch.y.any()


def test_a_picture_of_a_branch():
    pytest.importorskip("matplotlib")
    figure = ds.follow(line(np.asarray, 20), until=(0.5, 5.0), step=0.5).plot()
    axes = figure.axes[0]
    assert axes.get_xlabel() == "parameter"
    assert any("fold at 3.5" in text.get_text() for text in axes.texts)


def test_a_rule_without_a_linear_solve_is_refused():
    problem = ds.Problem(lambda y, x, p: p - y, shift=ds.identity, inverse=lambda Gs, rhs: rhs, params=1.0)
    with pytest.raises(ds.InputError, match="expected an exact rule with a linear solve"):
        ds.follow(problem, np.ones((3, 1)))


BAD = {
    "several params": ({"params": np.ones(2)}, {}, "params: expected a single number"),
    "no step": ({}, {"step": 0.0}, "step: expected a finite number other than 0"),
    "a step of NaN": ({}, {"step": np.nan}, "step: expected a finite number"),
    "an infinite step": ({}, {"step": np.inf}, "step: expected a finite number"),
    "a step in words": ({}, {"step": "long"}, "step: expected a finite number"),
    "no points": ({}, {"max_points": 0}, "max_points as an integer >= 1"),
    "points of NaN": ({}, {"max_points": np.nan}, "max_points as an integer >= 1"),
    "half a point": ({}, {"max_points": 2.5}, "max_points as an integer >= 1"),
    "one bound": ({}, {"until": 5.0}, "until: expected two numbers"),
    "a bound of NaN": ({}, {"until": (np.nan, 5.0)}, "until: expected two numbers"),
    "bounds the wrong way round": ({}, {"until": (5.0, 0.5)}, r"until: expected \(lower, upper\) with params = 1.0"),
    "bounds that leave the start out": ({}, {"until": (2.0, 5.0)}, r"until: expected \(lower, upper\)"),
    "params of NaN": ({"params": np.nan}, {}, "params: expected a"),
    "params that is complex": ({"params": 1j}, {}, "params: expected a single number"),
    "a batch": (
        {"left": ds.Dirichlet(np.zeros((2, 1)))},
        {},
        r"problem: expected a single equation; received a batch \(2,\)",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_a_clear_error(name):
    changes, options, message = BAD[name]
    problem = line(np.asarray, 10)
    for key, value in changes.items():
        if key in problem.sides:
            problem.sides = {**problem.sides, key: value}
        else:
            setattr(problem, key, value)
    with pytest.raises(ds.InputError, match=message):
        ds.follow(problem, **options)


def test_an_evolution_is_refused():
    ends = {"left": ds.Dirichlet(), "right": ds.Dirichlet()}
    t, s = np.linspace(0.0, 1.0, 5), np.linspace(0.0, 1.0, 6)
    problem = ds.Evolution1D(lambda u, u_s, x, p: p * u, t, s, np.zeros((6, 1)), params=1.0, **ends)
    with pytest.raises(ds.InputError, match="an Evolution1D"):
        ds.follow(problem)


def test_params_may_be_an_array_of_the_library(lib):
    problem = line(lib.asarray, 10)
    problem.params = lib.asarray(np.array(1.0))
    ours, expected = ds.follow(problem, max_points=2), ds.follow(line(np.asarray, 10), max_points=2)
    np.testing.assert_allclose(lib.to_numpy(ours.params), expected.params, rtol=1e-12)
    np.testing.assert_allclose(lib.to_numpy(ours.y), expected.y, rtol=0, atol=1e-12)
