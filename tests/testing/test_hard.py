"""The answers of the hard problems, against runs of SciPy at tight tolerances."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks import hard
from scipy.integrate import solve_ivp

CASES = {
    "hires": (hard.hires, 321.8122, "Radau", 1e-10),
    "van der Pol": (hard.van_der_pol, 163.0, "Radau", 1e-10),
    "pleiades": (hard.pleiades, 3.0, "DOP853", 1e-12),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.slow
def test_the_last_values_are_those_of_scipy(name):
    case_of, last, method, rtol = CASES[name]
    case = case_of(np.asarray, np.array([0.0, last]))
    problem = case.problem

    def fun(t, y):
        return problem.f(y[None], np.full((1, 1), t), problem.params)[0]

    y = solve_ivp(fun, (0.0, last), problem.boundary.y0, method=method, rtol=rtol, atol=1e-4 * rtol).y[:, -1]
    np.testing.assert_allclose(y, case.exact, rtol=1e4 * rtol)  # errors of a step add up


def test_times_that_fit_are_dense_where_the_solution_jumps():
    t = hard.fitting(hard.van_der_pol(np.asarray, np.zeros(2)), 163.0, 1000)
    steps = np.diff(t)
    assert t[0] == 0.0
    assert t[-1] == 163.0
    assert np.all(steps > 0)
    assert steps.max() > 1e3 * steps.min()
