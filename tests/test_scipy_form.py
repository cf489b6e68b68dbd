"""SciPy's functions as they are: fun(t, y) of one point, fun(x, y) and bc(ya, yb) of solve_bvp, on every library."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import solve_bvp

import deersolve as ds

T = np.linspace(0.0, 10.0, 101)
Y0 = np.array([1.0, 0.5])
S = np.linspace(0.0, 1.0, 201)
COARSE = pytest.mark.filterwarnings("ignore::deersolve.DiscretisationWarning")


def branch(t, y):
    return [y[1], -y[0]] if t < 5 else [y[1], 1 - y[0]]


def filled(t, y):
    d = np.zeros(2)
    d[0], d[1] = y[1], -y[0]
    return d


def libm(t, y):
    return [y[1], -y[0] + math.sin(t)]


def index(t, y):
    return (y[1], -y[0] + (0.0, 1.0)[int(t > 5)])


def hstack(t, y):
    return np.hstack([y[1], -y[0]])


def builtin(t, y):
    return [y[1], -y[0] * max(0, 1 - y[1] ** 2)]


def zeros(t, y):
    return np.zeros((2,))


def norm(t, y):
    return [y[1], -y[0] / np.linalg.norm(y) ** 3]


def largest(t, y):
    return [y[1], -y[0] / (1 + np.max(y) ** 2)]


def together(t, u, v):
    return np.stack([u, v + 0 * u], axis=-1)


BY_HAND = {
    branch: lambda t, u, v: together(t, v, np.where(t < 5, -u, 1 - u)),
    filled: lambda t, u, v: together(t, v, -u),
    libm: lambda t, u, v: together(t, v, -u + np.sin(t)),
    index: lambda t, u, v: together(t, v, -u + np.where(t > 5, 1.0, 0.0)),
    hstack: lambda t, u, v: together(t, v, -u),
    builtin: lambda t, u, v: together(t, v, -u * np.maximum(0, 1 - v**2)),
    zeros: lambda t, u, v: together(t, 0 * u, 0),
    norm: lambda t, u, v: together(t, v, -u / (u**2 + v**2) ** 1.5),
    largest: lambda t, u, v: together(t, v, -u / (1 + np.maximum(u, v) ** 2)),
}


@COARSE
@pytest.mark.parametrize("fun", BY_HAND, ids=lambda fun: fun.__name__)
def test_idioms_of_one_point(fun):
    """Written by hand for all points, the same equation has the same solution."""
    by_hand = BY_HAND[fun]
    f = ds.from_scipy(fun)
    sol = ds.solve(ds.InitialValueProblem(f, T, Y0))
    expected = ds.solve(ds.InitialValueProblem(lambda y, t, p: by_hand(t[..., 0], y[..., 0], y[..., 1]), T, Y0))
    np.testing.assert_allclose(sol.y, expected.y, rtol=0, atol=1e-11)
    assert sol.stats.derivative.endswith("point by point")
    assert ("central differences" in sol.stats.derivative) == (fun is filled)


@COARSE
def test_what_takes_all_points_is_called_once_for_all():
    calls = []

    def fun(t, y, k):
        calls.append(np.ndim(t))
        return [y[1], -k * np.sin(y[0])]

    y0 = np.array([[2.0, 0.0], [1.0, 0.3]])
    sol = ds.solve(ds.InitialValueProblem(ds.from_scipy(fun), T, y0, params=(0.7,)))
    assert sol.stats.derivative == "dual numbers"
    assert sum(n == 0 for n in calls) < 40 < T.size
    alone = ds.solve(ds.InitialValueProblem(ds.from_scipy(fun), T, y0[1], params=0.7))
    np.testing.assert_allclose(sol.y[1], alone.y, rtol=0, atol=1e-12)


@COARSE
def test_values_that_part_only_at_the_solution():
    """At the guess nothing is above 2: there a call for all points has the right values, later it has not."""

    def fun(t, y):
        return [0.5 * y[0] if np.all(y[0] < 2.0) else 1.0 + 0 * y[0]]

    def by_hand(y, t, params):
        return np.where(y < 2.0, 0.5 * y, 1.0)

    t = np.linspace(0.0, 3.0, 101)
    sol = ds.solve(ds.InitialValueProblem(ds.from_scipy(fun), t, np.array([1.0])))
    expected = ds.solve(ds.InitialValueProblem(by_hand, t, np.array([1.0])))
    np.testing.assert_allclose(sol.y, expected.y, rtol=0, atol=1e-10)
    assert "point by point" in sol.stats.derivative


@COARSE
@pytest.mark.cases_backend("jax")
@pytest.mark.slow_backend("jax")
def test_one_point_mapped_on_every_library(lib):
    """A largest component is that of one point."""

    def fun(t, y):
        return [y[1], -y[0] / (1 + ds.array_namespace(y).max(y) ** 2)]

    sol = ds.solve(ds.InitialValueProblem(ds.from_scipy(fun), lib.asarray(T), lib.asarray(Y0)))
    expected = ds.solve(
        ds.InitialValueProblem(lambda y, t, p: BY_HAND[largest](t[..., 0], y[..., 0], y[..., 1]), T, Y0)
    )
    np.testing.assert_allclose(lib.to_numpy(sol.y), expected.y, rtol=0, atol=1e-11)


@COARSE
@pytest.mark.parametrize("fun", [branch, libm], ids=lambda fun: fun.__name__)
@pytest.mark.cases_backend("jax")
def test_what_vmap_cannot_follow_is_named(lib, fun):
    problem = ds.InitialValueProblem(ds.from_scipy(fun), lib.asarray(T), lib.asarray(Y0))
    if lib.is_jax or lib.is_torch:
        with pytest.raises(ds.FunctionError, match=r"(?s)inside ds\.from_scipy.*where\(t < 5, a, b\)"):
            ds.solve(problem)
    else:
        assert bool(lib.to_numpy(ds.solve(problem, method="newton").converged))


def bratu(x, y):
    return np.vstack((y[1], -np.exp(y[0])))


def bratu_of_columns(x, y):
    d = np.zeros((2, x.shape[0]))
    return d + np.array([y[1], -np.exp(y[0])])


@pytest.mark.parametrize("fun", [bratu, bratu_of_columns, lambda x, y: [y[1], -math.exp(y[0])]])
def test_both_functions_of_solve_bvp(fun):
    def bc(ya, yb):
        return np.array([ya[0], yb[0]])

    exact = solve_bvp(bratu, bc, np.linspace(0.0, 1.0, 11), np.zeros((2, 11)), tol=1e-10).sol(S).T
    problem = ds.TwoPointProblem(ds.from_scipy(fun), S, ds.from_scipy(bc))
    sol = ds.solve(problem, np.zeros((201, 2)))
    np.testing.assert_allclose(sol.y_corrected, exact, rtol=0, atol=1e-9)
    assert sol.stats.derivative.endswith(("of the conditions complex step", "point by point"))


def test_unknown_numbers_of_solve_bvp():
    """y'' = -k^2 y, y(0) = y(1) = 0, y'(0) = k: sin(2 pi x) and k = 2 pi."""

    def fun(x, y, p):
        return np.vstack((y[1], -(p[0] ** 2) * y[0]))

    def bc(ya, yb, p):
        return np.array([ya[0], yb[0], ya[1] - p[0]])

    f, ends = (ds.from_scipy(g, unknowns=1) for g in (fun, bc))
    guess = np.stack([np.sin(6 * S), 6 * np.cos(6 * S), 6 + 0 * S], axis=-1)
    sol = ds.solve(ds.TwoPointProblem(f, S, ends), guess)
    assert sol.y_corrected[0, 2] == pytest.approx(2 * np.pi, abs=1e-7)
    np.testing.assert_allclose(sol.y_corrected[:, 0], np.sin(2 * np.pi * S), rtol=0, atol=1e-7)


@pytest.mark.deep_backend("strict")
def test_conditions_of_one_point_on_every_library(lib):
    """u'' = -u with u(0) = c, u(pi / 2) = 1: c cos(s) + sin(s), for two c at once; sensitivity by c is cos(s)."""
    s = np.pi / 2 * S

    def bc(ya, yb, c):
        return [ya[0] - c, yb[0] - 1]

    f, ends = ds.from_scipy(lambda x, y, c: [y[1], -y[0]]), ds.from_scipy(bc)
    problem = ds.TwoPointProblem(f, lib.asarray(s), ends, params=lib.asarray(0.5))
    sol = ds.solve(problem, lib.asarray(np.zeros((2, 201, 2))))
    expected = 0.5 * np.cos(s) + np.sin(s)
    np.testing.assert_allclose(lib.to_numpy(sol.y_corrected)[1, :, 0], expected, rtol=0, atol=1e-8)
    if lib.is_numpy:
        dy = ds.sensitivity(problem, sol, {"params": np.array(1.0)})
        np.testing.assert_allclose(dy[0, :, 0], np.cos(s), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("f", "words"),
    [
        (ds.rowwise(lambda y, x, p: y - y.mean(0)), r"inside ds\.rowwise, which takes"),
        (ds.rowwise(lambda y, x, p: y[:, :1]), r"inside ds\.rowwise: expected rows \(48, 2\); received \(48, 1\)"),
        (ds.rowwise(lambda y: y), r"It is inside ds\.rowwise, which takes"),
        (ds.pointwise(lambda y, x, p: y[..., 0, :]), r"It is inside ds\.pointwise, which takes"),
        (ds.from_scipy(lambda y, t: [y[1], -y[0]]), r"inside ds\.from_scipy, raised .* expected fun\(t, y\)"),
        (ds.from_scipy(lambda t, y: [y[1], y[0], 0.0]), r"expected numbers of shape \(2,\); received \(3,\)"),
        (ds.from_scipy(lambda t, y: None), "received NoneType"),
        (ds.from_scipy(lambda t, y: [y[1], 1j * y[0]]), "received complex128"),
        (ds.from_scipy(lambda t, y: [y[1], y[0] / np.max(y)], vectorized=True), r"It is inside ds\.from_scipy"),
    ],
)
def test_messages_know_what_f_is_inside(f, words):
    with pytest.raises(ds.FunctionError, match=words) as caught:
        ds.solve(ds.InitialValueProblem(f, T, Y0))
    assert "wrap it" not in str(caught.value)


@pytest.mark.parametrize("adapter", [ds.rowwise, ds.pointwise, ds.from_scipy])
def test_an_adapter_of_no_function(adapter):
    with pytest.raises(ds.InputError, match="expected a function"):
        adapter(3)
    with pytest.raises(ds.InputError, match="unknowns"):
        ds.from_scipy(branch, unknowns=-1)
