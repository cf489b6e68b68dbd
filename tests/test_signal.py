"""Inputs given by data against SciPy's interpolation: knots and their sides, breaks, ends, gradients, bad data."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.interpolate import CubicSpline, interp1d

import deersolve as ds

RNG = np.random.default_rng(1)
KNOTS = np.cumsum(0.2 + RNG.uniform(size=9))
KINDS = ("hold", "linear", "cubic")
BY_SCIPY = {
    "hold": lambda t, u: interp1d(t, u, kind="previous", axis=-2),
    "linear": lambda t, u: interp1d(t, u, axis=-2),
    "cubic": lambda t, u: CubicSpline(t, u, axis=-2),
}


@pytest.mark.cases_backend("jax", "B1-cubic")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("B", [(), (2, 3)])
def test_it_is_that_of_scipy(lib, B, kind):
    u = RNG.normal(size=(*B, 9, 2))
    times = np.concatenate([KNOTS, RNG.uniform(KNOTS[0], KNOTS[-1], size=30)])
    signal = ds.Signal(KNOTS, lib.asarray(u), kind)
    found = lib.to_numpy(signal(lib.asarray(times)))
    np.testing.assert_allclose(found, BY_SCIPY[kind](KNOTS, u)(times), rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(lib.to_numpy(signal(float(times[12]))), found[..., 12, :])


def test_sides_and_breaks(lib):
    u = RNG.normal(size=9)
    hold, lines = ds.Signal(KNOTS, lib.asarray(u)), ds.Signal(KNOTS, lib.asarray(u), "linear")
    np.testing.assert_array_equal(lib.to_numpy(hold(lib.asarray(KNOTS[1:]), side="left"))[:, 0], u[:-1])
    np.testing.assert_array_equal(lib.to_numpy(hold(lib.asarray(KNOTS[1:])))[:, 0], u[1:])
    np.testing.assert_array_equal(hold.breaks, KNOTS[1:-1])
    np.testing.assert_array_equal(lines.breaks, KNOTS[1:-1])
    assert ds.Signal(KNOTS, lib.asarray(u), "cubic").breaks.shape == (0,)


@pytest.mark.deep_backend("jax")
@pytest.mark.parametrize("kind", KINDS)
def test_outside_of_the_knots(lib, kind):
    u = RNG.normal(size=(2, 9, 1))
    held = ds.Signal(KNOTS, lib.asarray(u), kind, outside="hold")
    found = lib.to_numpy(held(lib.asarray([KNOTS[0] - 5.0, KNOTS[-1] + 5.0])))
    np.testing.assert_allclose(found[..., 0], u[:, [0, -1], 0], rtol=1e-14)
    assert {KNOTS[0], KNOTS[-1]} <= set(held.breaks.tolist())
    with pytest.raises(ds.InputError, match=r"outside of its knots.*within the span"):
        ds.Signal(KNOTS, lib.asarray(u), kind)(float(KNOTS[-1] + 1.0))


@pytest.mark.skip_backend("numpy", reason="no derivatives")
@pytest.mark.skip_backend("strict", reason="no derivatives")
@pytest.mark.skip_backend("cupy", reason="no derivatives")
@pytest.mark.cases_backend("jax", "cubic")
@pytest.mark.parametrize("kind", KINDS)
def test_derivative_by_the_values(lib, kind):
    u, weights, times = RNG.normal(size=(9, 1)), RNG.normal(size=(20, 1)), RNG.uniform(KNOTS[0], KNOTS[-1], size=20)

    def total(u):
        return (ds.Signal(KNOTS, u, kind)(lib.asarray(times)) * lib.asarray(weights)).sum()

    if lib.is_jax:
        import jax

        found = jax.jit(jax.grad(total))(lib.asarray(u))
    else:
        leaf = lib.asarray(u).requires_grad_()
        total(leaf).backward()
        found = leaf.grad
    units = BY_SCIPY[kind](KNOTS, np.eye(9))(times)  # it is linear in the values
    np.testing.assert_allclose(lib.to_numpy(found), units.T @ weights, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(
    ("t", "values", "options", "message"),
    [
        ([0.0, np.nan, 2.0], np.zeros(3), {}, "finite"),
        ([0.0, 2.0, 1.0], np.zeros(3), {}, "ascend"),
        ([0.0, 1.0, 1.0], np.zeros(3), {}, "ascend"),
        ([0.0, 1.0, 2.0], [0.0, np.nan, 1.0], {}, "finite"),
        ([0.0, 1.0, 2.0], np.zeros(4), {}, "M = 3"),
        ([0.0, 1.0, 2.0], np.zeros(3), {"kind": "cubic"}, "M >= 4"),
        ([0.0], np.zeros(1), {}, "M >= 2"),
        ([0.0, 1.0], np.zeros(2), {"kind": "step"}, "one of hold, linear, cubic; received 'step'"),
        ([0.0, 1.0], np.zeros(2), {"outside": "zero"}, "one of error, hold"),
        (np.zeros((2, 2)), np.zeros(2), {}, "shape"),
    ],
)
def test_bad_data_are_refused(t, values, options, message):
    with pytest.raises(ds.InputError, match=message):
        ds.Signal(t, values, **options)


def relax(y, x, params):
    return x["u"] - y


def exact(kind, u):
    """Return y(4) of y' = u - y, y(0) = 0.5, by quadrature between knots."""
    knots, signal = np.array([0.0, 1.0, 2.5, 4.0]), ds.Signal([0.0, 1.0, 2.5, 4.0], u, kind)
    nodes, weights = np.polynomial.legendre.leggauss(20)
    total = 0.5 * np.exp(-4.0)
    for a, b in itertools.pairwise(knots):
        t = (a + b) / 2 + (b - a) / 2 * nodes
        total += (b - a) / 2 * (weights * np.exp(t - 4.0) * signal(t)[:, 0]).sum()
    return total


@pytest.mark.deep_backend("jax")
@pytest.mark.parametrize("kind", KINDS)
def test_a_solve_to_a_tolerance_has_both_sides_of_a_break(lib, kind):
    u = np.array([1.0, -1.0, 2.0, 0.5])
    x = {"u": ds.Signal([0.0, 1.0, 2.5, 4.0], lib.asarray(u), kind)}
    problem = ds.InitialValueProblem(relax, lib.asarray([0.0, 4.0]), lib.asarray([0.5]), x)
    sol = ds.solve(problem, rtol=1e-9, atol=1e-11)
    assert abs(float(lib.to_numpy(sol.y)[-1, 0]) - exact(kind, u)) < 1e-9
    grid = lib.to_numpy(sol.grid)
    assert [int((grid == k).sum()) for k in (1.0, 2.5)] == ([0, 0] if kind == "cubic" else [2, 2])
    assert len(grid) < 40


def test_on_a_grid_of_the_callers():
    u = np.array([1.0, -1.0, 2.0, 0.5])
    t = np.concatenate([np.linspace(a, b, 101) for a, b in ((0.0, 1.0), (1.0, 2.5), (2.5, 4.0))])
    for kind in ("hold", "linear"):
        x = {"u": ds.Signal([0.0, 1.0, 2.5, 4.0], u, kind)}
        sol = ds.solve(ds.InitialValueProblem(relax, t, np.array([0.5]), x))
        assert abs(sol.y_corrected[-1, 0] - exact(kind, u)) < 1e-8


@pytest.mark.skip_backend("numpy", reason="no derivatives")
@pytest.mark.skip_backend("strict", reason="no derivatives")
@pytest.mark.skip_backend("cupy", reason="no derivatives")
@pytest.mark.deep_backend("jax")
def test_derivative_of_a_solve_by_the_values(lib):
    u, t, y0 = np.array([1.0, -1.0, 2.0, 0.5]), lib.asarray([0.0, 4.0]), lib.asarray([0.5])

    def last(u):
        x = {"u": ds.Signal([0.0, 1.0, 2.5, 4.0], u, "hold")}
        return ds.solve(ds.InitialValueProblem(relax, t, y0, x), rtol=1e-9, atol=1e-11).y[-1, 0]

    if lib.is_jax:
        import jax

        found = jax.grad(last)(lib.asarray(u))
    else:
        leaf = lib.asarray(u).requires_grad_()
        last(leaf).backward()
        found = leaf.grad
    expected = [np.exp(b - 4.0) - np.exp(a - 4.0) for a, b in ((0.0, 1.0), (1.0, 2.5), (2.5, 4.0))]
    np.testing.assert_allclose(lib.to_numpy(found), [*expected, 0.0], atol=1e-8)
