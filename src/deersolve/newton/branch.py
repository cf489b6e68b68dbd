"""Whether y is on the branch of roots that continues from the start, as far as a rule can tell at its linearisation."""

from __future__ import annotations

from typing import Any

from ..backends.namespace import Array, array_namespace
from ..linalg.structure import Dense
from .equation import Linearised, System


def on_branch(system: System, at: Linearised, near: Array, structure: Any) -> tuple[Array, Array]:
    """Return whether each element that is near a root may be near the one that continues from y0, and surely is.

    It may, far from a root. Nothing is known of a simplified G: dense steps will tell.
    """
    if not (system.rule.knows_size and system.rule.offers("continues")):
        return near | True, near | True

    def look(unknown: tuple[Array, Array]) -> tuple[Array, Array]:
        found = points_on_branch(system, at)
        if found is None:
            return near | True, near | True
        if structure is not Dense:
            return ~near, near & False
        may, does = (system.over_grid(array_namespace(near).all, flags) for flags in found)
        return may | ~near, does

    known: tuple[Array, Array] = system.backend.when(near, look, (near | True, near & False))
    return known


def points_on_branch(system: System, at: Linearised) -> tuple[Array, Array] | None:
    """Return the same for each grid point, None where a rule has one root only."""
    return system.rule.continues(at.Gs, at.ys[0], at.fy, **system.where)
