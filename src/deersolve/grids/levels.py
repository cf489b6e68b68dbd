"""Levels of a box: every stage of every time of an evolution equation.

The solver marches over levels, so that all of one level is one point to it: y is (*B, T, m N n), the m stages of the
interval that ends there, N points of all axes of space, n components.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, Self

from ..backends.namespace import Array, array_namespace
from ..backends.trees import record, static, tree_map
from ..errors import FunctionError
from .axis import Axis, Sides
from .box import AXIS_OF, Box, with_axes
from .times import Initial, Slice, TimeGrid


@record
class Levels(TimeGrid):
    """The grid of an evolution equation on a box of any number d of axes R.

    Attributes
    ----------
    t : array, shape (T,)
        The times.
    D : array, shape (T - 1, 1)
        The interval lengths.
    level, whole : Box
        The box, its arrays of the rank of one level, (*B, *R, n), and of all stages, (*B, T, m, *R, n).
    sides : Sides
        What is given on the sides, at the time of each stage, (*B, T, m, ..., 1, ..., n).
    shape : tuple of int
        m, the numbers of points, n.
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
    def stage_axis(self) -> int:
        """The axis of the stages in (*B, T, m, *R, n)."""
        return -len(self.shape)

    @property
    def space(self) -> dict[str, Array]:
        """The points of space by the names of their axes."""
        return self.level.space

    @property
    def lines(self) -> dict[str, Axis]:
        """The axes of space by their names."""
        return self.level.lines

    @property
    def transport(self) -> tuple[Array, tuple[Array, ...], Array]:
        """The weights of the second derivatives, of the first and of u in L."""
        return self.level.transport

    def window(self, cut: Slice, start: Any, length: int) -> Levels:
        """Return the grid of ``length`` intervals from level ``start``."""
        sides = tree_map(lambda a: cut(a, start, length + 1, self.stage_axis - 1), self.sides)
        t, D = cut(self.t, start, length + 1, -1), cut(self.D, start, length, -2)
        return dataclasses.replace(self, t=t, D=D, sides=sides, live=None)

    def longer(self, repeated: Callable[..., Array], still: Array) -> Self:
        """Return the grid with so many intervals of no length behind its end."""
        sides = tree_map(lambda a: repeated(a, self.stage_axis - 1), self.sides)
        return dataclasses.replace(super().longer(repeated, still), sides=sides)

    def apart(self, y: Array) -> Array:
        """Return (*B, T, m, *R, n) of (*B, T, m N n)."""
        return array_namespace(y).reshape(y, (*y.shape[:-1], *self.shape))

    def together(self, u: Array) -> Array:
        """Return (*B, T, m N n) of (*B, T, m, *R, n)."""
        return array_namespace(u).reshape(u, (*u.shape[: self.stage_axis], math.prod(self.shape)))

    def at(self, u: Array, stage: Any) -> Array:
        """Return one stage, or some, of (*B, T, m, *R, n)."""
        return u[(..., stage, *(slice(None),) * (len(self.shape) - 1))]

    def signal(self, place: int, y: Array, boundary: Initial) -> Array:
        """Return one of the signals of every level and stage, laid out as y is."""
        return self.together(self.whole.signal(place, self.apart(y), self.sides))

    def in_space(self, a: Array, tail: int) -> Array:
        """Return the levels of an array laid out as y, (*B, T, *R, ...), with so many axes of a point."""
        shape = (*self.shape, self.shape[-1])[: len(self.shape) - 1 + tail]
        apart = array_namespace(a).reshape(a, (*a.shape[: a.ndim + 1 - 2 * tail], *shape))
        return apart[(..., -1, *(slice(None),) * (len(shape) - 1))]

    def present(self, y: Array) -> Array:
        """Return u at the levels, (*B, T, *R, n): the last stages, with the images of first points."""
        return self.level.present(self.at(self.apart(y), -1))

    def stages(self, y: Array) -> Array | None:
        """Return u at the stages between levels, (*B, T, m - 1, *R, n), or None if there are none."""
        return None if len(self.nodes) == 1 else self.level.present(self.at(self.apart(y), slice(None, -1)))

    def absorb(self, u: Array, stages: Array | None) -> Array:
        """Return y of what :meth:`present` and :meth:`stages` return."""
        xp = array_namespace(u)
        last = xp.expand_dims(u, axis=self.stage_axis)
        full = last if stages is None else xp.concat([stages, last], axis=self.stage_axis)
        return self.together(self.level.without_images(full))

    def present_transposed(self, c: Array) -> Array:
        """Return the transpose of :meth:`present`, of c."""
        xp = array_namespace(c)
        last = xp.expand_dims(self.level.present_transposed(c), axis=self.stage_axis)
        return self.together(xp.concat([0 * last] * (len(self.nodes) - 1) + [last], axis=self.stage_axis))

    def with_conditions(self, change: Callable[[Array], Array]) -> Self:
        """Return the grid with what it holds of conditions changed."""
        return dataclasses.replace(self, sides=tree_map(change, self.sides))

    def named(self, boundary: Initial) -> dict[str, Array]:
        """Return the data of the equation by the names that a problem gives them."""
        return {"u0": boundary.y0, **self.level.named(self.sides)}

    def renamed(self, boundary: Initial, new: dict[str, Array]) -> tuple[Levels, Initial]:
        """Return the grid and the boundary data with some of those in the place of the old ones."""
        level, sides = self.level.renamed(self.sides, new)
        a = level.a[(..., None, None, *(slice(None),) * (level.ndim + 1))]
        whole = dataclasses.replace(self.whole, a=a)
        made = dataclasses.replace(self, level=level, whole=whole, sides=sides)
        return made, Initial(made.begun(new.get("u0", boundary.y0)))

    def begun(self, y0: Array) -> Array:
        """Return the first level with the values that conditions give: they hold from there on, whatever u0 says."""
        if not self.whole.holds:
            return y0
        cut = (slice(None),) * len(self.shape)
        sides = tree_map(lambda a: a[(..., slice(0, 1), *cut)], self.sides)
        return self.together(self.whole.free * self.apart(y0) + self.whole.values(sides))

    def started(self, u0: Array) -> Array:
        """Return a start, (*B, *R, n), in all stages of one level, (*B, 1, m N n)."""
        rest = (slice(None),) * (len(self.shape) - 1)
        full = u0[(..., None, None, *rest)]
        return self.together(array_namespace(u0).broadcast_to(full, (*u0.shape[: 1 - len(self.shape)], 1, *self.shape)))

    def lay(self, name: str, given: Array, like: Array) -> Array:
        """Return what a user gave by that name, laid out like an array of :meth:`named` or of x."""
        xp, d = array_namespace(given), self.level.ndim
        if name in AXIS_OF:
            along = self.level.along(name, with_axes(given, d + 1))
            return xp.broadcast_to(staged(along, self.nodes, self.stage_axis), like.shape)
        given = self.level.without_images(with_axes(given, d + 1))
        if name == "u0":
            given = self.started(given)
        elif name == "x":
            given = self.laid_out(staged(with_axes(given, d + 2), self.nodes, self.stage_axis))
        return xp.broadcast_to(given, like.shape)

    def laid_out(self, leaf: Array) -> Array:
        """Return a leaf (*B, T or 1, m, *R or 1, k) as (*B, T or 1, m N k)."""
        xp, lead = array_namespace(leaf), leaf.shape[: self.stage_axis]
        full = xp.broadcast_to(leaf, (*lead, *self.shape[:-1], leaf.shape[-1]))
        return xp.reshape(full, (*lead, math.prod(full.shape[self.stage_axis :])))

    def per_point(self, c: Array) -> Array:
        """Return the sums over stages and components at each point of each level, (*B, T, *R), 0 at images."""
        return self.level.per_point(array_namespace(c).sum(self.apart(c), axis=self.stage_axis))

    def pointwise(self, f: Callable[..., Array]) -> Callable[..., Array]:
        """Return f of (*B, T, m, *R, n) as a function of (*B, T, m N n)."""

        def flat(*args: Any) -> Array:
            *ys, x = args
            us = tuple(map(self.apart, ys))
            return self.together(shaped_like(us[0], f(*us, tree_map(self._natural, x))))

        return flat

    def columnwise(self, columns: Callable[..., Array]) -> Callable[..., Array]:
        """Return the same of what gives all derivatives of f, (P n, *B, T, m, *R, n), by a pushforward."""

        def flat(by: Any, *args: Any) -> Array:
            *ys, x = args
            return self.together(columns(by, *map(self.apart, ys), tree_map(self._natural, x)))

        return flat

    def _natural(self, leaf: Array) -> Array:
        """Return a leaf of :meth:`laid_out` with all of its axes."""
        places, points = self.shape[:-1], math.prod(self.shape[:-1])
        return array_namespace(leaf).reshape(leaf, (*leaf.shape[:-1], *places, leaf.shape[-1] // points))


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
