"""Where f jumps inside of an explicit step: what is left of such a step is not smooth, and its error is bounded.

Of a pair's estimate a jump of f takes a share that depends on nothing but the stages it lies between: LEAST of
``h |f(end) - f(start)|`` or more, while the error itself is up to all of it. A smooth step as short as that has an
estimate far below. So the step is taken where that whole difference is allowed.
"""

from __future__ import annotations

from typing import Any

SHORT = 0.1  # of the longest step of late: what a search for a jump ends with
FADE = 0.7  # by which that is forgotten from attempt to attempt
LEAST = 1e-3  # the smallest share: 1.2e-3 of "dopri5", 7.5e-3 of "dopri8"


def over_a_jump(error: Any, whole: Any, is_short: Any) -> Any:
    """Return where steps that were taken go over a jump that may be too large, of their errors in tolerances.

    ``whole`` is ``h (f(end) - f(start))``.
    """
    return is_short & (error <= 1) & (whole > 1) & (error > LEAST * whole)
