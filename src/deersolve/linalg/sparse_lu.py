"""Linear equations in a box whose rows couple the neighbours along each axis, by a sparse LU on the host."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

from ..backends import backend_of
from ..backends.namespace import Array

PIVOT = 0.1  # of the largest entry of a column: the least that the diagonal must be to stay the pivot
PANEL = 8  # columns that SuperLU works on at once; more than its own 20 overruns its work space
LEAF = 8  # points that are not cut further
SWEEPS = 5  # over the components, in search of their units
SMALLEST = 1e-290  # terms below lose digits to underflow: no solve is better
PASSES = 5  # solves for what is left
ENOUGH = 4  # in units of eps: what is left at roundoff
FAR = 1000  # the same, above which nothing has been solved
REGULAR = 1e-3  # a condition, in units of 1 / eps, that a bound is enough for
KEPT = 2**30  # bytes of factors that are kept, where there is more than one matrix

Kept = dict[int, "Factors"]
"""The last factors of each batch element."""


def solve(entries: Array, r: Array, rings: tuple[bool, ...], kept: Kept | None, transposed: bool = False) -> Array:
    """Return x with ``A x = r``, or with ``A^T x = r``, at roundoff of ``|A| |x| + |r|``.

    Parameters
    ----------
    entries : array, shape (*B, 1 + 2 d, *R, n, n) or (*B, 1 + 2 d, *R, n, 1)
        The rows of A on d axes R: the weights of the n components at the point itself, then before and behind it along
        each axis; of only the same component in the second form.
    r : array, shape (*B, *R, n)
    rings : tuple of bool
        Whether the first point of an axis is behind its last; else those entries are not looked at.
    kept : dict or None
        Where factors are kept, for the same entries once more.
    transposed : bool

    Returns
    -------
    array
        NaN for an element whose matrix is singular to working precision, or not finite.
    """
    return backend_of(r).on_host(functools.partial(_each, rings, kept, transposed), r, entries, r)


def _each(rings: tuple[bool, ...], kept: Kept | None, transposed: bool, entries: Any, r: Any) -> Any:
    """Solve for one batch element after the other, of NumPy arrays."""
    import numpy as np

    d = len(rings)
    batch, sizes, n = r.shape[: -d - 1], r.shape[-d - 1 : -1], r.shape[-1]
    pattern, own = pattern_of(sizes, n, entries.shape[-1], rings), entries.shape[-d - 3 :]
    values = np.broadcast_to(entries, (*batch, *own)).reshape(-1, *own)
    x = np.empty((values.shape[0], math.prod(sizes) * n), r.dtype)
    for k, b in enumerate(r.reshape(x.shape)):
        x[k] = _factors(pattern, values[k], kept, k).solve(b, transposed)
    return x.reshape(r.shape)


def _factors(pattern: Pattern, values: Any, kept: Kept | None, k: int) -> Factors:
    """Return the factors that are kept if they are those of the same matrix, else new ones."""
    import numpy as np

    old = None if kept is None else kept.pop(k, None)
    found = old if old is not None and np.array_equal(old.values, values) else Factors(pattern, values)
    if kept is not None and sum(f.size for f in kept.values()) + found.size * (k > 0) <= KEPT:
        kept[k] = found
    return found


class Factors:
    """The LU of a matrix in the order of a pattern, its components in units of like size, its rows as large as 1."""

    def __init__(self, pattern: Pattern, values: Any) -> None:
        import numpy as np
        from scipy.sparse import csc_array

        self.pattern, self.values, self.lu, self.size = pattern, values, None, 0
        if not np.isfinite(values).all():
            return
        self.scale = _scales(values)
        data = values if self.scale is None else values / self.scale[:, None] * self.scale
        data, count = data.reshape(-1)[pattern.take], len(pattern.order)
        largest = np.zeros(count, data.dtype)
        np.maximum.at(largest, pattern.indices, np.abs(data))
        self.rows = np.where(largest > 0, largest, 1.0)
        self.A = csc_array((data / self.rows[pattern.indices], pattern.indices, pattern.starts), shape=(count, count))
        self.sizes = abs(self.A)
        self.eps = float(np.finfo(values.dtype).eps)
        lu = _lu(self.A)
        if lu is not None and not is_singular(lu, self.eps * self.sizes.sum(axis=0).max()):
            self.lu, self.size = lu, int(lu.nnz) * (values.dtype.itemsize + 4)

    def solve(self, b: Any, transposed: bool) -> Any:
        """Return x, by solving for what is left."""
        import numpy as np

        if self.lu is None:
            return np.full_like(b, np.nan)
        order = self.pattern.order
        A, sizes, way = (self.A.T, self.sizes.T, "T") if transposed else (self.A, self.sizes, "N")
        scale = 1.0 if self.scale is None else np.resize(self.scale if not transposed else 1 / self.scale, len(b))
        b = (b / scale)[order]
        b = b if transposed else b / self.rows
        x = refined(self.lu, A, sizes, b, way)
        whole = np.empty_like(b)
        whole[order] = x / self.rows if transposed else x
        return whole * scale


def refined(lu: Any, A: Any, sizes: Any, b: Any, way: str) -> Any:
    """Return x with ``A x = b`` at roundoff of ``sizes |x| + |b|``, ``sizes`` |A|, by solving for what is left, or NaN.

    ``lu`` has those of A for the way "N", and for "T" those of the matrix that A is the transpose of.
    """
    import numpy as np

    x, rest, off, eps = np.zeros_like(b), b, np.inf, float(np.finfo(b.dtype).eps)
    for _ in range(PASSES):
        x = x + lu.solve(rest, way)
        rest = b - A @ x
        size = np.max(sizes @ np.abs(x) + np.abs(b))
        off = np.max(np.abs(rest)) / size if size > SMALLEST else 0.0
        if not off > ENOUGH * eps:
            break
    return x if off <= FAR * eps else np.full_like(x, np.nan)


def _lu(A: Any) -> Any:
    """Return SuperLU's factors in the order as it is, or None where a pivot is exactly zero.

    Raises
    ------
    MemoryError
        If there is no room for them, which SuperLU says without a word.
    """
    from scipy.sparse.linalg import splu

    try:
        return splu(A, permc_spec="NATURAL", diag_pivot_thresh=PIVOT, panel_size=PANEL)
    except RuntimeError as error:
        if "singular" not in str(error):
            raise
        return None
    except MemoryError as error:
        text = f"no room for the sparse LU of {A.shape[0]} unknowns; 'laplace2d.krylov' needs none."
        raise MemoryError(text) from error


def is_singular(lu: Any, size: Any) -> bool:
    """Return whether the condition number is above 1 / eps: one step of Hager's method in the 1-norm, ``size`` eps |A|.

    References
    ----------
    W. W. Hager, "Condition estimates", SIAM Journal on Scientific and Statistical Computing 5 (1984).
    """
    import numpy as np

    signs = np.where(np.random.default_rng(0).integers(2, size=lu.shape[0]) > 0, 1.0, -1.0).astype(size.dtype)
    x = lu.solve(signs)
    if size * len(x) * np.max(np.abs(x)) < REGULAR:
        return False
    toward = np.where(x < 0, -1.0, 1.0).astype(x.dtype)
    return not size * np.max(np.abs(lu.solve(toward, "T"))) < 1


def _scales(values: Any) -> Any:
    """Return units of the components, powers of two, in which they couple as strongly one way as the other, or None.

    Pivots and the test for singularity then do not depend on the units that were given.

    References
    ----------
    E. E. Osborne, "On pre-conditioning of matrices", Journal of the ACM 7 (1960).
    """
    import numpy as np

    n = values.shape[-2]
    if values.shape[-1] < n or n == 1:
        return None
    sizes = np.abs(values, dtype=np.float64).max(axis=(0, 1, 2)) * (1 - np.eye(n))
    units = np.ones(n)
    for k in np.tile(np.arange(n), SWEEPS):
        to, by = np.max(sizes[k] * units) / units[k], np.max(sizes[:, k] / units) * units[k]
        ratio = np.sqrt(to / by) if to * by > 0 else to or 1 / (by or 1.0)  # one way only: as strongly as on itself
        units[k] *= 2.0 ** np.round(np.log2(ratio))
    return units.astype(values.dtype)


@dataclasses.dataclass(frozen=True)
class Pattern:
    """Where the entries of a matrix are in the format of compressed columns.

    Attributes
    ----------
    order : array of int, shape (X Y n,)
        The unknowns in the order of elimination.
    take : array of int
        The entries, of all flat, column by column.
    indices, starts : array of int
        The row of each, and where each column begins.
    """

    order: Any
    take: Any
    indices: Any
    starts: Any


@functools.lru_cache(maxsize=8)
def pattern_of(sizes: tuple[int, ...], n: int, m: int, rings: tuple[bool, ...]) -> Pattern:
    """Return the pattern of the entries of :func:`solve`, (1 + 2 d, *R, n, m)."""
    import numpy as np

    number, d = np.arange(math.prod(sizes)).reshape(sizes), len(sizes)
    points = dissection(number, rings)
    place = np.argsort(points)
    neighbours = [number, *(np.roll(number, k, axis) for axis in range(d) for k in (1, -1))]
    there = np.ones((1 + 2 * d, *sizes), dtype=bool)
    for axis, is_ring in enumerate(rings):
        np.moveaxis(there[1 + 2 * axis], axis, 0)[0] = is_ring
        np.moveaxis(there[2 + 2 * axis], axis, 0)[-1] = is_ring
    inner = np.arange(n)[:, None]
    full = (1 + 2 * d, *sizes, n, m)
    rows = np.broadcast_to(place[number][..., None, None] * n + inner, full)
    columns = np.broadcast_to(place[np.stack(neighbours)][..., None, None] * n + (inner.T if m == n else inner), full)
    (take,) = np.nonzero(np.broadcast_to(there[..., None, None], full).ravel())
    rows, columns = rows.ravel()[take], columns.ravel()[take]
    by_column = np.lexsort((rows, columns))
    starts = np.concatenate([[0], np.cumsum(np.bincount(columns, minlength=number.size * n))])
    order = (points[:, None] * n + inner.T).ravel()
    return Pattern(order, take[by_column], rows[by_column].astype(np.intc), starts.astype(np.intc))


def dissection(number: Any, rings: tuple[bool, ...]) -> Any:
    """Return the numbers of a box in the order of nested dissection: both halves, then what is between them.

    References
    ----------
    A. George, "Nested dissection of a regular finite element mesh", SIAM Journal on Numerical Analysis 10 (1973).
    """
    import numpy as np

    last: list[Any] = []
    for axis, is_ring in enumerate(rings):
        if is_ring:
            first, rest = np.split(number, [1], axis=axis)
            last, number = [first.ravel(), *last], rest

    def parts(block: Any) -> list[Any]:
        if block.size <= LEAF:
            return [block.ravel()]
        block = np.moveaxis(block, int(np.argmax(block.shape)), 0)
        k = block.shape[0] // 2
        return [*parts(block[:k]), *parts(block[k + 1 :]), block[k].ravel()]

    return np.concatenate([*parts(number), *last])
