"""Explicit Runge-Kutta pairs as steppers of the march."""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import Any

from ..backends import backend_of
from ..backends.namespace import Array, array_namespace
from ..backends.trees import record
from ..inverses.tableaux import Pair
from .base import Attempt, Field, Stepper
from .controller import norm
from .march_alone import PairAlone
from .stiffness import Held, held_back, is_stiff, nothing_held


@record
class Memory:
    """What is kept between steps: f(t, y), and how many of them stability held back."""

    f: Array
    held: Held


class Explicit(Stepper):
    """``Y_k = y + h sum_{l < k} a_kl F_l``; f at the end of a step is the first F of the next."""

    def __init__(self, pair: Pair) -> None:
        self.pair, self.order = pair, pair.error_order
        self.rows, self.nodes = pair.rows[1 : pair.stages], pair.nodes[1 : pair.stages]

    def alone(self, backend: Any, single: Any, rtol: Array, atol: Array, looks: bool) -> PairAlone:
        """Return the same for one element by numbers of Python."""
        return PairAlone(backend, self.pair, single.slope, rtol, atol, looks)

    def start(self, field: Field, t: Array, y: Array) -> Memory:
        """Return f."""
        return Memory(field.slope(t, y), nothing_held(t))

    def attempt(self, field: Field, t: Array, y: Array, h: Array, carry: Memory) -> Attempt:
        """Return y at t + h and the error of the pair."""
        xp, F = array_namespace(y), backend_of(y).sums((*self.rows, *self.pair.errors), y)
        step, new, last = xp.astype(h, y.dtype)[..., None] + xp.zeros_like(y), y, carry.f
        F.restart(last)
        for k, c in enumerate(self.nodes):
            points, slopes = new, last
            new = y + step * F.of(k)
            last = field.slope(t + c * h, new)
            F.append(last)
        allowed, count = field.scale(y, new), len(self.rows)
        sizes = [norm(step * F.of(count + k), allowed) for k in range(len(self.pair.errors))]
        held = held_back(h, (new, points), (last, slopes), self.pair.bound, carry.held)
        memory, failed = Memory(last, held), sizes[0] != sizes[0]
        return Attempt(new, judged(sizes), memory, failed, is_stiff=is_stiff(held))


def judged(sizes: list[Array]) -> Array:
    """Return one error of several estimates, the first of the highest order: e_1^2 / sqrt(e_1^2 + e_2^2 / 100).

    Hairer, Norsett and Wanner, section II.10.
    """
    if len(sizes) == 1:
        return sizes[0]
    xp, squares = array_namespace(sizes[0]), [e * e for e in sizes]
    below = xp.sqrt(squares[0] + reduce(add, (0.01 * s for s in squares[1:])))
    return xp.where(below > 0, squares[0] / xp.where(below > 0, below, 1.0), 0.0 * below) + 0 * sizes[0]
