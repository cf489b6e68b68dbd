"""Sums of arrays with many rows of weights, as the stages of a Runge-Kutta rule need them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import add

from .namespace import Array


class Sums:
    """Arrays, one appended after the other, and their sums with weights, a row for each sum."""

    def __init__(self, rows: Sequence[Sequence[float]], like: Array) -> None:
        self.rows, self.parts = rows, list[Array]()

    def restart(self, first: Array) -> None:
        """Begin with this one."""
        self.parts = [first]

    def append(self, part: Array) -> None:
        """Add an array."""
        self.parts.append(part)

    def of(self, k: int) -> Array:
        """Return the sum of the first arrays by the weights of row k."""
        return self.weighted(self.rows[k])

    def weighted(self, weights: Sequence[float]) -> Array:
        """Return the sum of the first arrays by other weights."""
        return reduce(add, [w * part for w, part in zip(weights, self.parts, strict=False) if w])
