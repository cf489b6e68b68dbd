"""Explicit one-step methods for y' = f: y_{i+1} = y_i + D_i phi(t_i, y_i, D_i), phi the increment function of f.

The discrete equation has phi in the place of f: at every point the slope with which the interval that starts there is
crossed. So it is the explicit Euler method of phi, whatever the order: a recurrence, run as a loop or by scans.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, ClassVar

from ..backends import backend_of
from ..backends.namespace import Array, Tree, array_namespace, joined, part
from ..backends.spans import spans_of
from ..backends.sums import Sums
from ..backends.trees import tree_map
from ..grids import shifters
from ..grids.base import Data
from ..grids.times import Initial, TimeGrid
from ..linalg.scans import affine_scan, affine_scan_transposed, damped_scan
from ..linalg.structure import BlockDiagonal, Dense, Diagonal, Structure, Zero, as_structure, identity
from .base import Rule
from .intervals import early, late, propagators, rise, sides, stacked
from .registration import register
from .tableaux import PAIRS, Pair

Function = Callable[..., Any]
HELD = 2**18  # numbers of all stages that are computed at once on a CPU


@dataclasses.dataclass(frozen=True)
class Increment:
    """``phi = sum_l b_l F_l``, of ``Y_k = y + h sum_{l < k} a_kl F_l`` and ``F_k = f(Y_k, x_k)``.

    ``x`` of a call holds the length h of the interval that starts at each point, (*B, T, 1), and x at each stage.
    """

    f: Function
    pair: Pair

    def slopes(self, y: Array, x: Tree, sums: tuple[tuple[float, ...], ...], count: int) -> Sums:
        """Return F of the first ``count`` stages, with the sums behind those of the stages."""
        F, h = backend_of(y).sums((*self.pair.rows[1:count], *sums), y), x["h"] + 0 * y

        def stage(total: Array, at: Tree) -> tuple[Array, Array]:
            Y = y + h * total
            return Y, self.f(Y, at)

        F.restart(self.f(y, x["stages"][0]))
        F.fill(stage, 0, x["stages"][1:count])
        return F

    def extended(self, y: Array, x: Tree) -> Sums:
        """Return F of all stages; the sums are those of the continuous extension behind those of the stages."""
        return self.slopes(y, x, tuple(zip(*self.pair.extension, strict=True)), len(self.pair.rows))

    def __call__(self, y: Array, x: Tree) -> Array:
        """Return phi."""
        last = self.pair.stages - 1
        return self.slopes(y, x, (self.pair.rows[last],), last).of(last - 1)


@dataclasses.dataclass(frozen=True)
class Crossing(Increment):
    """phi, and behind it ``h sum_k F_k p_kj`` for each j: how y moves over an interval."""

    def __call__(self, y: Array, x: Tree) -> Array:
        """Return both, (*S, n + d n)."""
        xp, count = array_namespace(y), len(self.pair.rows)
        F, phi = self.extended(y, x), self.pair.rows[self.pair.stages - 1]
        rise = (x["h"] + 0 * y)[..., None, :] * F.of_rows(count - 1, len(F.rows))
        return joined([F.weighted(phi), xp.reshape(rise, (*y.shape[:-1], -1))], -1)


@dataclasses.dataclass(frozen=True)
class Chained:
    """d phi / d y by the chain rule, where the Jacobians of f are at hand."""

    f: Function
    jac: Function
    pair: Pair

    def __call__(self, y: Array, x: Tree) -> Structure:
        """Return the matrices of every point."""
        eye, last, F, slopes = identity(y, y.shape[-1], y.ndim + 1), self.pair.stages - 1, list[Array](), list[Array]()
        for row, at in zip(self.pair.rows[:last], x["stages"], strict=False):
            Y = y + x["h"] * _sum(row, F) if row else y
            made = self.jac(Y, at)
            J = as_structure(made[0] if isinstance(made, tuple | list) else made, Y)
            F.append(self.f(Y, at))
            slopes.append((J @ Dense(eye + x["h"][..., None] * _sum(row, slopes))).to_dense() if row else J.to_dense())
        return Dense(_sum(self.pair.rows[last], slopes))


class Explicit(Rule):
    """Row 0 is y0 - y_0, row i + 1 is y_i + D_i phi_i - y_{i+1}; ``delta_{i+1} = (I - D_i G_i) delta_i + r_{i+1}``."""

    scans: ClassVar[bool] = True
    is_loop: ClassVar[bool] = True
    shifts, axes, reach, history = (shifters.identity,), 1, (1, 0), 1

    def __init__(self, pair: Pair) -> None:
        self.pair, self.order = pair, pair.order

    def posed(self, functions: dict[str, Function], data: Data) -> tuple[dict[str, Function], Tree]:
        """Return phi in the place of f, and x at the stages of the interval that starts at each point."""
        f = functions["f"]
        made: dict[str, Function] = {"f": Increment(f, self.pair)}
        if "jac" in functions:
            made["jac"] = Chained(f, functions["jac"], self.pair)
        return made, _staged(data, self.pair.nodes[: self.pair.stages - 1])

    def crossing(self, functions: dict[str, Function], data: Data) -> tuple[dict[str, Function], Tree]:
        """Return phi with the rest of the polynomials behind it."""
        return {"f": Crossing(functions["f"], self.pair)}, _staged(data, self.pair.nodes)

    def advanced(self, y: Array, fy: Array, D: Array) -> Array:
        """Return ``y_{i+1}``."""
        return y + D * fy

    def residual(self, y: Array, fy: Array, *, grid: TimeGrid, boundary: Initial, **kw: Any) -> Array:
        """Return ``y0 - y_0`` and ``D_i phi_i - (y_{i+1} - y_i)``."""
        return stacked(boundary.y0 - y[..., :1, :], grid.D * early(fy) - rise(y))

    def magnitude(self, y: Array, fy: Array, *, grid: TimeGrid, boundary: Initial) -> Array:
        """Return ``y_{i+1} + y_i + D phi_i``."""
        return stacked(y[..., :1, :], abs(grid.D) * early(fy) + (late(y) + early(y)))

    def solve(self, Gs: tuple[Structure, ...], r: Array, *, grid: TimeGrid, boundary: Initial) -> Array:
        """Return delta by a scan."""
        return affine_scan((self.steps(Gs, r, grid=grid),), (1,), r, way=self.scan)

    def transpose(self, Gs: tuple[Structure, ...], c: Array, *, grid: TimeGrid, boundary: Initial) -> Array:
        """Return u by the reversed scan."""
        return affine_scan_transposed((self.steps(Gs, c, grid=grid),), (1,), c, way=self.scan)

    def steps(self, Gs: tuple[Structure, ...], r: Array, *, grid: TimeGrid) -> Structure:
        """Return ``I - D_i G_i``."""
        return propagators(sides(Gs[0], grid.D, 0.0)[1])

    def damped(
        self, Gs: tuple[Structure, ...], r: Array, damping: Array, *, grid: TimeGrid, boundary: Initial
    ) -> Array:
        """Return delta in damped least squares, of the rows as they are written above."""
        return damped_scan((self.steps(Gs, r, grid=grid),), (1,), r, damping)

    def polynomials(self, y: Array, functions: dict[str, Function], data: Data) -> Array:
        """Return those of the pair's continuous extension: its stages at many intervals at once."""
        x, phi, count = _staged(data, self.pair.nodes), Increment(functions["f"], self.pair), len(self.pair.rows)
        points, cut = y.shape[-2], backend_of(y).slice

        def piece(nothing: Array, start: int, steps: int) -> tuple[Array, Array]:
            at = tree_map(lambda a: cut(a, start, steps, -2) if a.shape[-2] == points else a, x)
            here = cut(y, start, steps, -2)
            F, h = phi.extended(here, at), at["h"] + 0 * here
            return nothing, joined([here[..., None, :], h[..., None, :] * F.of_rows(count - 1, len(F.rows))], -2)

        return backend_of(y).over_spans(piece, 0 * y[..., :1, :], self._spans(y), -3)

    def _spans(self, y: Array) -> list[tuple[int, int]]:
        """Return intervals whose stages stay in the cache of a CPU, where they are computed one after the other."""
        backend, count = backend_of(y), y.shape[-2] - 1
        is_cpu = backend.device_kind(y) == "cpu" and not backend.compiles
        most = HELD * y.shape[-2] // (len(self.pair.rows) * math.prod(y.shape)) if is_cpu else count
        return spans_of(count, min(max(most, 1), count))


def _staged(data: Data, nodes: tuple[float, ...]) -> dict[str, Tree]:
    """Return the length of the interval that starts at each point, and x at its nodes: linear between the points.

    Whole numbers and flags are as they were before.
    """
    D = data.grid.D
    lines = tree_map(lambda a: _line(a, D.shape[-2] + 1), data.x)
    stages = tuple(tree_map(lambda line, c=c: line(c), lines) for c in nodes)
    return {"h": joined([D, 0 * part(D, -2, None, 1)], -2), "stages": stages}


def _line(a: Array, points: int) -> Callable[[float], Array]:
    """Return what is between each point and the next, as a function of the place c from 0 to 1."""
    if a.ndim < 2 or a.shape[-2] != points:
        return lambda c: a
    ahead = joined([part(a, -2, 1, None), part(a, -2, -1, None)], -2)
    if not array_namespace(a).isdtype(a.dtype, "real floating"):
        return lambda c: ahead if c == 1.0 else a
    rise = ahead - a
    return lambda c: a if c == 0.0 else ahead if c == 1.0 else a + c * rise


def _sum(weights: tuple[float, ...], terms: list[Array]) -> Array:
    """Return ``sum_l w_l a_l``."""
    some = [(w, a) for w, a in zip(weights, terms, strict=False) if w != 0.0]
    (w, a), rest = some[0], some[1:]
    total = w * a
    for w, a in rest:
        total = total + w * a
    return total


for _name, _pair in PAIRS.items():
    register(f"ddt.{_name}", structures=(Dense, Diagonal, BlockDiagonal, Zero), exact=True)(Explicit(_pair))
