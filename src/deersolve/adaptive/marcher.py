"""A march as what a backend runs, and compiles where it can."""

from __future__ import annotations

import dataclasses
from typing import Any

from ..backends.generic import Backend
from ..backends.namespace import array_namespace
from ..inverses.tableaux import PAIRS
from .base import Field, Stepper
from .explicit import Explicit
from .flow import Flow, Route
from .grid import Found, found
from .halts import Halts
from .march import Course, march
from .radau import Radau
from .radau_numbers import RADAU_5, RADAU_9

STEPPERS: dict[str, Stepper] = {f"ddt.{name}": Explicit(pair) for name, pair in PAIRS.items()}
STEPPERS |= {"ddt.radau5": Radau(RADAU_5), "ddt.radau9": Radau(RADAU_9)}
"""What steps, by the key of the rule that it is on a grid."""


@dataclasses.dataclass(frozen=True)
class Marcher:
    """Everything that was chosen; called with functions and a :class:`Route`, it finds the grid."""

    backend: Backend
    rule: str
    most: int
    looks: bool
    halts: Halts | None = None
    cacheable: bool = True
    operator: tuple[()] = ()

    @property
    def key(self) -> tuple[str, int, bool]:
        """What makes two of them the same program."""
        return self.rule, self.most, self.looks

    def with_operator(self, operator: Any) -> Marcher:
        """Return itself: it holds no numbers."""
        return self

    def tried(self, route: Route) -> list[Any]:
        """Return nothing: no operator of a user's own has a part in it."""
        return []

    def solve(self, functions: Any, route: Route) -> Found:
        """Return the grid of every element."""
        flow, stepper = Flow(self.backend, functions, route.moments), STEPPERS[self.rule]
        field = Field(flow.slope, flow.jacobian, route.rtol, route.atol)
        ends, lengths = (route.start, route.end, route.stops), (route.first, route.longest)
        halt = None if self.halts is None else self.halts.on(self.backend, route.start, route.y0)
        course = Course(self.backend, stepper, field, *ends, *lengths, self.most, self.looks, halt)
        with self.backend.frozen():
            return found(course, route.y0, *march(course, route.y0))

    def attach(self, functions: Any, route: Route, result: Found) -> Found:
        """Return the grid: it has no derivative."""
        return result

    def tangent(self, by: Any, at: Any, theta: Any, direction: Any, result: Found) -> tuple[Any, Any]:
        """Return 0: a grid is data."""
        return array_namespace(result.y).zeros_like(result.y), None
