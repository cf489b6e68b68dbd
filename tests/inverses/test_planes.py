"""Equations in a rectangle: orders, conditions, the linear solves, gradients, bad input."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import deersolve as ds
from deersolve.grids.make_box import in_a_box
from deersolve.inverses import registry
from deersolve.inverses.elliptic_krylov import Linear
from deersolve.linalg.structure import Dense, Diagonal
from deersolve.testing.cases import in_space

EPS = np.finfo(np.float64).eps
MIXED = ("neumann", "robin", "dirichlet", "neumann")
KINDS = [("dirichlet",) * 4, MIXED, ("periodic", "periodic", "robin", "dirichlet"), ("periodic",) * 4, ("neumann",) * 4]
ZERO = in_space.ZERO


def edges(N, kinds):
    e = np.linspace(0.0, 1.0, N + 1)
    return tuple(e if k == "periodic" else e + 0.05 * np.sin(2 * np.pi * e) for k in (kinds[0], kinds[2]))


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("cells", [False, True], ids=["points", "cells"])
@pytest.mark.parametrize("kinds", KINDS, ids="-".join)
def test_second_order_in_the_spacing_with_every_condition(kinds, cells, n):
    errors = []
    for N in (24, 48):
        case = in_space.in_a_box(np.asarray, edges(N, kinds), kinds, n, cells)
        errors.append(np.abs(ds.solve(case.problem).y - case.exact).max())
    assert np.log2(errors[0] / errors[1]) == pytest.approx(2.0, abs=0.1), errors


def small(kinds, cells=False, n=2, asarray=np.asarray):
    return in_space.in_a_box(asarray, edges(6, kinds), kinds, n, cells)


def linear_of(kinds, kind, n=2):
    """Return a linear system with random G, its rule, and its matrix by columns."""
    rng = np.random.default_rng(0)
    data = in_a_box(small(kinds, n=n).problem, None)[1]
    shape = data.guess.shape
    Gs = tuple(kind(rng.normal(size=(*shape, n) if kind is Dense else shape)) for _ in range(3))
    units = np.eye(int(np.prod(shape))).reshape(-1, *shape)
    A = np.stack([Linear(data.grid, Gs).apply(e).ravel() for e in units], axis=1)
    return Gs, data, A, rng.normal(size=shape)


@pytest.mark.parametrize("kind", [Dense, Diagonal])
@pytest.mark.parametrize("kinds", KINDS, ids="-".join)
def test_both_solves_are_those_of_the_matrix(kinds, kind):
    Gs, data, A, r = linear_of(kinds, kind)
    rule, where = registry["laplace2d.krylov"], {"grid": data.grid, "boundary": data.boundary}
    bound = 256 * EPS * np.linalg.cond(A)
    for matrix, found in ((A, rule.solve), (A.T, rule.transpose)):
        expected = np.linalg.solve(matrix, r.ravel())
        assert np.abs(found(Gs, r, **where).ravel() - expected).max() <= bound * np.abs(expected).max()


def test_the_matrix_is_the_slope_of_the_residual():
    """By complex steps: the residual is analytic in y."""
    problem = small(MIXED).problem
    data = in_a_box(problem, None)[1]
    rng = np.random.default_rng(1)
    y, v = rng.normal(size=(2, *data.guess.shape))
    rule, where = registry["laplace2d.krylov"], {"grid": data.grid, "boundary": data.boundary}

    def residual(y):
        ys = [s(y, **where) for s in problem.shift]
        return rule.residual(y, problem.f(*ys, data.x, None), **where)

    ys = [s(y, **where) for s in problem.shift]
    n, h = y.shape[-1], 1e-30
    Js = []
    for p in range(3):
        columns = []
        for k in range(n):
            moved = [a + (1j * h * (np.arange(n) == k) if q == p else 0) for q, a in enumerate(ys)]
            columns.append(problem.f(*moved, data.x, None).imag / h)
        Js.append(Dense(-np.stack(columns, axis=-1)))
    found = Linear(data.grid, tuple(Js)).apply(v)
    expected = -residual(y + 1j * h * v).imag / h
    np.testing.assert_allclose(found, expected, rtol=0, atol=64 * EPS * np.abs(expected).max())


@pytest.mark.parametrize("N", [64, 128])
def test_bratu_reaches_the_reference(lib, N):
    if N == 128 and lib.name not in ("numpy", "torch", "cupy", "torch:gpu"):
        pytest.skip("the larger size on two libraries")
    case = in_space.bratu(lib.asarray, N)
    sol = ds.solve(case.problem)
    middle = lib.to_numpy(sol.y)[(N - 1) // 2 + 1, (N - 1) // 2 + 1, 0]
    assert middle == pytest.approx(case.exact, rel=0, abs=case.accuracy)
    assert int(sol.stats.steps) <= 6


@pytest.mark.parametrize("cells", [False, True], ids=["points", "cells"])
@pytest.mark.parametrize("kinds", [MIXED, ("periodic",) * 4], ids="-".join)
@pytest.mark.cases_backend("jax")
def test_every_library_finds_the_same(lib, kinds, cells):
    if lib.is_jax and cells is (kinds is MIXED):
        pytest.skip("two of the four are enough to compile")
    ours, expected = (ds.solve(small(kinds, cells, asarray=a).problem) for a in (lib.asarray, np.asarray))
    np.testing.assert_allclose(lib.to_numpy(ours.y), expected.y, rtol=0, atol=1e-11 * np.abs(expected.y).max())
    assert ours.y.shape == (7 - cells, 7 - cells, 2)
    np.testing.assert_array_equal(lib.to_numpy(ours.s), expected.s)


@pytest.mark.skip_backend("jax", reason="minutes of compilation; a batch in a rectangle is compiled in test_direct")
def test_every_element_of_a_batch_by_itself(lib):
    """Parameters, conditions along a side and D; the last element has no solution."""
    lams = np.array([1.0, 5.0, 6.5, 20.0])
    s = lib.asarray(np.linspace(0.0, 1.0, 18))
    top = np.sin(np.pi * np.linspace(0.0, 1.0, 18))[None, :, None] * np.array([0.0, 0.1, 0.2, 0.0])[:, None, None]

    def problem(k):
        x = {"lam": lib.asarray(lams[k].reshape(-1, 1, 1, 1))}
        f = lambda u, u_s, u_r, x, p: -x["lam"] * ds.array_namespace(u).exp(u)  # noqa: E731
        return ds.Elliptic2D(f, (s, s), x=x, **{**ZERO, "top": ds.Dirichlet(lib.asarray(top[k].reshape(-1, 18, 1)))})

    many = ds.solve(problem(slice(None)), on_failure="return")
    assert [int(c) == 0 for c in lib.to_numpy(many.status)] == [True, True, True, False]
    for k in range(3):
        one = ds.solve(problem(slice(k, k + 1)))
        np.testing.assert_allclose(lib.to_numpy(many.y)[k], lib.to_numpy(one.y)[0], rtol=0, atol=1e-12)


def loss_of(theta, kinds, asarray, xp):
    """Return a number that depends on everything an equation is given."""
    p, rest, D, left = theta
    s = asarray(np.linspace(0.0, 1.0, 7))

    def f(u, u_s, u_r, x, p):
        return p * u * u * u + 0.3 * u * u_s - u_r + x["rest"] + u

    sides = {
        "left": ds.Dirichlet(left),
        "right": ds.Robin(1.0, 0.5, 0.2),
        "bottom": ds.Neumann(0.3),
        "top": ds.Dirichlet(),
    }
    if kinds == "ring":
        sides |= {"bottom": ds.Periodic(), "top": ds.Periodic()}
    return ds.Elliptic2D(f, (s, s), D, params=p, x={"rest": rest}, **sides)


def data_of(seed=0):
    rng = np.random.default_rng(seed)
    return [np.array(0.7), rng.normal(size=(7, 7, 1)), 1.0 + rng.uniform(size=(7, 7, 1)), rng.normal(size=(7, 1)) * 0.3]


def difference(function, theta, direction, h=1e-2):
    """Return the slope by a difference of 6th order."""
    at = [function([a + k * h * d for a, d in zip(theta, direction, strict=True)]) for k in (1, -1, 2, -2, 3, -3)]
    return (45 * (at[0] - at[1]) - 9 * (at[2] - at[3]) + (at[4] - at[5])) / (60 * h)


@pytest.mark.parametrize("kinds", ["open", "ring"])
def test_gradients_are_those_of_differences(lib, kinds):
    if lib.is_jax and kinds == "ring":
        pytest.skip("one of the two is enough to compile")
    rng = np.random.default_rng(5)
    theta, weights = data_of(), rng.normal(size=(7, 7, 1))
    direction = [rng.normal(size=a.shape) * 0.3 for a in theta]

    def value(theta):
        return float((ds.solve(loss_of(theta, kinds, np.asarray, np)).y * weights).sum())

    expected = difference(value, theta, direction)
    if lib.is_jax:
        import jax

        def loss(theta):
            return (ds.solve(loss_of(theta, kinds, lib.asarray, lib.xp)).y * lib.asarray(weights)).sum()

        found = jax.grad(loss)([lib.asarray(a) for a in theta])
    elif lib.is_torch:
        found = [lib.asarray(a).requires_grad_() for a in theta]
        (ds.solve(loss_of(found, kinds, lib.asarray, lib.xp)).y * lib.asarray(weights)).sum().backward()
        found = [a.grad for a in found]
    else:
        problem = loss_of([lib.asarray(a) for a in theta], kinds, lib.asarray, lib.xp)
        made = ds.adjoint(problem, ds.solve(problem), lib.asarray(weights), wrt=("params", "x", "D", "left"))
        found = [made["params"], made["x"]["rest"], made["D"], made["left"]]
        if kinds == "ring":  # the difference moves both images by themselves, and only the first counts
            assert np.all(lib.to_numpy(found[1])[:, -1] == 0)
            assert np.all(lib.to_numpy(found[3])[-1] == 0)
        assert [tuple(g.shape) for g in found] == [a.shape for a in theta]
    found = [g if isinstance(g, np.ndarray) else lib.to_numpy(g) for g in found]
    slope = sum(float((g * d).sum()) for g, d in zip(found, direction, strict=True))
    assert slope == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("kinds", ["open", "ring"])
def test_the_adjoint_identity(kinds):
    rng = np.random.default_rng(2)
    theta = data_of(3)
    problem = loss_of(theta, kinds, np.asarray, np)
    sol, c = ds.solve(problem), rng.normal(size=(7, 7, 1))
    direction = dict(zip(("params", "x", "D", "left"), (rng.normal(size=a.shape) for a in theta), strict=True))
    dy = ds.sensitivity(problem, sol, {**direction, "x": {"rest": direction["x"]}})
    bars = ds.adjoint(problem, sol, c, wrt=tuple(direction))
    bars = {**bars, "x": bars["x"]["rest"]}
    assert {k: bars[k].shape for k in direction} == {k: d.shape for k, d in direction.items()}  # images included
    there, back = float((c * dy).sum()), float(sum((bars[k] * d).sum() for k, d in direction.items()))
    assert there == pytest.approx(back, rel=1e-12)
    assert set(ds.adjoint(problem, sol, c)) == {"params", "left", "right", "bottom", "top"}


BAD = {
    "one array of points": ({"points": np.linspace(0, 1, 9)}, "points: expected two arrays"),
    "points that go back": (
        {"points": (np.linspace(1, 0, 9), np.linspace(0, 1, 9))},
        "s: expected finite, strictly incr",
    ),
    "too few points": ({"points": (np.linspace(0, 1, 9), np.linspace(0, 1, 2))}, "r: expected shape"),
    "half a ring": ({"top": ds.Periodic()}, r"bottom: expected Periodic\(\) as at the top"),
    "negative diffusion": ({"D": -1.0}, "D: expected a positive"),
    "a side of another length": (
        {"left": ds.Dirichlet(np.ones((5, 1)))},
        "left: expected a value, or one for each of 9",
    ),
    "a field of another grid": ({"x": {"q": np.ones((9, 5, 1))}}, "q: expected shape .* X = 9 and Y = 9"),
    "corners apart": (
        {"left": ds.Dirichlet(np.ones((9, 1))), "bottom": ds.Dirichlet(np.zeros((9, 1)))},
        "left and bottom: expected the same value in the corner",
    ),
    "slopes only": ({k: ds.Neumann() for k in ZERO}, "expected a condition on u_0 itself"),
    "rings only": ({k: ds.Periodic() for k in ZERO}, "expected a condition on u_0 itself"),
    "a field without components": ({"D": np.ones((9, 9))}, r"D: expected a number, \(n,\) or \(X, Y, n\)"),
    "a side without components": ({"left": ds.Dirichlet(np.ones(9))}, r"left: expected a number, \(n,\) or \(N, n\)"),
    "a value under another name": ({"left": ds.Robin(2.0, 0.0, 1.0)}, "left: expected a = 1 where b = 0"),
    "a guess of another shape": ({"y_guess": np.ones((9, 8, 1))}, "y_guess: expected shape"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_a_clear_error(name):
    changes, message = BAD[name]
    given = {"points": (np.linspace(0, 1, 9), np.linspace(0, 1, 9)), **ZERO, **changes}
    guess = given.pop("y_guess", None)
    f = (lambda u, u_s, u_r, x, p: 0.0 * u + 1.0) if "only" in name else (lambda u, u_s, u_r, x, p: u)
    with pytest.raises(ds.InputError, match=message):
        ds.solve(ds.Elliptic2D(f, **given), guess)


def test_a_missing_side_is_an_error():
    with pytest.raises(TypeError, match="top"):
        ds.Elliptic2D(lambda u, u_s, u_r, x, p: u, (np.arange(4.0),) * 2, left=1, right=1, bottom=1)


def test_steps_and_iterations_do_not_grow_with_the_grid(monkeypatch):
    """Newton steps and preconditioned products: at most 20 % more from 32 to 128 points an axis."""
    calls, inner = [0], Linear._propose

    def counted(self, r):
        calls[0] += 1
        return inner(self, r)

    monkeypatch.setattr(Linear, "_propose", counted)
    seen = []
    for N in (32, 128):
        calls[0] = 0
        steps = int(ds.solve(in_space.bratu(np.asarray, N).problem).stats.steps)
        seen.append((steps, calls[0]))
    assert seen[1][0] <= seen[0][0] + 2
    assert seen[1][1] <= 1.2 * seen[0][1]


def test_a_solution_of_other_data_is_refused():
    problem = loss_of(data_of(), "open", np.asarray, np)
    sol = ds.solve(problem)
    with pytest.raises(ds.InputError, match=r"sol|y_guess"):
        ds.adjoint(problem, dataclasses.replace(sol, y=sol.y[:-1]), sol.y[:-1])


@pytest.mark.parametrize(
    ("dtype", "size"), [("float32", 1e-24), ("float32", 1e24), ("float64", 1e170), ("float64", 1e-170)]
)
def test_no_square_overflows_or_vanishes(dtype, size):
    """A linear equation: u is as large as its source, whose square is out of range."""
    s, f = np.linspace(0.0, 1.0, 17, dtype=dtype), (lambda u, u_s, u_r, x, p: 0.0 * u + x["q"])

    def problem(q):
        return ds.Elliptic2D(f, (s, s), x={"q": np.full((17, 17, 1), q, dtype)}, **ZERO)

    sol, one = (ds.solve(problem(q), np.zeros((17, 17, 1), dtype)) for q in (size, 1.0))
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(sol.y / dtype_of(size, dtype), one.y, rtol=0, atol=512 * eps * np.abs(one.y).max())
    bar = ds.adjoint(problem(size), sol, np.full((17, 17, 1), size, dtype), wrt="x")["x"]["q"]
    expected = ds.adjoint(problem(1.0), one, np.ones((17, 17, 1), dtype), wrt="x")["x"]["q"]
    np.testing.assert_allclose(bar / dtype_of(size, dtype), expected, rtol=0, atol=512 * eps * np.abs(expected).max())


def dtype_of(size, dtype):
    return np.asarray(size, dtype)


@pytest.mark.parametrize("k", [10.0, 60.0, 150.0, 400.0])
@pytest.mark.deep_but("10.0", "150.0")
def test_what_the_iteration_cannot_solve_is_never_an_answer(k):
    """Waves of many lengths, for which the preconditioner is none: right, or a failure, or NaN in a derivative."""
    s = np.linspace(0.0, 1.0, 25)
    K = k * (1 + 0.5 * np.sin(5 * s[:, None, None] + 3 * s[:, None]))
    rng = np.random.default_rng(0)
    q, dq = rng.normal(size=(2, 25, 25, 1))
    f = lambda u, u_s, u_r, x, p: x["q"] - x["K"] * u  # noqa: E731
    problem = ds.Elliptic2D(f, (s, s), x={"K": K, "q": q}, **ZERO)
    data = in_a_box(problem, None)[1]
    G = Dense(K[..., None]), Dense(0 * K[..., None]), Dense(0 * K[..., None])
    units = np.eye(625).reshape(625, 25, 25, 1)
    A = np.stack([Linear(data.grid, G).apply(e).ravel() for e in units], axis=1)
    unit = Linear(data.grid, G).unit
    sol = ds.solve(problem, on_failure="return")
    expected, slope = (np.linalg.solve(A, (unit * a).ravel()).reshape(25, 25, 1) for a in (q, dq))
    bound = 1e3 * EPS * np.linalg.cond(A)
    if int(sol.status) == 0:
        assert np.abs(sol.y - expected).max() <= bound * np.abs(expected).max()
        found = ds.sensitivity(problem, sol, {"x": {"K": 0 * K, "q": dq}})
        assert np.isnan(found).all() or np.abs(found - slope).max() <= bound * np.abs(slope).max()
    assert int(sol.status) == 0 or k > 100


def test_f_that_is_lost_in_roundoff_certifies_nothing():
    """As on a line: |u| < 4/3, and Newton's method goes where no difference knows of f."""
    s, slopes = np.linspace(0.0, 1.0, 17), {k: ds.Neumann() for k in ("left", "right", "bottom", "top")}

    def f(u, u_s, u_r, x, p):
        return u / np.sqrt(1 + u * u) - 0.8 * np.cos(2 * np.pi * x["s"]) * np.cos(np.pi * x["r"])

    plate = ds.Elliptic2D(f, (s, s), 0.01, **slopes)
    for size in (2.0, 5.0, 20.0):
        sol = ds.solve(plate, np.full((17, 17, 1), size), method="newton", on_failure="return")
        assert int(sol.status) != 0
    assert np.abs(ds.solve(plate, method="newton").y).max() < 4 / 3


@pytest.mark.skip_backend("jax", reason="compiles for long, and runs the same operations")
@pytest.mark.parametrize("slope", [0.0, 2.0])
def test_f_that_is_lost_is_told_from_data_that_outweigh_it(lib, slope):
    """What f has in its rows is looked at without the data of the sides, which may be larger."""
    s = np.linspace(0.0, 1.0, 21)
    sides = {name: ds.Neumann() for name in ("right", "bottom", "top")}

    def f(u, u_s, u_r, x, p):
        xp = ds.array_namespace(u)
        return u / xp.sqrt(1 + u * u) - 0.8 * xp.cos(2 * np.pi * x["s"])

    for guess, is_lost in ((0 * s, False), (20 * np.cos(2 * np.pi * s) + 10, True)):
        line = lib.asarray(s)
        problem = ds.Elliptic2D(f, (line, line), 1e-3, left=ds.Neumann(slope), **sides)
        start = lib.asarray(np.broadcast_to(guess[:, None, None], (21, 21, 1)).copy())
        sol = lib.solve(problem, start, method="newton", on_failure="return")
        assert (int(lib.to_numpy(sol.status)) != 0) == is_lost
        assert is_lost or np.abs(lib.to_numpy(sol.y)).max() < 2


def test_an_equation_that_tells_f_from_its_data_is_solved_without_further_solves(monkeypatch):
    asked = []
    monkeypatch.setattr(Linear, "exactly", lambda self, r: asked.append(r) or 0 * r)
    s = np.linspace(0.0, 1.0, 17)
    sides = {name: ds.Dirichlet(1.0) for name in ("left", "right", "bottom", "top")}
    assert ds.solve(ds.Elliptic2D(lambda u, u_s, u_r, x, p: -np.exp(u), (s, s), **sides)).converged
    assert not asked
