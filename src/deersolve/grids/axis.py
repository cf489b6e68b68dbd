"""One axis of space: its points, the differences along it, and what is given at its two ends.

An array of an axis is laid along it, (1, ..., N, ..., 1, n), and meets u, (*B, *R, n), by broadcasting: every map knows
which axis of u is its own, counted from the last.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Self

from ..backends.namespace import Array, array_namespace, joined, part
from ..backends.trees import record, static, tree_map

FIRST, LAST, BUT_FIRST, BUT_LAST = slice(0, 1), slice(-1, None), slice(1, None), slice(0, -1)


def beside(before: Array, behind: Array, axis: int, is_ring: bool) -> tuple[Array, Array]:
    """Return one array moved a place forward along an axis, and one back: at an open end nothing comes in."""
    xp, rest = array_namespace(before), (slice(None),) * (-axis - 1)
    last, first = before[(..., LAST, *rest)], behind[(..., FIRST, *rest)]
    if not is_ring:
        last, first = last * 0, first * 0
    forward = xp.concat([last, before[(..., BUT_LAST, *rest)]], axis=axis)
    return forward, xp.concat([behind[(..., BUT_FIRST, *rest)], first], axis=axis)


def laid_along(a: Array, axis: int, rank: int) -> Array:
    """Return an array (N, n) laid along an axis, with so many axes."""
    shape = [1] * (rank - 1) + [a.shape[-1]]
    shape[axis] = a.shape[-2]
    return array_namespace(a).reshape(a, tuple(shape))


@record
class Ends:
    """What is given at the two ends of an axis: the right-hand sides of the conditions.

    Attributes
    ----------
    first, last : array, shape (*B, ..., 1, ..., n)
        One for each point of the other axes of space.
    """

    first: Array
    last: Array


@record
class Sides:
    """What is given at the ends of every axis of space."""

    ends: tuple[Ends, ...]


@record
class Stencil:
    """A linear map of three neighbours, ``(S u)_i = lower_i u_{i-1} + middle_i u_i + upper_i u_{i+1} + given_i``.

    Attributes
    ----------
    lower, middle, upper : array
        With what the conditions say of points beyond the ends.
    first, last : array
        The weights of the right-hand sides of the conditions: 0 but in the first and in the last row.
    axis : int
        The axis of u that it is a map along.
    is_ring : bool
        Whether the first point is behind the last.
    """

    lower: Array
    middle: Array
    upper: Array
    first: Array
    last: Array
    axis: int = static(default=-2)
    is_ring: bool = static(default=False)

    def of(self, u: Array) -> Array:
        """Return ``S u`` for right-hand sides of zero."""
        before, behind = beside(u, u, self.axis, self.is_ring)
        return self.lower * before + self.middle * u + self.upper * behind

    def adjoint(self, v: Array) -> Array:
        """Return ``S^T v``."""
        behind, before = beside(self.upper * v, self.lower * v, self.axis, self.is_ring)
        return before + self.middle * v + behind

    def given(self, ends: Ends) -> Array:
        """Return what the right-hand sides of the conditions add."""
        return self.first * ends.first + self.last * ends.last

    def sizes(self) -> Stencil:
        """Return the map of the absolute values."""
        sizes: Stencil = tree_map(lambda a: array_namespace(a).abs(a), self)
        return sizes

    def bands(self) -> dict[int, Array]:
        """Return the weights of the neighbour so many points further on, in every row."""
        return {-1: self.lower, 0: self.middle, 1: self.upper}

    def laid(self, axis: int, rank: int, is_ring: bool) -> Self:
        """Return the map along another axis, of arrays with so many axes."""
        made: Self = tree_map(lambda a: laid_along(a, axis, rank), self)
        return dataclasses.replace(made, axis=axis, is_ring=is_ring)


@record
class Composed:
    """One stencil after another: the neighbour of the neighbour.

    Attributes
    ----------
    outer, inner : Stencil
        What is applied last, without right-hand sides of its own, and what is applied first.
    """

    outer: Stencil
    inner: Stencil

    def of(self, u: Array) -> Array:
        """Return ``S u`` for right-hand sides of zero."""
        return self.outer.of(self.inner.of(u))

    def adjoint(self, v: Array) -> Array:
        """Return ``S^T v``."""
        return self.inner.adjoint(self.outer.adjoint(v))

    def given(self, ends: Ends) -> Array:
        """Return what the right-hand sides of the conditions add: nothing in a ring."""
        return dataclasses.replace(self.outer, is_ring=False).of(self.inner.given(ends))

    def bands(self) -> dict[int, Array]:
        """Return the weights of the neighbour so many points further on, in every row."""
        xp, inner = array_namespace(self.inner.middle), self.inner.bands()
        made = dict.fromkeys(range(-2, 3), 0 * self.inner.middle)
        for j, outer in self.outer.bands().items():
            for k, weight in inner.items():
                made[j + k] = made[j + k] + outer * xp.roll(weight, -j, axis=self.inner.axis)
        return made

    def laid(self, axis: int, rank: int, is_ring: bool) -> Composed:
        """Return the map along another axis, of arrays with so many axes."""
        return Composed(self.outer.laid(axis, rank, is_ring), self.inner.laid(axis, rank, is_ring))


@record
class Wall:
    """One end: beyond it u is ``value u_w + slope du/dn + own u_0 + next u_1``, u_0 the point next to it.

    Attributes
    ----------
    distance : array, shape (1, 1)
        That of u_0 from the wall.
    value, slope, own, next : array, shape (1, n)
        The weights of u and its outward derivative at the wall, of u_0 and of its neighbour.
    """

    distance: Array
    value: Array
    slope: Array
    own: Array
    next: Array


@record
class Walls:
    """What is between the points of a line, and beyond.

    Attributes
    ----------
    gaps : array, shape (N + 1, 1)
        The distances between neighbours, with the points beyond both ends.
    ends : tuple of Wall
        The first and the last; of no use in a ring.
    """

    gaps: Array
    ends: tuple[Wall, Wall]


@record
class Basis:
    """The eigenvectors of the second difference along an axis, of every component or of all of them.

    Attributes
    ----------
    to, back : array, shape (*B, n or 1, N, N), all axes of B of length 1
        ``back diag(values) to`` is the second difference on the points where no value is given.
    values : array, shape (*B, n or 1, N)
        The eigenvalues; large and negative where a value is given.
    """

    to: Array
    back: Array
    values: Array


@record
class Axis:
    """The points of one axis of space, and d/ds and d2/ds2 along it.

    Attributes
    ----------
    points : array, shape (N,)
        The points that are solved for: in a ring without the last, which is the image of the first.
    second, first : Stencil
        d2/ds2 and d/ds, of second order.
    free : array
        1 where the equation holds, 0 where a value is given.
    held : Ends
        Where a value is given, 1 at that end, else 0.
    around : tuple of Stencil and Composed
        In cells of an equation with a flux, the states that it is given besides u: those of the cells before and those
        behind, or what a condition says of u at a wall between.
    basis : Basis or None
        The eigenvectors of d2/ds2, where a solve takes them.
    walls : Walls or None
        The distances between the points, and the ends, where an error of the differences is estimated.
    name : str
        The name of the axis.
    place : int
        Which axis of u it is, counted from the last.
    is_ring, has_image : bool
        Whether the axis is periodic, and whether its last point was left out as the image of the first.
    unfixed : tuple of bool
        Of each component, whether both conditions hold for u + constant too.
    """

    points: Array
    second: Stencil
    first: Stencil
    free: Array
    held: Ends
    around: tuple[Stencil | Composed, ...] = ()
    basis: Basis | None = None
    walls: Any = None
    name: str = static(default="s")
    place: int = static(default=-2)
    is_ring: bool = static(default=False)
    has_image: bool = static(default=False)
    unfixed: tuple[bool, ...] = static(default=())

    def values(self, ends: Ends) -> Array:
        """Return the values that conditions give, 0 where the equation holds."""
        return self.held.first * ends.first + self.held.last * ends.last

    def without_image(self, a: Array) -> Array:
        """Return an array without the image of the first point; one that does not vary along the axis stays."""
        return part(a, self.place, None, -1) if self.has_image and a.shape[self.place] > 1 else a

    def with_image(self, a: Array) -> Array:
        """Return an array with the image of the first point behind the last."""
        return joined([a, part(a, self.place, None, 1)], self.place) if self.has_image else a

    def image_to_point(self, c: Array) -> Array:
        """Return the transpose of :meth:`with_image`, of c."""
        if not self.has_image:
            return c
        first = part(c, self.place, None, 1) + part(c, self.place, -1, None)
        return joined([first, part(c, self.place, 1, -1)], self.place)
