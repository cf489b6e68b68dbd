"""All levels of a march in one compiled loop: block elimination without pivoting across blocks, on the host."""

from __future__ import annotations

import functools
import itertools
import math
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ...backends.namespace import Array, array_namespace
from ..host import from_numpy, is_host_float, is_installed, to_numpy
from . import lapack

LARGEST = 1e3
"""The multiplier above which an elimination may have lost three digits: then pivots are looked for."""
BLOCK = 8
"""The largest n that is worth it."""
APART = 20_000
"""The numbers that a thread should have to write."""


def takes(*arrays: Array) -> bool:
    """Return whether the loop can work on such arrays, of which the first is (*B, J, m, N, n)."""
    if not is_installed("numba") or not all(map(lapack.takes, arrays)):
        return False
    return arrays[0].shape[-2] > 2 and arrays[0].shape[-1] <= BLOCK and is_host_float(to_numpy(arrays[0]))


def march(  # noqa: PLR0913 - a system, its history and its rule
    blocks: tuple[Array, Array, Array],
    rows: Array,
    units: Array,
    h: Array,
    tableau: tuple[tuple[float, ...], ...],
    start: Array,
    slope: Array,
    is_ring: bool,
) -> tuple[Array, Array]:
    """Return every stage of every level, and of which elements the elimination is to be trusted.

        U_k = before + h a_k0 slope + sum_{l < k} a_kl change_l,    blocks stage_k = rows_k + units_k U_k

    Parameters
    ----------
    blocks : tuple of three arrays, shape (*B, J, m, N, n, n)
    rows, units : array, shape (*B, J, m, N, n)
    h : array, shape (*B, J)
    tableau : tuple of tuple of float
        Row k is a_k0, ..., a_kk.
    start, slope : array, shape (*B, N, n)
        What is known before the first level.
    is_ring : bool

    Returns
    -------
    array, shape (*B, J, m, N, n)
    array of bool, shape (*B,)
    """
    import numpy as np

    xp, like, batch = array_namespace(rows), rows, rows.shape[:-4]
    core = rows.shape[-4:]

    def flat(a: Array, *shape: int) -> Any:
        full = to_numpy(xp.broadcast_to(a, (*batch, *shape)))
        return full.reshape(math.prod(batch), *shape)

    three = [flat(b, *core, core[-1]) for b in blocks]
    m = len(tableau)
    table = np.zeros((m, m + 1), dtype=three[0].dtype)
    for k, row in enumerate(tableau):
        table[k, : len(row)] = row
    parts = [*three, flat(rows, *core), flat(units, *core), flat(h, core[0])]
    ends = [flat(start, *core[-2:]), flat(slope, *core[-2:])]
    out = np.empty((math.prod(batch), *core), dtype=three[0].dtype)
    grown = np.empty(out.shape[:1], dtype=out.dtype)

    def run(part: slice) -> None:
        arrays = [a[part] for a in parts], [a[part] for a in ends]
        _kernel(out.dtype.char)(*arrays[0], table, *arrays[1], is_ring, out[part], grown[part])

    _over(run, out.shape[0], out.size)
    return from_numpy(out.reshape(rows.shape), like), from_numpy((grown <= LARGEST).reshape(batch), like)


def _over(run: Any, count: int, size: int) -> None:
    """Run over the batch, on several threads where it is large."""
    threads = min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1, count, size // APART)
    if threads < 2:
        run(slice(None))
        return
    edges = [count * k // threads for k in range(threads + 1)]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(run, [slice(a, b) for a, b in itertools.pairwise(edges)]))


@functools.cache
def _kernel(char: str) -> Any:
    import numpy as np

    from .march_kernels import kernel

    return kernel(np.dtype(char))
