"""Stages in a rectangle that are solved along the lines of both axes, each by one compiled iteration: on the host."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

from ...backends.namespace import Array
from .. import krylov
from ..host import from_numpy, is_host_float, is_installed, to_numpy
from . import lapack
from .lines import Lines


class Way(NamedTuple):
    """The lines of one axis, of K stages of S elements, as the kernel takes them.

    Attributes
    ----------
    blocks : array, shape (K, S, L, N, 3 or 5, n, n)
    where : array of int, shape (L, N n)
        Where in u, all flat, the numbers of a line are, in the order of its band.
    beside : array of int, shape (N, 3 or 5)
        The neighbours of each point of a line; -1 where there is none.
    place : array of int, shape (N,)
        Where in that order each point is: neighbours are near each other in a ring too.
    half : int
        How far from the diagonal entries are in that order.
    """

    blocks: Any
    where: Any
    beside: Any
    place: Any
    half: int

    def at(self, k: int) -> tuple[Any, ...]:
        """Return what the kernel takes of stage k."""
        return (self.blocks[k], *self[1:])


def solver(
    first: Lines, second: Lines, units: tuple[Array, Array], like: Array, limit: int
) -> Callable[[Any, Array, Any], Array] | None:
    """Return a function (k, r, tol) that solves ``left (F_k + S_k - 1) right x = r`` by conjugate residuals.

    They are those of :func:`deersolve.linalg.krylov.solve`, preconditioned by ``left F_k S_k right``; to roundoff for
    tol = None, as by :func:`deersolve.linalg.krylov.to_roundoff`.

    Parameters
    ----------
    first, second : Lines
        F and S, of all stages.
    units : two arrays, shape (*B, K, X, Y, n) or with axes of 1
        left and right.
    like : array, shape (*B, X, Y, n)
    limit : int
        The most iterations.

    Returns
    -------
    callable or None
        None where the iteration cannot work on such arrays.
    """
    import numpy as np

    if not _takes(first, second, like):
        return None
    shape, K, count = tuple(like.shape), first.blocks[0].shape[-4], math.prod(like.shape[:-3])
    one, two = (_way(part, like) for part in (first, second))
    left, right = (_by_stage(unit, (*shape[:-3], K, *shape[-3:])) for unit in units)
    eps = float(np.finfo(one.blocks.dtype).eps)
    numbers = limit, krylov.DIRECTIONS, krylov.PASSES, krylov.ENOUGH * eps, krylov.FAR * eps, math.sqrt(eps)

    def solve(k: int, r: Array, tol: Array | None) -> Array:
        rows = np.array(to_numpy(r), order="C").reshape(count, -1)
        tols = np.full(count, -1.0) if tol is None else np.broadcast_to(to_numpy(tol).reshape(-1), count)
        out = np.empty_like(rows)
        _kernel()(one.at(k), two.at(k), left[k], right[k], rows, tols.astype(np.float64), numbers, out)
        return from_numpy(out.reshape(shape), r)

    return solve


def _takes(first: Lines, second: Lines, like: Array) -> bool:
    """Return whether the kernel can work on such arrays."""
    arrays = (*first.blocks, *second.blocks, like)
    return is_installed("numba") and all(map(lapack.takes, arrays)) and is_host_float(to_numpy(like))


def _way(lines: Lines, like: Array) -> Way:
    """Return the lines of one axis."""
    import numpy as np

    n, laid, count = like.shape[-1], lines.laid(like), len(lines.blocks)
    (L, N), K = laid.shape[-3:-1], lines.blocks[0].shape[-4]
    full = (*laid.shape[:-2], K, N, n, n)
    each = (np.moveaxis(np.broadcast_to(to_numpy(b), full), -4, 0).reshape(K, -1, L, N, n, n) for b in lines.blocks)
    beside = np.arange(N)[:, None] + np.arange(count) - count // 2
    beside = beside % N if lines.is_ring else np.where((beside >= 0) & (beside < N), beside, -1)
    place, apart = (lapack.fold(N), 2) if lines.is_ring else (np.arange(N), 1)
    numbers = lines.laid(np.arange(math.prod(like.shape[-3:])).reshape(like.shape[-3:]))
    where = numbers.take(np.argsort(place), axis=1).reshape(L, N * n)
    blocks = np.ascontiguousarray(np.stack(list(each), axis=-3))  # of one layout: what is compiled is so for both ways
    return Way(blocks, where, beside, place, n * (apart * (count // 2) + 1) - 1)


def _by_stage(unit: Array, full: tuple[int, ...]) -> Any:
    """Return units (K, S, X Y n)."""
    import numpy as np

    unit = np.moveaxis(np.broadcast_to(to_numpy(unit), full), -4, 0)
    return np.array(unit, order="C").reshape(full[-4], math.prod(full[:-4]), -1)


@functools.cache
def _kernel() -> Any:
    from .line_kernels import solve

    return solve
