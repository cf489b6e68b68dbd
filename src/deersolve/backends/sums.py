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


class Stages:
    """``y + h sum_l a_kl F_l`` of one step after the other, h a number: a row of weights for each k."""

    def __init__(self, rows: Sequence[Sequence[float]], like: Array) -> None:
        self.sums = Sums(rows, like)

    def begin(self, y: Array, h: float, first: Array) -> None:
        """Begin a step of length h at y, where F is ``first``."""
        self.y, self.h = y, h
        self.sums.restart(first)

    def append(self, F: Array) -> None:
        """Add the next F."""
        self.sums.append(F)

    def moved(self, k: int) -> Array:
        """Return ``h sum_l a_kl F_l``."""
        return self.h * self.sums.of(k)

    def point(self, k: int) -> Array:
        """Return ``y + h sum_l a_kl F_l``."""
        return self.y + self.moved(k)
