"""The data of a solved element in place of those that failed, where derivatives are taken."""

from __future__ import annotations

import dataclasses

from ..backends.namespace import Array, array_namespace, padded_behind
from ..backends.trees import tree_map
from ..grids.axis import Sides
from ..grids.interval import Values
from ..grids.times import Initial
from .equation import System


def sheltered(system: System, y: Array, usable: Array) -> tuple[System, Array]:
    """Return the system and y with the data of a usable element in place of those that are not.

    There f and its derivatives are finite, so that a product with zero is zero; and what a failed element shares with
    others hears nothing of the element it stands in for.
    """
    backend, xp = system.backend, array_namespace(y)
    if backend.is_concrete(usable) and bool(xp.all(usable)):
        return system, y
    stop, rank, sizes = backend.without_gradient, y.ndim, tuple(usable.shape)
    place = xp.argmax(xp.reshape(xp.astype(usable, xp.int32), (-1,)))
    places: list[Array] = []
    for size in reversed(sizes):
        places.insert(0, xp.reshape(place % size, (1,)))
        place = place // size

    def one_that_is(leaf: Array) -> Array:
        for axis, (size, k) in enumerate(zip(sizes, places, strict=True)):
            leaf = xp.take(leaf, k, axis=axis) if leaf.shape[axis] == size else leaf
        return leaf

    def shelter(leaf: Array) -> Array:
        if leaf.ndim < rank or all(size == 1 for size in leaf.shape[: len(sizes)]):
            return leaf
        shared = tuple(k for k, size in enumerate(sizes) if leaf.shape[k] != size)
        keep = xp.any(usable, axis=shared, keepdims=True) if shared else usable
        keep = padded_behind(keep, leaf.ndim)
        other = stop(one_that_is(leaf))
        if xp.isdtype(leaf.dtype, "real floating"):
            other = other + xp.where(xp.isfinite(leaf), leaf - stop(leaf), 0.0)
        return xp.where(keep, leaf, other)

    data = system.data
    given = isinstance(data.boundary, Initial | Sides | Values)
    boundary = tree_map(shelter, data.boundary) if given else data.boundary
    grid = data.grid.with_conditions(shelter)
    data = dataclasses.replace(data, x=tree_map(shelter, data.x), grid=grid, boundary=boundary)
    system = dataclasses.replace(system, data=data)
    spare = xp.where(xp.any(usable), stop(one_that_is(y)), stop(data.guess))
    return system, xp.where(system.per_element(usable), y, spare)
