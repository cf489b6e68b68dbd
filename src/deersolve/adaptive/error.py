"""How wrong a solution is on the grid that was found: a Newton step of the same rule with every interval halved.

The discrete equation on the halved grid, at what the polynomials say there, has a residual, which is the error that
each step made; its linear solve carries them on to the end. So the correction is the difference between the solution
with steps of h / 2 and that with steps of h, which is all but 2^-p of the error.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from ..backends.namespace import Array, array_namespace, joined, part
from ..backends.trees import record, static
from ..grids.base import Data
from ..grids.levels import with_stages
from ..grids.times import Initial, TimeGrid
from ..linalg.structure import Dense
from ..newton.measures import least
from ..newton.plan import Plan
from ..solution.dense import DenseOutput
from .differences import Differences
from .inputs import Moments
from .on_grid import PART, Given

ESTIMATED = 2**14  # numbers of y up to which the error is estimated
FAR = 5.0  # times the tolerance: an error for which all is solved again
STEPS = 2  # of Newton's method, where a correction is so large that its square is more than PART of the tolerance


@record
class Correction:
    """That of the guess, of its shape."""

    y: Array
    y_corrected: None = static(default=None)


class Estimated(Given):
    """The method that does with differences."""

    @property
    def structure(self) -> Any:
        """What is kept of derivatives."""
        return Differences(self.to)


class Refined(Plan):
    """A plan of one Newton step, of two where what the first one leaves would show."""

    def solve(self, functions: Any, data: Data) -> Any:
        """Return the correction of the guess."""
        system = self.system(functions, self.backend.without_gradient(data))
        guess, xp, least_error = system.data.guess, array_namespace(data.guess), self.method.to.least
        enough = max((PART * least_error) ** 0.5, FAR * least_error)

        def step(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            y, before, left = state
            at = system.linearise(y, self.method.structure)
            delta = system.correction(at.Gs, y, at.ys, at.fy)[1]
            size = system.over_grid(xp.max, xp.abs(delta) / (system.peaks(y) + least(y)))
            moves = (before == xp.inf) | (size < before)  # the first one is the estimate whatever it is
            return xp.where(system.per_element(moves), y + delta, y), size, left - 1

        with self.backend.frozen():
            unknown = system.over_grid(xp.max, xp.abs(guess)) * 0 + xp.inf
            y, _, _ = self.backend.while_loop(
                lambda s: self.backend.any_true(s[1] > enough) & (s[2] > 0), step, (guess, unknown, xp.asarray(STEPS))
            )
            return Correction(y - guess)

    def attach(self, functions: Any, data: Data, made: Any) -> Any:
        """Return the correction: it has no derivative."""
        return made

    def tangent(self, by: Any, at: Any, theta: Any, direction: Any, made: Any) -> tuple[Any, Any]:
        """Return 0."""
        return array_namespace(made.y).zeros_like(made.y), None


def of_intervals(system: Any) -> Array:
    """Return how far the polynomials of every interval are from the steps over its halves, (*B, N, n).

    The system is that of the halved grid; its linear solve is made of every pair of intervals by itself.
    """
    at, grid, axis = system.linearise(system.data.guess), system.grid, system.grid.axis
    xp, r = array_namespace(at.fy), _in_pairs(system.residual(system.data.guess, at.fy), axis)
    Gs = tuple(Dense(_in_pairs(G.to_dense(), axis - 1)) for G in at.Gs)
    t, D = grid.t[..., None], joined([part(grid.D, axis, None, 1), grid.D], axis)
    t, D = _in_pairs(t, -2)[..., 0], _in_pairs(D, axis)
    pairs = dataclasses.replace(grid, t=t, D=part(D, axis, 1, None))
    first = part(r, axis, None, 1)
    r = joined([0 * first, part(r, axis, 1, None)], axis)
    delta = system.rule.solve(Gs, r, grid=pairs, boundary=Initial(0 * first))
    inner = tuple(range(axis, -1))
    return xp.max(xp.abs(delta), axis=inner)


def _in_pairs(a: Array, axis: int) -> Array:
    """Return the points of every two intervals, (*B, 2 N + 1, ...) -> (*B, N, 3, ...)."""
    xp, last = array_namespace(a), a.shape[axis]
    behind = (slice(None),) * (-axis - 1)
    return xp.stack([a[(..., slice(k, last - 2 + k, 2), *behind)] for k in (0, 1, 2)], axis=axis)


def between(t: Array, change: Array) -> DenseOutput:
    """Return the size of an error at any times, of a correction at times (*B, N + 1) and in the middle of each two.

    At the ends of an interval it is that of y there. Inside, the polynomial has an error of its own, which vanishes at
    both ends: about a parabola. A stiff equation may come out right behind a step that is wrong all along.
    """
    xp, ends, middle = array_namespace(change), change[..., ::2, :], change[..., 1::2, :]
    first, last = ends[..., :-1, :], ends[..., 1:, :]
    own, size = xp.abs(middle - (first + last) / 2), xp.abs(ends)
    rise = size[..., 1:, :] - size[..., :-1, :] + 4 * own
    return DenseOutput(t, xp.stack([size[..., :-1, :], rise, -4 * own], axis=-2))


def halved(t: Array, x: Array, y: Array, c: Array, nodes: tuple[float, ...], moments: Moments) -> Data:
    """Return the data of a rule on a grid (*B, N + 1) with every interval halved, its guess from the polynomials c.

    x are the times as f sees them, (*B, N + 1, 1).
    """
    xp = array_namespace(y)
    middle = t[..., :-1] + (t[..., 1:] - t[..., :-1]) / 2
    times = _between(t[..., None], middle[..., None])[..., 0]
    D = xp.astype(times[..., 1:] - times[..., :-1], y.dtype)[..., None]
    seen = _between(x, (x[..., :-1, :] + x[..., 1:, :]) / 2)
    data = Data(moments.at(seen), TimeGrid(times, D), Initial(y[..., :1, :]), _between(y, _at(c, 0.5)))
    made = with_stages(data, nodes)
    if not nodes:
        return made
    halves = [xp.stack([_at(c, (k + node) / 2) for node in nodes], axis=-2) for k in (0, 1)]
    first, size = made.guess[..., :1, :, :], (*c.shape[:-3], 2 * c.shape[-3], len(nodes), c.shape[-1])
    guess = joined([first, xp.reshape(xp.stack(halves, axis=-3), size)], -3)
    return Data(made.x, made.grid, made.boundary, guess)


def _at(c: Array, theta: float) -> Array:
    """Return the polynomials at one place of every interval, (*B, N, n)."""
    y = c[..., -1, :]
    for k in reversed(range(c.shape[-2] - 1)):
        y = y * theta + c[..., k, :]
    return y


def _between(a: Array, middle: Array) -> Array:
    """Return points (*B, N + 1, k) and what is between each two of them."""
    xp = array_namespace(a)
    pairs = xp.stack([middle, a[..., 1:, :]], axis=-2)
    return joined([a[..., :1, :], xp.reshape(pairs, (*a.shape[:-2], 2 * middle.shape[-2], a.shape[-1]))], -2)
