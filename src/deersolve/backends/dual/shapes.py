"""Functions along axes: linear ones by a table, and what moves, joins, makes or picks elements."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from functools import partial, reduce
from itertools import pairwise
from typing import Any

from .array import (
    RULES,
    VIEWS,
    DualArray,
    axes_of,
    duals_in,
    from_end,
    pad,
    rule,
    strip,
    tangent_of,
    view,
    view_rule,
    widen,
)

# What is linear along axes: how many arguments stand before `axis`, and which axes of a shape are meant without it.
FLAT = None
LINEAR: dict[str, tuple[int, Callable[[Sequence[int]], Any] | None]] = {
    **dict.fromkeys(("sum", "mean", "flip"), (0, lambda shape: tuple(range(len(shape))))),
    "squeeze": (0, lambda shape: tuple(i for i, n in enumerate(shape) if n == 1)),
    "diff": (1, lambda shape: -1),
    "cumulative_sum": (0, FLAT),
    **dict.fromkeys(("take", "roll", "repeat"), (1, FLAT)),
}
OPTIONS = {"axis", "keepdims", "dtype", "include_initial", "shift", "n"}


def _along(name: str, xp: Any, f: Any, x: Any, *args: Any, **options: Any) -> Any:
    """Apply a linear function to the value and to the tangent, its axes counted from the end."""
    before, default = LINEAR[name]
    unknown = [*map(str, args[before + 1 :]), *sorted(set(options) - OPTIONS)]
    if unknown:
        raise TypeError(f"no derivative rule for {name} with {', '.join(unknown)}")
    axis = args[before] if len(args) > before else options.pop("axis", None)
    if axis is None and default is FLAT:
        flat = _along(name, xp, f, x.reshape(-1), *args[:before], axis=-1, **options)
        return flat.reshape(x.shape) if name == "roll" else flat
    axis = from_end(default(x.shape) if default and axis is None else axis, x.ndim)
    return _both(x, lambda a: f(a, *args[:before], axis=axis, **options), axes_of(axis, x.ndim))


def _both(x: Any, f: Callable[[Any], Any], axes: Sequence[int] = ()) -> Any:
    """Apply a linear function that sees trailing axes only, some of them in full; a constant has only its value."""
    return view(x, f(x.value), f(widen(x, axes))) if isinstance(x, DualArray) else f(x)


def _cut(x: Any, axis: int, start: int | None, stop: int | None) -> Any:
    """Slice along one axis, counted from the end."""
    return x[(..., slice(start, stop), *(slice(None),) * (-1 - axis))]


# -- moved --------------------------------------------------------------------------------------


@view_rule
def _moveaxis(xp: Any, f: Any, x: Any, source: Any, destination: Any) -> Any:
    return _both(x, lambda a: f(a, from_end(source, x.ndim), from_end(destination, x.ndim)))


@view_rule
def _expand_dims(xp: Any, f: Any, x: Any, axis: Any = 0) -> Any:
    axis = from_end(axis, x.ndim + (len(axis) if isinstance(axis, (tuple, list)) else 1))
    return _both(x, lambda a: f(a, axis=axis))


@view_rule
def _permute_dims(xp: Any, f: Any, x: Any, *order: Any, axes: Any = None) -> DualArray:
    """Permute the axes, given as one tuple or separately; reverse them by default."""
    axes = axes or (order[0] if len(order) == 1 else order) or range(x.ndim)[::-1]
    order = tuple(a % x.ndim for a in axes)
    return view(x, f(x.value, order), f(x.tangent, (0, *(a + 1 for a in order))))


@view_rule
def _swapaxes(xp: Any, f: Any, x: Any, i: int, j: int) -> Any:
    order = list(range(x.ndim))
    order[i], order[j] = order[j], order[i]
    return x.transpose(order)


@view_rule
def _reshape(xp: Any, f: Any, x: Any, *sizes: Any, shape: Any = (), **kwargs: Any) -> DualArray:
    """Reshape, with the sizes as one tuple or separately; leading axes that stay as they are stay lazy."""
    sizes = sizes or (shape,)
    value = f(x.value, tuple(sizes[0]) if isinstance(sizes[0], (tuple, list)) else sizes, **kwargs)
    new, keep = tuple(value.shape), 0
    while keep < min(x.ndim, len(new)) and x.shape[keep] == new[keep]:
        keep += 1
    wide = widen(x, range(keep - x.ndim, 0))
    return view(x, value, f(wide, (*wide.shape[: keep + 1], *new[keep:]), **kwargs))


@view_rule
def _broadcast_to(xp: Any, f: Any, x: Any, shape: Any) -> DualArray:
    value = f(x.value, shape)
    return view(x, value, pad(x.tangent, len(value.shape)))


@view_rule
def _split(xp: Any, f: Any, x: Any, sections: Any, axis: int = 0) -> list[Any]:
    axis = from_end(axis, x.ndim)
    if isinstance(sections, int):
        if x.shape[axis] % sections:
            raise ValueError("array split does not result in an equal division")
        sections = range(0, x.shape[axis], x.shape[axis] // sections)[1:]
    return [_cut(x, axis, *edges) for edges in pairwise([None, *sections, None])]


@rule
def _tile(xp: Any, f: Any, x: Any, reps: Any) -> DualArray:
    value = f(x.value, reps)
    return DualArray(value, f(pad(widen(x), len(value.shape)), reps))


def _atleast(ndim: int, xp: Any, f: Any, x: Any) -> Any:
    return xp.reshape(x, (1,) * (ndim - len(x.shape)) + tuple(x.shape))


# -- joined and made ----------------------------------------------------------------------------


def _arrays(xp: Any, items: Any) -> list[Any]:
    """Make arrays of the numbers among arrays."""
    like = duals_in(items)[0]
    return [a if hasattr(a, "shape") else xp.asarray(a, dtype=like.dtype, device=like.device) for a in items]


@rule
def _concat(xp: Any, f: Any, arrays: Any, axis: int | None = 0) -> DualArray:
    """Join along an axis; the others stay lazy where they are so in all tangents."""
    arrays = _arrays(xp, arrays)
    if axis is None:
        arrays, axis = [xp.reshape(a, (-1,)) for a in arrays], 0
    values, like = strip(arrays), duals_in(arrays)[0]
    value = f(values, axis=axis)
    axis, tangents = from_end(axis, len(value.shape)), [tangent_of(a, like) for a in arrays]
    shape = [next((n for n in sizes if n != 1), 1) for sizes in zip(*(t.shape for t in tangents), strict=True)]
    for i, v in enumerate(values):
        shape[axis] = v.shape[axis]
        tangents[i] = xp.plain.broadcast_to(tangents[i], tuple(shape))
    return DualArray(value, f(tangents, axis=axis))


@view_rule
def _asarray(xp: Any, f: Any, x: Any, dtype: Any = None, copy: bool | None = None, **kwargs: Any) -> Any:
    if isinstance(x, (list, tuple)):
        return xp.stack([xp.asarray(item) if duals_in(item) else item for item in x])
    x = x if dtype is None or dtype == x.dtype else x.astype(dtype)
    return x.copy() if copy else x


def _like(xp: Any, f: Any, x: Any, *fill: Any, **options: Any) -> Any:
    """Make a fresh array like `x` that may be assigned into."""
    value = f(x.value, *strip(fill), **options)
    if not xp.isdtype(value.dtype, ("real floating", "complex floating")):
        return value
    fresh = DualArray(value, tangent_of(value, x)).copy()
    if duals_in(fill):
        fresh[...] = fill[0]
    return fresh


# -- picked and reduced -------------------------------------------------------------------------


@rule
def _take_along_axis(xp: Any, f: Any, x: Any, indices: Any, axis: int = -1) -> DualArray:
    axis = from_end(axis, x.ndim)
    return DualArray(f(x.value, indices, axis=axis), f(widen(x, (axis,)), indices[None, ...], axis=axis))


def _extremum(pick: str, xp: Any, f: Any, x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """Return the maximum or minimum, with the tangent of its first occurrence."""
    axes = axes_of(axis, x.ndim)
    for a in axes:
        x = xp.take_along_axis(x, xp.expand_dims(getattr(xp, pick)(x, axis=a), axis=a), axis=a)
    return x if keepdims else xp.squeeze(x, axis=axes)


@rule
def _prod(xp: Any, f: Any, x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    axes = axes_of(axis, x.ndim)
    for a in axes:
        x = reduce(operator.mul, [_cut(x, a, i, i + 1) for i in range(x.shape[a])])
    return x if keepdims else xp.squeeze(x, axis=axes)


@rule
def _var(xp: Any, f: Any, x: Any, axis: Any = None, *, keepdims: bool = False, **kwargs: Any) -> Any:
    lost = kwargs.pop("ddof", kwargs.pop("correction", 0))
    if kwargs:
        raise TypeError(f"no derivative rule for var with {', '.join(kwargs)}")
    deviation = x - xp.mean(x, axis=axis, keepdims=True)
    total = xp.sum(deviation * deviation, axis=axis, keepdims=keepdims)
    return total / (math.prod(x.shape[a] for a in axes_of(axis, x.ndim)) - lost)


# -- the tables ---------------------------------------------------------------------------------

VIEWS |= {
    **{name: partial(_along, name) for name in ("flip", "squeeze")},
    "ravel": lambda xp, f, x: x.reshape(-1),
    "matrix_transpose": lambda xp, f, x: x.swapaxes(-2, -1),
    "broadcast_arrays": lambda xp, f, *xs: [xp.broadcast_to(x, f(*strip(xs))[0].shape) for x in xs],
    "atleast_1d": partial(_atleast, 1),
    "atleast_2d": partial(_atleast, 2),
}
RULES |= {
    **{name: partial(_along, name) for name in LINEAR if name not in VIEWS},
    **dict.fromkeys(("zeros_like", "ones_like", "full_like"), _like),
    "stack": lambda xp, f, xs, axis=0: xp.concat([xp.expand_dims(x, axis=axis) for x in _arrays(xp, xs)], axis=axis),
    "hstack": lambda xp, f, xs: xp.concat([xp.atleast_1d(x) for x in xs], axis=int(xs[0].ndim > 1)),
    "vstack": lambda xp, f, xs: xp.concat([xp.atleast_2d(x) for x in xs]),
    "sort": lambda xp, f, x, axis=-1: xp.take_along_axis(x, xp.argsort(x, axis=axis), axis=axis),
    "max": partial(_extremum, "argmax"),
    "min": partial(_extremum, "argmin"),
    "std": lambda xp, f, x, *args, **kwargs: xp.sqrt(_var(xp, f, x, *args, **kwargs)),
}
