"""A box of any number of axes of space, and the part of an equation on it that is linear with known weights."""

from __future__ import annotations

import dataclasses
import math
from functools import reduce
from itertools import chain
from operator import add
from typing import Any

from ..backends.namespace import Array, array_namespace, joined, part
from ..backends.trees import record, static
from .axis import Axis, Composed, Ends, Sides, Stencil
from .base import Grid

AXES = "srq"
"""The names of the axes of space."""
SIDES = (("left", "right"), ("bottom", "top"), ("front", "back"))
"""The names of the ends of each."""
AXIS_OF = {name: k for k, names in enumerate(SIDES) for name in names}
"""The number of the axis that a side ends."""


@record
class Box(Grid):
    """The grid of an equation with ``L u = a Laplacian(u) + sum_k b_k du/ds_k + c u``; u has the shape (*B, *R, n).

    Attributes
    ----------
    axes : tuple of Axis
        The axes of space, of arrays with as many axes as u.
    a : array
        The weight of the second derivatives; of an evolution equation the diffusion.
    b : tuple of array
        Those of the first derivatives, or none.
    c : array or None
        That of u itself.
    free : array, shape (*R, n)
        1 where the equation holds, 0 where a value is given.
    places : dict of array
        The points of every axis as they were given, or the midpoints of cells.
    holds : bool
        Whether a value is given anywhere.
    """

    axes: tuple[Axis, ...]
    a: Array
    b: tuple[Array, ...]
    c: Array | None
    free: Array
    places: dict[str, Array]
    holds: bool = static(default=True)

    @property
    def ndim(self) -> int:
        """The number of axes of space."""
        return len(self.axes)

    @property
    def n_points(self) -> int:
        """The number of points."""
        return math.prod(int(axis.points.shape[0]) for axis in self.axes)

    @property
    def space(self) -> dict[str, Array]:
        """The points of space by the names of their axes."""
        return self.places

    @property
    def lines(self) -> dict[str, Axis]:
        """The axes of space by their names."""
        return {axis.name: axis for axis in self.axes}

    @property
    def signals(self) -> tuple[Stencil | Composed, ...]:
        """What f is given besides u itself: the slope along every axis, and the states in the cells around."""
        return (*(axis.first for axis in self.axes), *chain.from_iterable(axis.around for axis in self.axes))

    def signal(self, place: int, u: Array, sides: Sides) -> Array:
        """Return one of the signals, of u and of what is given at the ends."""
        slopes = tuple(range(self.ndim))
        along = [*slopes, *chain.from_iterable((k,) * len(self.axes[k].around) for k in slopes)]
        signal = self.signals[place]
        return signal.of(u) + signal.given(sides.ends[along[place]])

    @property
    def transport(self) -> tuple[Array, tuple[Array, ...], Array]:
        """The weights of the second derivatives, of the first along every axis and of u in L."""
        zero = 0 * self.a
        return self.a, self.b or (zero,) * self.ndim, zero if self.c is None else self.c

    @property
    def flow(self) -> Array:
        """The sign of a, 0 where a value is given: that with which ``u_tau = sign (L u - f)`` is well-posed."""
        return array_namespace(self.a).sign(self.a) * self.free

    @property
    def own(self) -> Array:
        """The size of the weight of u in its own L u."""
        middle = reduce(add, (axis.second.middle for axis in self.axes))
        slopes = (abs(b * axis.first.middle) for b, axis in zip(self.b, self.axes, strict=False))
        own = reduce(add, slopes, abs(self.a * middle))
        return own if self.c is None else own + abs(self.c)

    @property
    def unit(self) -> Array:
        """One divided by the weight of u in its own L u, 0 where a value is given."""
        own = self.own
        return self.free / array_namespace(own).where(own > 0, own, 1.0)

    def laplacian(self, u: Array) -> Array:
        """Return the sum of the second derivatives for right-hand sides of zero."""
        return reduce(add, [axis.second.of(u) for axis in self.axes])

    def laplacian_given(self, sides: Sides) -> Array:
        """Return what the right-hand sides of the conditions add to it."""
        return reduce(add, (axis.second.given(ends) for axis, ends in zip(self.axes, sides.ends, strict=True)))

    def laplacian_adjoint(self, v: Array) -> Array:
        """Return the transpose of :meth:`laplacian`, of v."""
        return reduce(add, [axis.second.adjoint(v) for axis in self.axes])

    def laplacian_size(self, u: Array) -> Array:
        """Return the sum of the absolute values of its terms."""
        return reduce(add, (axis.second.sizes().of(u) for axis in self.axes))

    def linear(self, u: Array) -> Array:
        """Return ``L u`` for right-hand sides of zero."""
        made = self.a * self.laplacian(u)
        for b, axis in zip(self.b, self.axes, strict=False):
            made = made + b * axis.first.of(u)
        return made if self.c is None else made + self.c * u

    def linear_given(self, sides: Sides) -> Array:
        """Return what the right-hand sides of the conditions add to it."""
        made = self.a * self.laplacian_given(sides)
        for b, axis, ends in zip(self.b, self.axes, sides.ends, strict=False):
            made = made + b * axis.first.given(ends)
        return made

    def linear_size(self, u: Array) -> Array:
        """Return the size of the terms of ``L u``, of u >= 0."""
        made = abs(self.a) * self.laplacian_size(u)
        for b, axis in zip(self.b, self.axes, strict=False):
            made = made + abs(b) * axis.first.sizes().of(u)
        return made if self.c is None else made + abs(self.c) * u

    def values(self, sides: Sides) -> Array:
        """Return the values that conditions give, 0 where the equation holds; in a corner the first axis goes first."""
        total, free = self.axes[0].values(sides.ends[0]), self.axes[0].free
        for axis, ends in zip(self.axes[1:], sides.ends[1:], strict=True):
            total, free = total + free * axis.values(ends), free * axis.free
        return total

    def in_space(self, a: Array, tail: int) -> Array:
        """Return an array (*B, *R, ...) with so many axes of a point."""
        return a

    def named(self, boundary: Sides) -> dict[str, Array]:
        """Return the data of the equation by the names that a problem gives them."""
        given = {"D": self.a, "a": self.a}
        for (first, last), ends in zip(SIDES, boundary.ends, strict=False):
            given |= {first: ends.first, last: ends.last}
        given |= {"b": self.b[0]} if self.b else {}
        return given if self.c is None else {**given, "c": self.c}

    def renamed(self, boundary: Sides, new: dict[str, Array]) -> tuple[Box, Sides]:
        """Return the box and the boundary data with some of those in the place of the old ones."""
        now = {**self.named(boundary), **new}
        sides = Sides(tuple(Ends(*(now[name] for name in SIDES[k])) for k in range(self.ndim)))
        a = new["D"] if "D" in new else now["a"]
        return dataclasses.replace(self, a=a, b=(now["b"],) if self.b else (), c=now.get("c")), sides

    def without_images(self, a: Array) -> Array:
        """Return an array (*B, *R, k), or with axes of 1, without the images of first points."""
        return reduce(lambda a, axis: axis.without_image(a), self.axes, a)

    def along(self, name: str, given: Array) -> Array:
        """Return what is given along a side, with the other axes of space alone, laid along that side."""
        xp, place = array_namespace(given), AXIS_OF[name] - self.ndim - 1
        return self.without_images(xp.expand_dims(with_axes(given, self.ndim), axis=place))

    def lay(self, name: str, given: Array, like: Array) -> Array:
        """Return what a user gave by that name, laid out like an array of :meth:`named` or of x."""
        made = self.along(name, given) if name in AXIS_OF else self.without_images(with_axes(given, self.ndim + 1))
        return array_namespace(given).broadcast_to(made, like.shape)

    def per_point(self, c: Array) -> Array:
        """Return the sums over the components at each point, with 0 at the images of first points."""
        sums = array_namespace(c).sum(c, axis=-1, keepdims=True)
        for axis in self.axes:
            sums = joined([sums, 0 * part(sums, axis.place, None, 1)], axis.place) if axis.has_image else sums
        return sums[..., 0]

    def present(self, u: Array) -> Array:
        """Return u with the images of first points."""
        return reduce(lambda u, axis: axis.with_image(u), self.axes, u)

    def present_transposed(self, c: Array) -> Array:
        """Return the transpose of :meth:`present`, of c: what an image is given belongs to its first point."""
        return reduce(lambda c, axis: axis.image_to_point(c), self.axes, c)

    def absorb(self, u: Array, stages: Any) -> Array:
        """Return u without the images of first points."""
        return self.without_images(u)

    def in_eigenvectors(self, v: Array, scale: Array, is_turned: bool) -> Array:
        """Return ``back(scale * to(v))`` in the eigenvectors of every axis, v (*B, n, *R), or its transpose."""
        turn, d = array_namespace(v).matrix_transpose, self.ndim
        bases = [axis.basis for axis in self.axes if axis.basis is not None]
        to = [turn(b.back) for b in bases] if is_turned else [b.to for b in bases]
        back = [turn(b.to) for b in bases] if is_turned else [b.back for b in bases]
        v = reduce(lambda v, k: _along(to[k], v, k, d), range(d), v) * scale
        return reduce(lambda v, k: _along(back[k], v, k, d), range(d), v)

    @property
    def eigenvalues(self) -> Array:
        """Those of the Laplacian in its eigenvectors, (*B, n or 1, *R)."""
        parts = [axis.basis.values for axis in self.axes if axis.basis is not None]
        d, whole = self.ndim, slice(None)
        return reduce(add, (v[(..., *(None,) * k, whole, *(None,) * (d - 1 - k))] for k, v in enumerate(parts)))


def _along(M: Array, v: Array, k: int, d: int) -> Array:
    """Return the product with a matrix along axis k of d, v (*B, n, *R)."""
    xp, is_last = array_namespace(v), k == d - 1 > 0
    if d > 2 and k > 0:
        M = xp.reshape(M, (*M.shape[:-2], *(1,) * (k - is_last), *M.shape[-2:]))
    if is_last:
        return xp.matmul(v, xp.matrix_transpose(M))
    if k == d - 2:
        return xp.matmul(M, v)
    before = v.ndim - d + k
    flat = xp.reshape(v, (*v.shape[: before + 1], math.prod(v.shape[before + 1 :])))
    return xp.reshape(xp.matmul(M, flat), v.shape)


def with_axes(a: Array, rank: int) -> Array:
    """Return an array with at least so many axes."""
    return array_namespace(a).reshape(a, (*(1 for _ in range(rank - a.ndim)), *a.shape))


def components_first(u: Array, d: int) -> Array:
    """Return (*B, n, *R) of (*B, *R, n), R of d axes."""
    return array_namespace(u).moveaxis(u, -1, -d - 1)


def components_last(u: Array, d: int) -> Array:
    """Return (*B, *R, n) of (*B, n, *R), R of d axes."""
    return array_namespace(u).moveaxis(u, -d - 1, -1)
