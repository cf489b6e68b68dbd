"""What f is given beside y: x of a problem at any time, its numbers an argument of f as the time is.

A leaf of x has rows of numbers, (*B or 1, 1, m), the same for all points that f is called on, and an input that makes
its values of them at a time.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any, Protocol

from ..backends.namespace import Array, Tree, array_namespace, padded
from ..backends.trees import record, tree_leaves, tree_map
from ..grids.signal import Signal
from ..problems import Problem
from ..solution.dense import DenseOutput

Rows = tuple[Array, ...]


class Input(Protocol):
    """What makes values of rows."""

    def at(self, rows: Rows, t: Array, n_batch: int) -> Array:
        """Return the values at times (*B, *S, 1)."""


class Constant:
    """A leaf that is the same at all times: (*B, 1, k)."""

    def at(self, rows: Rows, t: Array, n_batch: int) -> Array:
        """Return it."""
        return rows[0]


class Lines:
    """A leaf at T times, (*B, 1, T) and (*B, 1, T k): linear between; whole numbers and flags as they were before."""

    def at(self, rows: Rows, t: Array, n_batch: int) -> Array:
        """Return it at times (*B, *S, 1)."""
        knots, values = (_of_elements(a, n_batch) for a in rows)
        values = array_namespace(values).reshape(values, (*values.shape[:-1], knots.shape[-1], -1))
        return _at(linear(knots, values), t, n_batch)


@dataclasses.dataclass(frozen=True)
class Inside:
    """A signal between two times, (*B, 1, 1) each: at a knot where the march ends it has the value before it."""

    signal: Signal

    def at(self, rows: Rows, t: Array, n_batch: int) -> Array:
        """Return it at times (*B, *S, 1)."""
        xp, (low, high, *numbers) = array_namespace(t), rows
        signal = self.signal.holding(*(_of_elements(a, n_batch) for a in numbers))
        return _at(signal, xp.minimum(xp.maximum(t, low), high), n_batch)


@dataclasses.dataclass(frozen=True)
class Timed:
    """A function of y and of (time, rows) in the place of one of y and x."""

    function: Callable[..., Any]
    inputs: Tree
    n_batch: int

    def __call__(self, y: Array, x: tuple[Array, list[Rows]], params: Any) -> Any:
        """Return f at times (*B, K, 1), or of stages (*B, K, m, 1)."""
        t, rows = x
        left = iter(rows)
        return self.function(y, tree_map(lambda own: own.at(next(left), t, self.n_batch), self.inputs), params)


@record
class Moments:
    """x at any time: the time alone, or with the rows of what else f is given."""

    rows: Any = None

    def at(self, t: Array) -> Tree:
        """Return it at times (*B, *S, 1)."""
        return t if self.rows is None else (t, self.rows)


def timed(problem: Problem, x: Tree, t: Array) -> tuple[Problem, Moments]:
    """Return the problem as one of y and moments, and those; x are its leaves of the rank of y, at times t."""
    if problem.x is None:
        return problem, Moments()
    both = zip(tree_leaves(problem.x), tree_leaves(x), strict=True)
    made = [_inside(given, t) if isinstance(given, Signal) else _given(leaf, t) for given, leaf in both]
    new, left = copy.copy(problem), iter(made)
    inputs = tree_map(lambda _: next(left)[0], problem.x)
    new.f = Timed(problem.f, inputs, t.ndim - 1)
    new.jac = None if problem.jac is None else Timed(problem.jac, inputs, t.ndim - 1)
    new.x = None
    return new, Moments([rows for _, rows in made])


def linear(t: Array, values: Array) -> DenseOutput:
    """Return lines between values (*B, T, k) at times; flags and whole numbers are held."""
    xp, before = array_namespace(values), values[..., :-1, :]
    rise = values[..., 1:, :] - before if xp.isdtype(values.dtype, "real floating") else 0 * before
    return DenseOutput(t, xp.stack([before, rise], axis=-2))


def _given(leaf: Array, t: Array) -> tuple[Input, Rows]:
    if leaf.shape[-2] == 1:
        return Constant(), (leaf,)
    return Lines(), (t[..., None, :], array_namespace(leaf).reshape(leaf, (*leaf.shape[:-2], 1, -1)))


def _inside(signal: Signal, t: Array) -> tuple[Input, Rows]:
    xp, first, last = array_namespace(t), t[..., :1], t[..., -1:]
    ulp = 2 * float(xp.finfo(t.dtype).eps) * (abs(first) + abs(last))
    low, high = xp.minimum(first, last) + ulp, xp.maximum(first, last) - ulp
    rows = tuple(padded(a[..., None, :], t.ndim + 1) for a in (low, high, *signal.numbers))
    return Inside(signal), rows


def _of_elements(row: Array, n_batch: int) -> Array:
    """Return a row, (*B, 1, ..., 1, m), as (*B, m)."""
    return array_namespace(row).reshape(row, (*row.shape[:n_batch], row.shape[-1]))


def _at(input: Callable[[Array], Array], t: Array, n_batch: int) -> Array:
    """Return a function of times (*B, M) at times (*B, *S, 1)."""
    xp = array_namespace(t)
    u = input(xp.reshape(t, (*t.shape[:n_batch], -1)))
    return xp.reshape(u, (*u.shape[:-2], *t.shape[n_batch:-1], u.shape[-1]))
