"""An initial value problem solved to a tolerance: a march finds the grid, a rule on it the solution."""

from __future__ import annotations

import dataclasses
from typing import Any

from ..backends.generic import Backend
from ..backends.namespace import Array, array_namespace, padded
from ..errors import InputError, mismatch
from ..grids.base import Data
from ..grids.levels import with_stages
from ..grids.times import Initial, TimeGrid
from ..inverses import Rule, rule_of
from ..newton.methods import Newton
from ..newton.plan import run
from ..problems import Problem
from ..problems.initial_value import InitialValueProblem
from ..problems.inputs import closed
from ..solution.dense import DenseOutput
from ..solution.solution import Solution
from ..solution.status import Status
from .flow import Route, timed
from .grid import Found, trimmed
from .march import ARRIVED
from .marcher import STEPPERS, Marcher
from .on_grid import Given, OnGrid

MOST = 4096  # steps of a march where nobody can look
RATIO = 1e-3  # of atol to rtol, where one of them is not given


@dataclasses.dataclass(frozen=True)
class Tolerance:
    """What an error may be: atol + rtol |y|, of each component."""

    rtol: Any
    atol: Any
    first_step: Any = None
    max_step: Any = None
    max_steps: int | None = None


def solve_to(problem: Problem, tolerance: Tolerance, inverse: Any) -> tuple[Solution, Any]:
    """Return the solution at the times of the problem, with its dense output."""
    if not isinstance(problem, InitialValueProblem):
        raise mismatch("rtol", "an InitialValueProblem beside a tolerance", type(problem).__name__)
    rule = rule_of("dopri8" if inverse is None else inverse, problem.family)
    if rule.key not in STEPPERS:
        raise mismatch("inverse", f"a rule that steps to a tolerance: {', '.join(STEPPERS)}", repr(rule.key))
    backend, data = problem.discretise(None, rule_of("ddt.trapezoid"))
    moved = timed(problem, data.x, data.grid.t)
    with backend.quiet():
        found = _marched(backend, moved, data, tolerance, rule)
        sol = _on_grid(backend, moved, found, data, rule, float(array_namespace(found.y).min(tolerance.rtol)) if hasattr(tolerance.rtol, "shape") else float(tolerance.rtol))
    dense = DenseOutput(found.t, sol.y_corrected)
    return _shown(backend, problem, data, found, sol, dense)


def _marched(backend: Backend, problem: InitialValueProblem, data: Data, tolerance: Tolerance, rule: Rule) -> Found:
    """Return the grid that the march finds."""
    route, most = _route(backend, data, tolerance), tolerance.max_steps or MOST
    y, functions = route.y0, closed(problem, data.grid)
    rows = [(y, array_namespace(y).astype(route.start, y.dtype)[..., None])]
    called = {name: (f, lambda: rows) for name, f in functions.items()}
    found: Found = backend.call(Marcher(backend, rule.key, most), called, route)
    return trimmed(backend, found)


def _route(backend: Backend, data: Data, tolerance: Tolerance) -> Route:
    """Return what the march is given."""
    y0, t = data.guess[..., :1, :], data.grid.t
    xp = array_namespace(y0)
    t = xp.broadcast_to(t, (*y0.shape[:-2], t.shape[-1]))
    rtol, atol = (backend.convert(a, y0, y0.dtype) for a in (tolerance.rtol, tolerance.atol))
    first, longest = (None if a is None else backend.convert(a, t, t.dtype) for a in (tolerance.first_step, tolerance.max_step))
    return Route(t[..., :1], t[..., -1:], None, y0, rtol, atol, first, longest)


def _on_grid(backend: Backend, problem: InitialValueProblem, found: Found, data: Data, rule: Rule, rtol: float) -> Solution:
    """Return the solution of the rule on the grid that was found, with its polynomials as ``y_corrected``."""
    xp, y = array_namespace(found.y), found.y
    D = xp.astype(found.t[..., 1:] - found.t[..., :-1], y.dtype)[..., None]
    grid = TimeGrid(found.t, D)
    times = xp.astype(found.t, y.dtype)[..., None]
    start = padded(data.boundary.y0, y.ndim)
    made = with_stages(Data(times, grid, Initial(start), y), rule.nodes)
    method = Given(rtol)
    plan = OnGrid(backend, rule, problem.shift, method)
    return run(plan, closed(problem, grid), made)


def _shown(backend: Backend, problem: Problem, data: Data, found: Found, sol: Solution, dense: DenseOutput) -> Solution:
    xp = array_namespace(found.y)
    y = dense(data.grid.t)
    arrived = found.code == ARRIVED
    status = xp.where(arrived, sol.status, int(Status.UNDER_RESOLVED) + 0 * sol.status)
    stats = dataclasses.replace(sol.stats, steps=found.taken)
    return Solution(y, status, stats, t=problem.t, dense=dense)
