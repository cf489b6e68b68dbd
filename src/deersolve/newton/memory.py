"""How many steps may be linearised at once: Jacobians take n times the memory of the trajectory."""

from __future__ import annotations

import math
import re
from typing import Any

from ..backends.namespace import Array, array_namespace
from ..errors import mismatch
from ..grids.base import Grid
from ..linalg.layout import Layout

UNITS = {"": 1, "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
MATRICES = 48  # n x n matrices that are held for each point and lag while Jacobians are computed, as measured
VECTORS = 40  # and vectors, what f computes on its way included


def bytes_of(memory: Any) -> int | None:
    """Return the number of bytes that a user means by 2e9, "2GiB" or "500 MB"; None is no limit."""
    if memory is None:
        return None
    found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]*)?(?:[eE]\+?[0-9]+)?)\s*([A-Za-z]*)\s*", str(memory))
    if isinstance(memory, bool) or not found or found[2] not in UNITS or not 0 < float(found[1]) < math.inf:
        raise mismatch("memory", 'a number of bytes, a string such as "2GiB" or "500MB", or None', repr(memory))
    return max(int(float(found[1]) * UNITS[found[2]]), 1)


def steps_within(memory: int | None, y: Array, grid: Grid, layout: Layout | None = None) -> int | None:
    """Return how many steps of y, (*B, T, ..., n), are linearised within so many bytes; None where all are."""
    if memory is None:
        return None
    n, batch = math.prod(y.shape[grid.axis + 1 :]), math.prod(y.shape[: grid.axis])
    itemsize = array_namespace(y).finfo(y.dtype).bits // 8
    width = y.shape[-1] if layout is None else layout.size
    each = batch * itemsize * (MATRICES * len(grid.lags) * n * width + VECTORS * n)
    steps = max(memory // each, 16, *grid.lags)
    return steps if steps < y.shape[grid.axis] else None
