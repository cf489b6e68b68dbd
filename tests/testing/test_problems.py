"""The answers of the problems, found by the solver on every array library."""

from __future__ import annotations

import numpy as np
import pytest

import deersolve as ds
from deersolve.testing.cases import in_time

# Newton's first iterates may overflow, and array-api-strict passes on NumPy's warnings.
pytestmark = pytest.mark.filterwarnings("ignore:.* encountered in:RuntimeWarning")

T = 3 * np.linspace(0.0, 1.0, 801) ** 1.2
ODES = {
    "logistic": lambda a: in_time.logistic(a, T),
    "blow_up": lambda a: in_time.blow_up(a, 0.2 * T),
    "linear": lambda a: in_time.linear(a, T, [[0.0, 1.0], [-1.0, -0.2]], [1.0, 0.5]),
    "bernoulli": lambda a: in_time.bernoulli(a, T),
    "prothero_robinson": lambda a: in_time.prothero_robinson(a, T, -5.0),
    "pendulum": lambda a: in_time.pendulum(a, 4000),
    "lotka_volterra": lambda a: in_time.lotka_volterra(a, 4000),
    "lorenz": lambda a: in_time.lorenz(a, 4000),
}
RECURRENCES = {
    "logistic_map": lambda a: in_time.logistic_map(a, 20),
    "harmonic": lambda a: in_time.harmonic(a, 40),
    "two_lags": lambda a: in_time.two_lags(a, 40),
}


def off(y, case):
    found = y[-1] if case.is_final else y
    return np.abs(found - case.exact).max() / np.abs(case.exact).max()


@pytest.mark.parametrize("name", ODES)
def test_differential_equations(name):
    case = ODES[name](np.asarray)
    sol = ds.solve(case.problem)
    assert off(sol.y_corrected, case) < 2e-8
    assert off(sol.y, case) < 1e-4


@pytest.mark.parametrize("name", ["linear", "bernoulli"])
def test_differential_equations_on_every_library(lib, name):
    case = ODES[name](lib.asarray)
    assert off(lib.to_numpy(ds.solve(case.problem).y_corrected), case) < 2e-8


@pytest.mark.parametrize("name", RECURRENCES)
@pytest.mark.cases_backend("jax")
def test_recurrences(lib, name):
    case = RECURRENCES[name](lib.asarray)
    assert off(lib.to_numpy(ds.solve(case.problem).y), case) <= case.accuracy
