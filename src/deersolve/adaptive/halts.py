"""Terminal events on the march: an element of a batch ends with the step in which its last one happens."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from ..backends.generic import Backend
from ..backends.namespace import Array, array_namespace
from ..backends.trees import record
from .events import Event, each_point

SURE = 1e3  # in units of eps of g: a sign that the dense output has too


@record
class Seen:
    """g of each terminal event at the last step, (*B, K), and how often it happened."""

    g: Array
    count: Array


@dataclasses.dataclass(frozen=True)
class Halts:
    """The terminal events of a problem, and what they are given behind y."""

    events: Sequence[Event]
    args: tuple[Any, ...]

    def on(self, backend: Backend, t: Array, y: Array) -> Halt:
        """Return what looks at steps of elements that start at t, (*B, 1), and y, (*B, 1, n)."""
        points = [each_point(backend, event, self.args, y, t) for event in self.events]
        return Halt(self.events, points)


@dataclasses.dataclass(frozen=True)
class Halt:
    """Terminal events with their functions g of times (*B, 1) and y (*B, 1, n)."""

    events: Sequence[Event]
    points: Sequence[Callable[[Array, Array], Array]]

    def start(self, t: Array, y: Array) -> Seen:
        """Return g at the start."""
        g = self._at(t, y)
        return Seen(g, 0 * array_namespace(g).astype(g > 0, array_namespace(g).int32))

    def after(self, seen: Seen, t: Array, y: Array, taken: Array) -> tuple[Seen, Array]:
        """Return g behind a step of those that took one, and which elements end: (*B,)."""
        xp, a, b = array_namespace(y), seen.g, self._at(t, y)
        is_sure = xp.abs(b) > SURE * float(xp.finfo(b.dtype).eps) * (xp.abs(a) + xp.abs(b))
        up, down = (a < 0) & (b > 0), (a > 0) & (b < 0)
        happens = [up, down, up | down]
        crossed = [
            happens[0 if e.direction > 0 else 1 if e.direction < 0 else 2][..., k] for k, e in enumerate(self.events)
        ]
        crossed = xp.stack(crossed, axis=-1) & is_sure & taken[..., None]
        b = xp.where(taken[..., None] & (is_sure | (a == 0)), b, a)
        count = seen.count + xp.astype(crossed, seen.count.dtype)
        enough = [count[..., k] >= e.terminal for k, e in enumerate(self.events)]
        return Seen(b, count), xp.any(xp.stack(enough, axis=-1), axis=-1)

    def _at(self, t: Array, y: Array) -> Array:
        xp = array_namespace(y)
        return xp.stack([g(t, y)[..., 0] for g in self.points], axis=-1)


def _of_kind(event: Event, up: Array, down: Array) -> Array:
    """Return the crossings in the direction of an event."""
    return up if event.direction > 0 else down if event.direction < 0 else up | down
