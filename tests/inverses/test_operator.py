"""Operators from matrices, against dense algebra: solves, magnitudes, gradients on every library, what is refused."""

from __future__ import annotations

import math
import pickle
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse.linalg import LinearOperator
from scipy.special import ellipk
from tests.strategies import batches, generators

import deersolve as ds
from deersolve.grids.shifters import apply_shifters
from deersolve.linalg import matrix_lu
from deersolve.linalg.matrices import Matrix
from deersolve.linalg.structure import Dense, Diagonal

EPS = np.finfo(np.float64).eps


def wide(A: Any, n: int, points: int) -> np.ndarray:
    """Return a matrix as a dense one on points and components."""
    A = A.toarray() if sp.issparse(A) else np.asarray(A)
    return A if A.shape[0] == points * n else np.kron(A, np.eye(n))


@st.composite
def cases(draw):
    """Draw (shape, n, L, M, shifts): each dense or sparse, for every component alike or for all together."""
    shape, n, rng = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))), draw(st.integers(1, 3)), None
    rng, N = draw(generators()), math.prod(shape)

    def matrix(regular=0.0):
        K = N * (n if draw(st.booleans()) else 1)
        A = rng.normal(size=(K, K)) * (rng.random((K, K)) < 0.6) + regular * np.eye(K)
        return sp.coo_array(A) if draw(st.booleans()) else A

    shifts = tuple(ds.identity if draw(st.booleans()) else matrix() for _ in range(draw(st.integers(1, 3))))
    return shape, n, matrix(8.0), matrix(0.5) if draw(st.booleans()) else None, shifts, rng


@given(case=cases(), batch=batches(), kind=st.sampled_from([Dense, Diagonal]))
def test_all_parts_are_those_of_the_assembled_matrices(case, batch, kind):
    shape, n, L, M, shifts, rng = case
    N, op = math.prod(shape), ds.Operator(L, M, shifts, shape=shape)
    y, fy, r = rng.normal(size=(3, *batch, *shape, n))
    Gs = tuple(kind(rng.normal(size=(*batch, *shape, n, n)[: y.ndim + (kind is Dense)])) for _ in shifts)
    where = {"grid": None, "boundary": op.prepared(None, y)}
    L, M, *Ss = (wide(np.eye(N) if A is None or A is ds.identity else A, n, N) for A in (L, M, *shifts))
    unit = np.broadcast_to(op.unit, (*shape, n)).reshape(-1, 1)  # rows are in the unit of y: their largest is near 1
    L, M = L / unit, M / unit
    assert np.all((np.abs(L).max(axis=1) < 1.5) & ((np.abs(L).max(axis=1) > 0.7) | ~L.any(axis=1)))

    def flat(a):
        return a.reshape(-1, N * n)

    def close(found, expected, bound=64 * EPS):
        np.testing.assert_allclose(flat(found), expected, rtol=0, atol=bound * (1 + np.abs(expected).max()))

    close(op.residual(y, fy, **where), flat(fy) @ M.T - flat(y) @ L.T)
    close(op.magnitude(abs(y), abs(fy), **where), flat(abs(fy)) @ abs(M).T + flat(abs(y)) @ abs(L).T)
    close(op.weights(r), flat(r) @ M)
    signals = apply_shifters(op.shifts, y, None, where["boundary"])
    for signal, S in zip(signals, Ss, strict=True):
        close(signal, flat(y) @ S.T)
    delta, u = op.solve(Gs, r, **where), op.transpose(Gs, r, **where)
    for k in range(len(flat(r))):
        D = [sp.block_diag(G.to_dense().reshape(-1, N, n, n)[k]).toarray() for G in Gs]
        A = L + M @ sum(d @ S for d, S in zip(D, Ss, strict=True))
        bound = 1e3 * EPS * np.linalg.cond(A)
        for found, matrix in ((delta, A), (u, A.T)):
            expected = np.linalg.solve(matrix, flat(r)[k])
            off = np.abs(flat(found)[k] - expected).max()
            assert off <= bound * np.abs(expected).max() or not bound < 1


@pytest.mark.parametrize("kind", ["dense", "banded", "sparse"])
def test_the_lu_follows_the_pattern_and_solves_both_ways(kind):
    N, rng = 300, np.random.default_rng(0)
    A = sp.diags_array(rng.normal(size=(3, N)), offsets=[-2, 0, 1], shape=(N, N)).tocsr()
    A = (
        A
        + {"dense": rng.normal(size=(N, N)), "banded": 0 * A, "sparse": sp.coo_array(([1.0], ([0], [N - 1])), (N, N))}[
            kind
        ]
    )
    found = matrix_lu.Factors(sp.csr_array(A), [])
    assert type(found.lu).__name__ == {"dense": "DenseLU", "banded": "BandLU", "sparse": "SparseLU"}[kind]
    full, b = np.asarray(sp.csr_array(A).todense()), rng.normal(size=N)
    for transposed, matrix in ((False, full), (True, full.T)):
        expected = np.linalg.solve(matrix, b)
        off = np.abs(found.solve(b, transposed) - expected).max()
        assert off <= 64 * EPS * np.linalg.cond(full) * np.abs(expected).max()


def lattice(lib, batch=(3,), dtype="float64"):
    """Return a problem of two components on a 4 x 5 grid, with every kind of data, and what it is made of."""
    rng, shape, n = np.random.default_rng(1), (4, 5), 2
    L = sp.eye_array(20) * 3 + sp.random_array((20, 20), density=0.1, rng=rng)
    M = sp.csr_array(np.kron(sp.random_array((20, 20), density=0.1, rng=rng).toarray(), np.ones((2, 2))) + np.eye(40))
    S = rng.normal(size=(20, 20)) / 5
    op = ds.Operator(L, M, (ds.identity, (S, 0.0)), shape=shape)
    data = [rng.normal(size=s) for s in ((2,), (*shape, 1), (*batch, *shape, n), (5, n))]

    def f(y, z, x, params):
        return ds.array_namespace(y).sin(y) * params[0] + z * x + params[1]

    def problem(params, x, given, s):
        return ds.Problem(
            f, shift=op.shifts, inverse=op, x=x, params=params, boundary={"given": given, "shifts": (None, s)}
        )

    def root(params, x, given, s):
        """Return y of one element by a Newton method of dense matrices, and the matrix there."""
        LL, MM, SS = wide(L, n, 20), wide(M, n, 20), wide(S, n, 20)
        y, x, s = np.zeros(40), (x + np.zeros((*shape, n))).ravel(), (s + np.zeros((*shape, n))).ravel()
        for _ in range(30):
            A = LL - MM @ (np.diag(params[0] * np.cos(y)) + np.diag(x) @ SS)
            y = y + np.linalg.solve(
                A, MM @ (params[0] * np.sin(y) + (SS @ y + s) * x + params[1]) + given.ravel() - LL @ y
            )
        z, weights = SS @ y + s, lambda c: np.linalg.solve(A.T, c.ravel())

        def pull(c):
            u = weights(c)
            v = MM.T @ u
            by_x = (v * z).reshape(*shape, n).sum(axis=-1, keepdims=True)
            by_s = (v * x).reshape(*shape, n).sum(axis=0)
            return [np.array([v @ np.sin(y), v.sum()]), by_x, u.reshape(*shape, n), by_s]

        return y.reshape(*shape, n), pull

    return problem, root, [a.astype(dtype) for a in data]


def test_y_and_all_gradients_are_those_of_dense_algebra(lib):
    check_against_dense(lib, "float64")


@pytest.mark.skip_backend("jax", reason="compiled once, in float64")
def test_the_same_in_single_precision(lib):
    check_against_dense(lib, "float32")


def check_against_dense(lib, dtype):
    batch = () if lib.is_jax else (3,)
    problem, root, data = lattice(lib, batch, dtype)
    params, x, given, s = (lib.asarray(a, dtype) for a in data)
    shape = tuple(given.shape)
    c = np.random.default_rng(2).normal(size=shape)
    weights, guess = lib.asarray(c, dtype), lib.asarray(np.zeros(shape), dtype)
    parts = [(b, c[k] if batch else c) for k, b in enumerate(data[2] if batch else [data[2]])]
    found = [root(data[0], data[1], b, data[3]) for b, _ in parts]
    bars = [pull(cotangent) for (_, pull), (_, cotangent) in zip(found, parts, strict=True)]
    tol = 1e-10 if dtype == "float64" else 1e-3
    expected = [sum(b[0] for b in bars), sum(b[1] for b in bars), np.stack([b[2] for b in bars]).reshape(shape), None]
    expected[3] = sum(b[3] for b in bars)

    if lib.is_jax:
        import jax

        def loss(*data):
            y = ds.solve(problem(*data), guess).y
            return (y * weights).sum(), y

        made, y = jax.grad(loss, argnums=(0, 1, 2, 3), has_aux=True)(params, x, given, s)
    elif lib.is_torch:
        leaves = [a.requires_grad_() for a in (params, x, given, s)]
        y = ds.solve(problem(*leaves), guess).y
        (y * weights).sum().backward()
        made = [a.grad for a in leaves]
    else:
        sol = ds.solve(problem(params, x, given, s), guess)
        bar = ds.adjoint(problem(params, x, given, s), sol, weights, wrt=("params", "x", "boundary"))
        y, made = sol.y, [bar["params"], bar["x"], bar["boundary"]["given"], bar["boundary"]["shifts"][1]]
    np.testing.assert_allclose(lib.to_numpy(y), np.stack([f[0] for f in found]).reshape(shape), rtol=tol, atol=tol)
    for bar, right in zip(made, expected, strict=True):
        np.testing.assert_allclose(lib.to_numpy(bar), right, rtol=10 * tol, atol=10 * tol)


@pytest.mark.skip_backend("jax", reason="a compiled solve for each direction")
def test_the_sensitivity_to_what_is_added_is_a_difference(lib):
    problem, _, data = lattice(lib)
    arrays = [lib.asarray(a) for a in data]
    guess = lib.asarray(np.zeros((3, 4, 5, 2)))
    sol = ds.solve(problem(*arrays), guess)
    rng = np.random.default_rng(3)
    d_given, d_s = rng.normal(size=data[2].shape), rng.normal(size=data[3].shape)
    along = {"given": lib.asarray(d_given), "shifts": (None, lib.asarray(d_s))}
    dy = lib.to_numpy(ds.sensitivity(problem(*arrays), sol, {"boundary": along}))

    def moved(e):
        changed = [lib.asarray(a) for a in (data[2] + e * d_given, data[3] + e * d_s)]
        return lib.to_numpy(ds.solve(problem(*arrays[:2], *changed), sol.y).y)

    np.testing.assert_allclose(dy, (moved(1e-5) - moved(-1e-5)) / 2e-5, rtol=1e-7, atol=1e-8)


def test_what_the_operator_holds_itself_has_a_gradient():
    torch = pytest.importorskip("torch")
    held, guess = torch.ones((6, 1), dtype=torch.float64, requires_grad=True), torch.zeros((6, 1), dtype=torch.float64)
    op = ds.Operator(2 * np.eye(6), given=held)
    ds.solve(ds.Problem(lambda y, x, _: 0.5 * y, shift=op.shifts, inverse=op), guess).y.sum().backward()
    np.testing.assert_allclose(held.grad.numpy(), 1 / 1.5)


@pytest.mark.parametrize("full", [False, True], ids=["rows of like length", "full"])
def test_products_of_any_library_are_those_of_scipy(lib, full):
    rng = np.random.default_rng(0)
    A = sp.random_array((40, 40), density=0.6 if full else 0.05, rng=rng).tocsr() + sp.csr_array(np.eye(40, k=39))
    A = sp.csr_array(A)
    v = rng.normal(size=(2, 5, 8, 3))
    found = lib.to_numpy(Matrix(A, 2)(lib.asarray(v)))
    np.testing.assert_allclose(
        found, np.einsum("ij,bjk->bik", A.toarray(), v.reshape(2, 40, 3)).reshape(v.shape), atol=1e-13
    )


def test_functions_and_linear_operators_are_their_matrices():
    rows = np.eye(12) - np.eye(12, k=-1)
    for given_as in (
        rows,
        sp.coo_matrix(rows),
        lambda u: np.diff(u, prepend=0.0),
        LinearOperator((12, 12), matvec=lambda v: rows @ v),
    ):
        np.testing.assert_array_equal(ds.Operator(given_as, shape=12).L.A.toarray(), rows)
    plane = ds.Operator(lambda u: u - np.roll(u, 1, axis=0), shape=(3, 4)).L.A.toarray()
    np.testing.assert_array_equal(plane, np.kron(np.eye(3) - np.roll(np.eye(3), 1, axis=0), np.eye(4)))


def test_a_matrix_is_factored_once_for_the_same_G(monkeypatch):
    made = []
    own = matrix_lu.Factors
    monkeypatch.setattr(matrix_lu, "Factors", lambda *a: made.append(1) or own(*a))
    op, r = ds.Operator(np.eye(5) * 3), np.ones((2, 5, 1))
    G, where = (Dense(np.ones((2, 5, 1, 1))),), {"grid": None, "boundary": None}
    solve = op.solver(G, r, **where)
    np.testing.assert_allclose(solve(r) + op.transpose(G, r, **where) + solve(2 * r), 4.0)  # rows of 3 are over 4
    assert len(made) == 2  # one for each element
    np.testing.assert_allclose(op.solve((Dense(2 * G[0].values),), r, **where), 0.8)


def test_an_operator_is_copied_without_its_factors():
    op = ds.Operator(sp.eye_array(300) + sp.eye_array(300, k=299))
    sol = solve_with(op)
    np.testing.assert_array_equal(solve_with(pickle.loads(pickle.dumps(op))).y, sol.y)


def test_a_failed_element_has_no_part_in_the_gradients_of_others():
    torch = pytest.importorskip("torch")
    x = torch.tensor([[[0.5]], [[1.0]], [[2.0]]], dtype=torch.float64, requires_grad=True)
    given = torch.ones((3, 2, 1), dtype=torch.float64, requires_grad=True)
    op = ds.Operator(np.eye(2))
    problem = ds.Problem(lambda y, x, _: x * y, shift=op.shifts, inverse=op, x=x, boundary=given)
    sol = ds.solve(problem, torch.zeros((3, 2, 1), dtype=torch.float64), on_failure="nan")
    (sol.y[0].sum() + sol.y[2].sum()).backward()
    np.testing.assert_allclose(x.grad.numpy().ravel(), [8, 0, 2])
    np.testing.assert_allclose(given.grad.numpy()[..., 0], [[2, 2], [0, 0], [-1, -1]])


def solve_with(op, f=lambda y, x, params: 0 * y + 1, **options):
    """Solve with an operator on two points."""
    y_guess = options.pop("y_guess", np.zeros((*op.shape, 1)))
    return ds.solve(ds.Problem(f, shift=op.shifts, inverse=op, **options), y_guess)


@pytest.mark.parametrize("L", [[[1.0, -1.0], [-1.0, 1.0]], [[1.0, -1.0], [-1.0, 1.0 + 1e-17]]])
def test_a_singular_equation_is_named(L):
    with pytest.raises(ds.ConvergenceError, match="SINGULAR"):
        solve_with(ds.Operator(L))


def test_one_singular_element_leaves_the_others():
    op = ds.Operator(np.eye(2))
    x = np.array([0.5, 1.0, 2.0]).reshape(3, 1, 1)
    problem = ds.Problem(lambda y, x, _: x * y + 1, shift=ds.identity, inverse=op, x=x)
    sol = ds.solve(problem, np.zeros((3, 2, 1)), on_failure="return")
    assert [ds.Status(int(s)).name for s in sol.status] == ["CONVERGED", "SINGULAR", "CONVERGED"]
    np.testing.assert_allclose(sol.y[[0, 2], :, 0], [[2, 2], [-1, -1]])


def test_a_tolerance_is_one_of_y_whatever_the_unit_of_the_rows():
    """y'' = -3 exp(y) in units of the matrix: 1 / h^2 beside y would pass a y that is 15 % off."""
    L = sp.diags_array([1.0, -2.0, 1.0], offsets=[-1, 0, 1], shape=(99, 99)) * 100.0**2
    for unit in (1.0, 2.0**-30, 2.0**30):
        op = ds.Operator(unit * L, unit * sp.eye_array(99), given=unit * np.ones((99, 1)))
        problem = ds.Problem(lambda y, x, params: -3 * np.exp(y), shift=op.shifts, inverse=op)
        sol, close = (ds.solve(problem, np.zeros((99, 1)), method=ds.Newton(rtol=r)) for r in (1e-2, None))
        off = np.abs(sol.y - close.y).max() / np.abs(close.y).max()
        assert 0 < off < 1e-2
        assert off / 10 < sol.stats.error < 10 * off
        if unit == 1:
            first = sol
        np.testing.assert_array_equal(sol.y, first.y)
        assert sol.stats.error == first.stats.error


@pytest.mark.parametrize("phase", [True, False])
@pytest.mark.parametrize("guess", [1.6, 2.0])
def test_a_multiplier_that_is_zero_fixes_the_phase_of_an_orbit(lib, guess, phase):
    """u'' + sin(u) = b u', 8-periodic, b alike everywhere: it is 0 but for roundoff; no row for the phase: SINGULAR."""
    N, k = 33, np.arange(33)
    D = np.fft.ifft((np.pi / 4j * -np.fft.fftfreq(N, 1 / N))[:, None] * np.fft.fft(np.eye(N), axis=0), axis=0).real
    L = np.kron(D @ D, np.diag([1.0, 0.0])) + np.kron(np.eye(N) - np.eye(N, k=1), np.diag([0.0, 1.0]))
    if phase:
        L[-1] = np.kron(D[0], [1.0, 0.0])
    op = ds.Operator(L, np.kron(np.eye(N), np.diag([1.0, 0.0])), (ds.identity, np.kron(D, np.eye(2))), shape=N)

    def f(y, slope, x, params):
        xp, u, b = ds.array_namespace(y), y[..., 0], y[..., 1]
        return xp.stack([b * slope[..., 0] - xp.sin(u), 0 * u], axis=-1)

    y_guess = np.stack([guess * np.cos(2 * np.pi * k / N), 0.0 * k], axis=-1)
    problem = ds.Problem(f, shift=op.shifts, inverse=op)
    sol = lib.solve(problem, lib.asarray(y_guess), on_failure="return")
    assert int(lib.to_numpy(sol.status)) == (ds.Status.CONVERGED if phase else ds.Status.SINGULAR)
    if phase:
        y = lib.to_numpy(sol.y)
        assert abs(4 * ellipk(np.sin(y[0, 0] / 2) ** 2) - 8) < 1e-9
        assert np.abs(y[:, 1]).max() < 1e-12


EYE = np.eye(6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ds.Operator(EYE[:2]), r"L: expected a square matrix \(N, N\); received shape \(2, 6\)"),
        (lambda: ds.Operator(EYE, shape=(2, 2)), r"L: expected a matrix \(4, 4\), or \(4 n, 4 n\)"),
        (lambda: ds.Operator(EYE, M=np.eye(3)), r"M: expected a matrix \(6, 6\)"),
        (lambda: ds.Operator(EYE, M=np.ones(6)), "diags_array"),
        (lambda: ds.Operator(EYE * np.nan), "L: expected finite numbers; received NaN or infinity in row 0"),
        (lambda: ds.Operator(EYE * 1j), "L: expected real numbers; received complex128"),
        (lambda: ds.Operator("laplace"), "a linear function of an array; received 'laplace'"),
        (lambda: ds.Operator([[1, 2], [3]]), r"received \[\[1, 2\], \[3\]\]"),
        (lambda: ds.Operator(lambda u: u + 1, shape=6), "What it adds goes into given="),
        (lambda: ds.Operator(lambda u: u**2, shape=6), "L: expected a linear function"),
        (lambda: ds.Operator(lambda u: u[1:], shape=6), r"returns an array of shape \(6,\)"),
        (lambda: ds.Operator(lambda u: u), "shape=, the shape of the array that the function takes"),
        (lambda: ds.Operator(EYE, shape=6.0), "number of points in shape as an integer"),
        (lambda: ds.Operator(EYE, shifts=()), "shifts: expected a tuple"),
        (lambda: ds.Operator(EYE, shifts=(EYE, np.zeros(6))), r"shifts=\(\(S, s\),\)"),
        (lambda: ds.Operator(EYE, shifts=ds.lag(1)), r"such as np.eye\(N, k=-1\)"),
        (lambda: ds.Operator(np.diag([1.0, 0]), np.diag([1.0, 0])), "row 1 of L and of M is 0"),
        (lambda: ds.Operator(np.diag([1.0, 0]), shifts=np.diag([1.0, 0])), "column 1 of L and of every M S is 0"),
        (lambda: ds.Operator([[1, 0], [1, 0]], [[1, 0], [0, 0]]), "column 1 of L and of every M S is 0"),
        (lambda: solve_with(ds.Operator(EYE), y_guess=np.zeros((5, 1))), r"y_guess: expected shape \(\*B, 6, n\)"),
        (lambda: solve_with(ds.Operator(EYE, shape=3)), "n = 2 components, as the matrices have"),
        (lambda: solve_with(ds.Operator(EYE, given=np.ones(6))), r"Components are on the last axis: given\[:, None\]"),
        (lambda: solve_with(ds.Operator(EYE, given=1j * np.ones((6, 1)))), "given: expected real numbers"),
        (lambda: solve_with(ds.Operator(EYE, given=np.nan)), "given: expected finite numbers"),
        (lambda: solve_with(ds.Operator(EYE), boundary={"value": 1}), "'given' and 'shifts'; received the key 'value'"),
        (lambda: solve_with(ds.Operator(EYE), boundary={"shifts": (1.0,)}), "None beside ds.identity"),
        (lambda: solve_with(ds.Operator(EYE), boundary=ds.Initial(np.ones((1, 1)))), "received Initial"),
    ],
)
def test_what_cannot_be_right_is_refused_at_once(make, message):
    with pytest.raises(ds.InputError, match=message):
        make()


def test_a_matrix_that_a_graph_follows_is_refused():
    torch = pytest.importorskip("torch")
    with pytest.raises(ds.InputError, match="go through params, x or boundary"):
        ds.Operator(torch.eye(6, requires_grad=True))
    assert ds.Operator(torch.eye(6)).L.A.nnz == 6


@pytest.mark.slow
def test_on_jax_an_operator_is_compiled_once_and_another_one_anew():
    """The solve on the host is a function of Python's, which looks like that of any other operator."""
    jax = pytest.importorskip("jax")
    from deersolve.backends import registry

    def solved(op, k):
        f = lambda y, x, k: k * jax.numpy.exp(y)  # noqa: E731
        problem = ds.Problem(f, shift=op.shifts, inverse=op, params=jax.numpy.asarray(k))
        return np.asarray(ds.solve(problem, jax.numpy.zeros((6, 1))).y)

    L = np.eye(6, k=1) - 2 * np.eye(6) + np.eye(6, k=-1)
    for matrix in (L, 1.25 * L):
        op, sizes = ds.Operator(matrix), []
        for k in (0.1, 0.1, 0.05):
            y = solved(op, k)
            np.testing.assert_allclose(matrix @ y, k * np.exp(y), rtol=0, atol=1e-14)
            sizes.append(len(registry["jax"]._compiled))
        assert sizes[0] == sizes[1] == sizes[2]


def test_a_matrix_that_jax_follows_is_refused():
    jax = pytest.importorskip("jax")
    for transform in (jax.grad, jax.jit):
        with pytest.raises(ds.InputError, match="go through params, x or boundary"):
            transform(lambda a: ds.Operator(a * jax.numpy.eye(6)))(1.0)
    assert ds.Operator(jax.numpy.eye(6)).L.A.nnz == 6
