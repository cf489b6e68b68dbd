"""The one-point probe: f must act on every point by itself, twice the same, without writing to its input."""

from __future__ import annotations

import math
from typing import Any

from .errors import FunctionError
from .record import tree_map
from .system import System
from .typing import Array, array_namespace

LENGTH = 48
COUPLED = (
    "f of one batch element at one grid point differs from that entry of f of all of them: expected an "
    "f that acts on each point by itself, over (*B, T, n). {} Batch norm, means over time and inputs that f closes "
    "over couple points: pass inputs through x."
)
WRAP = (
    "If f is written for a single point (n,), wrap it: ds.pointwise(f); for rows (N, n), as torch.nn cells are: "
    "ds.rowwise(f); for SciPy's fun(t, y): ds.from_scipy(fun)."
)
REACHED = (
    "f, or a flux, at one point of space changes with y at another: expected an f that acts on each point by itself, "
    "and a flux on each face. Slopes of u are handed to f and the states on both sides to a flux, so that np.gradient, "
    "np.roll and differences have no place in them; neither have means over space. Pass what varies from point to "
    "point through x."
)
AGREEMENT = 1e3  # in units of eps: a matrix product of one row may round differently from that of many


def probe(system: System) -> None:
    """Call f on a short stretch and on one element and point of it; raise :class:`FunctionError` if they differ."""
    ys, x = stretch(system)
    f = system.functions["f"]
    before = [y + 0 for y in ys]
    whole = _on_stretch(f, ys, x, system)
    _check_shape(whole, ys[0], system)
    if not system.backend.is_concrete((ys, x, whole)):
        return
    xp = array_namespace(ys[0])
    if not all(bool(xp.all((a == b) | (a != a))) for a, b in zip(ys, before, strict=True)):
        raise FunctionError("f wrote to its argument: expected a pure function. Copy first: y = y.copy() or y + 0.")
    if not _equal(whole, f(*ys, x), 0.0):
        raise FunctionError(
            "f returned two different values for the same arguments: expected a pure function. "
            "Turn off dropout and random numbers, or draw them before and pass them through x."
        )
    element = tuple(size - 1 for size in whole.shape[: system.n_batch])
    for point in {0, whole.shape[-2] - 1}:
        expected = _cut(whole, element, point)
        try:
            one = f(*(_cut(y, element, point) for y in ys), _cut_tree(x, element, point))
        except Exception as error:
            raise FunctionError(COUPLED.format(_inside(f) or WRAP)) from error
        if tuple(one.shape) != tuple(expected.shape) or not _equal(one, expected, AGREEMENT):
            raise FunctionError(COUPLED.format(_inside(f) or WRAP))
    if system.grid_ndim > 1 or hasattr(system.data.grid, "block"):
        _check_space(system, ys, x, whole)


def _check_space(system: System, ys: tuple[Array, ...], x: Any, whole: Array) -> None:
    """Move y in three points of space; raise if f changes in another."""
    xp, shape = array_namespace(whole), (*whole.shape[-3:-1], 1) if system.grid_ndim > 1 else whole.shape[-1:]
    count, block = math.prod(shape), getattr(system.data.grid, "block", 1)
    full = (*(1 for _ in range(whole.ndim - len(shape))), *shape)
    place = xp.reshape(xp.arange(count, device=system.backend.placement(whole)), full) // block
    last = (count - 1) // block
    is_moved = (place == 0) | (place == last // 2) | (place == last)
    sizes = [(1 + 0.3 * k) * 1e-2 * (xp.max(xp.abs(y)) + 1e-1) for k, y in enumerate(ys)]  # a difference must show
    moved = [y + xp.where(is_moved, size, 0.0) for y, size in zip(ys, sizes, strict=True)]
    before, after = (xp.where(is_moved, 0.0, fy) for fy in (whole, system.functions["f"](*moved, x)))
    if not _equal(before, after, AGREEMENT):
        raise FunctionError(REACHED)


def _on_stretch(f: Any, ys: tuple[Array, ...], x: Any, system: System) -> Any:
    """Call f; if it fails on a part of the grid, say so: it may hold an array of the whole grid."""
    points, T = ys[0].shape[-2], system.data.guess.shape[-2]
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
    """Return shifted signals and x on a short stretch of the grid, y varying from point to point."""
    if hasattr(system.data.grid, "window"):
        system = system.head(min(LENGTH, system.data.guess.shape[-2]))
    guess, where = system.data.guess, system.backend.placement(system.data.guess)
    xp, (n, size) = array_namespace(guess), guess.shape[-2:]
    rows = xp.astype(xp.arange(n, device=where), guess.dtype)
    columns = xp.astype(xp.arange(size, device=where), guess.dtype)
    wave = xp.sin(1.0 + 1.7 * rows[:, None] + 0.9 * columns[None, :])
    peak = xp.max(xp.abs(guess)) if 0 not in guess.shape else 1.0
    y = guess + 1e-2 * (peak + 1e-1) * xp.reshape(wave, (*(1 for _ in range(guess.ndim - 2)), n, size))

    behind = int("ends" in system.functions)  # rows of the signals that f is not of

    def first(a: Array) -> Array:
        spans = a.ndim > 1 and a.shape[-2] in (n, n + behind) and system.grid_ndim == 1
        return a[..., : min(n, LENGTH), :] if spans else a

    return tuple(map(first, system.shifted(y))), tree_map(first, system.data.x)


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
        raise FunctionError(
            f"f: expected dtype {y.dtype}, that of y0; received {whole.dtype}. Look for float64 constants "
            "(np.float64, np.array) in f beside a float32 state, or for autocast."
        )
    if system.backend is not _backend(whole):
        raise FunctionError(f"f: expected an array of {system.backend.name}; received one of {_backend(whole).name}.")


def _backend(array: Array) -> Any:
    from .backends import backend_of

    return backend_of(array)


def _cut_tree(x: Any, element: tuple[int, ...], point: int) -> Any:
    return tree_map(lambda a: _cut(a, element, point), x)


def _cut(a: Array, element: tuple[int, ...], point: int) -> Array:
    """Keep one batch element and one point, with their axes."""
    sizes = a.shape
    where: list[Any] = [slice(None)] * a.ndim
    for k, e in enumerate(element):
        where[k] = slice(e, e + 1) if sizes[k] > 1 else slice(None)
    if sizes[-2] > 1:
        where[-2] = slice(point, point + 1)
    return a[tuple(where)]


def _equal(a: Array, b: Array, units: float) -> bool:
    xp = array_namespace(a, b)
    if tuple(a.shape) != tuple(b.shape):
        return False
    same = (a == b) | ((a != a) & (b != b))
    if units:
        size = xp.abs(a) + xp.abs(b)
        peak = xp.max(xp.where(xp.isfinite(size), size, 0.0), axis=-1, keepdims=True)
        same = same | (xp.abs(a - b) <= units * float(xp.finfo(a.dtype).eps) * peak)
    return bool(xp.all(same))
