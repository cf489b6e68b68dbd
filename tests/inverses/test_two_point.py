"""First-order systems with conditions at both ends: orders, conditions, the linear solves, gradients, bad input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import deersolve as ds
from deersolve.bands import lapack, linked, linked_transposed, staircase
from deersolve.inverses import assembled, registry
from deersolve.testing import check_inverse, ends
from deersolve.testing._systems import linear_systems, random_G

EPS = np.finfo(np.float64).eps
LEFT, RIGHT = np.array([[1.0, 0.0], [0.0, 0.0]]), np.array([[0.0, 0.0], [1.0, 0.0]])


def graded(N):
    s = np.linspace(0.0, 1.0, N + 1)
    return 0.7 * s + 0.3 * s * s


def solved(case, asarray=np.asarray, **options):
    return ds.solve(case.problem, asarray(0.0 * case.exact), **options)


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("kind", ends.ENDS)
def test_second_order_and_fourth_after_the_correction(kind, n):
    errors = []
    for N in (40, 80, 160):
        case = ends.manufactured(np.asarray, graded(N), kind, n)
        sol = solved(case)
        errors.append([np.abs(y - case.exact).max() for y in (sol.y, sol.y_corrected)])
    slopes = -np.diff(np.log2(np.array(errors)), axis=0)
    assert slopes[-1, 0] == pytest.approx(2.0, abs=0.1)
    assert slopes[-1, 1] == pytest.approx(4.0, abs=0.4)
    scale = np.abs(case.exact).max()
    assert errors[-1][0] / scale == pytest.approx(float(sol.stats.discretisation_error), rel=0.5)


def matrix_of(E, F, first, last):
    K, n = E.shape[0], E.shape[-1]
    A = np.zeros((K + 1, n, K + 1, n))
    A[0, :, 0], A[0, :, K] = first, last
    for i in range(K):
        A[i + 1, :, i] += E[i]
        A[i + 1, :, i + 1] += F[i]
    return A.reshape((K + 1) * n, -1)


@pytest.mark.parametrize("way", [linked, lapack.linked, staircase.linked], ids=["chosen", "lapack", "staircase"])
@given(K=st.integers(1, 17), n=st.integers(1, 3), seed=st.integers(0, 999))
def test_linked_systems_equal_the_full_matrix(way, K, n, seed):
    rng = np.random.default_rng(seed)
    E, F = rng.normal(size=(2, 2, K, n, n))
    first, last = rng.normal(size=(2, 2, n, n))
    r = rng.normal(size=(2, K + 1, n))
    if way is linked:
        found, turned = way(E, F, first, last, r), linked_transposed(E, F, first, last, r)
    else:
        before, behind = (np.concatenate([a[:, None], b], axis=1) for a, b in ((first, E), (last, F)))
        found, turned = way(before, behind, r), None
    for k in range(2):
        A = matrix_of(E[k], F[k], first[k], last[k])
        bound = 64 * (K + 1) * EPS * np.linalg.cond(A)
        for M, w in ((A, found[k]), (A.T, None if turned is None else turned[k])):
            expected = np.linalg.solve(M, r[k].ravel())
            assert w is None or np.abs(w.ravel() - expected).max() <= bound * np.abs(expected).max()


@pytest.mark.parametrize("way", [lapack, staircase], ids=["lapack", "staircase"])
def test_no_growth_where_gaussian_elimination_with_row_exchanges_grows(way):
    """Wright's example: (I - hM/2)^{-1}(I + hM/2) has no entry above 1 but the norm 1.35; 200 of them overtake 1 / eps."""
    M, h, K = np.array([[-1 / 6, 1.0], [1.0, -1 / 6]]), 0.3, 200
    E = np.broadcast_to(-np.eye(2) - h / 2 * M, (1, K, 2, 2))
    F = np.broadcast_to(np.eye(2) - h / 2 * M, (1, K, 2, 2))
    before, behind = (np.concatenate([np.eye(2)[None, None], a], axis=1) for a in (E, F))
    r = np.random.default_rng(0).normal(size=(1, K + 1, 2))
    w = way.linked(before, behind, r)[0]
    A = matrix_of(E[0], F[0], np.eye(2), np.eye(2))
    left = [np.abs(A @ y - r[0].ravel()).max() for y in (w.ravel(), np.linalg.solve(A, r[0].ravel()))]
    assert left[0] <= 64 * EPS * np.abs(A).sum(axis=1).max() * np.abs(w).max()
    assert left[1] > 1.0


@pytest.mark.parametrize("place", range(4))
def test_the_rule_equals_its_assembled_matrix(place):
    rng = np.random.default_rng(place)
    rule, system = registry["ddx.twopoint"], linear_systems("ddx", rng)[place]
    for kind in rule.structures:
        shape = (len(system.r) + system.behind, system.r.shape[-1])
        Gs = tuple(random_G(kind, shape, rng) for _ in range(system.count))
        A = assembled(rule, Gs, system.r, shift=system.shift, **system.where)
        for matrix, found in ((A, rule.solve), (A.T, rule.transpose)):
            expected = np.linalg.solve(matrix, system.r.ravel())
            off = np.abs(found(Gs, system.r, **system.where).ravel() - expected).max()
            assert off <= 64 * EPS * np.linalg.cond(A) * np.abs(expected).max()


def test_the_rule_keeps_what_it_claims():
    report = check_inverse("ddx.twopoint")
    assert report["independent of G"].holds
    assert report["order"].holds
    assert report["transpose"].holds


@pytest.mark.parametrize("kind", ends.ENDS)
def test_every_library_finds_the_same(lib, kind):
    if lib.is_jax and kind not in ("coupled", "function"):
        pytest.skip("two of the four are enough to compile")
    sol = solved(ends.manufactured(lib.asarray, graded(30), kind, 2), lib.asarray)
    expected = solved(ends.manufactured(np.asarray, graded(30), kind, 2))
    assert int(lib.to_numpy(sol.status)) == 0
    for found, known in ((sol.y, expected.y), (sol.y_corrected, expected.y_corrected)):
        np.testing.assert_allclose(lib.to_numpy(found), known, rtol=0, atol=1e-12 * np.abs(known).max())


def first_order(equation):
    """Return u'' = equation(u, u', s, params) as a system."""

    def f(u, x, params):
        right = equation(u[..., 0], u[..., 1], x["s"][..., 0], params)
        return ds.array_namespace(u).stack([u[..., 1], right], axis=-1)

    return f


def values(left, right):
    return ds.Coupled(LEFT, RIGHT, np.array([left, right]))


def by_scipy(equation, s, left, right, guess):
    from scipy.integrate import solve_bvp

    def rate(s, y):
        return np.stack([y[1], equation(y[0], y[1], s, None)])

    other = solve_bvp(rate, lambda a, b: np.array([a[0] - left, b[0] - right]), s, guess.T, tol=1e-10, max_nodes=100000)
    assert other.success
    return other.sol(s).T


def test_troesch():
    """u'' = 5 sinh(5 u), u(0) = 0, u(1) = 1; u'(0) = 0.04575046140632 and u'(1) = 12.1004954538 (Roberts, Shipman)."""
    s = 1.0 - (1.0 - np.linspace(0.0, 1.0, 801)) ** 2
    problem = ds.TwoPointProblem(
        first_order(lambda u, v, s, p: p * ds.array_namespace(u).sinh(p * u)), s, values(0.0, 1.0), params=5.0
    )
    sol = ds.solve(problem, np.stack([s, 0.0 * s + 1.0], axis=-1))
    assert sol.y[0, 1] == pytest.approx(0.04575046140632, rel=1e-4)
    assert sol.y_corrected[0, 1] == pytest.approx(0.04575046140632, rel=1e-7)
