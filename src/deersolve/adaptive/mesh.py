"""A grid divided anew, so that the errors of all its intervals are alike and as large as is allowed.

An interval of length h whose error is E, in units of what is allowed and of order q, would have an error of SHARE at

    s = h (SHARE / E)^(1 / q),

and a grid of int dt / s intervals, each of which has the same part of that integral, has it everywhere
(equidistribution: U. M. Ascher, R. M. M. Mattheij, R. D. Russell, Numerical Solution of Boundary Value Problems for
Ordinary Differential Equations, SIAM 1995, section 9.2). Nothing here knows which equation is solved.
"""

from __future__ import annotations

from ..backends import backend_of
from ..backends.namespace import Array, array_namespace, joined
from .inputs import linear

SHARE = 0.25  # of what is allowed: the error that an interval is to have
FINER, COARSER = 8.0, 4.0  # times as many intervals, or as few, at most
CUT = 32.0  # the same of an interval without a solution
NEAR = 0.3  # of an interval: a point so near to one that has to be there is moved to it


def lengths(t: Array) -> Array:
    """Return the lengths of the intervals, not signed, (*B, N)."""
    return abs(t[..., 1:] - t[..., :-1])


def wanted(error: Array, t: Array, order: int) -> Array:
    """Return s of every interval, (*B, N).

    Parameters
    ----------
    error : array, shape (*B, N)
        E; infinite where there is no solution. Where it is negative nothing is known, and s is h.
    t : array, shape (*B, N + 1)
        The grid; a time may stand there twice.
    order : int
        q.
    """
    xp, h = array_namespace(error), lengths(t)
    ratio = xp.clip(xp.where(error > 0, error, 0.0) / SHARE, COARSER**-order, FINER**order) ** (1.0 / order)
    ratio = xp.where(error < 0, 1.0, xp.where(xp.isfinite(error), ratio, CUT))
    return h / xp.astype(ratio, h.dtype)


def graded(s: Array, t: Array, longest: Array | None) -> Array:
    """Return ``min_j s_j + |t_i - t_j|`` of the middles, not above ``longest``, infinite where the length is 0.

    So the lengths of neighbours are within a factor of 3.
    """
    xp, h = array_namespace(s), lengths(t)
    s = xp.where(h > 0, s if longest is None else xp.minimum(s, longest + 0 * s), xp.inf)
    none, ways = 0 * h[..., :1], (h[..., 1:] + h[..., :-1]) / 2
    back = _least(xp.flip(s, axis=-1), joined([none, xp.flip(ways, axis=-1)], -1))
    return xp.minimum(_least(s, joined([none, ways], -1)), xp.flip(back, axis=-1))


def _least(s: Array, way: Array) -> Array:
    """Return the least, of all entries up to each one, of the entry and the way from there."""
    xp, far = array_namespace(s), 1
    while far < s.shape[-1]:
        s = xp.minimum(s, joined([xp.full_like(s[..., :far], xp.inf), s[..., :-far] + way[..., far:]], -1))
        way = joined([way[..., :far], way[..., far:] + way[..., :-far]], -1)
        far *= 2
    return s


def needed(s: Array, t: Array) -> Array:
    """Return ``int dt / s``, (*B,)."""
    return array_namespace(s).sum(lengths(t) / s, axis=-1)


def divided(t: Array, s: Array, count: int, stops: Array | None) -> Array:
    """Return a grid of ``count`` intervals and, beside them, every stop twice, (*B, count + 2 S + 1)."""
    xp = array_namespace(t)
    sums = xp.cumulative_sum(lengths(t) / s, axis=-1, include_initial=True)
    shares = xp.arange(1, count, dtype=t.dtype, device=backend_of(t).placement(t)) / count
    inner = linear(sums, t[..., None])(sums[..., -1:] * shares)[..., 0]
    made = joined([t[..., :1], inner, t[..., -1:]], -1)
    return made if stops is None else _with(made, stops)


def _with(t: Array, stops: Array) -> Array:
    """Return a grid with every stop twice: a time for each side."""
    xp, h = array_namespace(t), lengths(t)
    stops = xp.broadcast_to(stops, (*t.shape[:-1], stops.shape[-1]))
    way = xp.abs(t[..., 1:-1, None] - stops[..., None, :])
    nearest = xp.take_along_axis(stops, xp.argmin(way, axis=-1), axis=-1)
    inner = xp.where(xp.min(way, axis=-1) < NEAR * xp.minimum(h[..., 1:], h[..., :-1]), nearest, t[..., 1:-1])
    made = joined([t[..., :1], inner, stops, stops, t[..., -1:]], -1)
    return xp.where(t[..., -1:] < t[..., :1], -xp.sort(-made, axis=-1), xp.sort(made, axis=-1))
