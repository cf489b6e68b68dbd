"""How large a residual and a correction are, beside the terms of the equation: whatever judges a y does it here."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import cached_property, reduce
from operator import add
from typing import Any

from ..backends.namespace import Array, array_namespace
from ..linalg.structure import Dense
from .equation import Linearised, System
from .steps.base import norm

ROUNDOFF = 2  # in units of eps: a correction or a residual this small cannot be improved
GOLDEN = 1.618033988749895  # times k^2: phases without a pattern
BACKWARD = 16  # the residual that certifies, summed over the operations inside f


@dataclasses.dataclass(frozen=True)
class Judged:
    """A residual r and a correction delta at y, beside the ``size`` of the terms of each row, None if not known.

    Each number is the ``largest`` over the grid, of each batch element, or over whatever else that reduces.
    """

    system: System
    y: Array
    size: Array | None
    r: Array
    delta: Array
    atol: float
    largest: Callable[[Array], Array]

    @cached_property
    def eps(self) -> float:
        """The unit of roundoff."""
        return eps_of(self.y)

    @cached_property
    def residual(self) -> Array:
        """The largest componentwise residual, relative to its own terms."""
        if self.size is None:
            return self.largest(abs(self.r)) * array_namespace(self.r).nan
        xp, r, size = array_namespace(self.r), self.r, self.size
        ratio = self.largest(xp.where(r == 0, 0.0, xp.abs(r) / size))
        return xp.where(self.largest(size) < xp.inf, ratio, xp.inf)  # terms that overflow certify nothing

    @cached_property
    def at_roundoff(self) -> Array:
        """Whether the residual certifies y."""
        return self.residual <= BACKWARD * self.eps

    @property
    def improves_no_more(self) -> Array:
        """Whether the residual cannot be smaller."""
        return self.residual <= ROUNDOFF * self.eps

    @cached_property
    def error(self) -> Array:
        """The largest correction, relative to the terms at its point."""
        return self.largest(abs(self.delta) / self._scale)

    @cached_property
    def beyond(self) -> Array:
        """The same of what is above ``atol``."""
        xp, over = array_namespace(self.y), abs(self.delta) - self.atol
        return self.largest(xp.maximum(over, xp.zeros_like(over)) / self._scale) if self.atol else self.error

    @cached_property
    def finite(self) -> Array:
        """Whether y and what it moves to are finite."""
        return array_namespace(self.y).isfinite(self.largest(abs(self.y + self.delta)))

    def is_within(self, rtol: float) -> Array:
        """Return whether the correction is within a tolerance.

        Where f outweighs L by far, the terms are large beside y: a correction of all of y is a small part of them. So
        the residual has to be one too, wherever the correction is above ``atol``.
        """
        return (self.beyond <= rtol) & (self._left <= max(rtol, self.eps ** (2 / 3)))

    @cached_property
    def _left(self) -> Array:
        r = abs(self.r)
        seen = array_namespace(r).where(abs(self.delta) >= self.atol, r, 0.0) if self.atol else r
        return self.largest(seen / self._scale)

    @cached_property
    def _scale(self) -> Array:
        return scale_of(self.system, self.y, self.size)


def judge(
    system: System, y: Array, size: Array | None, r: Array, delta: Array | None = None, atol: float = 0.0
) -> Judged:
    """Measure the residual and the correction of each batch element against the size of the terms of the equation."""

    def largest(values: Array) -> Array:
        return system.over_grid(array_namespace(values).max, values)

    return Judged(system, y, size, r, r if delta is None else delta, atol, largest)


def needs_search(system: System, active: Array, size: Array | None, residual: Array) -> Array:
    """Return which active elements have a residual whose norm is not at roundoff."""
    if size is None:
        return active
    return active & ~(residual <= ROUNDOFF * eps_of(size) * norm(system, size))


def terms(system: System, y: Array, at: Linearised, structure: Any = Dense) -> Array | None:
    """Return ``|L||y| + |M|(|f| + sum_p |G_p||y_p|)``, or None if the rule does not offer it.

    Where less than G is known it counts for nothing: the certificate must not depend on that.
    """
    if not system.rule.knows_size:
        return None
    return magnitudes(system, y, at.fy, slope_terms(at) if structure is Dense else 0.0)


def slope_terms(at: Linearised) -> Array:
    """Return ``sum_p |G_p||y_p|``."""
    return reduce(add, (abs(G) @ (abs(y_p) + least(y_p)) for G, y_p in zip(at.Gs, at.ys, strict=True)))


def magnitudes(system: System, y: Array, fy: Array, slopes: Any) -> Array:
    """Return ``|L||y| + |M|(|f| + slopes)``.

    Numbers count as at least :func:`least`: what is lost in an underflow is at roundoff of that, and amplified as y is.
    """
    return system.magnitude(abs(y) + least(y), abs(fy) + slopes)


def scale_of(system: System, y: Array, size: Array | None) -> Array:
    """Return the size that a change of each number is held against, NaN where it overflows.

    That is the largest of its terms, or of it. Where a component passes through zero it is its own peak, but not more
    than the largest component there: sizes of components, and of one at different points, may differ by any factor.
    """
    xp = array_namespace(y)
    own = xp.abs(y) if size is None else xp.maximum(size, xp.abs(y))
    if math.prod(y.shape[axis] for axis in system.grid.together) > 1:
        largest = xp.max(own, axis=system.grid.together, keepdims=True)
        own = xp.maximum(own, xp.minimum(largest, system.peaks(y)))
    return xp.where(own < xp.inf, own + least(y), xp.nan)


def signs(system: System, y: Array) -> list[Array]:
    """Return arrays of signs for every element of y: all 1, and three without a pattern."""
    xp, shape = array_namespace(y), (*(1 for _ in range(system.n_batch)), *y.shape[system.n_batch :])
    k = xp.astype(xp.arange(math.prod(shape), device=system.backend.placement(y)), y.dtype)
    phase = GOLDEN * k * k + 7.0 * k
    return [xp.reshape(xp.sign(xp.sin(1.0 + j * phase)), shape) for j in range(4)]


def tiny(y: Array) -> float:
    """Return the smallest normal number of the dtype of y."""
    return float(array_namespace(y).finfo(y.dtype).smallest_normal)


def least(y: Array) -> float:
    """Return the size below which a number of the dtype of y may lose digits, or be flushed to zero, unnoticed."""
    return tiny(y) / eps_of(y)


def eps_of(y: Array) -> float:
    """Return the distance of 1 to the next number of the dtype of y."""
    return float(array_namespace(y).finfo(y.dtype).eps)
