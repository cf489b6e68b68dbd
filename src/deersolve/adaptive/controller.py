"""How long a step is: the first one by the size of f, the next by the error of the one before."""

from __future__ import annotations

from ..backends.namespace import Array, array_namespace
from .base import Field

SAFETY, SHORTEST, LONGEST = 0.9, 0.2, 10.0
"""A step is SAFETY times what its error allows, and within these factors of the one before."""
FAILED = 0.5  # where an iteration did not converge


def square(error: Array) -> Array:
    """Return the sum of ``|error|^2`` over components, (*B,), of an array (*B, 1, n)."""
    xp = array_namespace(error)
    size = xp.abs(error)
    return xp.sum(size * size, axis=(-2, -1))


def norm(error: Array, scale: Array) -> Array:
    """Return the root of the mean square of ``error / scale`` over components, (*B,), of arrays (*B, 1, n)."""
    xp = array_namespace(error)
    part = xp.abs(error) / scale
    return xp.sqrt(xp.mean(part * part, axis=(-2, -1)))


def factor(error: Array, order: int, rejected: Array) -> Array:
    """Return by what a step is multiplied: error^(-1 / order), not above 1 behind a step that was rejected."""
    xp = array_namespace(error)
    best = SAFETY * xp.where(error > 0, error, 1e-30) ** (-1.0 / order)
    most = xp.where(rejected, xp.ones_like(best), LONGEST)
    usable = xp.where(best > 0, best, SHORTEST)  # NaN too
    return xp.minimum(xp.where(usable > SHORTEST, usable, SHORTEST), most)


def first_step(field: Field, t: Array, y: Array, fy: Array, span: Array, order: int) -> Array:
    """Return the length of the first step, (*B, 1), not signed.

    E. Hairer, S. P. Norsett, G. Wanner, Solving Ordinary Differential Equations I, section II.4: a small explicit Euler
    step tells the size of the second derivative.
    """
    xp, scale = array_namespace(y), field.scale(y, y)
    at, slopes = norm(y, scale)[..., None], norm(fy, scale)[..., None]
    is_small = (at < 1e-5) | (slopes < 1e-5)
    small = xp.where(is_small, 1e-6 + 0 * at, 0.01 * at / xp.where(is_small, 1.0, slopes))
    small = xp.minimum(small, xp.abs(span))
    signed = xp.where(span < 0, -small, small)
    moved = field.slope(t + signed, y + xp.astype(signed, y.dtype)[..., None] * fy)
    bends = norm(moved - fy, scale)[..., None] / small
    largest = xp.maximum(slopes, bends)
    is_flat = largest <= 1e-15
    best = xp.where(
        is_flat, xp.maximum(1e-6 + 0 * small, small * 1e-3), (0.01 / xp.where(is_flat, 1.0, largest)) ** (1.0 / order)
    )
    return xp.where(best > 0, xp.minimum(xp.minimum(100 * small, best), xp.abs(span)), small)
