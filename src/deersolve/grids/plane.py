"""Two axes of space: a line along each, and what is given at their ends."""

from __future__ import annotations

import dataclasses

from ..backends.namespace import Array, array_namespace
from ..backends.trees import record, static
from .base import Grid
from .line import Ends, Line

SIDES = ("left", "right", "bottom", "top")


@record
class Basis:
    """The eigenvectors of d2/ds2 on a line, of every component or of all of them.

    Attributes
    ----------
    to, back : array, shape (*B, n or 1, N, N), all axes of B of length 1
        ``back diag(values) to`` is d2/ds2 on the points where no value is given.
    values : array, shape (*B, n or 1, N)
        The eigenvalues; large and negative where a value is given.
    """

    to: Array
    back: Array
    values: Array


@record
class Sides:
    """What is given at the ends of both lines.

    Attributes
    ----------
    s : Ends
        Left and right, (*B, Y or 1, 1, n).
    r : Ends
        Bottom and top, (*B, X or 1, 1, n).
    """

    s: Ends
    r: Ends


@record
class Plane(Grid):
    """The grid of an equation in two dimensions: u has the shape (*B, X, Y, n), X points of s and Y of r.

    Attributes
    ----------
    s, r : Line
        Arrays of the rank of u, the points of the line on axis -2.
    D : array
        The coefficient of the Laplacian; broadcasts to (*B, X, Y, n).
    free : array, shape (X, Y, n)
        1 where the equation holds, 0 where a value is given.
    own : array, shape (X, Y, n)
        The size of the weight of u in its own Laplacian.
    bases : tuple of Basis
        Those of s and of r.
    places : dict of array
        The points of s and r as they were given, or the midpoints of cells.
    images : tuple of bool
        Whether the last point of s, and of r, is the image of the first, and left out.
    holds : bool
        Whether a value is given anywhere.
    """

    s: Line
    r: Line
    D: Array
    free: Array
    own: Array
    bases: tuple[Basis, Basis]
    places: dict[str, Array]
    images: tuple[bool, bool] = static(default=(False, False))
    holds: bool = static(default=True)

    @property
    def ndim(self) -> int:
        """The number of grid axes."""
        return 2

    @property
    def space(self) -> dict[str, Array]:
        """The points of space by the names of their axes."""
        return self.places

    @property
    def lines(self) -> dict[str, Line]:
        """The axes of space by their names."""
        return {"s": self.s, "r": self.r}

    @property
    def transport(self) -> tuple[Array, Array, Array]:
        """The weights of the second derivatives, of the first and of u in L."""
        return self.D, 0 * self.D, 0 * self.D

    def in_space(self, a: Array, tail: int) -> Array:
        """Return an array (*B, X, Y, ...) with so many axes of a point."""
        return a

    @property
    def flow(self) -> Array:
        """The sign of D, 0 where a value is given: that with which ``u_tau = D Laplacian(u) - f`` is well-posed."""
        return self.free

    def laplacian(self, u: Array) -> Array:
        """Return ``u_ss + u_rr`` for right-hand sides of zero."""
        s, r = self.s, self.r
        return turned(s.second.of(turned(u), s.is_ring)) + r.second.of(u, r.is_ring)

    def laplacian_given(self, sides: Sides) -> Array:
        """Return what the right-hand sides of the conditions add to it."""
        return turned(self.s.second.given(sides.s)) + self.r.second.given(sides.r)

    def values(self, sides: Sides) -> Array:
        """Return the values that conditions give, 0 where the equation holds; in a corner left and right go first."""
        return turned(self.s.values(sides.s)) + turned(self.s.free) * self.r.values(sides.r)

    def named(self, boundary: Sides) -> dict[str, Array]:
        """Return the data of the equation by the names that a problem gives them."""
        s, r = boundary.s, boundary.r
        return {"left": s.left, "right": s.right, "bottom": r.left, "top": r.right, "D": self.D}

    def renamed(self, boundary: Sides, new: dict[str, Array]) -> tuple[Plane, Sides]:
        """Return the plane and the boundary data with some of those in the place of the old ones."""
        now = {**self.named(boundary), **new}
        sides = Sides(Ends(now["left"], now["right"]), Ends(now["bottom"], now["top"]))
        return dataclasses.replace(self, D=now["D"]), sides

    def proper(self, a: Array) -> Array:
        """Return an array (*B, X, Y, k), or with axes of 1, without the images of first points."""
        return without_images(a, self.images)

    def along(self, name: str, a: Array) -> Array:
        """Return what is given along a side, (*B, N or 1, n), without the image of its first point."""
        return without_images(a[..., None, :, :], (False, self.images[1 if name in SIDES[:2] else 0]))[..., 0, :, :]

    def lay(self, name: str, given: Array, like: Array) -> Array:
        """Return what a user gave by that name, laid out like an array of :meth:`named` or of x."""
        if name in SIDES:
            given = self.along(name, with_axes(given, 2))[..., None, :]
        else:
            given = self.proper(with_axes(given, 3))
        return array_namespace(given).broadcast_to(given, like.shape)

    def per_point(self, c: Array) -> Array:
        """Return the sums over the components at each point, with 0 at the images of first points."""
        xp = array_namespace(c)
        sums = xp.sum(c, axis=-1)
        if self.images[0]:
            sums = xp.concat([sums, 0 * sums[..., :1, :]], axis=-2)
        return xp.concat([sums, 0 * sums[..., :1]], axis=-1) if self.images[1] else sums

    def present_transposed(self, c: Array) -> Array:
        """Return the transpose of :meth:`present`, of c: what an image is given belongs to its first point."""
        xp = array_namespace(c)
        if self.images[0]:
            c = xp.concat([c[..., :1, :, :] + c[..., -1:, :, :], c[..., 1:-1, :, :]], axis=-3)
        return xp.concat([c[..., :1, :] + c[..., -1:, :], c[..., 1:-1, :]], axis=-2) if self.images[1] else c

    def absorb(self, u: Array, stages: Array | None) -> Array:
        """Return u without the images of first points."""
        return self.proper(u)

    def present(self, u: Array) -> Array:
        """Return u with the images of first points."""
        xp = array_namespace(u)
        if self.images[0]:
            u = xp.concat([u, u[..., :1, :, :]], axis=-3)
        return xp.concat([u, u[..., :1, :]], axis=-2) if self.images[1] else u


def without_images(a: Array, images: tuple[bool, bool]) -> Array:
    """Return an array (*B, X, Y, k) without the last points of the axes that have an image; axes of 1 stay."""
    rows, columns = (
        slice(-1) if is_image and a.shape[axis] > 1 else slice(None)
        for axis, is_image in zip((-3, -2), images, strict=True)
    )
    return a[..., rows, columns, :]


def with_axes(a: Array, rank: int) -> Array:
    """Return an array with at least so many axes."""
    return array_namespace(a).reshape(a, (*(1 for _ in range(rank - a.ndim)), *a.shape))


def turned(u: Array) -> Array:
    """Return (*B, Y, X, n) of (*B, X, Y, n), and the other way round."""
    rank = u.ndim
    return array_namespace(u).permute_dims(u, (*range(rank - 3), rank - 2, rank - 3, rank - 1))


def components_first(u: Array) -> Array:
    """Return (*B, n, X, Y) of (*B, X, Y, n)."""
    rank = u.ndim
    return array_namespace(u).permute_dims(u, (*range(rank - 3), rank - 1, rank - 3, rank - 2))


def components_last(u: Array) -> Array:
    """Return (*B, X, Y, n) of (*B, n, X, Y)."""
    rank = u.ndim
    return array_namespace(u).permute_dims(u, (*range(rank - 3), rank - 2, rank - 1, rank - 3))
