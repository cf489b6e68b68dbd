"""The inverse linear operator of a loop, by one derivative of a step after the other: no Jacobian is formed.

Of y_i = Phi_i(y_{i-k_1}, ..., y_{i-k_P}) the tangent follows the steps, delta_i = r_i + sum_p (d Phi_i / d y_p)
delta_{i-k_p}, by forward mode, and the adjoint goes back over them by reverse mode: what u_i makes of each y before it,
(d Phi_i / d y_p)^T u_i, is added to the c there. Both take the memory of one step beside the trajectory.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from ..backends.namespace import Array, array_namespace, joined, part
from ..backends.spans import end_to_end
from ..backends.trees import tree_leaves
from ..grids.shifters import BuiltIn
from ..grids.times import Initial
from .cost import prefers_steps
from .equation import System


def goes_by_steps(system: System) -> bool:
    """Return whether derivatives of a solution take one step after the other: of a loop, where that costs less."""
    is_loop = system.rule.is_loop and system.rule.is_builtin and system.marches and system.grid.live is None
    is_plain = "jac" not in system.functions and all(isinstance(s, BuiltIn) for s in system.shift)
    return is_loop and is_plain and prefers_steps(system)


@dataclasses.dataclass(frozen=True)
class BySteps:
    """The linearisation at y of a rule with ``is_loop``, a step at a time."""

    system: System
    y: Array

    def solve(self, r: Array) -> Array:
        """Return delta: forward mode along the loop."""
        grid, by, (at, first, reaches) = self.system.grid, self.system.backend, self._steps()
        start = part(r, grid.axis, None, 1) if grid.overlap else array_namespace(r).zeros_like(first)

        def body(before: Array, i: Any) -> tuple[Array, Array]:
            step, ys = at(i)
            directions = [by.slice(before, reach, 1, grid.axis)[None, ...] for reach in reaches]
            change = by.pushforward(step, ys, directions)[0, ...]
            delta = by.slice(r, i + grid.overlap, 1, grid.axis) + change
            return Initial(before).after(delta, grid.axis).y0, delta

        rows = end_to_end(by.scan(body, start, grid.length)[1], grid.axis)
        return joined([start, rows], grid.axis) if grid.overlap else rows

    def transpose(self, c: Array) -> Array:
        """Return u: reverse mode, from the last step to the first."""
        grid, by, (at, first, reaches) = self.system.grid, self.system.backend, self._steps()
        xp, axis, K = array_namespace(c), grid.axis, first.shape[grid.axis]

        def body(bears: Array, j: Any) -> tuple[Array, Array]:
            i = grid.length - 1 - j
            step, ys = at(i)
            u = by.slice(c, i + grid.overlap, 1, axis) + part(bears, axis, K - 1, None)
            borne = by.pullback(step, ys, u)
            assert borne is not None
            if K == 1:
                return borne[0], u
            bears = joined([xp.zeros_like(u), part(bears, axis, None, K - 1)], axis)
            for reach, share in zip(reaches, borne, strict=True):
                ends = xp.zeros_like(part(bears, axis, None, reach)), xp.zeros_like(part(bears, axis, reach + 1, None))
                bears = bears + joined([ends[0], share, ends[1]], axis)
            return bears, u

        bears, rows = by.scan(body, xp.zeros_like(first), grid.length)
        u = end_to_end(xp.flip(rows, axis=0), axis)
        return joined([part(c, axis, None, 1) + bears, u], axis) if grid.overlap else u

    def _steps(self) -> tuple[Callable[[Any], tuple[Callable[..., Array], list[Array]]], Array, list[int]]:
        """Return step i as a function with what it starts from; the first values, and where among K a lag looks."""
        system, cut, (functions, x) = self.system, self.system.backend.slice, self.system.posed
        f, grid, axis, D = functions["f"], system.grid, system.grid.axis, system.grid.lengths
        first = part(self.y, axis, None, 1) if grid.overlap else system.start().y0
        known = self.y if grid.overlap else joined([first, self.y], axis)
        K, varies = first.shape[axis], any(map(system.spans, tree_leaves(x)))
        reaches = [0] if grid.overlap else [K - k for k in grid.lags]

        def at(i: Any) -> tuple[Callable[..., Array], list[Array]]:
            here, length = system.cut(x, i, 1) if varies else x, None if D is None else cut(D, i, 1, axis)

            def step(*ys: Array) -> Array:
                return system.rule.advanced(ys[0], f(*ys, here), length)

            return step, [cut(known, i + reach, 1, axis) for reach in reaches]

        return at, first, reaches
