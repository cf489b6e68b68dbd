"""Fluxes along both axes of a rectangle: what is conserved, the same by solve_ivp and along a line, gradients."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import deersolve as ds
from deersolve.inverses import assembled, registry
from deersolve.linalg.structure import Dense
from deersolve.newton.equation import System
from deersolve.problems.inputs import closed, prepare

EPS = np.finfo(np.float64).eps
RULES = ("backward_euler", "trapezoid", "trbdf2")
RING = {side: ds.Periodic() for side in ("left", "right", "bottom", "top")}
NOTHING = ds.NoFlux()
WALLS = {
    "left": (NOTHING, ds.Dirichlet(0.0), NOTHING),
    "right": (NOTHING, ds.Dirichlet(0.0), NOTHING),
    "bottom": (NOTHING, NOTHING, ds.Dirichlet(0.0)),
    "top": (NOTHING, NOTHING, ds.Dirichlet(0.0)),
}
pytestmark = pytest.mark.filterwarnings("ignore::deersolve.DiscretisationWarning")  # of coarse steps, and rightly


def along(k):
    """Return the flux of shallow water along an axis: depth h and discharges q_0 and q_1, g = 1."""

    def flux(u, x, p):
        h, q = u[..., :1], (u[..., 1:2], u[..., 2:])
        parts = [q[0] * q[k] / h, q[1] * q[k] / h]
        parts[k] = parts[k] + 0.5 * h * h
        return ds.array_namespace(u).concat([q[k], *parts], axis=-1)

    def speed(u, x, p):
        return abs(u[..., 1 + k : 2 + k] / u[..., :1]) + ds.array_namespace(u).sqrt(u[..., :1])

    return ds.upwind(flux, speed)


SHALLOW = along(0), along(1)
LIMITED = tuple(map(ds.limited, SHALLOW))


def cells_of(N):
    edges = np.linspace(0.0, 1.0, N + 1)
    return edges, 0.5 * (edges[1:] + edges[:-1])


def water(X, Y, T, ends, asarray=np.asarray, flux=SHALLOW, D=0.0, last=0.3):
    """Return a hump of water that runs apart, with a current."""
    (edges, s), (heights, r) = cells_of(X), cells_of(Y)
    hump = np.exp(-30.0 * ((s[:, None] - 0.4) ** 2 + (r - 0.5) ** 2))
    u0 = np.stack([1.0 + 0.5 * hump, 0.2 * hump, -0.1 * hump], axis=-1)
    t, points = asarray(np.linspace(0.0, last, T)), (asarray(edges), asarray(heights))
    return ds.Evolution2D(None, t, points, asarray(u0), D, cells=True, flux=flux, **ends)


@pytest.mark.parametrize("flux", [SHALLOW, LIMITED], ids=["upwind", "limited"])
@pytest.mark.parametrize("ends", ["ring", "walls"])
def test_what_leaves_a_cell_enters_the_next(ends, flux):
    sol = ds.solve(water(8, 6, 7, RING if ends == "ring" else WALLS, flux=flux, D=0.01))
    held = sol.y.mean((1, 2)) if ends == "ring" else sol.y.mean((1, 2))[:, :1]
    assert np.abs(held - held[0]).max() <= 7 * 16 * EPS
    assert np.abs(sol.y[-1] - sol.y[0]).max() > 0.1


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.deep_but("trbdf2")
def test_water_is_that_of_solve_ivp(rule):
    X, Y = 8, 6
    u0 = water(X, Y, 2, RING).boundary.y0

    def right(t, flat):
        u = flat.reshape(u0.shape)
        made = 0.0
        for axis, (flux, N) in enumerate(zip(SHALLOW, (X, Y), strict=True)):
            passing = flux(np.roll(u, 1, axis), u, None, None)
            made = made + N * (passing - np.roll(passing, -1, axis))
        return made.ravel()

    expected = solve_ivp(right, (0.0, 0.3), u0.ravel(), method="DOP853", rtol=1e-11, atol=1e-12).y[:, -1]
    errors = []
    for T in (11, 21):
        sol = ds.solve(water(X, Y, T, RING), inverse=rule)
        errors.append(np.abs(sol.y[-1].ravel() - expected).max())
    assert np.log2(errors[0] / errors[1]) == pytest.approx(1 if rule == "backward_euler" else 2, abs=0.3), errors
    assert errors[1] < (2e-2 if rule == "backward_euler" else 1e-3)


@pytest.mark.parametrize("name", ["upwind", "limited"])
@pytest.mark.parametrize("axis", [0, 1])
def test_along_one_axis_it_is_the_equation_on_a_line(axis, name):
    """A flux along one axis only, the other one a ring: every line is the equation on a line."""
    edges, s = cells_of(12)
    t, u0 = np.linspace(0.0, 0.3, 9), (0.4 + np.sin(2 * np.pi * s))[:, None]
    flux = ds.upwind(lambda u, x, p: 0.5 * u * u, lambda u, x, p: abs(u))
    flux = ds.limited(flux) if name == "limited" else flux
    first, last = ds.Dirichlet(0.4), ds.Neumann()
    line = ds.solve(ds.Evolution1D(None, t, edges, u0, 0.02, left=first, right=last, cells=True, flux=flux)).y
    across = np.linspace(0.0, 1.0, 5)
    ends = {**RING, **dict(zip((("left", "right"), ("bottom", "top"))[axis], (first, last), strict=True))}
    start = np.stack([u0] * 4, axis=1 - axis)
    points, fluxes = ((edges, across), (flux, None)) if axis == 0 else ((across, edges), (None, flux))
    sol = ds.solve(ds.Evolution2D(None, t, points, start, 0.02, cells=True, flux=fluxes, **ends))
    for k in range(4):
        found = sol.y[:, :, k] if axis == 0 else sol.y[:, k]
        np.testing.assert_allclose(found, line, rtol=0, atol=1e-11)


@pytest.mark.parametrize("flux", [SHALLOW, LIMITED], ids=["upwind", "limited"])
@pytest.mark.parametrize(("ends", "D"), [("ring", 0.0), ("walls", 0.0), ("open", 0.05)])
def test_the_linear_solves_equal_the_assembled_matrix(ends, D, flux):
    sides = {
        "left": ds.Dirichlet(0.4),
        "right": (ds.Robin(2.0, 0.3, 0.1), ds.Neumann(0.2), ds.NoFlux()),
        "bottom": ds.Neumann(0.1),
        "top": ds.NoFlux(),
    }
    problem = water(4, 4, 2, {"ring": RING, "walls": WALLS}.get(ends, sides), flux=flux, D=D)
    made, rng = registry["heat2d.trbdf2"], np.random.default_rng(0)
    data = prepare(problem, None, made)[1]
    like = data.guess
    Gs = tuple(Dense(rng.normal(size=(*like.shape, like.shape[-1]))) for _ in problem.shift)
    where = {"grid": data.grid, "boundary": data.boundary}

    def given(shift):
        """Return the shifter at boundary data of zero."""

        def homogeneous(e, *, grid, boundary):
            zero = np.zeros_like(e)
            return shift(e, grid=grid, boundary=boundary) - shift(zero, grid=grid, boundary=boundary)

        return homogeneous

    r = rng.normal(size=like.shape)
    A = assembled(made, Gs, like, shift=tuple(map(given, problem.shift)), **where)
    for matrix, found in ((A, made.solve), (A.T, made.transpose)):
        expected = np.linalg.solve(matrix, r.ravel())
        off = np.abs(found(Gs, r, **where).ravel() - expected).max()
        assert off <= 512 * EPS * np.linalg.cond(A) * np.abs(expected).max()


@pytest.mark.deep_backend("torch")
def test_every_library_finds_the_same(lib):
    if lib.is_jax:  # a few cells of one component, as it is compiled
        starts = np.array([[1.0, 1.3, 0.8], [0.9, 1.1, 1.2], [1.4, 0.7, 1.0]])[..., None]
        losses = (loss_of(a, a(np.ones((3, 3, 3, 1))), a(starts), a(1.3)) for a in (lib.asarray, np.asarray))
        assert float(next(losses)) == pytest.approx(float(next(losses)), rel=1e-12)
        return
    problems = (water(5, 4, 3, WALLS, asarray) for asarray in (lib.asarray, np.asarray))
    found, expected = (ds.solve(problem).y for problem in problems)
    np.testing.assert_allclose(lib.to_numpy(found), expected, rtol=0, atol=1e-11)


def test_long_steps_of_the_flow_are_solved():
    """A flow that crosses 8 cells in a step, with D = 0: far from where conjugate residuals do well by themselves."""
    edges, s = cells_of(24)
    u0 = np.exp(-40.0 * ((s[:, None] - 0.5) ** 2 + (s - 0.5) ** 2))[..., None]
    flux = ds.upwind(lambda u, x, p: u, lambda u, x, p: 0.0 * u + 1.0)
    t = np.linspace(0.0, 2.0, 7)
    problem = ds.Evolution2D(None, t, (edges, edges), u0, 0.0, cells=True, flux=(flux, flux), **RING)
    sol = ds.solve(problem, inverse="backward_euler")
    one = np.eye(24) + 8.0 * (np.eye(24) - np.roll(np.eye(24), 1, axis=0))
    both = np.kron(one, np.eye(24)) + np.kron(np.eye(24), one) - np.eye(24 * 24)
    u = u0.ravel()
    for level in sol.y[1:]:
        u = np.linalg.solve(both, u)
        np.testing.assert_allclose(level.ravel(), u, rtol=0, atol=1e-12)


def loss_of(asarray, w, u0, params):
    edges, heights = (cells_of(N)[0] for N in u0.shape[:2])
    flux = ds.upwind(lambda u, x, p: p * 0.5 * u * u, lambda u, x, p: abs(p * u))
    ends = {"left": ds.Dirichlet(1.6), "right": ds.Neumann(), "bottom": ds.NoFlux(), "top": ds.NoFlux()}
    problem = ds.Evolution2D(
        lambda u, u_s, u_r, x, p: -p * u, asarray(np.array([0.0, 0.1, 0.2])), (asarray(edges), asarray(heights)), u0,
        0.01, params=params, cells=True, flux=(flux, flux), **ends,
    )  # fmt: skip
    return (w * ds.solve(problem, inverse="backward_euler").y ** 2).sum()


def test_gradients_are_those_of_differences():
    torch, rng = pytest.importorskip("torch"), np.random.default_rng(0)
    w = rng.normal(size=(3, 4, 3, 1))
    fall = 1.5 - 0.1 * np.arange(4)[:, None] - 0.07 * np.arange(3)  # the larger speed does not change sides
    data = {"u0": fall[..., None], "params": np.array(1.3)}
    step = {k: rng.normal(size=v.shape) for k, v in data.items()}

    def value(h):
        return float(loss_of(np.asarray, w, **{k: v + h * step[k] for k, v in data.items()}))

    h = 1e-4
    expected = (8 * (value(h) - value(-h)) - (value(2 * h) - value(-2 * h))) / (12 * h)
    leaves = {k: torch.tensor(v, requires_grad=True) for k, v in data.items()}
    loss_of(torch.as_tensor, torch.as_tensor(w), **leaves).backward()
    found = sum(float((leaf.grad.numpy() * step[k]).sum()) for k, leaf in leaves.items())
    assert found == pytest.approx(expected, abs=1e-8)


def test_fields_on_faces():
    """A wind that varies along both axes: what the faces of s and r have is given on them."""
    (edges, s), (heights, r) = cells_of(6), cells_of(4)
    east, north = (1.0 + edges[:, None] + r)[..., None], (1.0 + s[:, None] - heights)[..., None]
    seen = []

    def carried(wind):
        def flux(left, right, x, p):
            seen.append((wind, set(x)))
            return x[wind] * left

        return flux

    fields = {"east": east, "north": north, "source": np.ones((6, 4, 1))}
    ends = {"left": ds.Dirichlet(1.0), "right": ds.Neumann(), "bottom": ds.NoFlux(), "top": ds.NoFlux()}
    problem = ds.Evolution2D(
        lambda u, u_s, u_r, x, p: x["source"] - u, np.linspace(0.0, 0.2, 81), (edges, heights), np.ones((6, 4, 1)),
        0.0, cells=True, flux=(carried("east"), carried("north")), x=fields, **ends,
    )  # fmt: skip
    y = ds.solve(problem).y
    assert {("east", frozenset(k)) for w, k in seen if w == "east"} == {("east", frozenset({"t", "s", "r", "east"}))}

    def right(t, flat):
        u = flat.reshape(6, 4)
        to_east = east[..., 0] * np.concatenate([np.ones((1, 4)), u])
        to_north = north[..., 0] * np.concatenate([np.zeros((6, 1)), u[:, :-1], np.zeros((6, 1))], axis=1)
        to_north[:, 1:-1] = north[:, 1:-1, 0] * u[:, :-1]
        return (1 - u - 6 * np.diff(to_east, axis=0) - 4 * np.diff(to_north, axis=1)).ravel()

    expected = solve_ivp(right, (0.0, 0.2), np.ones(24), method="DOP853", rtol=1e-11, atol=1e-12).y[:, -1]
    np.testing.assert_allclose(y[-1].ravel(), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("axis", [-3, -2])
def test_a_flux_that_couples_cells_is_refused(axis):
    problem = water(6, 4, 3, RING, flux=(lambda a, b, x, p: a + np.roll(b, 1, axis=axis), None))
    with pytest.raises(ds.FunctionError, match="at one point of space changes with y at another"):
        ds.solve(problem)


BAD = {
    "one flux": ({"flux": SHALLOW[0]}, "flux: expected two numerical fluxes"),
    "none": ({"flux": (None, None)}, "flux: expected two numerical fluxes"),
    "points": ({"cells": False}, "flux: expected cells=True"),
    "a number": ({"flux": (1.0, None)}, "flux: expected a callable"),
    "negative": ({"D": -0.1}, "D: expected a coefficient of at least 0"),
    "shape": ({"flux": (lambda a, b, x, p: a[..., :1], None)}, "flux: expected an array of the shape of u"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(name):
    given = {"D": 0.0, "cells": True, "flux": SHALLOW, **RING, **BAD[name][0]}
    points = (cells_of(4)[0], cells_of(3)[0])
    with pytest.raises(ds.InputError, match=BAD[name][1]):
        ds.solve(ds.Evolution2D(None, np.linspace(0.0, 1.0, 3), points, np.ones((4, 3, 3)), **given))


@pytest.mark.parametrize("ends", ["ring", "walls"])
@pytest.mark.parametrize("flux", [SHALLOW, LIMITED, (None, LIMITED[1])], ids=["upwind", "limited", "along one"])
@pytest.mark.parametrize("sizes", [(4, 6), (3, 5)])
def test_derivatives_by_faces_are_those_of_f_as_a_whole(ends, flux, sizes):
    """Each flux is differentiated by its own states, once a face, in parts; here it differs from face to face."""

    def varied(k):
        def weighted(*given):
            *states, x, p = given
            return (1.0 + x[("east", "north")[k]] + p * x["t"]) * flux[k](*states, x, p)

        weighted.reach = getattr(flux[k], "reach", 1)
        return None if flux[k] is None else weighted

    (X, Y), rng = sizes, np.random.default_rng(0)
    edges = tuple(np.linspace(0.0, 1.0, N + 1) for N in sizes)
    problem = ds.Evolution2D(
        lambda u, u_s, u_r, x, p: u * u + 0.1 * u_s * u_r,
        np.linspace(0.0, 0.3, 4),
        edges,
        1.0 + 0.1 * rng.random((X, Y, 3)),
        0.01,
        x={"east": rng.random((X + 1, Y, 1)), "north": rng.random((X, Y + 1, 1))},
        params=np.asarray(0.5),
        cells=True,
        flux=(varied(0), varied(1)),
        **(RING if ends == "ring" else WALLS),
    )
    backend, data = prepare(problem, None, registry["heat2d.trbdf2"])
    system = System(backend, registry["heat2d.trbdf2"], problem.shift, closed(problem, data.grid), data)
    ys = system.shifted(data.guess * (1 + 0.1 * rng.random(data.guess.shape)))
    plain = dataclasses.replace(system, functions={"f": system.functions["f"]})
    in_parts = copy.copy(backend)
    in_parts.in_cache = 1
    for other in (plain, dataclasses.replace(plain, backend=in_parts), dataclasses.replace(system, backend=in_parts)):
        for found, expected in zip(system.jacobians(ys)[1], other.jacobians(ys)[1], strict=True):
            np.testing.assert_allclose(found.values, expected.values, rtol=0, atol=1e-13)
