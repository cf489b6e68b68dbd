"""LAPACK's band solvers, with pivoting across blocks: on the host.

Points that are neighbours of both ends are folded flat, in the order 0, N - 1, 1, N - 2, ..., in which they are two
places apart at most. How much an elimination in a band can grow is bounded by its width alone, however long it is and
whichever way solutions grow.

Z. Bohte, "Bounds for rounding errors in the Gaussian elimination for band systems", J. Inst. Maths. Applics. 16 (1975).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

from ...backends.namespace import Array, array_namespace
from ..host import device_name, family, from_numpy, is_recorded, to_numpy

Solver = Callable[[Any], Any]


def takes(like: Array) -> bool:
    """Return whether SciPy can work on such arrays: NumPy's, and PyTorch's on a CPU outside of transforms."""
    return family(like) in ("numpy", "torch") and device_name(like) == "cpu" and not is_recorded(like)


def solve(blocks: tuple[Array, ...], r: Array, is_ring: bool) -> Array:
    """Return y of a block tridiagonal system."""
    return repeated(blocks, r, is_ring)(r)


def repeated(blocks: tuple[Array, ...], like: Array, is_ring: bool) -> Callable[[Array], Array]:
    """Return a function r -> y for one matrix, which is factored once, and arrays r of the shape of ``like``."""
    full = (*like.shape, like.shape[-1])
    return _factored_once(Band(neighbours(like.shape[-2], is_ring), [_flat(b, full) for b in blocks]))


def series(blocks: tuple[Array, ...], like: Array, is_ring: bool) -> Callable[[Any, Array], Array]:
    """Return a function ``(k, r)`` for blocks (*B, K, N, n, n): all bands are laid out at once."""
    *batch, N, n = like.shape
    K, count = blocks[0].shape[-4], math.prod(batch)
    full, order = (*batch, K, N, n, n), (len(batch), *range(len(batch)), -3, -2, -1)
    xp = array_namespace(like)
    each = [to_numpy(xp.broadcast_to(b, full)).transpose(order).reshape(-1, N, n, n) for b in blocks]
    band = Band(neighbours(N, is_ring), each)
    factored = functools.cache(lambda k: band.factored(slice(k * count, (k + 1) * count)))
    return lambda k, r: _applied(factored(k), r)


def linking(before: Array, behind: Array) -> Callable[[Array], Array]:
    """Return r -> w with ``before_i w_{i-1} + behind_i w_i = r_i``; before_0 and behind_0 are for w_0 and the last.

    All arrays have the batch axes of r. What does not depend on r is done when the function is first called.
    """
    return _factored_once(Band(ends_first(before.shape[-3]), [_flat(b, before.shape) for b in (before, behind)]))


def _flat(blocks: Array, full: tuple[int, ...]) -> Any:
    """Return blocks with all batch axes in one."""
    return to_numpy(array_namespace(blocks).broadcast_to(blocks, full)).reshape(-1, *full[-3:])


def _factored_once(band: Band) -> Callable[[Array], Array]:
    factored = functools.cache(band.factored)
    return lambda r: _applied(factored(), r)


def _applied(solver: Solver, r: Array) -> Array:
    return from_numpy(solver(to_numpy(r).reshape(-1, *r.shape[-2:])).reshape(r.shape), r)


class Places(NamedTuple):
    """Where equations and unknowns are put in the band, and which unknowns each equation knows.

    Attributes
    ----------
    rows, columns : array of int, shape (N,)
    known : list of (slice, array of int)
        For each kind of blocks which equations have it, and which unknowns it is multiplied with.
    """

    rows: Any
    columns: Any
    known: list[tuple[slice, Any]]


def neighbours(N: int, is_ring: bool) -> Places:
    """Return the places where each equation knows its own point, the one before and the one behind."""
    import numpy as np

    here, every = np.arange(N), slice(None)
    if is_ring:
        place = fold(N)
        return Places(place, place, [(every, np.roll(here, 1)), (every, here), (every, np.roll(here, -1))])
    return Places(here, here, [(slice(1, None), here[:-1]), (every, here), (slice(None, -1), here[1:])])


def ends_first(N: int) -> Places:
    """Return the places where an equation links two neighbours, and the first one the two ends."""
    import numpy as np

    rows, here = np.concatenate([[0], 1 + fold(N - 1)]), np.arange(N)
    before, behind = np.maximum(here - 1, 0), np.where(here > 0, here, N - 1)
    return Places(rows, fold(N), [(slice(None), before), (slice(None), behind)])


def fold(N: int) -> Any:
    """Return where each point of a ring is put."""
    import numpy as np

    order = np.empty(N, dtype=np.int64)
    order[0::2] = np.arange((N + 1) // 2)
    order[1::2] = N - 1 - np.arange(N // 2)
    return np.argsort(order)


class Band:
    """Systems of one shape as a single band matrix, one behind the other: their blocks do not touch.

    Attributes
    ----------
    entries : array, shape (S, N n, 3 half + 1)
        LAPACK's band form with room for the factors, column by column; unit matrices where a system is not finite, as
        NaN times a zero would reach the neighbours.
    is_lost : array of bool, shape (S,)
        Which these are.
    """

    def __init__(self, places: Places, blocks: list[Any]) -> None:
        """Lay out blocks (S, N, n, n), for each of the kinds in ``places.known``."""
        import numpy as np
        from scipy.linalg import get_lapack_funcs

        self.places, self.blocks = places, blocks
        S, N, n, _ = blocks[0].shape
        at = [(equations, places.rows[equations], places.columns[known]) for equations, known in places.known]
        self.half = (max(int(np.max(np.abs(row - column))) for _, row, column in at) + 1) * n - 1
        self.entries = np.zeros((S, N * n, 3 * self.half + 1), dtype=blocks[0].dtype)
        for (equations, row, column), block in zip(at, blocks, strict=True):
            self._put(row, column, block[:, equations])
        self.is_lost: Any = ~np.isfinite(self.entries).all(axis=(1, 2))
        if self.is_lost.any():
            self.entries[self.is_lost] = 0.0
            self.entries[self.is_lost, :, 2 * self.half] = 1.0
        self.order = np.argsort(places.rows)
        self.factor, self.solve = get_lapack_funcs(("gbtrf", "gbtrs"), (self.entries,))

    def _put(self, row: Any, column: Any, blocks: Any) -> None:
        """Write blocks, the entry (i, j) of a system at [j, 2 half + i - j]."""
        import numpy as np

        (S, size, wide), n = self.entries.shape, blocks.shape[-1]
        system, inner = size * wide * np.arange(S)[:, None, None, None], np.arange(n)
        start = (column * wide + row - column)[:, None, None] * n + 2 * self.half
        place = system + start + (inner[:, None] + inner * (wide - 1))
        self.entries.reshape(-1)[place.reshape(-1)] = blocks.reshape(-1)

    def factored(self, part: slice = slice(None)) -> Solver:
        """Return the function (count, N, n) -> (count, N, n) of some systems, whose factors take their entries' place.

        One that is not finite or singular gives NaN.
        """
        import numpy as np

        entries, is_lost, half = self.entries[part], self.is_lost[part], self.half
        lu, pivots, info = self.factor(entries.reshape(-1, entries.shape[-1]).T, half, half, overwrite_ab=True)
        if info:
            return self._apart(part) if len(entries) > 1 else lambda r: np.full_like(r, math.nan)

        def solve(r: Any) -> Any:
            failed = is_lost | ~np.isfinite(r).all(axis=(1, 2))
            rows = r.take(self.order, axis=1)
            rows[failed] = 0.0
            y, _ = self.solve(lu, half, half, rows.reshape(-1, 1), pivots, overwrite_b=True)
            if len(r) > 1 and not np.isfinite(y).all():
                return self._apart(part)(r)
            y = y.reshape(r.shape).take(self.places.columns, axis=1)
            y[failed] = math.nan
            return y

        return solve

    def _apart(self, part: slice) -> Solver:
        """Return the same element by element: one that is singular, or overflows, touches no other."""
        import numpy as np

        each = zip(*(b[part] for b in self.blocks), strict=True)
        solvers = [Band(self.places, [b[None] for b in own]).factored() for own in each]
        return lambda r: np.concatenate([solve(r[k : k + 1]) for k, solve in enumerate(solvers)])
