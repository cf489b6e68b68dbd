"""The transpose of a derivative without reverse mode: by forward derivatives along few directions.

Of a field only the rows near one of its numbers know it: all numbers that share no row are one direction.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from ..backends.namespace import Array, array_namespace
from ..backends.trees import tree_leaves
from ..errors import InputError, mismatch
from ..newton.equation import System

COLOURS = 2  # a row of a built-in rule knows the data of two neighbouring times, or points of the axis its grid names
Along = Callable[[Array], Array]
"""From directions of a leaf, (m, *its shape), to u times the derivative along them, (m, *B, *R, n)."""


def by_seeds(
    system: System,
    function: Callable[..., Array],
    fields: dict[str, Any],
    u: Array,
    axes: tuple[str, ...],
    named: dict[str, tuple[str, ...]],
) -> Iterator[Array]:
    """Yield the gradient by every leaf; ``axes`` are those of the grid, ``named`` the last axes of each field."""
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

            yield (
                _by_numbers(system, leaf, along)
                if name in ("params", "grid", "boundary")
                else _by_places(system, name, leaf, along, axes, named[name])
            )


def _by_numbers(system: System, leaf: Array, along: Along) -> Array:
    """Return the gradient by what all points know, one number at a time."""
    xp, size = array_namespace(leaf), math.prod(leaf.shape)
    eye = xp.eye(size, dtype=leaf.dtype, device=system.backend.placement(leaf))
    sums = [xp.sum(along(xp.reshape(eye[k, :], (1, *leaf.shape)))) for k in range(size)]
    return xp.reshape(xp.stack(sums), leaf.shape)


def _by_places(
    system: System, name: str, leaf: Array, along: Along, axes: tuple[str, ...], names: tuple[str, ...]
) -> Array:
    """Return the gradient by what each point, level or side has of its own."""
    xp, n_batch = array_namespace(leaf), system.n_batch
    names = names[max(0, len(names) - leaf.ndim) :]
    first = leaf.ndim - len(names)  # behind the batch axes
    sizes = dict(zip(names, leaf.shape[first:], strict=True))
    own = tuple(axis for axis in axes if sizes.get(axis, 1) > 1)
    if own and not system.rule.is_builtin:
        advice = "Give it a method weights(u, *, grid, boundary), which returns M^T u, or use sensitivity()."
        expected = "a rule that says what its rows take of f, where nothing differentiates automatically"
        raise mismatch(f"wrt={name!r}", expected, repr(system.rule.key), advice)
    seeds = _seeds(system, leaf, first + sum(axis in axes for axis in names))
    linked = system.grid.linked
    total: Any = 0.0
    for mask in _colours(system, leaf, first + names.index(linked)) if linked in own else (None,):
        directions = seeds if mask is None else seeds * mask
        sums = system.grid.per_point(along(xp.broadcast_to(directions, (seeds.shape[0], *leaf.shape))))
        if mask is not None:
            place = 1 + n_batch + axes.index(linked)
            sums = _to_its_point(sums, place, xp.reshape(mask, (-1,)))
        total = total + sums
    over = tuple(1 + n_batch + k for k, axis in enumerate(axes) if axis not in own)
    total = xp.sum(total, axis=over) if over else total
    return xp.reshape(xp.moveaxis(_over_batch(total, leaf.shape[:first], n_batch), 0, -1), leaf.shape)


def _seeds(system: System, leaf: Array, first: int) -> Array:
    """Return the units of the axes from ``first`` on, (size, 1, ..., 1, *those axes)."""
    xp, inner = array_namespace(leaf), leaf.shape[first:]
    size = math.prod(inner)
    eye = xp.eye(size, dtype=leaf.dtype, device=system.backend.placement(leaf))
    return xp.reshape(eye, (size, *(1 for _ in range(first)), *inner))


def _colours(system: System, leaf: Array, axis: int) -> Iterator[Array]:
    """Yield masks along an axis; no row knows two points of one mask."""
    xp, T = array_namespace(leaf), leaf.shape[axis]
    numbers = xp.arange(T, device=system.backend.placement(leaf)) % COLOURS
    shape = (T, *(1 for _ in range(leaf.ndim - axis - 1)))
    for colour in range(COLOURS):
        yield xp.reshape(xp.astype(numbers == colour, leaf.dtype), shape)


def _to_its_point(sums: Array, axis: int, mask: Array) -> Array:
    """Return, at the points of a mask, the sum over the two rows that know them."""
    xp = array_namespace(sums)
    sums = xp.moveaxis(sums, axis, -1)
    after = xp.concat([sums[..., 1:], xp.zeros_like(sums[..., :1])], axis=-1)
    return xp.moveaxis((sums + after) * mask, -1, axis)


def _over_batch(values: Array, shape: tuple[int, ...], n_batch: int) -> Array:
    """Sum (m, *B, ...) over the batch axes that a leaf of batch shape ``shape`` shares."""
    xp, missing = array_namespace(values), n_batch - len(shape)
    shared = tuple(k + 1 for k in range(n_batch) if k < missing or shape[k - missing] == 1)
    return xp.sum(values, axis=shared) if shared else values
