"""Where Newton's method starts on a recurrence: at f of the initial value, where that is the guess."""

from __future__ import annotations

from ..backends.namespace import Array, array_namespace, part
from .equation import System
from .measures import eps_of


def first_guess(system: System) -> Array:
    """Return the guess, or of the elements where it is the initial value at all steps what f makes of that, if finite.

    That has the x of each step, and is off the places where cells are steep, as a layer norm is at 0. The guess of a
    window is that value but for rounding.
    """
    guess, rule, axis = system.data.guess, system.rule, system.grid.axis
    if system.grid.overlap or not (rule.is_loop and rule.is_builtin):
        return guess
    xp, once = array_namespace(guess), system.f(*system.shifted(guess))
    first = part(system.start().y0, axis, -1, None)
    is_first = xp.abs(guess - first) <= eps_of(guess) ** 0.5 * (xp.abs(guess) + xp.abs(first))
    takes = is_first & xp.isfinite(once)
    return xp.where(system.per_element(system.over_grid(xp.all, takes)), once, guess)
