"""Equations in a rectangle by a sparse LU: the matrix, singular ones, what is kept, gradients, what is refused."""

from __future__ import annotations

import functools
import gc
import weakref

import numpy as np
import pytest
from tests.inverses.test_planes import KINDS, MIXED, data_of, difference, edges, loss_of

import deersolve as ds
from deersolve.grids.make_box import in_a_box
from deersolve.inverses import assembled, registry
from deersolve.linalg import sparse_lu as sparse
from deersolve.linalg.structure import Dense, Diagonal
from deersolve.testing.cases import in_space

EPS = np.finfo(np.float64).eps
ZERO = in_space.ZERO
NONE = {side: ds.Neumann() for side in ZERO}
RULE = registry["laplace2d.direct"]


def small(kinds, cells=False, n=2, asarray=np.asarray):
    return in_space.in_a_box(asarray, edges(6, kinds), kinds, n, cells)


def linear_of(kinds, kind, cells, seed=0):
    """Return random G, where the equation is, and its matrix by columns of the residual."""
    rng = np.random.default_rng(seed)
    problem = small(kinds, cells).problem
    data = in_a_box(problem, None)[1]
    shape = data.guess.shape
    Gs = tuple(kind(rng.normal(size=(*shape, 2) if kind is Dense else shape)) for _ in range(3))
    where = {"grid": data.grid, "boundary": data.boundary}
    return Gs, where, assembled(RULE, Gs, data.guess, shift=problem.shift, **where), rng.normal(size=(2, *shape))


@pytest.mark.parametrize("cells", [False, True], ids=["points", "cells"])
@pytest.mark.parametrize("kind", [Dense, Diagonal])
@pytest.mark.parametrize("kinds", KINDS, ids="-".join)
def test_both_solves_are_those_of_the_matrix_and_each_others_transpose(kinds, kind, cells):
    Gs, where, A, (r, c) = linear_of(kinds, kind, cells)
    bound = 64 * EPS * np.linalg.cond(A)
    made = []
    for matrix, found, b in ((A, RULE.solve, r), (A.T, RULE.transpose, c)):
        expected = np.linalg.solve(matrix, b.ravel())
        made.append(found(Gs, b, **where))
        assert np.abs(made[-1].ravel() - expected).max() <= bound * np.abs(expected).max()
    there, back = (c * made[0]).sum(), (made[1] * r).sum()
    assert there == pytest.approx(back, rel=0, abs=1e-12 * np.abs(c * made[0]).sum())


@pytest.mark.parametrize("cells", [False, True], ids=["points", "cells"])
@pytest.mark.parametrize("kinds", KINDS, ids="-".join)
def test_it_finds_what_krylov_finds(lib, kinds, cells):
    if lib.is_jax and (kinds, cells) != (KINDS[2], False):
        pytest.skip("one of them is enough to compile")
    expected = ds.solve(small(kinds, cells).problem).y
    found = ds.solve(small(kinds, cells, asarray=lib.asarray).problem, inverse="direct")
    np.testing.assert_allclose(lib.to_numpy(found.y), expected, rtol=0, atol=1e-11 * np.abs(expected).max())


@pytest.mark.parametrize("N", [64, 128])
def test_bratu_reaches_the_reference(N):
    case = in_space.bratu(np.asarray, N)
    sol = ds.solve(case.problem, inverse="direct")
    k = (N - 1) // 2 + 1
    assert sol.y[k, k, 0] == pytest.approx(case.exact, rel=0, abs=case.accuracy)
    assert int(sol.stats.steps) <= 6


@pytest.mark.cases_backend("jax")
@pytest.mark.slow_backend("jax")
def test_every_element_of_a_batch_by_itself(lib):
    """The last has no solution: its turning point lies at 6.8."""
    lams = np.array([1.0, 5.0, 6.5, 20.0])
    s = np.linspace(0.0, 1.0, 12)

    def problem(lams, asarray):
        x = {"lam": asarray(lams.reshape(-1, 1, 1, 1))}
        f = lambda u, u_s, u_r, x, p: -x["lam"] * ds.array_namespace(u).exp(u)  # noqa: E731
        return ds.Elliptic2D(f, (asarray(s), asarray(s)), x=x, **ZERO)

    many = ds.solve(problem(lams, lib.asarray), inverse="direct", on_failure="return")
    assert [int(c) == 0 for c in lib.to_numpy(many.status)] == [True, True, True, False]
    expected = ds.solve(problem(lams[:3], np.asarray)).y
    np.testing.assert_allclose(lib.to_numpy(many.y)[:3], expected, rtol=0, atol=1e-12)


def five_point(u, D, h):
    """Return D Laplacian(u) - u u_s - u_r / 2 + 1 in the points inside."""
    near = (u[2:, 1:-1], u[:-2, 1:-1], u[1:-1, 2:], u[1:-1, :-2])
    inner = u[1:-1, 1:-1]
    second = (sum(near) - 4 * inner) / h**2
    return D * second - inner * (near[0] - near[1]) / (2 * h) - (near[2] - near[3]) / (4 * h) + 1.0


def advection(peclet, N):
    s = np.linspace(0.0, 1.0, N)
    return ds.Elliptic2D(lambda u, u_s, u_r, x, p: u * u_s + 0.5 * u_r - 1.0, (s, s), 1.0 / peclet, **ZERO)


@pytest.mark.filterwarnings("ignore:u is not resolved:deersolve.DiscretisationWarning")
def test_first_derivatives_as_large_as_you_like():
    """A Peclet number of 300, from 0; krylov gives up and says what to do instead."""
    sol = ds.solve(advection(300.0, 66), inverse="direct")
    h = 1.0 / 65
    scale = 8 / (300.0 * h**2) * np.abs(sol.y).max()
    assert np.abs(five_point(sol.y[..., 0], 1 / 300.0, h)).max() <= 64 * EPS * scale
    assert np.abs(sol.y).max() > 0.5
    with pytest.raises(ds.ConvergenceError, match="inverse='direct'"):
        ds.solve(advection(300.0, 66), method=ds.Newton(max_steps=6))


@pytest.mark.filterwarnings("ignore:u is not resolved:deersolve.DiscretisationWarning")
def test_a_matrix_that_is_singular_on_the_way_is_told_of():
    """On a grid too coarse Newton's method itself goes astray; a line search finds its way."""
    with pytest.raises(ds.ConvergenceError, match=r"LineSearch.*singular"):
        ds.solve(advection(300.0, 34), inverse="direct")
    sol = ds.solve(advection(300.0, 34), inverse="direct", method=ds.Newton(step=ds.LineSearch()))
    assert int(sol.status) == 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("N", [5, 16, 33, 64])
@pytest.mark.parametrize("sides", [NONE, {k: ds.Periodic() for k in ZERO}], ids=["slopes", "rings"])
def test_a_constant_that_nothing_fixes_is_never_an_answer(sides, N, dtype):
    """Exactly zero pivots and such at roundoff, right-hand sides that fit and that do not."""
    e = np.linspace(0.0, 1.0, N + 1, dtype=dtype)
    e = e if sides is not NONE else (e + 0.05 * np.sin(2 * np.pi * e)).astype(dtype)
    middle = 0.5 * (e[1:] + e[:-1])
    q = np.cos(2 * np.pi * middle)[:, None, None] * np.ones((1, N, 1))
    q = q - (q * np.diff(e)[:, None, None]).sum() / N
    for source in (q, q + 1.0):
        f = lambda u, u_s, u_r, x, p: 0.0 * u + x["q"]  # noqa: E731
        problem = ds.Elliptic2D(f, (e, e), x={"q": source.astype(dtype)}, cells=True, **sides)
        sol = ds.solve(problem, np.ones((N, N, 1), dtype), inverse="direct", check_inputs=False, on_failure="return")
        assert int(sol.status) != 0
        data = in_a_box(problem, np.ones((N, N, 1), dtype))[1]
        G = tuple(Dense(np.zeros((N, N, 1, 1), dtype)) for _ in range(3))
        assert np.isnan(RULE.solve(G, source.astype(dtype), grid=data.grid, boundary=data.boundary)).all()


@pytest.mark.parametrize("N", [9, 33])
def test_a_resonance_is_never_an_answer(N):
    """u_ss + u_rr + k u with k an eigenvalue of the difference, and no source that fits."""
    s, h = np.linspace(0.0, 1.0, N), 1.0 / (N - 1)
    k = 2 * (2 - np.cos(np.pi * h) - np.cos(2 * np.pi * h)) * 2 / h**2 / 2
    for shift, is_regular in ((0.0, False), (1e-3, True)):
        f = lambda u, u_s, u_r, x, p: 1.0 + s[:, None, None] - (k + shift) * u  # noqa: B023, E731
        sol = ds.solve(ds.Elliptic2D(f, (s, s), **ZERO), inverse="direct", on_failure="return")
        assert (int(sol.status) == 0) is is_regular


def test_one_singular_element_touches_no_other():
    Gs, where, _, rs = linear_of(MIXED, Dense, False)
    many = tuple(Dense(np.stack([G.values, np.full_like(G.values, np.nan), G.values])) for G in Gs)
    found = RULE.solve(many, np.stack([rs[0], rs[0], rs[1]]), **where)
    assert np.isnan(found[1]).all()
    for k, r in ((0, rs[0]), (2, rs[1])):
        np.testing.assert_array_equal(found[k], RULE.solve(Gs, r, **where))


def test_units_of_a_component_do_not_matter():
    """Powers of two give the same digits."""
    Gs, where, _, (r, _) = linear_of(KINDS[2], Dense, False)
    unit = np.array([2.0**60, 2.0**-60])
    other = tuple(Dense(G.values * unit[:, None] / unit) for G in Gs)
    for found in (RULE.solve, RULE.transpose):
        scale = unit if found == RULE.solve else 1 / unit
        np.testing.assert_array_equal(found(other, r * scale, **where), scale * found(Gs, r, **where))


def test_a_matrix_is_factorised_once(monkeypatch):
    """Steps with the last G, and both solves at the solution, take the factors there are."""
    count, inner = [0], sparse._lu

    def counted(A):
        count[0] += 1
        return inner(A)

    monkeypatch.setattr(sparse, "_lu", counted)
    sol = ds.solve(in_space.bratu(np.asarray, 16).problem, inverse="direct")
    assert count[0] < int(sol.stats.steps) + 1  # steps, and the look at the last iterate
    Gs, where, _, (r, c) = linear_of(MIXED, Dense, False)
    count[0] = 0
    for _ in range(2):
        RULE.solve(Gs, r, **where)
        RULE.transpose(Gs, c, **where)
    assert count[0] == 1
    RULE.solve(tuple(-G for G in Gs), r, **where)
    assert count[0] == 2


def test_no_room_is_told_in_words(monkeypatch):
    def full(*args, **options):
        raise MemoryError

    monkeypatch.setattr("scipy.sparse.linalg.splu", full)
    with pytest.raises(MemoryError, match="of 324 unknowns"):
        ds.solve(in_space.bratu(np.asarray, 16).problem, inverse="direct")


def test_factors_go_with_the_grid():
    Gs, where, _, (r, _) = linear_of(MIXED, Dense, False)
    RULE.solve(Gs, r, **where)
    from deersolve.inverses import elliptic_sparse

    held = weakref.ref(elliptic_sparse._kept[where["grid"]][0])
    assert held() is not None
    del where
    gc.collect()
    assert held() is None


@pytest.mark.parametrize("rings", [(False, False), (True, False), (False, True), (True, True)])
def test_every_point_has_its_place_in_the_order(rings):
    for X, Y in ((3, 3), (1, 7), (16, 5), (33, 40)):
        order = sparse.dissection(np.arange(X * Y).reshape(X, Y), rings)
        np.testing.assert_array_equal(np.sort(order), np.arange(X * Y))


def test_gradients_are_those_of_differences(lib):
    rng = np.random.default_rng(5)
    theta, weights = data_of(), rng.normal(size=(7, 7, 1))
    direction = [rng.normal(size=a.shape) * 0.3 for a in theta]
    solve = functools.partial(ds.solve, inverse="direct")

    def value(theta):
        return float((solve(loss_of(theta, "ring", np.asarray, np)).y * weights).sum())

    expected = difference(value, theta, direction)
    if lib.is_jax:
        import jax

        def loss(theta):
            return (solve(loss_of(theta, "ring", lib.asarray, lib.xp)).y * lib.asarray(weights)).sum()

        found = jax.grad(loss)([lib.asarray(a) for a in theta])
    elif lib.is_torch:
        found = [lib.asarray(a).requires_grad_() for a in theta]
        (solve(loss_of(found, "ring", lib.asarray, lib.xp)).y * lib.asarray(weights)).sum().backward()
        found = [a.grad for a in found]
    else:
        problem = loss_of([lib.asarray(a) for a in theta], "ring", lib.asarray, lib.xp)
        made = ds.adjoint(problem, solve(problem), lib.asarray(weights), wrt=("params", "x", "D", "left"))
        found = [made["params"], made["x"]["rest"], made["D"], made["left"]]
    found = [g if isinstance(g, np.ndarray) else lib.to_numpy(g) for g in found]
    slope = sum(float((g * d).sum()) for g, d in zip(found, direction, strict=True))
    assert slope == pytest.approx(expected, rel=1e-8)


def test_the_adjoint_identity():
    rng = np.random.default_rng(2)
    theta = data_of(3)
    problem = loss_of(theta, "open", np.asarray, np)
    sol, c = ds.solve(problem, inverse="direct"), rng.normal(size=(7, 7, 1))
    direction = dict(zip(("params", "x", "D", "left"), (rng.normal(size=a.shape) for a in theta), strict=True))
    dy = ds.sensitivity(problem, sol, {**direction, "x": {"rest": direction["x"]}})
    bars = ds.adjoint(problem, sol, c, wrt=tuple(direction))
    bars = {**bars, "x": bars["x"]["rest"]}
    there, back = float((c * dy).sum()), float(sum((bars[k] * d).sum() for k, d in direction.items()))
    assert there == pytest.approx(back, rel=1e-12)


def test_what_torch_cannot_follow_is_refused():
    torch = pytest.importorskip("torch")
    s = torch.linspace(0.0, 1.0, 9, dtype=torch.float64)

    def loss(q):
        problem = ds.Elliptic2D(lambda u, u_s, u_r, x, q: u - q, (s, s), params=q, **ZERO)
        return ds.solve(problem, inverse="direct").y.sum()

    q = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(loss(q), q)
    assert float(slope) == pytest.approx(float(loss(q.detach())), rel=1e-12)  # it is linear in q
    with pytest.raises(ds.InputError, match=r"laplace2d\.krylov"):
        torch.func.grad(loss)(q.detach())
