"""sensitivity() and adjoint() of evolution equations: the adjoint identity, differences, automatic differentiation."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import deersolve as ds

RULES = ("backward_euler", "trapezoid", "trbdf2")
KINDS = ("dirichlet", "neumann", "robin", "both", "periodic")
TIMES = np.array([0.0, 0.01, 0.025, 0.03, 0.05])
T, N = len(TIMES), 2
SIDES = ("left", "right", "bottom", "top")


def conditions(kind, value):
    """Return a condition with that right-hand side; "both" is one condition for each of the two components."""
    if kind == "periodic":
        return ds.Periodic()
    if kind == "both":
        return ds.Dirichlet(value[0]), ds.Robin(1.0, 0.3, value[1])
    return {"dirichlet": ds.Dirichlet, "neumann": ds.Neumann, "robin": lambda v: ds.Robin(1.0, 0.4, v)}[kind](value)


def turn(tree, function):
    """Apply a function to every array of dicts and tuples."""
    if isinstance(tree, dict):
        return {k: turn(v, function) for k, v in tree.items()}
    return tuple(turn(v, function) for v in tree) if isinstance(tree, tuple) else function(tree)


def leaves(tree):
    found = []
    turn(tree, found.append)
    return found


def moved(theta, direction, h):
    parts = iter(leaves(direction))
    return turn(theta, lambda a: a + h * next(parts))


def inner(a, b):
    """Return the sum of products, and that of their sizes."""
    products = [np.asarray(p) * q for p, q in zip(leaves(a), leaves(b), strict=True)]
    return sum(p.sum() for p in products), sum(np.abs(p).sum() for p in products)


def line(theta, kinds, cells, asarray=np.asarray):
    """Return an equation on a line of two components and of everything it is given."""

    def f(u, u_s, x, p):
        xp = ds.array_namespace(u)
        return p["a"] * u * u - 0.3 * u * u_s + xp.sin(x["q"] + x["t"]) * (u @ p["w"]) + x["s"]

    edges = asarray(np.array([0.0, 0.1, 0.3, 0.55, 0.7, 1.0]))
    given = turn(theta, asarray)
    ends = {side: conditions(kind, given.get(side)) for side, kind in zip(SIDES[:2], kinds, strict=True)}
    fields = {"D": given["D"], "params": given["params"], "x": given["x"]}
    return ds.Evolution1D(f, asarray(TIMES), edges, given["u0"], **fields, **ends, cells=cells)


def rectangle(theta, kinds, cells, asarray=np.asarray):
    """Return the same in a rectangle."""

    def f(u, u_s, u_r, x, p):
        xp = ds.array_namespace(u)
        return p["a"] * u * u - 0.3 * u * u_s + xp.sin(x["q"] + x["t"]) * (u @ p["w"]) + x["s"] * u_r

    points = asarray(np.array([0.0, 0.1, 0.35, 0.6, 1.0])), asarray(np.array([0.0, 0.2, 0.45, 0.9, 1.2, 1.5]))
    given = turn(theta, asarray)
    sides = {side: conditions(kind, given.get(side)) for side, kind in zip(SIDES, kinds, strict=True)}
    fields = {"D": given["D"], "params": given["params"], "x": given["x"]}
    return ds.Evolution2D(f, asarray(TIMES[:3]), points, given["u0"], **fields, **sides, cells=cells)


def draw(rng, kinds, cells, shapes):
    """Return the data of an equation in some of the layouts that may be given."""
    batch, D, side, x = shapes
    where, levels = ((5 - cells, 6 - cells), 3) if len(kinds) == 4 else ((6 - cells,), T)
    theta = {"params": {"a": rng.normal(), "w": rng.normal(size=(N, N))}, "x": {}}
    theta["params"]["a"] = np.asarray(theta["params"]["a"])
    theta["u0"] = 0.3 * rng.normal(size=(*batch, *where, N))
    one = (1,) * len(where)
    theta["D"] = 0.3 + rng.uniform(size={"number": (), "each": (N,), "field": (*where, N), "shared": (*where, 1)}[D])
    for name, kind in zip(SIDES, kinds, strict=False):
        along = () if len(kinds) == 2 else (where[1 if name in SIDES[:2] else 0],)
        lead = tuple(1 for _ in along)
        size = {
            "number": (),
            "each": (N,),
            "times": (levels, *along, N),
            "shared": (levels, *lead, 1),
            "batch": (*batch, levels, *along, N),
        }[side]
        parts = 2 if kind == "both" else 1
        size = (*size[:-1], 1) if parts == 2 and size else size
        values = tuple(0.3 * rng.normal(size=size) for _ in range(parts))
        if along and side in ("times", "batch"):  # two sides have to agree in the corner that they share
            for value in values:
                value[..., [0, -1], :] = 0.0
        if kind != "periodic":
            theta[name] = values if parts == 2 else values[0]
    own = {
        "place": (*where, 1),
        "times": (levels, *one, N),
        "all": (*batch, levels, *where, N),
        "one": (levels, *where, 1),
    }
    theta["x"]["q"] = rng.normal(size=own[x])
    return theta


def solved(make, theta, kinds, cells, rule, **options):
    problem = make(theta, kinds, cells, **options)
    return problem, ds.solve(problem, inverse=rule)


def check_the_identity(make, kinds, cells, rule, shapes, seed):
    rng = np.random.default_rng(seed)
    theta = draw(rng, kinds, cells, shapes)
    problem, sol = solved(make, theta, kinds, cells, rule)
    c, v = rng.normal(size=sol.y.shape), turn(theta, lambda a: rng.normal(size=a.shape))
    bars, dy = ds.adjoint(problem, sol, c, wrt=tuple(theta)), ds.sensitivity(problem, sol, v)
    assert turn(bars, np.shape) == turn(theta, np.shape)
    (there, size), (back, other) = inner(c, dy), inner(bars, v)
    assert abs(there - back) <= 1e-12 * max(size, other)


layouts = st.tuples(
    st.sampled_from([(), (2,), (1,), (3, 2)]),
    st.sampled_from(["number", "each", "field", "shared"]),
    st.sampled_from(["number", "each", "times", "shared", "batch"]),
    st.sampled_from(["place", "times", "all", "one"]),
)
open_or_ring = st.one_of(st.tuples(*[st.sampled_from(KINDS[:4])] * 2), st.just(("periodic",) * 2))


@pytest.mark.filterwarnings("ignore::deersolve.DiscretisationWarning")
@given(kinds=open_or_ring, cells=st.booleans(), rule=st.sampled_from(RULES), shapes=layouts, seed=st.integers(0, 999))
def test_the_adjoint_identity_on_a_line(kinds, cells, rule, shapes, seed):
    check_the_identity(line, kinds, cells, rule, shapes, seed)


@pytest.mark.filterwarnings("ignore::deersolve.DiscretisationWarning")
@given(
    s=open_or_ring,
    r=open_or_ring,
    cells=st.booleans(),
    rule=st.sampled_from(RULES),
    shapes=layouts,
    seed=st.integers(0, 999),
)
def test_the_adjoint_identity_in_a_rectangle(s, r, cells, rule, shapes, seed):
    check_the_identity(rectangle, (*s, *r), cells, rule, shapes, seed)


CASES = {
    "line": (line, ("dirichlet", "robin"), False, ((2,), "shared", "times", "all")),
    "cells": (line, ("both", "neumann"), True, ((2,), "each", "number", "place")),
    "ring": (line, ("periodic",) * 2, False, ((), "field", "number", "one")),
    "rectangle": (rectangle, ("robin", "dirichlet", "neumann", "both"), False, ((2,), "number", "batch", "times")),
    "tube": (rectangle, ("dirichlet", "neumann", "periodic", "periodic"), False, ((), "field", "times", "all")),
}


@pytest.mark.filterwarnings("ignore::deersolve.DiscretisationWarning")
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.deep_but("line-trbdf2", "cells-trapezoid", "ring-backward_euler", "rectangle-trapezoid", "tube-trbdf2")
def test_sensitivities_are_those_of_differences(case, rule):
    """Of 6th order, in steps whose error and roundoff are below 1e-9 of the largest change, by every field alone."""
    (make, kinds, cells, shapes), rng = CASES[case], np.random.default_rng(1)
    if make is rectangle and rule == "backward_euler":
        pytest.skip("two rules are enough there")
    (theta, direction), h = (draw(rng, kinds, cells, shapes) for _ in range(2)), 1e-2
    problem, sol = solved(make, theta, kinds, cells, rule)
    for name in theta:
        v = {k: turn(a, lambda a, k=k, name=name: a * (k == name)) for k, a in direction.items()}
        y = [solved(make, moved(theta, v, k * h), kinds, cells, rule)[1].y for k in (1, -1, 2, -2, 3, -3)]
        expected = (45 * (y[0] - y[1]) - 9 * (y[2] - y[3]) + (y[4] - y[5])) / (60 * h)
        found = ds.sensitivity(problem, sol, {name: v[name]})
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-8 * max(1.0, np.abs(expected).max()), err_msg=name)


def assert_close(lib, found, expected, tol=1e-11):
    """Compare trees of arrays; JAX sorts the keys."""
    if isinstance(expected, dict | tuple):
        for k in expected if isinstance(expected, dict) else range(len(expected)):
            assert_close(lib, found[k], expected[k], tol)
        return
    np.testing.assert_allclose(lib.to_numpy(found), expected, rtol=0, atol=tol * np.abs(expected).max(initial=1.0))


def by_jax(make, theta, c, v):
    """Return the adjoint, the sensitivity and the gradient of JAX, in one program: that compiles fastest."""
    import jax

    def run(theta):
        sol = ds.solve(make(theta), inverse="backward_euler")
        return sol.y, sol

    @jax.jit
    def everything(theta, c, v):
        _, back, sol = jax.vjp(run, theta, has_aux=True)
        problem = make(theta)
        return ds.adjoint(problem, sol, c, wrt=tuple(theta)), ds.sensitivity(problem, sol, v), back(c)[0]

    return everything(theta, c, v)


def by_torch(make, theta, c, v):
    for a in leaves(theta):
        a.requires_grad_()
    problem = make(theta)
    sol = ds.solve(problem)
    (sol.y * c).sum().backward()
    return (
        ds.adjoint(problem, sol, c, wrt=tuple(theta)), ds.sensitivity(problem, sol, v), turn(theta, lambda a: a.grad)
    )  # fmt: skip


@pytest.mark.filterwarnings("ignore::deersolve.DiscretisationWarning")
@pytest.mark.parametrize("case", CASES)
@pytest.mark.cases_backend("torch", "line", "rectangle")
def test_every_library_finds_the_same_and_automatic_differentiation_too(lib, case):
    if lib.is_jax and case != "line":
        pytest.skip("one is enough to compile")
    (build, kinds, cells, shapes), rng = CASES[case], np.random.default_rng(2)
    theta = draw(rng, kinds, cells, shapes)
    problem, sol = solved(build, theta, kinds, cells, "backward_euler" if lib.is_jax else "trbdf2")
    c, v = rng.normal(size=sol.y.shape), turn(theta, lambda a: rng.normal(size=a.shape))
    expected, dy = ds.adjoint(problem, sol, c, wrt=tuple(theta)), ds.sensitivity(problem, sol, v)

    def make(theta):
        return build(theta, kinds, cells, lambda a: lib.asarray(a) if isinstance(a, np.ndarray) else a)

    theta, c, v = turn(theta, lib.asarray), lib.asarray(c), turn(v, lib.asarray)
    if lib.is_jax or lib.is_torch:
        bars, along, gradient = (by_jax if lib.is_jax else by_torch)(make, theta, c, v)
        assert_close(lib, gradient, expected)
    else:
        problem, sol = make(theta), ds.solve(make(theta))
        bars, along = ds.adjoint(problem, sol, c, wrt=tuple(theta)), ds.sensitivity(problem, sol, v)
    assert_close(lib, bars, expected)
    assert_close(lib, along, dy)


@pytest.mark.filterwarnings("ignore::deersolve.DiscretisationWarning")
def test_an_element_that_failed_touches_no_other(lib):
    """u_t - u_ss = p u^2 from 1 and from 400, which blows up at once: the loss of the first alone has a gradient."""
    if lib.is_jax or lib.is_strict:
        pytest.skip("nothing that depends on the library, and the loop that f blows up in is slow")
    s, t = np.linspace(0.0, 1.0, 6), np.linspace(0.0, 0.2, 9)
    shape = np.sin(np.pi * s)[:, None]

    def problem(starts):
        ends = {"left": ds.Dirichlet(lib.asarray(np.zeros((9, 1)))), "right": ds.Dirichlet(0.0)}
        u0 = lib.asarray(np.asarray(starts)[:, None, None] * shape)
        f = lambda u, u_s, x, p: p * u * u  # noqa: E731
        return ds.Evolution1D(f, lib.asarray(t), lib.asarray(s), u0, 0.1, params=lib.asarray(1.0), **ends)

    both, one = problem([400.0, 1.0]), problem([1.0])
    c = np.random.default_rng(0).normal(size=(2, 9, 6, 1)) * np.array([0.0, 1.0])[:, None, None, None]
    single = ds.solve(one)
    expected = ds.adjoint(one, single, lib.asarray(c[1:]), wrt=("params", "u0", "left", "right", "D"))
    moves = ds.sensitivity(one, single, {"params": lib.asarray(1.0)})
    for mode in ("return", "nan"):
        sol = ds.solve(both, on_failure=mode)
        assert [int(k) > 0 for k in lib.to_numpy(sol.status)] == [True, False]
        found = ds.adjoint(both, sol, lib.asarray(c), wrt=tuple(expected))
        for name, value in expected.items():
            bar, expected_bar = lib.to_numpy(found[name]), lib.to_numpy(value)
            if name == "u0":
                assert (bar[0] == 0).all()
                bar, expected_bar = bar[1], expected_bar[0]
            np.testing.assert_allclose(bar, expected_bar, rtol=0, atol=1e-12 * np.abs(expected_bar).max())
        dy = lib.to_numpy(ds.sensitivity(both, sol, {"params": lib.asarray(1.0)}))
        assert np.isnan(dy[0]).all()
        np.testing.assert_allclose(dy[1], lib.to_numpy(moves)[0], rtol=0, atol=1e-12)
        with pytest.raises(ds.InputError, match="expected every element CONVERGED"):
            ds.adjoint(both, sol, lib.asarray(np.ones((2, 9, 6, 1))))


@pytest.mark.filterwarnings("ignore::deersolve.DiscretisationWarning")
@pytest.mark.parametrize("case", ["line", "tube"])
def test_sensitivity_by_the_times(case):
    """f sees them too, as x["t"]."""
    (make, kinds, cells, shapes), rng = CASES[case], np.random.default_rng(4)
    theta = draw(rng, kinds, cells, shapes)
    problem, sol = solved(make, theta, kinds, cells, "trbdf2")
    dt, t, h, y = 0.01 * rng.normal(size=problem.t.shape), problem.t, 2e-3, {}
    found = ds.sensitivity(problem, sol, {"t": dt})
    for k in (1, -1, 2, -2):
        problem.t = t + k * h * dt
        y[k] = ds.solve(problem).y
    expected = (8 * (y[1] - y[-1]) - (y[2] - y[-2])) / (12 * h)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-8 * max(1.0, np.abs(expected).max()))


@pytest.mark.filterwarnings("ignore::deersolve.DiscretisationWarning")
def test_bad_requests_are_clear_errors():
    (make, kinds, cells, shapes), rng = CASES["ring"], np.random.default_rng(0)
    theta = draw(rng, kinds, cells, shapes)
    problem, sol = solved(make, theta, kinds, cells, "trbdf2")
    one = np.ones_like(sol.y)
    assert sol.stages.shape == (T, 1, 6, N)
    assert solved(make, theta, kinds, cells, "trapezoid")[1].stages is None
    with pytest.raises(ds.UnknownKeyError, match=r"unknown field 'y0'.*u0"):
        ds.adjoint(problem, sol, one, wrt="y0")
    with pytest.raises(ds.InputError, match="left: expected arrays of floating-point numbers to differentiate by"):
        ds.adjoint(problem, sol, one, wrt="left")
    assert ds.adjoint(problem, sol, one)["left"] is None
    with pytest.raises(ds.InputError, match="wrt='t': expected a library with automatic differentiation"):
        ds.adjoint(problem, sol, one, wrt="t")
    with pytest.raises(ds.InputError, match=r"sol\.stages: expected those of the rule 'heat.trbdf2'"):
        ds.adjoint(problem, dataclasses.replace(sol, stages=None), one)
    with pytest.raises(ds.InputError, match="Solve again"):
        ds.sensitivity(problem, dataclasses.replace(sol, stages=sol.stages + 1e-3), {"u0": theta["u0"]})
    with pytest.raises(ds.InputError, match="Solve again"):
        ds.adjoint(make({**theta, "D": 1.1 * theta["D"]}, kinds, cells), sol, one)
    with pytest.raises(ds.InputError, match=r"directions\['D'\]: expected the shapes of D, \[\(6, 2\)\]"):
        ds.sensitivity(problem, sol, {"D": np.ones(2)})
    with pytest.raises(ds.InputError, match="MAX_STEPS: it has no derivative"):
        ds.adjoint(problem, ds.solve(problem, method=ds.Newton(max_steps=1), on_failure="return"), one)


def nothing_given(kind, asarray):
    """Return an equation for two elements as a function of p; of the second a side overflows."""
    s, t, left = asarray(np.linspace(0.0, 1.0, 6)), asarray(np.linspace(0.0, 0.2, 9)), np.array([0.1, 1e300])
    others = {side: ds.Neumann() for side in ("bottom", "top")}
    if kind == "line":
        ends = {"left": ds.Dirichlet(asarray(left[:, None, None] * np.ones((9, 1)))), "right": ds.Neumann()}
        f = lambda u, u_s, x, p: p * u * u  # noqa: E731
        return lambda p: ds.Evolution1D(f, t, s, asarray(np.ones((6, 1))), 0.1, params=p, **ends)
    if kind == "ends":
        ends = {"left": ds.Dirichlet(asarray(left[:, None])), "right": ds.Neumann()}
        return lambda p: ds.BoundaryValueProblem(lambda u, u_s, x, p: p * u * u - 1.0, s, params=p, **ends)
    if kind == "plane":
        sides = {"left": ds.Dirichlet(asarray(left[:, None, None] * np.ones((6, 1)))), "right": ds.Neumann(), **others}
        return lambda p: ds.Elliptic2D(lambda u, u_s, u_r, x, p: p * u * u - 1.0, (s, s), params=p, **sides)
    sides = {"left": ds.Dirichlet(asarray(left[:, None, None, None] * np.ones((9, 6, 1)))), "right": ds.Neumann()}
    f = lambda u, u_s, u_r, x, p: p * u * u  # noqa: E731
    start = asarray(np.ones((6, 6, 1)))
    return lambda p: ds.Evolution2D(f, t, (s, s), start, 0.1, params=p, **sides, **others)


@pytest.mark.filterwarnings("ignore::deersolve.DiscretisationWarning")
@pytest.mark.parametrize("kind", ["line", "ends", "plane", "volume"])
@pytest.mark.cases_backend("torch")
def test_an_element_without_numbers_touches_no_other(lib, kind):
    """Its data stay out of the gradient by what it shares: zero times NaN is not zero."""
    if not (lib.is_numpy or lib.is_torch):
        pytest.skip("nothing else that depends on the library")
    make, h, y = nothing_given(kind, np.asarray), 1e-3, {}
    for k in (1, -1, 2, -2):
        y[k] = ds.solve(make(np.array(0.5 + k * h)), on_failure="nan").y[0]
    expected = (8 * (y[1] - y[-1]) - (y[2] - y[-2])).sum() / (12 * h)
    p = lib.asarray(0.5)
    p = p.requires_grad_() if lib.is_torch else p
    problem = nothing_given(kind, lib.asarray)(p)
    sol = ds.solve(problem, on_failure="return")
    c = np.zeros(sol.y.shape)
    c[0] = 1.0
    bar = lib.to_numpy(ds.adjoint(problem, sol, lib.asarray(c), wrt="params")["params"])
    assert float(bar) == pytest.approx(expected, rel=1e-8)
    dy = lib.to_numpy(ds.sensitivity(problem, sol, {"params": lib.asarray(1.0)}))
    assert dy[0].sum() == pytest.approx(expected, rel=1e-8)
    assert np.isnan(dy[1]).all()
    if lib.is_torch:
        sol.y[0].sum().backward()
        assert float(p.grad) == pytest.approx(expected, rel=1e-8)


@pytest.mark.filterwarnings("ignore::deersolve.DiscretisationWarning")  # of a coarse grid, and rightly
def test_a_diffusion_field_is_recovered():
    """From all of u, exact, by least squares with the Jacobian of sensitivity(); adjoint() has the same gradient."""
    from scipy.optimize import least_squares

    s, t = np.linspace(0.0, 1.0, 9), np.linspace(0.0, 0.5, 13)
    start = (s * (1.5 - s))[:, None]
    ends = {"left": ds.Dirichlet(0.0), "right": ds.Neumann(0.2)}

    def problem(logs):
        return ds.Evolution1D(lambda u, u_s, x, p: u - u * u, t, s, start, np.exp(logs)[:, None], **ends)

    def off(logs):
        return (ds.solve(problem(logs)).y - data).ravel()

    def jacobian(logs):
        here = problem(logs)
        directions = [{"D": np.exp(logs)[:, None] * e[:, None]} for e in np.eye(9)]
        return ds.sensitivity(here, ds.solve(here), directions).reshape(9, -1).T

    truth = np.log(0.3 + 0.2 * np.sin(4 * s))
    data = ds.solve(problem(truth)).y
    found = least_squares(off, np.log(np.full(9, 0.3)), jac=jacobian, xtol=1e-15, ftol=1e-15, gtol=1e-15)
    np.testing.assert_allclose(found.x[1:], truth[1:], rtol=0, atol=1e-8)  # at the left u is given
    assert found.x[0] == np.log(0.3)
    guess = np.full(9, -1.0)
    here = problem(guess)
    bar = ds.adjoint(here, ds.solve(here), off(guess).reshape(13, 9, 1), wrt="D")["D"][:, 0] * np.exp(guess)
    np.testing.assert_allclose(bar, jacobian(guess).T @ off(guess), rtol=0, atol=1e-13)
