"""Dense output of one element where Python knows the numbers of its grid: the intervals are looked up by those."""

from __future__ import annotations

import dataclasses
import math
from bisect import bisect_left, bisect_right

from ..backends.namespace import Array, array_namespace


@dataclasses.dataclass(frozen=True)
class Table:
    """What is looked up: the grid as it rises, (N + 1,), as numbers and as an array, and the coefficients.

    ``first`` and ``last`` are the intervals of a length that are nearest to the ends, ``ahead`` is -1 if times descend.
    """

    rising: list[float]
    grid: Array
    coefficients: Array
    ahead: float
    first: int
    last: int

    def at(self, time: float, derivative: int, begins: bool) -> Array | None:
        """Return y or a derivative of it at a time; None outside of the grid."""
        at, grid = self.ahead * time, self.rising
        if not grid[0] <= at <= grid[-1]:
            return None
        index = min(max((bisect_right if begins else bisect_left)(grid, at) - 1, self.first), self.last)
        start, c = self.ahead * grid[index], self.coefficients[index, ...]
        h = self.ahead * grid[index + 1] - start
        y = horner(c, (time - start) / (h or 1.0), derivative)
        return y / h**derivative if derivative else y

    def at_several(self, times: Array, derivative: int, begins: bool) -> Array | None:
        """Return the same at times (M,), (M, n); None if one is outside."""
        xp, at, grid = array_namespace(times), self.ahead * times, self.grid
        if not (self.rising[0] <= float(xp.min(at)) and float(xp.max(at)) <= self.rising[-1]):
            return None
        index = xp.searchsorted(grid, at, side="right" if begins else "left") - 1
        index = xp.minimum(xp.maximum(index, xp.asarray(self.first)), xp.asarray(self.last))
        start = self.ahead * xp.take(grid, index)
        h = (self.ahead * xp.take(grid, index + 1) - start)[:, None]
        y = horner(xp.take(self.coefficients, index, axis=0), (times - start)[:, None] / (h + (h == 0)), derivative)
        return y / h**derivative if derivative else y


def horner(coefficients: Array, theta: Array | float, derivative: int = 0) -> Array:
    """Return a derivative by theta, (*S, 1) or a number, of polynomials, (*S, d + 1, n), by Horner's scheme."""
    y = array_namespace(coefficients).zeros_like(coefficients[..., 0, :])
    for k in reversed(range(derivative, coefficients.shape[-2])):
        y = y * theta + (math.perm(k, derivative) * coefficients[..., k, :] if derivative else coefficients[..., k, :])
    return y


def table(t: list[float] | None, grid: Array, coefficients: Array) -> Table | None:
    """Return that of a grid of these times and coefficients; None for a batch."""
    if t is None or coefficients.ndim != 3:
        return None
    ahead = -1.0 if t[-1] < t[0] else 1.0
    rising = [ahead * at for at in t]
    most = len(rising) - 2
    first, last = min(bisect_right(rising, rising[0]) - 1, most), max(bisect_left(rising, rising[-1]) - 1, 0)
    return Table(rising, ahead * grid, coefficients, ahead, first, last)
