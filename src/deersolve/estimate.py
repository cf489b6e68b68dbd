"""The discretisation error: one deferred correction with a quadrature of 4th order."""

from __future__ import annotations

from collections.abc import Callable

from .blockwise import Blockwise
from .inverses import Rule
from .newton import tiny
from .resolution import in_space
from .system import Linearised, System
from .typing import Array, array_namespace

STIFF = 2.0  # D |d f / d y| above which no quadrature of f is asymptotic


def discretisation(system: System, y: Array) -> tuple[Array, Array, Array] | None:
    """Return y_corrected, the relative error of y and whether the estimate is asymptotic, or None.

    Notes
    -----
    The defect of y in a quadrature of higher order is propagated by the rule's own linear solve,
    ``delta = L_G^{-1}[defect]``: delta is the error of y to leading order and y + delta is of 4th order
    for the trapezoid. The same with a quadrature of 3rd order tells whether the grid is fine enough
    for either to be believed.
    """
    if type(system.rule).truncation is not Rule.truncation:
        return in_space(system, y)
    if type(system.rule).defect is Rule.defect:
        return None
    where = {"grid": system.data.grid, "boundary": system.data.boundary}
    solve: Callable[[Array], Array]
    if system.block is not None:
        fy, extra, linear = system.f(*system.shifted(y)), {}, Blockwise(system, y)
        stiffness, solve = linear.rows(lambda part: _stiffness(part, part.linearise(part.data.guess))), linear.solve
    else:
        at = system.linearise(y)
        Gs = tuple(-J for J in at.Js)
        fy, extra = at.fy, {} if system.rule.exact else {"Gs": Gs}
        stiffness, solve = _stiffness(system, at), system.rule.solver(Gs, y, **where)
    defects = [system.rule.defect(y, fy, points=points, **extra, **where) for points in (4, 3)]
    if defects[0] is None or defects[1] is None:
        return None
    delta, third = map(solve, defects)
    error, other = (_relative(change, y, getattr(system.data.grid, "block", y.shape[-1])) for change in (delta, third))
    agree = (error <= 5 * other) & (other <= 5 * error)
    return y + delta, error, agree & (system.over_grid(array_namespace(y).max, stiffness) <= STIFF)


def _stiffness(system: System, at: Linearised) -> Array:
    """Return D |d f / d y| in the row-sum norm at every point, (*B, T, 1); zero at the first."""
    xp = array_namespace(at.fy)
    rows = xp.max(abs(at.Js[0]) @ xp.ones_like(at.fy), axis=-1, keepdims=True)
    D = xp.abs(system.data.grid.D)
    rows = rows[..., : D.shape[-2] + 1, :]  # conditions may stand behind the points
    return rows * xp.concat([xp.zeros_like(D[..., :1, :]), D], axis=-2)


def _relative(delta: Array, y: Array, n: int) -> Array:
    """Return the largest change by the largest value, over t and space, of the worst of n components."""
    xp = array_namespace(y)

    def largest(u: Array) -> Array:
        over_t = xp.max(xp.abs(u), axis=-2)
        return xp.max(xp.reshape(over_t, (*over_t.shape[:-1], -1, n)), axis=-2)

    change, peak = largest(delta), largest(y)
    return xp.max(xp.where(change == 0, 0.0, change / xp.where(peak > 0, peak, tiny(y))), axis=-1)
