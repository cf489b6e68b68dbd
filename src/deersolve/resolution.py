"""The error of differences in space: estimated where a rule has differences of a higher order."""

from __future__ import annotations

from .newton import tiny
from .system import System
from .typing import Array, array_namespace


def in_space(system: System, y: Array) -> tuple[Array, Array, Array] | None:
    """Return y corrected to fourth order, the relative error of y and whether the estimate is asymptotic, or None.

    What differences of fourth order change of the residual is propagated by the rule's own solve.
    """
    xp, rule = array_namespace(y), system.rule
    where = {"grid": system.data.grid, "boundary": system.data.boundary}
    Gs = tuple(-J for J in system.linearise(y).Js)
    defect = rule.truncation(Gs, y, **where)
    if defect is None:
        return None
    delta = rule.solve(Gs, defect, **where)
    change, peak = (xp.max(xp.abs(a), axis=-2) for a in (delta, y))
    error = xp.max(xp.where(change == 0, 0.0, change / xp.where(peak > 0, peak, tiny(y))), axis=-1)
    return y + delta, error, xp.isfinite(error)
