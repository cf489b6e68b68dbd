"""The loop that one would write, f of one point after the other, and its certificate."""

from __future__ import annotations

import dataclasses
import math
from functools import reduce
from operator import add
from typing import Any

from ...backends.generic import end_to_end
from ...backends.namespace import Array, array_namespace, joined, part
from ...backends.trees import tree_map
from ...grids.times import Initial
from ..blocks import Blockwise
from ..equation import System
from ..iterate import Iterate, Options, start_at
from ..measures import eps_of, least

ENOUGH = 2**16  # numbers in the steps of a loop that f of all points is compared with
ROUNDOFF = 64  # in units of eps: how far f of one point may differ from f of all points


def loop(system: System, options: Options) -> Iterate:
    """Run the loop of a recurrence, or of an explicit rule: f of one point after the other."""
    grid, cut, (functions, x) = system.grid, system.backend.slice, system.posed

    def body(before: Initial, i: Any) -> tuple[Initial, Array]:
        K = before.y0.shape[grid.axis]
        ys = [cut(before.y0, K - max(k, 1), 1, grid.axis) for k in grid.lags]
        D = None if grid.lengths is None else cut(grid.lengths, i, 1, grid.axis)
        y = system.rule.advanced(ys[0], functions["f"](*ys, system.cut(x, i, 1)), D)
        return before.after(y, grid.axis), y

    first = carried(system)
    y = end_to_end(system.backend.scan(body, first, grid.length)[1], grid.axis)
    return loop_checked(system, options, joined([first.y0, y], grid.axis) if grid.overlap else y)


def carried(system: System) -> Initial:
    """Return the initial values as an array of its own, to be carried from step to step, or window to window."""
    return Initial(system.start().y0 + 0)


def loop_checked(system: System, options: Options, y: Array) -> Iterate:
    """Certify the loop: f of all points at once must give back what f of one point after the other gave."""
    xp = array_namespace(y)
    fresh = start_at(system, y, options)
    stride = stride_of(system)
    if system.block is None or stride > 1:
        here = dataclasses.replace(system, data=dataclasses.replace(system.data, guess=y))
        residual = _misses(here, stride)
    else:
        residual = Blockwise(system, y).rows(_misses)
    residual = system.over_grid(xp.max, residual)
    finite = system.over_grid(xp.all, xp.isfinite(y))
    certified = finite & (residual <= ROUNDOFF * eps_of(y))
    return dataclasses.replace(
        fresh, active=fresh.active & False, certified=certified, broken=~finite, residual=residual
    )


def _misses(stretch: System, stride: int = 1) -> Array:
    """Return by how much y, the guess, misses every k-th of its steps, relative to its terms, (*B, T / k, 1)."""
    grid, y, (functions, x) = stretch.grid, stretch.data.guess, stretch.posed
    axis, T = grid.axis, y.shape[grid.axis]
    some = (..., slice(None, grid.length, stride), *(slice(None),) * (-axis - 1))
    ys, D = [a[some] for a in stretch.shifted(y)], grid.lengths
    x = tree_map(lambda a: a[some] if a.shape[axis] == T else a, x)
    made = stretch.rule.advanced(ys[0], functions["f"](*ys, x), None if D is None else D[some])
    y, xp = part(y, axis, grid.overlap, None)[some], array_namespace(y)
    local = xp.max(reduce(add, map(xp.abs, (y, made, *ys))), axis=-1, keepdims=True)
    rows = xp.max(xp.abs(made - y) / (local + least(y)), axis=-1, keepdims=True)
    return joined([0 * part(rows, axis, None, grid.overlap), rows], axis)  # the first point of intervals is given


def stride_of(system: System) -> int:
    """Return 1, or k where every k-th step is looked at: a loop takes hardly longer than f of all points."""
    size = math.prod(system.data.guess.shape)
    return -(-size // ENOUGH) if size > 2 * ENOUGH else 1
