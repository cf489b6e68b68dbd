"""Events: times where a function of t and y passes through 0, found on the dense output to roundoff."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

from ..backends import backend_of
from ..backends.generic import Backend
from ..backends.namespace import Array, array_namespace, joined, padded, part
from ..backends.trees import record
from ..errors import FunctionError, is_whole, mismatch
from ..problems.scipy_form import FromScipy
from ..solution.dense import DenseOutput, picked, polynomial

PARTS = 2  # of an interval: a pair of crossings in one of them is seen
ROUNDS = 60  # of the search for a root, bisections all at worst
MOST = 16  # events of one kind in an element, where nobody can count them
CONTRACT = "event(t, y) of a number t and y of shape (n,), which returns a number"


@dataclasses.dataclass(frozen=True)
class Event:
    """A function of t and y, of which crossings count; ``terminal``: after so many of them all ends, 0 for never.

    Crossings upwards (``direction`` > 0), downwards (< 0), or both, in the order of the march.
    """

    function: Callable[..., Any]
    terminal: int
    direction: float


@record
class Crossings:
    """Where an event happened, in order; behind the last one NaN.

    Attributes
    ----------
    t : array, shape (*B, E)
    y : array, shape (*B, E, n)
    count : array of int, shape (*B,)
    """

    t: Array
    y: Array
    count: Array


def events_of(events: Any) -> list[Event]:
    """Return the events of what was given: None, a function, or several."""
    given = [] if events is None else list(events) if isinstance(events, Sequence) else [events]
    return [_event(event, k) for k, event in enumerate(given)]


def _event(event: Any, k: int) -> Event:
    if not callable(event):
        raise mismatch(f"events[{k}]", CONTRACT, repr(event))
    terminal, direction = (getattr(event, name, None) for name in ("terminal", "direction"))
    count = 0 if terminal is None else int(terminal) if isinstance(terminal, bool) or is_whole(terminal) else -1
    if count < 0:
        raise mismatch(f"events[{k}].terminal", "True, False, or how many crossings end the solve", repr(terminal))
    try:
        return Event(event, count, float(0 if direction is None else direction))
    except (TypeError, ValueError):
        raise mismatch(f"events[{k}].direction", "a number", repr(direction)) from None


def located(dense: DenseOutput, events: Sequence[Event], args: tuple[Any, ...] = ()) -> tuple[list[Crossings], Array]:
    """Return the crossings of each event up to the first terminal one, and its time, (*B, 1), infinite if none."""
    found = [crossings(dense, event, args) for event in events]
    t, xp = padded(dense.t, dense.coefficients.ndim - 2), array_namespace(dense.t)
    ahead = _ahead(t)
    ends = [
        ahead * part(c.t, -1, e.terminal - 1, e.terminal)
        for e, c in zip(events, found, strict=True)
        if 0 < e.terminal <= c.t.shape[-1]
    ]
    never = xp.inf + 0 * t[..., :1]
    first = functools.reduce(xp.minimum, [xp.where(end == end, end, xp.inf) for end in ends], never)
    return [_until(c, ahead, first) for c in found], ahead * first


def _until(found: Crossings, ahead: Array, last: Array) -> Crossings:
    xp = array_namespace(found.t)
    kept = ahead * found.t <= last
    count = xp.sum(xp.astype(kept, xp.int32), axis=-1, dtype=xp.int32)
    return Crossings(xp.where(kept, found.t, xp.nan), xp.where(kept[..., None], found.y, xp.nan), count)


def crossings(dense: DenseOutput, event: Event, args: tuple[Any, ...] = ()) -> Crossings:
    """Return where an event happens on dense output.

    Its sign is looked at on the grid and at some points between; a change of sign is followed to roundoff. On JAX and
    PyTorch the time has the derivative of one Newton step, by the implicit function theorem: ``dt = -dg / (dg/dt)``
    along the solution.
    """
    c, xp, backend = dense.coefficients, array_namespace(dense.coefficients), backend_of(dense.coefficients)
    held, t = backend.without_gradient(c), backend.without_gradient(padded(dense.t, c.ndim - 2))
    t = xp.broadcast_to(t, (*c.shape[:-3], t.shape[-1]))
    g = _compiled(backend, event, args, held, t)
    brackets = _brackets(t, held, lambda times, y: backend.without_gradient(g(times, y)))
    happens = _happens(*brackets[2:], event.direction)
    count = xp.sum(xp.astype(happens, xp.int32), axis=-1, dtype=xp.int32)
    most = int(xp.max(count)) if backend.is_concrete(count) else min(MOST, happens.shape[-1])
    where = xp.argsort(xp.astype(~happens, xp.int32), axis=-1, stable=True)[..., :most]
    index = where // (happens.shape[-1] // (t.shape[-1] - 1))
    start, end = picked(t, index), picked(t, index + 1)

    def at(theta: Array, pieces: Array) -> Array:
        return g(start + theta * (end - start), polynomial(pieces, theta))

    with backend.frozen():
        pieces = picked(held, index, 2)
        ends = [picked(a, where) for a in brackets]
        theta = root(backend, lambda theta: at(theta, pieces), *ends) if most else ends[0]
    pieces = picked(c, index, 2)
    theta = _on_graph(backend, lambda theta: at(theta, pieces), theta) if most else theta
    places = padded(xp.arange(most, device=backend.placement(count)), count.ndim + 1)
    there = places < count[..., None]
    y = polynomial(pieces, theta)
    return Crossings(
        xp.where(there, start + theta * (end - start), xp.nan), xp.where(there[..., None], y, xp.nan), count
    )


def _ahead(t: Array) -> Array:
    xp = array_namespace(t)
    return xp.where(t[..., -1:] < t[..., :1], -1.0, xp.ones_like(t[..., :1]))


def _brackets(t: Array, c: Array, g: Callable[[Array, Array], Array]) -> tuple[Array, Array, Array, Array]:
    """Return the ends of stretches of all intervals, as theta, and g at them, each (*B, N 3 PARTS).

    An interval has ``PARTS`` parts; a part is cut in its middle and where the parabola of g turns: a pair of roots of a
    smooth g lies on both sides of that.
    """
    xp, w, batch = array_namespace(c), 0.5 / PARTS, tuple(c.shape[:-3])
    counts = xp.arange(2 * PARTS + 1, dtype=t.dtype, device=backend_of(t).placement(t))
    knots = xp.reshape(w * counts, (1,) * t.ndim + (2 * PARTS + 1,))
    shape = (*batch, t.shape[-1] - 1)

    def look(theta: Array) -> Array:
        times, y = (
            t[..., :-1, None] + theta * (t[..., 1:] - t[..., :-1])[..., None],
            polynomial(c[..., None, :, :], theta),
        )
        return xp.reshape(g(xp.reshape(times, (*batch, -1)), xp.reshape(y, (*batch, -1, y.shape[-1]))), (*shape, -1))

    values = look(knots[..., :-1])
    last = g(t[..., -1:], DenseOutput(t, c).y[..., -1:, :])
    values = joined([values, joined([values[..., 1:, 0], last], -1)[..., None]], -1)
    a, middle, b = values[..., :-1:2], values[..., 1::2], values[..., 2::2]
    bend = a - 2 * middle + b
    turn = (a - b) / xp.where(bend == 0, 1.0, 2 * bend)
    turn = xp.where((bend != 0) & (xp.abs(turn) < 1), turn, 0.0)
    left, mid, right = (xp.broadcast_to(knots[..., k:e:2], a.shape) for k, e in ((0, -1), (1, None), (2, None)))
    vertex = mid + w * turn
    at_vertex, is_first = look(vertex), turn < 0
    low, high = xp.where(is_first, vertex, mid), xp.where(is_first, mid, vertex)
    g_low, g_high = xp.where(is_first, at_vertex, middle), xp.where(is_first, middle, at_vertex)

    def flat(*parts: Array) -> Array:
        return xp.reshape(xp.stack(parts, axis=-1), (*batch, -1))

    return flat(left, low, high), flat(low, high, right), flat(a, g_low, g_high), flat(g_low, g_high, b)


def _happens(a: Array, b: Array, direction: float) -> Array:
    """Return on which stretches g crosses 0, their ends included, and of the first one its beginning."""
    xp = array_namespace(a)
    at_start = joined([a[..., :1] == 0, xp.zeros_like(a[..., 1:], dtype=xp.bool)], -1)
    up, down = ((a < 0) | at_start) & (b >= 0), ((a > 0) | at_start) & (b <= 0)
    return up if direction > 0 else down if direction < 0 else up | down


def _compiled(backend: Backend, event: Event, args: tuple[Any, ...], c: Array, t: Array) -> Callable[..., Array]:
    """Return the event as a function of times (*S) and y (*S, n), in the fastest way that has its values."""
    return each_point(backend, event, args, c[..., 0, :], t[..., :-1])


def each_point(backend: Backend, event: Event, args: tuple[Any, ...], y: Array, t: Array) -> Callable[..., Array]:
    """Return the event as a function of many points, found at some: times (*B, K) and y (*B, K, n)."""
    xp = array_namespace(y)

    def spread(t: Any, y: Array, *args: Any) -> Array:
        return xp.zeros_like(y) + event.function(t, y, *args)

    made = event.function(t[(0,) * t.ndim], y[(*(0,) * (y.ndim - 1), ...)], *args)
    size = getattr(made, "shape", ())
    if isinstance(made, list | tuple) or any(s != 1 for s in size):
        received = f"shape {tuple(size)}" if size else type(made).__name__
        raise FunctionError(f"an event: expected {CONTRACT}; received {received}.")
    f = FromScipy(spread).tuned(backend, (y,), t[..., None], args)

    def g(times: Array, y: Array) -> Array:
        values = f(y, times[..., None], args)[..., 0]
        return values if xp.isdtype(values.dtype, "real floating") else xp.real(values)

    return g


def root(backend: Backend, g: Callable[[Array], Array], a: Array, b: Array, g_a: Array, g_b: Array) -> Array:
    """Return where g is 0 between a and b, whose signs differ, for all entries at once: to roundoff.

    Inverse quadratic interpolation where three points lie on something like a parabola, else bisection.

    T. R. Chandrupatla, Advances in Engineering Software 28 (1997) 145.
    """
    xp, eps = array_namespace(a), float(array_namespace(a).finfo(a.dtype).eps)
    half = 0.5 + 0 * a

    def best(s: tuple[Array, ...]) -> tuple[Array, Array]:
        x1, x2, f1, f2 = s[:4]
        return xp.where(abs(f1) < abs(f2), x1, x2), xp.where(abs(f1) < abs(f2), f1, f2)

    def goes_on(s: tuple[Array, ...]) -> Array:
        x, f = best(s)
        wide = abs(s[1] - s[0]) > 2 * eps * abs(x) + eps
        return wide & (f != 0) & (s[-1] < ROUNDS)

    def body(s: tuple[Array, ...]) -> tuple[Array, ...]:
        x1, x2, f1, f2, _, _, by, k = s
        x = x1 + by * (x2 - x1)
        f = g(x)
        same = (f < 0) == (f1 < 0)
        x3, f3 = xp.where(same, x1, x2), xp.where(same, f1, f2)
        x2, f2 = xp.where(same, x2, x1), xp.where(same, f2, f1)
        xi, phi = (x - x2) / (x3 - x2), (f - f2) / (f3 - f2)
        smooth = (phi**2 < xi) & ((1 - phi) ** 2 < 1 - xi)
        by = f / (f2 - f) * f3 / (f2 - f3) + (x3 - x) / (x2 - x) * f / (f3 - f) * f2 / (f3 - f2)
        by = xp.where(smooth & (by == by), by, half)
        new = (x, x2, f, f2, x3, f3)
        least = xp.minimum((eps * abs(best(new)[0]) + 0.5 * eps) / abs(x2 - x), half)
        by = xp.minimum(xp.maximum(by, least), 1 - least)
        moves = goes_on(s)
        return (*(xp.where(moves, a, b) for a, b in zip((*new, by), s[:-1], strict=True)), k + 1)

    state = (a, b, g_a, g_b, a, g_a, half, xp.zeros_like(a, dtype=xp.int32))
    with backend.quiet():
        state = backend.bounded_loop(lambda s: xp.any(goes_on(s)), body, state, ROUNDS)
        return backend.without_gradient(best(state)[0])


def _on_graph(backend: Backend, g: Callable[[Array], Array], theta: Array) -> Array:
    """Return theta behind one Newton step, which has the derivative of the root."""
    if backend.derivative == "dual numbers":
        return theta
    xp, missed = array_namespace(theta), g(theta)
    (slope,) = backend.without_gradient(backend.pullback(g, [theta], xp.ones_like(theta)))  # each root by itself
    is_steep = abs(backend.without_gradient(missed)) < abs(slope)
    return theta - xp.where(is_steep, missed / xp.where(is_steep, slope, 1.0), 0.0)


def cut(dense: DenseOutput, last: Array) -> DenseOutput:
    """Return dense output that ends at a time of each element, (*B, 1), where that is before its end."""
    dense = DenseOutput(padded(dense.t, dense.coefficients.ndim - 2), dense.coefficients)
    xp, ahead, c = array_namespace(dense.t), _ahead(dense.t), dense.coefficients
    end = ahead * xp.minimum(ahead * dense.t[..., -1:], ahead * last)
    t, goes = ahead * xp.minimum(ahead * dense.t, ahead * end), ahead * dense.t[..., :-1] < ahead * end
    h, new = (a[..., 1:] - a[..., :-1] for a in (dense.t, t))
    by = xp.astype(xp.where(h == 0, 1.0, new / xp.where(h == 0, 1.0, h)), c.dtype)[..., None]
    powers = xp.stack([by**k for k in range(c.shape[-2])], axis=-2)
    still = joined([dense(end, side="left")[..., None, :], xp.zeros_like(c[..., :1, 1:, :])], -2)
    c = xp.where(goes[..., None, None], c * powers, still)
    if not backend_of(t).is_concrete(t):
        return DenseOutput(t, c)
    count = max(int(xp.max(xp.sum(xp.astype(goes, xp.int32), axis=-1))), 1)
    return DenseOutput(t[..., : count + 1], part(c, -3, None, count))
