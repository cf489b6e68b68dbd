"""The loop that one would write, f of one point after the other, and its certificate."""

from __future__ import annotations

import dataclasses
import math
from functools import reduce
from operator import add
from typing import Any

from ...backends.generic import end_to_end
from ...backends.namespace import Array, array_namespace, joined
from ...backends.trees import tree_map
from ...grids.times import Initial
from ..blocks import Blockwise
from ..equation import System
from ..iterate import Iterate, Options, start_at
from ..measures import eps_of, least

ENOUGH = 2**16  # numbers in the steps of a compiled loop that f of all points is compared with
ROUNDOFF = 64  # in units of eps: how far f of one point may differ from f of all points


def loop(system: System, options: Options) -> Iterate:
    """Run the loop of a recurrence, or of an explicit rule: f of one point after the other."""
    grid, cut, (functions, x) = system.grid, system.backend.slice, system.posed

    def body(before: Initial, i: Any) -> tuple[Initial, Array]:
        K = before.y0.shape[grid.axis]
        ys = [cut(before.y0, K - max(k, 1), 1, grid.axis) for k in grid.lags]
        y = system.rule.advanced(ys[0], functions["f"](*ys, system.cut(x, i, 1)), grid.interval(cut, i))
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
    blocks = [size for size in (system.block, steps_in_cache(system)) if size is not None]
    if not blocks:
        here = dataclasses.replace(system, data=dataclasses.replace(system.data, guess=y))
        residual = _misses(here, stride_of(system))
    else:
        residual = Blockwise(dataclasses.replace(system, block=min(blocks)), y).rows(_misses)
    residual = system.over_grid(xp.max, residual)
    finite = system.over_grid(xp.all, xp.isfinite(y))
    certified = finite & (residual <= ROUNDOFF * eps_of(y))
    return dataclasses.replace(
        fresh, active=fresh.active & False, certified=certified, broken=~finite, residual=residual
    )


def _misses(stretch: System, stride: int = 1) -> Array:
    """Return by how much y, the guess, misses every k-th of its steps, relative to its terms, (*B, T / k, 1)."""
    some = (..., slice(None, None, stride), *(slice(None),) * (-stretch.grid.axis - 1))
    y, ys = stretch.data.guess, stretch.shifted(stretch.data.guess)
    if stride > 1:
        y, ys = y[some], tuple(a[some] for a in ys)
        x = tree_map(lambda a: a[some] if a.shape[stretch.grid.axis] > 1 else a, stretch.data.x)
        stretch = dataclasses.replace(stretch, data=dataclasses.replace(stretch.data, x=x))
    xp, fy = array_namespace(y), stretch.f(*ys)
    size = reduce(add, map(xp.abs, ys), stretch.magnitude(xp.abs(y), xp.abs(fy)))
    local = xp.max(size, axis=-1, keepdims=True)
    return xp.max(xp.abs(stretch.residual(y, fy)) / (local + least(y)), axis=-1, keepdims=True)


def steps_in_cache(system: System) -> int | None:
    """Return of how many steps f is faster than of more, None where all of them are as fast."""
    most, length = system.backend.in_cache, int(system.grid.length)
    steps = length if most is None else max(most * length // math.prod(system.data.guess.shape), *system.grid.lags, 1)
    return steps if steps < length else None


def stride_of(system: System) -> int:
    """Return 1, or k where every k-th step is looked at: a compiled loop takes no longer than f of all points."""
    size = math.prod(system.data.guess.shape)
    is_long = system.block is None and size > 2 * ENOUGH and not system.grid.overlap
    return -(-size // ENOUGH) if system.backend.compiles and is_long else 1
