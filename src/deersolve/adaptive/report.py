"""A solution to a tolerance at the times that were asked for, and what is said where it failed."""

from __future__ import annotations

import dataclasses

from ..backends.namespace import array_namespace, joined
from ..solution.dense import DenseOutput
from ..solution.solution import Solution
from ..solution.status import Status, advice_on, numbers
from .between import between
from .error import FAR
from .march import ARRIVED, NOT_FINITE
from .method import Adaptive
from .solver import Solved, Solver, peak, ratio


def shown(solver: Solver, to: Adaptive, made: Solved, why: str) -> Solution:
    """Return the solution at the times that were asked for."""
    found, sol, error = made.found, made.sol, made.error
    dense, t = DenseOutput(found.t, sol.y_corrected), solver.problem.t
    xp, times = array_namespace(found.y), solver.data.grid.t
    reached = found.t[..., -1:]
    beyond = xp.abs(times - found.t[..., :1]) > xp.abs(reached - found.t[..., :1])
    inner = xp.where(beyond, reached, times)[..., 1:-1]
    first, last = solver.ends(found, sol)
    y = joined([first, *([between(solver, found, sol, inner)] if inner.shape[-1] else []), last], -2)
    y = xp.where(beyond[..., None], xp.nan, y)
    ended = xp.where(found.code == NOT_FINITE, int(Status.NONFINITE) + 0 * sol.status, int(Status.UNDER_RESOLVED))
    moving = sol.status == int(Status.MAX_STEPS)  # there is no y_guess to try: as where steps are too large
    status = xp.where((found.code == ARRIVED) & ~moving, sol.status, ended)
    stats = dataclasses.replace(sol.stats, steps=found.taken, rule=solver.rule.key, method="adaptive")
    stats = dataclasses.replace(stats, choice=why + made.told, tolerance=(to.rtol, to.atol))
    if error is not None:
        largest = peak(found)
        rel = xp.max(xp.where(error == 0, 0.0, xp.abs(error) / xp.where(largest > 0, largest, 1.0)), axis=(-2, -1))
        stats = dataclasses.replace(stats, discretisation_error=rel, is_asymptotic=rel == rel)
        far = ~(ratio(to, found, error) <= FAR)  # NaN too
        status = xp.where((status == 0) & far, int(Status.UNDER_RESOLVED) + 0 * status, status)
    return Solution(y, status, stats, t=t, dense=dense)


def complaint(sol: Solution) -> str:
    """Return what failed, where, and what to do about it."""
    codes = [int(c) for c in numbers(sol.status)]
    told = {c: advice_on(Status(c), True) for c in sorted(set(codes)) if c}
    counts = "; ".join(f"{codes.count(c)} {Status(c).name} ({advice})" for c, advice in told.items())
    ends, starts = (numbers(sol.dense.t[..., k]) for k in (-1, 0))
    first = next(k for k, c in enumerate(codes) if c)
    xp = array_namespace(sol.dense.t)
    steps = xp.reshape(sol.dense.t[..., 1:] - sol.dense.t[..., :-1], (len(codes), -1))[first, ...]
    taken = [h for h in numbers(steps) if h]
    where = f" The first of them, from t = {starts[first]:g}, came to t = {ends[first]:.9g}"
    where += f" by a last step of {taken[-1]:.2g}." if taken else "."
    return (
        f"{sum(c != 0 for c in codes)} of {len(codes)} batch elements did not converge: {counts}.{where} Rule "
        f"{sol.stats.rule}. The partial result is in this error's .solution; on_failure='return' or 'nan' returns it "
        "instead."
    )
