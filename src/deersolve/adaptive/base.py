"""What a stepper of the march is: a rule that goes from t to t + h and says how wrong it may be."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any

from ..backends.namespace import Array, Tree
from ..backends.trees import record

Slope = Callable[[Array, Array], Array]
"""f of times (*B, K) and y (*B, K, n)."""


@record
class Attempt:
    """What a step came to.

    Attributes
    ----------
    y : array, shape (*B, 1, n)
        y at t + h.
    error : array, shape (*B,)
        The estimated error in units of the tolerance: taken where it is at most 1.
    carry : tree of arrays
        What the next step needs, if this one is taken.
    failed : array of bool, shape (*B,)
        Where there is no such y: an iteration did not converge, or f is not finite.
    kept : tree of arrays or None
        The same if it is not taken; None for what was there before.
    growth : array, shape (*B,), or None
        By what the next step is longer at most; None for what the error allows.
    path : array, shape (*B, s, n), or None
        The coefficients of theta, ..., theta^s in y at t + theta h, where a rule has them.
    """

    y: Array
    error: Array
    carry: Tree
    failed: Array
    kept: Tree = None
    growth: Any = None
    path: Any = None


class Stepper(abc.ABC):
    """A rule that steps; ``order``: the error of a step is of h^order."""

    order: int
    pair: Any = None
    """The numbers of an explicit rule, which one element can be marched with by Python alone."""

    def calls(self, y: Array, t: Array) -> list[tuple[Array, Array]]:
        """Return y and times as f is called with them, for a compiler."""
        return [(y, t)]

    @abc.abstractmethod
    def start(self, slope: Slope, jacobian: Any, t: Array, y: Array) -> Tree:
        """Return what the first step needs, its first leaf f(t, y): t (*B, 1), y (*B, 1, n)."""

    @abc.abstractmethod
    def attempt(
        self, slope: Slope, jacobian: Any, t: Array, y: Array, h: Array, carry: Tree, scale: Callable[..., Array]
    ) -> Attempt:
        """Return a step of length h, (*B, 1), with a sign; ``scale(y, new)`` is the tolerance of each component."""
