"""Implicit Runge-Kutta rules for u_t = F(u): what they have in common, whatever F is.

    U_k = u_{j-1} + h (a_k0 F_{j-1} + sum_l a_kl F_l),    u_j = U_m,    a_kl = 0 for l > k of diagonally implicit ones

The stages of the interval that ends at a time are stored with it; the last one is u there. F is f of an ordinary
differential equation, and D Laplacian(u) + f of one in space.
"""

from __future__ import annotations

import abc
import math
import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import reduce
from typing import Any

from ..backends import backend_of
from ..backends.namespace import Array, array_namespace, joined, part
from ..grids.times import Initial
from ..linalg.matrix_sign import in_right_half_plane
from ..linalg.structure import Dense, Diagonal, Structure, identity
from .base import Rule
from .quadrature import quadrature_defect
from .registration import register
from .theta import CONTRACTS, CURVED


@dataclass(frozen=True)
class Tableau:
    """The weights of a rule: row k is a_k0, a_k1, ...; ``nodes`` are where in its interval each stage is."""

    order: int
    nodes: tuple[float, ...]
    weights: tuple[tuple[float, ...], ...]

    @property
    def own(self) -> tuple[float, ...]:
        """The weight of each stage in its own row."""
        return tuple(row[-1] for row in self.weights)


GAMMA, WEIGHT = 2.0 - math.sqrt(2.0), math.sqrt(2.0) / 4.0
TABLEAUX = {
    "backward_euler": Tableau(1, (1.0,), ((0.0, 1.0),)),
    "trapezoid": Tableau(2, (1.0,), ((0.5, 0.5),)),
    "trbdf2": Tableau(2, (GAMMA, 1.0), ((GAMMA / 2, GAMMA / 2), (WEIGHT, WEIGHT, GAMMA / 2))),
}
"""The rules by their names.

Backward Euler is L-stable. The trapezoid (Crank and Nicolson) is A-stable: what is stiff rings. TR-BDF2 is L-stable: a
trapezoid to t_{j-1} + gamma h, gamma = 2 - sqrt(2), and the BDF of second order through the three points (R. E. Bank et
al., IEEE Trans. Electron Devices 32, 1985).
"""


def register_all(family: str, make: Callable[[Tableau], Rule]) -> None:
    """Register ``make`` of every tableau under ``"<family>.<name>"``."""
    for name, tableau in TABLEAUX.items():
        register(f"{family}.{name}", structures=(Dense, Diagonal), exact=True)(make(tableau))


class Staged(Rule, abc.ABC):
    """Row 0 is u_0 - U_k, those behind it are the stages."""

    reach, history = (1, 0), 1

    def __init__(self, tableau: Tableau) -> None:
        self.tableau, self.order, self.nodes = tableau.weights, tableau.order, tableau.nodes

    def slopes(self, y: Array, fy: Array, grid: Any) -> Array:
        """Return F."""
        return fy

    def sizes(self, y: Array, fy: Array, grid: Any) -> Array:
        """Return the size of the terms of F, of y, fy >= 0."""
        return fy

    def units(self, grid: Any) -> list[Any]:
        """Return what the rows of each stage are multiplied by."""
        return [1.0 for _ in self.nodes]

    def residual(self, y: Array, fy: Array, *, grid: Any, boundary: Initial, **kw: Any) -> Array:
        """Return what each stage misses."""
        rows = self.rows(grid, y, self.slopes(y, fy, grid), -1.0)
        return joined([boundary.y0 - part(y, grid.axis, None, 1) + 0 * part(rows, grid.axis, None, 1), rows], grid.axis)

    def magnitude(self, y: Array, fy: Array, *, grid: Any, boundary: Initial) -> Array:
        """Return the size of the terms of each row."""
        return joined([part(y, grid.axis, None, 1), self.rows(grid, y, self.sizes(y, fy, grid), 1.0)], grid.axis)

    def rows(self, grid: Any, u: Array, F: Array, sign: float) -> Array:
        """Return ``u_{j-1} + h sum_l a_kl F_l - U_k`` in its units, or for sign = 1 the sum of the absolute terms."""
        size = abs if sign > 0 else lambda a: a
        h, early, late, units = size(grid.D), grid.before(F), grid.behind(F), self.units(grid)
        before, stages = grid.before(u), grid.behind(u)

        def row(k: int, first: float, *rest: float) -> Array:
            slopes = [size(first) * early] if first else []
            slopes += [size(a) * part(late, grid.stage_axis, m, m + 1) for m, a in enumerate(rest) if a]
            here = sign * part(stages, grid.stage_axis, k, k + 1)
            return units[k] * (before + h * reduce(operator.add, slopes) + here)

        return joined([row(k, *weights) for k, weights in enumerate(self.tableau)], grid.stage_axis)


class RungeKutta(Staged):
    """Those whose stages are implicit in themselves alone: rows of a_k0, ..., a_kk."""

    def __init__(self, tableau: Tableau) -> None:
        super().__init__(tableau)
        self.own = tableau.own

    def defect(self, y: Array, fy: Array, *, grid: Any, boundary: Initial, **kw: Any) -> tuple[Array, Array] | None:
        """Return the residual at the times in a quadrature, and its doubts; each stage has its part."""
        xp, axis = array_namespace(y), grid.axis
        levels = grid.at(y, -1), grid.at(self.slopes(y, fy, grid), -1)
        flat, F = (xp.reshape(a, (*a.shape[: axis + 2], -1)) for a in levels)
        made = quadrature_defect(flat, F, grid.steps[..., None])
        if made is None:
            return None
        units = self.units(grid)

        def shared(rows: Array) -> Array:
            """Return rows of the times in the units of those of the stages."""
            whole = xp.expand_dims(part(xp.reshape(rows, levels[0].shape), axis + 1, 1, None), axis=grid.stage_axis)
            stages = [unit * (c * whole) for unit, c in zip(units, self.nodes, strict=True)]
            made = joined(stages, grid.stage_axis)
            return joined([0 * part(made, axis, None, 1), made], axis)

        defect, doubt = map(shared, made)
        return defect, doubt

    def continues(
        self, Gs: tuple[Structure, ...], y: Array, fy: Array, *, grid: Any, boundary: Initial
    ) -> tuple[Array, Array] | None:
        """Return where :meth:`stays` holds, twice; compiled code looks once, at the end, and not at every step."""
        if not backend_of(grid.D).is_concrete(tuple(G.values for G in Gs)):
            return None
        found = self.stays(Gs, grid=grid)
        return found, found

    def stays(self, Gs: tuple[Structure, ...], *, grid: Any) -> Array:
        """Return where the matrices of the stages surely have eigenvalues with a positive real part, (*B, T).

        They have for h = 0, and a root that continues from there loses it only where it ends. Where f has no slopes, it
        is enough that those of ``I + h a_kk G`` at each point have. With slopes nothing is said.
        """
        G0, *slopes = (G.to_dense() for G in Gs)
        xp, n = array_namespace(G0), grid.shape[-1]
        own = (grid.D * self.own_weights(grid))[..., None] * part(G0, grid.axis - 1, 1, None)
        reacts = in_right_half_plane(own + identity(own, n, own.ndim))
        holds = xp.all(reacts, axis=tuple(range(1 - grid.ndim, 0))) | xp.any(own != own) | _flows(slopes, xp)
        return xp.concat([xp.ones_like(holds[..., :1]), holds], axis=-1)

    def own_weights(self, grid: Any) -> Array:
        """Return the weight of each stage in its own row, of the rank of y."""
        shape = (*(1,) * (grid.D.ndim - grid.ndim), len(self.own), *(1,) * (grid.ndim - 1))
        return array_namespace(grid.D).reshape(backend_of(grid.D).convert(self.own, grid.D, grid.D.dtype), shape)

    def is_mild(self, Gs: tuple[Structure, ...], y: Array, fy: Array, *, grid: Any) -> Array:
        """Return where ``h a_kk |G|`` is below 1/2 at both ends, and f all but linear between them, (*B, T - 1).

        With slopes of f it is everywhere: :meth:`stays` says nothing then.
        """
        xp, inner = array_namespace(y), tuple(range(-grid.ndim, 0))
        largest = xp.max(xp.sum(xp.abs(Gs[0].to_dense()), axis=-1), axis=inner)
        weight = xp.abs(grid.steps) * max(self.own)
        way, change = (a - self.before(a, grid=grid) for a in (y, fy))
        far, missed, size = (xp.max(xp.abs(a), axis=inner)[..., 1:] for a in (way, change + (Gs[0] @ way), y))
        contracts = weight * xp.maximum(largest[..., 1:], largest[..., :-1]) < CONTRACTS
        is_linear = weight * missed <= CURVED * far + float(xp.finfo(y.dtype).eps) ** 0.5 * size
        return (contracts & is_linear) | _flows((G.to_dense() for G in Gs[1:]), xp)

    def before(self, y: Array, *, grid: Any) -> Array:
        """Return the level before in the place of each stage; the first level is its own."""
        levels = grid.at(y, slice(-1, None))
        start = joined([part(levels, grid.axis, None, 1), part(levels, grid.axis, None, -1)], grid.axis)
        return array_namespace(y).broadcast_to(start, y.shape)


def _flows(slopes: Iterable[Array], xp: Any) -> Any:
    """Return whether f has slopes anywhere."""
    return reduce(operator.or_, (xp.any(G != 0) for G in slopes), False)
