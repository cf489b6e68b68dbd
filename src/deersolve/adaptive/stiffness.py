"""Where stability, and not the error, holds back the steps of an explicit rule: by what is at hand in a step.

    h |f(t, Y_1) - f(t, Y_2)| / |Y_1 - Y_2|  >  bound

for two stages at the same time, the last of which is y at the end: the left side is about h times the largest
eigenvalue of df/dy, which error control drives to the end of the region of stability and no further. E. Hairer and
G. Wanner, Solving Ordinary Differential Equations II, 2nd ed. (1996), section IV.2.
"""

from __future__ import annotations

from ..backends.namespace import Array, array_namespace
from ..backends.trees import record
from .controller import square

HITS, MISSES = 15, 6  # steps that are held back, and those on end between them that forget them


@record
class Held:
    """How many steps were held back, and how many on end were not since the last one that was: (*B,) of int."""

    hits: Array
    misses: Array


def nothing_held(t: Array) -> Held:
    """Return the counts at the start, of times (*B, 1)."""
    xp = array_namespace(t)
    zero = xp.astype(t[..., 0] * 0, xp.int32)
    return Held(zero, zero)


def held_back(change: Array, way: Array, bound: float, held: Held) -> Held:
    """Return the counts behind a step that was taken.

    Parameters
    ----------
    change : array, shape (*B, 1, n)
        h (f_1 - f_2) of two stages at the end of the step.
    way : array, shape (*B, 1, n)
        Y_1 - Y_2 of those.
    bound : float
        Near the end of the region of stability: 2.6 for "dopri5" and 5.0 for "dopri8". Steps of stiff equations have
        stayed above (at a small tolerance the error keeps them short of the end, 3.3 and 6.4), others below 2 and 3.
    held : Held
        The counts before.
    """
    xp = array_namespace(change)
    is_hit = square(change) > bound**2 * square(way)
    misses = xp.where(is_hit, 0, held.misses + 1)
    hits = xp.where(is_hit, held.hits + 1, xp.where(misses < MISSES, held.hits, 0))
    return Held(hits, misses)


def is_stiff(held: Held) -> Array:
    """Return where an implicit rule would be better, (*B,)."""
    return held.hits >= HITS
