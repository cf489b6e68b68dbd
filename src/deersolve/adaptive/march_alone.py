"""The march of one element where nothing is compiled: times and steps are numbers of Python, which decides."""

from __future__ import annotations

import math
from collections.abc import Callable

from ..backends.namespace import Array, array_namespace
from ..backends.generic import Backend
from ..inverses.tableaux import Pair
from .controller import LONGEST, SAFETY, SHORTEST
from .march import ARRIVED, RUNNING, TOO_MANY, TOO_SMALL, ULPS

Slope = Callable[[float, Array], Array]
"""f of one time and y (n,)."""


def march_alone(
    backend: Backend, pair: Pair, slope: Slope, times: list[float], y: Array, h: float, rtol: Array, atol: Array, most: int
) -> tuple[list[float], list[Array], int]:
    """Go from the first of the times to the last, with a step that ends at each; return times, y and a code."""
    xp, root = array_namespace(y), math.sqrt(1.0 / y.shape[0])
    nodes, rows = list(enumerate(pair.nodes[1 : pair.stages])), pair.rows[1 : pair.stages]
    errors = range(len(rows), len(rows) + len(pair.errors))
    power, left = -1.0 / pair.error_order, most
    ts, ys, t, F = [times[0]], [y], times[0], backend.sums((*rows, *pair.errors), y)
    for stop in times[1:]:
        first, rejected = slope(t, y), False
        while t != stop:
            if not left:
                return ts, ys, TOO_MANY
            left -= 1
            is_last = abs(h) >= 0.999 * abs(stop - t)
            step = stop - t if is_last else h
            F.restart(first)
            for k, c in nodes:
                new = y + step * F.of(k)
                last = slope(t + c * step, new)
                F.append(last)
            scale = atol + rtol * xp.maximum(abs(y), abs(new))
            sizes = [F.of(k) / scale for k in errors]
            error = abs(step) * root * judged([float(e @ e) for e in sizes])
            by = min(max(SAFETY * max(error, 1e-30) ** power, SHORTEST), 1.0 if rejected else LONGEST) if error == error else SHORTEST
            rejected = not error <= 1
            if rejected:
                h = step * by
                if abs(h) <= ULPS * math.ulp(t):
                    return ts, ys, TOO_SMALL
                continue
            h = step * by if not is_last or abs(step * by) > abs(h) else h
            t, y = stop if is_last else t + step, new
            first = last
            ts.append(t)
            ys.append(y)
    return ts, ys, ARRIVED


def judged(squares: list[float]) -> float:
    """Return one error of the squares of several: e_1^2 / sqrt(e_1^2 + e_2^2 / 100)."""
    below = squares[0] + 0.01 * sum(squares[1:])
    return squares[0] / math.sqrt(below) if below > 0 else below
