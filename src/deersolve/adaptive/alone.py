"""The grid of one element, found by the march of Python where nothing is compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..backends.generic import Backend
from ..backends.namespace import Array, array_namespace
from ..inverses.tableaux import Pair
from ..problems.initial_value import InitialValueProblem
from .controller import first_step
from .flow import Route
from .grid import Found
from .march_alone import Alone


def found_alone(
    backend: Backend, pair: Pair, problem: InitialValueProblem, f: Callable[..., Array], route: Route, most: int
) -> Found:
    """Return the grid of a route without a batch."""
    xp, y0, slope = array_namespace(route.y0), route.y0[0, ...], _of_one(problem, f, backend, route.y0)
    start, end = float(route.start[0]), float(route.end[0])
    stops = [] if route.stops is None else [float(t) for t in backend.to_numpy(route.stops)]
    longest = float("inf") if route.longest is None else float(route.longest)
    alone = Alone(backend, pair, slope, route.rtol, route.atol, longest, most)

    def along(t: Array, y: Array) -> Array:
        return slope(float(t[0]), y[0, ...])[None, :]

    if route.first is None:
        span, scale = route.end - route.start, route.atol + route.rtol * xp.abs(route.y0)
        first = first_step(along, route.start, route.y0, along(route.start, route.y0), span, pair.error_order, scale)
        h = float(first[0])
    else:
        h = float(route.first)
    made = alone.march([start, *stops, end], y0, h if end >= start else -h)
    t = backend.convert(made.t, route.start, route.start.dtype)
    counts = [backend.convert(k, route.y0, xp.int32) for k in (made.code, len(made.t) - 1, made.tried)]
    return Found(t, xp.stack(made.y), *counts)


def _of_one(
    problem: InitialValueProblem, f: Callable[..., Array], backend: Backend, like: Array
) -> Callable[[float, Array], Array]:
    """Return f of one time and y (n,)."""
    known: Any = getattr(problem.f, "of_one", None)
    if known is not None:
        made: Callable[[float, Array], Array] = known(problem.params, like[0, ...])
        return made

    clock = 0 * like[:, :1]

    def slope(t: float, y: Array) -> Array:
        return f(y[None, :], clock + t)[0, ...]

    return slope
