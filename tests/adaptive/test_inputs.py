"""Inputs of a batch, constant, at times and as signals, in solves to a tolerance: against SciPy by element."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import deersolve as ds

T = np.array([0.0, 1.0, 2.0])
KNOTS = np.array([0.0, 0.7, 2.0])
RATES, COURSES = np.array([1.0, 2.0, 3.0]), np.array([[1.0, 2.0, 3.0], [2.0, 2.0, 1.0], [3.0, 1.0, 0.0]])
PUSHES = np.array([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0], [6.0, 7.0, 8.0]])


def driven(y, x, params):
    xp = ds.array_namespace(y)
    return xp.stack([y[..., 1], x["u"][..., 0] - x["k"][..., 0] * x["c"][..., 0] * y[..., 0]], axis=-1)


def problem(lib, rates=None, pushes=None):
    k, u = (lib.asarray(a) if given is None else given for a, given in ((RATES, rates), (PUSHES, pushes)))
    x = {"k": k[:, None, None], "c": lib.asarray(COURSES[..., None]), "u": ds.Signal(KNOTS, u[..., None])}
    return ds.InitialValueProblem(driven, lib.asarray(T), lib.asarray(np.ones((3, 2))), x)


def by_scipy(rates, pushes):
    """Return y at the last time, (3, 2), of pieces between the times where inputs are not smooth."""
    found, ends = [], np.array([0.0, 0.7, 1.0, 2.0])
    for k, course, push in zip(rates, COURSES, pushes, strict=True):
        y = np.ones(2)
        for start, end in itertools.pairwise(ends):
            u = push[0] if end <= 0.7 else push[1]
            y = solve_ivp(
                lambda t, y, k=k, c=course, u=u: [y[1], u - k * np.interp(t, T, c) * y[0]],
                (start, end), y, "DOP853", rtol=1e-12, atol=1e-12,
            ).y[:, -1]  # fmt: skip
        found.append(y)
    return np.array(found)


@pytest.mark.slow_backend("jax")
@pytest.mark.cases_backend("jax", "dopri8")
@pytest.mark.parametrize("rule", ["dopri8", "radau5"])
def test_each_element_has_its_own(lib, rule):
    y = lib.to_numpy(lib.solve(problem(lib), rtol=1e-8, inverse=rule).y)
    np.testing.assert_allclose(y[:, -1], by_scipy(RATES, PUSHES), rtol=2e-7)


@pytest.mark.skip_backend("numpy", reason="no derivatives")
@pytest.mark.skip_backend("strict", reason="no derivatives")
@pytest.mark.skip_backend("cupy", reason="no derivatives")
@pytest.mark.deep_but("dopri8")
@pytest.mark.parametrize("rule", ["dopri8", "radau5"])
def test_derivatives_by_them(lib, rule):
    def total(rates, pushes):
        return ds.solve(problem(lib, rates, pushes), rtol=1e-9, inverse=rule).y[:, -1, :].sum()

    given = [lib.asarray(RATES), lib.asarray(PUSHES)]
    if lib.is_jax:
        import jax

        found = jax.jit(jax.grad(total, argnums=(0, 1)))(*given)
    else:
        given = [a.requires_grad_() for a in given]
        total(*given).backward()
        found = [a.grad for a in given]
    h, e = 1e-4, np.array([0.0, 1.0, 0.0])
    by_rate = by_scipy(RATES + h * e, PUSHES) - by_scipy(RATES - h * e, PUSHES)
    by_push = by_scipy(RATES, PUSHES + h * e) - by_scipy(RATES, PUSHES - h * e)
    assert abs(float(found[0][1]) - by_rate.sum() / (2 * h)) < 1e-6
    np.testing.assert_allclose(lib.to_numpy(found[1])[:, 1].sum(), by_push.sum() / (2 * h), atol=1e-6)


def test_derivatives_by_numpy():
    course = problem(type("NumPy", (), {"asarray": staticmethod(np.asarray)}))
    sol = ds.solve(course, rtol=1e-9)
    dy = ds.sensitivity(course, sol, {"y0": np.ones((3, 2))})
    doubled = ds.InitialValueProblem(driven, T, np.ones((3, 2)) * 2, course.x)
    np.testing.assert_allclose(dy, ds.solve(doubled, rtol=1e-9).y - sol.y, atol=1e-7)  # f is linear in y
