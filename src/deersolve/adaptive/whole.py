"""All steps at once by Newton's method, on a grid that is divided anew until each of its intervals is good enough.

A round solves the equation of a collocation rule on the grid as any other solve does, from the polynomials of the
round before. The error of each interval is what two halves of it make different, of all of them at once; where it is
too large the grid becomes finer, elsewhere coarser (:mod:`.mesh`). Where Newton's method finds nothing, the first
interval without a solution is cut: what is before it stands, for the equation is causal.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from ..backends.generic import Backend
from ..backends.namespace import Array, array_namespace, joined, padded_behind
from ..backends.trees import record
from ..grids.base import Data
from ..inverses import Rule
from ..linalg.structure import Dense
from ..newton.branch import points_on_branch
from ..newton.equation import System
from ..newton.iteration import newton_step
from ..newton.measures import eps_of, judge, least, terms
from ..solution.dense import DenseOutput
from .error import halved, of_intervals
from .flow import Route
from .grid import Found, data_on
from .march import ARRIVED, NOT_FINITE, TOO_MANY, TOO_SMALL, ULPS
from .mesh import divided, graded, lengths, needed, wanted

FIRST, FEWEST = 32, 8  # intervals to begin with, and at least
ROUNDS, SETTLED = 40, 12  # at most, and of those in which all was solved
STEPS = 16  # of Newton's method at a time
CLOSE = 2 / 3  # the power of eps that the last of them is below
UNKNOWN = -1.0  # the error of an interval behind one that is not solved
HOLDS = 0.5  # the power of eps that the residual of an interval is below, which is solved


@record
class Round:
    """What is known of a grid, (*B, N + 1).

    Attributes
    ----------
    c : array, shape (*B, N, d + 1, n)
        The polynomials; where there is no solution y stays what it was.
    error : array, shape (*B, N)
        In units of the tolerance; infinite of the first interval without a solution, ``UNKNOWN`` behind it.
    broken : array of bool, shape (*B,)
        Whether f is not finite there.
    rounds, settled : array of int, shape (*B,)
        How many rounds there were, and in how many of them all was solved.
    """

    t: Array
    c: Array
    error: Array
    broken: Array
    rounds: Array
    settled: Array


@record
class Sweep:
    """y, which intervals are solved from the first one on and where f is finite, (*B, N), and whether those grow."""

    y: Array
    solved: Array
    finite: Array
    grows: Array


@dataclasses.dataclass(frozen=True)
class Whole:
    """Everything that was chosen; called with functions and a :class:`Route`, it finds grid and solution."""

    backend: Backend
    rule: Rule
    most: int
    cacheable: bool = True
    operator: tuple[()] = ()

    @property
    def key(self) -> tuple[str, int]:
        """What makes two of them the same program."""
        return self.rule.key, self.most

    def with_operator(self, operator: Any) -> Whole:
        """Return itself: it holds no numbers."""
        return self

    def tried(self, route: Route) -> list[Any]:
        """Return nothing: no operator of a user's own has a part in it."""
        return []

    def attach(self, functions: Any, route: Route, result: Found) -> Found:
        """Return the grid: it has no derivative."""
        return result

    def tangent(self, by: Any, at: Any, theta: Any, direction: Any, result: Found) -> tuple[Any, Any]:
        """Return 0: a grid is data."""
        return array_namespace(result.y).zeros_like(result.y), None

    def solve(self, functions: Any, route: Route) -> Found:
        """Return the grid of every element, with the solution on it."""
        with self.backend.frozen():
            data, _ = self.begun(route)
            c = self.rule.polynomials(data.guess, functions, data)
            unknown = c[..., 0, 0] * 0 + UNKNOWN
            zero = array_namespace(c).astype(unknown[..., 0] * 0, array_namespace(c).int32)
            first = Round(data.grid.t, c, unknown, zero != 0, zero, zero)
            last = self.backend.while_loop(self._goes_on, lambda at: self._refined(functions, route, at), first)
            return _found(last)

    def begun(self, route: Route) -> tuple[Data, Array]:
        """Return the equation on the first grid, that of the solution before, or a uniform one where y stays.

        And the times as f is given them.
        """
        before = route.before
        if before is None:
            before = DenseOutput(joined([route.start, route.end], -1), route.y0[..., None, :])
        s = graded(lengths(before.t), before.t, route.longest)
        return self._posed(route, divided(before.t, s, self._count(before.t, s, FIRST), route.stops), before)

    def _count(self, t: Array, s: Array, least: int) -> int:
        """Return how many intervals there are: as many as are needed, where Python sees it."""
        if self.backend.compiles:
            return self.most
        most = math.ceil(float(array_namespace(t).max(needed(s, t))))
        return min(max(most, least), self.most)

    def _goes_on(self, at: Round) -> Array:
        """Return which elements want another grid, and may have one."""
        xp = array_namespace(at.error)
        lost = xp.isinf(at.error)
        ulp = ULPS * float(xp.finfo(at.t.dtype).eps) * xp.max(xp.abs(at.t), axis=-1, keepdims=True)
        is_cut = xp.any(lost & (lengths(at.t) > ulp), axis=-1)
        is_rough = xp.any(~((at.error >= 0) & (at.error <= 1)), axis=-1)
        wants = xp.where(xp.any(lost, axis=-1), is_cut, is_rough)
        has_room = self.backend.compiles or at.t.shape[-1] <= self.most
        return wants & (at.settled < SETTLED) & (at.rounds < ROUNDS) & has_room

    def _refined(self, functions: Any, route: Route, at: Round) -> Round:
        """Return the next round."""
        s = graded(wanted(at.error, at.t, at.c.shape[-2]), at.t, route.longest)
        t = divided(at.t, s, self._count(at.t, s, FEWEST), route.stops)
        made = self._solved(functions, route, *self._posed(route, t, DenseOutput(at.t, at.c)))
        return dataclasses.replace(made, rounds=at.rounds + 1, settled=at.settled + made.settled)

    def _posed(self, route: Route, t: Array, before: DenseOutput) -> tuple[Data, Array]:
        """Return the equation on a grid, with the guess of a solution before."""
        xp, n = array_namespace(t), route.y0.shape[-1]
        y0 = xp.broadcast_to(route.y0, (*t.shape, n))
        data, seen = data_on(t, y0, route.y0, route.stops is not None, self.rule.nodes, route.moments)
        nodes = self.backend.convert(self.rule.nodes, t, t.dtype)
        times = t[..., :-1, None] + (t[..., 1:] - t[..., :-1])[..., None] * nodes
        stages = xp.reshape(before(xp.reshape(times, (*t.shape[:-1], -1))), (*times.shape, n))
        return dataclasses.replace(data, guess=joined([data.guess[..., :1, :, :], stages], -3)), seen

    def _solved(self, functions: Any, route: Route, data: Data, seen: Array) -> Round:
        """Return the solution on a grid, and the errors of its intervals."""
        xp = array_namespace(data.guess)
        system = System(self.backend, self.rule, self.rule.shifts, functions, data)
        at = _swept(system)
        c = self.rule.polynomials(at.y, functions, data)
        is_first = xp.cumulative_sum(xp.astype(~at.solved, xp.int32), axis=-1) == 1
        error = xp.where(at.solved, self._errors(functions, route, data, seen, c), UNKNOWN)
        error = xp.where(is_first & ~at.solved, xp.inf, error)
        whole = xp.astype(xp.all(at.solved, axis=-1), xp.int32)
        return Round(data.grid.t, c, error, xp.any(is_first & ~at.finite, axis=-1), 0 * whole, whole)

    def _errors(self, functions: Any, route: Route, data: Data, seen: Array, c: Array) -> Array:
        """Return the error of every interval in units of the tolerance, (*B, N)."""
        xp, u = array_namespace(c), DenseOutput(data.grid.t, c).y
        fine = halved(data.grid.t, seen, u, c, self.rule.nodes, route.moments)
        error = of_intervals(System(self.backend, self.rule, self.rule.shifts, functions, fine))
        size = xp.maximum(xp.abs(u[..., 1:, :]), xp.abs(u[..., :-1, :]))
        ratio = xp.max(error / (route.atol + route.rtol * size), axis=-1)
        return xp.where(ratio == ratio, ratio, xp.inf)


def _swept(system: System) -> Sweep:
    """Return the solution from the first point on, as far as Newton's method comes.

    What it solves stands: the equation is causal. Behind it y stays what it was there, and is tried from that again.
    """
    guess = system.data.guess
    xp, no = array_namespace(guess), system.over_points(array_namespace(guess).max, guess)[..., 1:] != 0

    def sweep(at: Sweep) -> Sweep:
        y = _iterated(system, at.y)
        holds, finite = _holds(system, y)
        solved = xp.cumulative_sum(xp.astype(~holds, xp.int32), axis=-1) == 0
        u = system.grid.present(y)
        count = xp.sum(xp.astype(solved, xp.int32), axis=-1, keepdims=True)[..., None]
        last = xp.take_along_axis(u, xp.broadcast_to(count, (*count.shape[:-1], u.shape[-1])), axis=-2)
        stands = padded_behind(joined([solved[..., :1] | True, solved], -1), y.ndim)
        y = xp.where(stands, y, last[..., None, :])
        return Sweep(y, solved, finite, xp.any(solved & ~at.solved, axis=-1) & ~xp.all(solved, axis=-1))

    no = no & False
    first = Sweep(guess, no, no, ~no[..., 0])
    last: Sweep = system.backend.while_loop(lambda at: at.grows, sweep, first)
    return last


def _iterated(system: System, y: Array) -> Array:
    """Return y behind some steps of Newton's method, without those that are not finite."""
    xp, enough = array_namespace(y), eps_of(y) ** CLOSE

    def step(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        y, _, left = state
        delta = newton_step(system, y, Dense)[2]
        delta = xp.where(xp.isfinite(delta), delta, 0.0)
        return y + delta, xp.max(xp.abs(delta) / (system.peaks(y) + least(y))), left - 1

    here = system.backend.placement(y)
    state = (y, xp.asarray(1.0, dtype=y.dtype, device=here), xp.asarray(STEPS, device=here))
    made: Array = system.backend.while_loop(lambda s: (s[1] > enough) & (s[2] > 0), step, state)[0]
    return made


def _holds(system: System, y: Array) -> tuple[Array, Array]:
    """Return of which intervals the equations hold, and are finite, (*B, N)."""
    at = system.linearise(y)
    xp, r = array_namespace(y), system.residual(y, at.fy)
    found = judge(system, y, terms(system, y, at), r)
    found = dataclasses.replace(found, largest=lambda a: system.over_points(xp.max, a))
    holds, branch = found.residual <= eps_of(y) ** HOLDS, points_on_branch(system, at)
    holds = holds if branch is None else holds & branch[0]
    return holds[..., 1:], xp.isfinite(system.over_points(xp.max, xp.abs(r)))[..., 1:]


def _found(at: Round) -> Found:
    """Return the part before the first interval that is not good enough."""
    xp = array_namespace(at.c)
    bad = xp.astype(~((at.error >= 0) & (at.error <= 1)), xp.int32)
    good = xp.cumulative_sum(bad, axis=-1) == 0
    dense, behind = DenseOutput(at.t, at.c), joined([good[..., :1] | True, good], -1)
    count = xp.sum(xp.astype(good, xp.int32), axis=-1, keepdims=True)
    t, y = at.t, dense.y
    t = xp.where(behind, t, xp.take_along_axis(t, count, axis=-1))
    row = xp.take_along_axis(y, xp.broadcast_to(count[..., None], (*count.shape, y.shape[-1])), axis=-2)
    y, path = xp.where(behind[..., None], y, row), xp.where(good[..., None, None], at.c[..., 1:, :], 0.0)
    is_lost, zero = xp.any(xp.isinf(at.error), axis=-1), 0 * at.rounds
    ended = xp.where(at.broken, NOT_FINITE + zero, xp.where(is_lost, TOO_SMALL + zero, TOO_MANY))
    code = xp.where(xp.all(good, axis=-1), ARRIVED + zero, ended)
    taken = xp.sum(xp.astype(good & (lengths(at.t) > 0), xp.int32), axis=-1, dtype=xp.int32)
    return Found(t, y, code, taken, at.rounds, path)
