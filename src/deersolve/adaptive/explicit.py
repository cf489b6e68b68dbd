"""Explicit Runge-Kutta pairs as steppers of the march."""

from __future__ import annotations

import copy
from typing import Any

from ..backends import backend_of
from ..backends.namespace import Array, array_namespace, padded
from ..backends.sums import Sums
from ..backends.trees import record
from ..inverses.tableaux import Pair
from .base import Attempt, Field, Stepper
from .controller import LONGEST, SAFETY, square
from .jumps import FADE, SHORT, over_a_jump
from .march_alone import FLOOR, PairAlone
from .stiffness import Held, held_back, is_stiff, nothing_held


@record
class Memory:
    """What is kept between steps: f(t, y), how many of them stability held back, and the longest of late, (*B, 1)."""

    f: Array
    held: Held
    reach: Array


class Explicit(Stepper):
    """``Y_k = y + h sum_{l < k} a_kl F_l``; f at the end of a step is the first F of the next."""

    F: Sums
    places: Array
    floor: Array
    looks: bool
    has_path: bool

    def __init__(self, pair: Pair) -> None:
        self.pair, self.order = pair, pair.error_order
        self.rows, self.nodes, self.count = pair.rows[1:], pair.nodes[1:], pair.stages - 1

    def alone(self, backend: Any, single: Any, rtol: Array, atol: Array, looks: bool) -> PairAlone:
        """Return the same for one element by numbers of Python."""
        return PairAlone(backend, self.pair, single.slope, rtol, atol, looks)

    def beside(self, field: Field, y: Array, looks: bool) -> Explicit:
        """Return itself with room for the slopes of a step, and with its numbers as arrays."""
        made, backend = copy.copy(self), backend_of(y)
        errors = [[weight * y.shape[-1] ** -0.5 for weight in row] for row in self.pair.errors]
        made.looks, made.has_path = looks, backend.compiles
        made.F = backend.sums((*self.rows, *errors, *zip(*self.pair.extension, strict=True)), y)
        made.places = backend.convert(self.nodes, y, field.atol.dtype)
        made.floor = FLOOR * array_namespace(y).max(field.rtol)
        return made

    def start(self, field: Field, t: Array, y: Array) -> Memory:
        """Return f."""
        return Memory(field.slope(t, y), nothing_held(t), 0 * t)

    def attempt(self, field: Field, t: Array, y: Array, h: Array, carry: Memory) -> Attempt:
        """Return y at t + h and the error of the pair."""
        xp, F, count = array_namespace(y), self.F, self.count
        step = xp.astype(h, y.dtype, copy=False)[..., None] + xp.zeros_like(y)
        times = t + h * padded(self.places, h.ndim)
        places = [times[..., k : k + 1] for k in range(len(self.rows))]

        def stage(point: Array, time: Array) -> tuple[Array, Array]:
            point *= step
            point += y
            return point, field.slope(time, point)

        F.restart(carry.f)
        (points, slopes), (new, last) = F.fill(stage, 0, places[:count])
        share, of_errors = step / field.scale(y, new), len(self.rows)
        error = judged([square(share * F.of(of_errors + k)) for k in range(len(self.pair.errors))], self.floor)
        held, path = carry.held, None
        if self.looks:
            held = held_back(step * (last - slopes), new - points, self.pair.bound, held)
        if self.has_path:
            F.fill(stage, count, places[count:])
            path = step[..., None, :] * F.of_rows(of_errors + len(self.pair.errors), len(F.rows))
            path = path[..., 0, :, :]
        reach = xp.maximum(xp.abs(h), FADE * carry.reach)
        whole = xp.sqrt(square(share * (last - carry.f)) / y.shape[-1])
        is_jump = over_a_jump(error, whole, (xp.abs(h) < SHORT * reach)[..., 0])
        grown = xp.where(is_jump, SAFETY / xp.where(is_jump, whole, 1.0), LONGEST)
        error, kept = xp.where(is_jump, whole, error), Memory(carry.f, carry.held, reach)
        made = Memory(last, held, reach)
        return Attempt(new, error, made, error != error, kept, grown, is_stiff=is_stiff(held), path=path)


def judged(squares: list[Array], floor: Array) -> Array:
    """Return one error of the squares of several, the first of the highest order: e_1^2 / sqrt(e_1^2 + e_2^2 / 100).

    Hairer, Norsett and Wanner, section II.10. Where e_1 is 0 by chance, a floor times e_2^2 stands in: see FLOOR.
    """
    xp, first = array_namespace(squares[0]), squares[0]
    if len(squares) == 1:
        return xp.sqrt(first)
    error = first / xp.sqrt(first + 0.01 * squares[1] + float(xp.finfo(first.dtype).smallest_normal))
    return xp.maximum(error, floor * squares[1])
