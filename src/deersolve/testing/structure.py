"""check_structure: a structure of G against the matrices that its ``to_dense()`` returns."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ..backends import backend_of
from ..backends.trees import tree_leaves, tree_map
from ..linalg.structure import Dense, Structure
from .report import Report

MOST = 1e3  # in units of eps
TINY = 1e-300  # what the differences of zeros are relative to


def check_structure(structure: Structure, *, seed: int = 0) -> Report:
    """Check all that is asked of a structure of G.

    Parameters
    ----------
    structure : Structure
        An example on a grid of at least one axis, of any library.
    seed : int
        Of the vectors that it is multiplied with.

    Returns
    -------
    Report
        Differences from the matrices of ``to_dense()``, relative to the largest entry and in units of eps, at most 1e3:
        "apply", also of vectors of a batch, "mT", "neg", "diagonal", "shifted", "matmul" with itself and with matrices,
        "in_blocks" of each size that divides n, "map" of what cuts and turns the grid, and of a mask. "abs" is how
        much ``abs(G) @ v``, v >= 0, is less than ``|G| v``, and "abs, excess" how much more it is, as it may: it stands
        for the size of the terms of ``G @ v``. "tree": it is a record of arrays, as JAX needs it.

    Raises
    ------
    CheckFailure
        If something is different.

    Examples
    --------
    >>> import numpy as np
    >>> import deersolve as ds
    >>> from deersolve.testing import check_structure
    >>> check_structure(ds.Diagonal(np.ones((5, 3)))).failed
    []
    """
    check = _Checks(structure, np.random.default_rng(seed))
    report = Report(f"the structure {type(structure).__name__}")
    report.below("shape", check.shape, 0)
    if report.failed:
        return report.finish()
    for claim in (check.apply, check.mT, check.neg, check.diagonal, check.shifted, check.matmul, check.map, check.abs):
        report.below(claim.__name__, claim, MOST)
    for size in (k for k in range(1, structure.n + 1) if structure.n % k == 0):
        report.below(f"in_blocks({size})", partial(check.in_blocks, size), MOST)
    report.note("abs, excess", check.excess)
    report.below("tree", check.tree, 0)
    return report.finish()


@dataclasses.dataclass
class _Checks:
    """Each method returns a difference from the matrices, in units of eps."""

    G: Structure
    rng: np.random.Generator

    def __post_init__(self) -> None:
        self.backend = backend_of(self.G.values)
        self.dense = self.numbers(self.G.to_dense())
        self.eps = float(np.finfo(self.dense.dtype).eps)

    def numbers(self, array: Any) -> Any:
        return np.asarray(self.backend.to_numpy(array))

    def drawn(self, *batch: int) -> tuple[Any, Any]:
        """Return vectors (*batch, *S, n), in NumPy and in the library."""
        v = self.rng.normal(size=(*batch, *self.dense.shape[:-1])).astype(self.dense.dtype)
        return v, self.backend.convert(v, self.G.values, self.G.values.dtype)

    def off(self, found: Any, expected: Any) -> float:
        found = self.numbers(found)
        if found.shape != expected.shape:
            raise AssertionError(f"expected shape {expected.shape}; received {found.shape}")
        return float(np.abs(found - expected).max() / max(np.abs(expected).max(), TINY)) / self.eps

    def product(self, matrices: Any, v: Any) -> Any:
        return (matrices @ v[..., None])[..., 0]

    def shape(self) -> float:
        expected = (*self.G.places, self.G.n, self.G.n)
        if self.dense.shape != expected or not self.G.places:
            raise AssertionError(f"expected to_dense() of shape {expected}, a grid first; received {self.dense.shape}")
        return 0.0

    def apply(self) -> float:
        return max(self.off(self.G @ v, self.product(self.dense, w)) for w, v in (self.drawn(), self.drawn(2)))

    def mT(self) -> float:
        w, v = self.drawn()
        turned = np.matrix_transpose(self.dense)
        return max(self.off(self.G.mT.to_dense(), turned), self.off(self.G.mT @ v, self.product(turned, w)))

    def neg(self) -> float:
        w, v = self.drawn()
        return max(self.off((-self.G).to_dense(), -self.dense), self.off(-self.G @ v, -self.product(self.dense, w)))

    def diagonal(self) -> float:
        return self.off(self.G.diagonal(), np.diagonal(self.dense, axis1=-2, axis2=-1))

    def shifted(self) -> float:
        w, v = self.drawn()
        return self.off(self.G.shifted(v).to_dense(), self.dense + w[..., None] * np.eye(self.G.n))

    def matmul(self) -> float:
        other = Dense(self.G.to_dense())
        pairs = [(self.G, self.G), (self.G, other), (other, self.G), (self.G, self.G.mT)]
        return max(
            self.off((a @ b).to_dense(), self.numbers(a.to_dense()) @ self.numbers(b.to_dense())) for a, b in pairs
        )

    def map(self) -> float:
        axis, size = len(self.G.places) - 1, self.G.places[-1]
        inner = (slice(None),) * self.G.tail
        cases: list[tuple[Callable[[Any], Any], Any]] = [
            (lambda v: v[(..., slice(size // 2, None), *inner)], np.take(self.dense, range(size // 2, size), axis)),
            (lambda v: v * 0, self.dense * 0),
        ]
        return max(self.off(self.G.map(change).to_dense(), expected) for change, expected in cases)

    def sizes(self) -> tuple[Any, Any]:
        w, v = self.drawn()
        return self.numbers(abs(self.G) @ abs(v)), self.product(np.abs(self.dense), np.abs(w))

    def abs(self) -> float:
        found, expected = self.sizes()
        return self.off(self.backend.convert(np.minimum(found, expected), self.G.values, self.G.values.dtype), expected)

    def excess(self) -> float:
        found, expected = self.sizes()
        return float(np.max(found - expected) / max(np.max(expected), TINY))

    def in_blocks(self, size: int) -> float:
        starts = range(0, self.G.n, size)
        blocks = np.stack([self.dense[..., i : i + size, i : i + size] for i in starts], axis=-3)
        return self.off(self.G.in_blocks(size).values, blocks)

    def tree(self) -> float:
        made = tree_map(lambda leaf: leaf, self.G)
        if made is self.G or any(isinstance(leaf, Structure) for leaf in tree_leaves(self.G)):
            name = type(self.G).__name__
            raise AssertionError(f"expected a record, @deersolve.backends.trees.record above {name}; received a leaf")
        return self.off(made.to_dense(), self.dense)
