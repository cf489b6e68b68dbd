"""The chord method: the last steps with the last G, by f alone."""

from __future__ import annotations

import dataclasses

from ..backends.namespace import Array, array_namespace
from ..linalg.structure import Structure
from .equation import Linearised, System
from .iterate import Iterate, Options, move
from .measures import Judged, judge, terms
from .steps.base import Correct


def by_chords(
    system: System, it: Iterate, near: Array, Gs: tuple[Structure, ...], correct: Correct, options: Options
) -> Iterate:
    """Finish with the last G, by f alone, where that is a few cheap steps from roundoff: the chord method.

    With e_k = C e_{k-1}^2 for the corrections, each step with the same G leaves rho = C e_k = (e_k / e_{k-1})^2 of
    the one before it; from the first on, rho is what was seen. Elements that are not near wait. An element is done
    here only if its residual, of f evaluated afresh, certifies it; what is not goes back to full steps.
    """
    xp = array_namespace(it.y)

    def unfinished(state: tuple[Iterate, Array]) -> Array:
        return xp.any(state[1])

    def chord(state: tuple[Iterate, Array]) -> tuple[Iterate, Array]:
        now, near = state
        ys = system.shifted(now.y)
        fy = system.f(*ys)
        r, delta = correct(now.y, ys, fy)
        found = judge(system, now.y, terms(system, now.y, Linearised(ys, fy, Gs)), r, delta, options.atol)
        stands = found.error > now.error / 2
        at_rest = options.at_rest(found, stands)
        done = found.improves_no_more | (at_rest & found.at_roundoff)
        finished = near & done & found.finite
        stays = at_rest & stands  # a full step may tell more
        moves = near & ~(done | stays) & found.finite & (now.steps < options.limit)
        moved = move(system, now, found, near, moves)
        after = dataclasses.replace(moved, active=now.active & ~finished, certified=now.certified | finished)
        return after, moves & is_near(found, found.error / now.error, options)

    last: tuple[Iterate, Array] = system.backend.while_loop(unfinished, chord, (it, near))
    return last[0]


def is_near(found: Judged, rho: Array, options: Options) -> Array:
    """Return whether so many steps of this rate are enough."""
    return found.error * rho**options.reuse <= options.tolerances(found.eps)[0]
