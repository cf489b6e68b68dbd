"""Evolution equations in a rectangle: orders, libraries, gradients, windows, bad input."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import deersolve as ds
from deersolve.testing.cases import in_space

ORDER = {"trbdf2": 2, "trapezoid": 2, "backward_euler": 1}
RING = {side: ds.Periodic() for side in ("left", "right", "bottom", "top")}
X, Y = 12, 10
EDGES = np.linspace(0.0, 1.0, X + 1), np.linspace(0.0, 1.0, Y + 1)
S, R = (0.5 * (e[1:] + e[:-1]) for e in EDGES)
WAVE = np.sin(2 * np.pi * S)[:, None, None] * (1.5 + np.cos(2 * np.pi * R))[None, :, None]
COARSE = pytest.mark.filterwarnings("ignore::deersolve.DiscretisationWarning")  # of a coarse grid, and rightly


def allen_cahn(u, u_s, u_r, x, p):
    return 5.0 * (u - u * u * u)


def burgers(u, u_s, u_r, x, p):
    return -u * (u_s + 0.5 * u_r)


def gray_scott(u, u_s, u_r, x, p):
    a, b = u[..., :1], u[..., 1:]
    rate = a * b * b
    return ds.array_namespace(u).concat([0.04 * (1.0 - a) - rate, rate - 0.1 * b], axis=-1)


CASES = {
    "allen_cahn": (allen_cahn, 0.4 * WAVE, 0.01, 0.4),
    "burgers": (burgers, WAVE, 0.05, 0.4),
    "gray_scott": (
        gray_scott,
        np.concatenate([1.0 - 0.4 * WAVE**2, 0.3 * WAVE**2], axis=-1),
        np.array([2e-2, 1e-2]),
        4.0,
    ),
}


def problem_of(name, T, asarray=np.asarray, start=None):
    f, u0, D, last = CASES[name]
    t = asarray(np.linspace(0.0, last, T))
    u0 = asarray(u0) if start is None else start
    D = asarray(D) if np.ndim(D) else D
    return ds.Evolution2D(f, t, tuple(map(asarray, EDGES)), u0, D, cells=True, **RING)


def by_solve_ivp(name):
    """Return u at the last time, of the same differences in space by np.roll, to 1e-11."""
    f, u0, D, last = CASES[name]
    h, k = 1.0 / X, 1.0 / Y

    def right(t, flat):
        u = flat.reshape(u0.shape)
        west, east, south, north = (np.roll(u, j, axis) for axis in (0, 1) for j in (1, -1))
        second = (west - 2 * u + east) / h**2 + (south - 2 * u + north) / k**2
        return (D * second + f(u, (east - west) / (2 * h), (north - south) / (2 * k), None, None)).ravel()

    return solve_ivp(right, (0.0, last), u0.ravel(), method="LSODA", rtol=1e-11, atol=1e-12).y[:, -1].reshape(u0.shape)


@pytest.mark.filterwarnings("ignore::deersolve.DiscretisationWarning")  # of the coarse grids, and rightly
@pytest.mark.parametrize("rule", ORDER)
@pytest.mark.parametrize("name", CASES)
@pytest.mark.deep_but("allen_cahn-trbdf2", "burgers-trapezoid", "gray_scott-backward_euler")
def test_order_in_time_against_solve_ivp(name, rule):
    expected, errors, corrected = by_solve_ivp(name), [], []
    for T in (31, 61):
        sol = ds.solve(problem_of(name, T), inverse=rule)
        errors.append(np.abs(sol.y[-1] - expected).max())
        if rule != "trbdf2":
            corrected.append(np.abs(sol.y_corrected[-1] - expected).max())
    assert np.log2(errors[0] / errors[1]) == pytest.approx(ORDER[rule], abs=0.2), errors
    if corrected:
        assert np.log2(corrected[0] / corrected[1]) > 2 * ORDER[rule] - 0.7, corrected
        assert corrected[1] < errors[1] / 5


def test_second_order_in_space():
    """A wave that only decays, in 200 levels: what is left is the error of the differences."""
    errors = []
    for N in (8, 16, 32):
        s = np.linspace(0.0, 1.0, N + 1)
        u0 = np.cos(2 * np.pi * s)[:, None, None] * np.cos(np.pi * s)[:, None]
        sides = {"left": ds.Periodic(), "right": ds.Periodic(), "bottom": ds.Neumann(), "top": ds.Neumann()}
        t = np.linspace(0.0, 0.02, 201)
        sol = ds.solve(ds.Evolution2D(lambda u, u_s, u_r, x, p: 0.0 * u, t, (s, s), u0, 1.0, **sides))
        assert sol.y.shape == (201, N + 1, N + 1, 1)
        errors.append(np.abs(sol.y[-1] - u0 * np.exp(-5 * np.pi**2 * 0.02)).max())
    assert np.log2(errors[1] / errors[2]) == pytest.approx(2.0, abs=0.1), errors


@COARSE
@pytest.mark.parametrize("name", ["burgers", "gray_scott"])
def test_every_library_finds_the_same(lib, name):
    if lib.is_jax and name == "gray_scott":
        pytest.skip("one equation is enough to compile")
    sol, expected = (ds.solve(problem_of(name, 5, asarray)) for asarray in (lib.asarray, np.asarray))
    np.testing.assert_allclose(lib.to_numpy(sol.y), expected.y, rtol=0, atol=1e-11)
    assert expected.y.shape == (5, X, Y, 2 if name == "gray_scott" else 1)


def test_walls_that_move_are_followed(lib):
    """Conditions that vary with time, along the side, on points: differences in space are exact."""
    if lib.is_jax:
        pytest.skip("compiled above")
    case = in_space.swinging(lib.asarray, np.linspace(0.0, 1.0, 33), axes=2)
    sol = ds.solve(case.problem, inverse="trapezoid")
    assert np.abs(lib.to_numpy(sol.y) - case.exact).max() < 1.5e-4
    assert np.abs(lib.to_numpy(sol.y_corrected) - case.exact).max() < 2e-6


def tiny(theta, asarray):
    """Return an equation on 4 x 3 points, 3 levels, of everything it is given."""
    u0, D, p, right = theta
    points = asarray(np.linspace(0.0, 1.0, 4)), asarray(np.linspace(0.0, 1.0, 3))
    sides = {
        "left": ds.Neumann(0.1),
        "right": ds.Dirichlet(right),
        "bottom": ds.Robin(1.0, 0.5, 0.2),
        "top": ds.Neumann(),
    }
    t = asarray(np.array([0.0, 0.1, 0.25]))
    return ds.Evolution2D(lambda u, u_s, u_r, x, p: p * u * u - u * u_s + u_r, t, points, u0, D, params=p, **sides)


@pytest.mark.cases_backend("jax")
@pytest.mark.slow_backend("jax")
def test_gradients_are_those_of_differences(lib):
    rng = np.random.default_rng(0)
    theta = [rng.normal(size=(4, 3, 1)), 0.2 + rng.uniform(size=(4, 3, 1)), np.array(0.3), rng.normal(size=(3, 3, 1))]
    theta[3][0] = theta[0][-1]
    weights, direction = rng.normal(size=(3, 4, 3, 1)), [0.1 * rng.normal(size=a.shape) for a in theta]

    def value(h):
        moved = [a + h * d for a, d in zip(theta, direction, strict=True)]
        return float((ds.solve(tiny(moved, np.asarray)).y * weights).sum())

    h = 1e-2
    expected = (45 * (value(h) - value(-h)) - 9 * (value(2 * h) - value(-2 * h)) + (value(3 * h) - value(-3 * h))) / (
        60 * h
    )
    if lib.is_jax:
        import jax

        def loss(theta):
            return (ds.solve(tiny(theta, lib.asarray)).y * lib.asarray(weights)).sum()

        found = jax.grad(loss)([lib.asarray(a) for a in theta])
    elif not lib.is_torch:
        problem = tiny([lib.asarray(a) for a in theta], lib.asarray)
        made = ds.adjoint(problem, ds.solve(problem), lib.asarray(weights), wrt=("u0", "D", "params", "right"))
        found = list(made.values())
    else:
        found = [lib.asarray(a).requires_grad_() for a in theta]
        (ds.solve(tiny(found, lib.asarray)).y * lib.asarray(weights)).sum().backward()
        found = [a.grad for a in found]
    slope = sum(float((lib.to_numpy(g) * d).sum()) for g, d in zip(found, direction, strict=True))
    assert slope == pytest.approx(expected, rel=1e-8)


@COARSE
def test_windows_and_batches_change_nothing():
    starts = np.stack([WAVE, 0.5 * WAVE])
    many = ds.solve(problem_of("burgers", 9, start=starts))
    for k in range(2):
        for method in (ds.Newton(), ds.Newton(window=3), ds.Sequential()):
            one = ds.solve(problem_of("burgers", 9, start=starts[k]), method=method)
            np.testing.assert_allclose(many.y[k], one.y, rtol=0, atol=1e-12)


BAD = {
    "a start of another shape": ({"u0": np.ones((9, 8, 1))}, "u0: expected shape .* X = 9, Y = 9"),
    "times that go back": ({"t": np.array([1.0, 0.0])}, "t: expected finite, strictly increasing"),
    "a ring on one side": ({"right": ds.Periodic()}, r"left: expected Periodic\(\) as at the right"),
    "a side of another time": ({"left": ds.Dirichlet(np.ones((4, 9, 1)))}, "left: expected a value"),
    "a field of another time": ({"x": {"q": np.ones((4, 9, 9, 1))}}, "x: expected leaves"),
    "negative diffusion": ({"D": -1.0}, "D: expected a positive"),
    "one axis": ({"points": np.linspace(0, 1, 9)}, "points: expected two arrays"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_a_clear_error(name):
    changes, message = BAD[name]
    s = np.linspace(0.0, 1.0, 9)
    given = {"t": np.array([0.0, 0.1, 0.2]), "points": (s, s), "u0": np.ones((9, 9, 1)), **in_space.ZERO, **changes}
    with pytest.raises(ds.InputError, match=message):
        ds.solve(ds.Evolution2D(lambda u, u_s, u_r, x, p: u, **given))
