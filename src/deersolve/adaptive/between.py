"""y between the points of the grid that was found; what is compiled makes polynomials where y is wanted alone."""

from __future__ import annotations

from ..backends.namespace import Array, array_namespace, padded
from ..grids.base import Data
from ..grids.times import Initial, TimeGrid
from ..problems.inputs import closed
from ..solution.dense import DenseOutput, located, picked, polynomial
from ..solution.solution import Solution
from .grid import Found
from .solver import Solver


def between(solver: Solver, found: Found, sol: Solution, times: Array) -> Array:
    """Return y at times within the span, (*B, K) -> (*B, K, n)."""
    is_seen, is_more = solver.backend.is_concrete(found.t), 2 * times.shape[-1] > found.t.shape[-1]
    if solver.rule.nodes or solver.stops is not None or is_seen or is_more:
        return solver.backend.compiled(_at)(found.t, sol.y_corrected, times)
    xp, batch = array_namespace(sol.y), found.t.shape[:-1]
    times = xp.broadcast_to(padded(times, found.t.ndim), (*batch, times.shape[-1]))
    index = located(found.t, times, begins=True)
    ends = xp.reshape(xp.stack([index, index + 1], axis=-1), (*batch, -1))
    t, y = picked(found.t, ends), picked(sol.y, ends, 1)
    start, h = t[..., ::2], t[..., 1::2] - t[..., ::2]
    D = xp.reshape(xp.stack([h, 0 * h], axis=-1), (*batch, -1))[..., :-1]  # none from one interval to the next
    grid = TimeGrid(t, xp.astype(D, y.dtype)[..., None])
    data = Data(solver.moments.at(xp.astype(t, y.dtype)[..., None]), grid, Initial(y[..., :1, :]), y)
    c = solver.rule.polynomials(y, closed(solver.problem, solver.data.grid), data)
    return polynomial(c[..., ::2, :, :], (times - start) / xp.where(h == 0, 1.0, h))


def _at(t: Array, coefficients: Array, times: Array) -> Array:
    made: Array = DenseOutput(t, coefficients)(times)
    return made
