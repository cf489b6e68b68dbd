"""How large a residual and a correction are, beside the terms of the equation."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import reduce
from operator import add
from typing import Any

from ..backends.namespace import Array, array_namespace
from ..linalg.structure import Dense
from .equation import Linearised, System
from .steps.base import norm

ROUNDOFF = 2  # in units of eps: a correction or a residual this small cannot be improved


@dataclasses.dataclass(frozen=True)
class Judged:
    """What one evaluation tells about each batch element."""

    eps: float
    finite: Array
    error: Array
    residual: Array
    is_within: Callable[[float], Array]


def judge(system: System, y: Array, size: Array | None, r: Array, delta: Array, atol: float) -> Judged:
    """Measure the residual and the correction against the size of the terms of the equation."""
    xp = array_namespace(y)
    error, is_within = sizes(system, y, size, r, delta, atol)
    return Judged(
        eps=float(xp.finfo(y.dtype).eps),
        finite=xp.isfinite(system.over_grid(xp.max, xp.abs(y + delta))),
        error=error,
        residual=backward_error(system, size, r),
        is_within=is_within,
    )


def needs_search(system: System, active: Array, size: Array | None, residual: Array) -> Array:
    """Return which active elements have a residual whose norm is not at roundoff."""
    if size is None:
        return active
    eps = float(array_namespace(size).finfo(size.dtype).eps)
    return active & ~(residual <= ROUNDOFF * eps * norm(system, size))


def slope_terms(at: Linearised, structure: Any = Dense) -> Array:
    """Return ``sum_p |G_p||y_p|``, or zero where less than G is known: the certificate must not depend on that."""
    xp = array_namespace(at.fy)
    if structure is not Dense:
        return xp.zeros_like(at.fy)
    return reduce(add, (abs(G) @ (xp.abs(y_p) + least(y_p)) for G, y_p in zip(at.Gs, at.ys, strict=True)))


def magnitudes(system: System, y: Array, fy: Array, slopes: Array | None) -> Array | None:
    """Return ``|L||y| + |M|(|f| + sum_p |G_p||y_p|)``, or None if the rule does not offer it.

    Numbers count as at least :func:`least`: what is lost in an underflow is at roundoff of that, and amplified as y is.
    """
    if slopes is None:
        return None
    xp = array_namespace(y)
    return system.magnitude(xp.abs(y) + least(y), xp.abs(fy) + slopes)


def relative(r: Array, size: Array) -> Array:
    """Return |r| in units of the size of its terms; NaN where those overflow, and r says nothing."""
    xp = array_namespace(r)
    return xp.where(xp.isfinite(size), xp.where(r == 0, 0.0, xp.abs(r) / size), xp.nan)


def backward_error(system: System, size: Array | None, r: Array) -> Array:
    """Return the largest componentwise residual of each batch element, relative to its own terms."""
    xp = array_namespace(r)
    if size is None:
        return system.over_grid(xp.max, xp.abs(r)) * xp.nan
    worst = system.over_grid(xp.max, relative(r, size))
    return xp.where(system.over_grid(xp.max, size) < xp.inf, worst, xp.inf)  # terms that overflow certify nothing


def sizes(system: System, y: Array, size: Array | None, r: Array, delta: Array, atol: float) -> tuple[Array, Any]:
    """Return the largest correction relative to the terms at its point, and the test against a tolerance.

    Where f outweighs L by far, those terms are large beside y: a correction of all of y is a small part of them. So the
    residual has to be one too, wherever the correction is above ``atol``.
    """
    xp = array_namespace(y)
    scale, roundoff = scale_of(system, y, size), float(xp.finfo(y.dtype).eps) ** (2 / 3)

    def largest(change: Array) -> Array:
        return system.over_grid(xp.max, change / scale)

    error = largest(xp.abs(delta))
    beyond = largest(xp.maximum(xp.abs(delta) - atol, xp.zeros_like(delta))) if atol else error
    left = largest(xp.where(xp.abs(delta) >= atol, xp.abs(r), 0.0))
    return error, lambda rtol: (beyond <= rtol) & (left <= max(rtol, roundoff))


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
    return xp.where(xp.isfinite(own), own + least(y), xp.nan)


def tiny(y: Array) -> float:
    """Return the smallest normal number of the dtype of y."""
    return float(array_namespace(y).finfo(y.dtype).smallest_normal)


def least(y: Array) -> float:
    """Return the size below which a number of the dtype of y may lose digits, or be flushed to zero, unnoticed."""
    return tiny(y) / float(array_namespace(y).finfo(y.dtype).eps)
