"""Evolution equations on a line: references, orders, conditions, the linear solves, gradients, bad input."""

from __future__ import annotations

import numpy as np
import pytest

import deersolve as ds
from deersolve.inverses import assembled, registry
from deersolve.linalg.structure import Dense
from deersolve.problems.inputs import prepare

EPS = np.finfo(np.float64).eps
COARSE = pytest.mark.filterwarnings("ignore::deersolve.DiscretisationWarning")  # of a coarse grid, and rightly
RULES = ("backward_euler", "trapezoid", "trbdf2")
ORDER = {"backward_euler": 1, "trapezoid": 2, "trbdf2": 2}
PLACES = [32, 64, 100, 127, 192, 250]
REFERENCES = {
    # the same differences in space, solved in time to 3.4e-13 and 4.1e-13 by SciPy's DOP853 and Radau
    "burgers": [
        0.10857254983995798, 0.21520339634440452, 0.32589127196907725,
        0.016035769503235826, -0.2118802988896295, -0.018380662808437764,
    ],
    "allen_cahn": [
        -0.9998703861267808, 0.28200139419986386, 0.9827873355399068,
        0.031814192521602565, -0.39564324800640355, -0.999995012726192,
    ],
}  # fmt: skip


def reference_problem(name, T, asarray=np.asarray, X=256):
    left, right = ds.Periodic(), ds.Periodic()
    t = asarray(np.linspace(0.0, 1.0, T))
    if name == "burgers":
        edges = np.linspace(0.0, 1.0, X + 1)
        s = 0.5 * (edges[1:] + edges[:-1])
        f, u0, D = (lambda u, u_s, x, params: -u * u_s), np.sin(2 * np.pi * s), 0.01
    else:
        edges = np.linspace(-1.0, 1.0, X + 1)
        s = 0.5 * (edges[1:] + edges[:-1])
        f, u0, D = (lambda u, u_s, x, params: 5.0 * (u - u * u * u)), s * s * np.cos(np.pi * s), 1e-4
    return ds.Evolution1D(f, t, asarray(edges), asarray(u0[:, None]), D, left=left, right=right, cells=True)


@pytest.mark.filterwarnings("ignore::deersolve.DiscretisationWarning")  # of the coarse grids, and rightly
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.deep_but("burgers-trbdf2", "allen_cahn-trapezoid", "allen_cahn-backward_euler")
def test_order_in_time_to_the_references(name, rule):
    errors, corrected, estimates = [], [], []
    for T in (41, 81, 161):
        sol = ds.solve(reference_problem(name, T), inverse=rule)
        errors.append(np.abs(sol.y[-1, PLACES, 0] - REFERENCES[name]).max())
        corrected.append(np.abs(sol.y_corrected[-1, PLACES, 0] - REFERENCES[name]).max())
        estimates.append(float(sol.stats.discretisation_error))
    slope = np.log2(errors[1] / errors[2])
    assert slope == pytest.approx(ORDER[rule], abs=0.15), errors
    # One correction doubles the order; on these grids the slope is not quite there yet.
    assert np.log2(corrected[1] / corrected[2]) > 2 * ORDER[rule] - 0.6, corrected
    assert np.log2(estimates[1] / estimates[2]) == pytest.approx(ORDER[rule], abs=0.3), estimates


def manufactured(left, right, X, T, rule_n=2, cells=False, asarray=np.asarray):
    """u_k = (1 + t) sin(2 pi s + k) + t, with a forcing chosen for it, up to t = 1/4."""
    edges = np.linspace(0.0, 1.0, X + 1)
    s, t, k = (0.5 * (edges[1:] + edges[:-1]) if cells else edges), np.linspace(0.0, 0.25, T), np.arange(rule_n)
    w, D = 2 * np.pi, 0.3

    def u_of(t, s):
        return (1 + t) * np.sin(w * s + k) + t

    def slope_of(t, s):
        return w * (1 + t) * np.cos(w * s + k)

    def g(u, u_s):
        return -0.1 * u * ds.array_namespace(u).roll(u, 1, axis=-1) * u_s

    tt, ss = t[:, None, None], s[None, :, None]
    u, u_s = u_of(tt, ss), slope_of(tt, ss)
    force = np.sin(w * ss + k) + 1 + D * w**2 * (u - tt) - g(u, u_s)

    def side(kind, at, sign):
        value, slope = u_of(t[:, None], at), sign * slope_of(t[:, None], at)
        return {
            "dirichlet": lambda: ds.Dirichlet(asarray(value)),
            "neumann": lambda: ds.Neumann(asarray(slope)),
            "robin": lambda: ds.Robin(2.0, 0.7, asarray(2.0 * value + 0.7 * slope)),
            "periodic": ds.Periodic,
        }[kind]()

    problem = ds.Evolution1D(
        lambda u, u_s, x, params: g(u, u_s) + x["force"], asarray(t), asarray(edges), asarray(u_of(0.0, s[:, None])), D,
        left=side(left, 0.0, -1.0), right=side(right, 1.0, 1.0), x={"force": asarray(force)}, cells=cells,
    )  # fmt: skip
    return problem, u


SIDES = [("dirichlet", "neumann"), ("robin", "dirichlet"), ("neumann", "robin"), ("periodic", "periodic")]


@pytest.mark.parametrize("cells", [False, True], ids=["points", "cells"])
@pytest.mark.parametrize(("left", "right"), SIDES)
def test_second_order_in_space_and_time_together(left, right, cells):
    errors = []
    for X in (20, 40, 80):
        problem, u = manufactured(left, right, X, X // 2 + 1, cells=cells)
        sol = ds.solve(problem)
        errors.append(np.abs(sol.y - u).max())
    assert np.log2(errors[1] / errors[2]) == pytest.approx(2.0, abs=0.15), errors


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("left", "right"), SIDES)
def test_the_linear_solves_equal_the_assembled_matrix(left, right, rule):
    problem, _ = manufactured(left, right, 6, 4)
    made, rng = registry[f"heat.{rule}"], np.random.default_rng(0)
    data = prepare(problem, None, made)[1]
    like = data.guess
    Gs = tuple(Dense(rng.normal(size=(*like.shape, like.shape[-1]))) for _ in range(2))
    where = {"grid": data.grid, "boundary": data.boundary}

    class Given:
        """The problem's shifters at boundary data of zero."""

        def __init__(self, shift):
            self.shift = shift

        def __call__(self, e, *, grid, boundary):
            zero = np.zeros_like(e)
            return self.shift(e, grid=grid, boundary=boundary) - self.shift(zero, grid=grid, boundary=boundary)

    r = rng.normal(size=like.shape)
    A = assembled(made, Gs, like, shift=tuple(map(Given, problem.shift)), **where)
    for matrix, found in ((A, made.solve), (A.T, made.transpose)):
        expected = np.linalg.solve(matrix, r.ravel())
        off = np.abs(found(Gs, r, **where).ravel() - expected).max()
        assert off <= 64 * EPS * np.linalg.cond(A) * np.abs(expected).max()


@pytest.mark.filterwarnings("ignore::deersolve.DiscretisationWarning")  # 4 levels of 6 points
@pytest.mark.cases_backend("jax")
def test_every_library_finds_the_same(lib):
    for left, right in SIDES[1:2] if lib.is_jax else SIDES[1::2]:  # there each is compiled
        problem, _ = manufactured(left, right, 6, 4, 1, asarray=lib.asarray)
        sol, expected = ds.solve(problem), ds.solve(manufactured(left, right, 6, 4, 1)[0]).y
        np.testing.assert_allclose(lib.to_numpy(sol.y), expected, rtol=0, atol=1e-11)
        assert int(lib.to_numpy(sol.status)) == 0


def test_windows_and_little_memory_find_the_same():
    problem = reference_problem("burgers", 61, X=64)
    expected = ds.solve(problem, method="newton").y
    for method in (ds.Newton(window=7), ds.Auto(memory="2MB"), "sequential"):
        np.testing.assert_allclose(ds.solve(problem, method=method).y, expected, rtol=0, atol=1e-12)


@pytest.mark.filterwarnings("ignore::deersolve.DiscretisationWarning")  # 31 levels of a front that steepens
def test_a_batch_of_starts():
    problem = reference_problem("burgers", 31, X=64)
    u0 = problem.boundary.y0
    ends = {"left": ds.Periodic(), "right": ds.Periodic(), "cells": True}
    both = ds.Evolution1D(problem.f, problem.t, problem.s, np.stack([u0, 0.5 * u0]), 0.01, **ends)
    sol = ds.solve(both)
    assert sol.y.shape == (2, 31, 64, 1)
    np.testing.assert_allclose(sol.y[0], ds.solve(problem).y, atol=1e-12)


def loss_of(asarray, D, u0, params, w):
    t, s = np.linspace(0.0, 0.2, 7), np.linspace(0.0, 1.0, 9)

    def f(u, u_s, x, params):
        return -params * u * u_s + ds.array_namespace(u).cos(x["s"])

    ends = {"left": ds.Dirichlet(0.2), "right": ds.Neumann(-0.3)}
    problem = ds.Evolution1D(f, asarray(t), asarray(s), u0, D, params=params, **ends)
    return (w * ds.solve(problem).y ** 2).sum()


@COARSE
@pytest.mark.slow
def test_gradients_by_the_start_the_diffusion_and_parameters():
    jax, torch = pytest.importorskip("jax"), pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    w = rng.normal(size=(7, 9, 1))
    data = {"D": 0.1 + rng.uniform(size=(9, 1)), "u0": rng.normal(size=(9, 1)), "params": np.array(1.3)}
    expected, h = {}, 1e-4
    for name, value in data.items():
        place = (4, 0) if value.ndim else ()
        losses = []
        for step in (h, -h, 2 * h, -2 * h):
            changed = {k: v.copy() for k, v in data.items()}
            changed[name][place] += step
            losses.append(float(loss_of(np.asarray, w=w, **changed)))
        expected[name] = place, (8 * (losses[0] - losses[1]) - (losses[2] - losses[3])) / (12 * h)
    arrays = {k: jax.numpy.asarray(v) for k, v in data.items()}
    by_jax = jax.jit(jax.grad(lambda data: loss_of(jax.numpy.asarray, w=w, **data)))(arrays)
    leaves = {k: torch.tensor(v, requires_grad=True) for k, v in data.items()}
    loss_of(torch.as_tensor, w=torch.as_tensor(w), **leaves).backward()
    for name, (place, value) in expected.items():
        assert float(by_jax[name][place]) == pytest.approx(value, abs=1e-8)
        assert float(leaves[name].grad[place]) == pytest.approx(value, abs=1e-8)


T, S, U0 = np.linspace(0.0, 1.0, 5), np.linspace(0.0, 1.0, 9), np.zeros((9, 1))
ENDS = {"left": ds.Dirichlet(), "right": ds.Dirichlet()}
BAD = {
    "u0": ({"u0": np.zeros((8, 1))}, r"u0: expected shape \(\*B, X, n\) with X = 9"),
    "t": ({"t": T[::-1].copy()}, "t: expected finite, strictly increasing"),
    "one side": ({"left": ds.Periodic()}, r"right: expected Periodic\(\)"),
    "negative": ({"D": -0.1}, "D: expected a positive diffusion"),
    "times": ({"left": ds.Dirichlet(np.zeros((4, 1)))}, "left: expected a value, or one for each of T = 5"),
    "field": ({"x": {"k": np.zeros((3, 9, 1))}}, r"x: expected leaves \(\*B, 1 or T = 5, 1 or X = 9, k\)"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(name):
    given = {"t": T, "s": S, "u0": U0, "D": 1.0, **ENDS, **BAD[name][0]}
    with pytest.raises(ds.InputError, match=BAD[name][1]):
        ds.solve(ds.Evolution1D(lambda u, u_s, x, params: 0.0 * u, **given))


def test_f_of_the_wrong_shape_is_named():
    problem = ds.Evolution1D(lambda u, u_s, x, params: u[..., 0], T, S, U0, 1.0, **ENDS)
    with pytest.raises(ds.FunctionError, match="shape"):
        ds.solve(problem)


def cooling(lib, u0, t, s, rule="heat.trbdf2"):
    """Return u_t = u_ss with u = 0 at the left and 1 at the right."""
    ends = {"left": ds.Dirichlet(0.0), "right": ds.Dirichlet(lib(np.array([1.0])))}
    return ds.Evolution1D(lambda u, u_s, x, p: 0 * u, lib(t), lib(s), lib(u0), 1.0, **ends)


def test_every_library_starts_from_the_values_that_hold(lib):
    s, t, rule = np.linspace(0.0, 1.0, 5), np.linspace(0.0, 0.1, 3), registry["heat.trbdf2"]
    _, data = prepare(cooling(lib.asarray, np.full((5, 1), 7.0), t, s), None, rule)
    expected = [0.0, 7.0, 7.0, 7.0, 1.0]
    np.testing.assert_array_equal(lib.to_numpy(data.boundary.y0)[0, ..., 0], [expected, expected])
    sides = {"left": ds.Dirichlet(1.0), "right": ds.NoFlux(), "bottom": ds.Dirichlet(2.0), "top": ds.Neumann()}
    plane = ds.Evolution2D(lambda u, u_s, u_r, x, p: 0 * u, t, (s[::2], s[::2]), np.full((3, 3, 1), 7.0), 1.0, **sides)
    _, data = prepare(plane, None, registry["heat2d.backward_euler"])
    np.testing.assert_array_equal(data.boundary.y0.reshape(3, 3), [[1, 1, 1], [2, 7, 7], [2, 7, 7]])


@pytest.mark.filterwarnings("ignore::deersolve.DiscretisationWarning")  # of backward Euler, and rightly
@pytest.mark.parametrize("rule", ["trbdf2", "trapezoid", "backward_euler"])
def test_a_start_that_does_not_fit_its_ends(rule):
    """The solution of the same differences in closed form; of the order of the rule, with the estimate beside it."""
    N, u0 = 20, np.ones((21, 1))
    s, A = np.linspace(0.0, 1.0, N + 1), -2 * np.eye(N - 1) + np.eye(N - 1, k=1) + np.eye(N - 1, k=-1)
    rates, V = np.linalg.eigh(A * N**2)
    steady = s[1:-1]
    errors = []
    for T in (101, 201):
        t = np.linspace(0.0, 0.1, T)
        exact = steady + (np.exp(rates * t[:, None]) * (V.T @ (u0[1:-1, 0] - steady))) @ V.T
        fits = u0 + 0 * u0
        fits[0] = 0.0
        sol, same = (ds.solve(cooling(np.asarray, u, t, s), inverse=rule) for u in (u0, fits))
        np.testing.assert_array_equal(sol.y, same.y)
        errors.append(np.abs(sol.y[-1, 1:-1, 0] - exact[-1]).max())
        largest = np.abs(sol.y[:, 1:-1, 0] - exact).max()
        assert 0.5 < float(sol.stats.discretisation_error) / largest < 2
    assert np.log2(errors[0] / errors[1]) == pytest.approx(1 if rule == "backward_euler" else 2, abs=0.2)


def test_what_a_value_at_an_end_does_from_the_first_level_on_is_in_its_gradient():
    s, t = np.linspace(0.0, 1.0, 7), np.linspace(0.0, 0.05, 5)

    def problem(left):
        return ds.Evolution1D(
            lambda u, u_s, x, p: -u * u, t, s, np.ones((7, 1)), 1.0, left=ds.Dirichlet(left), right=ds.Neumann()
        )

    sol, h = ds.solve(problem(np.array([0.5]))), 1e-5
    w = np.random.default_rng(0).normal(size=sol.y.shape)
    found = ds.adjoint(problem(np.array([0.5])), sol, w, wrt=("left", "u0"))
    moved = [float((ds.solve(problem(np.array([0.5 + d]))).y * w).sum()) for d in (h, -h)]
    assert float(found["left"][0]) == pytest.approx((moved[0] - moved[1]) / (2 * h), rel=1e-7)
    assert found["u0"][0, 0] == 0
