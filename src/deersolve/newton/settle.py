"""An f that can be called in several ways: the fastest is settled before a solve, and looked at again after it."""

from __future__ import annotations

import copy
from typing import Any

from ..backends.generic import Backend
from ..backends.namespace import Array
from ..grids.base import Data
from ..inverses import rule_of
from ..problems import Problem
from ..problems.inputs import closed
from .checks.probe import stretch
from .equation import System


def settled(problem: Problem, backend: Backend, data: Data) -> Problem:
    """Return the problem with the way to call its f that is fastest and has the values f means."""
    settle = getattr(problem.f, "settled", None)
    if settle is None:
        return problem
    with backend.quiet():
        ys, x = stretch(_system(problem, backend, data))
        return _with(problem, settle(backend, ys, x, problem.params))


def unsettled(problem: Problem, backend: Backend, data: Data, y: Array) -> Problem | None:
    """Return the problem to solve instead, where what was settled does not have the values f means at the solution."""
    look = getattr(problem.f, "otherwise", None)
    if look is None or not backend.is_concrete((y, data.x)):
        return None
    with backend.quiet():
        found = look(_system(problem, backend, data).shifted(y), data.x, problem.params)
    return None if found is None else _with(problem, found)


def _system(problem: Problem, backend: Backend, data: Data) -> System:
    rule = rule_of(problem.inverse, problem.family)
    return System(backend, rule, problem.shift, closed(problem, data.grid), data)


def _with(problem: Problem, f: Any) -> Problem:
    new = copy.copy(problem)
    new.f = f
    return new
