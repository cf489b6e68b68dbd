"""A trajectory on its way to the solution, what is known about it, and when to stop."""

from __future__ import annotations

import dataclasses
from typing import Any

from ..backends.namespace import Array, array_namespace, padded
from ..backends.trees import record, static
from ..linalg.structure import Dense
from ..solution.status import Status
from ..solution.window import Window
from .equation import System
from .listener import listener
from .measures import BACKWARD, ROUNDOFF, Judged, eps_of
from .steps.base import Step
from .steps.full import FULL

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
    belied: Array
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
        belied=no,
        steps=xp.zeros(batch, dtype=xp.int32, device=where),
        error=unknown,
        residual=unknown,
        history=xp.full((*batch, options.max_steps + 1), xp.nan, dtype=y.dtype, device=where),
        reached=Reached(xp.zeros(batch, dtype=xp.int32, device=where), unknown, unknown),
        damping=xp.full(batch, options.step.damping, dtype=y.dtype, device=where),
    )


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
