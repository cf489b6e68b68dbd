"""An initial value problem solved to a tolerance: a grid is found, and on it the solution of a rule."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from ..backends import backend_of
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
from ..solution.status import numbers
from .error import ESTIMATED, FAR
from .grid import Found
from .inputs import timed
from .march import ARRIVED, STIFF
from .marcher import STEPPERS
from .method import Adaptive
from .parts import chunks, found_of, has_parts, part_of, sample, whole, with_sample
from .pilot import piloted
from .report import shown
from .solver import TIGHTENED, UNSETTLED, Solved, Solver, is_cut

SAMPLED = 2**13  # numbers of y of a large batch whose error is estimated
FEW = 64  # batch elements for which a grid is found by all steps at once, on a GPU
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
        is_free, to = to.way == "auto", dataclasses.replace(to, way=_way(to, inverse, data.guess[..., 0, :]))
        rule, why = _rule(problem, to, inverse)
        solver = Solver(moved, moments, backend, data, rule, inverse is None, _stops(problem, backend, data))
        solver = piloted(solver, to)
        if solver.share < 1:
            why += f"; steps to {to.least * solver.share:.0e}, for errors grow on their way"
        found = solver.found(to)
        if is_free and to.way == "newton" and is_cut(found):
            to = dataclasses.replace(to, way="march")
            rule, why = _rule(problem, to, inverse)
            why += ", for Newton's method on all steps at once did not come to the end"
            solver = dataclasses.replace(solver, rule=rule)
            found = solver.found(to)
        if to.way == "newton" and backend.is_concrete(found.tried):
            why += f", in {int(array_namespace(found.tried).max(found.tried))} rounds"
        return _chosen(solver, found, to, why)


def _chosen(solver: Solver, found: Found, to: Adaptive, why: str) -> Solution:
    """Return the solution by the rule that was named, or by that which is better for each element."""
    name = "radau5" if to.least > LOW else "radau9"
    is_stiff, looked = found.code == STIFF, solver.looks and to.way == "march"
    xp, solver = array_namespace(is_stiff), dataclasses.replace(solver, looks=False)
    is_seen = solver.backend.is_concrete(is_stiff)
    if not is_seen and looked:
        why += f"; inside jit nobody can look: what is stiff is UNDER_RESOLVED, and wants inverse={name!r}"
    if not is_seen or not bool(xp.any(is_stiff)):
        return _solution(solver, found, to, why)
    implicit = dataclasses.replace(solver, rule=rule_of(f"ddt.{name}"), share=1.0)
    because = "implicit, for the explicit pair would be held back by stability"
    if not has_parts(solver) or bool(xp.all(is_stiff)):
        return _solution(implicit, implicit.found(to), to, because)
    flags = numbers(xp.any(xp.reshape(is_stiff, (is_stiff.shape[0], -1)), axis=-1))
    stiff, others = ([k for k, flag in enumerate(flags) if flag == kind] for kind in (True, False))
    hard = part_of(implicit, stiff)
    parts = [(stiff, _solution(hard, hard.found(to), to, because))]
    if others:
        parts.append((others, _solution(part_of(solver, others), found_of(solver, found, others), to, why)))
    return whole(solver, parts)


def _solution(solver: Solver, found: Found, to: Adaptive, why: str) -> Solution:
    """Return the solution on a grid, with its error; of a large batch that of a sample, if it is as allowed."""
    is_asked = to.estimate is True or (to.estimate is None and not solver.backend.compiles)
    if not is_asked or math.prod(found.y.shape) <= ESTIMATED or not has_parts(solver):
        made, more = _mended(solver, to, solver.on(found, to))
        return shown(solver, to, made, why + more + ("" if made.error is not None else "; no error was estimated"))
    if to.estimate is None:
        return _of_a_sample(solver, found, to, why)
    return whole(solver, [_of_some(solver, found, rows, to, why) for rows in chunks(found)])


def _of_some(solver: Solver, found: Found, rows: list[int], to: Adaptive, why: str) -> tuple[list[int], Solution]:
    """Return some elements and their solution, mended."""
    some = part_of(solver, rows)
    made, more = _mended(some, to, some.on(found_of(solver, found, rows), to))
    return rows, shown(some, to, made, why + more)


def _of_a_sample(solver: Solver, found: Found, to: Adaptive, why: str) -> Solution:
    """Return the solution of all with the error of some; steps are smaller until that is as allowed.

    Where smaller ones do not help, the error of all is estimated.
    """
    to = asked = dataclasses.replace(to, estimate=True)
    before = math.inf
    for _ in range(AGAIN):
        rows = sample(found, SAMPLED)
        some, grid = part_of(solver, rows), found_of(solver, found, rows)
        made = some.on(grid, to)
        told, size = shown(some, asked, made, why), made.size(asked)
        if not bool(array_namespace(told.status).any((told.status != 0) & (grid.code == ARRIVED))):
            why += f"; the error was estimated of {len(rows)} of {found.y.shape[0]} batch elements"
            whole_grid = solver.on(found, dataclasses.replace(to, estimate=False))
            return with_sample(shown(solver, asked, whole_grid, why), rows, told)
        tighter = to if size is None else to.tighter(max(0.5 / size, 1e-4))
        if size is None or size > 0.5 * before or tighter.least < 100 * eps_of(found.y):
            break
        to, before, found = tighter, size, solver.found(tighter)
        why += f"; steps to {to.least:.0e}, for errors grow on their way"

    def of(rows: list[int]) -> tuple[list[int], Solution]:
        some = part_of(solver, rows)
        return rows, shown(some, asked, some.on(found_of(solver, found, rows), to), why)

    return whole(solver, [of(rows) for rows in chunks(found)])


def _mended(solver: Solver, to: Adaptive, made: Solved) -> tuple[Solved, str]:
    """Return a solution whose error is not far above the tolerance, as far as steps can do it, and what was done."""
    asked, told = to, ""
    solver = dataclasses.replace(solver, estimated=TIGHTENED)
    for _ in range(AGAIN):
        size = made.size(asked)
        if size is None or (to.way == "newton" and is_cut(made.found)):
            break
        gain = 2.0 ** STEPPERS[solver.rule.key].order
        finer = solver.halved(made, to) if size < FAR * gain else None
        if finer is not None and finer.error_in(asked) < size / gain**0.5:
            made, told = finer, told + "; steps halved, for errors grow on their way"
            continue
        tighter = to.tighter(max(0.5 / size, 1e-4))
        if tighter.least < 100 * eps_of(made.found.y):
            break
        again = solver.solved(tighter, made.found)
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
        if not (pairs.any() or problem.breaks):
            return None
        kept = backend.convert(pairs.nonzero()[0], t, None)
        times, D = xp.take(times, kept, axis=-1), xp.take(D, kept, axis=-1)
    knots = padded(backend.convert([*problem.breaks], t, t.dtype), t.ndim) + 0 * first
    inside = (knots > xp.minimum(first, last)) & (knots < xp.maximum(first, last))
    stops = joined([xp.where(D == 0, times, last), xp.where(inside, knots, last)], -1)
    return stops if stops.shape[-1] else None


def _way(to: Adaptive, inverse: Any, y0: Array) -> str:
    """Return how the grid is found: by Newton's method on an eager GPU, where calls cost and not what they work on.

    Counted were those of PyTorch for two elements: at 1e-6 a march makes 1.2 to 1.7 times as many, at 1e-9 4 times; at
    1e-3, and for one element, which it steps by numbers of Python, not more.
    """
    backend = backend_of(y0)
    is_eager = not backend.compiles and backend.device_kind(y0) == "gpu"
    is_free = inverse is None and to.first_step is None and to.least <= LOW
    is_few = 1 < math.prod(y0.shape[:-1]) <= FEW
    return to.way if to.way != "auto" else "newton" if is_eager and is_free and is_few else "march"


def _rule(problem: Problem, to: Adaptive, inverse: Any) -> tuple[Rule, str]:
    """Return the rule to step by, and why."""
    is_whole, is_low = to.way == "newton", to.least > LOW
    name = ("radau5" if is_low else "radau9") if is_whole else "dopri5" if is_low else "dopri8"
    rule = rule_of(inverse if inverse is not None else name, problem.family)
    known = [key for key in STEPPERS if not is_whole or rule_of(key).nodes]
    if rule.key not in known:
        raise mismatch("inverse", f"a rule that steps to a tolerance: {', '.join(known)}", repr(rule.key))
    by = "as asked" if inverse is not None else f"{'implicit' if is_whole else 'explicit'}, of order {rule.order}"
    return rule, f"{by}, all steps at once by Newton's method" if is_whole else by
