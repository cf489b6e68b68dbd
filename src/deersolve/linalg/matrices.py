"""Constant matrices on the points of a grid: read from what a user has, and applied to arrays of any library."""

from __future__ import annotations

import functools
import math
from typing import Any

from ..backends import backend_of
from ..backends.namespace import Array, array_namespace, padded
from ..errors import mismatch
from .host import family, is_traced

FULL = 0.25  # of all entries of a matrix: from so many on it is multiplied as a full one
COLUMNS = 64  # unit vectors that a linear operator is given at once
KINDS = "a matrix (NumPy, SciPy sparse), a scipy LinearOperator or a linear function of an array"
SAME = 1e-4  # how far a function may be from its own matrix, relative to the largest number


class Matrix:
    """A matrix of a SciPy sparse array, which acts on each component alike, or on points and components together.

    Parameters
    ----------
    A : scipy.sparse.csr_array of float64, shape (K, K)
        K is the number of points N for the first, N n for the second: the components of a point are next to each other.
    ndim : int
        The number of grid axes.
    """

    def __init__(self, A: Any, ndim: int) -> None:
        self.A, self.ndim = A, ndim

    @functools.cached_property
    def sizes(self) -> Matrix:
        """The same of absolute values."""
        return Matrix(abs(self.A), self.ndim)

    @functools.cached_property
    def transposed(self) -> Matrix:
        """The transposed matrix."""
        return Matrix(self.A.T.tocsr(), self.ndim)

    def __call__(self, v: Array) -> Array:
        """Return the product with v, (*B, *R, n)."""
        xp, K = array_namespace(v), self.A.shape[1]
        columns = math.prod(v.shape[-1 - self.ndim :]) // K
        flat = xp.reshape(v, (*v.shape[: -1 - self.ndim], K, columns))
        made = self._on_numpy(flat) if family(v) == "numpy" else self._anywhere(flat)
        return xp.reshape(made, v.shape)

    def _on_numpy(self, v: Any) -> Any:
        A = self.A if v.dtype == self.A.dtype else self.A.astype(v.dtype)
        if v.ndim == 2:
            return A @ v
        import numpy as np

        first = np.moveaxis(v, -2, 0)
        return np.moveaxis((A @ first.reshape(len(first), -1)).reshape(first.shape), 0, -2)

    def _anywhere(self, v: Array) -> Array:
        """Return the product by gathers and sums over rows of like length, which any library differentiates."""
        xp, by, (groups, order) = array_namespace(v), backend_of(v), self._groups
        if not groups:
            return xp.matmul(padded(by.convert(self.A.toarray(), v, v.dtype), v.ndim), v)
        parts = []
        for columns, values in groups:
            met = xp.take(v, by.convert(columns.reshape(-1), v, None), axis=-2)
            met = xp.reshape(met, (*v.shape[:-2], *columns.shape, v.shape[-1]))
            weights = padded(by.convert(values[..., None], v, v.dtype), met.ndim)
            parts.append(xp.sum(met * weights, axis=-2))
        return parts[0] if len(parts) == 1 else xp.take(xp.concat(parts, axis=-2), by.convert(order, v, None), axis=-2)

    @functools.cached_property
    def _groups(self) -> tuple[list[tuple[Any, Any]], Any]:
        """The columns and values of rows of like length, filled up with zeros, and where each row is; none if full."""
        import numpy as np

        counts = np.diff(self.A.indptr)
        widths = 2 ** np.ceil(np.log2(np.maximum(counts, 1))).astype(int)
        if widths.sum() >= FULL * self.A.shape[0] * self.A.shape[1]:
            return [], None
        order, groups = np.argsort(widths, kind="stable"), []
        for width in np.unique(widths):
            rows = order[widths[order] == width]
            there = np.arange(width) < counts[rows, None]
            places = np.where(there, self.A.indptr[rows, None] + np.arange(width), 0)
            columns = np.where(there, self.A.indices[places], rows[:, None] % self.A.shape[1])
            groups.append((columns.astype(np.intc), np.where(there, self.A.data[places], 0.0)))
        return groups, np.argsort(order).astype(np.intc)


def read(given: Any, name: str, shape: tuple[int, ...] | None) -> Any:
    """Return what a user gave as a matrix as a square ``scipy.sparse.csr_array`` of finite float64.

    Raises
    ------
    InputError
        If it is none, is not square or not finite, or is a function that is not linear.
    """
    import numpy as np
    from scipy.sparse import csr_array, issparse

    if not issparse(given) and (hasattr(given, "matmat") or (callable(given) and not hasattr(given, "ndim"))):
        given = _tabulated(given, name, shape)
    if not issparse(given):
        given = _as_numpy(given, name)
    if given.ndim != 2 or given.shape[0] != given.shape[1] or given.shape[0] == 0:
        advice = "Of a diagonal give scipy.sparse.diags_array(v)." if given.ndim == 1 else ""
        raise mismatch(name, "a square matrix (N, N)", f"shape {tuple(given.shape)}", advice)
    if given.dtype.kind not in "fiub":
        raise mismatch(name, "real numbers", str(given.dtype))
    made = csr_array(given).astype(np.float64)
    made.sum_duplicates()
    made.eliminate_zeros()
    if not np.isfinite(made.data).all():
        row = int(np.searchsorted(made.indptr, np.argmin(np.isfinite(made.data)), side="right")) - 1
        raise mismatch(name, "finite numbers", f"NaN or infinity in row {row}")
    return made


def _as_numpy(given: Any, name: str) -> Any:
    """Return a matrix of any library, or nested lists, as a NumPy array; refuse one that a derivative follows."""
    import numpy as np

    if not hasattr(given, "shape"):
        try:
            made = np.asarray(given)
        except (TypeError, ValueError) as error:
            raise mismatch(name, KINDS, repr(given)) from error
        if made.dtype.kind not in "fiub":
            raise mismatch(name, KINDS, repr(given))
        return made
    if is_traced(given):
        advice = "A matrix is a constant, of NumPy; numbers to differentiate by go through params, x or boundary."
        raise mismatch(name, "a matrix of known numbers", "one that a derivative or a compiler follows", advice)
    return backend_of(given).to_numpy(given)


def _tabulated(given: Any, name: str, shape: tuple[int, ...] | None) -> Any:
    """Return the matrix of a linear function of arrays of ``shape``, or of a LinearOperator: what it makes of units."""
    import numpy as np
    from scipy.sparse import csc_array, hstack

    if hasattr(given, "matmat"):
        N = int(given.shape[1])
        spans = (range(k, min(k + COLUMNS, N)) for k in range(0, N, COLUMNS))
        parts = [csc_array(given.matmat(np.eye(N, len(span), k=-span.start))) for span in spans]
        return hstack(parts, format="csr")
    if shape is None:
        raise mismatch(name, "shape=, the shape of the array that the function takes", "None")

    def column(v: Any) -> Any:
        made = np.asarray(given(v.reshape(shape)))
        if made.shape != shape:
            raise mismatch(name, f"a function that returns an array of shape {shape}, as it is given", made.shape)
        return made.reshape(-1, 1)

    N = math.prod(shape)
    if np.any(column(np.zeros(N))):
        advice = "What it adds goes into given=, what a shift adds into a pair (S, s)."
        raise mismatch(name, "a linear function, 0 of an array of zeros", "one that is not", advice)
    made = hstack([csc_array(column(np.eye(1, N, k)[0])) for k in range(N)], format="csr")
    probe = np.sin(1.0 + np.arange(N) ** 2.0)
    off, size = np.abs(made @ probe - column(probe)[:, 0]), abs(made) @ np.abs(probe)
    if not np.all(off <= SAME * size.max()):
        raise mismatch(name, "a linear function", f"one whose value is {off.max():.1e} off the sum of its parts")
    return made
