"""The equation at its solution: which elements have a derivative, and the linear solves there."""

from __future__ import annotations

import dataclasses
from typing import Any

from ..backends.namespace import Array, array_namespace
from ..errors import InputError, UnknownKeyError, mismatch
from ..inverses import Rule, rule_of
from ..linalg.scans import ways
from ..newton.discrete import discrete
from ..newton.equation import System
from ..newton.implicit import Linear, inverse_at, substituted
from ..newton.jacobians import derivative_of
from ..newton.measures import eps_of, judge, magnitudes, slope_terms
from ..problems import Problem
from ..problems.inputs import check_problem, prepare
from ..solution.solution import Solution
from ..solution.status import Status, numbers

STALE = 100  # times the residual that the solver saw, or sqrt(eps): y solves another equation


def check_converged(system: System, sol: Solution, asked: Array | None = None) -> None:
    """Raise unless the elements that are asked for converged, by default all."""
    failed = ~sol.converged if asked is None else asked & ~sol.converged
    if system.backend.is_concrete(failed) and any(numbers(failed)):
        xp = array_namespace(sol.status)
        names = {Status(int(c)).name for c in numbers(xp.where(failed, sol.status, 0))} - {"CONVERGED"}
        raise InputError(
            f"sol: expected every element CONVERGED; received {', '.join(sorted(names))}: it has no derivative."
        )


def y_of(sol: Any) -> Array:
    """Return y of a solution; raise if it is none."""
    if not isinstance(sol, Solution):
        raise mismatch("sol", "the Solution that solve returned", type(sol).__name__)
    return sol.y


def at_the_solution(problem: Problem, sol: Solution) -> tuple[Problem, System]:
    """Return problem and discrete equation, with its solution as guess; raise if sol is not of its kind."""
    check_problem(problem)
    xp = array_namespace(y_of(sol))
    rule = _rule_of(problem, sol)
    backend, data = prepare(problem, xp.where(xp.isfinite(sol.y), sol.y, 0.0), rule)  # NaN where elements failed
    grid = data.grid
    shape = tuple(grid.present(data.guess).shape)
    if shape != tuple(sol.y.shape):
        raise mismatch("sol", f"the solution of this problem, {shape}", tuple(sol.y.shape))
    expected, received = (None if a is None else tuple(a.shape) for a in (grid.stages(data.guess), sol.stages))
    if expected != received:
        raise mismatch("sol.stages", f"those of the rule {rule.key!r}, {expected}", received)
    data = dataclasses.replace(data, guess=grid.absorb(sol.y, sol.stages))
    problem, system = discrete(problem, rule, backend, data)
    with backend.quiet():
        return problem, dataclasses.replace(system, functions=derivative_of(system, False)[0])


def _rule_of(problem: Problem, sol: Solution) -> Rule:
    rule = rule_of(problem.inverse, problem.family)
    if rule.key != sol.stats.rule:
        try:
            rule = rule_of(sol.stats.rule, problem.family)
        except UnknownKeyError as error:
            advice = "Set problem.inverse to the rule that solve was given, or register it."
            raise mismatch("sol", "a solution by a rule that has a name", repr(sol.stats.rule), advice) from error
    rule = rule.scanning(sol.stats.scan if ways.is_own(sol.stats.scan) else None)
    if not (rule.has_residual and rule.exact):
        raise InputError(
            f"the rule {rule.key!r}: expected an exact rule with a linear solve, whose solution does not depend on G. "
            "Use ddt.trapezoid or ddt.backward_euler, or differentiate solve() itself on JAX or PyTorch."
        )
    return rule


def linear_solves(system: System, sol: Solution) -> Linear:
    """Return the linear solves at y; raise if y does not solve this equation, but that of another x or params.

    Elements that did not converge have those of one that did.
    """
    usable = sol.converged
    system, y = substituted(dataclasses.replace(system, strict=True), system.data.guess, usable)
    at, xp = system.linearise(y), array_namespace(y)
    slopes = slope_terms(at)
    if system.backend.is_concrete(slopes) and not bool(xp.all(xp.isfinite(slopes))):
        slopes = slope_terms(dataclasses.replace(system, strict=False).linearise(y))
    r = system.residual(y, at.fy)
    found = judge(system, y, magnitudes(system, y, at.fy, slopes), r).residual
    allowed = eps_of(y) ** 0.5 + STALE * xp.where(sol.stats.residual > 0, sol.stats.residual, 0.0)
    fits = (found <= allowed) | ~usable
    if system.backend.is_concrete((fits, found)) and not bool(xp.all(fits)):
        raise InputError(
            f"sol: expected the solution of this problem; received one whose residual is {max(numbers(found)):.1e} of "
            "the equation's terms. Solve again after a change of params, x, y0, t or what f closes over."
        )
    return inverse_at(system, at)
