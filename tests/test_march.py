"""The compiled march over levels: against the matrix of each stage, and where it must not be trusted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import deersolve as ds
from deersolve.linalg.banded import compiled_march as bands

pytest.importorskip("numba")
COARSE = pytest.mark.filterwarnings("ignore::deersolve.DiscretisationWarning")  # of a coarse grid, and rightly
TABLEAUS = {"one stage": ((0.5, 0.5),), "two stages": ((0.3, 0.3), (0.35, 0.35, 0.3))}


def system(seed, batch, J, m, N, n, dominance):
    rng = np.random.default_rng(seed)
    blocks = [rng.normal(size=(*batch, J, m, N, n, n)) for _ in range(3)]
    blocks[1] = blocks[1] + dominance * n * np.eye(n)
    rows, units = rng.normal(size=(*batch, J, m, N, n)), rng.uniform(0.1, 1.0, size=(*batch, J, m, N, n))
    units[rng.uniform(size=units.shape) < 0.2] = 0.0
    h = rng.uniform(0.1, 1.0, size=(*batch, J)) * (rng.uniform(size=J) < 0.8)
    start, slope = rng.normal(size=(2, *batch, N, n))
    return tuple(blocks), rows, units, h, start, slope


def matrix(lower, middle, upper, is_ring):
    N, n = middle.shape[:2]
    A = np.zeros((N, n, N, n))
    for i in range(N):
        A[i, :, i] += middle[i]
        if i > 0 or is_ring:
            A[i, :, (i - 1) % N] += lower[i]
        if i < N - 1 or is_ring:
            A[i, :, (i + 1) % N] += upper[i]
    return A.reshape(N * n, N * n)


def by_matrices(blocks, rows, units, h, tableau, start, slope, is_ring):
    """The definition, for one element."""
    out = np.empty_like(rows)
    for i in range(rows.shape[0]):
        changes = []
        for k, (first, *rest) in enumerate(tableau):
            known = start + h[i] * first * slope + sum(a * c for a, c in zip(rest, changes, strict=False))
            right = rows[i, k] + units[i, k] * known
            A = matrix(*(b[i, k] for b in blocks), is_ring)
            out[i, k] = np.linalg.solve(A, right.ravel()).reshape(right.shape)
            own = np.divide(right, units[i, k], out=right.copy(), where=units[i, k] > 0)
            changes.append((out[i, k] - own) / rest[k])
        start, slope = out[i, -1], changes[-1] / (h[i] if h[i] else 1.0)
    return out


@settings(max_examples=30)
@given(
    seed=st.integers(0, 10_000),
    batch=st.sampled_from([(), (3,), (2, 2)]),
    n=st.integers(1, 3),
    N=st.integers(3, 7),
    J=st.integers(1, 3),
    name=st.sampled_from(sorted(TABLEAUS)),
    is_ring=st.booleans(),
)
def test_every_stage_solves_its_equation(seed, batch, n, N, J, name, is_ring):
    tableau = TABLEAUS[name]
    blocks, rows, units, h, start, slope = system(seed, batch, J, len(tableau), N, n, 6.0)
    assert bands.takes(rows, start, slope, h, *blocks)
    found, trusted = bands.march(blocks, rows, units, h, tableau, start, slope, is_ring)
    assert trusted.shape == batch
    assert trusted.all()
    for place in np.ndindex(*batch):
        expected = by_matrices(
            tuple(b[place] for b in blocks), rows[place], units[place], h[place], tableau, start[place], slope[place],
            is_ring,
        )  # fmt: skip
        # Diagonally dominant, so that each of the J m stages is good to N n roundoffs of what it is made from.
        assert np.abs(found[place] - expected).max() <= 1e3 * N * n * 2.0**-52 * (1 + np.abs(expected).max())


def test_blocks_may_be_shared_by_levels_and_elements():
    tableau = TABLEAUS["two stages"]
    blocks, rows, units, h, start, slope = system(0, (3,), 2, 2, 5, 2, 6.0)
    shared = tuple(b[:1, :1] for b in blocks)
    full = tuple(np.broadcast_to(b, blocks[0].shape) for b in shared)
    found = [bands.march(b, rows, units, h, tableau, start, slope, True)[0] for b in (shared, full)]
    np.testing.assert_array_equal(*found)


def test_a_large_batch_on_several_threads_is_the_same():
    tableau, (blocks, rows, units, h, start, slope) = TABLEAUS["one stage"], system(1, (40,), 4, 1, 300, 1, 6.0)
    assert rows.size > 2 * bands.APART
    found, _ = bands.march(blocks, rows, units, h, tableau, start, slope, False)
    for k in (0, 19, 39):
        one, _ = bands.march(tuple(b[k] for b in blocks), rows[k], units[k], h[k], tableau, start[k], slope[k], False)
        np.testing.assert_array_equal(found[k], one)


@pytest.mark.parametrize("size", [1e-9, 0.0, np.nan])
def test_a_small_pivot_is_not_trusted_and_touches_no_other(size):
    """Rows of [0 1; 1 0] in pairs: regular, but elimination in order has a pivot of that size."""
    N = 6
    one, even = np.ones((1, 1, N, 1, 1)), (np.arange(N) % 2 == 0)[:, None, None]
    hard = [np.where(even, 0.0, one), size * one, np.where(even, one, 0.0)]
    blocks = tuple(np.stack([b, e]) for b, e in zip(hard, (0 * one, one, 0 * one), strict=True))
    rows, ends = np.ones((2, 1, 1, N, 1)), np.zeros((2, N, 1))
    found, trusted = bands.march(blocks, rows, 0 * rows, np.ones((2, 1)), ((0.5, 0.5),), ends, ends, False)
    assert trusted.tolist() == [False, True]
    np.testing.assert_array_equal(found[1], rows[1])


@COARSE
@pytest.mark.parametrize("f", ["jump", "grows"])
def test_a_solve_falls_back_on_pivots(f, monkeypatch):
    """The elimination is refused: the answer is that of LAPACK's, to roundoff."""
    s, t = np.linspace(0.0, 1.0, 12), np.linspace(0.0, 0.1, 5)
    right = {"jump": lambda u, u_s, x, p: 30.0 * u, "grows": lambda u, u_s, x, p: u * u - u_s}[f]
    ends = {"left": ds.Dirichlet(), "right": ds.Neumann()}
    problem = ds.Evolution1D(right, t, s, np.sin(np.pi * s)[:, None], 0.1, **ends)
    expected = ds.solve(problem)
    monkeypatch.setattr(bands, "LARGEST", 0.0)
    found = ds.solve(problem)
    assert np.abs(found.y - expected.y).max() <= 1e3 * 2.0**-52 * np.abs(expected.y).max()
