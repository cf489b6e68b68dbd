"""The largest Lyapunov exponent against closed forms, and against known values of chaotic equations."""

from __future__ import annotations

import numpy as np
import pytest

import deersolve as ds
from tests.references import lorenz


def logistic(y, x, r):
    return r * y * (1.0 - y)


@pytest.mark.cases_backend("jax")
def test_a_cycle_and_chaos(lib):
    """r = 3.2 has a cycle of two points, exponent log |4 + 2 r - r^2| / 2; r = 4 has log 2 for almost every start."""
    T = 500 if lib.is_jax or lib.is_strict else 20_000
    for r, expected, off in ((3.2, np.log(0.16) / 2, 1e-12), (4.0, np.log(2.0), 3.0 / T**0.5)):
        problem = ds.Recurrence(logistic, lib.asarray([0.3]), params=r, n_points=T)
        assert abs(ds.lyapunov(problem, ds.solve(problem), skip=200) - expected) < off


@pytest.mark.filterwarnings("ignore::deersolve.DiscretisationWarning")  # it grows by e^100
@pytest.mark.parametrize("rule", ["trapezoid", "backward_euler"])
def test_each_element_of_a_linear_equation(rule):
    """y' = M y: per interval the largest eigenvalue of the rule's step, on a grid that need not be uniform."""
    a, t = np.array([0.5, -2.0]), np.cumsum(np.random.default_rng(0).uniform(0.01, 0.1, 4000))
    x = a[:, None, None]
    problem = ds.InitialValueProblem(lambda y, x, p: x * y, t, np.ones((2, 1)), x=x)
    sol = ds.solve(problem, inverse=rule)
    h = np.diff(t)
    factor = (1 + a[:, None] * h / 2) / (1 - a[:, None] * h / 2) if rule == "trapezoid" else 1 / (1 - a[:, None] * h)
    np.testing.assert_allclose(ds.lyapunov(problem, sol), np.log(factor).sum(axis=1) / (t[-1] - t[0]), rtol=1e-10)


@pytest.mark.filterwarnings("ignore::deersolve.DiscretisationWarning")  # no orbit of this length is right at its end
@pytest.mark.slow
def test_lorenz():
    """Solved with the defaults over 80 Lyapunov times; 0.9056 is Sprott's (Chaos and Time-Series Analysis, 2003)."""
    t = np.linspace(0.0, 100.0, 10_001)
    problem = ds.InitialValueProblem(lorenz, t, np.array([1.0, 1.0, 1.0]))
    sol = ds.solve(problem)
    assert ds.lyapunov(problem, sol, skip=1000) == pytest.approx(0.9056, abs=0.06)


def test_what_has_no_exponent_is_an_error():
    two = ds.Recurrence(lambda y, z, x, p: 0.3 * y + 0.2 * z, np.ones((2, 1)), n_points=9, lags=(1, 2))
    with pytest.raises(ds.InputError, match=r"received the rule 'shift.scan' with the lags \(1, 2\)"):
        ds.lyapunov(two, ds.solve(two))
    one = ds.Recurrence(logistic, np.array([0.3]), params=2.0, n_points=9)
    sol = ds.solve(one)
    with pytest.raises(ds.InputError, match="skip: expected 0 <= skip < 9"):
        ds.lyapunov(one, sol, skip=9)
    singular = ds.Recurrence(lambda y, x, p: 0.0 * y + 1.0, np.array([0.3]), n_points=9)
    assert ds.lyapunov(singular, ds.solve(singular)) == -np.inf


@pytest.mark.parametrize("skip", [1.5, "1", True, None, -1, 50, float("nan")])
def test_steps_that_do_not_count_are_a_number_of_them(skip):
    problem = ds.Recurrence(lambda y, x, r: r * y * (1.0 - y), np.array([0.3]), params=3.2, n_points=50)
    with pytest.raises(ds.InputError, match="skip: expected 0 <= skip < 50"):
        ds.lyapunov(problem, ds.solve(problem), skip)
