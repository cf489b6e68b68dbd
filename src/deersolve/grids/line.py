"""One axis of space: its points, the differences on them, and what is given at its ends."""

from __future__ import annotations

import dataclasses
from typing import Any

from ..backends.namespace import Array, array_namespace
from ..backends.trees import record, static, tree_map
from .base import Grid


@record
class Ends:
    """What is given at the two ends of a line.

    Attributes
    ----------
    left, right : array, shape (*B, 1, n)
        The right-hand sides of the conditions.
    """

    left: Array
    right: Array


@record
class Stencil:
    """A linear map of three neighbours, ``(S y)_i = lower_i y_{i-1} + middle_i y_i + upper_i y_{i+1} + given_i``.

    Attributes
    ----------
    lower, middle, upper : array, shape (N, n)
        With what the conditions say of points beyond the ends.
    left, right : array, shape (N, n)
        The weight of the right-hand sides of the conditions: 0 but in the first and in the last row; (1, n) in a ring.
    """

    lower: Array
    middle: Array
    upper: Array
    left: Array
    right: Array

    def of(self, y: Array, is_ring: bool) -> Array:
        """Return ``S y`` for right-hand sides of zero."""
        xp, zero = array_namespace(y), y[..., :1, :] * 0
        first, last = (y[..., -1:, :], y[..., :1, :]) if is_ring else (zero, zero)
        before = xp.concat([first, y[..., :-1, :]], axis=-2)
        behind = xp.concat([y[..., 1:, :], last], axis=-2)
        return self.lower * before + self.middle * y + self.upper * behind

    def adjoint(self, v: Array, is_ring: bool) -> Array:
        """Return ``S^T v``."""
        xp, zero = array_namespace(v), v[..., :1, :] * 0
        down, up = self.lower * v, self.upper * v
        before = xp.concat([down[..., 1:, :], down[..., :1, :] if is_ring else zero], axis=-2)
        behind = xp.concat([up[..., -1:, :] if is_ring else zero, up[..., :-1, :]], axis=-2)
        return before + self.middle * v + behind

    def given(self, ends: Ends) -> Array:
        """Return what the right-hand sides of the conditions add."""
        return self.left * ends.left + self.right * ends.right

    def sizes(self) -> Stencil:
        """Return the map of the absolute values."""
        sizes: Stencil = tree_map(lambda a: array_namespace(a).abs(a), self)
        return sizes

    def bands(self) -> dict[int, Array]:
        """Return the weights of the neighbour so many points further on, in every row."""
        return {-1: self.lower, 0: self.middle, 1: self.upper}


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

    def of(self, y: Array, is_ring: bool) -> Array:
        """Return ``S y`` for right-hand sides of zero."""
        return self.outer.of(self.inner.of(y, is_ring), is_ring)

    def adjoint(self, v: Array, is_ring: bool) -> Array:
        """Return ``S^T v``."""
        return self.inner.adjoint(self.outer.adjoint(v, is_ring), is_ring)

    def given(self, ends: Ends) -> Array:
        """Return what the right-hand sides of the conditions add: nothing in a ring."""
        return self.outer.of(self.inner.given(ends), False)

    def bands(self) -> dict[int, Array]:
        """Return the weights of the neighbour so many points further on, in every row."""
        xp, inner = array_namespace(self.inner.middle), self.inner.bands()
        made = dict.fromkeys(range(-2, 3), 0 * self.inner.middle)
        for j, first in self.outer.bands().items():
            for k, second in inner.items():
                made[j + k] = made[j + k] + first * xp.roll(second, -j, axis=-2)
        return made


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
class Line(Grid):
    """The points of one space axis, and d/ds and d2/ds2 on them.

    Attributes
    ----------
    s : array, shape (N,)
        The points.
    second, first : Stencil
        d2/ds2 and d/ds, of second order; N - 1 rows where the last point is the image of the first.
    free : array, shape (N, n)
        1 where the equation holds, 0 where a value is given.
    held : Ends
        Where a value is given, 1 at that end, (N, n), else 0; (1, n) in a ring.
    weights : tuple of array
        Those of d2/ds2, of d/ds and of u itself in L, each of a shape that broadcasts to (*B, N, n).
    is_ring : bool
        Whether the axis is periodic.
    has_image : bool
        Whether the last point is the image of the first.
    unfixed : tuple of bool
        Of each component, whether both conditions hold for u + constant too.
    around : tuple of Stencil and Composed
        In cells of an equation with a flux, the states that it is given besides u: those of the cells before and those
        behind, or what a condition says of u at a wall between.
    walls : Walls or None
        The distances between the points, and the ends, where an error of the differences is estimated.
    """

    s: Array
    second: Stencil
    first: Stencil
    free: Array
    held: Ends
    weights: tuple[Array, ...]
    is_ring: bool = static(default=False)
    has_image: bool = static(default=False)
    unfixed: tuple[bool, ...] = static(default=())
    around: tuple[Stencil | Composed, ...] = ()
    walls: Any = None

    @property
    def signals(self) -> tuple[Stencil | Composed, ...]:
        """What f is given of the points around besides u itself."""
        return (self.first, *self.around)

    @property
    def n_points(self) -> int:
        """The number of grid points N."""
        return int(self.s.shape[-1])

    @property
    def space(self) -> dict[str, Array]:
        """The points of space by the names of their axes."""
        return {"s": self.s}

    @property
    def lines(self) -> dict[str, Line]:
        """The axes of space by their names."""
        return {"s": self}

    @property
    def transport(self) -> tuple[Array, Array, Array]:
        """The weights of the second derivative, of the first and of u in L."""
        second, first, own = map(self.proper, self.weights)
        return second, first, own

    def in_space(self, a: Array, tail: int) -> Array:
        """Return an array (*B, N, ...) with so many axes of a point, without the image of the first one."""
        return a[(..., slice(-1), *(slice(None),) * tail)] if self.has_image else a

    @property
    def flow(self) -> Array:
        """The sign of a, 0 where a value is given: that with which ``u_tau = sign (L u - f)`` is well-posed."""
        xp = array_namespace(self.free)
        sign = self.proper(xp.sign(self.weights[0])) * self.free
        return xp.concat([sign, 0 * sign[..., :1, :]], axis=-2) if self.has_image else sign

    def named(self, boundary: Ends) -> dict[str, Array]:
        """Return the data of the equation by the names that a problem gives them."""
        a, b, c = self.weights
        return {"left": boundary.left, "right": boundary.right, "D": a, "a": a, "b": b, "c": c}

    def renamed(self, boundary: Ends, new: dict[str, Array]) -> tuple[Line, Ends]:
        """Return the line and the boundary data with some of those in the place of the old ones."""
        old = self.named(boundary)
        weights = tuple(new.get("D", new.get(k, old[k])) if k == "a" else new.get(k, old[k]) for k in "abc")
        ends = Ends(new.get("left", boundary.left), new.get("right", boundary.right))
        return dataclasses.replace(self, weights=weights), ends

    def values(self, ends: Ends) -> Array:
        """Return the values that conditions give, 0 where the equation holds."""
        return self.held.left * ends.left + self.held.right * ends.right

    def lay(self, name: str, given: Array, like: Array) -> Array:
        """Return what a user gave by that name, laid out like an array of :meth:`named` or of x."""
        given = given[..., None, :] if name in ("left", "right") else given
        return array_namespace(given).broadcast_to(given, like.shape)

    def per_point(self, c: Array) -> Array:
        """Return the sums over the components at each point."""
        return array_namespace(c).sum(c, axis=-1)

    def proper(self, values: Array) -> Array:
        """Return the points without the image of the first one, of an array (..., N, n)."""
        return values[..., :-1, :] if self.has_image and values.shape[-2] > 1 else values
