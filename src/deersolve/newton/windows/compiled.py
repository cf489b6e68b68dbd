"""Marching: the same equation solved window by window, and the sequential loop."""

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
from ...linalg.structure import Dense
from ..blocks import Blockwise
from ..equation import System
from ..iteration import Iterate, Options, newton, start_at
from ..listener import listening
from ..measures import eps_of, judge, least, magnitudes, slope_terms
from ..steps.full import FULL
from .branch import one_interval
from .homotopy import newton_on_branch
from .solved_part import largest_known, persistent

ENOUGH = 2**16  # numbers in the steps of a compiled loop that f of all points is compared with
LOOP_ROUNDOFF = 64  # in units of eps: how far f of one point may differ from f of all points


def windowed(system: System, options: Options, window: int) -> Iterate:
    """Solve windows of ``window`` steps or intervals one after the other; the last state is carried on.

    Each window is certified by itself. Where one was certified by its correction alone, the whole
    horizon is judged once more, since an error of one window may grow in the next.
    """
    whole = start_at(system, system.data.guess, options)
    length, axis = system.data.grid.length, system.grid.axis
    if window >= length:
        it, at_once = persistent(system, whole, options)
        it = one_interval(system, it, whole.active, options) if length == 1 and system.data.grid.overlap else it
        return judged(system, options, it, at_once)

    def solve_from(boundary: Initial, start: Any, steps: int) -> tuple[Initial, Iterate]:
        stretch = walked.window(start, steps, boundary)
        with listening(None):  # a line for each step of each window would be too many
            fresh = start_at(stretch, stretch.data.guess, options)
            if steps == 1 and system.data.grid.overlap:
                it = one_interval(stretch, newton_on_branch(stretch, fresh, options), whole.active, options)
            else:
                it, _ = persistent(stretch, fresh, options)
        return boundary.after(it.y, axis), it

    def body(boundary: Initial, i: Any) -> tuple[Initial, Iterate]:
        return solve_from(boundary, i * window, window)

    overlap = system.data.grid.overlap
    count, rest = divmod(length, window)
    walked = system
    if overlap and rest:  # one shape of window compiles in half the time of two
        walked, count, rest = system.longer(window - rest), count + 1, 0
    boundary, parts = system.backend.scan(body, _carry(system), count)
    y = end_to_end(parts.y, axis, overlap)
    y = y if walked is system else part(y, axis, None, length + overlap)
    pieces, tail = [y], None
    if rest:
        _, tail = solve_from(boundary, count * window, rest)
        pieces.append(part(tail.y, axis, overlap, None))
    return judged(system, options, _summary(whole, joined(pieces, axis), parts, tail))


def _carry(system: System) -> Initial:
    """Return the boundary data as an array of its own, to be carried from window to window."""
    return Initial(system.start().y0 + 0)


def _summary(whole: Iterate, y: Array, parts: Iterate, tail: Iterate | None) -> Iterate:
    xp = array_namespace(whole.y)

    def merged(name: str, best: Any) -> Array:
        stack = getattr(parts, name)
        last = [] if tail is None else [getattr(tail, name)[None, ...]]
        return best(xp.concat([stack, *last], axis=0), axis=0)

    return dataclasses.replace(
        whole,
        y=y,
        active=whole.active & False,
        certified=merged("certified", xp.all),
        broken=merged("broken", xp.any),
        strayed=merged("strayed", xp.any),
        steps=merged("steps", xp.max),
        error=merged("error", xp.max),
        residual=merged("residual", xp.max),
        history=merged("history", largest_known),
    )


def judged(system: System, options: Options, it: Iterate, known: Array | None = None) -> Iterate:
    """Judge the joined trajectory as a whole, unless every point satisfies its equation to roundoff.

    Elements that came to rest in one piece are ``known``.
    """
    doubtful = it.certified & ~it.at_roundoff
    doubtful = doubtful if known is None else doubtful & ~known

    def look(it: Iterate) -> Iterate:
        if system.block is not None:
            return _judged_in_blocks(system, options, it, doubtful)
        start = dataclasses.replace(it, active=doubtful, certified=it.certified & ~doubtful, steps=it.steps * 0)
        with listening(None):
            again = newton(system, start, dataclasses.replace(options, max_steps=2))
        return dataclasses.replace(again, steps=it.steps, history=it.history)

    again: Iterate = system.backend.rarely(doubtful, look, it)
    return again


def _judged_in_blocks(system: System, options: Options, it: Iterate, doubtful: Array) -> Iterate:
    y, linear = it.y, Blockwise(system, it.y)
    fy = system.f(*system.shifted(y))
    size = magnitudes(system, y, fy, linear.rows(lambda part: slope_terms(part.linearise(part.data.guess))))
    r = system.residual(y, fy)
    found = judge(system, y, size, r, linear.solve(r), options.atol)
    holds = found.finite & (found.at_roundoff | found.is_within(options.tolerances(eps_of(y))[0]))
    return it.updated(doubtful, certified=holds, error=found.error, residual=found.residual)


def sequential(system: System, options: Options) -> Iterate:
    """Run the loop that one would write: a recurrence step by step, a rule interval by interval."""
    if system.data.grid.overlap:
        return windowed(system, dataclasses.replace(options, structure=Dense, step=FULL), 1)
    return loop(system, options)


def loop(system: System, options: Options) -> Iterate:
    """Run the loop of a recurrence: f of one point after the other."""
    lags, axis = system.data.grid.lags, system.grid.axis
    n_points, cut, f = system.data.grid.n_points, system.backend.slice, system.functions["f"]

    def body(boundary: Initial, i: Any) -> tuple[Initial, Array]:
        K = boundary.y0.shape[axis]
        y = f(*(cut(boundary.y0, K - k, 1, axis) for k in lags), system.inputs(i, 1))
        return boundary.after(y, axis), y

    return loop_checked(system, options, end_to_end(system.backend.scan(body, _carry(system), n_points)[1], axis))


def _misses(part: System, stride: int = 1) -> Array:
    """Return by how much y, the guess, misses every k-th of its steps, relative to its terms, (*B, T / k, 1)."""
    y, ys = part.data.guess, part.shifted(part.data.guess)
    if stride > 1:
        y, ys = y[..., ::stride, :], tuple(a[..., ::stride, :] for a in ys)
        x = tree_map(lambda a: a[..., ::stride, :] if a.shape[-2] > 1 else a, part.data.x)
        part = dataclasses.replace(part, data=dataclasses.replace(part.data, x=x))
    xp, fy = array_namespace(y), part.f(*ys)
    size = reduce(add, map(xp.abs, (y, fy, *ys)))
    local = xp.max(size, axis=-1, keepdims=True)
    return xp.max(xp.abs(fy - y) / (local + least(y)), axis=-1, keepdims=True)


def stride_of(system: System) -> int:
    """Return 1, or k where every k-th step is looked at: a compiled loop takes no longer than f of all points."""
    size = math.prod(system.data.guess.shape)
    return -(-size // ENOUGH) if system.backend.compiles and system.block is None and size > 2 * ENOUGH else 1


def loop_checked(system: System, options: Options, y: Array) -> Iterate:
    """Certify the loop: f of all points at once must give back what f of one point after the other gave."""
    xp = array_namespace(y)
    fresh = start_at(system, y, options)
    if system.block is None:
        here = dataclasses.replace(system, data=dataclasses.replace(system.data, guess=y))
        residual = _misses(here, stride_of(system))
    else:
        residual = Blockwise(system, y).rows(_misses)
    residual = system.over_grid(xp.max, residual)
    finite = system.over_grid(xp.all, xp.isfinite(y))
    agrees = residual <= LOOP_ROUNDOFF * eps_of(y)
    return dataclasses.replace(
        fresh, active=fresh.active & False, certified=agrees & finite, broken=~finite, residual=residual
    )
