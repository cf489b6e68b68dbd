"""The grid of one element, found by the march of Python where nothing is compiled."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..backends.generic import Backend
from ..backends.namespace import Array, array_namespace
from ..problems import Problem
from .base import Field, Stepper
from .controller import first_step
from .flow import Flow, Route
from .grid import Found
from .march_alone import march


class Single:
    """f of one element, of times that are numbers."""

    def __init__(self, backend: Backend, problem: Problem, functions: dict[str, Any], route: Route) -> None:
        self.backend, self.f, self.moments = backend, functions["f"], route.moments
        self.flow = Flow(backend, functions, route.moments)
        self.clock: Any = 0 * abs(route.y0[:, :1])
        known = getattr(problem.f, "of_one", None)
        self.slope: Callable[[float, Array], Array] = self._slope
        self.is_plain = known is None
        if known is not None:
            self.slope = known(problem.params, route.y0[0, ...])

    def _slope(self, t: float, y: Array) -> Array:
        """Return f of a time and y (n,)."""
        made: Array = self.f(y[None, :], self.moments.at(self.clock + t))[0, ...]
        return made

    def slopes(self, ts: list[float], ys: Array) -> Array:
        """Return f of K times and y (K, n)."""
        if not self.is_plain:
            return array_namespace(ys).stack([self.slope(t, ys[k, ...]) for k, t in enumerate(ts)])
        at = self.moments.at(self.backend.convert([[t] for t in ts], self.clock, self.clock.dtype))
        made: Array = self.f(ys, at)
        return made

    @property
    def jacobian(self) -> Callable[[float, Array], Array] | None:
        """df/dy, (n, n), of a time and y (n,), where it is given or cheap."""
        known = self.flow.jacobian
        return None if known is None else lambda t, y: known(self.clock[0, ...] + t, y[None, :])[0, ...]


def found_alone(backend: Backend, stepper: Stepper, single: Single, route: Route, most: int, looks: bool) -> Found:
    """Return the grid of a route without a batch."""
    xp, y0, slope = array_namespace(route.y0), route.y0[0, ...], single.slope
    start, end = float(route.start[0]), float(route.end[0])
    inner = set() if route.stops is None else {float(t) for t in backend.to_numpy(route.stops)} - {end}
    longest = math.inf if route.longest is None else float(route.longest)

    def along(t: Array, y: Array) -> Array:
        return slope(float(t[0]), y[0, ...])[None, :]

    if route.first is None:
        field, fy = Field(along, None, route.rtol, route.atol), along(route.start, route.y0)
        h = float(first_step(field, route.start, route.y0, fy, route.end - route.start, stepper.order)[0])
    else:
        h = float(route.first)
    alone = stepper.alone(backend, single, route.rtol, route.atol, looks)
    made = march(alone, [start, *sorted(inner, reverse=end < start), end], y0, h if end >= start else -h, longest, most)
    if not made.paths:
        made.add(start, y0, None)
    t = backend.convert(made.t, route.start, route.start.dtype)
    code, taken, tried = (backend.convert(k, route.y0, xp.int32) for k in (made.code, len(made.t) - 1, made.tried))
    known = next((path for path in made.paths if path is not None), None)
    path = None if known is None else xp.stack([0 * known if path is None else path for path in made.paths])
    return Found(t, xp.stack(made.y), code, taken, tried, path)
