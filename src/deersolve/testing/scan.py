"""check_scan: a way to run the affine recurrence against the loop."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ..backends import backend_of
from ..backends.namespace import Array, array_namespace
from ..linalg.scans import Way, affine_scan, affine_scan_transposed, ways
from ..linalg.structure import Dense, Diagonal
from .backend import asarray_of, numbers_of
from .report import Report

KINDS = {"diagonal": Diagonal, "dense": Dense}
MOST = 1e3  # in units of eps, of recurrences that contract


@dataclasses.dataclass(frozen=True)
class _Case:
    """A recurrence to be drawn: shapes of batch, of the batch of A, and the rest."""

    name: str
    lags: tuple[int, ...] = (1,)
    T: int = 23
    n: int = 3
    batch: tuple[int, ...] = ()
    batch_of_A: tuple[int, ...] | None = None
    dtype: str = "float64"
    is_transposed: bool = False


CASES = (
    _Case("one lag"),
    _Case("n = 1", n=1),
    _Case("a lag of 3", (3,)),
    _Case("lags 1 and 3", (1, 3)),
    _Case("lags 2 and 3, T = 5", (2, 3), T=5),
    _Case("T = 1", T=1),
    _Case("T = 2", T=2),
    _Case("T = 1000", T=1000),
    _Case("a batch", batch=(2, 3)),
    _Case("A for all of a batch", batch=(2, 3), batch_of_A=(1, 1)),
    _Case("A for a part of a batch", (1, 3), batch=(2, 3), batch_of_A=(2, 1)),
    _Case("float32", batch=(2,), dtype="float32"),
    _Case("transposed", is_transposed=True),
    _Case("transposed, lags 1 and 3, a batch", (1, 3), batch=(2,), is_transposed=True),
)


def check_scan(scan: str | Way, *, libraries: tuple[str, ...] = ("numpy",), seed: int = 0) -> Report:
    """Check that a scan solves ``y_i = sum_p A_p[i - k_p] y_{i-k_p} + b_i``.

    Parameters
    ----------
    scan : str or callable
        A name in ``deersolve.linalg.scans.ways``, or a function ``(As, lags, b) -> y``.
    libraries : tuple of str
        The backends whose arrays it is for: "numpy", "torch", "jax", "cupy", "generic" (array-api-strict). On JAX it is
        compiled, as in :func:`~deersolve.solve`.
    seed : int
        Of the random recurrences, which contract.

    Returns
    -------
    Report
        For each library, kind of A (dense and diagonal) and case: one and several lags, T = 1, 2, 5 and 1000, batches,
        A of all or of a part of a batch, float32, and the transposed recurrence: the largest difference from the loop
        in float64, relative to the largest y and in units of eps, at most 1e3; infinite if an argument was changed.

    Raises
    ------
    CheckFailure
        If it does something else in a case.
    UnknownKeyError
        If there is no scan of that name.

    Examples
    --------
    >>> from deersolve.testing import check_scan
    >>> check_scan("sequential").failed
    []
    """
    if isinstance(scan, str):
        ways.check(scan)
    report = Report(f"the scan {scan if isinstance(scan, str) else getattr(scan, '__name__', scan)!r}")
    for library in libraries:
        asarray = asarray_of(library)
        for kind in KINDS:
            for case in CASES:
                name = f"{case.name} [{kind}, {library}]"
                report.below(name, partial(_off, scan, case, kind, asarray, np.random.default_rng(seed)), MOST)
    return report.finish()


def _off(scan: str | Way, case: _Case, kind: str, asarray: Callable[[Any], Array], rng: np.random.Generator) -> float:
    """Return the difference from the loop in units of eps, infinite if an argument was changed."""
    batch = case.batch if case.batch_of_A is None else case.batch_of_A
    tail = (case.n, case.n) if kind == "dense" else (case.n,)
    drawn = [rng.uniform(-0.9, 0.9, (*batch, case.T, *tail)) / math.prod(tail[1:]) for _ in case.lags]
    given = [a.astype(case.dtype) for a in (*drawn, rng.normal(size=(*case.batch, case.T, case.n)))]
    *values, b = map(asarray, given)
    before = [np.array(numbers_of(a)) for a in (*values, b)]
    run = affine_scan_transposed if case.is_transposed else affine_scan

    def scanned(*arrays: Array) -> Array:
        *As, b = arrays
        return run(tuple(map(KINDS[kind], As)), case.lags, b, way=scan)

    y = numbers_of(backend_of(b).compiled(scanned)(*values, b))
    full = [KINDS[kind](a.astype(float)).to_dense() for a in before[:-1]]
    expected = _loop(full, case, before[-1].astype(float))
    if y.shape != expected.shape:
        raise AssertionError(f"expected shape {expected.shape}; received {y.shape}")
    if any(np.any(numbers_of(new) != old) for new, old in zip((*values, b), before, strict=True)):
        raise AssertionError("expected As and b as they were; received others: the scan writes to them")
    eps = float(array_namespace(b).finfo(b.dtype).eps)
    return float(np.abs(y - expected).max() / np.abs(expected).max()) / eps


def _loop(As: list[Any], case: _Case, b: Any) -> Any:
    """Return y of the recurrence, or l of ``l_i = b_i + sum_p A_{p,i+k_p}^T l_{i+k_p}``, point by point."""
    y, step, product = b.copy(), -1 if case.is_transposed else 1, "...cr" if case.is_transposed else "...rc"
    for i in range(case.T)[::step]:
        for A, k in zip(As, case.lags, strict=True):
            other = i - step * k
            if 0 <= other < case.T:
                full = A[..., max(i, other), :, :]
                y[..., i, :] += np.einsum(f"{product},...c->...r", full, y[..., other, :])
    return y
