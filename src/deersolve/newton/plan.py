"""A plan: everything that was chosen for a solve, ready to be run, compiled and differentiated."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from ..backends.generic import Backend
from ..backends.trees import tree_map
from ..grids.base import Data
from ..grids.shifters import BuiltIn, Shifter
from ..inverses import Rule
from ..linalg.layout import Layout
from ..linalg.scans import own_ways
from ..linalg.structure import Dense
from ..solution.solution import Solution, Stats
from .by_steps import records_steps
from .causality import history_of, why_whole
from .certificate import status_of
from .discretisation_error import corrected, discretisation
from .equation import System
from .implicit import attach, tangent, through
from .memory import bytes_of, steps_within
from .windows.loop import loop_checked, recorded, stride_of
from .windows.watch import NOBODY, Watch

NO_DERIVATIVE = (
    "y_corrected has no derivative on a library that records a graph: expected a loss of sol.y, which has the exact "
    "one. On JAX y_corrected has its own."
)


@dataclasses.dataclass(frozen=True)
class Plan:
    """Everything that was chosen; called with functions and arrays, it solves."""

    backend: Backend
    rule: Rule
    shift: tuple[Shifter, ...]
    method: Any
    watch: Watch = NOBODY
    layout: Layout | None = None
    beside: ClassVar[Any] = staticmethod(corrected)
    """What a solution has beside y, ``y_corrected``, as it is differentiated."""

    @property
    def key(self) -> Any:
        """What makes two plans the same program."""
        shift = self.shift if self.cacheable else tuple((type(s), s.reach) for s in self.shift)
        return (self.rule.claims, shift, self.method, self.layout, own_ways(self.rule.scan))

    @property
    def cacheable(self) -> bool:
        """Whether everything the plan calls is the library's own: a user's rule may hold changing arrays."""
        return self.rule.is_builtin and all(isinstance(s, BuiltIn) for s in self.shift)

    @property
    def operator(self) -> tuple[Rule, tuple[Shifter, ...]]:
        """What may hold numbers of a user's own."""
        return self.rule, self.shift

    def with_operator(self, operator: tuple[Rule, tuple[Shifter, ...]]) -> Plan:
        """Return the plan with another one, that holds other numbers."""
        return dataclasses.replace(self, rule=operator[0], shift=operator[1])

    def points(self, data: Data) -> list[int]:
        """Return the numbers of grid points that functions will be called on at once."""
        grid, system = data.grid, self.system({}, data)
        T, overlap = data.guess.shape[grid.axis], grid.overlap
        counts = self.method.points(T - overlap, overlap) if system.marches else [T]
        if system.block is not None:
            sizes = {system.block, system.stretch}
            rests = {(T - overlap) % size + overlap for size in sizes} | {c % system.stretch for c in (*counts, T)}
            counts = sorted({*counts, *sizes, *(size + overlap for size in sizes), *rests} - {0})
        return counts if not self.rule.is_loop else sorted({1, *counts, -(-grid.length // stride_of(system))})

    def tried(self, data: Data) -> list[Any]:
        """Return what rule and shifters make of the guess, on as many points as they will be called on at once."""
        whole, made = self.system({}, data), list[Any]()
        for count in {*self.points(data), data.guess.shape[data.grid.axis]}:
            system = whole.head(count) if whole.marches else whole
            y = system.data.guess
            ys = system.shifted(y)
            Gs = tuple(Dense(y_p[..., None] * y_p[..., None, :]) for y_p in ys)
            made += [*ys, *self.rule.tried(Gs, y, y, system.data)]
        return made

    def system(self, functions: Any, data: Data) -> System:
        """Return the discrete equation."""
        return System(self.backend, self.rule, self.shift, functions, data, self._block(data), self.layout)

    def _block(self, data: Data) -> int | None:
        """Return how many steps are linearised at once, where a block hands the next one no more than its last values.

        Those are y at the end of an interval, or what the lags of a recurrence go back to.
        """
        if not self.rule.exact or why_whole(self.rule, self.shift, data):
            return None
        is_own = not all(isinstance(s, BuiltIn) for s in self.shift)
        if is_own or not (self.rule.is_loop or (data.grid.overlap and history_of(data) == 1)):
            return None
        return steps_within(bytes_of(self.method.memory), data.guess, data.grid, self.layout)

    def solve(self, functions: Any, data: Data) -> Solution:
        """Solve, certify and estimate the discretisation error; no derivative passes."""
        system, y = self.system(functions, self.backend.without_gradient(data)), None
        if self.method.by == "loop" and records_steps(system):
            y = recorded(self.system(functions, data))
        with self.backend.frozen():
            if y is None:
                it = self.method.run(system, self.watch)
            else:
                it = loop_checked(system, self.method.options, self.backend.without_gradient(y))
            (status, rule_errors), estimate = status_of(system, it), discretisation(system, it.y)
        stats, better = Stats(it.steps, it.error, it.residual, it.history, rule_errors, windows=it.windows), None
        if estimate is not None:
            better = estimate.y_corrected
            stats = dataclasses.replace(
                stats,
                discretisation_error=estimate.error,
                is_asymptotic=estimate.is_asymptotic,
                local_error=estimate.local_error,
            )
        return Solution(it.y if y is None else y, status, stats, better, data.grid.times)

    def attach(self, functions: Any, data: Data, sol: Solution) -> Solution:
        """Return the solution with its derivative on the graph, where somebody may ask for one."""
        system = dataclasses.replace(self.system(functions, data), strict=True)
        y = attach(system, sol.y, sol.converged)
        better = sol.y_corrected
        if better is not None and y is not sol.y:
            better = self.backend.refused(better, y, NO_DERIVATIVE)
        return dataclasses.replace(sol, y=y, y_corrected=better)

    def tangent(self, by: Any, at: Any, theta: Any, direction: Any, sol: Solution) -> tuple[Any, Any]:
        """Return the derivatives of y and y_corrected along a direction; ``at(theta)``: plan, functions, data."""

        def system_at(theta: Any) -> System:
            plan, functions, data = at(theta)
            made: System = plan.system(functions, data)
            return dataclasses.replace(made, strict=True)

        dy = tangent(by, system_at, theta, direction, sol.y, sol.converged)
        if sol.y_corrected is None:
            return dy, None
        return dy, through(by, self.beside, system_at, (theta, sol.y), (direction, dy), sol.converged)


def run(plan: Plan, functions: dict[str, Any], data: Data) -> Solution:
    """Run the plan, with each function told the shapes it will be called with."""
    system, counts = plan.system(functions, data), plan.points(data)

    def calls() -> list[tuple[Any, ...]]:
        made = [_example(plan, functions, data, points) for points in counts]
        return [*made, tree_map(lambda a: a[(*(slice(1) for _ in a.shape[:-1]), ...)], made[0])]  # one point

    def ends() -> list[tuple[Any, ...]]:
        rows = tuple(y[..., -1:, :] for y in system.shifted(data.guess))
        return [rows, tuple(y[(*(slice(1) for _ in y.shape[:-1]), ...)] for y in rows)]

    called = {name: (f, ends if name.startswith("ends") else calls) for name, f in functions.items()}
    result: Solution = plan.backend.call(plan, called, data)
    return result


def _example(plan: Plan, functions: dict[str, Any], data: Data, points: int) -> tuple[Any, ...]:
    """Return arguments for f on a stretch of that many points."""
    system = plan.system(functions, data)
    system = system.head(points) if system.marches else system
    ys = system.shifted(system.data.guess)
    if "ends" in functions:  # f is not of the row behind the last point
        ys = tuple(y[..., :points, :] for y in ys)
    return (*ys, system.data.x)
