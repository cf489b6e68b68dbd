"""Shifters and rules of one's own leave batch elements apart."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ...backends.agreement import AGREEMENT, equal
from ...backends.namespace import Array, array_namespace, padded_behind
from ...errors import FunctionError
from ...grids.shifters import BuiltIn
from ..equation import System
from .own_rule import wave

COUPLED = (
    "{} couples batch elements: one changes with y of another. y is {}, of which the grid has {} before the last; "
    "those before count batch elements. If they belong to the grid, give the rule an attribute axes, or the grid ndim."
)


def check_elements(system: System) -> None:
    """Change y in some batch elements; raise if a shifter, or the rule, of a user's own changes in others."""
    y, sizes = system.data.guess, system.data.guess.shape[: system.n_batch]
    functions = _functions(system)
    if not functions or math.prod(sizes) < 2 or not system.backend.is_concrete(system.data):
        return
    xp = array_namespace(y)
    here = y + (xp.abs(y) + 1.0) * wave(system, y, 1)
    there = y + (xp.abs(y) + 1.0) * wave(system, y, 2)
    place = xp.reshape(xp.arange(math.prod(sizes), device=system.backend.placement(y)), sizes)
    some = padded_behind(xp.sin(1.0 + xp.astype(place * place, y.dtype)) > 0, y.ndim)
    for moved in (some, ~some):
        other = xp.where(moved, there, here)
        for what, function in functions:
            for before, after in zip(function(here), function(other), strict=True):
                if not equal(xp.where(moved, 0.0, before), xp.where(moved, 0.0, after), AGREEMENT):
                    axes = "1 axis" if system.grid.ndim == 1 else f"{system.grid.ndim} axes"
                    raise FunctionError(COUPLED.format(what, tuple(y.shape), axes))


def _functions(system: System) -> list[tuple[str, Callable[[Array], Any]]]:
    """Return what a user made of the signal, by its name."""
    found: list[tuple[str, Callable[[Array], Any]]] = []
    if not all(isinstance(s, BuiltIn) for s in system.shift):
        found.append(("shift", system.shifted))
    if not system.rule.is_builtin and system.rule.exact and system.rule.has_residual:
        found.append(("residual of the rule", lambda y: (system.residual(y, y * y),)))
    return found
