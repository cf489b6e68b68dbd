"""A problem with other data, by the names that derivatives have for them."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

from ..analysis.fields import with_numbers
from ..backends.trees import tree_map
from ..grids.conditions import parts_of
from ..grids.times import Initial
from ..problems import Problem


def shortened(problem: Problem, points: int) -> Problem:
    """Return a problem in time on its first points; any other as it is.

    Examples
    --------
    >>> import numpy as np
    >>> import deersolve as ds
    >>> from deersolve.testing import shortened
    >>> sums = ds.Recurrence(lambda y, x, params: y + x, np.zeros(1), np.ones((100, 1)))
    >>> float(ds.solve(shortened(sums, 5)).y[-1, 0])
    5.0
    """
    (name, all_of_them), *rest = [*problem.points().items()] or [("", None)]
    if name not in ("t", "step") or all_of_them is None:
        return problem
    length, axis = len(all_of_them) if name == "step" else all_of_them.shape[-1], -2 - len(rest)
    if points >= length:
        return problem

    def cut(leaf: Any) -> Any:
        spans = getattr(leaf, "ndim", 0) >= -axis and leaf.shape[axis] == length
        return leaf[(..., slice(points), *(slice(None),) * (-axis - 1))] if spans else leaf

    new = changed(problem, x=tree_map(cut, problem.x))
    if name == "t":
        return changed(new, t=all_of_them[..., :points])
    return new if problem.grid is None else changed(new, grid=dataclasses.replace(problem.grid, n_points=points))


def changed(problem: Problem, **fields: Any) -> Problem:
    """Return the problem with other data.

    Parameters
    ----------
    problem : Problem
        It stays as it is.
    fields
        "params", "x", "y0" or "u0", "t", the numbers of "grid" and "boundary" of your own, coefficients, the points of
        an axis, and what is given at sides, each as it was given.

    Examples
    --------
    >>> import numpy as np
    >>> import deersolve as ds
    >>> from deersolve.testing import changed
    >>> decay = ds.Recurrence(lambda y, x, k: k * y, np.ones(1), params=0.5, n_points=2)
    >>> float(ds.solve(changed(decay, params=0.25)).y[-1, 0])
    0.0625
    """
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
        elif name in problem.domain:
            vars(new)[name] = with_numbers(held[name], value)
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
