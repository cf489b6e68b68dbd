"""The march of one element where nothing is compiled: times and steps are numbers of Python, which decides."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

from ..backends.generic import Backend
from ..backends.namespace import Array, array_namespace
from ..inverses.tableaux import Pair
from .controller import LONGEST, SAFETY, SHORTEST
from .march import ARRIVED, STIFF, TOO_MANY, TOO_SMALL, ULPS

HITS, MISSES = 15, 6  # steps on end that are held back, and those between that forget them

Slope = Callable[[float, Array], Array]
"""f of one time and y (n,)."""


@dataclasses.dataclass
class Steps:
    """Those that were taken: times and y, how many were tried, and how it ended."""

    t: list[float]
    y: list[Array]
    tried: int = 0
    code: int = ARRIVED


class Held:
    """Counts steps that stability holds back: Hairer and Wanner, Solving Ordinary Differential Equations II, IV.2.

    The last two stages are at the same time, so that they tell the largest eigenvalue of h df/dy.
    """

    def __init__(self, bound: float) -> None:
        self.squared, self.hits, self.misses = bound * bound, 0, 0

    def back(self, change: float, way: float) -> bool:
        """Return whether it is so, given ``|h (f_1 - f_2)|^2`` and ``|Y_1 - Y_2|^2`` of a step that was taken."""
        if change > self.squared * way:
            self.hits, self.misses = self.hits + 1, 0
        elif self.hits:
            self.misses += 1
            if self.misses == MISSES:
                self.hits = 0
        return self.hits == HITS


@dataclasses.dataclass(frozen=True)
class Alone:
    """An explicit pair, f and a tolerance."""

    backend: Backend
    pair: Pair
    slope: Slope
    rtol: Array
    atol: Array
    longest: float
    most: int
    looks: bool = True

    def march(self, times: list[float], y: Array, h: float) -> Steps:
        """Go from the first of the times to the last, with a step that ends at each."""
        xp, pair, root = array_namespace(y), self.pair, math.sqrt(1.0 / y.shape[0])
        nodes, rows = list(enumerate(pair.nodes[1 : pair.stages])), pair.rows[1 : pair.stages]
        errors, power = range(len(rows), len(rows) + len(pair.errors)), -1.0 / pair.error_order
        new = last = y
        at, t, F, slope = Steps([times[0]], [y]), times[0], self.backend.sums((*rows, *pair.errors), y), self.slope
        for stop in times[1:]:
            first, rejected, held = slope(t, y), False, Held(pair.bound)
            while t != stop:
                if at.tried == self.most:
                    return dataclasses.replace(at, code=TOO_MANY)
                at.tried += 1
                length = h if abs(h) <= self.longest else math.copysign(self.longest, h)
                is_last = abs(length) >= 0.999 * abs(stop - t)
                step = stop - t if is_last else length
                F.restart(first)
                for k, c in nodes:
                    before, slopes = new, last
                    new = y + step * F.of(k)
                    last = slope(t + c * step, new)
                    F.append(last)
                scale = self.atol + self.rtol * xp.maximum(abs(y), abs(new))
                parts = [F.of(k) / scale for k in errors]
                error = abs(step) * root * judged([float(e @ e) for e in parts])
                best = SAFETY * max(error, 1e-30) ** power if error < math.inf else 0.0
                rejected, by = not error <= 1, min(max(best, SHORTEST), 1.0 if rejected else LONGEST)
                if rejected:
                    h = step * by
                    if abs(h) <= ULPS * math.ulp(t):
                        return dataclasses.replace(at, code=TOO_SMALL)
                    continue
                way, change = new - before, last - slopes
                if held.back(step * step * float(change @ change), float(way @ way)):
                    return dataclasses.replace(at, code=STIFF)
                h = h if is_last and abs(step * by) < abs(h) else step * by
                t, y, first = stop if is_last else t + step, new, last
                at.t.append(t)
                at.y.append(y)
        return at


def judged(squares: list[float]) -> float:
    """Return one error of the squares of several: e_1^2 / sqrt(e_1^2 + e_2^2 / 100)."""
    below = squares[0] + 0.01 * sum(squares[1:])
    return squares[0] / math.sqrt(below) if below > 0 else below
