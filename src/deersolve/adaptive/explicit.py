"""Explicit Runge-Kutta pairs as steppers of the march."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from operator import add
from typing import Any

from ..backends import backend_of
from ..backends.namespace import Array, array_namespace
from ..inverses.tableaux import Pair
from .base import Attempt, Slope, Stepper
from .controller import norm


class Explicit(Stepper):
    """``Y_k = y + h sum_{l < k} a_kl F_l``; f at the end of a step is the first F of the next."""

    def __init__(self, pair: Pair) -> None:
        self.pair, self.order = pair, pair.error_order
        self.rows, self.nodes = pair.rows[1 : pair.stages], pair.nodes[1 : pair.stages]

    def start(self, slope: Slope, jacobian: Any, t: Array, y: Array) -> Array:
        """Return f."""
        return slope(t, y)

    def attempt(
        self, slope: Slope, jacobian: Any, t: Array, y: Array, h: Array, carry: Array, scale: Callable[..., Array]
    ) -> Attempt:
        """Return y at t + h and the error of the pair."""
        xp, F = array_namespace(y), backend_of(y).sums((*self.rows, *self.pair.errors), y)
        step = xp.astype(h, y.dtype)[..., None]
        F.restart(carry)
        for k, c in enumerate(self.nodes):
            new = y + step * F.of(k)
            last = slope(t + c * h, new)
            F.append(last)
        allowed, count = scale(y, new), len(self.rows)
        sizes = [norm(step * F.of(count + k), allowed) for k in range(len(self.pair.errors))]
        return Attempt(new, judged(sizes), last, sizes[0] != sizes[0])


def judged(sizes: list[Array]) -> Array:
    """Return one error of several estimates, the first of the highest order: e_1^2 / sqrt(e_1^2 + e_2^2 / 100).

    Hairer, Norsett and Wanner, section II.10.
    """
    if len(sizes) == 1:
        return sizes[0]
    xp, squares = array_namespace(sizes[0]), [e * e for e in sizes]
    below = xp.sqrt(squares[0] + reduce(add, (0.01 * s for s in squares[1:])))
    return xp.where(below > 0, squares[0] / xp.where(below > 0, below, 1.0), 0.0 * below) + 0 * sizes[0]
