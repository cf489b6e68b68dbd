"""Newton's method on the whole trajectory at once, and the certificate of its result."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import reduce
from operator import add
from typing import Any

from .inverses import PaperForm, Rule
from .record import record
from .solution import Status
from .structure import Dense, Structure
from .system import Linearised, System
from .typing import Array, array_namespace

ROUNDOFF = 2  # in units of eps: a correction or a residual this small cannot be improved
BACKWARD = 16  # in units of eps: the residual that certifies, summed over the operations inside f
SETTLING = 2  # evaluations of f with the last G before a new one is worth its price


@dataclasses.dataclass(frozen=True)
class Options:
    """When to stop, and the structure of G; ``rtol=None`` means to roundoff."""

    rtol: float | None = None
    atol: float = 0.0
    max_steps: int = 100
    structure: Any = Dense
    relaxation: float = 1.0

    def tolerances(self, eps: float) -> tuple[float, float]:
        """Return the tolerance to stop at and the one that certifies."""
        if self.rtol is not None:
            return max(self.rtol, ROUNDOFF * eps), max(self.rtol, ROUNDOFF * eps)
        return ROUNDOFF * eps, eps ** (2 / 3)

    @property
    def is_plain(self) -> bool:
        """Whether a step is the full, undamped, dense Newton correction."""
        return self.structure is Dense and self.relaxation == 1.0


@record
class Iterate:
    """A trajectory and what is known about it; all but y have the shape of the batch."""

    y: Array
    active: Array
    certified: Array
    broken: Array
    steps: Array
    error: Array
    residual: Array
    history: Array
    step: Array

    @property
    def status(self) -> Array:
        """Return the :class:`Status` of each batch element."""
        xp = array_namespace(self.y)
        failed = xp.where(self.broken, self.steps * 0 + int(Status.NONFINITE), int(Status.MAX_STEPS))
        return xp.where(self.certified, int(Status.CONVERGED), failed)


def newton_step(system: System, y: Array, structure: Any) -> tuple[Linearised, Array, Array]:
    """Return the linearisation, the residual and the correction of one step.

        y_next = y + delta,    (L + M sum_p G_p S_p) delta = M f(y) - L y,    G_p = -d f / d y_p,

    which is the paper's y_next = L_G^{-1}[f + sum_p G_p y_p] (arXiv 2309.12252, eq. 5), rearranged.
    """
    at = system.linearise(y)
    Gs = tuple(-structure.simplify(J) for J in at.Js)
    r, delta = system.rule.correction(Gs, y, at.ys, at.fy, system.data)
    return at, r, delta


def newton(system: System, start: Iterate, options: Options) -> Iterate:
    """Iterate until every batch element is at roundoff, stands still, breaks or runs out of steps."""
    xp = array_namespace(start.y)

    def unfinished(it: Iterate) -> Array:
        return xp.any(it.active)

    last: Iterate = system.backend.while_loop(unfinished, lambda it: advance(system, it, options), start)
    return last


def advance(system: System, it: Iterate, options: Options) -> Iterate:
    """Judge the iterate by its own residual and correction; move the elements that need it, and settle them."""
    xp = array_namespace(it.y)
    at, r, delta = newton_step(system, it.y, options.structure)
    slopes = None if is_paper_form(system.rule) else slope_terms(at)
    judged = judge(system, it, magnitudes(system, it.y, at.fy, slopes), r, delta, options.atol)
    stop, tol = options.tolerances(judged.eps)
    finite, error, is_within = judged.finite, judged.error, judged.is_within
    at_roundoff = (judged.residual <= BACKWARD * judged.eps) & finite
    at_rest = is_within(stop) | (is_within(tol) & (error > it.error / 2) & (it.step > 0))
    is_small = is_within(tol) & finite if options.is_plain else at_roundoff
    done = ((judged.residual <= ROUNDOFF * judged.eps) | at_rest) & finite
    moves = it.active & ~done & finite & ~(it.step >= options.max_steps)
    moved = move(system, it, judged, moves, options.relaxation * delta)
    moved = dataclasses.replace(
        moved,
        certified=xp.where(it.active, at_roundoff | is_small, it.certified),
        broken=xp.where(it.active, ~finite, it.broken),
    )
    if slopes is None or not (options.is_plain and system.rule.exact):
        return moved
    return settle(system, moved, it.error, tuple(-J for J in at.Js), slopes, options)


def settle(
    system: System, it: Iterate, before: Array, Gs: tuple[Structure, ...], slopes: Array, options: Options
) -> Iterate:
    """Finish with the last G, by f alone, where that is one step from roundoff: the chord method.

    With e_k = C e_{k-1}^2 for the corrections, y_{k+1} is off by rho e_k and one step more with the same G
    leaves rho^2 e_k, rho = C e_k = (e_k / e_{k-1})^2. An element is done here only if its residual, of f
    evaluated afresh, certifies it; what is not goes back to full steps.
    """
    xp = array_namespace(it.y)
    eps = float(xp.finfo(it.y.dtype).eps)
    rho = (it.error / before) ** 2
    one_step_off = rho * rho * it.error <= ROUNDOFF * eps
    limit = xp.minimum(it.step + SETTLING, it.step * 0 + options.max_steps)

    def unfinished(now: Iterate) -> Array:
        return xp.any(now.active) & xp.all(~now.active | one_step_off) & (now.step < limit)

    def chord(now: Iterate) -> Iterate:
        ys = system.shifted(now.y)
        fy = system.f(*ys)
        r, delta = system.rule.correction(Gs, now.y, ys, fy, system.data)
        judged = judge(system, now, magnitudes(system, now.y, fy, slopes), r, delta, options.atol)
        at_roundoff = judged.residual <= BACKWARD * eps
        done = (judged.residual <= ROUNDOFF * eps) | (judged.is_within(ROUNDOFF * eps) & at_roundoff)
        moved = move(system, now, judged, now.active & ~done & judged.finite, delta)
        settled = now.active & done & judged.finite
        return dataclasses.replace(moved, active=now.active & ~settled, certified=now.certified | settled)

    last: Iterate = system.backend.while_loop(unfinished, chord, it)
    return last


@dataclasses.dataclass(frozen=True)
class Judged:
    """What one evaluation tells about each batch element."""

    eps: float
    finite: Array
    error: Array
    residual: Array
    is_within: Callable[[float], Array]


def judge(system: System, it: Iterate, size: Array | None, r: Array, delta: Array, atol: float) -> Judged:
    """Measure the residual and the correction against the size of the terms of the equation."""
    xp = array_namespace(it.y)
    error, is_within = sizes(system, it.y, size, delta, atol)
    return Judged(
        eps=float(xp.finfo(it.y.dtype).eps),
        finite=system.over_grid(xp.all, xp.isfinite(it.y + delta)),
        error=error,
        residual=backward_error(system, size, r),
        is_within=is_within,
    )


def move(system: System, it: Iterate, judged: Judged, moves: Array, delta: Array) -> Iterate:
    """Add delta where the element moves, and write down what was measured where it is active."""
    xp = array_namespace(it.y)

    def keep(new: Array, old: Array) -> Array:
        return xp.where(it.active, new, old)

    places = xp.arange(it.history.shape[-1], device=system.backend.placement(it.y))
    column = xp.reshape(places == it.step, (*(1 for _ in range(system.n_batch)), places.shape[0]))
    return dataclasses.replace(
        it,
        y=xp.where(system.per_element(moves), it.y + delta, it.y),
        active=moves,
        steps=it.steps + xp.astype(moves, it.steps.dtype),
        error=keep(judged.error, it.error),
        residual=keep(judged.residual, it.residual),
        history=xp.where(it.active[..., None] & column, judged.error[..., None], it.history),
        step=it.step + 1,
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
        steps=xp.zeros(batch, dtype=xp.int32, device=where),
        error=unknown,
        residual=unknown,
        history=xp.full((*batch, options.max_steps + 1), xp.nan, dtype=y.dtype, device=where),
        step=xp.zeros((), dtype=xp.int32, device=where),
    )


def is_paper_form(rule: Rule) -> bool:
    """Return whether the rule cannot say how large its terms are."""
    return isinstance(rule, PaperForm) or (type(rule).magnitude is Rule.magnitude and not rule.is_builtin)


def slope_terms(at: Linearised) -> Array:
    """Return ``sum_p |G_p||y_p|``."""
    xp = array_namespace(at.fy)
    return reduce(add, (abs(J) @ xp.abs(y_p) for J, y_p in zip(at.Js, at.ys, strict=True)))


def magnitudes(system: System, y: Array, fy: Array, slopes: Array | None) -> Array | None:
    """Return ``|L||y| + |M|(|f| + sum_p |G_p||y_p|)``, or None if the rule does not offer it."""
    if slopes is None:
        return None
    xp = array_namespace(y)
    return system.rule.magnitude(xp.abs(y), xp.abs(fy) + slopes, grid=system.data.grid, boundary=system.data.boundary)


def backward_error(system: System, size: Array | None, r: Array) -> Array:
    """Return the largest componentwise residual of each batch element, relative to its own terms."""
    xp = array_namespace(r)
    if size is None:
        return system.over_grid(xp.max, xp.abs(r)) * xp.nan
    ratio = xp.where(r == 0, 0.0, xp.abs(r) / xp.where(size > 0, size, tiny(r)))
    ratio = xp.where(xp.isfinite(size), ratio, xp.inf)  # terms that overflow certify nothing
    return system.over_grid(xp.max, ratio)


def sizes(system: System, y: Array, size: Array | None, delta: Array, atol: float) -> tuple[Array, Any]:
    """Return the largest correction relative to the terms at its point, and the test against a tolerance."""
    xp = array_namespace(y)
    local = xp.max(xp.abs(y) if size is None else size, axis=-1, keepdims=True)
    scale = xp.where(xp.isfinite(local), xp.where(local > 0, local, tiny(y)), xp.nan)

    def largest(change: Array) -> Array:
        return system.over_grid(xp.max, xp.where(change == 0, 0 * scale, change / scale))

    error = largest(xp.abs(delta))
    beyond = largest(xp.maximum(xp.abs(delta) - atol, xp.zeros_like(delta))) if atol else error
    return error, lambda rtol: beyond <= rtol


def tiny(y: Array) -> float:
    """Return the smallest normal number of the dtype of y."""
    return float(array_namespace(y).finfo(y.dtype).smallest_normal)
