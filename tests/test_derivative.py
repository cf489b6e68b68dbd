"""Jacobians that no AD gives: complex steps, differences, and the user's own, checked."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special

import deersolve as ds
from deersolve.backends import backend_of
from deersolve.newton.finite_slopes import Directions, mended
from deersolve.newton.jacobians import complex_step, differences
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
@pytest.mark.cases_backend("jax")
def test_a_wrong_jac_is_an_error(lib, jac, words):
    def f(y, x, params):
        return ds.array_namespace(y).sin(y)

    problem = ds.Recurrence(f, lib.asarray([0.3, 0.5]), n_points=40, jac=jac)
    with pytest.raises(ds.FunctionError, match=words):
        ds.solve(problem)


@pytest.mark.cases_backend("jax")
def test_a_right_jac_is_used(lib):
    def f(y, x, params):
        return ds.array_namespace(y).sin(y)

    problem = ds.Recurrence(f, lib.asarray([0.3, 0.5]), n_points=40, jac=lambda y, x, p: ds.array_namespace(y).cos(y))
    sol = ds.solve(problem, method="newton")
    assert sol.stats.derivative == "analytic"
    expected = loop(lambda y, x, p: np.sin(y), np.array([[0.3, 0.5]]), None, None, n_points=40)
    np.testing.assert_allclose(lib.to_numpy(sol.y), expected, rtol=0, atol=1e-14)


@pytest.mark.cases_backend("jax")
def test_f_may_ignore_an_argument(lib):
    """The Jacobian by it is zero, also of several components: PyTorch's vmap crashed on those."""
    y0 = np.array([[0.9, -0.3], [0.3, 0.5]])
    problem = ds.Recurrence(lambda a, b, x, p: 0.5 * a * a + 0.1, lib.asarray(y0), lags=(1, 2), n_points=7)
    expected = [y0[1]]
    for _ in range(7):
        expected.append(0.5 * expected[-1] ** 2 + 0.1)
    np.testing.assert_allclose(lib.to_numpy(ds.solve(problem, method="newton").y), expected[1:], rtol=0, atol=1e-14)


def rooted(xp, y):
    return xp.sqrt(xp.maximum(y, xp.zeros_like(y)))


@pytest.mark.filterwarnings("ignore::deersolve.DiscretisationWarning")
def test_an_automatic_derivative_that_is_not_finite_where_f_is(lib):
    """A tank that empties at t = 4, and 1 / (1 + exp(y)) at 1000: inf * 0 for derivatives that are 0."""

    def f(y, t, k):
        xp = ds.array_namespace(y)
        a, b = y[..., :1], y[..., 1:]
        return xp.concat([-k * rooted(xp, a), 1 / (1 + xp.exp(b))], axis=-1)

    def by_hand(y, t, k):
        slope = np.where(y[..., 0] > 0, -k / (2 * np.sqrt(np.maximum(y[..., 0], 1e-300))), 0.0)
        return np.stack([slope, 0 * slope], axis=-1)

    t = np.linspace(0.0, 5.0, 81)
    given = (t, np.array([1.0, 1000.0]))
    problem = ds.InitialValueProblem(f, *map(lib.asarray, given), params=lib.asarray(0.5))
    sol = ds.solve(problem, method=ds.Newton(window=40))
    with np.errstate(over="ignore"):
        by = ds.InitialValueProblem(f, *given, params=0.5, jac=by_hand)
        expected = ds.solve(by, method=ds.Newton(window=40), check_inputs=False)  # of sizes that no difference takes
    np.testing.assert_allclose(lib.to_numpy(sol.y), expected.y, rtol=0, atol=1e-12)
    exact = np.where(t < 4, (1 - t / 4) ** 2, 0.0)
    np.testing.assert_allclose(lib.to_numpy(sol.y)[:, 0], exact, rtol=0, atol=1e-3)
    if not lib.is_jax:
        assert sol.stats.derivative.endswith("differences where those are not finite")


@pytest.mark.filterwarnings("ignore::deersolve.DiscretisationWarning")
def test_gradients_where_slopes_were_mended_are_right_or_nan(lib):
    """Before the tank is empty d y / d k = -(1 - k t / 2) t; what comes later is 0, or not known."""

    def f(y, t, k):
        return -k * rooted(ds.array_namespace(y), y)

    t = np.linspace(0.0, 5.0, 81)
    problem = ds.InitialValueProblem(f, lib.asarray(t), lib.asarray([1.0]), params=lib.asarray(0.5))
    sol = ds.solve(problem, method=ds.Newton(window=27))
    dy = lib.to_numpy(ds.sensitivity(problem, sol, {"params": lib.asarray(1.0)}))[:, 0]
    early = t < 3
    np.testing.assert_allclose(dy[early], (-(1 - t / 4) * t)[early], rtol=0, atol=1e-12)
    late = dy[t > 4.5]
    assert np.all(np.isnan(late) | (np.abs(late) < 0.1))


@pytest.mark.parametrize(
    ("f", "slope", "is_smooth"),
    [
        (lambda y: np.cbrt(y**3), 1.0, True),
        (lambda y: np.sqrt(y**4), 0.0, True),
        (lambda y: np.sqrt(y**2), 0.0, False),
        (lambda y: np.sqrt(np.maximum(y, 0)), None, False),
        (lambda y: np.sqrt(y), None, False),
    ],
    ids=["identity", "square", "modulus", "one-sided root", "root"],
)
def test_slopes_at_0_that_dual_numbers_do_not_give(f, slope, is_smooth):
    """A slope that is another on each side is none for a gradient; Newton's method takes any that is finite."""
    zero, backend = np.zeros((1, 1)), backend_of(np.zeros(1))
    by = Directions(1, lambda k: (np.ones((1, 1)),), lambda rows: (np.moveaxis(rows, 0, -1),))
    with np.errstate(all="ignore"):
        assert not np.isfinite(backend.jacobians(lambda y, x: f(y), (zero,))[1][0]).all()
        lenient, strict = (
            mended(backend, f, (zero,), (np.full((1, 1, 1), np.nan),), by, flag)[0].item() for flag in (False, True)
        )
    assert np.isfinite(lenient)
    assert slope is None or lenient == pytest.approx(slope, abs=1e-9)
    assert np.isnan(strict) != is_smooth


def test_slopes_in_space_that_are_not_finite(lib):
    """u'' = 1 / (1 + exp(1000 u)), which is 0 to roundoff for u between 1 and 2: a straight line."""

    def f(u, u_s, x, params):
        return 1 / (1 + ds.array_namespace(u).exp(1000 * u))

    s = np.linspace(0.0, 1.0, 21)
    ends = {"left": ds.Dirichlet(1.0), "right": ds.Dirichlet(2.0)}
    sol = ds.solve(ds.BoundaryValueProblem(f, lib.asarray(s), **ends))
    np.testing.assert_allclose(lib.to_numpy(sol.y)[:, 0], 1 + s, rtol=0, atol=1e-13)
