"""What a stepper of the march is: a rule that goes from t to t + h and says how wrong it may be."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable
from typing import Any

from ..backends.namespace import Array, Tree, array_namespace
from ..backends.trees import record

Slope = Callable[[Array, Array], Array]
"""f of times (*B, K) and y (*B, K, n)."""


@dataclasses.dataclass(frozen=True)
class Field:
    """What is stepped through, and what an error may be.

    Attributes
    ----------
    slope : callable
        f of times (*B, K) and y (*B, K, n).
    jacobian : callable or None
        df/dy of the same, (*B, K, n, n); None for differences.
    rtol, atol : array
        The tolerance of a component: atol + rtol |y|.
    """

    slope: Slope
    jacobian: Slope | None
    rtol: Array
    atol: Array

    def scale(self, y: Array, new: Array) -> Array:
        """Return the tolerance of each component at two ends of a step."""
        xp = array_namespace(y)
        return self.atol + self.rtol * xp.maximum(xp.abs(y), xp.abs(new))


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
    is_stiff : array of bool, shape (*B,), or None
        Where stability, and not the error, holds back the steps.
    path : array, shape (*B, s, n), or None
        The coefficients of theta, ..., theta^s in y at t + theta h, where a rule has them.
    """

    y: Array
    error: Array
    carry: Tree
    failed: Array
    kept: Tree = None
    growth: Any = None
    is_stiff: Any = None
    path: Any = None


class Stepper(abc.ABC):
    """A rule that steps; ``order``: the error of a step is of h^order."""

    order: int

    def calls(self, y: Array, t: Array) -> list[tuple[Array, Array]]:
        """Return y and times as f is called with them, for a compiler."""
        return [(y, t)]

    @abc.abstractmethod
    def alone(self, backend: Any, single: Any, rtol: Array, atol: Array, looks: bool) -> Any:
        """Return the same for one element by numbers of Python, which may look whether it is the wrong rule."""

    def beside(self, field: Field, y: Array, looks: bool) -> Stepper:
        """Return itself for arrays like y (*B, 1, n), and whether it is to say where it is the wrong rule."""
        return self

    @abc.abstractmethod
    def start(self, field: Field, t: Array, y: Array) -> Tree:
        """Return what the first step needs, its first leaf f(t, y): t (*B, 1), y (*B, 1, n)."""

    @abc.abstractmethod
    def attempt(self, field: Field, t: Array, y: Array, h: Array, carry: Tree) -> Attempt:
        """Return a step of length h, (*B, 1), with a sign."""
