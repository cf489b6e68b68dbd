"""Known solutions: those that are published, and what ``solve_ivp`` finds with its defaults at a tolerance."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.ivp_sets import BARI, DETEST, PROBLEMS, STIFF_DETEST

import deersolve as ds

FOUND_AGAIN = 1e-9  # of the largest value of a component
BOUND = 100.0  # tolerances
SLOW = {"Beam", "Ring modulator", "Medical Akzo Nobel", "SE1"}
cases = [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in PROBLEMS]


def test_all_are_there():
    assert (len(DETEST), len(STIFF_DETEST), len(BARI)) == (25, 30, 10)
    assert len(PROBLEMS) == 65


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_reference_is_what_is_published_and_what_two_methods_find(name):
    """The published third component of STIFF DETEST's E5 has seven digits only, by cancellation; the ring and the beam
    amplify errors, and are checked at 1e-9 only."""
    problem = PROBLEMS[name]
    known, published = np.array(problem.known["y"]), np.array(problem.published)
    largest = np.array(problem.known["largest"])
    assert known.shape == largest.shape == np.shape(problem.y0)
    assert np.all(largest >= np.abs(known) * (1 - 1e-9))
    bound = {"SE5": 1e-7, "Ring modulator": 1e-5, "Beam": 1e-5}.get(name, FOUND_AGAIN)
    off = np.abs(known[: published.size] - published) / largest[: published.size]
    assert np.all(off < bound)
    assert problem.known["second method"] < bound


@pytest.mark.parametrize("name", PROBLEMS)
def test_rates_go_with_trailing_axes(name):
    problem = PROBLEMS[name]
    y = np.random.default_rng(0).uniform(0.1, 1.0, (len(problem.y0), 3))
    t = np.array([0.25, 0.5, 0.75])
    one_by_one = np.stack([problem.fun(t[i], y[:, i]) for i in range(3)], axis=1)
    np.testing.assert_allclose(problem.fun(t, y), one_by_one, rtol=1e-9, atol=1e-9 * np.abs(one_by_one).max())
    if problem.jac is not None:
        change = problem.fun(0.0, y[:, 1]) - problem.fun(0.0, y[:, 0])
        np.testing.assert_allclose(
            problem.jac @ (y[:, 1] - y[:, 0]), change, rtol=1e-9, atol=1e-9 * np.abs(change).max()
        )


@pytest.mark.filterwarnings("ignore::deersolve.DiscretisationWarning")
@pytest.mark.parametrize("name", cases)
def test_solve_ivp_is_true(name):
    problem = PROBLEMS[name]
    rtol = 1e-6
    found = ds.solve_ivp(problem.fun, (0.0, problem.t_end), problem.y0, rtol=rtol, atol=problem.atol(rtol))
    assert found.success
    assert problem.error(found.y[:, -1], rtol) < BOUND
