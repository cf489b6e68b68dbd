"""The loop that one would write, f of one point after the other, and its certificate."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import reduce
from operator import add
from typing import Any

from ...backends.namespace import Array, Tree, array_namespace, joined, part
from ...backends.spans import end_to_end, spans_of
from ...backends.trees import tree_map
from ...errors import FunctionError
from ...grids.times import Initial
from ..blocks import Blockwise
from ..equation import System
from ..iterate import Iterate, Options, start_at
from ..measures import eps_of, least

ENOUGH, FEW = 2**14, 16  # numbers in the steps of a loop that f of many points is compared with; not fewer steps
CHANGED = (
    "backward: f is not what it was in solve(): expected the same weights; received some that were modified by an "
    "inplace operation, or given another value. What the steps compute on their way does not fit the memory and is "
    "computed again in backward: call it before anything changes, or solve with a method of more memory, as "
    "Auto(memory=None)."
)
RARE = 8  # of a compiled loop, which costs no more than f of all points: one step in so many
ROUNDOFF = 64  # in units of eps: how far f of one point may differ from f of all points


def loop(system: System, options: Options) -> Iterate:
    """Run the loop and certify it."""
    return loop_checked(system, options, trajectory(system))


def trajectory(system: System) -> Array:
    """Return y of a recurrence, or of an explicit rule: f of one point after the other.

    What follows the data, or what f holds, follows y.
    """
    grid, axis, first = system.grid, system.grid.axis, carried(system).y0
    y = end_to_end(system.backend.scan(_step(system, first.shape[axis]), first, grid.length)[1], axis)
    return joined([first, y], axis) if grid.overlap else y


def recorded(system: System) -> Array:
    """Return the same, of which a graph keeps no more than the memory has room for.

    Of more steps it keeps where stretches of them begin, and f is called again on the way back.
    """
    grid, axis, by = system.grid, system.grid.axis, system.backend
    if system.stretch >= grid.length:
        return trajectory(system)

    def piece(before: Initial, start: int, steps: int) -> tuple[Initial, Array]:
        def rows(y0: Array, x: Tree) -> Array:
            window = system.window(start, steps, Initial(y0))
            return trajectory(dataclasses.replace(window, data=dataclasses.replace(window.data, x=x)))

        y = by.rematerialised(_unchanged(system, rows))(before.y0, system.inputs(start, steps + grid.overlap))
        return before.after(y, axis), y

    return by.over_spans(piece, carried(system), spans_of(grid.length, system.stretch), axis, grid.overlap)


def _unchanged(system: System, function: Callable[..., Array]) -> Callable[..., Array]:
    """Return the function; what it makes when it is called again has to be what it made."""
    before = list[Array]()

    def checked(*args: Any) -> Array:
        made = function(*args)
        rows, xp = system.backend.without_gradient(made), array_namespace(made)
        if not before:
            before.append(rows)
        elif not bool(xp.all((rows == before[0]) | (rows != rows))):
            raise FunctionError(CHANGED)
        return made

    return checked


def _step(system: System, K: int) -> Callable[[Array, Any], tuple[Array, Array]]:
    """Return the step from the K values before it, (*B, K, n), as body of a loop over their numbers."""
    grid, axis, by, (functions, x) = system.grid, system.grid.axis, system.backend, system.posed
    f, advanced, lags, (leaves, form) = functions["f"], system.rule.advanced, grid.lags, by.flatten(x)
    varying = {k: by.entries(a, axis) for k, a in enumerate(leaves) if system.spans(a)}
    lengths = None if grid.lengths is None else by.entries(grid.lengths, axis)

    def here(i: Any) -> Tree:
        return form.unflatten([varying[k](i) if k in varying else a for k, a in enumerate(leaves)])

    def body(before: Array, i: Any) -> tuple[Array, Array]:
        ys = [before] if K == 1 else [by.slice(before, K - k, 1, axis) for k in lags]
        fy = f(*ys, here(i) if varying else x)
        y = advanced(ys[0], fy, None if lengths is None else lengths(i))
        return (y if K == 1 else Initial(before).after(y, axis).y0), y

    return body


def carried(system: System) -> Initial:
    """Return the initial values as an array of its own, to be carried from step to step, or window to window."""
    return Initial(system.start().y0 + 0)


def loop_checked(system: System, options: Options, y: Array) -> Iterate:
    """Certify the loop: f of many points at once must give back what f of one point after the other gave."""
    xp, fresh = array_namespace(y), start_at(system, y, options)
    stride = stride_of(system)
    if system.block is None or stride > 1:
        here = dataclasses.replace(system, data=dataclasses.replace(system.data, guess=y))
        residual = _misses(here, stride)
    else:
        residual = Blockwise(system, y).rows(_misses)
    residual = system.over_grid(xp.max, residual)
    finite = _is_finite(system, y)
    certified = finite & (residual <= ROUNDOFF * eps_of(y))
    return dataclasses.replace(
        fresh, active=fresh.active & False, certified=certified, broken=~finite, residual=residual
    )


def _is_finite(system: System, y: Array) -> Array:
    """Return whether each batch element is finite: where a sum is, its terms are, and it is the cheapest to look at."""
    xp, axis = array_namespace(y), system.grid.axis
    first = part(y, axis, 0, 1)
    if system.backend.is_concrete(y) and bool(xp.all(xp.isfinite(xp.sum(y, axis=axis)))):
        return system.over_grid(xp.all, first == first)
    return system.over_grid(xp.all, xp.all(xp.isfinite(y), axis=axis, keepdims=True))  # time is the outermost axis


def _misses(stretch: System, stride: int = 1) -> Array:
    """Return by how much y, the guess, misses every k-th of its steps, relative to its terms, (*B, T / k, 1)."""
    grid, y, (functions, x) = stretch.grid, stretch.data.guess, stretch.posed
    axis, T, D, xp = grid.axis, y.shape[grid.axis], grid.lengths, array_namespace(y)
    ys = [_earlier(stretch, y, k, stride) for k in grid.lags]
    x = tree_map(lambda a: part(a, axis, None, grid.length, stride) if a.shape[axis] == T else a, x)
    D = None if D is None else part(D, axis, None, None, stride)
    made = stretch.rule.advanced(ys[0], functions["f"](*ys, x), D)
    y = part(y, axis, grid.overlap, None, stride)
    local = xp.max(reduce(add, map(xp.abs, (y, made, *ys))), axis=-1, keepdims=True)
    rows = xp.max(xp.abs(made - y) / (local + least(y)), axis=-1, keepdims=True)
    return joined([0 * part(rows, axis, None, grid.overlap), rows], axis)  # the first point of intervals is given


def _earlier(system: System, y: Array, lag: int, stride: int) -> Array:
    """Return what every k-th step starts from, ``lag`` steps before it: the other steps are not copied."""
    grid, axis, history = system.grid, system.grid.axis, system.start().y0
    if grid.overlap:
        return part(y, axis, None, -1, stride)
    K, T, known = history.shape[axis], y.shape[axis], -(-lag // stride)
    first = part(history, axis, K - lag, min(K, K - lag + T), stride)
    return joined([first, part(y, axis, known * stride - lag, max(T - lag, 0), stride)], axis)


def stride_of(system: System) -> int:
    """Return 1, or k where every k-th step is looked at: a loop takes hardly longer than f of all points."""
    size, T = math.prod(system.data.guess.shape), int(system.grid.length)
    most = T // RARE if system.backend.compiles else T
    enough = most if size <= 2 * ENOUGH else min(ENOUGH * T // size, most)
    return max(T // max(enough, FEW), 1)
