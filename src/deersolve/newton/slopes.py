"""Whether df is what f changes by, of a y that is certified by its correction: that bounds an error only then.

Of ``floor`` and its kin it is not: the derivative is zero wherever it exists, and at |y| >> 1 the slope is one.
"""

from __future__ import annotations

from functools import reduce
from operator import add

from ..backends.namespace import Array, array_namespace
from .equation import Linearised, System
from .iterate import Options
from .measures import BACKWARD, eps_of, least, slope_terms


def belie(system: System, y: Array, at: Linearised, doubtful: Array, options: Options) -> Array:
    """Return which of the doubtful elements f changes by another slope than that of their linearisation.

    To roundoff hardly a solve ends by its correction alone, to a tolerance most do.
    """
    if not options.is_plain:  # certified by the residual
        return doubtful & False

    def look(_: Array) -> Array:
        return ~(system.over_grid(array_namespace(y).max, off_slope(system, y, at)) <= 1)

    when = system.backend.rarely if options.rtol is None else system.backend.when
    found: Array = when(doubtful, look, doubtful & False)
    return found & doubtful


def off_slope(system: System, y: Array, at: Linearised) -> Array:
    """Return ``|f(y + v) - f(y) - df v|`` in units of what it may be, each v_j of the size sqrt(eps) |y_j|.

    Every component moves by its own size, and every row of f is held against its own terms: sizes may differ by any
    factor.
    """
    xp, eps = array_namespace(y), eps_of(y)
    place = xp.arange(y.shape[-1], dtype=y.dtype, device=system.backend.placement(y))
    weights = eps**0.5 * (1 - place / (2 * y.shape[-1]))[(*(None for _ in y.shape[:-1]), slice(None))]
    moved = tuple(y_p + weights * (xp.abs(y_p) + least(y_p)) for y_p in at.ys)
    vs = tuple(after - before for after, before in zip(moved, at.ys, strict=True))
    fv, less = system.f(*moved), reduce(add, (G @ v for G, v in zip(at.Gs, vs, strict=True)))
    size = xp.abs(fv - at.fy) + reduce(add, (abs(G) @ xp.abs(v) + xp.abs(v) for G, v in zip(at.Gs, vs, strict=True)))
    terms = xp.abs(at.fy) + xp.abs(fv) + slope_terms(at)
    allowed = eps**0.25 * size + BACKWARD * eps * terms + least(y)
    return xp.max(xp.abs(fv - at.fy + less) / allowed, axis=-1, keepdims=True)
