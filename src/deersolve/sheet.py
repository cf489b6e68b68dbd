"""Space and time together: levels of points on a line, and the stages of a rule between two levels.

The solver marches over levels, so that all of one level is one point to it: y is (*B, T, m X n), the m stages of the
interval that ends there, X points, n components.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Self

from .domain import Slice, TimeGrid
from .line import Ends, Line
from .record import record, static, tree_map
from .typing import Array, Tree, array_namespace


@record
class Sheet(TimeGrid):
    """The grid of an evolution equation.

    Attributes
    ----------
    t : array, shape (T,)
        The times.
    D : array, shape (T - 1, 1)
        The interval lengths.
    line : Line
        The points of space; its arrays have the rank of u, (*B, T, m, X, n).
    ends : Ends
        What is given at both ends, at the time of each stage, (*B, T, m, 1, n).
    shape : tuple of int
        m, X, n.
    """

    line: Line
    ends: Ends
    shape: tuple[int, ...] = static()

    @property
    def block(self) -> int:
        """The number of components that f couples at a point."""
        return self.shape[-1]

    @property
    def has_image(self) -> bool:
        """Whether the last point is the image of the first."""
        return self.line.has_image

    def window(self, cut: Slice, start: Any, length: int) -> Sheet:
        """Return the grid of ``length`` intervals from level ``start``."""
        ends = tree_map(lambda a: cut(a, start, length + 1, -4), self.ends)
        t, D = cut(self.t, start, length + 1, -1), cut(self.D, start, length, -2)
        return dataclasses.replace(self, t=t, D=D, ends=ends, live=None)

    def longer(self, repeated: Callable[..., Array], still: Array) -> Self:
        """Return the grid with so many intervals of no length behind its end."""
        ends = tree_map(lambda a: repeated(a, -4), self.ends)
        return dataclasses.replace(super().longer(repeated, still), ends=ends)

    def apart(self, y: Array) -> Array:
        """Return (*B, T, m, X, n) of (*B, T, m X n)."""
        return array_namespace(y).reshape(y, (*y.shape[:-1], *self.shape))

    def together(self, u: Array) -> Array:
        """Return (*B, T, m X n) of (*B, T, m, X, n)."""
        return array_namespace(u).reshape(u, (*u.shape[:-3], u.shape[-3] * u.shape[-2] * u.shape[-1]))

    @property
    def space(self) -> dict[str, Array]:
        """The points of space by the names of their axes."""
        return self.line.space

    def presented(self, y: Array) -> Array:
        """Return u at the levels, (*B, T, X, n): the last stages."""
        return self.apart(y)[..., -1, :, :]

    def pointwise(self, f: Callable[..., Array]) -> Callable[..., Array]:
        """Return f of (*B, T, m, X, n) as a function of (*B, T, m X n)."""
        m, X, _ = self.shape

        def natural(leaf: Array) -> Array:
            return array_namespace(leaf).reshape(leaf, (*leaf.shape[:-1], m, X, leaf.shape[-1] // (m * X)))

        def flat(*args: Any) -> Array:
            *ys, x = args
            return self.together(f(*map(self.apart, ys), tree_map(natural, x)))

        return flat


def laid_out(x: Tree, sheet_shape: tuple[int, ...]) -> Tree:
    """Return leaves (*B, T or 1, m, X or 1, k) as (*B, T or 1, m X k)."""
    m, X, _ = sheet_shape

    def flat(leaf: Array) -> Array:
        xp = array_namespace(leaf)
        full = xp.broadcast_to(leaf, (*leaf.shape[:-3], m, X, leaf.shape[-1]))
        return xp.reshape(full, (*leaf.shape[:-3], m * X * leaf.shape[-1]))

    return tree_map(flat, x)
