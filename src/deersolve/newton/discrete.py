"""The discrete equation of a problem; an f that can be called in several ways is called in the fastest."""

from __future__ import annotations

import copy
from typing import Any

from ..backends.generic import Backend
from ..backends.namespace import Array
from ..grids.base import Data
from ..inverses import Rule
from ..problems import Problem
from ..problems.inputs import closed
from .causality import check_together
from .checks.probe import stretch
from .equation import System


def discrete(problem: Problem, rule: Rule, backend: Backend, data: Data) -> tuple[Problem, System]:
    """Return the problem, f called in the fastest way that has the values it means, and its discrete equation."""
    system, tune = _system(problem, rule, backend, data), getattr(problem.f, "tuned", None)
    if tune is None:
        return problem, system
    with backend.quiet():
        ys, x = stretch(system)
        problem = _with(problem, tune(backend, ys, x, problem.params))
    return problem, _system(problem, rule, backend, data)


def mistuned(problem: Problem, system: System, y: Array) -> Problem | None:
    """Return the problem to solve instead, where f as it was called does not have the values it means at y."""
    look = getattr(problem.f, "otherwise", None)
    if look is None or not system.backend.is_concrete((y, system.data.x)):
        return None
    with system.backend.quiet():
        found = look(system.shifted(y), system.data.x, problem.params)
    return None if found is None else _with(problem, found)


def _system(problem: Problem, rule: Rule, backend: Backend, data: Data) -> System:
    system = System(backend, rule, problem.shift, closed(problem, data.grid), data)
    check_together(rule, problem.shift, data, lambda: system.shifted(data.guess))
    return system


def _with(problem: Problem, f: Any) -> Problem:
    new = copy.copy(problem)
    new.f = f
    return new
