"""Jacobians of f for Newton's method inside a step: by differences, all columns in one call of f."""

from __future__ import annotations

from ..backends.namespace import Array, array_namespace
from ..linalg.structure import identity
from .base import Slope

SHARE = 0.1  # of the tolerance: how far y is moved, if it is not more than the roundoff asks for


def jacobian(slope: Slope, t: Array, y: Array, allowed: Array) -> Array:
    """Return d f / d y, (*B, n, n), at t (*B, 1) and y (*B, 1, n): forward differences of a share of the tolerance."""
    xp, n = array_namespace(y), y.shape[-1]
    eps = float(xp.finfo(y.dtype).eps)
    far = eps**0.5 * xp.abs(y) + xp.where(allowed > 0, SHARE * allowed, eps)
    moved = xp.concat([y, y + xp.astype(far, y.dtype) * identity(y, n, y.ndim)], axis=-2)
    f = slope(t + xp.zeros_like(moved[..., 0], dtype=t.dtype), moved)
    return xp.matrix_transpose((f[..., 1:, :] - f[..., :1, :]) / xp.matrix_transpose(far))
