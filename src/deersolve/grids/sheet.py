"""Space and time together: levels of points on a line, and the stages of a rule between two levels.

The solver marches over levels, so that all of one level is one point to it: y is (*B, T, m X n), the m stages of the
interval that ends there, X points, n components.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Self

from ..backends.namespace import Array, Tree, array_namespace
from ..backends.trees import record, static, tree_map
from ..errors import FunctionError
from .axis import Axis, Sides
from .box import Box, with_axes
from .times import Initial, Slice, TimeGrid


@record
class Sheet(TimeGrid):
    """The grid of an evolution equation.

    Attributes
    ----------
    t : array, shape (T,)
        The times.
    D : array, shape (T - 1, 1)
        The interval lengths.
    box : Box
        The points of space; its arrays have the rank of u, (*B, T, m, X, n).
    sides : Sides
        What is given at both ends, at the time of each stage, (*B, T, m, 1, n).
    shape : tuple of int
        m, X, n.
    nodes : tuple of float
        Where in its interval each stage is; the last is 1.
    """

    box: Box
    sides: Sides
    shape: tuple[int, ...] = static()
    nodes: tuple[float, ...] = static()

    @property
    def block(self) -> int:
        """The number of components that f couples at a point."""
        return self.shape[-1]

    def window(self, cut: Slice, start: Any, length: int) -> Sheet:
        """Return the grid of ``length`` intervals from level ``start``."""
        sides = tree_map(lambda a: cut(a, start, length + 1, -4), self.sides)
        t, D = cut(self.t, start, length + 1, -1), cut(self.D, start, length, -2)
        return dataclasses.replace(self, t=t, D=D, sides=sides, live=None)

    def longer(self, repeated: Callable[..., Array], still: Array) -> Self:
        """Return the grid with so many intervals of no length behind its end."""
        sides = tree_map(lambda a: repeated(a, -4), self.sides)
        return dataclasses.replace(super().longer(repeated, still), sides=sides)

    def apart(self, y: Array) -> Array:
        """Return (*B, T, m, X, n) of (*B, T, m X n)."""
        return array_namespace(y).reshape(y, (*y.shape[:-1], *self.shape))

    def together(self, u: Array) -> Array:
        """Return (*B, T, m X n) of (*B, T, m, X, n)."""
        return array_namespace(u).reshape(u, (*u.shape[:-3], u.shape[-3] * u.shape[-2] * u.shape[-1]))

    @property
    def space(self) -> dict[str, Array]:
        """The points of space by the names of their axes."""
        return self.box.space

    @property
    def lines(self) -> dict[str, Axis]:
        """The axes of space by their names."""
        return self.box.lines

    @property
    def transport(self) -> tuple[Array, tuple[Array, ...], Array]:
        """The weights of the second derivative, of the first and of u in L."""
        a, b, c = self.box.transport
        return a[..., 0, 0, :, :], tuple(v[..., 0, 0, :, :] for v in b), c[..., 0, 0, :, :]

    def signal(self, place: int, y: Array, boundary: Initial) -> Array:
        """Return one of the signals of every level and stage, laid out as y is."""
        return self.together(self.box.signal(place, self.apart(y), self.sides))

    def in_space(self, a: Array, tail: int) -> Array:
        """Return the levels of an array laid out as y, (*B, T, X, ...), with so many axes of a point."""
        shape = (*self.shape, self.shape[-1])[: 2 + tail]
        apart = array_namespace(a).reshape(a, (*a.shape[: a.ndim + 1 - 2 * tail], *shape))
        return apart[(..., -1, slice(None), *(slice(None),) * tail)]

    def present(self, y: Array) -> Array:
        """Return u at the levels, (*B, T, X, n): the last stages, with the image of the first point."""
        return self.box.present(self.apart(y)[..., -1, :, :])

    def stages(self, y: Array) -> Array | None:
        """Return u at the stages between levels, (*B, T, m - 1, X, n), or None if there are none."""
        return None if len(self.nodes) == 1 else self.box.present(self.apart(y)[..., :-1, :, :])

    def absorb(self, u: Array, stages: Array | None) -> Array:
        """Return y of what :meth:`present` and :meth:`stages` return."""
        last = u[..., None, :, :]
        full = last if stages is None else array_namespace(u).concat([stages, last], axis=-3)
        return self.together(self.box.without_images(full))

    def present_transposed(self, c: Array) -> Array:
        """Return the transpose of :meth:`present`, of c."""
        last = self.box.present_transposed(c)[..., None, :, :]
        return self.together(array_namespace(c).concat([0 * last] * (len(self.nodes) - 1) + [last], axis=-3))

    def with_conditions(self, change: Callable[[Array], Array]) -> Self:
        """Return the grid with what it holds of conditions changed."""
        return dataclasses.replace(self, sides=tree_map(change, self.sides))

    def named(self, boundary: Initial) -> dict[str, Array]:
        """Return the data of the equation by the names that a problem gives them."""
        return {"u0": boundary.y0, **self.box.named(self.sides)}

    def renamed(self, boundary: Initial, new: dict[str, Array]) -> tuple[Sheet, Initial]:
        """Return the sheet and the boundary data with some of those in the place of the old ones."""
        box, sides = self.box.renamed(self.sides, new)
        sheet = dataclasses.replace(self, box=box, sides=sides)
        return sheet, Initial(sheet.begun(new.get("u0", boundary.y0)))

    def begun(self, y0: Array) -> Array:
        """Return the first level with the values that conditions give: they hold from there on, whatever u0 says."""
        if not self.box.holds:
            return y0
        sides = tree_map(lambda a: a[..., :1, :, :, :], self.sides)
        return self.together(self.box.free * self.apart(y0) + self.box.values(sides))

    def lay(self, name: str, given: Array, like: Array) -> Array:
        """Return what a user gave by that name, laid out like an array of :meth:`named` or of x."""
        xp, m = array_namespace(given), self.shape[0]
        if name in ("left", "right"):
            along = self.box.along(name, with_axes(given, 2))
            return xp.broadcast_to(staged(along, self.nodes, -3), like.shape)
        given = self.box.without_images(with_axes(given, 2))
        if name == "u0":
            full = given[..., None, None, :, :]
            given = self.together(xp.broadcast_to(full, (*full.shape[:-4], 1, m, *full.shape[-2:])))
        elif name == "x":
            given = laid_out(staged(with_axes(given, 3), self.nodes, -3), self.shape)
        return xp.broadcast_to(given, like.shape)

    def per_point(self, c: Array) -> Array:
        """Return the sums over stages and components at each point of each level, (*B, T, X)."""
        return self.box.per_point(array_namespace(c).sum(self.apart(c), axis=-3))

    def pointwise(self, f: Callable[..., Array]) -> Callable[..., Array]:
        """Return f of (*B, T, m, X, n) as a function of (*B, T, m X n)."""
        m, X, _ = self.shape

        def natural(leaf: Array) -> Array:
            return array_namespace(leaf).reshape(leaf, (*leaf.shape[:-1], m, X, leaf.shape[-1] // (m * X)))

        def flat(*args: Any) -> Array:
            *ys, x = args
            us = tuple(map(self.apart, ys))
            return self.together(shaped_like(us[0], f(*us, tree_map(natural, x))))

        return flat


def shaped_like(u: Array, fu: Any) -> Any:
    """Return what f made of u; raise if it has not its axes of space."""
    shape = getattr(fu, "shape", None)
    if shape is not None and tuple(shape) != tuple(u.shape):
        raise FunctionError(f"f: expected the shape of u, {tuple(u.shape)}; received {tuple(shape)}.")
    return fu


def staged(a: Array, nodes: tuple[float, ...], axis: int) -> Array:
    """Return an axis for the stages behind that of time, T or 1: between levels the mean of both by its place."""
    xp = array_namespace(a)
    if a.shape[axis] == 1:
        return xp.expand_dims(a, axis=axis)
    cut = (slice(None),) * (-axis - 1)
    before = xp.concat([a[(..., slice(0, 1), *cut)], a[(..., slice(None, -1), *cut)]], axis=axis)
    return xp.stack([a if c == 1.0 else (1 - c) * before + c * a for c in nodes], axis=axis)


def laid_out(x: Tree, sheet_shape: tuple[int, ...]) -> Tree:
    """Return leaves (*B, T or 1, m, X or 1, k) as (*B, T or 1, m X k)."""
    m, X, _ = sheet_shape

    def flat(leaf: Array) -> Array:
        xp = array_namespace(leaf)
        full = xp.broadcast_to(leaf, (*leaf.shape[:-3], m, X, leaf.shape[-1]))
        return xp.reshape(full, (*leaf.shape[:-3], m * X * leaf.shape[-1]))

    return tree_map(flat, x)
