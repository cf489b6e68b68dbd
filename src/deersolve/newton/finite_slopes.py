"""Slopes of f where its derivative is NaN or infinite and f itself is finite, as of sqrt(max(y, 0)): by differences."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import reduce
from operator import add
from typing import Any

from ..backends.generic import Backend
from ..backends.namespace import Array, array_namespace

Function = Callable[..., Array]
FINER = 8  # times: a second step; from a kink the slopes on both sides stay apart
LOST = 1e-6  # of a slope: the most that may be lost in the roundoff of f

_seen: ContextVar[list[bool] | None] = ContextVar("seen", default=None)


@dataclasses.dataclass(frozen=True)
class Directions:
    """What f is differentiated along: ``along(k)`` is direction k of ``count``, in which one component moves.

    ``laid`` lays the derivatives along all of them, (m, *S, n), out as the slopes are.
    """

    count: int
    along: Callable[[Any], tuple[Array, ...]]
    laid: Callable[[Array], tuple[Array, ...]]

    def peak(self, ys: tuple[Array, ...]) -> Array:
        """Return the largest of the numbers of each point, for each of them."""

        def of_points(y: Array) -> Array:
            return array_namespace(y).max(abs(y), axis=-1, keepdims=True) + 0 * y

        return reduce(array_namespace(ys[0]).maximum, map(of_points, ys))


@contextmanager
def noticing() -> Iterator[list[bool]]:
    """Collect whether slopes were mended where Python sees it: not inside a compiled loop."""
    seen: list[bool] = []
    before = _seen.set(seen)
    try:
        yield seen
    finally:
        _seen.reset(before)


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
        rows = _by_differences(backend, f, ys, fy, by, strict)
        known = xp.broadcast_to(xp.isfinite(fy), rows.shape)
        places = [~xp.isfinite(a) & is_known for a, is_known in zip(slopes, by.laid(known), strict=True)]
        seen = _seen.get()
        if seen is not None and backend.is_concrete(places):
            seen.append(any(bool(xp.any(place)) for place in places))
        return tuple(xp.where(place, b, a) for place, a, b in zip(places, slopes, by.laid(rows), strict=True))

    when = backend.when_followed if strict else backend.rarely
    made: tuple[Array, ...] = when(~xp.isfinite(reduce(add, map(xp.sum, slopes))), look, slopes)
    return made


def _by_differences(
    backend: Backend, f: Function, ys: tuple[Array, ...], fy: Array, by: Directions, strict: bool
) -> Array:
    """Return the derivatives of f along all directions, (m, *S, N): with a step of the size of y, or of what moves.

    The second is for a kink within the first. It may be tiny beside the rest of y: then f may be lost in roundoff, but
    it does not reach over a kink.
    """
    xp, eps = array_namespace(fy), float(array_namespace(fy).finfo(fy.dtype).eps)
    here = by.peak(ys)
    most = xp.max(here, axis=(-2, -1), keepdims=True)
    size = eps ** (1 / 3) * xp.where(here > 0, here, xp.where(most > 0, most, xp.ones_like(most)))

    def steps(d: tuple[Array, ...]) -> Array:
        own = eps ** (1 / 3) * by.peak(tuple(y * e for y, e in zip(ys, d, strict=True)))
        close = xp.where(own > 0, own, size)
        return xp.stack([size, size / FINER, close, close / FINER])

    def moved(carry: Any, i: Any) -> tuple[Any, tuple[Array, Array]]:
        d = by.along(i // 8)
        h = backend.slice(steps(d), i % 8 // 2, 1, 0)[0, ...]
        signed = h * (1 - 2 * (i % 2))
        return carry, ((f(*(y + signed * e for y, e in zip(ys, d, strict=True))) - fy) / signed, h)

    quotients, hs = backend.scan(moved, fy[..., :1, :1] * 0, 8 * by.count)[1]
    sides = xp.reshape(quotients, (by.count, 4, 2, *fy.shape))
    noise = 12 * eps * xp.abs(fy)[None, None, ...] / xp.reshape(hs, (by.count, 4, 2, *fy.shape))[:, :, 0, ...]
    apart = xp.abs(sides[:, :, 0, ...] - sides[:, :, 1, ...])
    is_smooth = (apart[:, 1::2, ...] <= apart[:, ::2, ...] / 2 + noise[:, 1::2, ...]) & (apart[:, ::2, ...] < xp.inf)
    is_finite = xp.isfinite(sides[:, ::2, ...])
    ahead, behind = sides[:, ::2, 0, ...], sides[:, ::2, 1, ...]
    one, other = xp.where(is_finite[:, :, 0, ...], ahead, behind), xp.where(is_finite[:, :, 1, ...], behind, ahead)
    slopes = one / 2 + other / 2
    wide = is_smooth[:, 0, ...]
    found = xp.where(wide, slopes[:, 0, ...], slopes[:, 1, ...])
    if strict:
        is_sharp = noise[:, 2, ...] <= LOST * xp.abs(slopes[:, 1, ...])
        found = xp.where(wide | (is_smooth[:, 1, ...] & is_sharp), found, xp.nan)
    return found
