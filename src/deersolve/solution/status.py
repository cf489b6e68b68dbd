"""What became of a batch element, in words, and what to do about it."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any

from ..backends.namespace import Array, array_namespace


class Status(enum.IntEnum):
    """What became of a batch element."""

    CONVERGED = 0
    MAX_STEPS = 1
    NONFINITE = 2
    UNCERTIFIED = 3
    NO_DISCRETE_SOLUTION = 4
    SINGULAR = 5
    UNDER_RESOLVED = 6

    @property
    def advice(self) -> str:
        """What to do about it."""
        return _ADVICE[self]


_ADVICE = {
    Status.CONVERGED: "the discrete equation is solved",
    Status.MAX_STEPS: (
        "Newton's method was still moving after max_steps; try a better y_guess, a shorter window "
        "(Newton(window=...)), more steps, Newton(atol=...) where y is close to 0, or method='sequential'"
    ),
    Status.NONFINITE: (
        "f, its Jacobian or the iterate overflowed or was NaN; try method='sequential', a shorter window, or "
        "a finer grid, and check that the solution itself stays finite"
    ),
    Status.UNCERTIFIED: (
        "the iteration came to rest but the certificate failed: the rule's solution depends on G, its solve "
        "does not solve the linearised equation, f does not act on each point by itself, the derivative of f "
        "is not what f changes by (as of floor or round, or a wrong jac), or in space f is lost in the roundoff of "
        "differences of a large y or a fine grid (try another y_guess, fewer points or float64); "
        "see deersolve.testing.check_inverse"
    ),
    Status.NO_DISCRETE_SOLUTION: (
        "the implicit rule has no root that continues from the y before it, or Newton's method went to another one; "
        "the solution may end there (a blow-up), f may jump there (as sign(y) does: smooth it, as tanh(y / width)), or "
        "the grid is too coarse: refine it where y changes fast"
    ),
    Status.SINGULAR: (
        "the linearised equation has no single solution at y: the conditions do not fix the solution (as periodic ones "
        "do not fix the phase of an orbit), y is a fold, or the guess is a point from which they say nothing; or it "
        "has none to working precision: what is left to correct, stats.error, is a large part of y; change the "
        "conditions, try another y_guess, or more digits"
    ),
    Status.UNDER_RESOLVED: (
        "the tolerance was not reached: the steps became too small or too many, because f jumps or the solution ends "
        "there, or errors grow so much that no step in this precision is small enough"
    ),
}

_ADVICE_IN_SPACE = {
    Status.MAX_STEPS: (
        "Newton's method was still moving after max_steps; try a better y_guess, Newton(step=PseudoTransient()) to "
        "a stable steady state, Newton(step=LineSearch()), more steps, Newton(atol=...) where y is close to 0, or "
        "follow() the solution along a parameter from where it is known: past a fold there is none"
    ),
    Status.NONFINITE: (
        "f, its Jacobian or the iterate overflowed or was NaN; try a better y_guess, Newton(step=LineSearch()) or a "
        "finer grid, and check that the solution itself stays finite; where f or a coefficient is singular at an end, "
        "as 1 / r is, cells=True puts no point there"
    ),
}


def advice_on(status: Status, marches: bool) -> str:
    """Return what to do about a status; only what is marched over has windows, and a loop over its steps."""
    return status.advice if marches else _ADVICE_IN_SPACE.get(status, status.advice)


def numbers(a: Array) -> list[float]:
    """Return the entries of an array as Python numbers."""
    from ..backends import backend_of

    flat = array_namespace(a).reshape(backend_of(a).without_gradient(a), (-1,))
    return [float(flat[i]) for i in range(flat.shape[0])]


def tally(status: Sequence[Any]) -> str:
    """Return how many elements have which status, in words."""
    codes = [int(c) for c in status]
    return ", ".join(f"{codes.count(c)} {Status(c).name}" for c in sorted(set(codes)))
