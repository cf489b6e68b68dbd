"""Windows whose length follows the equation: what is solved of one is kept, and the next begins behind it."""

from __future__ import annotations

import dataclasses

from .march import judged, largest_known, loop, windowed
from .newton import (
    BACKWARD,
    Iterate,
    Options,
    is_paper_form,
    magnitudes,
    newton,
    newton_step,
    scale_of,
    slope_terms,
    start_at,
)
from .progress import listener, listening
from .structure import Dense
from .system import System
from .typing import Array, array_namespace

PATIENCE = 12  # Newton steps after which a shorter window is cheaper
SHRINK = 4
TRUST = 8  # windows that must not fail before longer ones are tried again
SHORT = 256  # steps of a recurrence for which the loop is cheaper than a window
STRETCH = 1024  # steps that the loop then takes; four times as many each time


def can_slide(system: System, options: Options) -> bool:
    """Return whether Python may look at what a window gave, and the equation is a recurrence.

    An implicit rule may have other roots, and a window cut where Newton's method wandered may end in one of them.
    """
    is_recurrence = not system.data.grid.overlap and not is_paper_form(system.rule)
    return is_recurrence and options.is_plain and system.backend.is_concrete(system.data)


def sliding(system: System, options: Options, window: int, is_strict: bool = False) -> Iterate:
    """Solve windows of at most ``window`` steps of a recurrence one after the other.

    Of a window that Newton's method does not finish, the points before the first one that is not solved are kept: the
    equation is causal, so they stand by themselves. The next window is a quarter as long; one that is finished is
    followed by one of twice its length. Where only short windows can be solved, the loop takes over for a stretch.
    An element that fails in the loop has failed: the others go on.

    Where windows certified by their corrections do not make a whole that is certified, all is done once more and long
    windows must be certified by their residuals.
    """
    asked, options = options, dataclasses.replace(options, max_steps=min(options.max_steps, PATIENCE))
    whole = start_at(system, system.data.guess, options)
    length = system.data.grid.length
    total = dataclasses.replace(whole, certified=whole.active)
    pieces: list[Array] = []
    boundary, place, pace = system.start(), 0, Pace(window, window, window)
    while place < length and bool(array_namespace(whole.y).any(total.certified)):
        alive, left = total.certified, length - place
        by_loop = pace.has_lost and pace.size <= SHORT
        steps = min(pace.stretched() if by_loop else pace.size, left)
        part = system.window(place, steps, boundary)
        if by_loop:
            it = loop(part, options)
        else:
            with listening(listener() if steps == length else None):
                it = newton(part, start_at(part, part.data.guess, options, active=alive), options)
            if not system.backend.is_concrete(it.certified):
                return windowed(system, asked, window)
            it = _by_residual(it) if is_strict and SHORT < steps < length else it
            it = _kept(part, it, alive, options, pace)
        total = _with(total, it, alive)
        if it.y.shape[-2] == 0:
            continue
        pieces.append(it.y)
        boundary = boundary.after(it.y)
        place += it.y.shape[-2]
    if place < length:
        pieces.append(system.window(place, length - place, boundary).data.guess)
    xp = array_namespace(whole.y)
    done = judged(system, options, dataclasses.replace(total, y=xp.concat(pieces, axis=-2)))
    if not is_strict and bool(xp.any(total.certified & ~done.certified)):
        return sliding(system, asked, window, is_strict=True)
    return done


def _by_residual(it: Iterate) -> Iterate:
    """Return the window, certified by its residual alone: a small error of one may grow in the others."""
    eps = float(array_namespace(it.y).finfo(it.y.dtype).eps)
    return dataclasses.replace(it, certified=it.certified & (it.residual <= BACKWARD * eps))


@dataclasses.dataclass
class Pace:
    """How long the next window is: half or less of one that failed, twice one that did not, up to a limit.

    The limit is half of what failed last, and doubles with every ``TRUST`` windows that do not.
    """

    window: int
    size: int
    limit: int
    wins: int = 0
    has_lost: bool = False
    stretch: int = STRETCH

    def won(self) -> None:
        """Grow."""
        self.wins += 1
        if self.wins % TRUST == 0:
            self.limit = min(2 * self.limit, self.window)
        self.size = min(2 * self.size, self.limit)

    def lost(self, steps: int, solved: int) -> None:
        """Shrink a window of so many steps, of which so many were solved."""
        self.size = max(min(solved, steps // 2), steps // SHRINK, 1)
        self.limit, self.wins, self.has_lost = max(steps // 2, 1), 0, True

    def stretched(self) -> int:
        """Return for how many steps the loop takes over, ever more."""
        self.size = self.stretch
        self.stretch = SHRINK * self.stretch
        return self.size


def _kept(part: System, it: Iterate, alive: Array, options: Options, pace: Pace) -> Iterate:
    """Return what is solved of a window, and set the pace of the next."""
    xp, steps = array_namespace(it.y), part.data.grid.length
    unsolved = alive & ~it.certified
    if not bool(xp.any(unsolved)):
        pace.won()
        return it
    solved, error, residual = _solved(part, it.y, options)
    count = int(xp.min(xp.where(unsolved, solved, steps)))
    if count == 0 and steps == 1:
        return it
    pace.lost(steps, count)

    def worst(errors: Array, known: Array) -> Array:
        shown = xp.where(_places(part, it.y) < count, errors, -xp.inf)
        return xp.where(unsolved, part.over_grid(xp.max, shown), known)

    return dataclasses.replace(
        it,
        y=it.y[..., :count, :],
        certified=alive,
        error=worst(error, it.error),
        residual=worst(residual, it.residual),
        history=xp.where(unsolved[..., None], xp.nan, it.history),
    )


def _places(part: System, y: Array) -> Array:
    """Return the numbers of the grid points, of shape (R, 1)."""
    return array_namespace(y).arange(y.shape[-2], device=part.backend.placement(y))[:, None]


def _solved(part: System, y: Array, options: Options) -> tuple[Array, Array, Array]:
    """Return how many steps from the first satisfy the certificate, and both errors at each point."""
    xp, eps = array_namespace(y), float(array_namespace(y).finfo(y.dtype).eps)
    at, r, delta = newton_step(part, y, Dense)
    size = magnitudes(part, y, at.fy, slope_terms(at))
    backward = xp.max(xp.where(r == 0, 0.0, xp.abs(r) / size), axis=-1, keepdims=True)
    scale = scale_of(y, size)
    forward = xp.max(xp.abs(delta), axis=-1, keepdims=True) / scale
    beyond = xp.max(xp.clip(xp.abs(delta) - options.atol, min=0.0), axis=-1, keepdims=True) / scale
    holds = (backward <= BACKWARD * eps) | (beyond <= (options.rtol or 0.0))
    holds = holds & xp.isfinite(forward)
    first = part.over_grid(xp.min, xp.where(holds, y.shape[-2], _places(part, y)))
    return first, forward, backward


def _with(total: Iterate, it: Iterate, alive: Array) -> Iterate:
    """Add what a window gave to what is known of those before it."""
    xp = array_namespace(it.y)

    def worst(name: str) -> Array:
        before, now = getattr(total, name), getattr(it, name)
        shown = alive[(..., *(None for _ in range(now.ndim - alive.ndim)))]
        return xp.where(shown, largest_known(xp.stack([before, now]), axis=0), before)

    return dataclasses.replace(
        total,
        certified=alive & it.certified,
        broken=total.broken | (alive & it.broken & ~it.certified),
        steps=xp.where(alive, xp.maximum(total.steps, it.steps), total.steps),
        error=worst("error"),
        residual=worst("residual"),
        history=worst("history"),
    )
