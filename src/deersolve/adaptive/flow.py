"""f of an initial value problem as a function of time and y."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from ..backends.generic import Backend
from ..backends.namespace import Array, Tree, array_namespace, joined
from ..backends.trees import record
from ..linalg.structure import as_structure
from .inputs import Moments, linear


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
    moments : Moments
        x at any time.
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
    moments: Moments
    before: Any = None


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
    return backend.following(grid, linear(held(ends), ends[..., None])(grid)[..., 0])


@dataclasses.dataclass(frozen=True)
class Flow:
    """dy/dt of times (*B, K) and y (*B, K, n)."""

    backend: Backend
    functions: dict[str, Callable[..., Any]]
    moments: Moments

    def slope(self, t: Array, y: Array) -> Array:
        """Return f."""
        return self.functions["f"](y, self._x(t, y))

    @property
    def jacobian(self) -> Callable[[Array, Array], Array] | None:
        """df/dy, (*B, K, n, n), where it is given or cheap; None where differences are as good."""
        return self._jacobian if "jac" in self.functions or self.backend.compiles else None

    def _jacobian(self, t: Array, y: Array) -> Array:
        x, f = self._x(t, y), self.functions["f"]
        if "jac" in self.functions:
            made = self.functions["jac"](y, x)
            return as_structure(made[0] if isinstance(made, tuple | list) else made, y).to_dense()
        return self.backend.jacobians(f, (y,), x)[1][0]

    def _x(self, t: Array, y: Array) -> Tree:
        return self.moments.at(array_namespace(t).astype(t, y.dtype, copy=False)[..., None])
