"""The derivative of a solution: one more Newton step, on the graph, with y and G frozen."""

from __future__ import annotations

from .structure import Dense
from .system import System
from .typing import Array, array_namespace


def attach(live: System, frozen: System, y: Array) -> Array:
    """Return y with the derivative of the implicit function theorem.

    At a solution of residual(y; theta) = 0, ``dy = (L + M sum_p G_p S_p)^{-1} d residual`` at fixed y. So
    ``y + delta - stop(delta)`` with ``delta = solve(stop(G), residual(stop(y); theta))`` has the value of y
    and the exact derivative, in forward and in reverse mode, whatever found y.
    """
    at = frozen.linearise(y)
    Gs = tuple(-Dense.simplify(J) for J in at.Js)
    fy = live.f(*live.shifted(y))
    _, delta = live.rule.correction(Gs, y, at.ys, fy, live.data)
    xp = array_namespace(y)
    change = delta - live.backend.without_gradient(delta)
    finite = live.over_grid(xp.all, xp.isfinite(delta))
    return xp.where(live.per_element(finite), y + change, y)
