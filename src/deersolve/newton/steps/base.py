"""What a step is: how much of Newton's correction is taken, and what it may ask of the equation."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import ClassVar

from ...backends.namespace import Array, array_namespace
from ..equation import Linearised, System

Correct = Callable[[Array, tuple[Array, ...], Array], tuple[Array, Array]]


@dataclasses.dataclass(frozen=True)
class Here:
    """The iterate, its linearisation and what a step may need to know of it.

    ``damping`` is what the last step handed on, of shape (*B,); elements that are not in ``seeks`` are not searched
    for: they are finished, or the norm of their residual is at roundoff. ``correct`` is of ``(y, ys, fy)``, with G.
    """

    system: System
    y: Array
    at: Linearised
    damping: Array
    seeks: Callable[[Array], Array]
    correct: Correct

    def correction(self) -> tuple[Array, Array]:
        """Return the residual and Newton's correction."""
        return self.correct(self.y, self.at.ys, self.at.fy)


class Step:
    """What a globalisation is: it returns the residual, the change of y and the damping of the next step."""

    damping: float = 0.0
    """The damping of the first step."""
    searches: ClassVar[bool] = False
    """Whether it compares residuals, so that only rules with one will do."""
    damps: ClassVar[bool] = False
    """Whether it solves in damped least squares, so that only rules which can will do."""
    flows: ClassVar[bool] = False
    """Whether it goes along a flow to a steady state, so that only equations in space will do."""

    def __call__(self, here: Here) -> tuple[Array, Array, Array]:
        """Return the residual at y, the change of y and the damping of the next step."""
        raise NotImplementedError


def norm(system: System, r: Array) -> Array:
    """Return the root mean square of r over grid and components, free of overflow, of each batch element."""
    xp = array_namespace(r)
    peak = system.over_grid(xp.max, xp.abs(r))
    scale = xp.where((peak > 0) & (peak < xp.inf), peak, 1.0)
    return scale * xp.sqrt(system.over_grid(xp.mean, (r / system.per_element(scale)) ** 2))
