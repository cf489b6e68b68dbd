"""Jacobians that no AD gives: complex steps, differences, and the user's own, checked."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special

import deersolve as ds
from deersolve.derivative import complex_step, differences
from tests.references import loop

POINTS = np.random.default_rng(5).uniform(0.2, 1.5, (3, 7, 2))


def pair(a, b, x):
    return np.stack([np.sin(a[..., 0]) * b[..., 1] + x[..., 0], np.exp(a[..., 1]) - b[..., 0] ** 3], axis=-1)


@pytest.mark.parametrize(("way", "units"), [(complex_step, 8.0), (differences, 2e6)])
def test_both_ways_against_the_closed_form(way, units):
    """Complex steps are exact to roundoff; central differences to eps^(2/3) = 1.7e5 eps, times the third derivative."""
    a, b = POINTS, POINTS[::-1]
    x = np.ones((1, 7, 1))
    ja, jb = way(pair)(a, b, x)
    zero = np.zeros_like(a[..., 0])
    da = [[np.cos(a[..., 0]) * b[..., 1], zero], [zero, np.exp(a[..., 1])]]
    db = [[zero, np.sin(a[..., 0])], [-3 * b[..., 0] ** 2, zero]]
    for found, expected in ((ja, da), (jb, db)):
        off = np.abs(found - np.moveaxis(np.array(expected), (0, 1), (-2, -1)))
        assert off.max() <= units * np.finfo(float).eps * 8


@pytest.mark.parametrize(
    ("f", "name"),
    [
        (lambda y, x, p: special.dawsn(2 * y) + 0.1, "complex step"),
        (lambda y, x, p: special.j0(3 * y), "central differences"),
        (lambda y, x, p: np.vectorize(math.sin)(2 * y) - 0.3, "central differences"),
        (lambda y, x, p: np.sin(2 * y), "dual numbers"),
    ],
    ids=["analytic", "real", "math", "plain"],
)
@pytest.mark.parametrize("method", ["auto", "newton"])
def test_f_that_dual_numbers_cannot_follow(f, name, method):
    y0 = np.array([0.3, 0.5])
    sol = ds.solve(ds.Recurrence(f, y0, n_points=60), method=method)
    assert sol.stats.derivative == name
    np.testing.assert_allclose(sol.y, loop(f, y0[None], None, None, n_points=60), rtol=0, atol=1e-12)


def test_what_no_way_can_follow_names_the_cure():
    def f(y, x, params):
        if not isinstance(y, np.ndarray) or np.iscomplexobj(y) or np.abs(y - 1).max() > 1e-6 * 0.5:
            raise TypeError("only plain numbers")
        return y

    with pytest.raises((TypeError, ds.FunctionError)) as caught:
        ds.solve(ds.Recurrence(f, np.array([1.0]), n_points=5), check_inputs=True)
    assert "only plain numbers" in str(caught.value)


@pytest.mark.parametrize(
    ("jac", "words"),
    [
        (lambda y, x, p: 0.5 + 0 * y, "not the Jacobian"),
        (lambda y, x, p: ds.array_namespace(y).zeros((3,)), "shape"),
    ],
    ids=["wrong", "shape"],
)
def test_a_wrong_jac_is_an_error(lib, jac, words):
    def f(y, x, params):
        return ds.array_namespace(y).sin(y)

    problem = ds.Recurrence(f, lib.asarray([0.3, 0.5]), n_points=40, jac=jac)
    with pytest.raises(ds.FunctionError, match=words):
        ds.solve(problem)


def test_a_right_jac_is_used(lib):
    def f(y, x, params):
        return ds.array_namespace(y).sin(y)

    problem = ds.Recurrence(f, lib.asarray([0.3, 0.5]), n_points=40, jac=lambda y, x, p: ds.array_namespace(y).cos(y))
    sol = ds.solve(problem, method="newton")
    assert sol.stats.derivative == "analytic"
    expected = loop(lambda y, x, p: np.sin(y), np.array([[0.3, 0.5]]), None, None, n_points=40)
    np.testing.assert_allclose(lib.to_numpy(sol.y), expected, rtol=0, atol=1e-14)


def test_f_may_ignore_an_argument(lib):
    """The Jacobian by it is zero, also of several components: PyTorch's vmap crashed on those."""
    y0 = np.array([[0.9, -0.3], [0.3, 0.5]])
    problem = ds.Recurrence(lambda a, b, x, p: 0.5 * a * a + 0.1, lib.asarray(y0), lags=(1, 2), n_points=7)
    expected = [y0[1]]
    for _ in range(7):
        expected.append(0.5 * expected[-1] ** 2 + 0.1)
    np.testing.assert_allclose(lib.to_numpy(ds.solve(problem, method="newton").y), expected[1:], rtol=0, atol=1e-14)
