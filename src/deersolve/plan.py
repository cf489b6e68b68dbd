"""A plan: everything that was chosen for a solve, ready to be run, compiled and differentiated."""

from __future__ import annotations

import dataclasses
from typing import Any

from .backends.generic import Backend
from .certificate import rule_holds
from .estimate import discretisation
from .implicit import attach, tangent
from .inverses import Rule
from .record import tree_map
from .shifters import Identity, Lag, Shifter
from .solution import Solution, Stats, Status
from .system import Data, System
from .typing import array_namespace


@dataclasses.dataclass(frozen=True)
class Plan:
    """Everything that was chosen; called with functions and arrays, it solves."""

    backend: Backend
    rule: Rule
    shift: tuple[Shifter, ...]
    method: Any
    grid_ndim: int = 1

    @property
    def key(self) -> Any:
        """What makes two plans the same program."""
        return (self.rule.key, self.shift, self.method, self.grid_ndim)

    @property
    def cacheable(self) -> bool:
        """Whether everything the plan calls is the library's own: a user's rule may hold changing arrays."""
        return self.rule.is_builtin and all(isinstance(s, Identity | Lag) for s in self.shift)

    def system(self, functions: Any, data: Data) -> System:
        """Return the discrete equation."""
        return System(self.backend, self.rule, self.shift, functions, data, self.grid_ndim)

    def solve(self, functions: Any, data: Data) -> Solution:
        """Solve, certify and estimate the discretisation error; no derivative passes."""
        system = self.system(functions, self.backend.without_gradient(data))
        with self.backend.frozen():
            it, status, estimate = self._iterate(system)
        corrected, error, sure = estimate if estimate is not None else (None, None, None)
        stats = Stats(it.steps, it.error, it.residual, it.history, error, sure)
        return Solution(it.y, status, stats, corrected, getattr(data.grid, "t", None))

    def attach(self, functions: Any, data: Data, y: Any) -> Any:
        """Return y with its derivative on the graph, where somebody may ask for one."""
        live = self.system(functions, data)
        return attach(live, y) if self.backend.records(lambda: live.f(*live.shifted(y))) else y

    def tangent(self, by: Any, at: Any, theta: Any, direction: Any, y: Any) -> Any:
        """Return the derivative of y along a direction; ``at(theta)`` gives functions and data."""
        return tangent(by, lambda theta: self.system(*at(theta)), theta, direction, y)

    def _iterate(self, system: System) -> tuple[Any, Any, Any]:
        """Return the last iterate, its status and the estimated discretisation error."""
        it = self.method.run(system)
        status = it.status
        if not self.rule.is_builtin:
            xp = array_namespace(it.y)
            holds = rule_holds(system, it.y)
            status = xp.where(it.certified & ~holds, int(Status.UNCERTIFIED), status)
        return it, status, discretisation(system, it.y)


def run(plan: Plan, functions: dict[str, Any], data: Data) -> Solution:
    """Run the plan, with each function told the shapes it will be called with."""
    grid = data.grid
    T = data.guess.shape[-2]
    overlap = getattr(grid, "overlap", 0)
    counts = plan.method.points(T - overlap, overlap) if hasattr(grid, "window") else [T]
    calls = [_example(plan, functions, data, points) for points in counts]
    calls.append(tree_map(lambda a: a[(*(slice(1) for _ in a.shape[:-1]), ...)], calls[0]))  # one point
    result: Solution = plan.backend.call(plan, {name: (f, calls) for name, f in functions.items()}, data)
    return result


def _example(plan: Plan, functions: dict[str, Any], data: Data, points: int) -> tuple[Any, ...]:
    """Return arguments for f on a stretch of that many points."""
    system = plan.system(functions, data)
    system = system.head(points) if hasattr(data.grid, "window") else system
    return (*system.shifted(system.data.guess), system.data.x)
