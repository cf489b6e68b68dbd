"""The quadrature of 4th order that measures the discretisation error of the rules for y' = f."""

from __future__ import annotations

from ..backends import backend_of
from ..typing import Array, array_namespace

GAUSS = 0.5773502691896257  # 1 / sqrt(3): two Gauss points integrate a cubic exactly


def quadrature_defect(y: Array, fy: Array, t: Array, lengths: Array, points: int) -> Array | None:
    """Return ``integral of the interpolant of f - (y_{i+1} - y_i)`` on every interval, row 0 zero.

    Parameters
    ----------
    y, fy : array, shape (*B, T, n)
        The solution and f at the grid points.
    t, lengths : array, shape (*B, T) and (*B, T - 1, 1)
        Any non-uniform grid, and its intervals; the interpolant on interval i runs through the ``points`` nearest
        points.
    points : int
        4 for the cubic (a defect of 4th order), 3 for the quadratic.

    Returns
    -------
    array, shape (*B, T, n), or None where the grid has fewer points.
    """
    xp, T = array_namespace(y), y.shape[-2]
    if points > T:
        return None
    device = backend_of(y).placement(y)
    left = xp.clip(xp.arange(T - 1, device=device) - (points - 2) // 2, min=0, max=T - points)
    index = [left + j for j in range(points)]
    D, total = lengths[..., 0], 0.0
    t = xp.reshape(t, (*(1 for _ in range(D.ndim - t.ndim)), *t.shape))
    nodes = [xp.astype(xp.take(t, i, axis=-1) - t[..., :-1], y.dtype) for i in index]
    for j in range(points):
        weight = sum(_basis(nodes, j, D * (1 + s * GAUSS) / 2) for s in (-1, 1)) * D / 2
        total = total + weight[..., None] * xp.take(fy, index[j], axis=-2)
    rows = total - (y[..., 1:, :] - y[..., :-1, :])
    return xp.concat([xp.zeros_like(y[..., :1, :]), rows], axis=-2)


def _basis(nodes: list[Array], j: int, at: Array) -> Array:
    """Return the Lagrange polynomial of node j."""
    value = 1.0
    for k, node in enumerate(nodes):
        if k != j:
            value = value * ((at - node) / (nodes[j] - node))
    return value
