"""Whether two calls of one function agree, NaN beside NaN."""

from __future__ import annotations

import numpy as np

from . import backend_of
from .namespace import Array, array_namespace

AGREEMENT = 1e3  # in units of eps: a matrix product of one row may round differently from that of many


def equal(a: Array, b: Array, units: float) -> bool:
    """Return whether two arrays agree within so many ulp of the largest component at each point."""
    if tuple(a.shape) != tuple(b.shape):
        return False
    eps = float(array_namespace(a).finfo(a.dtype).eps)
    a, b = (backend_of(v).to_numpy(v) for v in (a, b))
    same = (a == b) | ((a != a) & (b != b))
    if units:
        size = abs(a) + abs(b)
        peak = np.max(np.where(np.isfinite(size), size, 0.0), axis=-1, keepdims=True)
        same = same | (abs(a - b) <= units * eps * peak)
    return bool(np.all(same))
