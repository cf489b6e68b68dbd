"""How many points from the first are solved, of a trajectory that is not: by causality they stand by themselves."""

from __future__ import annotations

import dataclasses
from functools import partial

from ..backends.namespace import Array, array_namespace
from ..linalg.structure import Dense
from .branch import points_on_branch
from .equation import Linearised, System
from .iterate import Options, Reached
from .measures import Judged


def reach(system: System, at: Linearised, found: Judged, options: Options) -> Reached:
    """Return how far from the first point on each point satisfies the certificate: those points stand by themselves."""
    y, xp = found.y, array_namespace(found.y)
    here = dataclasses.replace(found, largest=partial(system.over_points, xp.max))
    tol = (options.rtol or 0.0) if system.rule.knows_size else options.tolerances(found.eps)[1]
    # Where neighbours part, the correction overflows in the end; a residual speaks for itself.
    holds = here.at_roundoff | ((here.beyond <= tol) & options.is_plain & xp.isfinite(here.error))
    branch = points_on_branch(system, at)
    holds = holds if branch is None else holds & branch[0] & (options.structure is Dense)
    T = y.shape[system.grid.axis]
    number = system.over_points(xp.max, system.numbers(T))
    points = xp.min(xp.where(holds, T, number), axis=-1)

    def worst(values: Array) -> Array:
        return xp.max(xp.where(number < points[..., None], values, -xp.inf), axis=-1)

    return Reached(points, worst(here.error), worst(here.residual))
