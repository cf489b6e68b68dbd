"""What must hold besides a small correction: rules and derivatives of f have to be what they claim to be."""

from __future__ import annotations

from functools import partial, reduce
from operator import add

from .blockwise import Blockwise
from .inverses import PaperForm, Rule
from .newton import BACKWARD, NEAR, ROUNDOFF, Iterate, newton_step, scale_of, tiny
from .structure import Dense
from .system import System
from .typing import Array, array_namespace


def slopes_hold(system: System, it: Iterate) -> Array:
    """Return, for each batch element, whether it is solved to roundoff or df is what f changes by.

    A correction bounds an error only if its Jacobian is that of f. Of ``floor`` and its kin it is not: the derivative
    is zero wherever it exists, and at |y| >> 1 the slope is one.
    """
    xp, eps = array_namespace(it.y), float(array_namespace(it.y).finfo(it.y.dtype).eps)
    doubtful = it.certified & ~(it.residual <= BACKWARD * eps)

    def look(_: Array) -> Array:
        if system.block is None:
            off = _off_slope(system, it.y)
        else:
            off = Blockwise(system, it.y).rows(lambda part: _off_slope(part, part.data.guess))
        return system.over_grid(xp.max, off) <= 1

    holds: Array = system.backend.when(doubtful, look, doubtful | True)
    return holds | ~doubtful


def _off_slope(system: System, y: Array) -> Array:
    """Return ``|f(y + v) - f(y) - df v|`` for one v of the size sqrt(eps) |y|, in units of what it may be."""
    xp, ys, eps = array_namespace(y), system.shifted(y), float(array_namespace(y).finfo(y.dtype).eps)
    place = xp.arange(y.shape[-1], dtype=y.dtype, device=system.backend.placement(y))
    weights = eps**0.5 * (1 - place / (2 * y.shape[-1]))[(*(None for _ in y.shape[:-1]), slice(None))]
    moved = tuple(y_p + weights * xp.max(xp.abs(y_p), axis=-1, keepdims=True) for y_p in ys)
    vs = tuple(after - before for after, before in zip(moved, ys, strict=True))
    fy, fv = system.f(*ys), system.f(*moved)
    if "jac" in system.functions:
        change = _by_matrices(system, ys, vs)
    else:
        change = system.backend.pushforward(system.f, list(ys), [v[None, ...] for v in vs])[0, ...]
        change = system.backend.when(~xp.isfinite(xp.sum(change)), lambda _: _by_matrices(system, ys, vs), change)
    largest = partial(xp.max, axis=-1, keepdims=True)
    size = largest(xp.abs(fv - fy) + xp.abs(change) + reduce(add, map(xp.abs, vs)))
    allowed = eps**0.25 * size + BACKWARD * eps * largest(xp.abs(fy) + xp.abs(fv))
    return largest(xp.abs(fv - fy - change)) / xp.where(allowed > 0, allowed, tiny(y))


def _by_matrices(system: System, ys: tuple[Array, ...], vs: tuple[Array, ...]) -> Array:
    return reduce(add, (J @ v for J, v in zip(system.jacobians(ys)[1], vs, strict=True)))


def determined(system: System, it: Iterate) -> Array:
    """Return, for each batch element, whether a residual at roundoff says what y is.

    In space alone it need not. Where f saturates and no value is given at an end, every u that is large enough
    satisfies the equation to the roundoff of its differences, in which f is lost. Where it may be lost, the linearised
    equation tells how far a residual at roundoff moves u: not by more than u itself. (A march goes on from a start,
    which holds it.)
    """
    xp, rule, y = array_namespace(it.y), system.rule, it.y
    if not hasattr(system.data.grid, "flow"):
        return it.certified | True
    where = {"grid": system.data.grid, "boundary": system.data.boundary}
    eps, zero = float(xp.finfo(y.dtype).eps), 0 * y
    fy = system.f(*system.shifted(y))
    terms = system.over_grid(xp.max, rule.magnitude(zero, xp.abs(fy), **where) - rule.magnitude(zero, zero, **where))
    size = rule.magnitude(xp.abs(y), xp.abs(fy), **where)
    doubtful = it.certified & (NEAR * terms <= BACKWARD * eps * system.over_grid(xp.max, size))

    def look(_: Array) -> Array:
        open_ = rule.solve(tuple(-J for J in system.linearise(y).Js), ROUNDOFF * eps * size, **where)
        return system.over_grid(xp.max, xp.abs(open_) / scale_of(y, size)) <= 1

    holds: Array = system.backend.when(doubtful, look, doubtful | True)
    return holds | ~doubtful


def has_one_solution(system: System, it: Iterate) -> Array:
    """Return, for each batch element, whether the linearised equation at y has one solution, as far as is known.

    A rule that can tell says so, be y certified or not: the residual has no part in it, as it has in
    :func:`determined`. Where G is not finite nothing is known, and another status speaks.
    """
    if type(system.rule).determines is Rule.determines:
        return it.certified | True
    xp, at, data = array_namespace(it.y), system.linearise(it.y), system.data
    sizes = [system.over_grid(xp.max, abs(J) @ xp.ones_like(y_p)) for J, y_p in zip(at.Js, at.ys, strict=True)]
    found = system.rule.determines(tuple(-J for J in at.Js), it.y, grid=data.grid, boundary=data.boundary)
    return found | ~xp.isfinite(reduce(add, sizes))


def rule_holds(system: System, y: Array) -> Array:
    """Return, for each batch element, whether the rule did at y what it claims.

    A rule with a residual: the residual is affine in (y, f), so that after a step delta with
    f + sum_p J_p S_p delta in the place of f it must vanish. The paper's callable: y is its fixed point
    for every G, so that half of G must give the same y.
    """
    xp = array_namespace(y)
    at, r, delta = newton_step(system, y, Dense)
    rule, data = system.rule, system.data
    if isinstance(rule, PaperForm):
        half = tuple(-J.map(lambda v: v / 2) for J in at.Js)
        rhs = at.fy
        for G, y_p in zip(half, at.ys, strict=True):
            rhs = rhs + (G @ y_p)
        off = xp.abs(rule.inverse(half, rhs, data) - y)
        tol = 1e2 * float(xp.finfo(y.dtype).eps) ** (2 / 3)
        return system.over_grid(xp.max, off) <= tol * system.over_grid(xp.max, xp.abs(y))
    moved = at.fy
    for J, before, after in zip(at.Js, at.ys, system.shifted(y + delta), strict=True):
        moved = moved + (J @ (after - before))
    extra = {} if rule.exact else {"Gs": tuple(-J for J in at.Js)}
    left = rule.residual(y + delta, moved, grid=data.grid, boundary=data.boundary, **extra)
    noise = 64 * float(xp.finfo(y.dtype).eps) * system.over_grid(xp.max, xp.abs(y) + xp.abs(at.fy))
    return system.over_grid(xp.max, xp.abs(left)) <= 0.1 * system.over_grid(xp.max, xp.abs(r)) + noise
