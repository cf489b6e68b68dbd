"""The discretisation error: one deferred correction with a quadrature of 4th order, and a second to judge it by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .blockwise import Blockwise
from .inverses import Rule
from .newton import tiny
from .system import System
from .typing import Array, array_namespace

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
    jumps, is stiff or too non-linear, or oscillates on the grid. Then the larger of the two is the estimate.
    """
    correction = _correction(system, y)
    if correction is None:
        return None
    delta, rest = correction
    better = y + delta
    n = getattr(system.data.grid, "block", y.shape[-1])
    size = _sizes(y, n)
    xp = array_namespace(y)
    peak = xp.max(size, axis=-2, keepdims=True)
    peak = xp.where(peak > 0, peak, tiny(y))
    first, second = (_sizes(change, n) / peak for change in (delta, rest(better)))
    error, other = (xp.max(change, axis=(-2, -1)) for change in (first, second))
    sure = other <= CONTRACTS * error
    first = xp.where((second > first) & ~sure[..., None, None], second, first)
    near = xp.max(_with_neighbours(size / peak), axis=-1)
    local = xp.max(first, axis=-1)
    local = xp.where(local == 0, 0.0, local / xp.where(near > 0, near, tiny(y)))
    return Estimate(better, xp.max(first, axis=(-2, -1)), sure, local)


def corrected(system: System, y: Array) -> Array:
    """Return y after one deferred correction, where there is one."""
    correction = _correction(system, y)
    assert correction is not None  # as it was when y_corrected was made
    return y + correction[0]


def _correction(system: System, y: Array) -> tuple[Array, Callable[[Array], Array]] | None:
    """Return delta, and what a second correction with the doubts of its quadrature makes of some other y."""
    rule = system.rule
    if type(rule).defect is Rule.defect:
        return None
    where = {"grid": system.data.grid, "boundary": system.data.boundary}
    solve: Callable[[Array], Array]
    if system.block is not None:
        fy, extra, solve = system.f(*system.shifted(y)), {}, Blockwise(system, y).solve
    else:
        at = system.linearise(y)
        Gs = tuple(-J for J in at.Js)
        fy, extra, solve = at.fy, {} if rule.exact else {"Gs": Gs}, rule.solver(Gs, y, **where)
    made = rule.defect(y, fy, **extra, **where)
    if made is None:
        return None

    def rest(u: Array) -> Array:
        defect, doubt = rule.defect(u, system.f(*system.shifted(u)), **extra, **where) or made
        return solve(defect + doubt)

    return solve(made[0]), rest


def _sizes(u: Array, n: int) -> Array:
    """Return the largest |u| over space, and stages, at each point and of each of n components, (*B, T, n)."""
    xp = array_namespace(u)
    return xp.max(xp.reshape(xp.abs(u), (*u.shape[:-1], -1, n)), axis=-2)


def _with_neighbours(size: Array) -> Array:
    """Return the largest of each point and the two beside it: a zero between them is no small y."""
    xp = array_namespace(size)
    before = xp.concat([size[..., :1, :], size[..., :-1, :]], axis=-2)
    behind = xp.concat([size[..., 1:, :], size[..., -1:, :]], axis=-2)
    return xp.maximum(size, xp.maximum(before, behind))
