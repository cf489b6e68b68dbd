"""What must hold besides a small correction: a rule that came from outside has to solve what it claims."""

from __future__ import annotations

from .inverses import PaperForm
from .newton import newton_step
from .structure import Dense
from .system import System
from .typing import Array, array_namespace


def rule_holds(system: System, y: Array) -> Array:
    """Return, for each batch element, whether the rule did at y what it claims.

    A rule with a residual: the residual is affine in (y, f), so that after a step delta with
    f + sum_p J_p S_p delta in the place of f it must vanish. The paper's callable: y is its fixed point
    for every G, so that half of G must give the same y.
    """
    xp = array_namespace(y)
    at, r, delta = newton_step(system, y, Dense)
    rule, data = system.rule, system.data
    if isinstance(rule, PaperForm):
        half = tuple(-J.map(lambda v: v / 2) for J in at.Js)
        rhs = at.fy
        for G, y_p in zip(half, at.ys, strict=True):
            rhs = rhs + (G @ y_p)
        off = xp.abs(rule.inverse(half, rhs, data) - y)
        tol = 1e2 * float(xp.finfo(y.dtype).eps) ** (2 / 3)
        return system.over_grid(xp.max, off) <= tol * system.over_grid(xp.max, xp.abs(y))
    moved = at.fy
    for J, before, after in zip(at.Js, at.ys, system.shifted(y + delta), strict=True):
        moved = moved + (J @ (after - before))
    extra = {} if rule.exact else {"Gs": tuple(-J for J in at.Js)}
    left = rule.residual(y + delta, moved, grid=data.grid, boundary=data.boundary, **extra)
    noise = 64 * float(xp.finfo(y.dtype).eps) * system.over_grid(xp.max, xp.abs(y) + xp.abs(at.fy))
    return system.over_grid(xp.max, xp.abs(left)) <= 0.1 * system.over_grid(xp.max, xp.abs(r)) + noise
