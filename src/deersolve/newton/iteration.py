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
from .measures import BACKWARD, ROUNDOFF, Judged, eps_of, judge, needs_search, terms
from .steps.base import Correct, Here, Step
from .steps.full import FULL

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

    def at_rest(self, found: Judged, stands: Array) -> Array:
        """Return whether a correction is small enough to stop, or certifies where it ``stands`` still."""
        stop, certifies = self.tolerances(found.eps)
        return found.is_within(stop) | (found.is_within(certifies) & stands)

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
    def at_roundoff(self) -> Array:
        """Whether the residual certifies y."""
        return self.residual <= BACKWARD * eps_of(self.y)

    def updated(self, who: Array, **values: Array) -> Iterate:
        """Return the iterate with new values for the elements in ``who``."""
        xp = array_namespace(self.y)

        def flags(rank: int) -> Array:
            return who if rank == who.ndim else who[(..., *(None,) * (rank - who.ndim))]

        old = {name: getattr(self, name) for name in values}
        new = {name: xp.where(flags(old[name].ndim), value, old[name]) for name, value in values.items()}
        return dataclasses.replace(self, **new)

    def taking(self, who: Array, other: Iterate, *names: str) -> Iterate:
        """Return the iterate with what another knows of the elements in ``who``."""
        return self.updated(who, **{name: getattr(other, name) for name in names})

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
    """Judge the iterate by its own residual and correction; move the elements that need it, and finish them."""
    xp = array_namespace(it.y)
    at = system.linearise(it.y, options.structure)
    size = terms(system, it.y, at, options.structure)
    correct = corrector(system, at.Gs, it.y)
    seeks = partial(needs_search, system, it.active, size)
    r, delta, damping = options.step(Here(system, it.y, at, it.damping, seeks, correct))
    found = judge(system, it.y, size, r, delta, options.atol)
    is_last = it.steps >= options.limit
    stands = xp.where(it.steps > 0, found.error > it.error / 2, is_last)  # a y that is only judged has no step before
    at_roundoff = found.at_roundoff & found.finite
    at_rest = at_roundoff if system.rule.is_inexact and options.rtol is None else options.at_rest(found, stands)
    done = (found.improves_no_more | at_rest) & found.finite
    moves = it.active & ~done & found.finite & ~is_last
    continues, sure = on_branch(system, at, it.active & (done | (found.error <= NEAR)), options.structure)
    is_certified = (at_roundoff | (at_rest & found.finite & options.is_plain)) & continues
    known = {
        "certified": is_certified,
        "broken": ~found.finite,
        "strayed": ~continues,
        "sure": sure,
        "damping": damping,
    }
    moved = dataclasses.replace(move(system, it, found, it.active, moves, **known), active=moves)
    if options.patience is not None:
        stops = it.active & ~moves & ~is_certified
        reached = system.backend.when(stops, lambda _: reach(system, at, found, options), it.reached)
        moved = dataclasses.replace(moved, reached=reached)
    if size is None or not (options.reuse and options.is_plain and system.rule.exact):
        return moved
    near = moves & continues & (found.error <= NEAR) & is_near(found, (found.error / it.error) ** 2, options)
    return by_chords(system, moved, near, at.Gs, correct, options)


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


def reach(system: System, at: Linearised, found: Judged, options: Options) -> Reached:
    """Return how far from the first point on each point satisfies the certificate: those points stand by themselves."""
    y, xp = found.y, array_namespace(found.y)
    here = dataclasses.replace(found, largest=partial(system.over_points, xp.max))
    tol = (options.rtol or 0.0) if system.rule.knows_size else options.tolerances(found.eps)[1]
    # Where neighbours part, the correction overflows in the end; a residual speaks for itself.
    holds = here.at_roundoff | ((here.beyond <= tol) & options.is_plain & xp.isfinite(here.error))
    branch = points_on_branch(system, at)
    holds = holds if branch is None else holds & branch[0] & (options.structure is Dense)
    T = y.shape[system.grid.axis]
    number = system.over_points(xp.max, system.numbers(T))
    points = xp.min(xp.where(holds, T, number), axis=-1)

    def worst(values: Array) -> Array:
        return xp.max(xp.where(number < points[..., None], values, -xp.inf), axis=-1)

    return Reached(points, worst(here.error), worst(here.residual))


def corrector(system: System, Gs: tuple[Structure, ...], like: Array) -> Correct:
    """Return the residual and the correction as a function of ``(y, ys, fy)``; what depends on G alone is done once."""
    if not system.rule.exact or system.rule.offers("correction"):
        return partial(system.correction, Gs)
    solve = system.solver(Gs, like)

    def correct(y: Array, ys: tuple[Array, ...], fy: Array) -> tuple[Array, Array]:
        r = system.residual(y, fy)
        return r, solve(r)

    return correct


def by_chords(
    system: System, it: Iterate, near: Array, Gs: tuple[Structure, ...], correct: Correct, options: Options
) -> Iterate:
    """Finish with the last G, by f alone, where that is a few cheap steps from roundoff: the chord method.

    With e_k = C e_{k-1}^2 for the corrections, each step with the same G leaves rho = C e_k = (e_k / e_{k-1})^2 of
    the one before it; from the first on, rho is what was seen. Elements that are not near wait. An element is done
    here only if its residual, of f evaluated afresh, certifies it; what is not goes back to full steps.
    """
    xp = array_namespace(it.y)

    def unfinished(state: tuple[Iterate, Array]) -> Array:
        return xp.any(state[1])

    def chord(state: tuple[Iterate, Array]) -> tuple[Iterate, Array]:
        now, near = state
        ys = system.shifted(now.y)
        fy = system.f(*ys)
        r, delta = correct(now.y, ys, fy)
        found = judge(system, now.y, terms(system, now.y, Linearised(ys, fy, Gs)), r, delta, options.atol)
        stands = found.error > now.error / 2
        at_rest = options.at_rest(found, stands)
        done = found.improves_no_more | (at_rest & found.at_roundoff)
        finished = near & done & found.finite
        stays = at_rest & stands  # a full step may tell more
        moves = near & ~(done | stays) & found.finite & (now.steps < options.limit)
        moved = move(system, now, found, near, moves)
        after = dataclasses.replace(moved, active=now.active & ~finished, certified=now.certified | finished)
        return after, moves & is_near(found, found.error / now.error, options)

    last: tuple[Iterate, Array] = system.backend.while_loop(unfinished, chord, (it, near))
    return last[0]


def is_near(found: Judged, rho: Array, options: Options) -> Array:
    """Return whether so many steps of this rate are enough."""
    return found.error * rho**options.reuse <= options.tolerances(found.eps)[0]


def move(system: System, it: Iterate, found: Judged, seen: Array, moves: Array, **known: Array) -> Iterate:
    """Write down what was found and is known of the elements in ``seen``, and correct those in ``moves``."""
    xp = array_namespace(it.y)
    hears = listener()
    if hears is not None and system.backend.is_concrete(found.error):
        hears(int(xp.max(it.steps)), float(xp.max(xp.where(seen, found.error, -xp.inf))))
    places = xp.arange(it.history.shape[-1], device=system.backend.placement(it.y))
    column = padded(places, system.n_batch + 1) == it.steps[..., None]
    return dataclasses.replace(
        it.updated(seen, error=found.error, residual=found.residual, **known),
        y=xp.where(system.per_element(moves), it.y + found.delta, it.y),
        steps=it.steps + xp.astype(moves, it.steps.dtype),
        history=xp.where(seen[..., None] & column, found.error[..., None], it.history),
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
