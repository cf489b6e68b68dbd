"""The error of systems too large for a matrix of each step: that of looser steps, in the ratio of the tolerances."""

import numpy as np
import pytest

import deersolve as ds

SPEEDS = np.linspace(1.0, 3.0, 40)
FACTOR = 10  # times the tolerance: what an error may be


def unstable(y, t, p):
    """y_i = cos(w_i t) where it starts there, and an error grows as e^t."""
    xp, w = ds.array_namespace(y), p
    return y - xp.cos(w * t) - w * xp.sin(w * t)


@pytest.mark.parametrize("rows", [(), (9,)])
@pytest.mark.skip_backend("jax", reason="no error is estimated there by default")
def test_errors_that_grow_are_mended_and_told(lib, rows):
    """162,000 times on 12 units of time."""
    t, y0 = np.array([0.0, 5.0, 12.0]), np.ones((*rows, 40))
    problem = ds.InitialValueProblem(unstable, lib.asarray(t), lib.asarray(y0), params=lib.asarray(SPEEDS))
    sol = ds.solve(problem, rtol=1e-6, atol=1e-6, inverse="dopri8")
    assert "errors grow" in sol.stats.choice
    error = np.abs(lib.to_numpy(sol.y) - np.cos(t[:, None] * SPEEDS)).max()
    assert error < FACTOR * 2e-6
    assert error < 5 * float(lib.to_numpy(sol.stats.discretisation_error).max())


def test_what_smaller_steps_cannot_mend_is_told():
    """Roundoff has grown to 1e-3 after 30 units of time."""
    problem = ds.InitialValueProblem(unstable, np.array([0.0, 30.0]), np.ones(40), params=SPEEDS)
    sol = ds.solve(problem, rtol=1e-6, inverse="dopri8", on_failure="return")
    assert sol.status == ds.Status.UNDER_RESOLVED


def test_the_longest_step_grows_with_the_tolerance():
    """Chaos on steps that max_step, and not the tolerance, made: equal steps would be equally wrong."""

    def lorenz(y, t, p):
        u, v, w = y[..., :12], y[..., 12:24], y[..., 24:]
        return np.concatenate([10 * (v - u), u * (28 - w) - v, u * v - 8 / 3 * w], axis=-1)

    problem = ds.InitialValueProblem(lorenz, np.array([0.0, 40.0]), np.repeat([1.0, 1.0, 20.0], 12))
    method = ds.Adaptive(1e-3, 1e-3, max_step=0.04)
    sol = ds.solve(problem, method=method, inverse="dopri8", on_failure="return")
    assert sol.status == ds.Status.UNDER_RESOLVED


@pytest.mark.parametrize("rtol", [0.02, 0.3, 0.9])
def test_a_tolerance_near_1_has_no_looser_one_above_1(rtol):
    problem = ds.InitialValueProblem(unstable, np.array([0.0, 2.0]), np.ones(40), params=SPEEDS)
    sol = ds.solve(problem, method=ds.Adaptive(rtol, rtol), inverse="dopri5")
    assert np.abs(sol.y[-1] - np.cos(2 * SPEEDS)).max() < FACTOR * rtol
