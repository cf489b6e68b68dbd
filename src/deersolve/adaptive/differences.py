"""Jacobians by differences, all columns in one call: for Newton's method inside a step, and for estimates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..backends.namespace import Array, Tree, array_namespace
from ..backends.trees import tree_map
from ..linalg.structure import Dense, identity
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


def at_points(f: Callable[..., Array]) -> Callable[[Array, Tree], Dense]:
    """Return d f / d y at every point of y (*B, T, n), to half of the digits: one call of n + 1 times the points."""

    def jac(y: Array, x: Tree) -> Dense:
        xp, (points, n) = array_namespace(y), y.shape[-2:]

        def repeated(a: Any) -> Any:
            return xp.concat([a] * (n + 1), axis=-2) if points > 1 and a.shape[-2] == points else a

        peak = xp.max(xp.abs(y), axis=-2, keepdims=True)
        far = float(xp.finfo(y.dtype).eps) ** 0.5 * xp.where(peak > 0, peak, 1.0)
        directions = xp.matrix_transpose(far) * identity(y, n, y.ndim)
        moved = xp.reshape(y[..., None, :, :] + directions[..., None, :], (*y.shape[:-2], n * points, n))
        fy = f(xp.concat([y, moved], axis=-2), tree_map(repeated, x))
        fy = xp.reshape(fy, (*y.shape[:-2], n + 1, points, n))
        change = (fy[..., 1:, :, :] - fy[..., :1, :, :]) / xp.matrix_transpose(far)[..., None]
        return Dense(xp.moveaxis(change, -3, -1))

    return jac
