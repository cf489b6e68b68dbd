"""An initial value problem solved to a tolerance: a march finds the grid, a rule on it the solution."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from ..backends.generic import Backend
from ..backends.namespace import Array, array_namespace, padded
from ..errors import mismatch
from ..grids.base import Data
from ..grids.levels import with_stages
from ..grids.times import Initial, TimeGrid
from ..inverses import Rule, rule_of
from ..newton.discrete import discrete
from ..newton.plan import run
from ..problems import Problem
from ..problems.initial_value import InitialValueProblem
from ..problems.inputs import closed
from ..solution.dense import DenseOutput
from ..solution.solution import Solution
from ..solution.status import Status
from .alone import found_alone
from .error import Refined, halved
from .flow import Route, timed
from .grid import Found, trimmed
from .march import ARRIVED
from .marcher import STEPPERS, Marcher
from .method import Adaptive
from .on_grid import Given, OnGrid

MANY, MANY_COMPILED = 10**7, 4096  # steps of a march: where Python looks, and where all of them are kept
ESTIMATED = 2**17  # numbers of y up to which the error is estimated
FAR, AGAIN = 5.0, 3  # times the tolerance: an error for which all is solved again, and how often
LOW = 1e-4  # a tolerance above which the rule of order 5 is cheaper


@dataclasses.dataclass(frozen=True)
class Solver:
    """What solves one problem to tolerances."""

    problem: InitialValueProblem
    backend: Backend
    data: Data
    rule: Rule

    def solved(self, to: Adaptive) -> tuple[Found, Solution, Array | None]:
        """Return the grid, the solution on it, and its estimated error in units of a tolerance, (*B,)."""
        found = self._found(to)
        sol, made, rule = self._on_grid(found, to.least)
        concrete = self.backend.is_concrete(found.t) and math.prod(found.y.shape) <= ESTIMATED
        return found, sol, self._error(sol, made) if concrete else None

    def _found(self, to: Adaptive) -> Found:
        """Return the grid that the march finds."""
        route, functions, stepper = self._route(to), closed(self.problem, self.data.grid), STEPPERS[self.rule.key]
        if not self.backend.compiles and route.y0.ndim == 2 and stepper.pair is not None:
            with self.backend.frozen():
                most = to.max_steps or MANY
                return found_alone(self.backend, stepper.pair, self.problem, functions["f"], route, most)
        y, xp = route.y0, array_namespace(route.y0)
        rows = stepper.calls(y, xp.astype(route.start, y.dtype)[..., None])
        called = {name: (f, lambda: rows) for name, f in functions.items()}
        marcher = Marcher(self.backend, self.rule.key, to.max_steps or MANY_COMPILED)
        found: Found = self.backend.call(marcher, called, route)
        return trimmed(self.backend, found)

    def _route(self, to: Adaptive) -> Route:
        """Return what the march is given."""
        y0, t = self.data.guess[..., :1, :], self.data.grid.t
        xp, convert = array_namespace(y0), self.backend.convert
        t = xp.broadcast_to(t, (*y0.shape[:-2], t.shape[-1]))
        rtol, atol = (convert(a, y0, y0.dtype) for a in (to.rtol, to.atol))
        first, longest = (None if a is None else convert(a, t, t.dtype) for a in (to.first_step, to.max_step))
        return Route(t[..., :1], t[..., -1:], None, y0, rtol, atol, first, longest)

    def _on_grid(self, found: Found, rtol: float) -> tuple[Solution, Data, Rule]:
        """Return the solution of the rule on the grid that was found, with its polynomials as ``y_corrected``."""
        xp, y = array_namespace(found.y), found.y
        D = xp.astype(found.t[..., 1:] - found.t[..., :-1], y.dtype)[..., None]
        grid = TimeGrid(found.t, D)
        times, start = xp.astype(found.t, y.dtype)[..., None], padded(self.data.boundary.y0, y.ndim)
        data = with_stages(Data(times, grid, Initial(start), y), self.rule.nodes)
        problem, system = discrete(self.problem, self.rule, self.backend, data)
        plan = OnGrid(self.backend, self.rule, problem.shift, Given(rtol))
        return run(plan, system.functions, data), data, problem

    def _error(self, sol: Solution, data: Data, problem: Any) -> Array:
        """Return the estimated error at the points of the grid, (*B, N + 1, n)."""
        fine = halved(data.grid.t, data.x, sol.y, sol.y_corrected, self.rule.nodes)
        plan = Refined(self.backend, self.rule, problem.shift, Given(0.0))
        delta = fine.grid.present(run(plan, closed(problem, fine.grid), fine).y)
        return delta[..., ::2, :]
