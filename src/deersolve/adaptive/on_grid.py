"""What a march found, as the solution of a rule on a grid: its certificate, its derivative, its polynomials."""

from __future__ import annotations

import dataclasses
from functools import reduce
from operator import add
from typing import Any, ClassVar

from ..backends.namespace import Array, array_namespace, joined, part
from ..backends.trees import record
from ..grids.base import Data
from ..linalg.structure import Dense
from ..newton.equation import System
from ..newton.implicit import attach, tangents_of_steps
from ..newton.iterate import Iterate, Options, start_at
from ..newton.iteration import newton_step
from ..newton.measures import eps_of, least
from ..newton.plan import Plan
from ..newton.steps.full import FULL
from ..newton.windows.watch import Watch
from ..solution.solution import Solution, Stats
from .method import Adaptive

ROUNDOFF = 4096  # in units of eps: how far the end of a polynomial may be from y there; weights of 1,000 cancel in it
PART = 1e-3  # of the tolerance, or that
STEPS = 6  # of Newton's method on all steps at once


@dataclasses.dataclass(frozen=True)
class Given:
    """The method that leaves y as it was found, and looks whether the discrete equation holds."""

    to: Adaptive
    structure: ClassVar[Any] = Dense
    step: ClassVar[Any] = FULL
    memory: ClassVar[Any] = None
    window: ClassVar[Any] = None
    scan: ClassVar[Any] = None

    def points(self, length: int, overlap: int) -> list[int]:
        """Return the numbers of grid points that f will be evaluated on at once."""
        return [length + overlap]

    def run(self, system: System, watch: Watch) -> tuple[Iterate, Array]:
        """Return y with its residual, and the polynomials: how far that of an interval is from y at its end."""
        y, c = system.data.guess, system.polynomials(system.data.guess)
        xp, terms = array_namespace(y), [c[..., k, :] for k in range(c.shape[-2])]
        end = reduce(add, terms)
        size = xp.max(reduce(add, map(xp.abs, terms)) + xp.abs(y[..., 1:, :]), axis=-1, keepdims=True)
        residual = system.over_grid(xp.max, xp.abs(end - y[..., 1:, :]) / (size + least(y)))
        holds = residual <= max(ROUNDOFF * eps_of(y), PART * self.to.least)
        return _known(system, y, holds, ~xp.isfinite(residual), residual=residual), c


class Kept(Given):
    """The method that leaves y and the polynomials as they were found."""

    def run(self, system: System, watch: Watch) -> tuple[Iterate, Array]:
        """Return y and the polynomials."""
        y, data = system.data.guess, system.data
        u = data.grid.present(y)
        path: Array = data.path  # type: ignore[attr-defined]
        c = joined([u[..., :-1, None, :], path], -2)
        return _unseen(system, y), c


@record
class Marched(Data):
    """Data with the polynomials of a march, (*B, N, d, n)."""

    path: Array


class Polished(Given):
    """Newton's method on all steps at once, from what an iteration in each of them left: mostly one step.

    A correction of the root of the tolerance, of the largest y, leaves one of about the tolerance behind it. Where the
    iteration is lost, y stays what was found, and it is said that it was still moving.
    """

    def run(self, system: System, watch: Watch) -> tuple[Iterate, Array]:
        """Return y behind the last step, and the polynomials."""
        y, xp = system.data.guess, array_namespace(system.data.guess)
        enough = max(self.to.least, ROUNDOFF * eps_of(y)) ** 0.5

        def step(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            y, _, left = state
            delta = newton_step(system, y, Dense)[2]
            return y + delta, system.over_grid(xp.max, xp.abs(delta) / (system.peaks(y) + least(y))), left - 1

        found, first = y, step((y, 0, system.backend.convert(STEPS, y, xp.int32)))
        y, size, _ = system.backend.while_loop(lambda s: xp.any(s[1] > enough) & (s[2] > 0), step, first)
        lost = ~xp.isfinite(size)
        y, broken = xp.where(system.per_element(lost), found, y), lost & ~system.over_grid(xp.all, xp.isfinite(found))
        return _known(system, y, size <= enough, broken, error=size), system.polynomials(y)


def _unseen(system: System, y: Array) -> Iterate:
    """Return y, of which the march says whether it is one."""
    at = start_at(system, y, Options(max_steps=0))
    return dataclasses.replace(at, active=at.active & False, certified=at.active)


def _known(system: System, y: Array, holds: Array, broken: Array, **known: Array) -> Iterate:
    at = start_at(system, y, Options(max_steps=0))
    return dataclasses.replace(at, active=at.active & False, certified=holds, broken=broken, **known)


def polynomials(system: System, y: Array) -> Array:
    """Return those of the rule."""
    return system.polynomials(y)


@dataclasses.dataclass(frozen=True)
class OnGrid(Plan):
    """A plan whose solution has the polynomials of the rule in the place of ``y_corrected``."""

    beside: ClassVar[Any] = staticmethod(polynomials)

    def points(self, data: Data) -> list[int]:
        """Return the numbers of points that functions are called on at once: of polynomials all but the last."""
        return [*super().points(data), data.grid.length]

    def solve(self, functions: Any, data: Data) -> Solution:
        """Return the solution of the discrete equation."""
        data = self.backend.without_gradient(data)
        with self.backend.frozen():
            it, c = self.method.run(self.system(functions, data), self.watch)
            stats = Stats(it.steps, it.error, it.residual, it.history, windows=it.windows)
            return Solution(it.y, it.status, stats, c, data.grid.times)

    def attach(self, functions: Any, data: Data, sol: Solution) -> Solution:
        """Return the solution with its derivative on the graph, where somebody may ask for one."""
        system = dataclasses.replace(self.system(functions, data), strict=True)
        y = attach(system, sol.y, sol.converged)
        return sol if y is sol.y else dataclasses.replace(sol, y=y, y_corrected=system.polynomials(y))

    def tangent(self, by: Any, at: Any, theta: Any, direction: Any, sol: Solution) -> tuple[Any, Any]:
        """Return the derivatives of y and of the polynomials; ``at(theta)``: plan, functions, data."""

        def system_at(theta: Any) -> System:
            plan, functions, data = at(theta)
            made: System = plan.system(functions, data)
            return dataclasses.replace(made, strict=True)

        made = tangents_of_steps(by, system_at, theta, direction, sol.y, sol.converged, _crossing)
        if made is None:
            return super().tangent(by, at, theta, direction, sol)
        dy, dp = made
        rest = array_namespace(dp).reshape(dp, (*dp.shape[:-1], -1, dy.shape[-1]))
        return dy, joined([part(dy, -2, None, -1)[..., None, :], rest], -2)


def _crossing(system: System) -> tuple[dict[str, Any], Any]:
    return system.rule.crossing(system.functions, system.data)
