"""A problem with other data, by the names that derivatives have for them."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

from ..grids.conditions import parts_of
from ..grids.times import Initial
from ..problems import Problem


def changed(problem: Problem, **fields: Any) -> Problem:
    """Return the problem with other data: "params", "x", "y0", "t", coefficients and what is given at sides."""
    new = copy.copy(problem)
    held = vars(problem)
    for name, value in fields.items():
        if name in ("y0", "u0"):
            new.boundary = Initial(value)
        elif name in held.get("sides", ()):
            sides = dict(vars(new)["sides"])
            sides[name] = _with_value(sides[name], value)
            vars(new)["sides"] = sides
        elif name in held.get("coefficients", ()):
            vars(new)["coefficients"] = {**vars(new)["coefficients"], name: value}
            if "ends" in held:
                vars(new)["ends"] = dataclasses.replace(vars(new)["ends"], **{name: value})
        elif name in held.get("edges", ()):
            vars(new)["edges"] = {**vars(new)["edges"], name: value}
        else:
            vars(new)[name] = value
    return new


def _with_value(side: Any, value: Any) -> Any:
    """Return the conditions of a side with other values: one, or of a tuple one for each that has a value."""
    if not isinstance(side, tuple):
        return dataclasses.replace(side, **{side.given: value})
    values = iter(value)
    return tuple(dataclasses.replace(p, **{p.given: next(values)}) if p.given else p for p in parts_of(side))
