"""<c, S d> = <S^T c, d> for every way to run the recurrence, on the libraries that it runs on."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.scans.test_scans import KINDS, convert, draw, need, to_numpy

from deersolve.linalg.scans import affine_scan, affine_scan_transposed, ways

WAYS = [("numpy", way) for way in ("sequential", "blelloch", "lapack", "numba")]
WAYS += [("torch", "sequential"), ("torch", "blelloch"), ("jax", "lax"), ("jax", "associative")]
SHAPES = [(2, (1, 3)), (3, (5,)), (7, (1,)), (8, (2, 5))]  # T and lags; with T below a lag, it is not used


def test_every_way_is_in_the_table():
    assert {way for _, way in WAYS} == set(ways.keys()) - {"cuda"}  # that one: test_cuda.py


@functools.cache
def both(library, way, kind, lags):
    """Return S d and S^T c as one function of arrays, compiled where that makes many draws cheap."""

    def run(values, c, d):
        As = tuple(KINDS[kind](v) for v in values)
        return affine_scan(As, lags, d, way=way), affine_scan_transposed(As, lags, c, way=way)

    return pytest.importorskip("jax").jit(run) if library == "jax" else run


@pytest.mark.parametrize(("T", "lags"), SHAPES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("library", "way"), WAYS)
@given(seed=st.integers(0, 2**32 - 1))
@pytest.mark.cases_backend("jax")
def test_adjoint_identity(library, way, kind, T, lags, seed):
    """The coefficients are contractive and the products short: a few hundred operations, each right to eps."""
    need(way)
    As, d = draw(seed, kind, (2,), T, 2, lags)
    c = np.random.default_rng(seed + 1).normal(size=d.shape)
    values = tuple(A.values for A in As)
    Sd, Stc = map(to_numpy, both(library, way, kind, lags)(*convert(library, (values, c, d))))
    size = np.linalg.norm(c) * np.linalg.norm(Sd) + np.linalg.norm(Stc) * np.linalg.norm(d)
    assert abs((c * Sd).sum() - (Stc * d).sum()) <= 1e-13 * size
