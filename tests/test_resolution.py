"""What the points do not resolve is said: the BVP test set and cell Peclet numbers; smooth solutions without a word."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from benchmarks.layers import SECOND_ORDER

import deersolve as ds
from tests.conftest import library

WRONG = 1e-2
KNOWN = sorted(k for k, layer in SECOND_ORDER.items() if layer.exact is not None)
NUMPY = library("numpy")
OPEN = {35}  # ill-conditioned: the certificate speaks of it


def said(problem, guess=None, **options):
    """Return the solution and what was warned of."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        sol = ds.solve(problem, guess, on_failure="return", **options)
    return sol, [str(w.message) for w in seen if issubclass(w.category, ds.DiscretisationWarning)]


@pytest.mark.parametrize("kind", ["second_order", "first_order"])
@pytest.mark.parametrize("number", sorted(set(KNOWN) - OPEN))
def test_no_answer_of_the_bvp_test_set_is_wrong_in_silence(number, kind):
    layer = SECOND_ORDER[number]
    s = layer.grid(401)
    for eps in (0.1, 1e-2, 1e-3, 1e-4):
        eps = 1 / (1 / eps + 1) if number == 16 else eps  # of odd 1 / eps the solution is the only one
        u = layer.exact(s, eps)
        guess = u[:, None] if kind == "second_order" else np.stack([u, np.gradient(u, s)], axis=-1)
        sol, warned = said(getattr(layer, kind)(s, eps), guess)
        error = np.abs(sol.y[:, 0] - u).max() / np.abs(u).max()
        assert error <= WRONG or warned or int(sol.status), (eps, error)
        assert error > 1e-3 or not warned or kind == "first_order", (eps, error)


def rings(lib, u0, D, rate, N=50, **options):
    s, t = np.linspace(0.0, 1.0, N + 1), np.linspace(0.0, 0.1, 11 if N > 20 else 3)
    ends = {"left": ds.Periodic(), "right": ds.Periodic()}
    return ds.Evolution1D(rate, lib.asarray(t), lib.asarray(s), lib.asarray(u0(s)[:, None]), D, **ends, **options)


def wave(s):
    return np.sin(2 * np.pi * s)


def step(s):
    return np.where((s > 0.3) & (s < 0.6), 1.0, 0.0)


def advection(u, u_s, x, p):
    return -u_s


@pytest.mark.skip_backend("jax", reason="compiles for long, and the numbers are looked at by NumPy")
def test_convection_that_is_not_resolved_is_named_with_its_place(lib):
    problem = rings(lib, step, 1e-6, advection, 20)
    _, warned = said(problem)
    assert len(warned) == 1
    assert "cell Peclet number" in warned[0]
    assert "s = 0.275" in warned[0] or "s = 0.575" in warned[0]
    assert "t = 0" in warned[0]
    assert not said(problem, check_inputs=False)[1]


@pytest.mark.parametrize("case", ["smooth", "constant", "diffusion", "resolved"])
def test_what_is_resolved_is_not_warned_of(case):
    u0, D, rate = {
        "smooth": (wave, 1e-9, advection),
        "constant": (lambda s: 300.0 + 0 * s, 1e-3, lambda u, u_s, x, p: -100 * u_s),
        "diffusion": (lambda s: np.exp(-(((s - 0.5) / 0.02) ** 2)), 1.0, lambda u, u_s, x, p: 0 * u),
        "resolved": (wave, 0.03, lambda u, u_s, x, p: -u * u_s),
    }[case]
    assert not any("Peclet" in w for w in said(rings(NUMPY, u0, D, rate))[1])


@pytest.mark.parametrize("name", ["central", "upwind", "limited"])
def test_of_fluxes_the_central_one_is_warned_of(name):
    def F(u, x, p):
        return u

    upwind = ds.upwind(F, lambda u, x, p: 0 * u + 1)
    flux = {"central": ds.central(F), "upwind": upwind, "limited": ds.limited(upwind)}[name]
    problem = rings(NUMPY, lambda s: step(0.5 * (s[1:] + s[:-1])), 0.0, None, cells=True, flux=flux)
    sol, warned = said(problem, method=ds.Newton(window=5))
    assert sol.converged
    assert any("u is not resolved" in text for text in warned) is (name == "central")


def test_components_that_carry_each_other():
    s, t = np.linspace(0.0, 1.0, 51), np.linspace(0.0, 0.1, 11)
    ends = {"left": ds.Periodic(), "right": ds.Periodic()}
    for shape, is_warned in ((step, True), (wave, False)):
        u0 = np.stack([shape(s), 0 * s], axis=-1)
        problem = ds.Evolution1D(lambda u, u_s, x, p: -u_s[..., ::-1], t, s, u0, 1e-6, **ends)
        assert bool(said(problem)[1]) is is_warned


def test_an_outlet_in_a_rectangle():
    """The solution is below 1; on cells of the Peclet number 17 the discrete one reaches 1.8."""
    s = np.linspace(0.0, 1.0, 31)
    zero = {side: ds.Dirichlet(0.0) for side in ("left", "right", "bottom", "top")}
    for D, is_warned in ((1e-3, True), (0.1, False)):
        problem = ds.Elliptic2D(lambda u, u_s, u_r, x, p: u_r - 1, (s, s), D, **zero)
        _, warned = said(problem, inverse="direct")
        assert bool(warned) is is_warned
        assert not warned or "r = 0.9833" in warned[0]
    u0 = 0 * s[:, None, None] + step(s)[:, None]
    sides = {**dict.fromkeys(("left", "right"), ds.NoFlux()), **dict.fromkeys(("bottom", "top"), ds.Periodic())}
    carried = ds.Evolution2D(lambda u, u_s, u_r, x, p: -u_r, np.linspace(0.0, 0.1, 6), (s, s), u0, 1e-4, **sides)
    assert any("r = 0.3" in w or "r = 0.58" in w for w in said(carried)[1])


def test_an_outlet_on_a_line_steady_and_in_time():
    eps, s = 1e-3, np.linspace(0.0, 1.0, 51)
    ends = {"left": ds.Dirichlet(1.0), "right": ds.Dirichlet(1.0)}
    exact = 1 + s - (np.exp((s - 1) / eps) - np.exp(-1 / eps)) / (1 - np.exp(-1 / eps))
    steady = ds.Elliptic1D(lambda u, u_s, x, p: u_s - 1, s, eps, **ends)
    t = np.linspace(0.0, 3.0, 301)
    in_time = ds.Evolution1D(lambda u, u_s, x, p: 1 - u_s, t, s, np.ones((51, 1)), eps, **ends)
    for problem, last in ((steady, slice(None)), (in_time, -1)):
        sol, warned = said(problem)
        assert np.abs(sol.y[last][:, 0] - exact).max() > 0.1
        assert any("s = 0.99" in w and "is 10" in w for w in warned)
    assert sol.converged
    fine = 1 - (1 - np.linspace(0.0, 1.0, 201)) ** 4  # graded towards the outlet
    sol, warned = said(ds.Elliptic1D(lambda u, u_s, x, p: u_s - 1, fine, eps, **ends))
    exact = 1 + fine - (np.exp((fine - 1) / eps) - np.exp(-1 / eps)) / (1 - np.exp(-1 / eps))
    assert not warned
    assert np.abs(sol.y[:, 0] - exact).max() < WRONG


def helmholtz(N, k=40.0, damping=0.0):
    """u'' + damping u' + k^2 u = 0 with u(0) = 0, u(1) = 1."""
    s = np.linspace(0.0, 1.0, N)
    ends = {"left": ds.Dirichlet(0.0), "right": ds.Dirichlet(1.0)}
    return ds.BoundaryValueProblem(lambda u, u_s, x, p: -damping * u_s - k * k * u, s, **ends), s


def test_waves_that_the_points_do_not_follow():
    """k h is 4 on 11 points, where u is small and smooth but at its end, and 0.05 on 801."""
    for N, is_followed in ((11, False), (801, True)):
        problem, s = helmholtz(N)
        sol, warned = said(problem)
        wrong = np.abs(sol.y[:, 0] - np.sin(40 * s) / np.sin(40.0)).max() * abs(np.sin(40.0))
        assert (wrong < WRONG) == is_followed
        assert any("k h = 4" in text for text in warned) is not is_followed


@pytest.mark.parametrize("weight", ["c", "jac", "system", "plane", "ring"])
def test_waves_in_every_kind_of_equation_in_space(weight):
    """k h = 2.1 along s on 11 points; of f, of L, of one component of two, in a plane and in a ring."""
    k, s = 21.0, np.linspace(0.0, 1.0, 11)
    ends = {"left": ds.Dirichlet(0.0), "right": ds.Dirichlet(1.0)}
    ring = {"left": ds.Periodic(), "right": ds.Periodic()}
    sides = {**ends, "bottom": ds.Neumann(0.0), "top": ds.Neumann(0.0)}

    problem = {
        "c": lambda: ds.BoundaryValueProblem(lambda u, u_s, x, p: 0 * u, s, c=k * k, **ends),
        "jac": lambda: ds.BoundaryValueProblem(
            lambda u, u_s, x, p: -k * k * u, s, jac=lambda u, u_s, x, p: (0 * u - k * k, 0 * u), **ends
        ),
        "system": lambda: ds.BoundaryValueProblem(
            lambda u, u_s, x, p: np.array([-k * k, 1.0]) * u, s, left=ds.Dirichlet([0.0, 1.0]), right=ds.Dirichlet(1.0)
        ),
        "plane": lambda: ds.Elliptic2D(lambda u, u_s, u_r, x, p: -k * k * u, (s, s), **sides),
        "ring": lambda: ds.BoundaryValueProblem(
            lambda u, u_s, x, p: -k * k * (u - np.sin(2 * np.pi * x["s"])), s, **ring
        ),
    }[weight]()
    _, warned = said(problem, **({"inverse": "direct"} if weight == "plane" else {}))
    assert any("k h = 2.1" in text and "s = " in text for text in warned)


def test_no_wave_is_told_of_where_there_is_none():
    """Decay instead of waves, waves that convection damps, and those of an evolution, which resolves them in time."""
    problem, _ = helmholtz(11, damping=100.0)
    decays = ds.BoundaryValueProblem(lambda u, u_s, x, p: 1600 * (u - x["s"]), problem.s, **ends_of(0.0, 1.0))
    t = np.linspace(0.0, 1e-3, 3)
    grows = ds.Evolution1D(lambda u, u_s, x, p: 900 * u, t, problem.s, np.ones((11, 1)), **ends_of(1.0, 1.0))
    for each in (problem, decays, grows):
        assert not any("a wave" in text for text in said(each)[1])


def ends_of(left, right):
    return {"left": ds.Dirichlet(left), "right": ds.Dirichlet(right)}


LOADS = {
    "a narrow source": (lambda s: 50.0 * ((s > 0.5) & (s < 0.52)), 0.5, 0.52, 50.0),
    "a source on one half": (lambda s: 1.0 * (s < 0.5), 0.0, 0.5, 1.0),
}


@pytest.mark.parametrize("n", [101, 201, 401])
@pytest.mark.parametrize("name", LOADS)
def test_jumps_of_f_between_points_are_estimated(lib, name, n):
    """-u'' = height between a and b: where they are in their intervals no point knows, and u is of first order."""
    if lib.is_transformed or (lib.is_jax and n != 101):
        pytest.skip("the same program with other numbers, slow to compile")
    load, a, b, height = LOADS[name]
    s, total = np.linspace(0.0, 1.0, n), height * (b - a)
    inside = np.clip(s - a, 0.0, b - a)
    exact = total * (1 - (a + b) / 2) * s - height * inside**2 / 2 - total * np.maximum(s - b, 0.0)
    source, ends = lib.asarray(load(s)[:, None]), {"left": ds.Dirichlet(0.0), "right": ds.Dirichlet(0.0)}
    x = {"load": source}
    problem = ds.BoundaryValueProblem(lambda u, u_s, x, p: 0 * u - x["load"], lib.asarray(s), x=x, **ends)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ds.DiscretisationWarning)
        sol = lib.solve(problem)
    error = np.abs(lib.to_numpy(sol.y)[:, 0] - exact).max() / np.abs(exact).max()
    estimate = float(lib.to_numpy(sol.stats.discretisation_error))
    assert error / 2.1 <= estimate <= 2.1 * error, (estimate, error)  # the peak of y is not that of the truth
    assert not bool(lib.to_numpy(sol.stats.is_asymptotic))


def test_a_layer_of_points_enough_is_no_jump():
    """u'' = 1e4 (u - 1): five points to the width of the layer; the estimate stays that of the differences."""
    s, ends = np.linspace(0.0, 1.0, 501), {"left": ds.Dirichlet(0.0), "right": ds.Dirichlet(0.0)}
    sol, warned = said(ds.BoundaryValueProblem(lambda u, u_s, x, p: 1e4 * (u - 1), s, **ends))
    exact = 1 - (np.exp(-100 * s) + np.exp(-100 * (1 - s))) / (1 + np.exp(-100.0))
    error = np.abs(sol.y[:, 0] - exact).max()
    assert not warned
    assert sol.stats.discretisation_error == pytest.approx(error, rel=0.2)


@pytest.mark.parametrize(("eps", "n"), [(0.01, 401), (0.005, 401), (0.001, 4001)])
def test_a_solution_that_decays_along_the_line_to_nothing(eps, n):
    """eps u'' = u', u(0) = 0, u(1) = 1: what the band leaves of u at the other end is roundoff of the whole line."""
    s = np.linspace(0.0, 1.0, n)
    sides = {"left": ds.Dirichlet(0.0), "right": ds.Dirichlet(1.0)}
    sol = ds.solve(ds.Elliptic1D(lambda u, u_s, x, p: u_s, s, eps, **sides))
    ratio = (1 + 0.5 / (n - 1) / eps) / (1 - 0.5 / (n - 1) / eps)  # of neighbours, by the differences
    k = np.arange(n) - (n - 1.0)
    np.testing.assert_allclose(sol.y[:, 0], ratio**k, rtol=0, atol=1e-11)
