"""What a way to run the recurrence is, and the registry of the ways."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from ...backends.namespace import Array
from ...backends.registration import Registry

Way: TypeAlias = Callable[[tuple[Array, ...], tuple[int, ...], Array], Array]
"""``way(As, lags, b) -> y`` runs ``y_i = sum_p A_p[i - k_p] y_{i-k_p} + b_i`` from zero history.

It is given the normal form (:mod:`deersolve.linalg.scans._normal`) and nothing else:

- b : array, shape (*B, T, n), not empty; y has the same shape, dtype and device;
- As : arrays of one kind, either all dense, shape (*B', T - k_p, n, n), or all diagonal, shape
  (*B', T - k_p, n), where every axis of B' is that of B or 1. Row j belongs to point j + k_p;
- lags : distinct, ascending, at least one, each from 1 to T - 1.
"""

ways: Registry[Way] = Registry("scan", "deersolve.linalg.scans")


def register(name: str) -> Callable[[Way], Way]:
    """Return the decorator that makes a way known under ``name``, the name of its file."""
    return lambda way: ways.add(name, way)
