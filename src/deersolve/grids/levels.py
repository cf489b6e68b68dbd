"""Stages of intervals, and levels of a box: where an equation in time lives that a Runge-Kutta rule solves.

y is (*B, T, m, *R, n): the m stages of the interval that ends at each time, at the points R of all axes of space, of
which an ordinary differential equation has none. The last stage is u at that time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Self

from ..backends.namespace import Array, array_namespace, joined, padded, part
from ..backends.trees import record, static, tree_map
from .axis import Axis, Sides
from .base import Data
from .box import AXIS_OF, Box
from .times import Initial, Slice, TimeGrid


@record
class Stages(TimeGrid):
    """The grid of the stages of every interval.

    Attributes
    ----------
    t : array, shape (T,)
        The times.
    D : array, shape (*B, T - 1, 1, ..., 1)
        The interval lengths, of the rank of y.
    shape : tuple of int
        m, the numbers of points of all axes of space, n.
    nodes : tuple of float
        Where in its interval each stage is; the last is 1.
    """

    shape: tuple[int, ...] = static()
    nodes: tuple[float, ...] = static()

    @property
    def ndim(self) -> int:
        """The number of axes of time, stages and space."""
        return len(self.shape)

    @property
    def stage_axis(self) -> int:
        """The axis of the stages in y."""
        return -len(self.shape)

    @property
    def together(self) -> tuple[int, ...]:
        """The axes of stages, space and components."""
        return tuple(range(self.stage_axis, 0))

    @property
    def steps(self) -> Array:
        """The interval lengths, (*B, T - 1)."""
        return array_namespace(self.D).reshape(self.D, self.D.shape[: self.axis + 1])

    def at(self, u: Array, stage: Any) -> Array:
        """Return one stage, or some."""
        return u[(..., stage, *(slice(None),) * (len(self.shape) - 1))]

    def before(self, u: Array) -> Array:
        """Return u at the beginning of every interval, with an axis of 1 for the stages, (*B, T - 1, 1, *R, n)."""
        return self.at(part(u, self.axis, None, -1), slice(-1, None))

    def behind(self, u: Array) -> Array:
        """Return all stages of every interval, (*B, T - 1, m, *R, n)."""
        return part(u, self.axis, 1, None)

    def present(self, y: Array) -> Array:
        """Return u at the times: the last stages."""
        return self.at(y, -1)

    def stages(self, y: Array) -> Array | None:
        """Return u at the stages between two times, (*B, T, m - 1, *R, n), or None if there are none."""
        return None if len(self.nodes) == 1 else self.at(y, slice(None, -1))

    def absorb(self, u: Array, stages: Array | None) -> Array:
        """Return y of what :meth:`present` and :meth:`stages` return."""
        last = array_namespace(u).expand_dims(u, axis=self.stage_axis)
        return last if stages is None else joined([stages, last], self.stage_axis)

    def present_transposed(self, c: Array) -> Array:
        """Return the transpose of :meth:`present`, of c."""
        last = array_namespace(c).expand_dims(c, axis=self.stage_axis)
        return joined([0 * last] * (len(self.nodes) - 1) + [last], self.stage_axis)

    def shown(self, place: tuple[int, ...]) -> tuple[int, ...]:
        """Return the place, in what :meth:`present` returns, of one in y behind its batch axes."""
        return (place[0], *place[2:])

    def started(self, u0: Array) -> Array:
        """Return a start, (*B, *R, n), in all stages of one level, (*B, 1, m, *R, n)."""
        full = u0[(..., None, None, *(slice(None),) * (len(self.shape) - 1))]
        return array_namespace(u0).broadcast_to(full, (*u0.shape[: self.axis + 2], 1, *self.shape))

    def in_stages(self, a: Array) -> Array:
        """Return an array (*B, T or 1, *R or 1, k) with an axis of stages: between two times the mean of both."""
        return staged(a, self.nodes, self.stage_axis)

    def lay(self, name: str, given: Array, like: Array) -> Array:
        """Return what a user gave by that name, laid out like an array of :meth:`named` or of x."""
        made = self.in_stages(padded(given, self.ndim)) if name == "x" else self.started(given)
        return array_namespace(given).broadcast_to(made, like.shape)

    def per_point(self, c: Array) -> Array:
        """Return the sums over stages and components at each time."""
        return array_namespace(c).sum(c, axis=(self.stage_axis, -1))


@record
class Levels(Stages):
    """The grid of an evolution equation on a box of any number of axes R.

    Attributes
    ----------
    level, whole : Box
        The box, its arrays of the rank of one level, (*B, *R, n), and of y.
    sides : Sides
        What is given on the sides, at the time of each stage, (*B, T, m, ..., 1, ..., n).
    """

    level: Box
    whole: Box
    sides: Sides

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
        sides = tree_map(lambda a: cut(a, start, length + 1, self.axis), self.sides)
        return dataclasses.replace(super().window(cut, start, length), sides=sides)

    def longer(self, repeated: Callable[..., Array], still: Array) -> Self:
        """Return the grid with so many intervals of no length behind its end."""
        return dataclasses.replace(super().longer(repeated, still), sides=tree_map(repeated, self.sides))

    def signal(self, place: int, y: Array, boundary: Initial) -> Array:
        """Return one of the signals of every level and stage."""
        return self.whole.signal(place, y, self.sides)

    def in_space(self, a: Array, tail: int) -> Array:
        """Return the levels of an array (*B, T, m, *R, ...) with so many axes of a point."""
        return a[(..., -1, *(slice(None),) * (len(self.shape) - 2 + tail))]

    def present(self, y: Array) -> Array:
        """Return u at the levels, (*B, T, *R, n): the last stages, with the images of first points."""
        return self.level.present(super().present(y))

    def stages(self, y: Array) -> Array | None:
        """Return u at the stages between levels, (*B, T, m - 1, *R, n), or None if there are none."""
        found = super().stages(y)
        return None if found is None else self.level.present(found)

    def absorb(self, u: Array, stages: Array | None) -> Array:
        """Return y of what :meth:`present` and :meth:`stages` return."""
        return self.level.without_images(super().absorb(u, stages))

    def present_transposed(self, c: Array) -> Array:
        """Return the transpose of :meth:`present`, of c."""
        return super().present_transposed(self.level.present_transposed(c))

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
        sides = tree_map(lambda a: part(a, self.axis, None, 1), self.sides)
        return self.whole.free * y0 + self.whole.values(sides)

    def lay(self, name: str, given: Array, like: Array) -> Array:
        """Return what a user gave by that name, laid out like an array of :meth:`named` or of x."""
        d, xp = self.level.ndim, array_namespace(given)
        if name in AXIS_OF:
            return xp.broadcast_to(self.in_stages(self.level.along(name, padded(given, d + 1))), like.shape)
        given = self.level.without_images(padded(given, d + 1))
        return super().lay(name, given, like) if name in ("u0", "x") else xp.broadcast_to(given, like.shape)

    def per_point(self, c: Array) -> Array:
        """Return the sums over stages and components at each point of each level, (*B, T, *R), 0 at images."""
        return self.level.per_point(array_namespace(c).sum(c, axis=self.stage_axis))


def with_stages(data: Data, nodes: tuple[float, ...]) -> Data:
    """Return the data of an equation at times, with an axis behind that of time for the stages that a rule has."""
    if not nodes:
        return data
    xp, n, m = array_namespace(data.guess), data.guess.shape[-1], len(nodes)
    x = tree_map(lambda a: staged(a, nodes, -2), data.x)
    guess, first = (xp.broadcast_to(a[..., None, :], (*a.shape[:-1], m, n)) for a in (data.guess, data.boundary.y0))
    return Data(x, Stages(data.grid.t, data.grid.D[..., None, :], (m, n), nodes), Initial(first), guess)


def staged(a: Array, nodes: tuple[float, ...], axis: int) -> Array:
    """Return an axis for the stages behind that of time, T or 1: between levels the mean of both by its place.

    Whole numbers and flags have no mean: there they are those of the level before.
    """
    xp = array_namespace(a)
    if a.shape[axis] == 1:
        return xp.expand_dims(a, axis=axis)
    before = joined([part(a, axis, None, 1), part(a, axis, None, -1)], axis)
    has_mean = xp.isdtype(a.dtype, "real floating")
    between = [a if c == 1.0 else (1 - c) * before + c * a if has_mean else before for c in nodes]
    return xp.stack(between, axis=axis)
