"""A solve that somebody watches: windows where Python sees them, else stretches of the grid, each a solve by itself."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any, ClassVar

from ...backends.namespace import Array, array_namespace
from ...backends.trees import record
from ...errors import CheckpointWarning, InputError, level_of_caller
from ...grids.base import Data
from ...linalg.structure import Dense
from ...solution.solution import Solution, Stats
from ...solution.status import Status
from ..equation import System
from ..iterate import Iterate, Options, start_at
from ..plan import Plan, run
from ..steps.full import FULL
from .compiled import judged
from .march import UnseenError, march
from .pace import Fixed, stretch_of
from .resume import resume
from .trajectory import Trajectory
from .watch import Watch

OUTSIDE = (
    "on_window: expected a solve outside jit and vmap, where Python can be called while it runs; received arrays "
    "without numbers, or an f that holds some."
)


def run_watched(plan: Plan, functions: dict[str, Any], data: Data) -> Solution:
    """Run the plan and tell of each window; what somebody differentiates is the solution as a whole, as always."""
    watch = plan.watch
    if not plan.backend.is_concrete(data):
        raise InputError(OUTSIDE)
    why = plan.system(functions, data).why_whole
    if why or plan.method.window is None:
        received = f"an equation solved at once: {why}" if why else "Newton(window=None), all points at once"
        raise InputError(
            "on_window: expected an equation and a method that go window by window, such as Newton(window=1000), "
            f"'sequential' or 'auto' for a Recurrence or an InitialValueProblem; received {received}."
        )
    with watch.watching():
        sol = _solved(plan, functions, data)
        if watch.resumed is not None and bool(array_namespace(sol.y).any(watch.resumed.converged & ~sol.converged)):
            warnings.warn(
                f"{watch.store}: from what was taken over the solve came to no certified whole. All is solved again.",
                CheckpointWarning,
                stacklevel=level_of_caller(),
            )
            watch.starts_afresh()
            sol = _solved(plan, functions, data)
    return sol


def _solved(plan: Plan, functions: dict[str, Any], data: Data) -> Solution:
    """Run the plan in windows where Python sees them, else in stretches."""
    is_seen = plan.method.is_seen(plan.system(functions, data))
    sol = (run if is_seen else _by_stretches)(plan, functions, data)
    if not plan.backend.is_concrete(sol.status):
        raise InputError(OUTSIDE)
    return sol


def _by_stretches(plan: Plan, functions: dict[str, Any], data: Data) -> Solution:
    """Solve stretches of one length, so that each library compiles once, and what is left; then certify the whole."""
    backend, method, options = plan.backend, plan.method, plan.method.options
    system = plan.system(functions, backend.without_gradient(data))
    part = Part(backend, plan.rule, plan.shift, method)

    def attempt(stretch: System, alive: Array, by: str) -> Iterate:
        sol = backend.without_gradient(run(part, functions, stretch.data))
        return _iterate(stretch, sol, options)

    trajectory = Trajectory(system, options, plan.watch)
    length = stretch_of(system.grid.length, method.window)
    try:
        with backend.frozen():
            resume(trajectory, options, attempt)
            march(trajectory, attempt, Fixed(length, method.by))
    except UnseenError:
        raise InputError(OUTSIDE) from None
    it = trajectory.joined()
    is_checked = method.by == "loop" and not system.grid.overlap
    joined = Joined(dataclasses.replace(options, structure=Dense, step=FULL), is_checked, method.memory)
    fields = {field.name: getattr(data, field.name) for field in dataclasses.fields(data)}
    known = Known(**fields, it=dataclasses.replace(it, windows=()))
    sol = run(dataclasses.replace(plan, method=joined), functions, known)
    return dataclasses.replace(sol, stats=dataclasses.replace(sol.stats, windows=it.windows))


def _iterate(system: System, sol: Solution, options: Options) -> Iterate:
    """Return a solution as what a window gives."""
    stats, names = sol.stats, ("steps", "error", "residual", "history")
    return dataclasses.replace(
        start_at(system, sol.y, options),
        certified=sol.converged,
        broken=sol.status == int(Status.NONFINITE),
        strayed=sol.status == int(Status.NO_DISCRETE_SOLUTION),
        **{name: getattr(stats, name) for name in names},
    )


@dataclasses.dataclass(frozen=True)
class Part(Plan):
    """The plan for a stretch: nobody asks for its estimates and derivatives."""

    @property
    def key(self) -> Any:
        """Those of the plan, and that this is no whole."""
        return ("part", *super().key)

    def solve(self, functions: Any, data: Data) -> Solution:
        """Solve and certify."""
        system = self.system(functions, self.backend.without_gradient(data))
        with self.backend.frozen():
            it = self.method.run(system)
        return Solution(it.y, it.status, Stats(it.steps, it.error, it.residual, it.history))

    def attach(self, functions: Any, data: Data, sol: Solution) -> Solution:
        """Return the solution."""
        return sol


@record
class Known(Data):
    """The data of an equation, and what stretches made of it."""

    it: Iterate


@dataclasses.dataclass(frozen=True)
class Joined:
    """The method for stretches that are laid end to end: judge the whole, as windows are."""

    by: ClassVar[str] = "newton"
    options: Options
    is_checked: bool
    memory: Any

    def run(self, system: System, watch: Watch) -> Iterate:
        """Return what is known; of Newton's method, judged as a whole where only corrections certified a stretch."""
        it: Iterate = system.data.it  # type: ignore[attr-defined]
        return it if self.is_checked else judged(system, self.options, it)

    def points(self, length: int, overlap: int) -> list[int]:
        """Return the numbers of grid points that f will be evaluated on at once."""
        return [length + overlap]
