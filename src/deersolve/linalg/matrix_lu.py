"""``L + M sum_p G_p S_p`` of constant L, M and S_p and any G, and its LU, dense, banded or sparse: on the host."""

from __future__ import annotations

import functools
from typing import Any

from ..backends import backend_of
from ..backends.namespace import Array
from .sparse_lu import KEPT, PIVOT, is_singular, refined

SMALL = 200  # unknowns up to which LAPACK's dense LU is as fast as any
FULL = 0.1  # of all entries: from so many on a sparse LU only fills
PAIRED = 0.9  # of all entries: from so many on with one across the diagonal the pattern counts as symmetric
SYMMETRIC: Any = {"permc_spec": "MMD_AT_PLUS_A", "diag_pivot_thresh": PIVOT, "options": {"SymmetricMode": True}}
NARROW = 64  # diagonals up to which a band is faster than a sparse LU


class Equations:
    """``(L + M sum_p G_p S_p) delta = r`` for constant matrices, as ``scipy.sparse.csr_array``; None is the identity.

    Parameters
    ----------
    points : int
        The number N of grid points. A matrix of N rows acts on each component alike, one of N n on all together.
    """

    def __init__(self, L: Any, M: Any, Ss: tuple[Any, ...], points: int) -> None:
        self.L, self.M, self.Ss, self.points = L, M, Ss, points
        self._wide: dict[int, tuple[Any, ...]] = {}
        self._kept: dict[int, Factors] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Return what can be copied and pickled: factors are made afresh."""
        return {**vars(self), "_kept": {}}

    def solve(self, Gs: tuple[Array, ...], r: Array, transposed: bool = False) -> Array:
        """Return delta, or with the transposed matrix, of r (*B, *R, n) and G_p (*B, *R, n, n or 1).

        An element whose matrix is singular to working precision is NaN. The last factors of each are kept.
        """
        return backend_of(r).on_host(functools.partial(self._each, transposed), r, r, *Gs)

    def _each(self, transposed: bool, r: Any, *Gs: Any) -> Any:
        import numpy as np

        n = r.shape[-1]
        rows = np.asarray(r, np.float64).reshape(-1, self.points * n)
        full = [np.broadcast_to(G, (*r.shape, G.shape[-1])) for G in Gs]
        values = [np.asarray(G, np.float64).reshape(len(rows), self.points, n, -1) for G in full]
        found = [self._factors(k, [G[k] for G in values]).solve(b, transposed) for k, b in enumerate(rows)]
        return np.stack(found).reshape(r.shape).astype(r.dtype)

    def _factors(self, k: int, Gs: list[Any]) -> Factors:
        """Return the factors that are kept if they are those of the same G, else new ones."""
        import numpy as np

        old = self._kept.pop(k, None)
        is_same = old is not None and all(map(np.array_equal, old.Gs, Gs))
        found = old if old is not None and is_same else Factors(self.matrix(Gs), [G.copy() for G in Gs])
        if sum(f.size for f in self._kept.values()) + found.size * (k > 0) <= KEPT:
            self._kept[k] = found
        return found

    def matrix(self, Gs: list[Any]) -> Any:
        """Return ``L + M sum_p G_p S_p`` of G_p (N, n, n or 1) as a ``csr_array``, (N n, N n)."""
        import numpy as np
        from scipy.sparse import bsr_array, csr_array, diags_array

        N, n = Gs[0].shape[:2]
        L, M, *Ss = self._wide.setdefault(n, tuple(self._widened(A, n) for A in (self.L, self.M, *self.Ss)))
        total: Any = 0
        for G, S in zip(Gs, Ss, strict=True):
            if G.shape[-1] == n:
                D = csr_array(bsr_array((np.ascontiguousarray(G), range(N), range(N + 1)), shape=(N * n, N * n)))
            else:
                D = diags_array(G.reshape(-1), format="csr")
            total = total + (D if S is None else D @ S)
        return L + (total if M is None else M @ total)

    def _widened(self, A: Any, n: int) -> Any:
        """Return a matrix on the points as one on all components of them."""
        from scipy.sparse import eye_array, kron

        return A if A is None or A.shape[0] == self.points * n else kron(A, eye_array(n), format="csr")


class Factors:
    """The LU of a square matrix, its rows and then its columns as large as 1, with steps of refinement.

    Attributes
    ----------
    Gs : list of array
        What the matrix is made of.
    size : int
        About how many bytes they take.
    """

    def __init__(self, A: Any, Gs: list[Any]) -> None:
        import numpy as np

        self.Gs, self.lu, self.size = Gs, None, 0
        if not np.isfinite(A.data).all():
            return
        self.rows, self.columns = np.ones(A.shape[0]), np.ones(A.shape[0])
        A = A.tocsr()
        self.rows = largest_of_rows(A)
        A = A.multiply(1 / self.rows[:, None]).tocsr()
        self.columns = largest_of_rows(A.T.tocsr())
        A = A.multiply(1 / self.columns).tocsc()
        lu = _lu(A)
        self.A, self.sizes = A, abs(A)
        if lu is not None and not is_singular(lu, np.finfo(np.float64).eps * self.sizes.sum(axis=0).max()):
            self.lu, self.size = lu, lu.size

    def solve(self, b: Any, transposed: bool) -> Any:
        """Return x; NaN where the matrix is singular or not finite."""
        import numpy as np

        if self.lu is None:
            return np.full_like(b, np.nan)
        if transposed:
            return refined(self.lu, self.A.T, self.sizes.T, b / self.columns, "T") / self.rows
        return refined(self.lu, self.A, self.sizes, b / self.rows, "N") / self.columns


def largest_of_rows(A: Any) -> Any:
    """Return the power of two near the largest entry of each row, 1 of an empty one."""
    import numpy as np

    most = abs(A).max(axis=1).toarray().reshape(-1)
    return np.exp2(np.rint(np.log2(np.where(most > 0, most, 1.0))))


def _lu(A: Any) -> Any:
    """Return an LU by the pattern and the size of a matrix, or None where a pivot is exactly zero."""
    import numpy as np

    N, entries = A.shape[0], A.tocoo()
    if N <= SMALL or A.nnz >= FULL * N * N:
        return DenseLU.of(A.toarray())
    offsets = entries.row - entries.col
    below, above = int(max(offsets.max(), 0)), int(max(-offsets.min(), 0))
    if 2 * below + above < NARROW:
        band = np.zeros((2 * below + above + 1, N))
        band[below + above + offsets, entries.col] = entries.data
        return BandLU.of(band, below, above)
    return SparseLU.of(A)


def _is_symmetric(A: Any) -> bool:
    """Return whether most entries have one across the diagonal, and all of the diagonal is there."""
    pattern = A.astype(bool)
    return bool(A.diagonal().all()) and pattern.multiply(pattern.T).nnz >= PAIRED * A.nnz


class DenseLU:
    """LAPACK's LU of a full matrix."""

    def __init__(self, lu: Any, pivots: Any) -> None:
        self.lu, self.pivots, self.shape, self.size = lu, pivots, lu.shape, lu.nbytes

    @classmethod
    def of(cls, A: Any) -> DenseLU | None:
        """Return it, or None where a pivot is zero."""
        from scipy.linalg.lapack import dgetrf

        lu, pivots, info = dgetrf(A)
        return cls(lu, pivots) if info == 0 else None

    def solve(self, b: Any, way: str = "N") -> Any:
        """Return x with ``A x = b``, or with ``A^T x = b`` for way "T"."""
        from scipy.linalg.lapack import dgetrs

        return dgetrs(self.lu, self.pivots, b, trans=int(way == "T"))[0]


class BandLU:
    """LAPACK's LU of a band."""

    def __init__(self, lu: Any, pivots: Any, below: int, above: int) -> None:
        self.lu, self.pivots, self.below, self.above = lu, pivots, below, above
        self.shape, self.size = (lu.shape[1], lu.shape[1]), lu.nbytes

    @classmethod
    def of(cls, band: Any, below: int, above: int) -> BandLU | None:
        """Return it, or None where a pivot is zero."""
        from scipy.linalg.lapack import dgbtrf

        lu, pivots, info = dgbtrf(band, below, above)
        return cls(lu, pivots, below, above) if info == 0 else None

    def solve(self, b: Any, way: str = "N") -> Any:
        """Return x, as :meth:`DenseLU.solve` does."""
        from scipy.linalg.lapack import dgbtrs

        return dgbtrs(self.lu, self.below, self.above, b, self.pivots, trans=int(way == "T"))[0]


class SparseLU:
    """SuperLU's factors, in the order of least degree, of A + A^T where the pattern is symmetric, else of A^T A.

    References
    ----------
    T. A. Davis, J. R. Gilbert, S. I. Larimore, E. G. Ng, "A column approximate minimum degree ordering algorithm", ACM
    Transactions on Mathematical Software 30 (2004).
    """

    def __init__(self, lu: Any) -> None:
        self.lu, self.shape, self.size, self.solve = lu, lu.shape, 12 * int(lu.nnz), lu.solve

    @classmethod
    def of(cls, A: Any) -> SparseLU | None:
        """Return them, or None where a pivot is zero."""
        from scipy.sparse.linalg import splu

        try:
            return cls(splu(A, **(SYMMETRIC if _is_symmetric(A) else {})))
        except RuntimeError as error:
            if "singular" not in str(error):
                raise
            return None
        except MemoryError as error:
            raise MemoryError(f"no room for the sparse LU of {A.shape[0]} unknowns.") from error
