"""f of an initial value problem as a function of time and y, with what else it is given at any time."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

from ..backends.generic import Backend
from ..backends.namespace import Array, Tree, array_namespace, joined
from ..backends.trees import record, tree_map
from ..grids.signal import Signal
from ..linalg.structure import as_structure
from ..problems import Problem
from ..solution.dense import DenseOutput


@record
class Route:
    """What a march is given, arrays all.

    Attributes
    ----------
    start, end : array, shape (*B, 1)
        The first and the last time.
    stops : array, shape (*B or 1, S), or None
        Times between them where f jumps.
    y0 : array, shape (*B, 1, n)
        The value at the first time.
    rtol, atol : array
        The tolerance.
    first, longest : array or None
        Lengths of the first and of the longest step.
    before : DenseOutput or None
        A solution to less, to start from.
    """

    start: Array
    end: Array
    stops: Any
    y0: Array
    rtol: Array
    atol: Array
    first: Any
    longest: Any
    before: Any = None


@dataclasses.dataclass(frozen=True)
class Constant:
    """A leaf of x that is the same at all times, (*B, 1, k)."""

    value: Array

    def at(self, t: Array, n_batch: int) -> Array:
        """Return it for times (*B, *S, 1)."""
        return self.value[(..., *(None,) * (t.ndim - self.value.ndim), slice(None))]


@dataclasses.dataclass(frozen=True)
class Lines:
    """A leaf of x given at times, (*B, T, k): linear between them; whole numbers and flags are as they were before."""

    t: Array
    values: Array

    def at(self, t: Array, n_batch: int) -> Array:
        """Return it at times (*B, *S, 1)."""
        xp, times = array_namespace(t), array_namespace(t).reshape(t, (*t.shape[:n_batch], -1))
        u = linear(self.t, self.values)(times)
        return xp.reshape(u, (*u.shape[:-2], *t.shape[n_batch:-1], u.shape[-1]))


@dataclasses.dataclass(frozen=True)
class Inside:
    """A signal between two times, (*B, 1) each: at a knot where the march ends it has the value before it."""

    signal: Signal
    first: Array
    last: Array

    def at(self, t: Array, n_batch: int) -> Array:
        """Return it at times (*B, *S, 1)."""
        xp, more = array_namespace(t), (..., *(None,) * (t.ndim - self.first.ndim))
        low, high = xp.minimum(self.first, self.last)[more], xp.maximum(self.first, self.last)[more]
        return self.signal.at(xp.minimum(xp.maximum(t, low), high), n_batch)


@dataclasses.dataclass(frozen=True)
class Timed:
    """A function of y and time in the place of one of y and x."""

    function: Callable[..., Any]
    x: Tree
    n_batch: int

    def __call__(self, y: Array, t: Array, params: Any) -> Any:
        """Return f at times (*B, K, 1), or of stages (*B, K, m, 1)."""
        return self.function(y, tree_map(lambda leaf: leaf.at(t, self.n_batch), self.x), params)


def linear(t: Array, values: Array) -> DenseOutput:
    """Return lines between values (*B, T, k) at times; flags and whole numbers are held."""
    xp, before = array_namespace(values), values[..., :-1, :]
    rise = values[..., 1:, :] - before if xp.isdtype(values.dtype, "real floating") else 0 * before
    return DenseOutput(t, xp.stack([before, rise], axis=-2))


def carried(backend: Backend, grid: Array, t: Array, stops: Array | None) -> Array:
    """Return a grid, (*B, N + 1), with its derivative by the first and the last time and the stops between them.

    It moves with those; how a stretch between two of them is divided is data.
    """
    given = [t[..., :1], *([] if stops is None else [stops]), t[..., -1:]]
    if backend.is_concrete(given) and backend.recorded(lambda: joined(given, -1)) is None:
        return grid
    xp, ends, held = array_namespace(t), joined(given, -1), backend.without_gradient
    grid = held(grid)
    order = xp.argsort(xp.where(ends[..., -1:] < ends[..., :1], -1.0, 1.0) * held(ends), axis=-1)
    ends = xp.take_along_axis(ends, order, axis=-1)
    moved = linear(held(ends), ends[..., None])(grid)[..., 0]
    return grid + (moved - held(moved))


def timed(problem: Problem, x: Tree, t: Array) -> Problem:
    """Return the problem with the time in the place of x, whose leaves have the rank of y, at times t."""
    if problem.x is None:
        return problem

    def at_times(given: Any, leaf: Array) -> Any:
        if isinstance(given, Signal):
            ends = (t[..., :1], t[..., -1:])
            ulp = 2 * float(array_namespace(t).finfo(t.dtype).eps) * (abs(ends[0]) + abs(ends[1]))
            ahead = array_namespace(t).where(ends[1] < ends[0], -ulp, ulp)
            return Inside(given, ends[0] + ahead, ends[1] - ahead)
        return Constant(leaf) if leaf.shape[-2] == 1 else Lines(t, leaf)

    new, inputs = copy.copy(problem), tree_map(at_times, problem.x, x)
    new.f = Timed(problem.f, inputs, t.ndim - 1)
    new.jac = None if problem.jac is None else Timed(problem.jac, inputs, t.ndim - 1)
    new.x = None
    return new


@dataclasses.dataclass(frozen=True)
class Flow:
    """dy/dt of times (*B, K) and y (*B, K, n)."""

    backend: Backend
    functions: dict[str, Callable[..., Any]]

    def slope(self, t: Array, y: Array) -> Array:
        """Return f."""
        return self.functions["f"](y, _inputs(t, y))

    @property
    def jacobian(self) -> Callable[[Array, Array], Array] | None:
        """df/dy, (*B, K, n, n), where it is given or cheap; None where differences are as good."""
        return self._jacobian if "jac" in self.functions or self.backend.compiles else None

    def _jacobian(self, t: Array, y: Array) -> Array:
        x, f = _inputs(t, y), self.functions["f"]
        if "jac" in self.functions:
            made = self.functions["jac"](y, x)
            return as_structure(made[0] if isinstance(made, tuple | list) else made, y).to_dense()
        return self.backend.jacobians(f, (y,), x)[1][0]


def _inputs(t: Array, y: Array) -> Array:
    return array_namespace(t).astype(t, y.dtype)[..., None]
