"""The root of an implicit rule that continues from the y before it: it is followed while the interval grows.

With s D in the place of D that root is y_i at s = 0, and a continuous function of s until it ends in a fold, where
det(I + theta s D G) = 0. It is followed to s = 1, for every interval by itself and for all of them at once.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from ...backends import backend_of
from ...backends.namespace import Array, array_namespace
from ...backends.trees import record
from ...linalg.matrix_sign import in_right_half_plane
from ...linalg.structure import identity
from ..equation import Linearised, System
from ..iterate import Iterate, Options, Reached, start_at
from ..iteration import newton
from ..measures import eps_of, scale_of

CURVED = 0.5  # the part of the way from y_i to y_{i+1} that Newton's method with the last Jacobian may miss
PARTS = 4  # of the way from y_{i+1} back to y_i, at the ends of which the slopes of f are looked at
CONTRACTION = 0.25  # of Newton's corrections, from which on they are taken to stay on a branch
FINEST = 2.0**-12  # the fraction of the way so far below which the branch is taken to end in a fold
START = 2.0**-30  # the same of the whole way, at its start: what is stiff leaves y_i at once
ROUNDS = 400  # evaluations of f on the way
PATIENCE = 12  # Newton steps after which a shorter way is cheaper
ENOUGH = 50  # Newton steps in which a root of one interval is found, if there is one


def newton_on_branch(system: System, start: Iterate, options: Options) -> Iterate:
    """Iterate; of an element with a root that does not continue from the y before it, the points before are solved.

    So are those of an element that is not solved as a whole.
    """
    it = newton(system, start, options)
    if system.rule.theta is None:
        return it

    def look(it: Iterate) -> Iterate:
        xp, T = array_namespace(it.y), it.y.shape[system.grid.axis]
        holds, number = continues(system, it.y), system.over_points(array_namespace(it.y).max, system.numbers(T))
        first = xp.min(xp.where(holds, T, number), axis=-1)
        strays = it.certified & (first < T)
        parts = (first, it.error, it.residual)
        known = (it.reached.points, it.reached.error, it.reached.residual)
        points, *rest = (xp.where(strays, xp.astype(a, b.dtype), b) for a, b in zip(parts, known, strict=True))
        reached = Reached(xp.minimum(points, xp.astype(first, points.dtype)), *rest)
        return dataclasses.replace(it, certified=it.certified & ~strays, strayed=it.strayed | strays, reached=reached)

    last: Iterate = system.backend.rarely((it.certified | (it.reached.points > 1)) & ~it.sure, look, it)
    return last


def is_one_interval(stretch: System) -> bool:
    """Return whether a window cannot be shorter, and is of a differential equation."""
    return bool(stretch.grid.overlap and stretch.grid.length == 1)


def one_interval(stretch: System, options: Options, alive: Array) -> Iterate:
    """Solve a window of one interval; where Newton's method fails, the root is followed from y_0 to its end."""
    it = newton_on_branch(stretch, start_at(stretch, stretch.data.guess, options, active=alive), options)
    seeks = alive & ~it.certified
    if not stretch.backend.is_concrete(seeks):
        return lost(stretch, it, options)
    if not bool(array_namespace(it.y).any(seeks)):
        return it
    few = dataclasses.replace(options, patience=min(PATIENCE, options.max_steps))
    if stretch.rule.theta is None:
        last, found = _stepped(stretch, seeks, few)
    else:
        root, arrives = followed(stretch, stretch.data.boundary.y0 + 0 * it.y)
        found = seeks & stretch.over_grid(array_namespace(it.y).all, arrives)
        last = newton_on_branch(stretch, start_at(stretch, root, few, active=found), few)
    names = ("y", "certified", "broken", "strayed", "belied", "error", "residual")
    return lost(stretch, it.taking(found & last.certified, last, *names), options)


def lost(system: System, it: Iterate, options: Options) -> Iterate:
    """Return the iterate of one interval, for the case that it is the last: many steps have found no root."""
    if not system.grid.overlap or options.max_steps < ENOUGH:
        return it
    return dataclasses.replace(it, strayed=it.strayed | ~it.broken)


def _stepped(stretch: System, seeks: Array, options: Options) -> tuple[Iterate, Array]:
    """Return the root at s = 1 by Newton's method on the whole interval, and of which elements; any rule will do.

    s grows by steps that Newton's method can take from the root before.
    """
    grid, y = stretch.data.grid, stretch.data.boundary.y0 + 0 * stretch.data.guess
    s, step, last = 0.0, 0.25, start_at(stretch, y, options)
    while s < 1.0 and bool(array_namespace(y).any(seeks)):
        ahead = min(s + step, 1.0)
        scaled = dataclasses.replace(stretch.data, grid=dataclasses.replace(grid, D=grid.D * ahead))
        system = dataclasses.replace(stretch, data=scaled)
        last = newton_on_branch(system, start_at(system, y, options, active=seeks), options)
        if not bool(array_namespace(y).any(seeks & ~last.certified)):
            y, s, step = last.y, ahead, 2 * step
        elif step > FINEST:
            step = step / 2
        else:
            seeks = seeks & last.certified
    return last, seeks


def continues(system: System, y: Array) -> Array:
    """Return at which points y is the root that continues from the y before it, (*B, T).

    What a root cannot be without: every eigenvalue of M = I - theta D J has a positive real part, as at D = 0. That is
    enough where f is nearly linear between y_i and y_{i+1}, so that

        M^{-1} theta D (f(y_{i+1}) - f(y_i) - J (y_{i+1} - y_i))

    is small beside the way from one to the other, and M stays such on it. Else the root is followed.
    """
    xp, theta, D, before = array_namespace(y), system.rule.theta, _lengths(system), _before(y)
    assert theta is not None
    way, f_before, shape = y - before, system.f(before), (*y.shape, y.shape[-1])

    def nearer(known: tuple[Array, Array, Array, Array], k: Any) -> tuple[Any, Array]:
        stays, holds, _, _ = known
        at = system.linearise(y - (PARTS - k) * way / PARTS)  # the last is y_{i+1}
        M = xp.broadcast_to(_implicit(at, theta * D), shape)
        rest = at.fy - f_before + (at.Gs[0] @ way)
        holds, stays = in_right_half_plane(M), stays & holds
        return (stays, holds, M, rest), holds

    yes = way[..., 0] == way[..., 0]
    first = yes | True, yes | True, xp.zeros(shape, dtype=y.dtype, device=system.backend.placement(y)), way
    (stays, holds, M, rest), _ = system.backend.scan(nearer, first, PARTS + 1)
    missed = _solved(M, theta * D * rest)
    scale = scale_of(system, y, xp.abs(y) + xp.abs(before))
    far, off = (xp.max(xp.abs(v) / scale, axis=-1) for v in (way, missed))
    doubtful = holds & ~(stays & (off <= CURVED * far))

    def look(_: Array) -> Array:
        root, arrives = followed(system, y)
        off = xp.max(xp.abs(root - y) / scale, axis=-1)
        return arrives & (off <= eps_of(y) ** (1 / 3))

    found: Array = system.backend.rarely(doubtful, look, doubtful | True)
    return holds & (found | ~doubtful)


@record
class Path:
    """Where each interval's branch has come to: a root at s, d root / d s, a trial at s + step, its last correction."""

    root: Array
    tangent: Array
    s: Array
    step: Array
    trial: Array
    error: Array
    rounds: Array


def followed(system: System, y: Array) -> tuple[Array, Array]:
    """Return the root of each interval that continues from the y before it, and whether it was found, (*B, T).

    Steps in s, along the tangent, are accepted where Newton's corrections contract at once and M stays what it is at
    s = 0; they double then, and else are halved.
    """
    xp, theta, D, before = array_namespace(y), system.rule.theta, _lengths(system), _before(y)
    assert theta is not None
    slope = (1 - theta) * _before(system.f(*system.shifted(y)))
    small, where = eps_of(y) ** 0.5, system.backend.placement(y)
    zero = xp.zeros((*y.shape[:-1], 1), dtype=y.dtype, device=where)

    def goes(path: Path) -> Array:
        return (path.s < 1) & (path.step >= xp.maximum(FINEST * path.s, zero + START))

    def unfinished(path: Path) -> Array:
        return xp.any(goes(path)) & (path.rounds < ROUNDS)

    def advance(path: Path) -> Path:
        ahead, going = xp.minimum(path.s + path.step, zero + 1), goes(path)
        at = system.linearise(path.trial)
        M = _implicit(at, ahead * theta * D)
        speed = D * (slope + theta * at.fy)
        delta, tangent = _solved(M, before + ahead * speed - path.trial), _solved(M, speed)
        scale = scale_of(system, path.trial, xp.abs(path.trial) + xp.abs(before))
        error = xp.max(xp.abs(delta) / scale, axis=-1, keepdims=True)
        stays = in_right_half_plane(M)[..., None] & (error < xp.inf)
        arrives = going & stays & (error <= small)
        fails = going & ~arrives & ~(stays & (error <= CONTRACTION * path.error))
        there = path.trial + delta
        root, s = xp.where(arrives, there, path.root), xp.where(arrives, ahead, path.s)
        tangent = xp.where(arrives, tangent, path.tangent)
        step = xp.where(arrives, 2 * path.step, xp.where(fails, path.step / 2, path.step))
        next_trial = root + (xp.minimum(s + step, zero + 1) - s) * tangent
        return Path(
            root=root,
            tangent=tangent,
            s=s,
            step=step,
            trial=xp.where(arrives | fails, next_trial, xp.where(going, there, path.trial)),
            error=xp.where(arrives | fails, xp.inf, error),
            rounds=path.rounds + 1,
        )

    start = Path(before + 0, 0 * before, zero, zero + 1, before + 0, zero + xp.inf, xp.asarray(0, device=where))
    last: Path = system.backend.while_loop(unfinished, advance, start)
    return last.root, last.s[..., 0] >= 1


def _before(a: Array) -> Array:
    """Return the values one point earlier; at the first point its own."""
    return array_namespace(a).concat([a[..., :1, :], a[..., :-1, :]], axis=-2)


def _lengths(system: System) -> Array:
    """Return the interval that ends at each point, (*B, T, 1); 0 at the first."""
    D = system.data.grid.D
    return array_namespace(D).concat([0 * D[..., :1, :], D], axis=-2)


def _implicit(at: Linearised, D: Array) -> Array:
    """Return ``I + D G``."""
    G = at.Gs[0].to_dense()
    return identity(G, G.shape[-1], G.ndim) + D[..., None] * G


def _solved(M: Array, r: Array) -> Any:
    full = array_namespace(r).broadcast_to(M, (*r.shape, r.shape[-1]))
    return backend_of(r).linear_solve(full, r[..., None])[..., 0]
