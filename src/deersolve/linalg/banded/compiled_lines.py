"""Stages in a rectangle that are solved along the lines of both axes, each by one compiled iteration: on the host."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

from ...backends.namespace import Array
from .. import krylov
from ..host import from_numpy, is_host_float, is_installed, to_numpy
from . import lapack, pentadiagonal
from .lines import Lines

LEAST = 5  # points of a line, as LAPACK's band solvers take three rows, or pairs of rows, and more


class Way(NamedTuple):
    """The lines of one axis, of K stages of S elements, as the kernel takes them.

    Attributes
    ----------
    lu : array, shape (K, S L, M, 3 half + 1)
        LAPACK's factors of every line, column by column.
    exchanged : array of int, shape (K, S L, M)
        How many rows further on is the one that each row was exchanged with.
    places : array of int, shape (L, M)
        Where in u, all flat, the numbers of a line are; -1 where there is none.
    blocks : array, shape (K, 3 or 5, S L, N, n, n)
    points : array of int, shape (L, N)
        Where among all points those of a line are.
    is_ring : bool
    """

    lu: Any
    exchanged: Any
    places: Any
    blocks: Any
    points: Any
    is_ring: bool

    def at(self, k: int) -> tuple[Any, ...]:
        """Return what the kernel takes of stage k."""
        return self.lu[k], self.exchanged[k], self.places, self.blocks[k], self.points, self.is_ring


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
        None where the iteration cannot work on such arrays, or a line has no solution.
    """
    import numpy as np

    if not _takes(first, second, like):
        return None
    one, two = (_way(part, like) for part in (first, second))
    if one is None or two is None:
        return None
    shape, K = tuple(like.shape), one.lu.shape[0]
    count = math.prod(shape[:-3])
    left, right = (_by_stage(unit, (*shape[:-3], K, *shape[-3:])) for unit in units)
    eps = np.finfo(one.lu.dtype).eps
    numbers = limit, krylov.DIRECTIONS, krylov.PASSES, krylov.ENOUGH * eps, krylov.FAR * eps, math.sqrt(eps)

    def solve(k: int, r: Array, tol: Array | None) -> Array:
        rows = np.ascontiguousarray(to_numpy(r)).reshape(count, -1)
        tols = np.full(count, -1.0) if tol is None else np.broadcast_to(to_numpy(tol).reshape(-1), count)
        out = np.empty_like(rows)
        _kernel()(one.at(k), two.at(k), left[k], right[k], rows, tols.astype(np.float64), numbers, out)
        return from_numpy(out.reshape(shape), r)

    return solve


def _takes(first: Lines, second: Lines, like: Array) -> bool:
    """Return whether the kernel can work on such arrays."""
    if not is_installed("numba") or not all(map(lapack.takes, (*first.blocks, *second.blocks, like))):
        return False
    return is_host_float(to_numpy(like)) and min(part.blocks[0].shape[-3] for part in (first, second)) >= LEAST


def _way(lines: Lines, like: Array) -> Way | None:
    """Return the lines, factored; None where one has no factors."""
    import numpy as np

    n = like.shape[-1]
    each = _stage_first(lines, like)
    number = np.arange(math.prod(like.shape[-3:-1])).reshape(*like.shape[-3:-1], 1)
    points = np.ascontiguousarray(lines.laid(number)[..., 0])
    numbers = points[..., None] * n + np.arange(n)
    K, many, N = each[0].shape[:3]
    parts = [b.reshape(K * many, N, n, n) for b in each]
    if len(parts) == 5:
        parts = list(pentadiagonal.blocks(tuple(parts), lines.is_ring))
        numbers = pentadiagonal.rows(numbers + 1) - 1
    places = lapack.neighbours(parts[0].shape[1], lines.is_ring)
    factors = lapack.Band(places, parts).factors()
    if factors is None:
        return None
    lu, exchanged = (a.reshape(K, many, *a.shape[1:]) for a in factors)
    where = numbers.take(np.argsort(places.rows), axis=1).reshape(len(points), -1)
    return Way(lu, exchanged, where, np.stack(each, axis=1), points, lines.is_ring)


def _stage_first(lines: Lines, like: Array) -> list[Any]:
    """Return the blocks, (K, S L, N, n, n)."""
    import numpy as np

    K, n, laid = lines.blocks[0].shape[-4], like.shape[-1], lines.laid(like)
    full = (*laid.shape[:-2], K, laid.shape[-2], n, n)
    each = (np.moveaxis(np.broadcast_to(to_numpy(b), full), -4, 0) for b in lines.blocks)
    return [np.ascontiguousarray(b).reshape(K, -1, *b.shape[-3:]) for b in each]


def _by_stage(unit: Array, full: tuple[int, ...]) -> Any:
    """Return units (K, S, X Y n)."""
    import numpy as np

    unit = np.moveaxis(np.broadcast_to(to_numpy(unit), full), -4, 0)
    return np.ascontiguousarray(unit).reshape(full[-4], math.prod(full[:-4]), -1)


@functools.cache
def _kernel() -> Any:
    from .line_kernels import solve

    return solve
