"""check_scan and check_structure: the linear algebra of one's own against loops and full matrices in NumPy."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ..backends import backend_of
from ..backends.namespace import Array
from ..linalg.scans import affine_scan, affine_scan_transposed
from ..linalg.structure import Dense, Diagonal, Structure
from .report import Report

CLOSE = 1e3  # in units of eps
CASES = {
    "one lag": ((), 9, (1,)),
    "two lags": ((), 9, (1, 3)),
    "a batch": ((2, 3), 6, (2,)),
    "one point": ((), 1, (1,)),
    "a lag beyond the end": ((3,), 2, (1, 5)),
}
"""Batch shapes, numbers of points and lags."""
Convert = Callable[[Any], Any]


def check_scan(way: str, *, asarray: Convert = np.asarray, dtype: Any = np.float64) -> Report:
    """Check a way to run ``y_i = sum_p A_p[i - k_p] y_{i-k_p} + b_i`` against the loop, dense and diagonal.

    Parameters
    ----------
    way : str
        A name that was registered.
    asarray : callable, optional
        From a NumPy array to one of the library that the way is for.
    dtype : dtype
        Of the arrays; bounds follow it.

    Returns
    -------
    Report
        A row for each kind, lags and batch, "transposed" for the adjoint identity, "arguments" for what is written to
        and "dtype", relative to the largest number and in units of eps, at most 1e3.

    Raises
    ------
    CheckFailure
        If the way does something else.

    Examples
    --------
    >>> from deersolve.testing import check_scan
    >>> check_scan("sequential").failed
    []
    """
    report, rng = Report(f"the scan {way!r}"), np.random.default_rng(0)
    for kind in (Dense, Diagonal):
        for name, (batch, T, lags) in CASES.items():
            shape = (*batch, T, 3)
            full = [rng.normal(size=(*shape, 3), scale=0.3).astype(dtype) for _ in lags]
            As = [A if kind is Dense else np.diagonal(A, axis1=-2, axis2=-1).copy() for A in full]
            b, c = rng.normal(size=(2, *shape)).astype(dtype)
            case = _Case(way, kind, lags, asarray, As)
            report.below(f"{kind.name}, {name}", partial(case.off_loop, b), CLOSE)
            report.below(f"transposed: {kind.name}, {name}", partial(case.off_adjoint, b, c), CLOSE)
    return report.finish()


@dataclasses.dataclass(frozen=True)
class _Case:
    """A recurrence and a way to run it; each method returns a number in units of eps."""

    way: str
    kind: Any
    lags: tuple[int, ...]
    asarray: Convert
    As: list[Array]

    def run(self, scan: Any, b: Array) -> Array:
        """Return what a scan makes of b; raise if it writes to its arguments or returns another dtype."""
        given, right = [self.asarray(A.copy()) for A in self.As], self.asarray(b.copy())
        found = scan(tuple(map(self.kind, given)), self.lags, right, way=self.way)
        if found.dtype != right.dtype:
            raise AssertionError(f"expected {right.dtype}, the dtype of b; received {found.dtype}")
        numpy = backend_of(found).to_numpy
        if any(
            not np.array_equal(np.asarray(numpy(a)), A) for a, A in zip([*given, right], [*self.As, b], strict=True)
        ):
            raise AssertionError("expected A and b to stay as they are; received others: the scan writes to them")
        return np.asarray(numpy(found))

    def off_loop(self, b: Array) -> float:
        """Return how far the scan is from the loop."""
        y, found = b.astype(np.float64), self.run(affine_scan, b)
        for i in range(b.shape[-2]):
            for A, k in zip(self.As, self.lags, strict=True):
                if i >= k:
                    past = y[..., i - k, :]
                    is_full = self.kind is Dense
                    y[..., i, :] += (A[..., i, :, :] @ past[..., None])[..., 0] if is_full else A[..., i, :] * past
        return float(np.abs(found - y).max() / (np.abs(y).max() * np.finfo(b.dtype).eps))

    def off_adjoint(self, b: Array, c: Array) -> float:
        """Return how far ``<c, scan(b)> = <l, b>`` is from holding."""
        ahead, back = c * self.run(affine_scan, b), self.run(affine_scan_transposed, c) * b
        return float(abs(ahead.sum() - back.sum()) / (np.abs(ahead).sum() * np.finfo(b.dtype).eps))


def check_structure(structure: Any, *, n: int = 4, asarray: Convert = np.asarray) -> Report:
    """Check a structure of G against the full matrices that it stands for.

    Parameters
    ----------
    structure : type or choice
        With ``simplify(full)``, as ``Diagonal`` or ``BlockDiagonal.of_size(2)``.
    n : int
        The size of the matrices.
    asarray : callable, optional
        From a NumPy array to one of the library.

    Returns
    -------
    Report
        "simplify" (of what is simple already, nothing is left out), "@", "mT", "diagonal", "negative", "shifted" and
        "abs", which is at least the size of every entry; relative and in units of eps, at most 1e3.

    Raises
    ------
    CheckFailure
        If the structure is not that of its own full matrices.

    Examples
    --------
    >>> from deersolve.linalg.structure import Diagonal
    >>> from deersolve.testing import check_structure
    >>> check_structure(Diagonal).failed
    []
    """
    rng = np.random.default_rng(0)
    G: Structure = structure.simplify(Dense(asarray(rng.normal(size=(2, 5, n, n)))))
    v, w = asarray(rng.normal(size=(2, 5, n))), asarray(rng.normal(size=(2, 5, n)))
    report = Report(f"the structure {structure.name!r}")

    def numpy(a: Any) -> Array:
        return np.asarray(backend_of(a).to_numpy(a))

    full = numpy(G.to_dense())
    rows: dict[str, tuple[Callable[[], Any], Any]] = {
        "simplify": (lambda: structure.simplify(Dense(G.to_dense())).to_dense(), full),
        "@": (lambda: G @ v, (full @ numpy(v)[..., None])[..., 0]),
        "mT": (lambda: G.mT.to_dense(), np.matrix_transpose(full)),
        "diagonal": (lambda: G.diagonal() + 0 * v, np.diagonal(full, axis1=-2, axis2=-1)),
        "negative": (lambda: (-G).to_dense(), -full),
        "shifted": (lambda: G.shifted(w).to_dense(), full + numpy(w)[..., None] * np.eye(n)),
        "abs": (lambda: abs(G).to_dense(), np.abs(full)),
    }
    for name, (made, expected) in rows.items():
        report.below(name, partial(_off, numpy, made, expected, name == "abs"), CLOSE)
    report.below("n", lambda: abs(G.n - n), 0)
    return report.finish()


def _off(numpy: Any, made: Callable[[], Any], expected: Array, is_bound: bool) -> float:
    found = numpy(made())
    if found.shape != expected.shape:
        raise AssertionError(f"expected shape {expected.shape}; received {found.shape}")
    off = np.maximum(expected - found, 0.0) if is_bound else np.abs(found - expected)
    return float(off.max() / ((np.abs(expected).max() or 1.0) * np.finfo(found.dtype).eps))
