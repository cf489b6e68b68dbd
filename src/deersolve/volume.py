"""Time and two axes of space: every stage of every level of an evolution equation in a rectangle."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Self

from .domain import Slice, TimeGrid
from .plane import Plane, Sides
from .record import record, static, tree_map
from .typing import Array, Tree, array_namespace


@record
class Volume(TimeGrid):
    """The grid of an evolution equation in a rectangle; y is laid out as (*B, T, m X Y n).

    Attributes
    ----------
    t : array, shape (T,)
        The times.
    D : array, shape (T - 1, 1)
        The interval lengths.
    level, whole : Plane
        The rectangle, its arrays of the rank of one level, (*B, X, Y, n), and of all stages, (*B, T, m, X, Y, n).
    sides : Sides
        What is given on the sides, at the time of each stage, (*B, T, m, Y, 1, n) and (*B, T, m, X, 1, n).
    shape : tuple of int
        m, X, Y, n.
    """

    level: Plane
    whole: Plane
    sides: Sides
    shape: tuple[int, ...] = static()

    @property
    def block(self) -> int:
        """The number of components that f couples at a point."""
        return self.shape[-1]

    @property
    def has_image(self) -> bool:
        """Whether a stage holds a point twice: images of first points are left out."""
        return False

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

    def presented(self, y: Array) -> Array:
        """Return u at the levels, (*B, T, X, Y, n): the last stages, with the images of first points."""
        return self.level.presented(self.apart(y)[..., -1, :, :, :])

    def pointwise(self, f: Callable[..., Array]) -> Callable[..., Array]:
        """Return f of (*B, T, m, X, Y, n) as a function of (*B, T, m X Y n)."""
        m, X, Y, _ = self.shape

        def natural(leaf: Array) -> Array:
            return array_namespace(leaf).reshape(leaf, (*leaf.shape[:-1], m, X, Y, leaf.shape[-1] // (m * X * Y)))

        def flat(*args: Any) -> Array:
            *ys, x = args
            return self.together(f(*map(self.apart, ys), tree_map(natural, x)))

        return flat


def laid_in_volume(x: Tree, shape: tuple[int, ...]) -> Tree:
    """Return leaves (*B, T or 1, m, X or 1, Y or 1, k) as (*B, T or 1, m X Y k)."""
    m, X, Y, _ = shape

    def flat(leaf: Array) -> Array:
        xp = array_namespace(leaf)
        full = xp.broadcast_to(leaf, (*leaf.shape[:-4], m, X, Y, leaf.shape[-1]))
        return xp.reshape(full, (*leaf.shape[:-4], m * X * Y * leaf.shape[-1]))

    return tree_map(flat, x)
