"""What a rule that is not built in did at the returned y, against what it claims."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce
from operator import add
from typing import Any

from ...backends.namespace import Array, array_namespace
from ...backends.trees import record
from ...linalg.structure import Structure
from ..equation import System
from ..implicit import Linear, inverse_at, linearisation
from ..measures import least

PHASES = (1.618033988749895, 1.465571231876768, 1.324717957244746, 1.220744084605760)
"""Of waves, times the square of the place; roots of polynomials of which no two are commensurable."""
LEFT = 1e2  # times eps^(2/3): what half of G may move y by
PERIOD = 10_007  # numbers of a wave, a prime
TOO_LARGE = 1e3  # times the root mean square of its terms: more than a sum of absolute values ever is


@record
class RuleErrors:
    """How far a rule of one's own is off at y, each of shape (*B,); NaN where that cannot be told.

    Attributes
    ----------
    solve : array
        ``A solve(v) - v`` of a vector v without a pattern, relative to the size of the terms of each row, where
        ``A = L + M sum_p G_p S_p`` is taken from residual and shifters.
    transpose : array
        ``<u, solve(v)> - <transpose(u), v>`` relative to the sum of the absolute terms; 0 without a transpose.
    magnitude : array
        By how many times it is larger than the terms of the residual, the root mean square of a row.
    half : array
        Of the paper's callable ``(Gs, rhs) -> y``: what half of G changes of y, relative to its largest.
    growth : array
        How many times as large as v the largest number of solve(v) is: a sign of a singular equation, no error.
    """

    solve: Array
    transpose: Array
    magnitude: Array
    half: Array
    growth: Array

    def hold(self, eps: float) -> Array:
        """Return whether nothing is wrong, as far as can be told."""
        tol = eps ** (1 / 3)
        off = (self.solve > tol) | (self.transpose > tol) | (self.magnitude > TOO_LARGE)
        return ~off & (self.half <= LEFT * tol**2)

    def worst(self, eps: float, highest: Any) -> str:
        """Return in words what is wrong, given the largest number of an array that is known."""
        tol, told = eps ** (1 / 3), []
        if (off := highest(self.solve)) > tol:
            told.append(f"solve() of a random right-hand side is off by {off:.1e} of its terms")
        if (off := highest(self.transpose)) > tol:
            told.append(f"transpose() is off by {off:.1e} from that of solve()")
        if (off := highest(self.magnitude)) > TOO_LARGE:
            told.append(f"magnitude() is {off:.0e} times the terms of residual(), so that it certifies too early")
        if (off := highest(self.half)) > LEFT * tol**2:
            told.append(f"half of G moves y by {off:.1e} of its largest: L_G^{{-1}} has to use all of G")
        return "; ".join(told)


def rule_errors(system: System, y: Array) -> RuleErrors:
    """Return how far the rule is off at y, by one solve and, where there is one, one transposed solve."""
    xp, nothing = array_namespace(y), 0 * system.over_grid(array_namespace(y).max, y)
    if not system.rule.has_residual:
        return RuleErrors(nothing, nothing, nothing, _off_callable(system, y), nothing)
    peaks, waves = system.peaks(y), [wave(system, y, k) for k in range(len(PHASES))]
    v, u = (xp.where(peaks > 0, peaks, 1.0) * a for a in waves[:2])
    inverse, fy, change_of, Gs = _linear(system, y)
    d = inverse.solve(v)
    most = system.over_grid(xp.max, xp.abs(d))
    growth = most / system.over_grid(xp.max, xp.abs(v))
    ratio = system.over_grid(xp.max, xp.abs(y)) / xp.where((most > 0) & xp.isfinite(most), most, 1.0)
    by = system.per_element(xp.where(ratio > 0, ratio, 1.0))  # as large as y: no digits are lost beside it
    v, d = by * v, by * d
    df = change_of(d)
    Ad = system.residual(y, fy, Gs) - system.residual(y + d, fy + df, Gs)
    size, away = xp.abs(v), (xp.abs(d), xp.abs(df))
    size = size + (system.magnitude(*away) if system.rule.knows_size else xp.max(sum(away), axis=-1, keepdims=True))
    off = system.over_grid(xp.max, xp.abs(Ad - v) / xp.where(size > 0, size, 1.0))
    if system.rule.is_loop:
        off = xp.maximum(off, _off_loop(system, y, fy))
    turned = _off_transpose(system, inverse, u, d, v) if system.rule.has_transpose else nothing
    large = _off_magnitude(system, y, fy, Gs, waves) if system.rule.knows_size else nothing
    return RuleErrors(off, turned, large, nothing, growth)


def _linear(system: System, y: Array) -> tuple[Linear, Array, Callable[[Array], Array], tuple[Structure, ...]]:
    """Return the linear solves at y, f there, and ``d -> sum_p J_p S_p d``; G too where it is held as a whole."""
    if system.block is not None:
        ys = system.shifted(y)

        def along(d: Array) -> Array:
            moved = [(after - before)[None, ...] for after, before in zip(system.shifted(y + d), ys, strict=True)]
            return system.backend.pushforward(system.f, [*ys], moved)[0, ...]

        return linearisation(system, y), system.f(*ys), along, ()
    at = system.linearise(y)

    def by_G(d: Array) -> Array:
        pairs = zip(at.Gs, system.shifted(y + d), at.ys, strict=True)
        return reduce(add, (-(G @ (after - before)) for G, after, before in pairs))

    return inverse_at(system, at), at.fy, by_G, at.Gs


def _off_transpose(system: System, inverse: Linear, u: Array, d: Array, v: Array) -> Array:
    """Return ``<u, solve(v)> - <transpose(u), v>``, d = solve(v), relative to the sum of the absolute terms."""
    xp = array_namespace(v)
    forward, reverse = u * d, inverse.transpose(u) * v
    size = system.over_grid(xp.sum, xp.abs(forward) + xp.abs(reverse))
    return xp.abs(system.over_grid(xp.sum, forward) - system.over_grid(xp.sum, reverse)) / xp.where(size > 0, size, 1.0)


def _off_magnitude(system: System, y: Array, fy: Array, Gs: tuple[Structure, ...], waves: list[Array]) -> Array:
    """Return the largest ``magnitude(|y|, |f|)`` of a row in units of the root mean square of its terms.

    A sum of m terms of any signs is as large as its root mean square says, and the sum of their absolute values at most
    sqrt(m) times that.
    """
    xp, zero = array_namespace(y), 0 * y
    given = system.residual(zero, zero, Gs)
    pairs = zip(waves, [*waves[1:], waves[0]], strict=True)
    rows = [system.residual(a * y, b * fy, Gs) - given for a, b in pairs]
    terms = xp.abs(given) + reduce(add, (r * r for r in rows)) ** 0.5
    size = system.grid.kept(system.magnitude(xp.abs(y), xp.abs(fy)))
    limits = xp.finfo(y.dtype)
    ratio = size / xp.where(terms > 0, terms, float(limits.smallest_normal))
    seen = size > float(limits.smallest_normal) / float(limits.eps)  # products of smaller ones underflow
    return system.over_grid(xp.max, xp.where(seen, ratio, 0.0))


def _off_loop(system: System, y: Array, fy: Array) -> Array:
    """Return by how much the residual is another than that of ``y_i = f``."""
    xp = array_namespace(y)
    off = xp.abs(system.residual(y, fy) - system.grid.kept(fy - y)) / (xp.abs(fy) + xp.abs(y) + least(y))
    return system.over_grid(xp.max, off)


def _off_callable(system: System, y: Array) -> Array:
    """Return how much the paper's ``L_G^{-1}`` moves y with half of G: y is its fixed point for every G."""
    xp, at = array_namespace(y), system.linearise(y)
    half = tuple(G.map(lambda v: v / 2) for G in at.Gs)
    off = xp.abs(system.rule.correction(half, y, at.ys, at.fy, system.data)[1])
    return system.over_grid(xp.max, off) / (system.over_grid(xp.max, xp.abs(y)) + least(y))


def wave(system: System, like: Array, k: int) -> Array:
    """Return numbers between -1 and 1 without a pattern, the k-th such, of the shape of y."""
    xp, shape = array_namespace(like), (*(1 for _ in range(system.n_batch)), *like.shape[system.n_batch :])
    count, where = math.prod(shape), system.backend.placement(like)
    place = xp.astype(xp.arange(min(count, PERIOD), device=where), like.dtype)
    once = xp.sin(1.0 + k + PHASES[k] * place * place)
    whole = once if count <= PERIOD else xp.take(once, xp.arange(count, device=where) % PERIOD)
    return xp.reshape(whole, shape) + xp.zeros_like(like)
