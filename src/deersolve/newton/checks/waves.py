"""Where f makes u a wave that the points do not follow: the place, for a warning.

Where ``a u'' + b u' + c u = f`` with (c - df/du) / a = k^2 > 0, small changes of u are waves sin(k s + phase), which
convection damps away only if |b - df/du_s| > 2 k a. Over an interval a central difference turns them by
2 arcsin(k h / 2) instead of k h: by 5 % too far at k h = 1, where a wave has six points. From k h = 2 on there is no
such wave: u may look smooth and be wrong by as much as it is.

In a rectangle only equations without first derivatives are looked at: of ``u u_s`` the term u_s of df/du is large in a
layer, which is too thin for a wave along it.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from ...solution.solution import Solution
from ..equation import System
from .cell_peclet import ProbedAxis, axes, coefficients, column, coordinates, jacobians, of_range_1

FOLLOWED = 1.0  # k h up to which a wave has points enough
DAMPED = 0.5  # the imaginary part of k by its real one, from which on a wave decays faster than it goes round


@dataclasses.dataclass(frozen=True)
class Wave:
    """A place where u may be a wave that the points do not follow, and how far it turns between two of them."""

    at: dict[str, float]
    turns: float

    def __str__(self) -> str:
        where = ", ".join(f"{name} = {value:.4g}" for name, value in self.at.items())
        return (
            f"f makes u a wave that the points do not follow, at {where}: between two of them it turns by k h = "
            f"{self.turns:.3g}, k^2 = (c - df/du) / a less what convection damps; above 1 there are fewer than six "
            "points to a wave, and u may be wrong by as much as it is, though it looks smooth. Refine the grid."
        )


def shortest_wave(system: System, sol: Solution) -> Wave | None:
    """Return where a steady u is followed worst, None where all of it is; y has the layout of the solver."""
    backend, grid, y = system.backend, system.data.grid, sol.y
    if grid.marches or not (grid.lines and system.rule.is_builtin):
        return None
    if not backend.is_concrete((y, sol.status)):
        return None
    with np.errstate(all="ignore"):  # of elements that failed
        u = of_range_1(system, np.asarray(backend.to_numpy(grid.in_space(y, 1))), sol)
        varies = np.any(u != 0, axis=tuple(range(system.n_batch, u.ndim)))
        slopes = [axis.slope for axis in axes(grid)]
        Js = dict(zip((0, *slopes), jacobians(system, y, (0, *slopes)), strict=True))
        if len(slopes) > 1 and any(np.any(Js[p] != 0) for p in slopes):
            return None
        found = [wave for axis in axes(grid) if (wave := _shortest_along(system, axis, Js, varies)) is not None]
    return max(found, key=lambda wave: wave.turns, default=None)


def _shortest_along(system: System, axis: ProbedAxis, Js: dict[int, Any], varies: Any) -> Wave | None:
    a, b, c = coefficients(system, axis)
    G0, G1 = axis.turned(Js[0], 2), axis.turned(Js[axis.slope], 2)
    eye, D = np.eye(G0.shape[-1]), np.where(a == 0, np.nan, a)[..., None]
    K = np.nan_to_num((c[..., None] * eye - G0) / D, posinf=0.0, neginf=0.0)
    s = np.asarray(system.backend.to_numpy(axis.line.points), dtype=float)
    h = np.diff(s)
    if np.max(np.sum(np.abs(K), axis=-1)) * np.max(np.abs(h)) ** 2 <= FOLLOWED**2:  # no eigenvalue is larger
        return None
    damped = np.max(np.sum(np.abs((b[..., None] * eye - G1) / (2 * D)), axis=-1), axis=-1)
    k = np.sqrt((np.linalg.eigvals(K) - np.nan_to_num(damped[..., None]) ** 2).astype(complex))
    k = np.max(np.where(np.abs(k.imag) <= DAMPED * k.real, k.real, 0.0), axis=-1)
    h = np.maximum(np.concatenate([h, h[-1:]]), np.concatenate([h[:1], h]))[: len(k)]
    free = np.any(column(system, axis.line.free, k.ndim + 1) > 0, axis=-1)
    turns = k * h.reshape(-1, *(1,) * (k.ndim - 1)) * free
    turns = turns * varies.reshape(1, *varies.shape, *(1,) * (k.ndim - 1 - varies.ndim))
    index = np.unravel_index(int(np.argmax(turns)), turns.shape)
    return Wave(coordinates(system, axis, s, index, None), float(turns[index])) if turns[index] > FOLLOWED else None
