"""The error of differences in space: estimated where a rule has differences of a higher order."""

from __future__ import annotations

from ..backends.namespace import Array, array_namespace
from .equation import System
from .measures import least

AGREE = 0.25  # of the larger one of two estimates: what they may differ by where the points resolve y


def in_space(system: System, y: Array) -> tuple[Array, Array, Array] | None:
    """Return y corrected to fourth order, the relative error of y and whether the estimate is asymptotic, or None.

    What differences of fourth order change of the residual is propagated by the rule's own solve. The same with those
    differences smoothed tells whether the points resolve y; where they do not, the error is taken to be twice the
    larger of both, or what jumps of f do to y between the points where they may be.
    """
    xp = array_namespace(y)
    at = system.linearise(y)
    defects = system.rule.truncation(at.Gs, y, at.fy, **system.where)
    if defects is None:
        return None
    solve = system.estimator(at.Gs, y)
    delta, other = map(solve, defects[:2])
    sizes = [_relative(change, y) for change in (delta, other, delta - other)]
    larger = xp.maximum(sizes[0], sizes[1])
    is_asymptotic = sizes[2] <= AGREE * larger

    def doubted(larger: Array) -> Array:
        return xp.where(is_asymptotic, larger, xp.maximum(2 * larger, _relative(solve(defects[2]), y)))

    return y + delta, system.backend.when(~is_asymptotic, doubted, larger), is_asymptotic


def _relative(change: Array, y: Array) -> Array:
    """Return the largest change of a component by its largest value, of the worst component."""
    xp = array_namespace(y)
    change, peak = (xp.max(xp.abs(a), axis=-2) for a in (change, y))
    return xp.max(change / (peak + least(y)), axis=-1)
