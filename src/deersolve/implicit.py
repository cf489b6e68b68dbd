"""The derivative of a solution, by the implicit function theorem."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from .inverses import PaperForm, Rule
from .newton import newton_step
from .structure import Dense
from .system import System
from .typing import Array, Tree, array_namespace

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


class Transforms(Protocol):
    """What a library of function transformations supplies."""

    def jvp(self, function: Callable[..., Array], primals: Any, tangents: Any) -> tuple[Array, Array]:
        """Return the value and the derivative along ``tangents``."""

    def inverse(
        self,
        apply: Callable[[Array], Array],
        solve: Callable[[Array], Array],
        transpose: Callable[[Array], Array],
        b: Array,
    ) -> Array:
        """Return ``solve(b)``, differentiated as the inverse of ``apply`` and transposed by ``transpose``."""


def tangent(by: Transforms, system_at: Callable[[Tree], System], theta: Tree, direction: Tree, y: Array) -> Array:
    """Return dy along a direction of theta: ``dy = (L + M sum_p G_p S_p)^{-1} d residual``, residual at fixed y.

    One linear solve, linear in the direction; the reverse mode is the transposed solve of the rule, and y and theta
    may be differentiated once more. A rule whose solution depends on G has no such solve: there the Newton step
    itself is differentiated, a few times over.
    """
    system, xp = system_at(theta), array_namespace(y)
    usable = system.per_element(system.over_grid(xp.all, xp.isfinite(y)))
    y = xp.where(usable, y, system.data.guess)
    if not system.rule.exact or isinstance(system.rule, PaperForm):
        dy = xp.zeros_like(y)
        for _ in range(STEPS if system.rule.exact else 2 * STEPS):
            dy = by.jvp(lambda theta, y: y + newton_step(system_at(theta), y, Dense)[2], (theta, y), (direction, dy))[1]
        return xp.where(usable, dy, 0)
    Gs = tuple(-J for J in system.linearise(y).Js)
    rule, where = system.rule, {"grid": system.data.grid, "boundary": system.data.boundary}
    change = by.jvp(lambda theta: _residual(system_at(theta), y), (theta,), (direction,))[1]
    if type(rule).transpose is Rule.transpose:
        return xp.where(usable, rule.solve(Gs, change, **where), 0)
    dy = by.inverse(
        lambda d: -by.jvp(lambda y: _residual(system, y), (y,), (d,))[1],
        lambda r: rule.solve(Gs, r, **where),
        lambda c: rule.transpose(Gs, c, **where),
        change,
    )
    return xp.where(usable, dy, 0)


def _residual(system: System, y: Array) -> Array:
    ys = system.shifted(y)
    return system.rule.residual(y, system.f(*ys), grid=system.data.grid, boundary=system.data.boundary)
