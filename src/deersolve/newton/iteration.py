"""Newton's method on the whole trajectory at once, and the certificate of its result."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

from ..backends.namespace import Array, array_namespace, padded
from ..backends.trees import record, static
from ..linalg.structure import Dense, Structure
from ..solution.status import Status
from ..solution.window import Window
from .equation import Linearised, System
from .listener import listener
from .measures import ROUNDOFF, Judged, judge, magnitudes, needs_search, relative, scale_of, slope_terms
from .steps.base import Correct, Here, Step
from .steps.full import FULL

BACKWARD = 16  # in units of eps: the residual that certifies, summed over the operations inside f
NEAR = 1e-2  # the correction from which on an iterate is near a root
REUSE = 3  # evaluations of f with the last G that cost less than f with its Jacobian


@dataclasses.dataclass(frozen=True)
class Options:
    """When to stop, and the structure of G; ``rtol=None`` means to roundoff."""

    rtol: float | None = None
    atol: float = 0.0
    max_steps: int = 100
    structure: Any = Dense
    step: Step = FULL
    reuse: int = REUSE
    patience: Any = None  # where a prefix is of use: after how many steps to look how far it goes

    def tolerances(self, eps: float) -> tuple[float, float]:
        """Return the tolerance to stop at and the one that certifies."""
        if self.rtol is not None:
            return max(self.rtol, ROUNDOFF * eps), max(self.rtol, ROUNDOFF * eps)
        return ROUNDOFF * eps, eps ** (2 / 3)

    @property
    def limit(self) -> Any:
        """The number of steps after which an element stops; it may differ between elements."""
        return self.max_steps if self.patience is None else self.patience

    @property
    def is_plain(self) -> bool:
        """Whether a step is the full, undamped, dense Newton correction."""
        return self.structure is Dense and self.step == FULL


@record
class Reached:
    """How many points from the first are solved, of an element that is not, and the errors of those points."""

    points: Array
    error: Array
    residual: Array


@record
class Iterate:
    """A trajectory and what is known about it; all but y have the shape of the batch."""

    y: Array
    active: Array
    certified: Array
    broken: Array
    strayed: Array
    sure: Array
    steps: Array
    error: Array
    residual: Array
    history: Array
    reached: Reached
    damping: Array
    windows: tuple[Window, ...] = static(default=())

    @property
    def status(self) -> Array:
        """Return the :class:`Status` of each batch element."""
        xp = array_namespace(self.y)
        lost = xp.where(self.strayed, self.steps * 0 + int(Status.NO_DISCRETE_SOLUTION), int(Status.MAX_STEPS))
        failed = xp.where(self.broken, int(Status.NONFINITE), lost)
        return xp.where(self.certified, int(Status.CONVERGED), failed)


def newton_step(system: System, y: Array, structure: Any) -> tuple[Linearised, Array, Array]:
    """Return the linearisation, the residual and the correction of one step.

        y_next = y + delta,    (L + M sum_p G_p S_p) delta = M f(y) - L y,    G_p = -d f / d y_p,

    which is the paper's y_next = L_G^{-1}[f + sum_p G_p y_p] (arXiv 2309.12252, eq. 5), rearranged.
    """
    at = system.linearise(y, structure)
    r, delta = system.correction(at.Gs, y, at.ys, at.fy)
    return at, r, delta


def newton(system: System, start: Iterate, options: Options) -> Iterate:
    """Iterate as chosen; what that leaves is finished, and so certified, by full dense steps."""
    it = iterate(system, start, options)
    if options.is_plain:
        return it
    dense = dataclasses.replace(options, structure=Dense, step=FULL)
    known = ("certified", "broken", "strayed", "sure", "error", "residual", "reached")
    fresh = start_at(system, it.y, dense, active=start.active & ~it.broken & ~it.certified)
    last = iterate(system, dataclasses.replace(fresh, **{name: getattr(it, name) for name in known}), dense)
    return dataclasses.replace(last, steps=it.steps + last.steps, history=it.history, damping=it.damping)


def iterate(system: System, start: Iterate, options: Options) -> Iterate:
    """Iterate until every batch element is at roundoff, stands still, breaks or runs out of steps."""
    xp = array_namespace(start.y)

    def unfinished(it: Iterate) -> Array:
        return xp.any(it.active)

    last: Iterate = system.backend.while_loop(unfinished, lambda it: advance(system, it, options), start)
    return last


def advance(system: System, it: Iterate, options: Options) -> Iterate:
    """Judge the iterate by its own residual and correction; move the elements that need it, and settle them."""
    xp = array_namespace(it.y)
    at = system.linearise(it.y, options.structure)
    slopes = slope_terms(at, options.structure) if system.rule.knows_size else None
    size = magnitudes(system, it.y, at.fy, slopes)
    correct = corrector(system, at.Gs, it.y)
    seeks = partial(needs_search, system, it.active, size)
    r, delta, damping = options.step(Here(system, it.y, at, it.damping, seeks, correct))
    judged = judge(system, it.y, size, r, delta, options.atol)
    stop, tol = options.tolerances(judged.eps)
    finite, error, is_within = judged.finite, judged.error, judged.is_within
    at_roundoff = (judged.residual <= BACKWARD * judged.eps) & finite
    is_last = it.steps >= options.limit
    stands = xp.where(it.steps > 0, error > it.error / 2, is_last)  # where y is only judged there is no step to compare
    at_rest = is_within(stop) | (is_within(tol) & stands)
    at_rest = at_roundoff if system.rule.is_inexact and options.rtol is None else at_rest
    is_small = at_rest & finite if options.is_plain else at_roundoff
    done = ((judged.residual <= ROUNDOFF * judged.eps) | at_rest) & finite
    moves = it.active & ~done & finite & ~is_last
    continues, sure = on_branch(system, at, it.active & (done | (error <= NEAR)), options.structure)
    is_certified = (at_roundoff | is_small) & continues
    moved = move(system, it, judged, it.active, moves, delta)
    moved = dataclasses.replace(
        moved,
        active=moves,
        certified=xp.where(it.active, is_certified, it.certified),
        broken=xp.where(it.active, ~finite, it.broken),
        strayed=xp.where(it.active, ~continues, it.strayed),
        sure=xp.where(it.active, sure, it.sure),
        damping=xp.where(it.active, damping, it.damping),
    )
    if options.patience is not None:
        stops = it.active & ~moves & ~is_certified
        reached = system.backend.when(stops, lambda _: reach(system, it.y, at, r, delta, options), it.reached)
        moved = dataclasses.replace(moved, reached=reached)
    if slopes is None or not (options.reuse and options.is_plain and system.rule.exact):
        return moved
    near = moves & continues & (error <= NEAR) & is_near(error, (error / it.error) ** 2, options, stop)
    return settle(system, moved, near, at.Gs, correct, options)


def on_branch(system: System, at: Linearised, near: Array, structure: Any) -> tuple[Array, Array]:
    """Return whether each element that is near a root may be near the one that continues from y0, and surely is.

    It may, far from a root. Nothing is known of a simplified G: dense steps will tell.
    """
    if not (system.rule.knows_size and system.rule.offers("continues")):
        return near | True, near | True

    def look(unknown: tuple[Array, Array]) -> tuple[Array, Array]:
        found = points_on_branch(system, at)
        if found is None:
            return near | True, near | True
        if structure is not Dense:
            return ~near, near & False
        may, does = (system.over_grid(array_namespace(near).all, flags) for flags in found)
        return may | ~near, does

    known: tuple[Array, Array] = system.backend.when(near, look, (near | True, near & False))
    return known


def points_on_branch(system: System, at: Linearised) -> tuple[Array, Array] | None:
    """Return the same for each grid point, None where a rule has one root only."""
    return system.rule.continues(at.Gs, at.ys[0], at.fy, **system.where)


def reach(system: System, y: Array, at: Linearised, r: Array, delta: Array, options: Options) -> Reached:
    """Return how far from the first point on each point satisfies the certificate: those points stand by themselves."""
    xp, eps = array_namespace(y), float(array_namespace(y).finfo(y.dtype).eps)
    is_known = system.rule.knows_size
    size = magnitudes(system, y, at.fy, slope_terms(at, options.structure) if is_known else None)
    ratio = r * xp.nan if size is None else relative(r, size)
    residual = system.over_points(xp.max, ratio)
    scale = scale_of(system, y, size)
    error = system.over_points(xp.max, xp.abs(delta) / scale)
    beyond = system.over_points(xp.max, xp.clip(xp.abs(delta) - options.atol, min=0.0) / scale)
    tol = (options.rtol or 0.0) if is_known else options.tolerances(eps)[1]
    # Where neighbours part, the correction overflows in the end; a residual speaks for itself.
    holds = (residual <= BACKWARD * eps) | ((beyond <= tol) & options.is_plain & xp.isfinite(error))
    found = points_on_branch(system, at)
    holds = holds if found is None else holds & found[0] & (options.structure is Dense)
    T = y.shape[system.grid.axis]
    number = system.over_points(xp.max, system.numbers(T))
    points = xp.min(xp.where(holds, T, number), axis=-1)

    def worst(values: Array) -> Array:
        return xp.max(xp.where(number < points[..., None], values, -xp.inf), axis=-1)

    return Reached(points, worst(error), worst(residual))


def corrector(system: System, Gs: tuple[Structure, ...], like: Array) -> Correct:
    """Return the residual and the correction as a function of ``(y, ys, fy)``; what depends on G alone is done once."""
    if not system.rule.exact or system.rule.offers("correction"):
        return partial(system.correction, Gs)
    solve = system.solver(Gs, like)

    def correct(y: Array, ys: tuple[Array, ...], fy: Array) -> tuple[Array, Array]:
        r = system.residual(y, fy)
        return r, solve(r)

    return correct


def settle(
    system: System, it: Iterate, near: Array, Gs: tuple[Structure, ...], correct: Correct, options: Options
) -> Iterate:
    """Finish with the last G, by f alone, where that is a few cheap steps from roundoff: the chord method.

    With e_k = C e_{k-1}^2 for the corrections, each step with the same G leaves rho = C e_k = (e_k / e_{k-1})^2 of
    the one before it; from the first on, rho is what was seen. Elements that are not near wait. An element is done
    here only if its residual, of f evaluated afresh, certifies it; what is not goes back to full steps.
    """
    xp = array_namespace(it.y)
    stop, tol = options.tolerances(eps := float(xp.finfo(it.y.dtype).eps))

    def unfinished(state: tuple[Iterate, Array]) -> Array:
        return xp.any(state[1])

    def chord(state: tuple[Iterate, Array]) -> tuple[Iterate, Array]:
        now, near = state
        ys = system.shifted(now.y)
        fy = system.f(*ys)
        r, delta = correct(now.y, ys, fy)
        size = magnitudes(system, now.y, fy, slope_terms(Linearised(ys, fy, Gs)))
        judged = judge(system, now.y, size, r, delta, options.atol)
        at_rest = judged.is_within(stop) | (judged.is_within(tol) & (judged.error > now.error / 2))
        done = (judged.residual <= ROUNDOFF * eps) | (at_rest & (judged.residual <= BACKWARD * eps))
        settled = near & done & judged.finite
        stays = at_rest & (judged.error > now.error / 2)  # a full step may tell more
        moves = near & ~(done | stays) & judged.finite & (now.steps < options.limit)
        moved = move(system, now, judged, near, moves, delta)
        after = dataclasses.replace(moved, active=now.active & ~settled, certified=now.certified | settled)
        return after, moves & is_near(judged.error, judged.error / now.error, options, stop)

    last: tuple[Iterate, Array] = system.backend.while_loop(unfinished, chord, (it, near))
    return last[0]


def is_near(error: Array, rho: Array, options: Options, stop: float) -> Array:
    """Return whether so many steps of this rate are enough."""
    return error * rho**options.reuse <= stop


def move(system: System, it: Iterate, judged: Judged, seen: Array, moves: Array, delta: Array) -> Iterate:
    """Write down what was measured of the elements in ``seen``, and add delta to those in ``moves``."""
    xp = array_namespace(it.y)
    hears = listener()
    if hears is not None and system.backend.is_concrete(judged.error):
        hears(int(xp.max(it.steps)), float(xp.max(xp.where(seen, judged.error, -xp.inf))))
    places = xp.arange(it.history.shape[-1], device=system.backend.placement(it.y))
    column = padded(places, system.n_batch + 1) == it.steps[..., None]
    return dataclasses.replace(
        it,
        y=xp.where(system.per_element(moves), it.y + delta, it.y),
        steps=it.steps + xp.astype(moves, it.steps.dtype),
        error=xp.where(seen, judged.error, it.error),
        residual=xp.where(seen, judged.residual, it.residual),
        history=xp.where(seen[..., None] & column, judged.error[..., None], it.history),
    )


def start_at(system: System, y: Array, options: Options, active: Array | None = None) -> Iterate:
    """Return the first iterate: nothing is known about y."""
    xp, where = array_namespace(y), system.backend.placement(y)
    batch = tuple(y.shape[: system.n_batch])
    unknown = xp.full(batch, xp.nan, dtype=y.dtype, device=where)
    no = xp.zeros(batch, dtype=xp.bool, device=where)
    return Iterate(
        y=y,
        active=~no if active is None else active,
        certified=no,
        broken=no,
        strayed=no,
        sure=no,
        steps=xp.zeros(batch, dtype=xp.int32, device=where),
        error=unknown,
        residual=unknown,
        history=xp.full((*batch, options.max_steps + 1), xp.nan, dtype=y.dtype, device=where),
        reached=Reached(xp.zeros(batch, dtype=xp.int32, device=where), unknown, unknown),
        damping=xp.full(batch, options.step.damping, dtype=y.dtype, device=where),
    )
