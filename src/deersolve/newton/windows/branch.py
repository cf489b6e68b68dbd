"""The root of an implicit rule that continues from the y before it, followed while the interval grows."""

from __future__ import annotations

import dataclasses

from ...backends.namespace import Array, array_namespace, padded_behind
from ..equation import System
from ..iteration import Iterate, Options, start_at
from .homotopy import FINEST, followed, newton_on_branch
from .solved_part import PATIENCE, lost


def one_interval(part: System, it: Iterate, alive: Array, options: Options) -> Iterate:
    """Return the iterate of a window of one interval, with what can still be done for elements that failed."""
    if not part.backend.is_concrete(it.certified):
        return lost(part, it, options)
    if not bool(array_namespace(it.y).any(alive & ~it.certified)):
        return it
    return lost(part, follow(part, it, alive, options), options)


def follow(part: System, it: Iterate, alive: Array, options: Options) -> Iterate:
    """Return the iterate of one interval with the roots of elements that Newton's method did not find."""
    few = dataclasses.replace(options, patience=min(PATIENCE, options.max_steps))
    seeks = alive & ~it.certified
    if part.rule.theta is None:
        return _picked(it, *_stepped(part, it, seeks, few))
    root, arrives = followed(part, part.data.boundary.y0 + 0 * it.y)
    found = seeks & part.over_grid(array_namespace(it.y).all, arrives)
    return _picked(it, newton_on_branch(part, start_at(part, root, few, active=found), few), found)


def _stepped(part: System, it: Iterate, seeks: Array, options: Options) -> tuple[Iterate, Array]:
    """Return the same by Newton's method on the whole interval, and of which elements; any rule will do.

    With D replaced by s D the root is y_0 at s = 0, and a continuous function of s until it ends in a fold, where
    det(I + theta s D G) = 0: s grows to 1 by steps that Newton's method can take from the root before.
    """
    xp, grid = array_namespace(it.y), part.data.grid
    y, s, step = part.data.boundary.y0 + 0 * it.y, 0.0, 0.25
    last = it
    while s < 1.0 and bool(xp.any(seeks)):
        ahead = min(s + step, 1.0)
        scaled = dataclasses.replace(part.data, grid=dataclasses.replace(grid, D=grid.D * ahead))
        system = dataclasses.replace(part, data=scaled)
        last = newton_on_branch(system, start_at(system, y, options, active=seeks), options)
        if not bool(xp.any(seeks & ~last.certified)):
            y, s, step = last.y, ahead, 2 * step
        elif step > FINEST:
            step = step / 2
        else:
            seeks = seeks & last.certified
    return last, seeks


def _picked(it: Iterate, last: Iterate, seeks: Array) -> Iterate:
    xp, found = array_namespace(it.y), seeks & last.certified

    def pick(name: str) -> Array:
        new, old = getattr(last, name), getattr(it, name)
        return xp.where(padded_behind(found, new.ndim), new, old)

    names = ("y", "certified", "broken", "strayed", "error", "residual")
    return dataclasses.replace(it, **{name: pick(name) for name in names})
