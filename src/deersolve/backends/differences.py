"""Derivatives where nothing follows a function: central differences."""

from __future__ import annotations

from collections.abc import Callable

from .namespace import Array, array_namespace


def difference(function: Callable[..., Array], primals: list[Array], direction: list[Array]) -> Array:
    """Return the central difference of a function of arrays along a direction, its step eps^(1/3) of their size."""
    xp = array_namespace(primals[0])
    h = float(xp.finfo(primals[0].dtype).eps) ** (1 / 3)
    size = max((float(xp.max(xp.abs(a))) for a in primals if 0 not in a.shape), default=1.0) or 1.0
    most = max((float(xp.max(xp.abs(d))) for d in direction if 0 not in d.shape), default=1.0) or 1.0
    h = h * size / most
    up, down = (function(*(a + s * h * d for a, d in zip(primals, direction, strict=True))) for s in (1.0, -1.0))
    return (up - down) / (2 * h)
