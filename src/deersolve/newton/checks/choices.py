"""Whether a problem, a rule and a method that were chosen go together: an error says at once what does not."""

from __future__ import annotations

import dataclasses
from typing import Any

from ...errors import InputError, mismatch
from ...grids.box import Box
from ...grids.interval import Interval
from ...grids.times import Initial, Steps, TimeGrid
from ...inverses import Rule
from ...linalg.structure import OURS, Dense
from ...problems import Problem
from ..approximate_jacobians import Picard
from ..equation import System
from .probe import stretch


def check_method(rule: Rule, method: Any, grid: Any) -> None:
    """Raise if the method does not fit the rule or the grid."""
    check_structure(rule, method, grid)
    check_step(rule, method, grid)


GRIDS = {"shift": Steps, "ddt": TimeGrid, "d2dx2": Box, "laplace": Box, "laplace2d": Box, "ddx": Interval}


def check_rule(rule: Rule, problem: Problem) -> None:
    """Raise if a rule of the package is of another kind of equation."""
    expected, family = problem.family, rule.key.partition(".")[0]
    if rule.is_builtin and not expected:
        kind = GRIDS.get(family, object)
        if not isinstance(problem.grid, kind):
            raise mismatch("grid", f"{kind.__name__}(...) for the rule {rule.key!r}", repr(problem.grid))
        if family in ("shift", "ddt") and not isinstance(problem.boundary, Initial):
            raise mismatch("boundary", f"ds.Initial(y0) for the rule {rule.key!r}", repr(problem.boundary))
    if rule.is_builtin and expected and not rule.key.startswith(f"{expected}."):
        raise InputError(
            f"inverse: expected a rule for {type(problem).__name__} ({expected}.*); received {rule.key!r}."
        )


def check_takes(rule: Rule, problem: Problem) -> None:
    """Raise if the rule takes none of the structures that a derivative has: then ``jac`` has to return one."""
    if problem.jac is None and not any(kind in OURS for kind in rule.structures):
        names = " or ".join(kind.__name__ for kind in rule.structures)
        raise mismatch("jac", f"a function that returns {names}, which is all that {rule.key!r} takes", "none")


def check_structure(rule: Rule, method: Any, grid: Any) -> None:
    """Raise if what the structure keeps of G is nothing that the rule solves for."""
    structure = method.structure
    if structure is Dense or not rule.has_residual:
        return
    if not any(kind in OURS for kind in rule.structures):
        raise mismatch("structure", f"Dense, which keeps what {rule.key!r} takes", structure.name)
    if isinstance(structure, Picard) and (grid.lags == (0,) or len(grid.lags) != 1):
        raise InputError(
            "structure: expected a recurrence of one lag for Picard; received another problem. Of a differential "
            "equation Picard's iteration is structure='zero'."
        )
    if not rule.exact:
        raise InputError(
            f"structure: expected Dense for the rule {rule.key!r}, whose solution depends on G (exact=False); "
            f"received {structure.name}. Choose an exact rule, such as ddt.trapezoid, for a simplified G."
        )


def check_unique(system: System) -> None:
    """Raise if a component is fixed by nothing: neither by a condition nor by f, near the guess."""
    ys, x = stretch(system)
    if not system.backend.is_concrete((ys, x, system.data.grid)):
        return
    near = dataclasses.replace(system, data=dataclasses.replace(system.data, x=x))
    reason = system.rule.refuses(near.jacobians(ys)[1], grid=system.data.grid)
    if reason is not None:
        raise InputError(reason)


def check_step(rule: Rule, method: Any, grid: Any) -> None:
    """Raise if a step that is not the full one asks for what the rule does not have."""
    step = method.step
    if step.searches and not (rule.has_residual and rule.exact):
        raise InputError(
            f"step: expected a rule whose residual does not depend on G (exact=True) for {type(step).__name__}; "
            f"received {rule.key!r}. Choose an exact rule, such as ddt.trapezoid, or windows."
        )
    if step.damps and not rule.offers("damped"):
        raise InputError(
            f"step: expected a rule with a damped solve, such as ddt.trapezoid, for {type(step).__name__}; received "
            f"{rule.key!r}. Choose another step, or windows."
        )
    if step.flows and grid.flow is None:
        raise InputError(
            f"step: expected an equation in space alone, as of BoundaryValueProblem or Elliptic2D, for "
            f"{type(step).__name__}; received the rule {rule.key!r}. Choose another step, or windows."
        )
