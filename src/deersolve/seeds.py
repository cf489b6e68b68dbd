"""The transpose of a derivative without reverse mode: by forward derivatives along few directions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from .errors import InputError
from .record import tree_leaves
from .system import System
from .typing import Array, array_namespace

SHARED = ("params", "first", "last")  # of all batch elements and points
COLOURS = 2  # a row of a built-in rule knows f at two neighbouring points


def by_seeds(system: System, function: Callable[..., Array], fields: dict[str, Any], u: Array) -> Iterator[Array]:
    """Yield the gradient by every leaf from forward derivatives, all independent numbers of it at once."""
    primals = tree_leaves(fields)
    xp, before = array_namespace(u), 0
    for name, part in fields.items():
        if name == "t":
            raise InputError(
                f"wrt='t': expected a library with automatic differentiation; {system.backend.name} has none. "
                "Use sensitivity() with a direction of t."
            )
        for leaf in tree_leaves(part):
            k = before
            before += 1

            def along(seeds: Array, k: int = k) -> Array:
                zero = [xp.zeros((seeds.shape[0], *a.shape), dtype=a.dtype, device=a.device) for a in primals]
                zero[k] = seeds
                return u * system.backend.pushforward(function, primals, zero)

            yield _gathered(system, name, leaf, along)


def _gathered(system: System, name: str, leaf: Array, along: Callable[[Array], Array]) -> Array:
    xp, n_batch = array_namespace(leaf), system.n_batch
    where = system.backend.placement(leaf)
    inner = leaf.shape if name in SHARED else leaf.shape[n_batch:] if name == "y0" else leaf.shape[-1:]
    size = math.prod(inner)
    eye = xp.reshape(xp.eye(size, dtype=leaf.dtype, device=where), (size, *inner))
    if name in SHARED:
        sums = [xp.sum(along(eye[k : k + 1, ...])) for k in range(size)]
        return xp.reshape(xp.stack(sums), leaf.shape)
    if system.grid_ndim == 2 and system.rule.is_builtin:
        return _on_a_plane(system, name, leaf, eye, along)
    outer = leaf.shape[: leaf.ndim - len(inner)]
    seeds = xp.reshape(eye, (size, *(1 for _ in outer), *inner))
    if name == "y0" or outer[n_batch:] == (1,):
        seeds = xp.broadcast_to(seeds, (size, *leaf.shape))
        bar = along(seeds)
        sums = xp.sum(bar, axis=tuple(range(n_batch + 1, bar.ndim)))  # (size, *B)
        sums = _over_shared(sums, leaf.shape[:n_batch])
        return xp.reshape(xp.moveaxis(sums, 0, -1), leaf.shape)
    if not system.rule.is_builtin or len(outer) != n_batch + 1:
        raise InputError("wrt='x': expected a built-in rule on a grid of one axis, on a library without AD.")
    points = xp.reshape(xp.arange(outer[-1], device=where) % COLOURS, (outer[-1], 1))
    total = xp.zeros((size, *outer), dtype=leaf.dtype, device=where)
    for colour in range(COLOURS):
        mask = xp.astype(points == colour, leaf.dtype)
        bar = xp.sum(along(xp.broadcast_to(seeds * mask, (size, *leaf.shape))), axis=-1)  # (size, *B, T)
        after = xp.concat([bar[..., 1:], xp.zeros_like(bar[..., :1])], axis=-1)
        both = (bar + after) * mask[:, 0]
        total = total + _over_shared(both, leaf.shape[:n_batch])
    return xp.moveaxis(total, 0, -1)


def _on_a_plane(system: System, name: str, leaf: Array, eye: Array, along: Callable[[Array], Array]) -> Array:
    """Return the gradient by what stands at a point, or along a side, of which only the rows there know."""
    xp, size = array_namespace(leaf), leaf.shape[-1]
    seeds = xp.broadcast_to(xp.reshape(eye, (size, *(1 for _ in leaf.shape[:-1]), size)), (size, *leaf.shape))
    bar = xp.sum(along(seeds), axis=-1)  # (size, *B, X, Y)
    if name in ("left", "right", "bottom", "top"):
        across = -2 if name in ("left", "right") else -1
        bar = xp.sum(bar, axis=across)[..., None]
    else:
        shared = tuple(k for k in (-2, -1) if leaf.shape[k - 1] == 1)
        bar = xp.sum(bar, axis=shared, keepdims=True) if shared else bar
    return xp.moveaxis(_over_shared(bar, leaf.shape[: system.n_batch]), 0, -1)


def _over_shared(values: Array, sizes: tuple[int, ...]) -> Array:
    """Sum (m, *B, ...) over the batch axes that a leaf of batch shape ``sizes`` shares."""
    xp = array_namespace(values)
    shared = tuple(k + 1 for k, size in enumerate(sizes) if size == 1 and values.shape[k + 1] != 1)
    return xp.sum(values, axis=shared, keepdims=True) if shared else values
