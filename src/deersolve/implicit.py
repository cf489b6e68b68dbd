"""The derivative of a solution: two more Newton steps, on the graph."""

from __future__ import annotations

from .newton import newton_step
from .structure import Dense
from .system import System
from .typing import Array, array_namespace

STEPS = 2  # the first makes the first derivative exact, the second the second; inexact rules gain with each


def attach(live: System, y: Array) -> Array:
    """Return y with the derivatives of the implicit function theorem.

    At a solution of residual(y; theta) = 0, ``dy = (L + M sum_p G_p S_p)^{-1} d residual`` at fixed y. So
    ``y + delta - stop(delta)`` with ``delta`` the Newton correction at y has the value of y and the exact first
    derivative, in forward and in reverse mode, whatever found y. Newton's method doubles the order that is right:
    a second step makes the second derivative exact.
    """
    xp = array_namespace(y)
    for _ in range(STEPS if live.rule.exact else 2 * STEPS):
        _, _, delta = newton_step(live, y, Dense)
        finite = live.per_element(live.over_grid(xp.all, xp.isfinite(delta)))
        y = xp.where(finite, y + (delta - live.backend.without_gradient(delta)), y)
    return y
