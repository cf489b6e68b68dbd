"""Second-order equations on a line: orders, conditions, the linear solves, gradients, bad input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import deersolve as ds
from deersolve.inverses import assembled, registry
from deersolve.linalg.banded import lapack, repeated, solve, transposed
from deersolve.linalg.banded import orthogonal as staircase
from deersolve.testing import check_inverse
from deersolve.testing.cases import in_space
from deersolve.testing.systems import FAMILIES, random_Gs, systems_of

EPS = np.finfo(np.float64).eps
OPEN = [(a, b) for a in in_space.KINDS[:3] for b in in_space.KINDS[:3]]
SIDES = [*OPEN, ("periodic", "periodic")]


def error(case):
    sol = ds.solve(case.problem)
    return np.abs(sol.y - case.exact).max()


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("cells", [False, True], ids=["points", "cells"])
@pytest.mark.parametrize(("left", "right"), SIDES)
def test_second_order_in_the_spacing_with_every_condition(left, right, cells, n):
    errors = []
    for N in (80, 160, 320):
        edges = np.linspace(0.0, 1.0, N + 1)
        edges = edges if left == "periodic" else edges + 0.05 * np.sin(2 * np.pi * edges)
        errors.append(error(in_space.on_a_line(np.asarray, edges, (left, right), n, cells)))
    slopes = -np.diff(np.log2(errors))
    assert slopes[-1] == pytest.approx(2.0, abs=0.1), (errors, slopes)


def curved(asarray, kind, s, cells):
    """Return a problem of which u = exp(sin(3 s)) is the solution, and u; f has u_s, a and b vary."""
    s = np.asarray(s)
    points = 0.5 * (s[1:] + s[:-1]) if cells else s

    def exact(s):
        u = np.exp(np.sin(3 * s))
        slope = 3 * np.cos(3 * s) * u
        return u, slope, 3 * np.cos(3 * s) * slope - 9 * np.sin(3 * s) * u

    u, u_s, u_ss = exact(points)
    (u0, s0, _), (u1, s1, _) = exact(s[0]), exact(s[-1])
    left, right = {
        "dirichlet": (ds.Dirichlet(u0), ds.Dirichlet(u1)),
        "neumann": (ds.Neumann(-s0), ds.Dirichlet(u1)),
        "robin": (ds.Robin(1.0, 0.5, u0 - 0.5 * s0), ds.Robin(2.0, 0.7, 2 * u1 + 0.7 * s1)),
        "periodic": (ds.Periodic(), ds.Periodic()),
    }[kind]
    a, b = (1.0, 0.5) if kind == "periodic" else (1 + 0.3 * points, 0.5 + points)
    fields = {"u": u, "slope": u_s, "f": a * u_ss + b * u_s - 2 * u}

    def f(u, u_s, x, p):
        return x["f"] + 0.2 * (u * u - x["u"] ** 2) + 0.3 * (u_s * u_s - x["slope"] ** 2)

    def column(v):
        return asarray(v[:, None]) if np.ndim(v) else v

    x, given = {k: column(v) for k, v in fields.items()}, {"a": column(a), "b": column(b), "c": -2.0}
    return ds.BoundaryValueProblem(f, asarray(s), left=left, right=right, x=x, cells=cells, **given), u[:, None]


GRIDS = {
    "dirichlet": lambda z: 0.2 + 1.3 * z,
    "neumann": lambda z: 0.2 + 1.3 * (z + 0.3 * z * z),
    "robin": lambda z: 0.2 + 1.3 * (z + 0.05 * np.sin(2 * np.pi * z)),
    "periodic": lambda z: 2 * np.pi / 3 * (z + 0.05 * np.sin(2 * np.pi * z)),
}


@pytest.mark.parametrize("cells", [False, True], ids=["points", "cells"])
@pytest.mark.parametrize("kind", GRIDS)
def test_the_error_is_estimated_and_corrected_to_fourth_order(kind, cells):
    errors, corrected = [], []
    for N in (80, 160, 320):
        problem, u = curved(np.asarray, kind, GRIDS[kind](np.linspace(0.0, 1.0, N + 1)), cells)
        sol = ds.solve(problem, u)
        errors.append(np.abs(sol.y - u).max())
        corrected.append(np.abs(sol.y_corrected - u).max())
        assert float(sol.stats.discretisation_error) * np.abs(sol.y).max() == pytest.approx(errors[-1], rel=0.1)
        assert sol.stats.is_asymptotic
    assert np.log2(corrected[0] / corrected[2]) / 2 > 2.7  # 4 on equal spacings, at an end of others 3
    assert corrected[2] < 0.1 * errors[2]


def dense_of(blocks, is_ring):
    (N, n), A = blocks[0].shape[:2], np.zeros((blocks[0].shape[0], blocks[0].shape[-1]) * 2)
    for i in range(N):
        for block, j in zip(blocks, (i - 1, i, i + 1), strict=True):
            if is_ring or 0 <= j < N:
                A[i, :, j % N] += block[i]
    return A.reshape(N * n, N * n)


@pytest.mark.parametrize("way", ["chosen", "staircase", "lapack"])
@given(N=st.integers(1, 17), n=st.integers(1, 3), is_ring=st.booleans(), seed=st.integers(0, 999))
def test_block_tridiagonal_systems_equal_the_full_matrix(way, N, n, is_ring, seed):
    rng = np.random.default_rng(seed)
    blocks, r = tuple(rng.normal(size=(2, N, n, n)) for _ in range(3)), rng.normal(size=(2, N, n))
    if way != "chosen" and N < 3:
        return
    found = {"chosen": solve, "staircase": staircase.solve, "lapack": lapack.solve}[way](blocks, r, is_ring)
    turned = transposed(blocks, r, is_ring)
    for k in range(2):
        A = dense_of([a[k] for a in blocks], is_ring)
        bound = 64 * N * EPS * np.linalg.cond(A)
        for matrix, y in ((A, found[k]), (A.T, turned[k])):
            expected = np.linalg.solve(matrix, r[k].ravel())
            assert np.abs(y.ravel() - expected).max() <= bound * np.abs(expected).max()


def test_reduction_without_growth_where_elimination_without_pivoting_grows():
    """The middle blocks are singular or tiny: without pivoting across blocks nothing is left of the digits."""
    rng = np.random.default_rng(0)
    N = 200
    lower, upper = (1 + rng.uniform(size=(1, N, 1, 1)) for _ in range(2))
    middle = np.where(np.arange(N) % 2 == 0, 0.0, 1e-12)[None, :, None, None]
    r = rng.normal(size=(1, N, 1))
    A = dense_of((lower[0], middle[0], upper[0]), False)
    expected = np.linalg.solve(A, r[0].ravel())
    for way in (lapack, staircase):
        y = way.solve((lower, middle, upper), r, False)[0].ravel()
        assert np.abs(A @ y - r[0].ravel()).max() <= 64 * EPS * np.abs(A).sum(axis=1).max() * np.abs(expected).max()


def scalar_lines(kind, N, dtype):
    """Return the diagonals of three matrices, (3, N) each, of which some need pivots and some have rows of any size."""
    rng = np.random.default_rng(N)
    lower, middle, upper = rng.normal(size=(3, 3, N))
    if kind == "Helmholtz":
        wave = np.array([[0.1], [0.5], [0.9]])  # radians a point
        lower, middle, upper = 0 * lower + 1, 0 * lower - 2 + wave**2, 0 * lower + 1
    if kind == "zeros on the diagonal":
        middle = np.where(np.arange(N) % 2 == 0, 0.0, 1e-12) + 0 * middle
    size = 10.0 ** rng.uniform(-8, 8, size=(3, N)) if kind == "rows of any size" else 1.0
    return tuple((a * size).astype(dtype) for a in (lower, middle, upper))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["random", "Helmholtz", "zeros on the diagonal", "rows of any size"])
def test_scalar_lines_of_jax_are_solved_to_roundoff_of_each_row(kind, dtype):
    jnp = pytest.importorskip("jax.numpy")
    for N in (2, 1000):
        diagonals = scalar_lines(kind, N, dtype)
        r = np.random.default_rng(0).normal(size=(3, N, 1)).astype(dtype)
        y = solve(tuple(jnp.asarray(a)[..., None, None] for a in diagonals), jnp.asarray(r), False)
        assert y.dtype == r.dtype
        lower, middle, upper, r, y = (np.asarray(a, np.float64) for a in (*diagonals, r[..., 0], y[..., 0]))
        terms = np.stack([-r, middle * y, 0 * r, 0 * r])
        terms[2, :, 1:], terms[3, :, :-1] = lower[:, 1:] * y[:, :-1], upper[:, :-1] * y[:, 1:]
        assert (np.abs(terms.sum(axis=0)) <= 4 * np.finfo(dtype).eps * np.abs(terms).sum(axis=0)).all()


def test_derivatives_of_a_scalar_line_of_jax_are_those_of_the_full_matrix():
    """Of first and second order, each element of a batch by itself, and one at a time."""
    jax, jnp = pytest.importorskip("jax"), pytest.importorskip("jax.numpy")
    N, off = 7, np.ones(6)
    diagonals, r = scalar_lines("random", N, "float64"), np.random.default_rng(0).normal(size=(3, N))

    def full(lower, middle, upper, r):
        A = jnp.diag(lower[1:] * off, -1) + jnp.diag(middle) + jnp.diag(upper[:-1] * off, 1)
        return jnp.linalg.solve(A, r)

    def ours(lower, middle, upper, r):
        return solve(tuple(a[..., None, None] for a in (lower, middle, upper)), r[..., None], False)[..., 0]

    def made(way):
        def curved(*parts):
            return jnp.sum(jnp.sin(way(*parts)))

        slopes = jax.grad(curved, argnums=(0, 1, 2, 3))
        turned = jax.grad(lambda *parts: sum(jnp.sum(jnp.cos(s)) for s in slopes(*parts)), argnums=(0, 1, 2, 3))
        return jax.jit(jax.vmap(lambda *parts: (way(*parts), slopes(*parts), turned(*parts))))

    found, expected = (jax.tree.leaves(made(way)(*diagonals, r)) for way in (ours, full))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-9 * np.abs(b).max())
    np.testing.assert_array_equal(ours(*map(jnp.asarray, diagonals), jnp.asarray(r)), found[0])
    one = jax.vmap(ours, in_axes=(None, None, None, 0))(*(d[0] for d in map(jnp.asarray, diagonals)), jnp.asarray(r))
    np.testing.assert_allclose(one[0], found[0][0], rtol=0, atol=1e-12 * np.abs(found[0]).max())


def test_a_singular_element_touches_no_other(lib):
    blocks = tuple(np.ones((2, 5, 1, 1)) * v for v in (1.0, -2.0, 1.0))
    blocks[1][0] = 0.0
    blocks[0][0], blocks[2][0] = 0.0, 0.0
    with np.errstate(all="ignore"):
        y = lib.to_numpy(solve(tuple(map(lib.asarray, blocks)), lib.asarray(np.ones((2, 5, 1))), False))
    assert not np.isfinite(y[0]).any()
    np.testing.assert_allclose(dense_of([b[1] for b in blocks], False) @ y[1].ravel(), 1.0, atol=1e-13)


def test_an_element_that_is_not_finite_touches_no_other():
    blocks, r = tuple(np.ones((3, 5, 1, 1)) * v for v in (1.0, -3.0, 1.0)), np.ones((3, 5, 1))
    expected = solve(blocks, r, False)
    r[1, 2] = np.nan
    y = solve(blocks, r, False)
    assert not np.isfinite(y[1]).any()
    np.testing.assert_array_equal(y[[0, 2]], expected[[0, 2]])


@pytest.mark.parametrize("place", range(8))
def test_the_rule_equals_its_assembled_matrix(place):
    rng = np.random.default_rng(place)
    rule = registry["d2dx2.blocktridiagonal"]
    system = systems_of(FAMILIES["d2dx2"], rule, rng)[place]
    r, where = rng.normal(size=system.data.guess.shape), {"grid": system.data.grid, "boundary": system.data.boundary}
    for kind in rule.structures:
        Gs = random_Gs(system, kind, rng)
        A = assembled(rule, Gs, r, shift=system.shift, **where)
        for matrix, found in ((A, rule.solve), (A.T, rule.transpose)):
            expected = np.linalg.solve(matrix, r.ravel())
            off = np.abs(found(Gs, r, **where).ravel() - expected).max()
            assert off <= 64 * EPS * np.linalg.cond(A) * np.abs(expected).max()


def test_the_rule_keeps_what_it_claims():
    report = check_inverse("d2dx2.blocktridiagonal")
    assert report["independent of G"].holds
    assert report["order"].holds


CASES = {
    "burgers": lambda a: in_space.steady_burgers(a, np.linspace(0.0, 1.0, 10)),
    "mixed": lambda a: in_space.on_a_line(a, np.linspace(0.0, 1.0, 10), ("robin", "dirichlet"), 2),
    "cells": lambda a: in_space.on_a_line(a, np.linspace(0.0, 1.0, 10), ("neumann", "robin"), 2, True),
    "ring": lambda a: in_space.on_a_line(a, np.linspace(0.0, 1.0, 10), ("periodic", "periodic"), 1),
    "ring of cells": lambda a: in_space.on_a_line(a, np.linspace(0.0, 1.0, 10), ("periodic", "periodic"), 1, True),
}


@pytest.mark.filterwarnings("ignore::deersolve.DiscretisationWarning")  # of coarse grids, and rightly
@pytest.mark.parametrize("name", CASES)
@pytest.mark.cases_backend("jax", "mixed")
def test_every_library_finds_the_same(lib, name):
    if lib.is_jax and name not in ("mixed", "ring of cells"):
        pytest.skip("two of the five are enough to compile")
    sol = lib.solve(CASES[name](lib.asarray).problem)
    expected = ds.solve(CASES[name](np.asarray).problem)
    np.testing.assert_allclose(lib.to_numpy(sol.y), expected.y, rtol=0, atol=1e-11 * np.abs(expected.y).max())
    assert int(lib.to_numpy(sol.status)) == 0
    estimates = [lib.to_numpy(sol.stats.discretisation_error), expected.stats.discretisation_error]
    assert estimates[0] == pytest.approx(estimates[1], rel=1e-8)
    np.testing.assert_allclose(lib.to_numpy(sol.y_corrected), expected.y_corrected, rtol=1e-9, atol=1e-9)


@pytest.mark.skip_backend("jax", reason="the rule is compiled in test_every_library_finds_the_same")
@pytest.mark.parametrize("upper", [False, True])
def test_both_branches_of_bratu(lib, upper):
    """At 401 points the distance to u(1/2) is the discretisation's: 8.9e-8 and 2.2e-6, seen with every solver."""
    s = np.linspace(0.0, 1.0, 401)
    case = in_space.bratu_on_a_line(lib.asarray, s, upper)
    sol = ds.solve(case.problem, lib.asarray(4.0 * np.sin(np.pi * s)[:, None]) if upper else None)
    off = lib.to_numpy(sol.y)[200, 0] - (4.0914672461892603213 if upper else 0.14053921440447179803)
    assert abs(off) < (3e-6 if upper else 1e-7)


def test_solve_bvp_agrees():
    """SciPy's adaptive collocation to 1e-9 on the pendulum's boundary value problem, u(0) = 0, u'(2) = 1."""
    from scipy.integrate import solve_bvp

    s = np.linspace(0.0, 2.0, 1001)
    problem = ds.BoundaryValueProblem(
        lambda u, u_s, x, params: -params * np.sin(u), s, left=ds.Dirichlet(), right=ds.Neumann(1.0), params=0.5
    )
    sol = ds.solve(problem)
    ends = lambda a, b: np.array([a[0], b[1] - 1.0])  # noqa: E731
    other = solve_bvp(lambda s, y: np.stack([y[1], -0.5 * np.sin(y[0])]), ends, s[::50], np.zeros((2, 21)), tol=1e-9)
    np.testing.assert_allclose(sol.y[:, 0], other.sol(s)[0], atol=1e-5)  # (h^2 = 4e-6)


def test_a_batch_of_values_and_coefficients(lib):
    s = np.linspace(0.0, 1.0, 41)
    values, D = np.array([[0.0], [1.0], [2.0]]), np.array([1.0, 2.0, 0.5])[:, None, None]

    def made(k, a):
        f = lambda u, u_s, x, params: u * u * u - 1.0  # noqa: E731
        return ds.Elliptic1D(f, a(s), a(D[k]), left=ds.Dirichlet(a(values[k])), right=ds.Neumann(0.5))

    together = lib.to_numpy(ds.solve(made(slice(None), lib.asarray)).y)
    for k in range(3):
        np.testing.assert_allclose(together[k], ds.solve(made(k, np.asarray)).y, atol=1e-12)


@pytest.mark.parametrize("is_ring", [False, True], ids=["open", "ring"])
@pytest.mark.parametrize("way", ["chosen", "staircase", "lapack", "factored once"])
def test_a_system_that_is_not_finite_touches_no_other(way, is_ring):
    """In one long band NaN times the zeros between two systems would."""
    rng = np.random.default_rng(0)
    blocks, r = tuple(rng.normal(size=(4, 6, 2, 2)) for _ in range(3)), rng.normal(size=(4, 6, 2))
    run = {"chosen": solve, "staircase": staircase.solve, "lapack": lapack.solve}
    run["factored once"] = lambda blocks, r, is_ring: repeated(blocks, r, is_ring)(r)
    run = run[way]
    expected = run(blocks, r, is_ring)
    blocks[1][1, 3, 0, 1], r[2, 4, 0] = np.inf, np.nan
    with np.errstate(all="ignore"):
        found = run(blocks, r, is_ring)
    assert not np.isfinite(found[1]).all()
    assert not np.isfinite(found[2]).all()
    np.testing.assert_allclose(found[[0, 3]], expected[[0, 3]], rtol=0, atol=1e-12 * np.abs(expected).max())


def test_an_element_without_numbers_touches_no_other(lib):
    s, left = np.linspace(0.0, 1.0, 9), np.array([[0.1], [1e300], [0.3]])

    def made(left):
        ends = {"left": ds.Dirichlet(lib.asarray(left)), "right": ds.Neumann()}
        return ds.BoundaryValueProblem(lambda u, u_s, x, p: u * u - 1.0, lib.asarray(s), **ends)

    sol = ds.solve(made(left), on_failure="nan")
    assert list(lib.to_numpy(sol.status) == 0) == [True, False, True]
    expected = lib.to_numpy(ds.solve(made(left[[0, 2]])).y)
    np.testing.assert_allclose(lib.to_numpy(sol.y)[[0, 2]], expected, rtol=0, atol=1e-14)


S = np.linspace(0.0, 1.0, 17)
DATA = {
    "D": 1.0 + 0.3 * np.sin(3 * S)[:, None],
    "left": np.array([0.3]),
    "params": np.array([[1.7]]),
    "x": np.cos(S)[:, None],
}


def diffusion(D, left, params, x, asarray=np.asarray):
    def f(u, u_s, x, params):
        return ds.array_namespace(u).sin(params * u) + x["k"] * u_s - 1.0

    ends = {"left": ds.Dirichlet(left), "right": ds.Robin(1.0, 0.5, 0.2)}
    return ds.Elliptic1D(f, asarray(S), D, x={"k": x}, params=params, **ends)


def differences():
    """Return d sum(w y^2) by central differences at a few entries, in steps that leave 10 digits."""
    w, h, found = WEIGHT, 1e-4, {}
    for name, value in DATA.items():
        place = (min(7, value.shape[0] - 1), *(0 for _ in value.shape[1:]))
        losses = []
        for step in (h, -h, 2 * h, -2 * h):
            changed = {k: v.copy() for k, v in DATA.items()}
            changed[name][place] += step
            losses.append(float((w * ds.solve(diffusion(**changed)).y ** 2).sum()))
        found[name] = (place, (8 * (losses[0] - losses[1]) - (losses[2] - losses[3])) / (12 * h))
    return found


WEIGHT = np.random.default_rng(0).normal(size=(17, 1))


def test_gradients_by_parameters_conditions_and_fields(lib):
    problem = diffusion(**{k: lib.asarray(v) for k, v in DATA.items()}, asarray=lib.asarray)
    sol = ds.solve(problem)
    found = ds.adjoint(problem, sol, 2.0 * lib.asarray(WEIGHT) * sol.y, wrt=tuple(DATA))
    for name, (place, expected) in differences().items():
        part = found[name]["k"] if name == "x" else found[name]
        assert lib.to_numpy(part)[place] == pytest.approx(expected, abs=1e-9)
        v = np.random.default_rng(1).normal(size=DATA[name].shape)
        direction = {"k": lib.asarray(v)} if name == "x" else lib.asarray(v)
        dy = lib.to_numpy(ds.sensitivity(problem, sol, {name: direction}))
        both = 2.0 * WEIGHT * lib.to_numpy(sol.y) * dy, lib.to_numpy(part) * v
        scale = sum(np.abs(a).sum() for a in both)
        assert abs(both[0].sum() - both[1].sum()) <= 1e-12 * scale


@pytest.mark.slow
def test_gradients_of_solve_itself():
    jax, torch = pytest.importorskip("jax"), pytest.importorskip("torch")
    expected = differences()

    def loss(data, asarray, w):
        return (w * ds.solve(diffusion(**data, asarray=asarray)).y ** 2).sum()

    jnp = jax.numpy
    by_jax = jax.jit(jax.grad(lambda data: loss(data, jnp.asarray, WEIGHT)))(
        {k: jnp.asarray(v) for k, v in DATA.items()}
    )
    leaves = {k: torch.tensor(v, requires_grad=True) for k, v in DATA.items()}
    loss(leaves, torch.as_tensor, torch.as_tensor(WEIGHT)).backward()
    for name, (place, value) in expected.items():
        assert float(by_jax[name][place]) == pytest.approx(value, abs=1e-9)
        assert float(leaves[name].grad[place]) == pytest.approx(value, abs=1e-9)
    again = torch.func.grad(lambda p: loss({**detached(leaves), "params": p}, torch.as_tensor, torch.as_tensor(WEIGHT)))
    assert float(again(leaves["params"].detach())) == pytest.approx(expected["params"][1], abs=1e-9)


def detached(leaves):
    return {k: v.detach() for k, v in leaves.items()}


def zero(u, u_s, x, params):
    return 0.0 * u


BAD = {
    "one side": ({"left": ds.Periodic(), "right": ds.Dirichlet()}, r"right: expected Periodic\(\) as at the left"),
    "one of two": ({"left": (ds.Periodic(), ds.Dirichlet())}, r"left: expected .* or Periodic\(\) for all"),
    "no condition": ({"left": 0.0, "right": ds.Dirichlet()}, "left: expected Dirichlet"),
    "negative": ({"D": -1.0}, "D: expected a positive diffusion"),
    "order": ({"s": np.array([0.0, 0.5, 0.4, 1.0])}, "s: expected finite, strictly increasing points"),
    "few": ({"s": np.array([0.0, 1.0])}, r"s: expected shape \(N,\) with N >= 3"),
    "field": ({"D": np.ones((7, 1))}, "D: expected a number, .*1 or N = 9 points"),
    "x": ({"x": {"k": np.ones((7, 1))}}, "x: expected 1 or T = 9 points"),
    "x dict": ({"x": np.ones((9, 1))}, "x: expected a dict"),
    "count": (
        {"left": (ds.Dirichlet(), ds.Neumann()), "right": ds.Dirichlet(np.zeros(3))},
        "left: expected one condition",
    ),
    "robin": ({"left": ds.Robin(0.0, 0.0)}, "left: expected a or b"),
    "batch": ({"left": ds.Dirichlet(np.zeros((2, 1))), "right": ds.Dirichlet(np.zeros((3, 1)))}, "batch axes"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(name):
    changed, message = BAD[name]
    given = {"s": np.linspace(0.0, 1.0, 9), "left": ds.Dirichlet(), "right": ds.Dirichlet(), **changed}
    with pytest.raises(ds.InputError, match=message):
        ds.solve(ds.Elliptic1D(zero, **given))


@pytest.mark.parametrize(
    "ends", [(ds.Neumann(1.0), ds.Neumann(1.0)), (ds.Neumann(), ds.Neumann()), (ds.Periodic(),) * 2]
)
def test_nothing_that_fixes_u_is_told(ends):
    with pytest.raises(ds.InputError, match="up to a constant"):
        ds.solve(
            ds.Elliptic1D(lambda u, u_s, x, p: x["s"] - 0.5, np.linspace(0.0, 1.0, 9), left=ends[0], right=ends[1])
        )


def test_methods_that_march_are_refused():
    with pytest.raises(ds.InputError, match="method"):
        ds.solve(ds.Elliptic1D(zero, S, left=ds.Dirichlet(), right=ds.Dirichlet()), method="sequential")
    with pytest.raises(ds.InputError, match="window"):
        ds.solve(ds.Elliptic1D(zero, S, left=ds.Dirichlet(), right=ds.Dirichlet()), method=ds.Newton(window=4))


def saturating(u, x, scale=0.8):
    xp = ds.array_namespace(u)
    return u / xp.sqrt(1 + u * u) - scale * xp.cos(2 * np.pi * x["s"])


@pytest.mark.skip_backend("jax", reason="compiles for long, and runs the same operations")
@pytest.mark.parametrize("side", [ds.Neumann(), ds.Periodic()], ids=["slopes", "ring"])
def test_f_that_is_lost_in_roundoff_certifies_nothing(lib, side):
    """Newton's method sends u to -u^3, until no difference knows of f. |u| < 4/3, where u / sqrt(1 + u^2) is 0.8."""
    s = np.linspace(0.0, 1.0, 31)
    options = {"left": side, "right": side}
    problem = ds.Elliptic1D(lambda u, u_s, x, p: saturating(u, x), lib.asarray(s), 1e-3, **options)
    sol = lib.solve(
        problem, lib.asarray(20 * np.cos(2 * np.pi * s)[:, None] + 10), method="newton", on_failure="return"
    )
    assert int(sol.status) != 0
    near = lib.solve(problem, lib.asarray(0 * s[:, None]), method="newton")
    assert np.abs(lib.to_numpy(near.y)).max() < 4 / 3


@pytest.mark.filterwarnings("ignore::deersolve.DiscretisationWarning")  # of coarse grids, and rightly
@given(
    N=st.integers(5, 200), D=st.sampled_from([1e-4, 1e-2, 1.0]), c=st.floats(-100, 100), side=st.integers(0, 2),
    step=st.sampled_from([ds.Full(), ds.LineSearch(), ds.Damped(0.5)]),
)  # fmt: skip
def test_converged_obeys_the_maximum_principle(N, D, c, side, step):
    s = np.linspace(0.0, 1.0, N)
    ends = (ds.Neumann(), ds.Periodic(), ds.Dirichlet())[side]
    problem = ds.Elliptic1D(lambda u, u_s, x, p: saturating(u, x), s, D, left=ends, right=ends)
    sol = ds.solve(problem, c * np.cos(np.pi * s)[:, None] + c, method=ds.Newton(step=step), on_failure="return")
    assert int(sol.status) != 0 or np.abs(sol.y).max() < 4 / 3 + 1e-6


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_equation_without_f_is_certified(dtype):
    s = np.linspace(0.0, 1.0, 501, dtype=dtype)
    sol = ds.solve(ds.Elliptic1D(lambda u, u_s, x, p: 0 * u, s, left=ds.Dirichlet(1.0), right=ds.Neumann(1.0)))
    assert int(sol.status) == 0
    np.testing.assert_allclose(sol.y[:, 0], 1 + s, rtol=0, atol=500**2 * np.finfo(dtype).eps)


@pytest.mark.parametrize("cells", [False, True])
@pytest.mark.parametrize("weight", [25.0, 441.0, -25.0, -441.0])
def test_a_ring_that_begins_at_a_zero(weight, cells):
    """u'' = weight (u - sin 2 pi s): u(0) = 0, and so the image of that point is no measure of what is right."""
    s = np.linspace(0.0, 1.0, 42)
    ring = {"left": ds.Periodic(), "right": ds.Periodic()}
    sol = ds.solve(
        ds.BoundaryValueProblem(lambda u, u_s, x, p: weight * (u - np.sin(2 * np.pi * x["s"])), s, cells=cells, **ring)
    )
    h = s[1] - s[0]
    factor = weight / (weight + (2 * np.sin(np.pi * h) / h) ** 2)
    places = 0.5 * (s[1:] + s[:-1]) if cells else s
    np.testing.assert_allclose(sol.y[:, 0], factor * np.sin(2 * np.pi * places), atol=1e-12)
