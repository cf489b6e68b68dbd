"""f of an initial value problem as a function of time and y, with what else it is given at any time."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

from ..backends.generic import Backend
from ..backends.namespace import Array, Tree, array_namespace
from ..backends.trees import record, tree_map
from ..linalg.structure import as_structure
from ..problems.initial_value import InitialValueProblem
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
    """

    start: Array
    end: Array
    stops: Any
    y0: Array
    rtol: Array
    atol: Array
    first: Any
    longest: Any


@dataclasses.dataclass(frozen=True)
class Timed:
    """A function of y and time in the place of one of y and x: inputs given at times are linear between them."""

    function: Callable[..., Any]
    x: Tree
    t: Array

    def __call__(self, y: Array, t: Array, params: Any) -> Any:
        """Return f at times (*B, K, 1), or of stages (*B, K, m, 1)."""
        return self.function(y, tree_map(lambda leaf: self._at(leaf, t), self.x), params)

    def _at(self, leaf: Array, t: Array) -> Array:
        n_batch, more = leaf.ndim - 2, t.ndim - leaf.ndim
        if leaf.shape[-2] == 1:
            return leaf[(..., *(None,) * more, slice(None))]
        xp, T = array_namespace(leaf), leaf.shape[-2]
        rise = leaf[..., 1:, :] - leaf[..., :-1, :]
        flags = not xp.isdtype(leaf.dtype, "real floating")
        lines = xp.stack([leaf[..., : T - 1, :], 0 * rise if flags else rise], axis=-2)
        times = xp.reshape(t[..., 0], (*t.shape[:n_batch], -1))
        made = DenseOutput(self.t, lines)(times)
        return xp.reshape(made, (*made.shape[:-2], *t.shape[n_batch:-1], leaf.shape[-1]))


def timed(problem: InitialValueProblem, x: Tree, t: Array) -> InitialValueProblem:
    """Return the problem with the time in the place of x, whose leaves have the rank of y, at times t."""
    if problem.x is None:
        return problem
    new = copy.copy(problem)
    new.f = Timed(problem.f, x, t)
    new.jac = None if problem.jac is None else Timed(problem.jac, x, t)
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

    def jacobian(self, t: Array, y: Array) -> Array:
        """Return df/dy, (*B, K, n, n)."""
        x, f = _inputs(t, y), self.functions["f"]
        if "jac" in self.functions:
            return as_structure(self.functions["jac"](y, x), y).to_dense()
        return self.backend.jacobians(f, (y,), x)[1][0]


def _inputs(t: Array, y: Array) -> Array:
    return array_namespace(t).astype(t, y.dtype)[..., None]
