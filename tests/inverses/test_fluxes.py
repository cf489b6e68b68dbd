"""Equations in conservation form: what is conserved, shocks, orders, the same by solve_ivp, gradients, bad input."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import deersolve as ds
from deersolve.grids.fluxes import reach_of
from deersolve.inverses import assembled, registry
from deersolve.linalg.structure import Dense
from deersolve.problems.inputs import prepare

EPS = np.finfo(np.float64).eps
RULES = ("backward_euler", "trapezoid", "trbdf2")
RING = {"left": ds.Periodic(), "right": ds.Periodic()}
pytestmark = pytest.mark.filterwarnings("ignore::deersolve.DiscretisationWarning")  # of coarse steps, and rightly


def burgers(u, x, p):
    return 0.5 * u * u


def magnitude(u, x, p):
    return abs(u)


BURGERS = ds.upwind(burgers, magnitude)
LIMITED = ds.limited(BURGERS)


def shallow(u, x, p):
    """Water of depth h and discharge q: (q, q^2 / h + g h^2 / 2), g = 1."""
    h, q = u[..., :1], u[..., 1:]
    return ds.array_namespace(u).concat([q, q * q / h + 0.5 * h * h], axis=-1)


def celerity(u, x, p):
    h, q = u[..., :1], u[..., 1:]
    return abs(q / h) + ds.array_namespace(u).sqrt(h)


SHALLOW = ds.upwind(shallow, celerity)


def cells_of(X, stretched=False):
    edges = np.linspace(0.0, 1.0, X + 1)
    edges = edges + 0.3 * edges * (1 - edges) * stretched
    return edges, 0.5 * (edges[1:] + edges[:-1])


def water(X, T, ends, asarray=np.asarray, last=0.3, flux=SHALLOW):
    """Return a hump of water that runs apart, over cells of different sizes, with a current."""
    edges, s = cells_of(X, stretched=True)
    hump = np.exp(-60.0 * (s - 0.4) ** 2)
    u0 = np.stack([1.0 + 0.5 * hump, 0.2 * hump], axis=-1)
    t = asarray(np.linspace(0.0, last, T))
    return ds.Evolution1D(None, t, asarray(edges), asarray(u0), 0.0, cells=True, flux=flux, **ends), edges


WALLS = {
    "ring": RING,
    "walls": {"left": (ds.NoFlux(), ds.Dirichlet(0.0)), "right": (ds.NoFlux(), ds.Dirichlet(0.0))},
}


@pytest.mark.parametrize("flux", [SHALLOW, ds.limited(SHALLOW)], ids=["upwind", "limited"])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("ends", WALLS)
def test_what_leaves_a_cell_enters_the_next(ends, rule, flux):
    problem, edges = water(40, 31, WALLS[ends], last=0.6, flux=flux)
    sol = ds.solve(problem, inverse=rule)
    held = (np.diff(edges)[:, None] * sol.y).sum(-2)
    conserved = held if ends == "ring" else held[:, :1]  # walls press on the water: its momentum changes
    assert np.abs(conserved - conserved[0]).max() <= 31 * 8 * EPS
    assert np.abs(sol.y[-1] - sol.y[0]).max() > 0.1
    if ends == "walls":
        assert np.abs(held[-1, 1] - held[0, 1]) > 1e-2


def test_diffusion_is_kept_by_walls_too():
    edges, s = cells_of(30)
    u0 = np.sin(np.pi * s)[:, None]
    walls = {"left": ds.NoFlux(), "right": ds.NoFlux()}
    problem = ds.Evolution1D(None, np.linspace(0.0, 1.0, 21), edges, u0, 0.05, cells=True, flux=BURGERS, **walls)
    sol = ds.solve(problem)
    held = sol.y[..., 0].mean(-1)
    assert np.abs(held - held[0]).max() <= 21 * 8 * EPS
    assert sol.y[-1, -1, 0] > sol.y[-1, 0, 0] + 0.5  # the water is pushed to the right, and stays


def test_a_shock_moves_as_rankine_and_hugoniot_say():
    """From 2 to 0.5 at speed (2 + 0.5) / 2, where u u_s in the form of slopes goes astray."""
    edges, s = cells_of(100)
    t, u0 = np.linspace(0.0, 0.4, 201), np.where(s < 0.25, 2.0, 0.5)[:, None]
    ends = {"left": ds.Dirichlet(2.0), "right": ds.Neumann()}
    sol = ds.solve(ds.Evolution1D(None, t, edges, u0, 0.0, cells=True, flux=BURGERS, **ends))
    places = 1.0 - (2.0 - sol.y[..., 0].mean(-1)) / 1.5
    np.testing.assert_allclose(places, 0.25 + 1.25 * t, rtol=0, atol=1e-12)
    assert (np.diff(sol.y[-1, :, 0]) <= 1e-12).all()


LAYERS = {"central": (-20.405, 24.619, 1.1e1), "upwind": (0.962, 1.0, 2.0e-3), "limited": (0.980, 1.0, 1.0e-3)}
PULSES = {"central": (-0.254, 1.279, 1.2e-1), "upwind": (0.0, 0.887, 1.0e-1), "limited": (0.0, 1.0, 3.3e-2)}


@pytest.mark.parametrize("name", LAYERS)
def test_the_last_rows_of_the_tables_in_the_docs(name):
    upwind = ds.upwind(lambda u, x, p: u, lambda u, x, p: 0.0 * u + 1.0)
    flux = {"central": ds.central(lambda u, x, p: u), "upwind": upwind, "limited": ds.limited(upwind)}[name]

    def row(y, exact):
        return y.min(), y.max(), np.abs(y - exact).mean()

    edges, s = cells_of(20)
    ends = {"left": ds.Dirichlet(1.0), "right": ds.Dirichlet(0.0)}
    t, u0 = np.linspace(0.0, 2.0, 41), np.ones((20, 1))
    layer = ds.Evolution1D(None, t, edges, u0, 1e-3, cells=True, flux=flux, **ends)
    found = row(ds.solve(layer, inverse="backward_euler").y[-1, :, 0], 1 - np.exp((s - 1) / 1e-3))
    np.testing.assert_allclose(found, LAYERS[name], rtol=0.05, atol=6e-4)
    edges, s = cells_of(100)
    pulse = ds.Evolution1D(
        None,
        np.linspace(0.0, 0.4, 81),
        edges,
        1.0 * ((s > 0.2) & (s < 0.4))[:, None],
        0.0,
        cells=True,
        flux=flux,
        **RING,
    )
    found = row(ds.solve(pulse).y[-1, :, 0], 1.0 * ((s > 0.6) & (s < 0.8)))
    np.testing.assert_allclose(found, PULSES[name], rtol=0.05, atol=6e-4)


def test_upwind_stays_within_bounds_where_central_does_not():
    edges, s = cells_of(50)
    t, u0 = np.linspace(0.0, 0.5, 26), np.where(np.abs(s - 0.3) < 0.1, 1.0, 0.0)[:, None]
    lowest = {}
    for name, flux in {"upwind": BURGERS, "central": ds.central(burgers)}.items():
        problem = ds.Evolution1D(None, t, edges, u0, 0.0, cells=True, flux=flux, **RING)
        y = ds.solve(problem, inverse="backward_euler").y
        lowest[name] = float(y.min())
        if name == "upwind":
            assert y.max() <= 1.0 + 8 * EPS
            assert (np.abs(np.diff(y[..., 0], axis=-1)).sum(-1) <= 2.0 + 50 * EPS).all()
    assert lowest["upwind"] >= -8 * EPS
    assert lowest["central"] < -0.1


def manufactured(X, T, flux, ends, asarray=np.asarray):
    """u = 2 + sin(2 pi (s - t)) with D = 0.01 and the source that it takes."""
    edges, s = cells_of(X)
    t, w, D = np.linspace(0.0, 0.5, T), 2 * np.pi, 0.01
    phase = w * (s[None, :] - t[:, None])
    u, u_s = 2 + np.sin(phase), w * np.cos(phase)
    force = -u_s + u * u_s + D * w * w * np.sin(phase)
    at = {k: 2 + np.sin(w * (place - t))[:, None] for k, place in (("left", 0.0), ("right", 1.0))}
    sides = RING if ends == "ring" else {k: ds.Dirichlet(asarray(v)) for k, v in at.items()}
    problem = ds.Evolution1D(
        lambda u, u_s, x, p: x["force"], asarray(t), asarray(edges), asarray(u[0, :, None]), D, cells=True, flux=flux,
        x={"force": asarray(force[..., None])}, **sides,
    )  # fmt: skip
    return problem, u[..., None]


FLUXES = {
    "upwind": (BURGERS, 1),
    "central": (ds.central(burgers), 2),
    "van_leer": (LIMITED, 2),
    "minmod": (ds.limited(BURGERS, "minmod"), 2),
}


@pytest.mark.parametrize("ends", ["ring", "open"])
@pytest.mark.parametrize("name", FLUXES)
@pytest.mark.deep_but("upwind-ring", "central-open", "minmod-open", "van_leer-ring")
def test_order_in_space(name, ends):
    flux, order = FLUXES[name]
    errors = []
    for X in (40, 80, 160):
        problem, u = manufactured(X, X + 1, flux, ends)
        errors.append(np.abs(ds.solve(problem).y - u).mean(-2).max())
    assert np.log2(errors[1] / errors[2]) == pytest.approx(order, abs=0.25), errors


def by_solve_ivp(flux, edges, u0, t):
    """Return u at the last time on a ring, of fluxes on its faces, by SciPy."""
    h = np.diff(edges)[:, None]
    places = range(2, -2, -1) if reach_of(flux) == 2 else (1, 0)

    def right(t, flat):
        u = flat.reshape(u0.shape)
        passing = flux(*(np.roll(u, k, axis=0) for k in places), None, None)
        return ((passing - np.roll(passing, -1, axis=0)) / h).ravel()

    return (
        solve_ivp(right, (t[0], t[-1]), u0.ravel(), method="DOP853", rtol=1e-11, atol=1e-12).y[:, -1].reshape(u0.shape)
    )


@pytest.mark.parametrize("flux", [SHALLOW, ds.limited(SHALLOW)], ids=["upwind", "limited"])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.deep_but("backward_euler-upwind", "trbdf2-limited")
def test_water_is_that_of_solve_ivp(rule, flux):
    errors = []
    for T in (81, 161):
        problem, edges = water(24, T, RING, flux=flux)
        expected = by_solve_ivp(flux, edges, problem.boundary.y0, problem.t)
        errors.append(np.abs(ds.solve(problem, inverse=rule).y[-1] - expected).max())
    order = 1 if rule == "backward_euler" else 2
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.2), errors
    assert errors[1] < (2e-2 if order == 1 else 2e-4)


def test_burgers_is_that_of_solve_ivp():
    edges, s = cells_of(32)
    u0, errors = (0.3 + np.sin(2 * np.pi * s))[:, None], []
    for T in (101, 201):
        t = np.linspace(0.0, 0.4, T)
        problem = ds.Evolution1D(None, t, edges, u0, 0.0, cells=True, flux=BURGERS, **RING)
        errors.append(np.abs(ds.solve(problem).y[-1] - by_solve_ivp(BURGERS, edges, u0, t)).max())
    assert errors[1] < 1e-4
    assert errors[0] / errors[1] > 3.5, errors


@pytest.mark.parametrize("flux", [SHALLOW, ds.limited(SHALLOW)], ids=["upwind", "limited"])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("ends", "X"), [("ring", 6), ("walls", 5), ("open", 6)])
def test_the_linear_solves_equal_the_assembled_matrix(ends, X, rule, flux):
    sides = {"left": ds.Dirichlet(0.4), "right": (ds.Robin(2.0, 0.3, 0.1), ds.Neumann(0.2))}
    problem, _ = water(X, 4, WALLS.get(ends, sides), flux=flux)
    made, rng = registry[f"heat.{rule}"], np.random.default_rng(0)
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
        assert off <= 64 * EPS * np.linalg.cond(A) * np.abs(expected).max()


@pytest.mark.cases_backend("jax")
@pytest.mark.slow_backend("jax")
def test_every_library_finds_the_same(lib):
    """Water on NumPy's kin and PyTorch; Burgers' equation on JAX, where components take long to compile."""

    def problem(asarray):
        return (
            manufactured(5, 4, BURGERS, "open", asarray)[0] if lib.is_jax else water(6, 5, WALLS["walls"], asarray)[0]
        )

    sol, expected = (ds.solve(problem(a), inverse="backward_euler") for a in (lib.asarray, np.asarray))
    np.testing.assert_allclose(lib.to_numpy(sol.y), expected.y, rtol=0, atol=1e-11)


@pytest.mark.deep_backend("torch")
def test_a_limited_flux_is_the_same_on_every_library(lib):
    if lib.is_jax:
        pytest.skip("compiled above")
    problem, expected = (water(7, 4, WALLS["walls"], a, flux=ds.limited(SHALLOW))[0] for a in (lib.asarray, np.asarray))
    found = lib.to_numpy(ds.solve(problem).y)
    np.testing.assert_allclose(found, ds.solve(expected).y, rtol=0, atol=1e-11)


def test_a_limited_flux_keeps_a_shock_sharp_and_makes_no_new_extremes():
    edges, s = cells_of(50)
    t, u0 = np.linspace(0.0, 0.3, 151), np.where(s < 0.3, 1.0, 0.1)[:, None]
    ends = {"left": ds.Dirichlet(1.0), "right": ds.Neumann()}
    exact = np.where(s < 0.3 + 0.3 * 0.55, 1.0, 0.1)
    off = {}
    for name, flux in {"upwind": BURGERS, "limited": LIMITED}.items():
        y = ds.solve(ds.Evolution1D(None, t, edges, u0, 0.0, cells=True, flux=flux, **ends)).y
        assert y.min() >= 0.1 - 1e-9
        assert y.max() <= 1.0 + 1e-9
        off[name] = np.abs(y[-1, :, 0] - exact).mean()
    assert off["limited"] < 0.6 * off["upwind"]


def test_a_batch_of_starts_is_that_of_each():
    edges, s = cells_of(20)
    t, u0 = np.linspace(0.0, 0.2, 9), (1.0 + 0.5 * np.sin(2 * np.pi * s))[:, None]
    starts = np.stack([u0, 0.5 * u0, -u0])

    def solved(u0):
        return ds.solve(ds.Evolution1D(None, t, edges, u0, 0.01, cells=True, flux=BURGERS, **RING)).y

    np.testing.assert_allclose(solved(starts), np.stack([solved(u0) for u0 in starts]), rtol=0, atol=1e-12)


def test_fields_on_faces_are_for_the_flux_and_those_in_cells_for_f():
    """A wind that varies along s and with time, over cells: u_t + (v u)_s = c."""
    edges, s = cells_of(16)
    t = np.linspace(0.0, 0.5, 101)
    wind = (1.0 + 0.5 * np.cos(2 * np.pi * edges)) * (1.0 + t[:, None])
    c = np.cos(2 * np.pi * s)[:, None]

    def flux(left, right, x, p):
        assert set(x) == {"t", "s", "wind", "both"}
        return x["wind"] * left

    def f(u, u_s, x, p):
        assert set(x) == {"t", "s", "source", "both"}
        return x["both"] * x["source"]

    fields = {"wind": wind[..., None], "source": c, "both": np.full((101, 1, 1), 2.0)}
    u0 = np.ones((16, 1))
    sol = ds.solve(ds.Evolution1D(f, t, edges, u0, 0.0, cells=True, flux=flux, x=fields, **RING))

    def right(at, u):
        passing = np.interp(at, t, 1.0 + t) * (1.0 + 0.5 * np.cos(2 * np.pi * edges[:-1])) * np.roll(u, 1)
        return 16 * (passing - np.roll(passing, -1)) + 2 * c[:, 0]

    expected = solve_ivp(right, (0.0, 0.5), u0[:, 0], method="DOP853", rtol=1e-11, atol=1e-12).y[:, -1]
    np.testing.assert_allclose(sol.y[-1, :, 0], expected, rtol=0, atol=3e-4)
    np.testing.assert_allclose(sol.y[..., 0].mean(-1), 1.0, rtol=0, atol=100 * EPS)


def loss_of(asarray, w, u0, D, params, left, wrap=lambda flux: flux):
    edges, _ = cells_of(8, stretched=True)
    t = np.linspace(0.0, 0.2, 6)
    flux = wrap(ds.upwind(lambda u, x, p: p * 0.5 * u * u, lambda u, x, p: abs(p * u)))
    ends = {"left": ds.Dirichlet(left), "right": ds.Neumann(-0.1)}
    problem = ds.Evolution1D(
        lambda u, u_s, x, p: -p * u, asarray(t), asarray(edges), u0, D, params=params, cells=True, flux=flux, **ends
    )
    return (w * ds.solve(problem, inverse="backward_euler").y ** 2).sum()


@pytest.mark.parametrize("wrap", [lambda flux: flux, ds.limited], ids=["upwind", "limited"])
def test_sensitivities_and_adjoints_are_those_of_differences(wrap):
    edges, rng = cells_of(8, stretched=True)[0], np.random.default_rng(0)
    flux = wrap(ds.upwind(lambda u, x, p: p * 0.5 * u * u, lambda u, x, p: abs(p * u)))

    def problem(u0, D, params, left):
        ends = {"left": ds.Dirichlet(left), "right": ds.NoFlux()}
        t = np.linspace(0.0, 0.2, 6)
        return ds.Evolution1D(None, t, edges, u0, D, params=params, cells=True, flux=flux, **ends)

    fall = np.linspace(1.4, 0.9, 8)[:, None] ** 2
    data = {"u0": fall, "D": np.array([0.02]), "params": np.array(1.3), "left": np.array([2.2])}
    step = {k: rng.normal(size=v.shape) for k, v in data.items()}

    def y_at(h):
        return ds.solve(problem(**{k: v + h * step[k] for k, v in data.items()})).y

    h = 1e-5  # a limiter has kinks not far from here
    expected = (8 * (y_at(h) - y_at(-h)) - (y_at(2 * h) - y_at(-2 * h))) / (12 * h)
    here = problem(**data)
    sol = ds.solve(here)
    np.testing.assert_allclose(ds.sensitivity(here, sol, step), expected, rtol=0, atol=1e-8)
    w = rng.normal(size=sol.y.shape)
    bars = ds.adjoint(here, sol, w, wrt=tuple(data))
    assert sum(float((bars[k] * step[k]).sum()) for k in data) == pytest.approx(float((w * expected).sum()), abs=1e-8)
    with pytest.raises(ds.UnknownKeyError, match="wrt: unknown field 'x'"):
        ds.adjoint(here, sol, w, wrt="x")


@pytest.mark.parametrize("name", ["jax", "torch", "torch, limited"])
@pytest.mark.deep_but("torch")
def test_gradients_are_those_of_differences(name):
    rng, wrap = np.random.default_rng(0), ds.limited if "limited" in name else lambda flux: flux
    w = rng.normal(size=(6, 8, 1))
    data = {
        "u0": np.linspace(1.4, 0.9, 8)[:, None] ** 2,  # falling: no face where the larger speed changes sides
        "D": np.array([0.02]),
        "params": np.array(1.3),
        "left": np.array([2.2]),
    }
    step = {k: rng.normal(size=v.shape) for k, v in data.items()}

    def value(h):
        return float(loss_of(np.asarray, w, **{k: v + h * step[k] for k, v in data.items()}, wrap=wrap))

    h = 1e-5  # a limiter has kinks not far from here
    expected = (8 * (value(h) - value(-h)) - (value(2 * h) - value(-2 * h))) / (12 * h)
    if name == "jax":
        jax = pytest.importorskip("jax")
        arrays = {k: jax.numpy.asarray(v) for k, v in data.items()}
        found = jax.jit(jax.grad(lambda data: loss_of(jax.numpy.asarray, w, **data)))(arrays)
    else:
        torch = pytest.importorskip("torch")
        leaves = {k: torch.tensor(v, requires_grad=True) for k, v in data.items()}
        loss_of(torch.as_tensor, torch.as_tensor(w), **leaves, wrap=wrap).backward()
        found = {k: leaf.grad.numpy() for k, leaf in leaves.items()}
    assert sum(float((found[k] * step[k]).sum()) for k in data) == pytest.approx(expected, abs=1e-8)


def wide(*states):
    return states[0]


wide.reach = 3
T, S, U0 = np.linspace(0.0, 1.0, 5), np.linspace(0.0, 1.0, 9), np.ones((8, 1))
BAD = {
    "points": ({"cells": False}, r"flux: expected cells=True"),
    "a number": ({"flux": 1.0}, r"flux: expected a callable flux\(u_left, u_right, x, params\)"),
    "shape": ({"flux": lambda a, b, x, p: a[..., 0]}, r"flux: expected an array of the shape of u"),
    "no array": ({"flux": lambda a, b, x, p: 1.0}, r"flux: expected an array of the shape of u.*received float"),
    "speed": ({"flux": ds.upwind(burgers, lambda u, x, p: abs(u[..., 0]))}, r"speed: expected shape"),
    "negative": ({"D": -0.1}, "D: expected a diffusion of at least 0"),
    "field": ({"x": {"k": np.zeros((3, 10, 1))}}, r"or X \+ 1 = 9 for the flux"),
    "odd ring": ({"s": np.linspace(0.0, 1.0, 8), "u0": np.ones((7, 1)), "flux": LIMITED}, "s: expected an even number"),
    "reach": ({"flux": wide}, "flux: expected a reach of 1 or 2"),
    "f": ({"f": 3}, "f: expected a callable"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(name):
    given = {"f": None, "t": T, "s": S, "u0": U0, "D": 0.0, "cells": True, "flux": BURGERS, **RING, **BAD[name][0]}
    with pytest.raises(ds.InputError, match=BAD[name][1]):
        ds.solve(ds.Evolution1D(**given))


ROLLED = {
    "flux": {"f": None, "flux": lambda a, b, x, p: 0.5 * (a + ds.array_namespace(a).roll(a, 1, axis=-2))},
    "f": {"f": lambda u, u_s, x, p: ds.array_namespace(u).roll(u, 1, axis=-2), "flux": None, "D": 1.0},
}


@pytest.mark.parametrize("name", ROLLED)
def test_functions_that_couple_cells_are_refused(name):
    """Their Jacobians would be taken for those of one point, and derivatives be wrong in silence."""
    given = {"t": T, "s": S, "u0": np.sin(np.arange(8.0))[:, None], "D": 0.0, "cells": True, **RING, **ROLLED[name]}
    with pytest.raises(ds.FunctionError, match="at one point of space changes with y at another"):
        ds.solve(ds.Evolution1D(**given))


def test_makers_name_what_they_take():
    with pytest.raises(ds.InputError, match=r"central: expected a flux F\(u, x, params\)"):
        ds.central(1.0)
    with pytest.raises(ds.InputError, match=r"upwind: expected a speed\(u, x, params\)"):
        ds.upwind(burgers, 1.0)
    with pytest.raises(ds.InputError, match="limited: expected a flux of the two states"):
        ds.limited(LIMITED)
    with pytest.raises(ds.UnknownKeyError, match="Did you mean 'minmod'"):
        ds.limited(BURGERS, "minmodd")
    with pytest.raises(ds.InputError, match="expected a callable f"):
        ds.Evolution1D(None, T, S, np.ones((9, 1)), 1.0, left=ds.NoFlux(), right=ds.NoFlux())


def test_no_flux_without_a_flux_is_a_slope_of_zero():
    s, t = np.linspace(0.0, 1.0, 9), np.linspace(0.0, 0.1, 5)
    u0 = (s * s)[:, None]
    found, expected = (
        ds.solve(ds.Evolution1D(lambda u, u_s, x, p: 0.0 * u, t, s, u0, 1.0, left=end, right=end)).y
        for end in (ds.NoFlux(), ds.Neumann())
    )
    np.testing.assert_array_equal(found, expected)
