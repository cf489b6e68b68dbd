"""Jacobians by differences, all columns in one call: for Newton's method inside a step, and for estimates."""

from __future__ import annotations

import dataclasses
from typing import Any

from ..backends.namespace import Array, array_namespace
from ..backends.trees import tree_map
from ..linalg.structure import Dense, identity
from .base import Slope
from .method import Adaptive

SHARE = 0.1  # of the tolerance: how far y is moved, if it is not more than the roundoff asks for


def jacobian(slope: Slope, t: Array, y: Array, allowed: Array) -> Array:
    """Return d f / d y, (*B, n, n), at t (*B, 1) and y (*B, 1, n): forward differences of a share of the tolerance."""
    xp, n = array_namespace(y), y.shape[-1]
    far = moved_by(y, allowed)
    moved = xp.concat([y, y + xp.astype(far, y.dtype) * identity(y, n, y.ndim)], axis=-2)
    f = slope(t + xp.zeros_like(moved[..., 0], dtype=t.dtype), moved)
    return xp.matrix_transpose((f[..., 1:, :] - f[..., :1, :]) / xp.matrix_transpose(far))


def moved_by(y: Array, allowed: Array) -> Array:
    """Return how far each y is moved for a difference, where so much is allowed."""
    xp, eps = array_namespace(y), float(array_namespace(y).finfo(y.dtype).eps)
    return eps**0.5 * xp.abs(y) + xp.where(allowed > 0, SHARE * allowed, eps)


@dataclasses.dataclass(frozen=True)
class Differences:
    """What a linearisation keeps for estimates: derivatives by differences of a share of the tolerance."""

    to: Adaptive

    def linearise(self, system: Any, ys: tuple[Array, ...]) -> tuple[Array, tuple[Dense, ...]]:
        """Return f of y (*B, T, n), and d f / d y at every point: one call of f on n + 1 times as many."""
        functions, x = system.posed
        y, xp = ys[0], array_namespace(ys[0])
        (points, n), batch = y.shape[-2:], y.shape[:-2]

        def repeated(a: Any) -> Any:
            return xp.concat([a] * (n + 1), axis=-2) if points > 1 and a.shape[-2] == points else a

        rtol, atol = (system.backend.convert(a, y, y.dtype) for a in (self.to.rtol, self.to.atol))
        far = xp.matrix_transpose(moved_by(y, atol + rtol * xp.abs(y)))[..., None]
        moved = xp.reshape(y[..., None, :, :] + far * identity(y, n, 2)[:, None, :], (*batch, n * points, n))
        made = functions["f"](xp.concat([y, moved], axis=-2), tree_map(repeated, x))
        made = xp.reshape(made, (*batch, n + 1, points, n))
        fy = made[..., 0, :, :]
        return fy, (Dense(xp.moveaxis((made[..., 1:, :, :] - fy[..., None, :, :]) / far, -3, -1)),)
