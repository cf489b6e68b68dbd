"""The discretisation error: one deferred correction with a quadrature of 4th order, and a second to judge it by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..backends.namespace import Array, array_namespace
from ..inverses.quadrature import largest_near
from .blocks import Blockwise
from .equation import System
from .measures import least
from .spatial_error import in_space

CONTRACTS = 1 / 3  # r <= 1/3: what further corrections add, r + r^2 + ..., is at most half of the first


@dataclass(frozen=True)
class Estimate:
    """How far y is from the differential equation; see the fields of the same names of Solution and Stats."""

    y_corrected: Array
    error: Array
    is_asymptotic: Array
    local_error: Array


def discretisation(system: System, y: Array) -> Estimate | None:
    """Return the error of y by deferred correction, or None where the rule or the grid has no such quadrature.

    Notes
    -----
    The defect of y in a quadrature of higher order is propagated by the rule's own linear solve,
    ``delta = L_G^{-1}[defect]``: delta is the error of y to leading order and y + delta is of 4th order
    for the trapezoid. What the same does to y + delta, with all that the quadrature itself may be wrong by, tells
    whether delta is to be believed: a second correction that is not much smaller than the first one means that f
    jumps, is stiff or too non-linear, or oscillates on the grid. Then what the doubts of the quadrature do to y
    counts where it is larger than delta: at a jump it is what the rule is wrong by.
    """
    if system.rule.offers("truncation"):
        return _in_space(system, y)
    first = _deferred(system, y)
    if first is None:
        return None
    xp, sizes = array_namespace(y), partial(_sizes, system)
    size = sizes(y) + least(y)
    peak = xp.max(size, axis=-2, keepdims=True)

    def corrected_again(u: Array, k: Any) -> tuple[Array, tuple[Array, Array]]:
        defect, doubt = first.defect(u)
        delta = first.solve(defect + k * doubt)  # the first time without doubts
        return u + delta, (delta, doubt)

    _, (deltas, doubts) = system.backend.scan(corrected_again, y + 0, 2)
    change, other = (sizes(deltas[k, ...]) / peak for k in (0, 1))
    sure = xp.max(other, axis=(-2, -1)) <= CONTRACTS * xp.max(change, axis=(-2, -1))

    def doubted(change: Array) -> Array:
        jumps = sizes(first.solve(doubts[0, ...])) / peak
        return xp.where((jumps > change) & ~sure[..., None, None], jumps, change)

    change = system.backend.when(~sure, doubted, change)
    return Estimate(y + deltas[0, ...], xp.max(change, axis=(-2, -1)), sure, _local(change, size / peak))


def _local(change: Array, size: Array) -> Array:
    """Return the largest change of a component by the largest size nearby, at every point; both relative to peaks."""
    xp = array_namespace(size)
    return xp.max(change, axis=-1) / xp.max(largest_near(size), axis=-1)


def _in_space(system: System, y: Array) -> Estimate | None:
    """Return the same of differences in space; where they do not resolve y, the local error grows with the whole."""
    made = in_space(system, y)
    if made is None:
        return None
    xp, (better, error, sure) = array_namespace(y), made
    size = xp.abs(y) + least(y)
    peak = xp.max(size, axis=-2, keepdims=True)
    change = xp.abs(better - y) / peak
    largest = xp.max(change, axis=(-2, -1))
    grown = error / xp.where(largest > 0, largest, 1.0)
    return Estimate(better, error, sure, _local(change * grown[..., None, None], size / peak))


def corrected(system: System, y: Array) -> Array:
    """Return y after one deferred correction, where there is one."""
    if system.rule.offers("truncation"):
        made = in_space(system, y)
        assert made is not None
        return made[0]
    first = _deferred(system, y)
    assert first is not None  # as it was when y_corrected was made
    return y + first.solve(first.defect(y)[0])


@dataclass(frozen=True)
class _Deferred:
    """What a correction takes: the defect of any u in a quadrature of higher order, and the rule's linear solve."""

    defect: Callable[[Array], tuple[Array, Array]]
    solve: Callable[[Array], Array]


def _deferred(system: System, y: Array) -> _Deferred | None:
    rule = system.rule
    if not rule.offers("defect"):
        return None
    solve: Callable[[Array], Array]
    if system.block is not None:
        fy, extra, solve = system.f(*system.shifted(y)), {}, Blockwise(system, y).solve
    else:
        at = system.linearise(y)
        fy, extra, solve = at.fy, system.at(at.Gs), system.solver(at.Gs, y)
    if rule.defect(y, fy, **extra, **system.where) is None:
        return None

    def defect(u: Array) -> Any:
        return rule.defect(u, system.f(*system.shifted(u)), **extra, **system.where)

    return _Deferred(defect, solve)


def _sizes(system: System, u: Array) -> Array:
    """Return the largest |u| over space, and stages, at each time and of each component, (*B, T, n)."""
    xp, n = array_namespace(u), system.grid.block or u.shape[-1]
    return xp.max(xp.reshape(xp.abs(u), (*u.shape[: system.grid.axis + 1], -1, n)), axis=-2)
