"""Stages solved along the lines of both axes: against SciPy's sparse LU, compiled and not, element by element."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import coo_array, eye_array
from scipy.sparse.linalg import spsolve

from deersolve.inverses import line_by_line
from deersolve.inverses.line_by_line import Stages
from deersolve.linalg.banded import compiled_lines
from deersolve.linalg.banded.lines import Lines

EPS = np.finfo(np.float64).eps
AXES = (-3, -2)
CASES = {
    "rings of three": ((6, 4), (True, True), (3, 3), 1, ()),
    "rings of five": ((6, 8), (True, True), (5, 5), 1, ()),
    "open, of three and five": ((5, 7), (False, False), (3, 5), 2, ()),
    "one of each": ((4, 5), (True, False), (5, 3), 3, ()),
    "a batch": ((6, 5), (True, False), (5, 5), 2, (2, 1)),
    "one point": ((1, 6), (False, True), (3, 5), 1, ()),
}
K = 3


def stages_like(name):
    """Return K stages with random blocks, which dominate on the diagonal but for one that needs row exchanges."""
    sizes, rings, counts, n, batch = CASES[name]
    rng = np.random.default_rng(sum(map(ord, name)))

    def lines(k):
        N, L = sizes[k], sizes[1 - k]
        blocks = [0.2 * rng.normal(size=(*batch, L, K, N, n, n)) for _ in range(counts[k])]
        blocks[counts[k] // 2] += np.eye(n) * (1 + rng.random((*batch, L, K, N, 1, 1)))
        if len(blocks) == 5 and not rings[k]:  # as they are beyond the ends
            blocks[0][..., :2, :, :], blocks[1][..., :1, :, :] = 0.0, 0.0
            blocks[4][..., N - 2 :, :, :], blocks[3][..., N - 1 :, :, :] = 0.0, 0.0
        return Lines(tuple(blocks), AXES[k], rings[k])

    left = 0.5 + rng.random((*batch, K, *sizes, n))
    right = 0.5 + rng.random((*batch, 1, *sizes, n))
    return Stages(lines(0), lines(1), left, right), rng.normal(size=(*batch, *sizes, n))


def matrix_of(lines, at, k, sizes, n):
    """Return the matrix of a stage of one element, put together entry by entry."""
    rows, columns, values = [], [], []
    N, L = (sizes[0], sizes[1]) if lines.axis == -3 else (sizes[1], sizes[0])
    number = np.arange(sizes[0] * sizes[1]).reshape(sizes)
    for line in range(L):
        points = number[:, line] if lines.axis == -3 else number[line]
        for place, block in enumerate(lines.blocks):
            for i in range(N):
                j = i + place - len(lines.blocks) // 2
                if not lines.is_ring and not 0 <= j < N:
                    continue
                for a in range(n):
                    for c in range(n):
                        rows.append(points[i] * n + a)
                        columns.append(points[j % N] * n + c)
                        values.append(block[(*at, line, k, i, a, c)])
    size = sizes[0] * sizes[1] * n
    return coo_array((values, (rows, columns)), shape=(size, size)).tocsc()


def whole(stages, at, k, shape):
    """Return the matrix of a stage of one element."""
    *sizes, n = shape
    F, S = (matrix_of(lines, at, k, sizes, n) for lines in (stages.first, stages.second))
    left, right = stages.left[(*at, k)].ravel(), stages.right[(*at, 0)].ravel()
    return (F + S - eye_array(F.shape[0])).multiply(left[:, None]).multiply(right).tocsc()


@pytest.fixture(params=["compiled", "plain"])
def route(request, monkeypatch):
    if request.param == "plain":
        monkeypatch.setattr(line_by_line.compiled_lines, "solver", lambda *_: None)
    else:
        pytest.importorskip("numba")
    return request.param


@pytest.mark.parametrize("name", CASES)
def test_a_solve_is_that_of_the_sparse_matrix(name, route):
    stages, r = stages_like(name)
    shape, batch = r.shape[-3:], r.shape[:-3]
    for made, way in ((stages, lambda A: A), (stages.transposed, lambda A: A.T.tocsc())):
        solve = made.solver(r)
        for k in (0, 2, 1):
            found = solve(k, r, None)
            for at in np.ndindex(batch):
                A = way(whole(stages, at, k, shape))
                expected = spsolve(A, r[at].ravel())
                bound = 256 * EPS * np.linalg.cond(A.toarray()) * np.abs(expected).max()
                assert np.abs(found[at].ravel() - expected).max() <= bound


def test_a_tolerance_is_kept_by_each_element(route):
    stages, r = stages_like("a batch")
    tol = np.array([1e-1, 1e-6]).reshape(2, 1, 1, 1, 1)
    found = stages.solver(r)(1, r, tol)
    for b in range(2):
        rest = r[b, 0].ravel() - whole(stages, (b, 0), 1, r.shape[-3:]) @ found[b, 0].ravel()
        share = np.linalg.norm(rest) / np.linalg.norm(r[b, 0])
        assert share <= tol[b].item()
        assert share > 1e-5 * tol[b].item()  # and no more is done


def test_compiled_and_plain_iterations_are_the_same():
    pytest.importorskip("numba")
    stages, r = stages_like("a batch")
    for tol in (1e-1, 1e-4):
        tols = np.full((2, 1, 1, 1, 1), tol)
        compiled, plain = stages.solver(r)(0, r, tols), stages._plain(r)(0, r, tols)
        np.testing.assert_allclose(compiled, plain, rtol=0, atol=1e-13)


@pytest.mark.parametrize("lost", ["singular", "NaN", "infinite"])
def test_an_element_without_a_solution_is_lost_alone(lost, route):
    stages, r = stages_like("a batch")
    if lost == "singular":
        for block in stages.first.blocks:
            block[1] = 0.0
    else:
        stages.first.blocks[1][1, 0, 2, 0, 3] = np.nan if lost == "NaN" else np.inf
    with np.errstate(all="ignore"):
        found = stages.solver(r)(0, r, None)
    assert np.isnan(found[1]).all()
    expected = spsolve(whole(stages, (0, 0), 0, r.shape[-3:]), r[0, 0].ravel())
    np.testing.assert_allclose(found[0, 0].ravel(), expected, rtol=0, atol=1e-12)


def test_of_nothing_it_is_nothing(route):
    stages, r = stages_like("rings of five")
    solve = stages.solver(r)
    for tol in (None, np.full((1, 1, 1), 0.1)):
        np.testing.assert_array_equal(solve(0, 0 * r, tol), 0 * r)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_is_kept(dtype, route):
    stages, r = stages_like("open, of three and five")
    single = [
        Lines(tuple(b.astype(dtype) for b in part.blocks), part.axis, part.is_ring)
        for part in (stages.first, stages.second)
    ]
    made = Stages(*single, stages.left.astype(dtype), stages.right.astype(dtype)).solver(r.astype(dtype))
    found, expected = made(0, r.astype(dtype), None), stages.solver(r)(0, r, None)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e3 * np.finfo(dtype).eps)


def test_numba_is_not_needed(monkeypatch):
    monkeypatch.setattr(compiled_lines, "is_installed", lambda module: False)
    stages, r = stages_like("one of each")
    expected = spsolve(whole(stages, (), 0, r.shape[-3:]), r.ravel())
    np.testing.assert_allclose(stages.solver(r)(0, r, None).ravel(), expected, rtol=0, atol=1e-11)
