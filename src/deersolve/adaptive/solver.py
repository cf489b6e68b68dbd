"""A march that finds the grid, a rule that has the solution on it, and its error."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from ..backends import backend_of
from ..backends.generic import Backend
from ..backends.namespace import Array, array_namespace, joined, padded
from ..backends.trees import tree_map
from ..grids.base import Data
from ..inverses import Rule
from ..newton.discrete import discrete, mistuned
from ..newton.jacobians import Functions, derivative_of
from ..newton.measures import least
from ..newton.plan import run
from ..problems import Problem
from ..problems.inputs import closed
from ..solution.dense import DenseOutput
from ..solution.solution import Solution
from ..solution.status import Status
from .alone import Single, found_alone
from .error import ESTIMATED, FAR, Estimated, Refined, between, halved
from .flow import Route, carried
from .grid import Found, data_on, trimmed
from .inputs import Moments
from .march import ARRIVED, TOO_MANY
from .marcher import STEPPERS, Marcher
from .method import Adaptive
from .on_grid import Given, Kept, Marched, OnGrid, Polished
from .whole import FEWEST, Whole

MANY, FEW_COMPILED, MANY_COMPILED = 10**7, 256, 4096  # steps of a march: where Python looks; where all are kept
MATRICES = 2**27  # numbers of the matrices of all intervals that are solved at once
HELD = 2**23  # numbers that are kept, if there are not few steps
WORK = 2_000_000_000  # multiplications of the linear systems, for which no Newton step is made over all steps
TIGHTENED = 2**20  # numbers of y up to which the error is estimated where it was too large
LOOSER = 10.0  # a tolerance to compare with, where an error is not estimated on halved steps
SMALL = 32  # components up to which a matrix for each step is cheaper than another march
UNSETTLED = 50.0  # times the tolerance, in the place of an error that is not known


@dataclasses.dataclass(frozen=True)
class Solver:
    """What solves one problem to tolerances."""

    problem: Problem
    moments: Moments
    backend: Backend
    data: Data
    rule: Rule
    looks: bool
    stops: Array | None
    estimated: int = ESTIMATED
    share: float = 1.0  # of a tolerance, which a march is allowed

    def solved(self, to: Adaptive, before: Found | None = None) -> Solved:
        """Return a grid with the solution on it; one to less may be known before."""
        return self.on(self.found(to, before), to)

    def on(self, found: Found, to: Adaptive) -> Solved:
        """Return the solution on a grid, and its estimated error."""
        found = dataclasses.replace(found, t=carried(self.backend, found.t, self.data.grid.t, self.stops))
        made = self._on_grid(found, to)
        if self.estimates(found, to):
            return self._estimated(found, to, *made)
        return self._compared(found, to, made[0]) if self.asks(found, to) else Solved(found, made[0])

    def halved(self, made: Solved, to: Adaptive) -> Solved | None:
        """Return the solution on half of the steps, with its error; None where that takes more than what is known."""
        finer, xp = made.finer, array_namespace(made.sol.status)
        if finer is None or is_cut(finer) or not self.estimates(finer, to):
            return None
        half = self.on(finer, to)
        worse = (half.sol.status != 0) & (half.sol.status != made.sol.status)
        return None if bool(xp.any(worse)) else half

    def asks(self, found: Found, to: Adaptive) -> bool:
        """Return whether the error is estimated."""
        asked = to.estimate if to.estimate is not None else not self.backend.compiles
        return asked and self.backend.is_concrete(found.t)

    def estimates(self, found: Found, to: Adaptive) -> bool:
        """Return whether that is done on halved steps, which takes a matrix for each."""
        *batch, length, n = found.y.shape
        size = length * n if to.estimate is True else math.prod(batch) * length * n  # a batch is cut in parts then
        return self.asks(found, to) and n <= SMALL and size <= self.estimated

    def _work(self, found: Found) -> int:
        """Return about how many multiplications the linear systems of all steps take."""
        *batch, n = found.y.shape
        return int(math.prod(batch) * (max(len(self.rule.nodes), 1) * n) ** 3)

    @property
    def on_grid(self) -> Rule:
        """The rule on the grid that was found: some hundred steps are not worth a scan that is compiled first."""
        is_plain = self.rule.scans and self.backend.name == "numpy"
        return self.rule.scanning("sequential") if is_plain else self.rule

    def found(self, to: Adaptive, before: Found | None = None) -> Found:
        """Return the grid that the march finds, or Newton's method."""
        if to.way == "newton":
            return self._whole(to, before)
        to = to.tighter(self.share)
        route, functions, stepper = self._route(to), closed(self.problem, self.data.grid), STEPPERS[self.rule.key]
        if not self.backend.compiles and route.y0.ndim == 2:
            single = Single(self.backend, self.problem, functions, route)
            with self.backend.frozen():
                return found_alone(self.backend, stepper, single, route, to.max_steps or MANY, self.looks)
        y, xp = route.y0, array_namespace(route.y0)
        calls = stepper.calls(y, xp.astype(route.start, y.dtype)[..., None])
        rows = [(y, self.moments.at(t)) for y, t in calls]
        rows.append(tree_map(lambda a: a[(*(slice(1) for _ in a.shape[:-1]), ...)], rows[0]))  # one point
        called = {name: (f, lambda: rows) for name, f in functions.items()}
        most, is_last = to.max_steps or self._most(y), to.max_steps is not None or not self.backend.compiles
        halts = None if self.backend.compiles else self.problem.halts
        while True:
            marcher = Marcher(self.backend, self.rule.key, most, self.looks, halts)
            found: Found = self.backend.call(marcher, called, route)
            is_last = is_last or most >= MANY_COMPILED or not self.backend.is_concrete(found.code)
            if is_last or not bool(xp.any(found.code == TOO_MANY)):
                return trimmed(self.backend, found)
            most = MANY_COMPILED

    def _whole(self, to: Adaptive, before: Found | None) -> Found:
        """Return the grid that Newton's method on all steps at once finds."""
        route = self._route(to)
        if before is not None:
            c = joined([before.y[..., :-1, None, :], before.path], -2)
            route = dataclasses.replace(route, before=DenseOutput(before.t, c))
        room: int = MATRICES // (math.prod(route.y0.shape) * route.y0.shape[-1] * len(self.rule.nodes) ** 2)
        most = to.max_steps or max(min(room, FEW_COMPILED) if self.backend.compiles else room, FEWEST)
        whole = Whole(self.backend, self.rule, most)
        data, seen = whole.begun(route)
        functions = derivative_of(discrete(self.problem, self.rule, self.backend, data)[1], check=False)[0]

        def calls() -> list[tuple[Any, ...]]:
            t, y, c, whole = data.grid.t, data.guess[..., -1, :], data.guess[..., 1:, :, :], (data.guess, data.x)
            fine = halved(t, seen, y, c, self.rule.nodes, self.moments)
            return [whole, (fine.guess, fine.x), tree_map(lambda a: a[(*(slice(1) for _ in a.shape[:-1]), ...)], whole)]

        called = {name: (f, calls) for name, f in functions.items()}
        found: Found = self.backend.call(whole, called, route)
        more = min(room, MANY_COMPILED)
        if to.max_steps or more <= most or not self.backend.is_concrete(found.code) or not _any(found.code == TOO_MANY):
            return trimmed(self.backend, found)
        return self._whole(dataclasses.replace(to, max_steps=more), before)

    def _most(self, y0: Array) -> int:
        """Return how many steps may be tried: where all of those are kept, as many as have room."""
        if not self.backend.compiles:
            return MANY
        room: int = HELD // (math.prod(y0.shape) * (STEPPERS[self.rule.key].order + 2))
        return min(max(room, FEW_COMPILED), MANY_COMPILED)

    def _route(self, to: Adaptive) -> Route:
        """Return what the march is given."""
        y0, t = self.data.guess[..., :1, :], self.data.grid.t
        xp, convert = array_namespace(y0), self.backend.convert
        t = xp.broadcast_to(t, (*y0.shape[:-2], t.shape[-1]))
        rtol, atol = allowed(to, y0)
        first, longest = (None if a is None else convert(a, t, t.dtype) for a in (to.first_step, to.max_step))
        return Route(t[..., :1], t[..., -1:], self.stops, y0, rtol, atol, first, longest, self.moments)

    def _on_grid(self, found: Found, to: Adaptive) -> tuple[Solution, Array, Functions]:
        """Return the solution of the rule on the grid that was found, with its polynomials as ``y_corrected``.

        And the times as f sees them, (*B, N + 1, 1), and f as it is called, with its derivative.
        """
        start = padded(self.data.boundary.y0, found.y.ndim)
        data, seen = data_on(found.t, found.y, start, self.stops is not None, self.rule.nodes, self.moments)
        if self.rule.nodes:
            data = dataclasses.replace(data, guess=_in_stages(self.backend, data.guess, found, self.rule.nodes))
        problem, system = discrete(self.problem, self.on_grid, self.backend, data)
        method: Given = (Polished if self.rule.nodes else Given)(to)
        if found.path is not None and (self.backend.compiles or self._work(found) > WORK):
            data, method = Marched(data.x, data.grid, data.boundary, data.guess, found.path), Kept(to)
        functions = derivative_of(system, check=False)[0] if self.rule.nodes else system.functions
        sol = run(OnGrid(self.backend, self.on_grid, problem.shift, method), functions, data)
        other = None if _has_converged(self.backend, sol) else mistuned(problem, system, data.guess)
        if other is not None:
            return dataclasses.replace(self, problem=other)._on_grid(found, to)
        return sol, seen, functions

    def ends(self, found: Found, sol: Solution) -> tuple[Array, Array]:
        """Return y at the first and the last point, (*B, 1, n): compiled without the rest if alone."""
        u = sol.y[..., -1, :] if self.rule.nodes else sol.y
        if not self.backend.compiles:
            return u[..., :1, :], u[..., -1:, :]
        first, last = (self.backend.following(found.y[..., k, :], u[..., k, :]) for k in (slice(1), slice(-1, None)))
        return first, last

    def _estimated(self, found: Found, to: Adaptive, sol: Solution, seen: Array, functions: Functions) -> Solved:
        """Return the solution with its error where it is wanted, and what is on the grid of half the steps."""
        nodes, xp = self.rule.nodes, array_namespace(sol.y)
        fine = halved(found.t, seen, sol.y[..., -1, :] if nodes else sol.y, sol.y_corrected, nodes, self.moments)
        plan = Refined(self.backend, self.on_grid, self.problem.shift, (Given if nodes else Estimated)(to))
        delta = run(plan, functions, fine).y
        change = fine.grid.present(delta)
        t, wanted = self.backend.without_gradient((found.t, self.data.grid.t))
        beyond = xp.abs(wanted - t[..., :1]) > xp.abs(t[..., -1:] - t[..., :1])
        error = between(t, change)(xp.where(beyond, t[..., -1:], wanted))
        y = fine.guess + delta
        path = self.rule.polynomials(y, functions, fine)[..., 1:, :] if nodes else None
        finer = Found(fine.grid.times, fine.grid.present(y), found.code, 2 * found.taken, found.tried, path)
        return Solved(found, sol, error, finer)

    def _compared(self, found: Found, to: Adaptive, sol: Solution) -> Solved:
        """Return the solution with its error where it is wanted: that of looser steps, in the ratio of tolerances."""
        less, by = to.looser(LOOSER, STEPPERS[self.rule.key].order)
        other, times, held = self.found(less), self.data.grid.t, self.backend.without_gradient
        y = held(DenseOutput(found.t, sol.y_corrected)(times))
        xp, both = array_namespace(y), (found.code == ARRIVED) & (other.code == ARRIVED)
        error = xp.where(both[..., None, None], (y - held(self._at(other, less, times))) / (by - 1), xp.inf)
        return Solved(found, sol, error, told=f"; its error by that of steps to {less.least:.0e}")

    def _at(self, found: Found, to: Adaptive, times: Array) -> Array:
        """Return y of a march at times."""
        if times.shape[-1] == 2:
            return joined([found.y[..., :1, :], found.y[..., -1:, :]], -2)
        if found.path is None:
            return DenseOutput(found.t, self._on_grid(found, to)[0].y_corrected)(times)
        return DenseOutput(found.t, joined([found.y[..., :-1, None, :], found.path], -2))(times)


@dataclasses.dataclass(frozen=True)
class Solved:
    """A solution on its grid, with its estimated error at the wanted times, (*B, T, n), and one on half the steps."""

    found: Found
    sol: Solution
    error: Array | None = None
    finer: Found | None = None
    told: str = ""

    def size(self, to: Adaptive) -> float | None:
        """Return the largest error in units of a tolerance, where it is above what is allowed and can be mended."""
        if self.error is None or to.least == 0:
            return None
        size = self.error_in(to)
        return size if FAR < size < math.inf else None

    def error_in(self, to: Adaptive) -> float:
        """Return the largest error in units of a tolerance.

        Where Newton's method on all steps at once was still moving, that is not known: it is called UNSETTLED.
        """
        xp = array_namespace(self.error)
        is_moving = bool(xp.any(self.sol.status == int(Status.MAX_STEPS)))
        return UNSETTLED if is_moving else float(xp.max(ratio(to, self.found, self.error)))

    def is_no_better(self, size: float, to: Adaptive) -> bool:
        """Return whether smaller steps to the same end leave an error of about the same size."""
        left = self.size(to)
        return left is not None and left != UNSETTLED and not is_cut(self.found) and left > 0.5 * size


def _has_converged(backend: Backend, sol: Solution) -> bool:
    return not backend.is_concrete(sol.status) or not bool(array_namespace(sol.status).any(sol.status))


def _in_stages(backend: Backend, guess: Array, found: Found, nodes: tuple[float, ...]) -> Array:
    """Return y at every stage, (*B, N + 1, m, n), by the polynomials of the march; without a step the guess."""
    if found.path is None:
        return guess
    powers = [[c ** (k + 1) for k in range(found.path.shape[-2])] for c in nodes[:-1]]
    moved = array_namespace(guess).matmul(backend.convert(powers, guess, guess.dtype), found.path)
    inner, last = found.y[..., :-1, None, :] + moved, found.y[..., 1:, None, :]
    return joined([guess[..., :1, :, :], joined([inner, last], -2)], -3)


def is_cut(found: Found) -> bool:
    """Return whether some element did not come to its end."""
    return _any(found.code != ARRIVED)


def _any(flags: Array) -> bool:
    return bool(array_namespace(flags).any(flags))


def ratio(to: Adaptive, found: Found, error: Array) -> Array:
    """Return the largest error of each element in units of the tolerance, (*B,)."""
    xp, (rtol, atol) = array_namespace(error), allowed(to, error)
    return xp.max(xp.abs(error) / (atol + rtol * peak(found)), axis=(-2, -1))


def allowed(to: Adaptive, y: Array) -> tuple[Array, Array]:
    """Return rtol and atol as arrays like y; atol is above 0, so that a component which stays 0 has no error."""
    xp, convert = array_namespace(y), backend_of(y).convert
    rtol, atol = (convert(a, y, y.dtype) for a in (to.rtol, to.atol))
    return rtol, xp.where(atol > 0, atol, least(y))


def peak(found: Found) -> Array:
    """Return the largest |y| of each component, (*B, 1, n)."""
    xp = array_namespace(found.y)
    return xp.max(xp.abs(found.y), axis=-2, keepdims=True)
