"""Time and two axes of space: every stage of every level of an evolution equation in a rectangle."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Self

from ..backends.namespace import Array, Tree, array_namespace
from ..backends.trees import record, static, tree_map
from .axis import Axis, Sides
from .box import SIDES, Box, with_axes
from .sheet import shaped_like, staged
from .times import Initial, Slice, TimeGrid


@record
class Volume(TimeGrid):
    """The grid of an evolution equation in a rectangle; y is laid out as (*B, T, m X Y n).

    Attributes
    ----------
    t : array, shape (T,)
        The times.
    D : array, shape (T - 1, 1)
        The interval lengths.
    level, whole : Box
        The rectangle, its arrays of the rank of one level, (*B, X, Y, n), and of all stages, (*B, T, m, X, Y, n).
    sides : Sides
        What is given on the sides, at the time of each stage, (*B, T, m, 1, Y, n) and (*B, T, m, X, 1, n).
    shape : tuple of int
        m, X, Y, n.
    nodes : tuple of float
        Where in its interval each stage is; the last is 1.
    """

    level: Box
    whole: Box
    sides: Sides
    shape: tuple[int, ...] = static()
    nodes: tuple[float, ...] = static()

    @property
    def block(self) -> int:
        """The number of components that f couples at a point."""
        return self.shape[-1]

    @property
    def space(self) -> dict[str, Array]:
        """The points of space by the names of their axes."""
        return self.level.space

    def window(self, cut: Slice, start: Any, length: int) -> Volume:
        """Return the grid of ``length`` intervals from level ``start``."""
        sides = tree_map(lambda a: cut(a, start, length + 1, -5), self.sides)
        t, D = cut(self.t, start, length + 1, -1), cut(self.D, start, length, -2)
        return dataclasses.replace(self, t=t, D=D, sides=sides, live=None)

    def longer(self, repeated: Callable[..., Array], still: Array) -> Self:
        """Return the grid with so many intervals of no length behind its end."""
        sides = tree_map(lambda a: repeated(a, -5), self.sides)
        return dataclasses.replace(super().longer(repeated, still), sides=sides)

    def apart(self, y: Array) -> Array:
        """Return (*B, T, m, X, Y, n) of (*B, T, m X Y n)."""
        return array_namespace(y).reshape(y, (*y.shape[:-1], *self.shape))

    def together(self, u: Array) -> Array:
        """Return (*B, T, m X Y n) of (*B, T, m, X, Y, n)."""
        m, X, Y, n = self.shape
        return array_namespace(u).reshape(u, (*u.shape[:-4], m * X * Y * n))

    @property
    def lines(self) -> dict[str, Axis]:
        """The axes of space by their names."""
        return self.level.lines

    @property
    def transport(self) -> tuple[Array, tuple[Array, ...], Array]:
        """The weights of the second derivatives, of the first and of u in L."""
        return self.level.transport

    def signal(self, place: int, y: Array, boundary: Initial) -> Array:
        """Return one of the signals of every level and stage, laid out as y is."""
        return self.together(self.whole.signal(place, self.apart(y), self.sides))

    def in_space(self, a: Array, tail: int) -> Array:
        """Return the levels of an array laid out as y, (*B, T, X, Y, ...), with so many axes of a point."""
        shape = (*self.shape, self.shape[-1])[: 3 + tail]
        apart = array_namespace(a).reshape(a, (*a.shape[: a.ndim + 1 - 2 * tail], *shape))
        return apart[(..., -1, slice(None), slice(None), *(slice(None),) * tail)]

    def present(self, y: Array) -> Array:
        """Return u at the levels, (*B, T, X, Y, n): the last stages, with the images of first points."""
        return self.level.present(self.apart(y)[..., -1, :, :, :])

    def stages(self, y: Array) -> Array | None:
        """Return u at the stages between levels, (*B, T, m - 1, X, Y, n), or None if there are none."""
        return None if len(self.nodes) == 1 else self.level.present(self.apart(y)[..., :-1, :, :, :])

    def absorb(self, u: Array, stages: Array | None) -> Array:
        """Return y of what :meth:`present` and :meth:`stages` return."""
        last = u[..., None, :, :, :]
        full = last if stages is None else array_namespace(u).concat([stages, last], axis=-4)
        return self.together(self.level.without_images(full))

    def present_transposed(self, c: Array) -> Array:
        """Return the transpose of :meth:`present`, of c."""
        last = self.level.present_transposed(c)[..., None, :, :, :]
        return self.together(array_namespace(c).concat([0 * last] * (len(self.nodes) - 1) + [last], axis=-4))

    def with_conditions(self, change: Callable[[Array], Array]) -> Self:
        """Return the grid with what it holds of conditions changed."""
        return dataclasses.replace(self, sides=tree_map(change, self.sides))

    def named(self, boundary: Initial) -> dict[str, Array]:
        """Return the data of the equation by the names that a problem gives them."""
        return {"u0": boundary.y0, **self.level.named(self.sides)}

    def renamed(self, boundary: Initial, new: dict[str, Array]) -> tuple[Volume, Initial]:
        """Return the volume and the boundary data with some of those in the place of the old ones."""
        level, sides = self.level.renamed(self.sides, new)
        whole = dataclasses.replace(self.whole, a=level.a[..., None, None, :, :, :])
        volume = dataclasses.replace(self, level=level, whole=whole, sides=sides)
        return volume, Initial(volume.begun(new.get("u0", boundary.y0)))

    def begun(self, y0: Array) -> Array:
        """Return the first level with the values that conditions give: they hold from there on, whatever u0 says."""
        sides = tree_map(lambda a: a[..., :1, :, :, :, :], self.sides)
        return self.together(self.whole.free * self.apart(y0) + self.whole.values(sides))

    def lay(self, name: str, given: Array, like: Array) -> Array:
        """Return what a user gave by that name, laid out like an array of :meth:`named` or of x."""
        xp, m = array_namespace(given), len(self.nodes)
        if any(name in names for names in SIDES):
            along = self.level.along(name, with_axes(given, 3))
            return xp.broadcast_to(staged(along, self.nodes, -4), like.shape)
        given = self.level.without_images(with_axes(given, 3))
        if name == "u0":
            full = given[..., None, None, :, :, :]
            given = self.together(xp.broadcast_to(full, (*full.shape[:-5], 1, m, *full.shape[-3:])))
        elif name == "x":
            given = laid_in_volume(staged(with_axes(given, 4), self.nodes, -4), self.shape)
        return xp.broadcast_to(given, like.shape)

    def per_point(self, c: Array) -> Array:
        """Return the sums over stages and components at each point of each level, (*B, T, X, Y), 0 at images."""
        return self.level.per_point(array_namespace(c).sum(self.apart(c), axis=-4))

    def pointwise(self, f: Callable[..., Array]) -> Callable[..., Array]:
        """Return f of (*B, T, m, X, Y, n) as a function of (*B, T, m X Y n)."""
        m, X, Y, _ = self.shape

        def natural(leaf: Array) -> Array:
            return array_namespace(leaf).reshape(leaf, (*leaf.shape[:-1], m, X, Y, leaf.shape[-1] // (m * X * Y)))

        def flat(*args: Any) -> Array:
            *ys, x = args
            us = tuple(map(self.apart, ys))
            return self.together(shaped_like(us[0], f(*us, tree_map(natural, x))))

        return flat


def laid_in_volume(x: Tree, shape: tuple[int, ...]) -> Tree:
    """Return leaves (*B, T or 1, m, X or 1, Y or 1, k) as (*B, T or 1, m X Y k)."""
    m, X, Y, _ = shape

    def flat(leaf: Array) -> Array:
        xp = array_namespace(leaf)
        full = xp.broadcast_to(leaf, (*leaf.shape[:-4], m, X, Y, leaf.shape[-1]))
        return xp.reshape(full, (*leaf.shape[:-4], m * X * Y * leaf.shape[-1]))

    return tree_map(flat, x)
