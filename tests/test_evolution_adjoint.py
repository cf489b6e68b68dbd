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
