"""Newton's method on all points at once.

The equation L[y] = f(S_1[y], ..., S_P[y]) is solved by the fixed-point iteration

    y_next = L_G^{-1}[f(y_1, ..., y_P) + sum_p G_p y_p],    L_G = L + sum_p G_p S_p,    y_p = S_p[y],

(arXiv 2309.12252, eq. 3), which is Newton's method with G_p = -d f / d y_p (eq. 5). L_G[y] taken from both sides makes
it a correction of y:

    y_next = y + delta,    (L + M sum_p G_p S_p) delta = M f(y_1, ..., y_P) - L y.

M holds the weights that a rule gives to f in each row: 1 of a recurrence, D (1 - theta) and D theta of the two ends of
an interval. The right-hand side is the residual, of which roundoff is known; so it certifies y.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

from ..backends.namespace import Array, array_namespace
from ..linalg.structure import Dense, Structure
from .branch import on_branch
from .chords import by_chords, is_near
from .equation import Linearised, System
from .iterate import Iterate, Options, move, start_at
from .measures import judge, needs_search, terms
from .slopes import belie
from .solved_points import reach
from .steps.base import Correct, Here
from .steps.full import FULL

NEAR = 1e-2  # the correction from which on an iterate is near a root


def newton(system: System, start: Iterate, options: Options) -> Iterate:
    """Iterate as chosen; what that leaves is finished, and so certified, by full dense steps."""
    it = iterate(system, start, options)
    if options.is_plain:
        return it
    dense = dataclasses.replace(options, structure=Dense, step=FULL)
    known = ("certified", "broken", "strayed", "sure", "belied", "error", "residual", "reached")
    fresh = start_at(system, it.y, dense, active=start.active & ~it.broken & ~it.certified)
    last = iterate(system, dataclasses.replace(fresh, **{name: getattr(it, name) for name in known}), dense)
    return dataclasses.replace(last, steps=it.steps + last.steps, history=it.history, damping=it.damping)


def iterate(system: System, start: Iterate, options: Options) -> Iterate:
    """Repeat :func:`advance` until every batch element is at roundoff, stands still, breaks or runs out of steps."""
    xp = array_namespace(start.y)

    def unfinished(it: Iterate) -> Array:
        return xp.any(it.active)

    last: Iterate = system.backend.while_loop(unfinished, lambda it: advance(system, it, options), start)
    return last


def advance(system: System, it: Iterate, options: Options) -> Iterate:
    """Make one step: linearise at y, solve for delta, judge y by both, and correct the elements that need it.

    Elements whose next corrections will be small are finished with the same G (:mod:`.chords`). Of those that stop
    unsolved it is noted how far from the first point on they are solved (:mod:`.solved_points`), and certified is only
    what may be on the branch that continues from the start (:mod:`.branch`).
    """
    xp = array_namespace(it.y)
    at = system.linearise(it.y, options.structure)  # f and G_p = -d f / d y_p
    size = terms(system, it.y, at, options.structure)
    correct = corrector(system, at.Gs, it.y)
    seeks = partial(needs_search, system, it.active, size)
    r, delta, damping = options.step(Here(system, it.y, at, it.damping, seeks, correct))  # (L + M G S) delta = r
    found = judge(system, it.y, size, r, delta, options.atol)
    is_last = it.steps >= options.limit
    stands = xp.where(it.steps > 0, found.error > it.error / 2, is_last)  # a y that is only judged has no step before
    at_roundoff = found.at_roundoff & found.finite
    at_rest = at_roundoff if system.rule.is_inexact and options.rtol is None else options.at_rest(found, stands)
    done = (found.improves_no_more | at_rest) & found.finite
    moves = it.active & ~done & found.finite & ~is_last
    continues, sure = on_branch(system, at, it.active & (done | (found.error <= NEAR)), options.structure)
    is_certified = (at_roundoff | (at_rest & found.finite & options.is_plain)) & continues
    known = {
        "certified": is_certified,
        "broken": ~found.finite,
        "strayed": ~continues,
        "sure": sure,
        "belied": belie(system, it.y, at, is_certified & ~at_roundoff, options),
        "damping": damping,
    }
    moved = dataclasses.replace(move(system, it, found, it.active, moves, **known), active=moves)
    if options.patience is not None:
        stops = it.active & ~moves & ~is_certified
        reached = system.backend.when(stops, lambda _: reach(system, at, found, options), it.reached)
        moved = dataclasses.replace(moved, reached=reached)
    if size is None or not (options.reuse and options.is_plain and system.rule.exact):
        return moved
    near = moves & continues & (found.error <= NEAR) & is_near(found, (found.error / it.error) ** 2, options)
    return by_chords(system, moved, near, at.Gs, correct, options)


def newton_step(system: System, y: Array, structure: Any) -> tuple[Linearised, Array, Array]:
    """Return the linearisation, the residual and the correction of one step.

    y_next = y + delta,    (L + M sum_p G_p S_p) delta = M f(S[y]) - L y,    G_p = -d f / d y_p.
    """
    at = system.linearise(y, structure)
    r, delta = system.correction(at.Gs, y, at.ys, at.fy)
    return at, r, delta


def corrector(system: System, Gs: tuple[Structure, ...], like: Array) -> Correct:
    """Return ``(y, ys, fy) -> r, delta`` at these G; where a rule has a factorisation it is made once."""
    if not system.rule.exact or system.rule.offers("correction"):
        return partial(system.correction, Gs)
    solve = system.solver(Gs, like)

    def correct(y: Array, ys: tuple[Array, ...], fy: Array) -> tuple[Array, Array]:
        r = system.residual(y, fy)
        return r, solve(r)

    return correct
