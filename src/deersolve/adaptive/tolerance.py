"""An initial value problem solved to a tolerance: a march finds the grid, a rule on it the solution."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from ..backends.generic import Backend
from ..backends.given import state
from ..backends.namespace import Array, array_namespace, joined, padded
from ..errors import mismatch
from ..grids.base import Data
from ..inverses import Rule, rule_of
from ..newton.checks.probe import probe
from ..newton.discrete import discrete
from ..newton.measures import eps_of
from ..problems import Problem
from ..solution.solution import Solution
from .inputs import timed
from .march import STIFF
from .marcher import STEPPERS
from .method import Adaptive
from .report import shown
from .solver import TIGHTENED, UNSETTLED, Solved, Solver

AGAIN = 3  # how often all is solved again
LOW = 1e-4  # a tolerance above which the rule of order 5 is cheaper


def solve_to(problem: Problem, to: Adaptive, inverse: Any, check_inputs: bool = True) -> Solution:
    """Return the solution of an initial value problem at its times, with dense output.

    Where errors grow on their way so that the estimate is far above the tolerance, all steps are halved, the solution
    there is the corrected one, and its own error is estimated; where that does not do, all is solved again with steps
    that are allowed less.

    Raises
    ------
    InputError
        If it is no initial value problem, or the rule does not step.
    """
    if not problem.takes_tolerance:
        raise mismatch("rtol", "an InitialValueProblem beside a tolerance", type(problem).__name__)
    backend, data = problem.discretise(None, rule_of("ddt.trapezoid"))
    to.check(int(data.guess.shape[-1]))
    with backend.quiet(), backend.undivided(math.prod(data.boundary.y0.shape)):
        if check_inputs:
            problem, system = discrete(problem, rule_of("ddt.trapezoid"), backend, data)
            probe(system)
        moved, moments = timed(problem, data.x, data.grid.t)
        rule, why = _rule(problem, to, inverse)
        solver = Solver(moved, moments, backend, data, rule, inverse is None, _stops(problem, backend, data))
        found = solver.found(to)
        is_stiff, implicit = found.code == STIFF, "radau5" if to.least > LOW else "radau9"
        is_seen = backend.is_concrete(is_stiff)
        if not is_seen and solver.looks:
            why += f"; inside jit nobody can look: what is stiff is UNDER_RESOLVED, and wants inverse={implicit!r}"
        if is_seen and bool(array_namespace(is_stiff).any(is_stiff)):
            solver = dataclasses.replace(solver, rule=rule_of(f"ddt.{implicit}"))
            why = "implicit, for the explicit pair would be held back by stability"
            found = solver.found(to)
        made, more = _mended(solver, to, solver.on(found, to))
    return shown(solver, to, made, why + more)


def _mended(solver: Solver, to: Adaptive, made: Solved) -> tuple[Solved, str]:
    """Return a solution whose error is not far above the tolerance, as far as steps can do it, and what was done."""
    asked, told = to, ""
    solver = dataclasses.replace(solver, estimated=TIGHTENED)
    for _ in range(AGAIN):
        size = made.size(asked)
        if size is None:
            break
        finer = solver.halved(made, to)
        left = None if finer is None else finer.size(asked)
        if finer is not None and (left is None or left < 0.5 * size):
            made, told = finer, told + "; steps halved, for errors grow on their way"
            continue
        tighter = to.tighter(max(0.5 / size, 1e-4))
        if tighter.least < 100 * eps_of(made.found.y):
            break
        again = solver.solved(tighter)
        if size != UNSETTLED and again.is_no_better(size, asked):
            told += f"; steps to {tighter.least:.0e} did not make it smaller"
            break
        to, made = tighter, again
        told += f"; steps to {to.least:.0e}, for errors grow on their way"
    return made, told


def _stops(problem: Problem, backend: Backend, data: Data) -> Array | None:
    """Return the times where f jumps, (*B or 1, S): those that stand twice, and the breaks of signals.

    Where an element has none, its last time stands there.
    """
    t, (given, own) = data.grid.t, state(problem.t, "t")
    xp, first, last, times, D = array_namespace(t), t[..., :1], t[..., -1:], t[..., 1:-1], data.grid.D[..., :-1, 0]
    if own.is_concrete(given):  # inside jit too
        numbers = own.to_numpy(given)
        pairs = (numbers[..., 1:-1] == numbers[..., :-2]).any(axis=(*range(numbers.ndim - 1),))
        kept = backend.convert(pairs.nonzero()[0], t, None)
        times, D = xp.take(times, kept, axis=-1), xp.take(D, kept, axis=-1)
    knots = padded(backend.convert([*problem.breaks], t, t.dtype), t.ndim) + 0 * first
    inside = (knots > xp.minimum(first, last)) & (knots < xp.maximum(first, last))
    stops = joined([xp.where(D == 0, times, last), xp.where(inside, knots, last)], -1)
    return stops if stops.shape[-1] else None


def _rule(problem: Problem, to: Adaptive, inverse: Any) -> tuple[Rule, str]:
    """Return the rule to step by, and why."""
    name = inverse if inverse is not None else "dopri5" if to.least > LOW else "dopri8"
    rule = rule_of(name, problem.family)
    if rule.key not in STEPPERS:
        raise mismatch("inverse", f"a rule that steps to a tolerance: {', '.join(STEPPERS)}", repr(rule.key))
    return rule, "as asked" if inverse is not None else f"explicit, of order {rule.order}"
