"""The march of one element where nothing is compiled: times and steps are numbers of Python, which decides."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Protocol

from ..backends.generic import Backend
from ..backends.namespace import Array, array_namespace
from ..inverses.tableaux import Pair
from .controller import FAILED, LONGEST, SAFETY, SHORTEST
from .jumps import FADE, SHORT, over_a_jump
from .march import ARRIVED, EVERY, LEFT, NOT_FINITE, STALLED, STIFF, TOO_MANY, TOO_SMALL, ULPS, WAY
from .stiffness import HITS, MISSES

FLOOR = 0.01
"""The error of order 8 is not below FLOOR times rtol e^2, where e is that of order 3, both in tolerances.

They go as h^8 and h^4: where the first is 1, rtol e^2 is mostly between 1 and 30, so that this shortens few steps.
"""
Slope = Callable[[float, Array], Array]
"""f of one time and y (n,)."""


class StepperAlone(Protocol):
    """A rule with f and a tolerance, which steps on from where it was.

    Attributes
    ----------
    order : int
        The error of a step is of h^order.
    is_stiff : bool
        Whether stability, and not the error, holds back its steps.
    path : array, shape (s, n), or None
        The coefficients of theta, ..., theta^s in the step that was taken last, of rules that have them.
    rtol, atol : array
        The tolerance.
    """

    order: int
    is_stiff: bool
    path: Any
    rtol: Array
    atol: Array

    def start(self, t: float, y: Array, limits: tuple[float, float]) -> None:
        """Begin at a time, with no step before; f is called between two limits of time only."""

    def attempt(self, t: float, y: Array, h: float) -> tuple[Array, float, float]:
        """Return y at t + h, its error (NaN if there is no such y), and by what the next step is longer at most.

        With an error of at most 1 the step is taken.
        """


@dataclasses.dataclass
class Steps:
    """Those that were taken: times, y and paths, how many were tried, and how it ended."""

    t: list[float]
    y: list[Array]
    paths: list[Any]
    tried: int = 0
    code: int = ARRIVED
    seen: float = math.nan

    def add(self, t: float, y: Array, path: Any) -> None:
        """Take a step."""
        self.t.append(t)
        self.y.append(y)
        self.paths.append(path)

    def is_lost(self, stop: float, rtol: Array, atol: Array) -> bool:
        """Return whether too many steps are left, and the last one was short by the tolerance too."""
        xp, t, y = array_namespace(self.y[-1]), self.t[-1], self.y[-1]
        if not abs(stop - t) * EVERY > LEFT * abs(t - self.seen):
            return False
        return bool(xp.max(abs(y - self.y[-2]) / (atol + rtol * abs(y))) < WAY)


def march(stepper: StepperAlone, times: list[float], y: Array, h: float, longest: float, most: int) -> Steps:
    """Go from the first of the times to the last, with a step that ends at each, where f may jump."""
    at, last = Steps([times[0]], [y], []), len(times) - 2
    eps = float(array_namespace(y).finfo(y.dtype).eps)
    for k, (t, stop) in enumerate(pairwise(times)):
        if k:
            at.add(t, y, None)
        side = math.copysign(eps, stop - t)
        limits = t + side * abs(t) * (k > 0), stop - side * abs(stop) * (k < last)
        stepper.start(t, y, (min(limits), max(limits)))
        h = _piece(stepper, at, stop, h, longest, most)
        y = at.y[-1]
        if at.code != ARRIVED:
            break
    return at


def _piece(stepper: StepperAlone, at: Steps, stop: float, h: float, longest: float, most: int) -> float:
    """Go on to a time; return the length of the next step."""
    t, y, rejected, power = at.t[-1], at.y[-1], False, -1.0 / stepper.order
    while t != stop:
        if at.tried == most:
            at.code = TOO_MANY
            break
        at.tried += 1
        if at.tried % EVERY == 0:
            if len(at.y) > 1 and at.is_lost(stop, stepper.rtol, stepper.atol):
                at.code = STALLED
                break
            at.seen = t
        length = h if abs(h) <= longest else math.copysign(longest, h)
        is_last = abs(length) >= 0.999 * abs(stop - t)
        step = stop - t if is_last else (t + length) - t or length  # what is between two times, not what was meant
        new, error, growth = stepper.attempt(t, y, step)
        best = min(SAFETY * max(error, 1e-30) ** power, growth) if error < math.inf else min(growth, FAILED)
        by = min(max(best, SHORTEST), 1.0 if rejected else LONGEST)
        rejected = not error <= 1
        if rejected:
            h = step * by
            if abs(h) <= ULPS * math.ulp(t):
                at.code = TOO_SMALL if error < math.inf else NOT_FINITE
                break
            continue
        h = h if is_last and abs(step * by) < abs(h) else step * by
        t, y = stop if is_last else t + step, new
        at.add(t, y, stepper.path)
        if stepper.is_stiff:
            at.code = STIFF
            break
    return h


class PairAlone:
    """An explicit pair."""

    path = None

    def __init__(self, backend: Backend, pair: Pair, slope: Slope, rtol: Array, atol: Array, looks: bool) -> None:
        self.backend, self.pair, self.slope, self.rtol, self.atol, self.looks = backend, pair, slope, rtol, atol, looks
        self.order, self.is_stiff = pair.error_order, False
        self.nodes, self.rows = list(enumerate(pair.nodes[1 : pair.stages])), pair.rows[1 : pair.stages]
        self.floor = FLOOR * float(array_namespace(rtol).max(rtol))
        self.errors = range(len(self.rows), len(self.rows) + len(pair.errors))

    def start(self, t: float, y: Array, limits: tuple[float, float]) -> None:
        """Begin at a time."""
        self.stages = self.backend.stages((*self.rows, *self.pair.errors), y)
        self.low, self.high = limits
        self.first, self.share = self.slope(min(max(t, self.low), self.high), y), 1.0 / y.shape[0]
        self.hits, self.misses, self.reach = 0, 0, 0.0

    def attempt(self, t: float, y: Array, h: float) -> tuple[Array, float, float]:
        """Return y at t + h and its error."""
        F, slope, new, last = self.stages, self.slope, y, self.first
        F.begin(y, h, last)
        point, append, moved = F.point, F.append, F.moved
        for k, at in self._times(t, h):
            before, slopes, new = new, last, point(k)
            last = slope(at, new)
            append(last)
        scale = self.atol + self.rtol * array_namespace(y).maximum(abs(y), abs(new))
        error, growth = judged([self.share * _squared(moved(k) / scale) for k in self.errors], self.floor), LONGEST
        self.reach = max(abs(h), FADE * self.reach)
        if error <= 1 and abs(h) < SHORT * self.reach:
            whole = math.sqrt(self.share * _squared(h * (last - self.first) / scale))
            if over_a_jump(error, whole, True):
                error, growth = whole, SAFETY / whole
        if error <= 1:
            self.first = last
            if self.looks:
                self._look(h * h * _squared(last - slopes), _squared(new - before))
        return new, error, growth

    def _times(self, t: float, h: float) -> list[tuple[int, float]]:
        """Return the times of the stages within the limits."""
        low, high = self.low, self.high
        if low <= t <= high and low <= t + h <= high:  # and so is all between them
            return [(k, t + c * h) for k, c in self.nodes]
        return [(k, min(max(t + c * h, low), high)) for k, c in self.nodes]

    def _look(self, change: float, way: float) -> None:
        """Count steps that stability holds back, by ``|h (f_1 - f_2)|^2`` and ``|Y_1 - Y_2|^2`` of its last stages."""
        if change > self.pair.bound**2 * way:
            self.hits, self.misses = self.hits + 1, 0
            self.is_stiff = self.hits >= HITS
        elif self.hits:
            self.misses += 1
            if self.misses >= MISSES:
                self.hits = 0


def _squared(e: Array) -> float:
    return float(e @ e)


def judged(squares: list[float], floor: float) -> float:
    """Return one error of the squares of several: e_1^2 / sqrt(e_1^2 + e_2^2 / 100), of two not below a floor e_2^2."""
    below = squares[0] + 0.01 * sum(squares[1:])
    error = squares[0] / math.sqrt(below) if below > 0 else below
    return max(error, floor * squares[1]) if len(squares) > 1 else error
