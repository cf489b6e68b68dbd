"""A solution to a tolerance as one on a given grid, that its derivatives are taken on."""

from __future__ import annotations

import copy
import dataclasses

from ..adaptive.inputs import Moments, timed
from ..backends import backend_of
from ..backends.generic import Backend
from ..backends.namespace import Array, array_namespace, joined, part
from ..backends.trees import tree_leaves
from ..errors import InputError, mismatch
from ..inverses import rule_of
from ..problems import Problem
from ..solution.dense import before, picked
from ..solution.solution import Solution
from ..solver import solve

GIVEN = "ddt.trapezoid"  # a rule whose x is at the times alone
FAR = 100  # times the tolerance: y is the solution of another problem


@dataclasses.dataclass(frozen=True)
class OnFoundGrid:
    """The problem and its solution on the steps of the solver with the times where y is wanted between them.

    Attributes
    ----------
    rows : array of int, shape (*B or 1, T)
        Which points of that grid these times are.
    """

    problem: Problem
    sol: Solution
    rows: Array

    def at_times(self, dy: Array) -> Array:
        """Return what there is of a change of y, (*M, *B, K, n), at the times that are wanted."""
        xp, shape = array_namespace(dy), (*dy.shape[:-2], self.rows.shape[-1], dy.shape[-1])
        return xp.take_along_axis(dy, xp.broadcast_to(self.rows[..., None], shape), axis=-2)

    def on_grid(self, cotangent: Array) -> Array:
        """Return the transpose of that of a cotangent, (*B, T, n)."""
        xp, K = array_namespace(cotangent), self.sol.y.shape[-2]
        points = xp.arange(K, dtype=self.rows.dtype, device=backend_of(cotangent).placement(cotangent))
        picks = xp.astype(self.rows[..., None, :] == points[:, None], cotangent.dtype)
        made: Array = xp.matmul(picks, cotangent)
        return made


def on_found_grid(problem: Problem, sol: Solution, names: tuple[str, ...]) -> OnFoundGrid:
    """Solve the discrete equation of the same rule once more, on the grid that was found and the times wanted.

    Raises
    ------
    InputError
        If a name is of what belongs to the times, or what was found is not the solution of this problem.
    """
    rule, is_usable = rule_of(sol.stats.rule, problem.family), sol.converged[..., None, None]
    backend, data = problem.discretise(None, rule_of(GIVEN))
    is_constant = problem.x is not None and all(leaf.shape[-2] == 1 for leaf in tree_leaves(data.x))
    for name in {*names} & ({"t"} if is_constant else {"x", "t"}):
        advice = "Let f make x of t and params, and use sol(t, derivative=1); on JAX and PyTorch differentiate solve()."
        raise mismatch(name, "params, y0 or an x of all times, of a solution to a tolerance", repr(name), advice)
    grid, xp = sol.dense.t, array_namespace(sol.y)
    ahead = xp.where(grid[..., -1:] < grid[..., :1], -1.0, xp.ones_like(grid[..., :1]))
    times = xp.broadcast_to(ahead * data.grid.t, (*grid.shape[:-1], data.grid.t.shape[-1]))
    t = _union(backend, ahead * grid, times)
    new, moments = (copy.copy(problem), Moments()) if is_constant else timed(copy.copy(problem), data.x, data.grid.t)
    new.t, rows = ahead * t, before(t, xp.minimum(times, t[..., -1:]), begins=False)
    if moments.rows is not None:
        new.x = moments.at(new.discretise(None, rule_of(GIVEN))[1].x)
    y = sol.dense(new.t)
    found = solve(new, xp.where(xp.isfinite(y), y, 0.0), inverse=rule, on_failure="return", check_inputs=False)
    made = OnFoundGrid(new, dataclasses.replace(found, status=xp.where(sol.converged, found.status, sol.status)), rows)
    rtol, atol = (backend.convert(a, y, y.dtype) for a in sol.stats.tolerance)
    allowed = FAR * (atol + rtol * xp.max(xp.abs(y), axis=-2, keepdims=True))
    off = is_usable & ~(xp.abs(made.at_times(found.y) - sol.y) <= allowed)
    if backend.is_concrete(off) and bool(xp.any(off)):
        raise InputError(
            "sol: expected the solution of this problem; received one that is more than a hundred times its tolerance "
            "away from it. Solve again after a change of params, x, y0, t or what f closes over."
        )
    return made


def _union(backend: Backend, grid: Array, times: Array) -> Array:
    """Return an ascending grid with more times in it, each once; behind the last one that was reached there is none."""
    xp, last = array_namespace(grid), grid[..., -1:]
    next_one = xp.minimum(before(grid, times, begins=False), grid.shape[-1] - 1)
    t = xp.sort(joined([grid, xp.where((picked(grid, next_one) == times) | (times > last), last, times)], -1), axis=-1)
    if not backend.is_concrete(t):
        return t
    return part(t, -1, None, max(int(xp.max(xp.sum(xp.astype(t < last, xp.int32), axis=-1))), 1) + 1)
