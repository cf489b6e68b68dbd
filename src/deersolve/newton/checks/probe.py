"""The one-point probe: f must act on every point by itself, twice the same, without writing to its input."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from ...backends import backend_of
from ...backends.agreement import AGREEMENT, equal
from ...backends.namespace import Array, array_namespace, padded
from ...backends.pairs import is_complex
from ...backends.trees import tree_map
from ...errors import FunctionError, InputError
from ..equation import System

LENGTH, SHORT, NUMBERS = 48, 4, 2**12  # points of a stretch; of one of many elements not fewer, and what those hold
COUPLED = (
    "f of one batch element at one grid point differs from that entry of f of all of them: expected an "
    "f that acts on each point by itself, over (*B, T, n). {} Batch norm and other statistics over the batch couple "
    "elements; means over time and inputs that f closes over couple points: pass inputs through x."
)
WRAP = (
    "If f is written for a single point (n,), wrap it: ds.pointwise(f); for rows (N, n), as torch.nn cells are: "
    "ds.rowwise(f); for SciPy's fun(t, y): ds.from_scipy(fun)."
)
BATCH = (
    " Here it is the batch: one element with all of its points differs too, all elements at one point do not. A batch "
    "norm in eval() takes statistics that are fixed; a layer norm takes them over the components."
)
ENDS = (
    "the conditions of one batch element differ from that entry of the conditions of all of them: expected a function "
    "that acts on each element by itself, over (*B, 1, n). Means and other statistics over the batch couple elements."
)
STAGES = (
    "f of one stage of an interval differs from that stage of f of all of them: expected an f that acts on each point "
    "by itself. With this rule f sees (*B, T, m, ..., n), the m stages of each interval behind the axis of time. Means "
    "and differences along it, and arrays that f closes over, couple them: pass inputs through x."
)
REACHED = (
    "f, or a flux, at one point of space changes with y at another: expected an f that acts on each point by itself, "
    "and a flux on each face. Slopes of u are handed to f and the states on both sides to a flux, so that np.gradient, "
    "np.roll and differences have no place in them; neither have means over space. Pass what varies from point to "
    "point through x."
)


def probe(system: System) -> None:
    """Call f on a short stretch and on one element and point of it; raise :class:`FunctionError` if they differ."""
    ys, x = stretch(system)
    f = system.functions["f"]
    before = [y + 0 for y in ys]
    whole = _on_stretch(f, ys, x, system)
    _check_shape(whole, ys[0], system)
    if not system.backend.is_concrete((ys, x, whole)):
        return
    if not all(equal(a, b, 0.0) for a, b in zip(ys, before, strict=True)):
        raise FunctionError("f wrote to its argument: expected a pure function. Copy first: y = y.copy() or y + 0.")
    if not equal(whole, f(*ys, x), 0.0):
        raise FunctionError(
            "f returned two different values for the same arguments: expected a pure function. "
            "Turn off dropout and random numbers, or draw them before and pass them through x."
        )
    axis = system.grid.axis if system.marches else -2
    alone = partial(_is_alone, axis=axis)
    last, coupled = whole.shape[axis] - 1, COUPLED.format(_inside(f) or WRAP)
    for is_last, point in ((False, 0), (True, last)) if last else ((True, 0),):
        element = tuple((size - 1) * is_last for size in whole.shape[: system.n_batch])
        if not alone(f, (*ys, x), whole, element, slice(point, point + 1)):
            cuts = {"batch": (element, slice(None)), "points": (None, slice(point, point + 1))}
            seen = {name for name, cut in cuts.items() if not alone(f, (*ys, x), whole, *cut)}
            raise FunctionError(coupled + (BATCH if seen == {"batch"} else ""))
    _check_ends(system, ys)
    if system.grid.ndim > 1:
        _check_space(system, ys, x, whole)
    _check_stages(system, ys, x, whole)


def _is_alone(
    f: Any, args: tuple[Any, ...], whole: Array, element: tuple[int, ...] | None, points: slice, axis: int = -2
) -> bool:
    """Return whether f of a part of its arguments is that part of f of all of them."""
    expected = _cut(whole, element, points, axis)
    try:
        one = f(*tree_map(lambda a: _cut(a, element, points, axis), args))
    except Exception as error:
        raise FunctionError(COUPLED.format(_inside(f) or WRAP)) from error
    return tuple(one.shape) == tuple(expected.shape) and equal(one, expected, AGREEMENT)


def _check_ends(system: System, ys: tuple[Array, ...]) -> None:
    """Raise if conditions that are a function couple batch elements."""
    if "ends" not in system.functions or system.n_batch == 0:
        return
    ends, conditions = tuple(y[..., -1:, :] for y in ys), system.functions["ends"]
    whole = conditions(*ends)
    for is_last in (False, True):
        element = tuple((size - 1) * is_last for size in ys[0].shape[: system.n_batch])
        if not _is_alone(conditions, ends, whole, element, slice(None)):
            raise FunctionError(ENDS)


def _check_space(system: System, ys: tuple[Array, ...], x: Any, whole: Array) -> None:
    """Move y in three points of space; raise if f changes in another."""
    xp, grid = array_namespace(whole), system.grid
    shape = (*whole.shape[grid.axis + system.marches : -1], 1)
    last = math.prod(shape) - 1
    place = xp.reshape(xp.arange(last + 1, device=system.backend.placement(whole)), shape)
    place = padded(place, whole.ndim)
    is_moved = (place == 0) | (place == last // 2) | (place == last)
    sizes = [(1 + 0.3 * k) * 1e-2 * (xp.max(xp.abs(y)) + 1e-1) for k, y in enumerate(ys)]  # a difference must show
    moved = [y + xp.where(is_moved, size, 0.0) for y, size in zip(ys, sizes, strict=True)]
    before, after = (xp.where(is_moved, 0.0, fy) for fy in (whole, system.functions["f"](*moved, x)))
    if not equal(before, after, AGREEMENT):
        raise FunctionError(REACHED)


def _check_stages(system: System, ys: tuple[Array, ...], x: Any, whole: Array) -> None:
    """Call f on each stage alone; raise if it differs."""
    f, axis = system.functions["f"], system.grid.stage_axis
    for stage in range(0 if axis is None else whole.shape[axis]):
        if not _is_alone(f, (*ys, x), whole, None, slice(stage, stage + 1), axis):
            raise FunctionError(STAGES)


def _on_stretch(f: Any, ys: tuple[Array, ...], x: Any, system: System) -> Any:
    """Call f; if it fails on a part of the grid, say so: it may hold an array of the whole grid."""
    points, T = (a.shape[system.grid.axis] for a in (ys[0], system.data.guess))
    try:
        return f(*ys, x)
    except (ValueError, IndexError, RuntimeError, TypeError) as error:
        if isinstance(error, FunctionError):
            raise
        if _inside(f):
            raise FunctionError(f"f raised {type(error).__name__} ({error}). {_inside(f)}") from error
        if points == T or isinstance(error, TypeError):
            raise
        raise FunctionError(
            f"f failed on the first {points} of {T} points ({error}): expected an f of any number of points. "
            "An array that varies over the grid goes through x, not through a closure."
        ) from error


def _inside(f: Any) -> str:
    """Return what an adapter takes, where f is made by one: what is inside is not to be wrapped again."""
    made = getattr(f, "__wrapped__", f)
    adapter = getattr(made, "adapter", None)
    return f"It is inside {adapter}, which takes {made.contract}." if adapter else ""


def stretch(system: System) -> tuple[tuple[Array, ...], Any]:
    """Return shifted signals and x on a stretch of a trajectory, or all of a box; no two entries of a signal alike."""
    if system.marches:
        points = system.data.guess.shape[system.grid.axis]
        most = max(NUMBERS * points // max(math.prod(system.data.guess.shape), 1), SHORT)
        system = system.head(min(LENGTH, most, points))
    guess = system.data.guess
    n = guess.shape[-2]
    behind = int("ends" in system.functions)  # rows of the signals that f is not of

    def first(a: Array) -> Array:
        spans = a.ndim > 1 and a.shape[-2] in (n, n + behind) and system.grid.ndim == 1
        return a[..., : min(n, LENGTH), :] if spans else a

    signals = system.shifted(guess)
    _check_signals(signals, guess, behind)
    ys = map(first, signals)
    return tuple(_waved(y, k, system) for k, y in enumerate(ys)), tree_map(first, system.data.x)


def _waved(y: Array, k: int, system: System) -> Array:
    """Return y, each entry moved by at most 1 % and a little, by another share along every axis.

    What couples batch elements or points would not show where they are equal, as in a cell that starts from zeros.
    """
    phase = np.full((1,) * y.ndim, 1.0 + 0.6 * k)
    for axis, size in enumerate(y.shape):
        if size > 1:
            place = np.arange(size).reshape(-1, *(1 for _ in range(y.ndim - 1 - axis)))
            phase = phase + (0.1 + 0.8 * (y.ndim - axis)) * place
    wave = system.backend.convert(1e-2 * np.sin(phase), y, y.dtype)
    return system.backend.compiled(_moved)(y, wave)


def _moved(y: Array, wave: Array) -> Array:
    moved: Array = y + wave * (array_namespace(y).abs(y) + 1e-1)
    return moved


def _check_signals(ys: tuple[Any, ...], y: Array, behind: int) -> None:
    """Raise unless a user's shifters return arrays on the grid of y."""
    *batch, n, _ = y.shape
    for y_p in ys or (None,):
        shape = tuple(getattr(y_p, "shape", ()))
        if len(shape) != y.ndim or [*shape[:-2]] != batch or shape[-2] not in (n, n + behind):
            received = shape if hasattr(y_p, "shape") else type(y_p).__name__
            raise FunctionError(
                f"shift: expected arrays (*B, *R, n) as y is, here {tuple(y.shape)}; received {received}."
            )


def _check_shape(whole: Any, y: Array, system: System) -> None:
    if not hasattr(whole, "shape"):
        raise FunctionError(
            f"f: expected an array of shape {tuple(y.shape)}; received {type(whole).__name__}. "
            "For a list of components use xp.stack([...], axis=-1), or ds.from_scipy(fun) for SciPy's fun(t, y)."
        )
    if tuple(whole.shape) != tuple(y.shape):
        raise FunctionError(
            f"f: expected the shape of y, {tuple(y.shape)} on this stretch of the grid; received {tuple(whole.shape)}. "
            "Components are on the last axis: y[..., 0], y[..., 1]; for SciPy's fun(t, y) use ds.from_scipy(fun)."
        )
    if whole.dtype != y.dtype:
        advice = "A complex f takes a complex y0: y0 + 0j. " if is_complex(whole) else ""
        raise FunctionError(
            f"f: expected dtype {y.dtype}, that of y0; received {whole.dtype}. {advice}Look for float64 constants "
            "(np.float64, np.array) in f beside a float32 state, or for autocast."
        )
    if system.backend is not backend_of(whole):
        raise FunctionError(f"f: expected an array of {system.backend.name}; received one of {backend_of(whole).name}.")
    try:
        system.backend.plain(whole, "f")
    except InputError as error:
        raise FunctionError(str(error)) from None


def _cut(a: Array, element: tuple[int, ...] | None, points: slice, axis: int) -> Array:
    """Keep one batch element, or all, and some points, with their axes."""
    sizes = a.shape
    where: list[Any] = [slice(None)] * a.ndim
    for k, e in enumerate(element or ()):
        where[k] = slice(e, e + 1) if sizes[k] > 1 else slice(None)
    if sizes[axis] > 1:
        where[axis] = points
    return a[tuple(where)]
