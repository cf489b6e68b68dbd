"""Sums of arrays with many rows of weights, as the stages of a Runge-Kutta rule need them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from operator import add

from .namespace import Array, Tree, array_namespace

Stage = Callable[[Array, Tree], tuple[Array, Array]]
"""What makes of a sum, and of what else a stage is told, a point and what is appended."""


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

    def fill(self, stage: Stage, first: int, places: Sequence[Tree]) -> list[tuple[Array, Array]]:
        """Append what ``stage`` makes of the sum by row ``first`` and the first place, and so on; return the last two.

        The last array of each row is the one before what it makes.
        """
        made = []
        for k, place in enumerate(places):
            made.append(stage(self.of(first + k), place))
            self.append(made[-1][1])
        return made[-2:]

    def of_rows(self, first: int, last: int) -> Array:
        """Return the sums by some rows, one before the other in a new last axis but one."""
        made = [self.of(k) for k in range(first, last)]
        return array_namespace(made[0]).stack(made, axis=-2)

    def weighted(self, weights: Sequence[float]) -> Array:
        """Return the sum of the first arrays by other weights."""
        return reduce(add, [w * part for w, part in zip(weights, self.parts, strict=False) if w])


class Rows(Sums):
    """The same with arrays as the rows of a matrix, which is written to: a sum is one product."""

    def __init__(
        self,
        rows: Sequence[Sequence[float]],
        stack: Array,
        product: Callable[[Sequence[float]], Callable[[Array], Array]],
    ) -> None:
        self.rows, self.stack, self.shape, self.count, self.product = rows, stack, stack.shape[1:], 0, product
        self.flat = flat = stack.reshape(stack.shape[0], -1)
        self.terms = [(product(row), flat[: len(row)]) for row in rows]

    def restart(self, first: Array) -> None:
        """Begin with this one."""
        self.stack[0] = first
        self.count = 1

    def append(self, part: Array) -> None:
        """Add an array."""
        self.stack[self.count] = part
        self.count += 1

    def of(self, k: int) -> Array:
        """Return the sum of the first arrays by the weights of row k."""
        times, rows = self.terms[k]
        return times(rows).reshape(self.shape)

    def weighted(self, weights: Sequence[float]) -> Array:
        """Return the sum of the first arrays by other weights."""
        return self.product(weights)(self.flat[: len(weights)]).reshape(self.shape)


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
