"""Equations in a box of three axes: order, both solves, gradients, SciPy's sparse Newton, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import spsolve

import deersolve as ds
from deersolve.inverses import assembled, registry
from deersolve.linalg.structure import Dense
from deersolve.problems.inputs import prepare

EPS = np.finfo(float).eps


def manufactured(N, cells=False, asarray=np.asarray, scale=1.0):
    """Return D Laplacian(u) = g(u, slopes) + rest with u = sin(2 pi s) cos(pi r) (1 + q^2), of every kind of side."""
    edges = [np.linspace(0.0, 1.0, N + k) for k in range(3)]
    points = [0.5 * (e[1:] + e[:-1]) if cells else e for e in edges]
    s, r, q = (a[..., None] for a in np.meshgrid(*points, indexing="ij"))
    wave, slope = np.sin(2 * np.pi * s) * np.cos(np.pi * r), 2 * np.pi * np.cos(2 * np.pi * s) * np.cos(np.pi * r)
    u, u_s, u_q = wave * (1 + q * q), slope * (1 + q * q), 2 * q * wave
    u_r = -np.pi * np.sin(2 * np.pi * s) * np.sin(np.pi * r) * (1 + q * q)

    def g(u, u_s, u_r, u_q):
        return u**3 + 0.5 * u_s * u - 0.3 * u_r + u_q

    rest = 0.7 * (-5 * np.pi**2 * u + 2 * wave) - g(u, u_s, u_r, u_q)
    at_wall = asarray(wave[:, :, 0, :])
    sides = (
        (ds.Periodic(), ds.Periodic()),
        (ds.Neumann(), ds.Neumann()),
        (ds.Dirichlet(at_wall), ds.Robin(1.0, 1.0, 4.0 * at_wall)),
    )

    def f(u, u_s, u_r, u_q, x, p):
        return p * g(u, u_s, u_r, u_q) + x["rest"]

    x = {"rest": asarray(rest)}
    D, p = asarray(np.asarray(0.7)), asarray(np.asarray(scale))
    return ds.Elliptic(f, tuple(map(asarray, edges)), D, sides=sides, x=x, params=p, cells=cells), u


@pytest.mark.parametrize("cells", [False, True], ids=["points", "cells"])
def test_second_order_and_both_solves(cells):
    errors = []
    for N in (9, 17):
        problem, exact = manufactured(N, cells)
        sol, direct = ds.solve(problem), ds.solve(problem, inverse="direct")
        assert sol.stats.rule == "laplace.krylov"
        assert direct.stats.rule == "laplace.direct"
        np.testing.assert_allclose(sol.y, direct.y, atol=1e3 * EPS * np.abs(sol.y).max())
        errors.append(np.abs(sol.y - exact).max())
    assert 3.6 < errors[0] / errors[1] < 4.6


@pytest.mark.parametrize("key", ["krylov", "direct"])
def test_the_rule_is_its_matrix_and_the_transpose_its_transpose(key):
    rule, rng = registry[f"laplace.{key}"], np.random.default_rng(0)
    problem, _ = manufactured(4)
    data = prepare(problem, None, rule)[1]
    shape = data.guess.shape
    Gs = tuple(Dense(-np.abs(rng.normal(size=(*shape, 1))) * (0.1 if k else 1.0)) for k in range(4))
    where = {"grid": data.grid, "boundary": data.boundary}
    A = assembled(rule, Gs, data.guess, shift=problem.shift, **where)
    r, c = rng.normal(size=(2, *shape))
    size = np.linalg.cond(A) * EPS * 1e2
    expected = np.linalg.solve(A, r.ravel())
    np.testing.assert_allclose(rule.solve(Gs, r, **where).ravel(), expected, atol=size * np.abs(expected).max())
    expected = np.linalg.solve(A.T, c.ravel())
    np.testing.assert_allclose(rule.transpose(Gs, c, **where).ravel(), expected, atol=size * np.abs(expected).max())


def test_against_a_sparse_newton_of_scipy():
    N = 24
    h = 1.0 / (N + 1)
    one = sp.diags_array([1.0, -2.0, 1.0], offsets=[-1, 0, 1], shape=(N, N)) / h**2
    eye = sp.eye_array(N)
    A = sum(sp.kron(sp.kron(*pair), last) for pair, last in (((one, eye), eye), ((eye, one), eye), ((eye, eye), one)))
    u = np.zeros(N**3)
    for _ in range(8):
        u = u - spsolve((A + sp.diags_array(5 * np.exp(u))).tocsc(), A @ u + 5 * np.exp(u), permc_spec="MMD_AT_PLUS_A")
    s = np.linspace(0.0, 1.0, N + 2)
    sol = ds.solve(ds.Elliptic(lambda u, u_s, u_r, u_q, x, p: -5 * np.exp(u), (s, s, s), sides=ds.Dirichlet()))
    np.testing.assert_allclose(sol.y[1:-1, 1:-1, 1:-1, 0].ravel(), u, atol=1e-11)
    for axis in range(3):
        assert not np.take(sol.y, [0, -1], axis=axis).any()


@pytest.mark.deep_backend("strict")
def test_every_library_finds_the_same(lib):
    expected = ds.solve(manufactured(7)[0]).y
    sol = lib.solve(manufactured(7, asarray=lib.asarray)[0])
    np.testing.assert_allclose(lib.to_numpy(sol.y), expected, atol=1e3 * EPS * np.abs(expected).max())


def test_gradients_are_those_of_differences():
    problem, _ = manufactured(6)
    sol, rng = ds.solve(problem), np.random.default_rng(1)
    c = rng.normal(size=sol.y.shape)
    found = ds.adjoint(problem, sol, c, wrt=("params", "D", "x", "back"))

    def loss(**changed):
        other, _ = manufactured(6, scale=changed.get("params", 1.0))
        if "D" in changed:
            other.coefficients = {"D": changed["D"]}
        other.x = {"rest": problem.x["rest"] + changed.get("x", 0.0)}
        if "back" in changed:
            wall = problem.sides["back"]
            other.sides = {**other.sides, "back": ds.Robin(1.0, 1.0, wall.value + changed["back"])}
        return float((c * ds.solve(other).y).sum())

    step = 1e-5
    direction = {"x": rng.normal(size=problem.x["rest"].shape), "back": rng.normal(size=(6, 7, 1))}
    cases = {"params": (1.0, 1.0), "D": (0.7, 1.0), "x": (0.0, direction["x"]), "back": (0.0, direction["back"])}
    for name, (at, along) in cases.items():
        slope = (loss(**{name: at + step * along}) - loss(**{name: at - step * along})) / (2 * step)
        gradient = found[name]["rest"] if name == "x" else found[name]
        assert abs(float((gradient * along).sum()) - slope) < 1e-6 * (1 + abs(slope)), name


def test_one_and_two_axes_are_those_of_their_own_names():
    s = np.linspace(0.0, 1.0, 15)
    line = ds.Elliptic(lambda u, u_s, x, p: u**3 - 1, (s,), sides=ds.Dirichlet(0.2))
    named = ds.Elliptic1D(lambda u, u_s, x, p: u**3 - 1, s, left=ds.Dirichlet(0.2), right=ds.Dirichlet(0.2))
    np.testing.assert_array_equal(ds.solve(line).y, ds.solve(named).y)
    sides = dict.fromkeys(("left", "right", "bottom", "top"), ds.Dirichlet(0.2))
    square = ds.Elliptic(lambda u, u_s, u_r, x, p: u**3 - 1, (s, s), sides=ds.Dirichlet(0.2))
    two = ds.Elliptic2D(lambda u, u_s, u_r, x, p: u**3 - 1, (s, s), **sides)
    np.testing.assert_array_equal(ds.solve(square).y, ds.solve(two).y)


S = np.linspace(0.0, 1.0, 5)
REFUSED = {
    "no axis": (((), ds.Dirichlet()), "points: expected a tuple of one to three arrays"),
    "four axes": (((S,) * 4, ds.Dirichlet()), "points: expected a tuple of one to three arrays"),
    "a pair too few": (((S,) * 3, ((ds.Dirichlet(),) * 2,) * 2), "sides: expected a pair of conditions for each of 3"),
    "half a ring": (((S,), ((ds.Periodic(), ds.Dirichlet()),)), "right: expected Periodic"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_box_is_refused(name):
    (points, sides), message = REFUSED[name]
    with pytest.raises(ds.InputError, match=message):
        ds.Elliptic(lambda *args: args[0], points, sides=sides)


def test_arrays_of_another_shape_are_refused():
    problem = ds.Elliptic(lambda u, u_s, u_r, u_q, x, p: u, (S,) * 3, sides=ds.Dirichlet(np.ones((5, 4, 1))))
    with pytest.raises(ds.InputError, match="left: expected a value, or one for each of 5 points"):
        ds.solve(problem)
    problem = ds.Elliptic(lambda u, u_s, u_r, u_q, x, p: u, (S,) * 3, np.ones((5, 5)), sides=ds.Dirichlet())
    with pytest.raises(ds.InputError, match=r"D: expected a number, \(n,\) or \(X, Y, Z, n\)"):
        ds.solve(problem)


def test_there_is_no_picture_of_a_box():
    sol = ds.solve(ds.Elliptic(lambda u, u_s, u_r, u_q, x, p: u - 1, (S,) * 3, sides=ds.Dirichlet()))
    with pytest.raises(ds.InputError, match="plot: expected a solution on at most two axes of space"):
        sol.plot()
    assert sol.q.shape == (5,)
