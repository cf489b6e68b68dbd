"""The estimated discretisation error against the truth: smooth and stiff equations, jumps, kinks and coarse grids."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import deersolve as ds

pytestmark = pytest.mark.filterwarnings("ignore::deersolve.DiscretisationWarning")
ON, OFF, HEIGHT = 1.0, 1.05, 20.0
RULES = ("trapezoid", "backward_euler", "exponential", "exponential_left", "exponential_right", "exponential_linear")


def pulse(u, t, height):
    """Decay, with an inflow while 1 < t <= 1.05."""
    xp = ds.array_namespace(u)
    return xp.where((t > ON) & (t <= OFF), height - u, -u)


def pulsed(t):
    """Return the exact answer to the pulse."""
    since = np.clip(t, ON, OFF)
    return np.exp(-t) + HEIGHT * (np.exp(since - t) - np.exp(ON - t)) * (t > ON)


def with_pairs(N, *places, gap=0.0):
    """Return N points on [0, 2], and the places twice."""
    t = np.linspace(0.0, 2.0, N)
    kept = t[(np.abs(t[:, None] - np.array(places)) > 1e-9).all(axis=1)]
    return np.sort(np.concatenate([kept, places, np.array(places) + gap]))


def true_error(y, exact):
    """Return the largest error of each component by its largest value, of the worst."""
    return (np.abs(y - exact).max(axis=0) / np.abs(y).max(axis=0)).max()


def even(T, *counts):
    return [np.linspace(0.0, T, N) for N in counts]


def forced(exact, slope):
    """Return ``y' = slope(t)``, as SciPy has it, with its exact solution."""
    return lambda t, y: [slope(t) + 0 * y[0]], exact


def stiff(t):
    return np.sin(t) + np.exp(-1000 * t)


CASES = {
    "decay": (lambda t, y: [-y[0]], lambda t: np.exp(-t), even(5.0, 6, 21, 201)),
    "graded": (lambda t, y: [-y[0]], lambda t: np.exp(-t), [np.geomspace(1.0, 6.0, N) - 1.0 for N in (11, 51)]),
    "growth": (lambda t, y: [y[0]], np.exp, even(5.0, 6, 21, 201)),
    "backwards": (lambda t, y: [y[0]], np.exp, even(-5.0, 11, 101)),
    "blow-up": (lambda t, y: [y[0] ** 2], lambda t: 1 / (1 - t), even(0.95, 101, 401)),
    "long": (*forced(lambda t: 1 + np.sin(t), np.cos), even(50.0, 21, 61, 201, 801)),
    "root": (*forced(lambda t: 1 + t**1.5, lambda t: 1.5 * np.sqrt(np.abs(t))), even(1.0, 11, 201)),
    "step": (
        lambda t, y: [-y[0] + 3.0 * (t > ON)],
        lambda t: np.exp(-t) + 3 * (1 - np.exp(np.minimum(1 - t, 0.0))),
        even(2.0, 12, 51, 202, 401),
    ),
    "small step": (
        lambda t, y: [-y[0] + 3e-3 * (t > ON)],
        lambda t: np.exp(-t) + 3e-3 * (1 - np.exp(np.minimum(1 - t, 0.0))),
        even(2.0, 12, 51, 202),
    ),
    "pulse": (lambda t, y: [-y[0] + HEIGHT * ((t > ON) & (t < OFF))], pulsed, even(2.0, 390, 401, 2001)),
    "kink": (
        *forced(lambda t: 2 + (t - 1.03) * np.abs(t - 1.03), lambda t: 2 * np.abs(t - 1.03)),
        even(2.0, 12, 52, 203),
    ),
    "saw": (*forced(lambda t: 1 + np.floor(t) + (t % 1) ** 2, lambda t: 2 * (t % 1)), even(4.7, 48, 301)),
    "stiff, slow": (lambda t, y: [-1000 * (y[0] - np.sin(t)) + np.cos(t)], np.sin, even(2.0, 21, 201, 2001)),
    "stiff, fast": (lambda t, y: [-1000 * (y[0] - np.sin(t)) + np.cos(t)], stiff, even(2.0, 51, 8001)),
}
SYSTEMS = {
    "Lotka-Volterra": (
        lambda t, y: [1.5 * y[0] - y[0] * y[1], -3 * y[1] + y[0] * y[1]],
        [1.0, 1.0],
        even(10.0, 21, 51, 501),
    ),
    "Van der Pol": (
        lambda t, y: [y[1], 5 * (1 - y[0] ** 2) * y[1] - y[0]],
        [2.0, 0.0],
        even(10.0, 51, 201, 601),
    ),
    "Lorenz": (
        lambda t, y: [10 * (y[1] - y[0]), y[0] * (28 - y[2]) - y[1], y[0] * y[1] - 8 / 3 * y[2]],
        [1.0, 1.0, 1.0],
        even(2.0, 41, 161, 401),
    ),
    "|y|": (
        lambda t, y: [y[1], -y[0] - 2 * np.abs(y[0]) + 0.3 * np.cos(t)],
        [0.3, 0.0],
        even(10.0, 21, 201),
    ),
    "Kepler": (
        lambda t, y: [y[2], y[3], *(-y[k] / (y[0] ** 2 + y[1] ** 2) ** 1.5 for k in (0, 1))],
        [0.4, 0.0, 0.0, 2.0],
        even(10.0, 101, 401),
    ),
}


def check(sol, exact):
    """Assert that what is called asymptotic is right; return whether it is."""
    if sol.stats.is_asymptotic:
        truth = true_error(sol.y, exact)
        assert 0.5 <= sol.stats.discretisation_error / truth <= 2.0
        assert true_error(sol.y_corrected, exact) <= truth
    return bool(sol.stats.is_asymptotic)


@pytest.mark.parametrize("name", CASES)
def test_an_estimate_that_is_asymptotic_is_right(name):
    f, exact, grids = CASES[name]
    sure = []
    for t in grids:
        sol = ds.solve(ds.InitialValueProblem(ds.from_scipy(f), t, np.array([exact(0.0)])))
        sure.append(check(sol, exact(t)[:, None]))
    smooth = {"decay", "graded", "growth", "backwards", "blow-up", "long", "stiff, slow", "stiff, fast"}
    assert sure[-1] is (name in smooth)


@pytest.mark.parametrize("name", SYSTEMS)
def test_an_estimate_that_is_asymptotic_is_right_of_systems(name):
    f, y0, grids = SYSTEMS[name]
    step = 0.05 if name == "|y|" else np.inf
    known = solve_ivp(f, (0.0, grids[0][-1]), y0, "DOP853", rtol=1e-11, atol=1e-12, dense_output=True, max_step=step)
    sure = []
    for t in grids:
        sol = ds.solve(ds.InitialValueProblem(ds.from_scipy(f), t, np.array(y0)))
        sure.append(check(sol, known.sol(t).T))
    assert not sure[0] or name == "|y|"
    assert sure[-1] is (name in {"Lotka-Volterra", "Van der Pol", "Lorenz"})


@pytest.mark.parametrize("N", [401, 2001])
@pytest.mark.cases_backend("jax")
def test_a_jump_on_the_grid_is_told_and_measured(lib, N):
    t = np.linspace(0.0, 2.0, N)
    sol = lib.solve(ds.InitialValueProblem(pulse, lib.asarray(t), lib.asarray([1.0]), params=HEIGHT))
    assert not bool(sol.stats.is_asymptotic)
    truth = true_error(lib.to_numpy(sol.y), pulsed(t)[:, None])
    assert truth / 4 < float(sol.stats.discretisation_error) < 4 * truth


@pytest.mark.parametrize("gap", [0.0, 1e-12])
def test_two_points_at_a_jump(gap):
    t = with_pairs(401, ON, OFF, gap=gap)
    sol = ds.solve(ds.InitialValueProblem(pulse, t, np.array([1.0]), params=HEIGHT))
    assert check(sol, pulsed(t)[:, None])
    assert true_error(sol.y_corrected, pulsed(t)[:, None]) < 1e-10


@pytest.mark.transformed
def test_a_time_that_stands_twice_is_where_f_jumps(lib):
    """A batch of grids, one of them without pairs, windows that end within a pair, on every library."""
    t = with_pairs(201, ON, OFF)
    grids = np.stack([t, np.linspace(0.0, 1.0, len(t))])
    at = np.flatnonzero(np.diff(t) == 0)[0]
    assert t[at] == t[at + 1] == ON
    y0 = lib.asarray([[1.0], [1.0]])
    for method in (ds.Newton(), ds.Newton(window=int(at))):
        sol = lib.solve(ds.InitialValueProblem(pulse, lib.asarray(grids), y0, params=HEIGHT), method=method)
        y, better = lib.to_numpy(sol.y)[..., 0], lib.to_numpy(sol.y_corrected)[..., 0]
        assert (y[0, at : at + 2] == y[0, at]).all()
        truth = np.abs(y - pulsed(grids)).max(axis=1) / y.max(axis=1)
        assert (truth < 1e-5).all()
        np.testing.assert_allclose(lib.to_numpy(sol.stats.discretisation_error), truth, rtol=0.1)
        assert lib.to_numpy(sol.stats.is_asymptotic).all()
        assert np.abs(better - pulsed(grids)).max() < 1e-9


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_and_the_loop_know_of_a_time_that_stands_twice(rule):
    t = with_pairs(81, ON, OFF)
    for sign, method in ((1.0, "newton"), (-1.0, "sequential" if rule == "trapezoid" else ds.Newton(window=40))):

        def f(u, t, height, sign=sign):
            return sign * pulse(u, sign * t, height)

        sol = ds.solve(ds.InitialValueProblem(f, sign * t, np.array([1.0]), params=HEIGHT), inverse=rule, method=method)
        assert true_error(sol.y, pulsed(t)[:, None]) < (1e-2 if rule == "backward_euler" else 1e-4)
        check(sol, pulsed(t)[:, None])


@pytest.mark.parametrize("compare", [np.greater, np.greater_equal])
def test_both_comparisons_have_two_sides(compare):
    for at in (1.0, 0.0, -3.0):
        t = at + np.concatenate([np.linspace(-1.0, 0.0, 11), np.linspace(0.0, 1.0, 11)])

        def f(u, t, p, at=at):
            return np.where(compare(t, at), 2.0, -1.0) + 0 * u

        sol = ds.solve(ds.InitialValueProblem(f, t, np.array([1.0])))
        np.testing.assert_allclose(sol.y[:, 0], np.where(t > at, 2.0, -1.0) * (t - at), atol=1e-14)


def test_x_has_two_values_at_a_time_that_stands_twice(lib):
    """What the user gives as x stays what it is; a piecewise cubic f is integrated exactly by the correction."""
    places = np.array([0.0, 0.3, 0.5, 1.0, 1.2])
    t = np.concatenate([places, 1.2 + places, 2.4 + places])
    u = np.concatenate([places**3, 5 - places, 7 * places**2 - 3])
    x = {"t": lib.asarray(t[:, None]), "u": lib.asarray(u[:, None])}
    seen = lib.solve(ds.InitialValueProblem(lambda y, x, p: 0 * y + x["u"], lib.asarray(t), lib.asarray([2.0]), x))
    exact = np.concatenate([places**4 / 4, 5 * places - places**2 / 2, 7 * places**3 / 3 - 3 * places])
    starts = np.cumsum([2.0, exact[4], exact[9]])
    np.testing.assert_allclose(lib.to_numpy(seen.y_corrected)[:, 0], exact + np.repeat(starts, 5), rtol=1e-14)
    assert bool(seen.stats.is_asymptotic)


@pytest.mark.parametrize(
    "t", [[0.0, 1.0, 1.0, 1.0, 2.0], [0.0, 0.0], [0.0, 1.0, 1.0, 0.5], [[0.0, 1.0, 2.0], [1.0, 1.0, 1.0]]], ids=str
)
def test_a_time_that_stands_thrice_or_alone_is_refused(t):
    with pytest.raises(ds.InputError, match="some may stand there twice, where f jumps"):
        ds.solve(ds.InitialValueProblem(lambda y, t, p: -y, np.array(t), np.array([1.0])))


def test_pieces_shorter_than_a_cubic_are_in_doubt():
    t = np.array([0.0, 1.0, 1.0, 2.0, 2.0, 3.0])
    sol = ds.solve(ds.InitialValueProblem(lambda y, t, p: t**2 + 0 * y, t, np.array([1.0])))
    assert not sol.stats.is_asymptotic
    assert sol.stats.discretisation_error >= true_error(sol.y, 1 + t[:, None] ** 3 / 3)


def test_units_change_nothing():
    """An orbit around the Earth, in seconds and in hours, and with its height in millimetres."""
    y0 = np.array([-2384.46, 5729.01, 3050.46, -7.36138, -2.98997, 1.64354])
    found = []
    for hour, mm in ((1.0, 1.0), (3600.0, 1.0), (1.0, 1e6)):
        size = np.array([1, 1, mm, hour, hour, hour * mm])

        def orbit(t, y, size=size, hour=hour):
            q = y / size[:, None]
            pull = -398600.4418 * q[:3] / (q[:3] ** 2).sum(axis=0) ** 1.5
            return size[:, None] * np.concatenate([q[3:], pull]) * hour

        t = np.linspace(0.0, 8000.0 / hour, 401)
        found.append(ds.solve(ds.InitialValueProblem(ds.from_scipy(orbit), t, y0 * size)).stats)
    assert all(s.is_asymptotic for s in found)
    for s in found[1:]:
        assert s.discretisation_error == pytest.approx(found[0].discretisation_error, rel=1e-6)
        np.testing.assert_allclose(s.local_error, found[0].local_error, rtol=1e-5)


def test_waves_that_the_grid_does_not_resolve_are_not_asymptotic():
    """Korteweg-de Vries: a stiff equation in time, whose correction is worse than its solution."""
    edges = np.linspace(0.0, 40.0, 65)
    h, m = edges[1], 0.5 * (edges[1:] + edges[:-1])

    def rate(aa, a, b, bb):
        return a * a + a * b + b * b + 0.5 * (bb - b - a + aa) / h**2

    def flux(aa, a, b, bb, x, params):
        return rate(aa, a, b, bb)

    flux.reach = 2
    u0 = 0.5 / np.cosh(0.5 * (m - 12)) ** 2
    ring = {"left": ds.Periodic(), "right": ds.Periodic(), "cells": True, "flux": flux}
    for levels in (21, 101):
        sol = ds.solve(
            ds.Evolution1D(None, np.linspace(0.0, 2.0, levels), edges, u0[:, None], 0.0, **ring), inverse="trapezoid"
        )

        def rhs(t, u):
            g = np.concatenate([u[-2:], u, u[:2]])
            return -np.diff(rate(g[:-3], g[1:-2], g[2:-1], g[3:])) / h

        exact = solve_ivp(rhs, (0.0, 2.0), u0, "DOP853", rtol=1e-10, atol=1e-12).y[:, -1]
        errors = [np.abs(y[-1, :, 0] - exact).max() for y in (sol.y, sol.y_corrected)]
        assert errors[1] <= errors[0] or not sol.stats.is_asymptotic


@pytest.mark.filterwarnings("default::deersolve.DiscretisationWarning")
def test_the_warning_points_to_y_corrected_only_where_it_is_better():
    pendulum = ds.from_scipy(lambda t, y: [y[1], -np.sin(y[0])])

    def on(N):
        return ds.solve(ds.InitialValueProblem(pendulum, np.linspace(0.0, 20.0, N), np.array([2.0, 0.0])))

    with pytest.warns(ds.DiscretisationWarning, match="or look at sol.y_corrected"):
        assert on(101).stats.is_asymptotic
    with pytest.warns(ds.DiscretisationWarning, match="too coarse for sol.y_corrected"):
        assert not on(31).stats.is_asymptotic


@pytest.mark.transformed
def test_the_local_error_is_relative_to_what_y_is_there(lib):
    """Decay to 1e-22: the error is 1e-3 of the start, and more than all of the end."""
    t = np.linspace(0.0, 50.0, 1001)
    y0, exact = np.array([[3.0], [0.2]]), np.exp(-t)
    sol = lib.solve(ds.InitialValueProblem(lambda y, t, p: -y, lib.asarray(t), lib.asarray(y0)))
    assert (lib.to_numpy(sol.stats.discretisation_error) < 1e-3).all()
    local = lib.to_numpy(sol.stats.local_error)
    assert local.shape == (2, 1001)
    before = np.concatenate([exact[:1], exact[:-1]])  # relative to the largest of three neighbours
    truth = np.abs(lib.to_numpy(sol.y)[..., 0] / y0 - exact) / before
    np.testing.assert_allclose(local, np.broadcast_to(truth, local.shape), rtol=0.05)
    assert local[0, -1] > 0.009


def test_the_local_error_of_fields_and_two_ends_has_an_entry_for_each_point():
    s, ends = np.linspace(0.0, 1.0, 21), {"left": ds.Dirichlet(), "right": ds.Dirichlet()}
    u0 = np.stack([1.0 * np.sin(np.pi * s), 2.0 * np.sin(np.pi * s)])[..., None]
    heat = ds.Evolution1D(lambda u, u_s, x, p: 0 * u, np.linspace(0.0, 1.0, 41), s, u0, **ends)
    stats = ds.solve(heat).stats
    assert stats.local_error.shape == (2, 41)
    np.testing.assert_allclose(stats.local_error[0], stats.local_error[1], rtol=1e-8)
    assert stats.local_error[0, -1] > 10 * stats.discretisation_error[0]
    line = ds.TwoPointProblem(
        lambda u, x, p: np.stack([u[..., 1], -u[..., 0]], axis=-1),
        s,
        ds.Coupled(np.array([[1.0, 0.0], [0.0, 0.0]]), np.array([[0.0, 0.0], [1.0, 0.0]]), np.array([0.0, 1.0])),
    )
    sol = ds.solve(line)
    assert sol.stats.local_error.shape == (21,)
    assert sol.stats.local_error.max() < 1e-3


def test_local_error_is_labelled():
    pytest.importorskip("xarray")
    t = np.linspace(0.0, 5.0, 101)
    sol = ds.solve(ds.InitialValueProblem(lambda y, t, p: -y, t, np.ones((3, 1))))
    data = sol.to_xarray(batch={"run": list("abc")})
    assert data.local_error.dims == ("run", "t")
    np.testing.assert_array_equal(data.local_error, sol.stats.local_error)
