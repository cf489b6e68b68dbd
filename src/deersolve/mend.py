"""Slopes of f where its derivative is NaN or infinite and f itself is finite, as of sqrt(max(y, 0)): by differences."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import reduce
from operator import add
from typing import Any, NamedTuple

from .backends.generic import Backend
from .typing import Array, array_namespace

Function = Callable[..., Array]
FINER = 8  # times: a second step; from a kink the slopes on both sides stay apart
LOST = 1e-6  # of a slope: the most that may be lost in the roundoff of f


@dataclasses.dataclass(frozen=True)
class Directions:
    """What f is differentiated along: ``along(k)`` is direction k of ``count``, in which one of ``size`` moves.

    ``laid`` lays the derivatives along all of them, (m, *S, N), out as the slopes are. N is ``size`` numbers for each
    of the points that f couples no others with.
    """

    count: int
    size: int
    along: Callable[[Any], tuple[Array, ...]]
    laid: Callable[[Array], tuple[Array, ...]]

    def peak(self, ys: tuple[Array, ...]) -> Array:
        """Return the largest of the numbers of each point, for each of them."""

        def of_points(y: Array) -> Array:
            xp = array_namespace(y)
            parts = xp.reshape(xp.abs(y), (*y.shape[:-1], y.shape[-1] // self.size, self.size))
            return xp.reshape(xp.max(parts, axis=-1, keepdims=True) + 0 * parts, y.shape)

        return reduce(array_namespace(ys[0]).maximum, map(of_points, ys))


def mended(
    backend: Backend,
    f: Function,
    ys: tuple[Array, ...],
    slopes: tuple[Array, ...],
    by: Directions,
    strict: bool,
) -> tuple[Array, ...]:
    """Return the slopes of f, those that are not finite where f is by differences.

    With ``strict`` a slope that is another on each side of y stays NaN, as the derivative of a solution then is;
    Newton's method makes do with their mean.
    """
    xp = array_namespace(ys[0])

    def look(slopes: tuple[Array, ...]) -> tuple[Array, ...]:
        fy = f(*ys)
        rows = backend.scan(lambda c, k: (c, _row(f, ys, fy, by, k, strict)), fy[..., :1, :1] * 0, by.count)[1]
        known = xp.broadcast_to(xp.isfinite(fy), rows.shape)
        return tuple(
            xp.where(xp.isfinite(a) | ~is_known, a, b)
            for a, b, is_known in zip(slopes, by.laid(rows), by.laid(known), strict=True)
        )

    when = backend.when_followed if strict else backend.when
    made: tuple[Array, ...] = when(~xp.isfinite(reduce(add, map(xp.sum, slopes))), look, slopes)
    return made


class Sides(NamedTuple):
    """Difference quotients on both sides of y; where f has a derivative, and where roundoff leaves something of it."""

    ahead: Array
    behind: Array
    is_smooth: Array
    is_sharp: Array

    @property
    def slope(self) -> Array:
        """The mean of both, or the one that is finite."""
        xp = array_namespace(self.ahead)
        one = xp.where(xp.isfinite(self.ahead), self.ahead, self.behind)
        other = xp.where(xp.isfinite(self.behind), self.behind, self.ahead)
        return one / 2 + other / 2


def _row(f: Function, ys: tuple[Array, ...], fy: Array, by: Directions, k: Any, strict: bool) -> Array:
    """Return the derivative of f along direction k: with a step of the size of y there, or, at a kink, of what moves.

    What moves may be tiny beside the rest: its own size loses f in roundoff, but does not reach over a kink.
    """
    xp, d = array_namespace(fy), by.along(k)
    here, own = by.peak(ys), by.peak(tuple(y * e for y, e in zip(ys, d, strict=True)))
    most = xp.max(here, axis=(-2, -1), keepdims=True)
    size = xp.where(here > 0, here, xp.where(most > 0, most, xp.ones_like(most)))
    wide, close = _sides(f, ys, fy, d, size), _sides(f, ys, fy, d, xp.where(own > 0, own, size))
    found = xp.where(wide.is_smooth, wide.slope, close.slope)
    if strict:
        found = xp.where(wide.is_smooth | (close.is_smooth & close.is_sharp), found, xp.nan)
    return found


def _sides(f: Function, ys: tuple[Array, ...], fy: Array, d: tuple[Array, ...], size: Array) -> Sides:
    xp, eps = array_namespace(fy), float(array_namespace(fy).finfo(fy.dtype).eps)

    def quotients(h: Array) -> tuple[Array, Array, Array]:
        up, down = (f(*(y + sign * h * e for y, e in zip(ys, d, strict=True))) for sign in (1.0, -1.0))
        return (up - fy) / h, (fy - down) / h, 4 * eps * (xp.abs(up) + xp.abs(down) + xp.abs(fy)) / h

    h = eps ** (1 / 3) * size
    ahead, behind, noise = quotients(h)
    nearer, nearer_behind, least = quotients(h / FINER)
    is_smooth = xp.abs(nearer - nearer_behind) <= xp.abs(ahead - behind) / 2 + least
    is_finite = xp.isfinite(ahead) & xp.isfinite(behind)
    return Sides(ahead, behind, is_smooth & is_finite, noise <= LOST * xp.abs(ahead + behind))
