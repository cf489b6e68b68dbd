"""From points, conditions and coefficients to a box: everything is checked here."""

from __future__ import annotations

import dataclasses
import itertools
import math
from functools import cached_property, reduce
from operator import mul
from typing import TYPE_CHECKING, Any

from ..backends.generic import Backend
from ..backends.given import Given
from ..backends.namespace import Array, array_namespace, padded, part
from ..backends.trees import tree_map
from ..errors import mismatch
from .axis import Ends, Sides, laid_along
from .base import Data
from .box import AXIS_OF, SIDES, Box, OnAxes
from .conditions import Side, components_of, parts_of, side_of
from .make_axis import Line, axis_of, basis_of

if TYPE_CHECKING:
    from ..problems.space import SpaceProblem

Weights = tuple[Array, tuple[Array, ...], Array | None]
"""Of the second derivatives, of the first along every axis, or none, and of u itself."""
LETTERS = "XYZ"
"""Of the numbers of points along the axes, in messages."""
CORNERS = (None, 1), (-1, None)
"""Where along a side is the corner with the first and with the last side of another axis."""


@dataclasses.dataclass(frozen=True)
class Frame(OnAxes):
    """The axes of a box before there is a box."""

    axes: tuple[Line, ...]

    @cached_property
    def full(self) -> tuple[int, ...]:
        """The numbers of all points of every axis."""
        return tuple([int(line.places.shape[0]) for line in self.axes])

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """The numbers of points that are solved for."""
        return tuple([int(line.points.shape[0]) for line in self.axes])

    @property
    def cells(self) -> bool:
        """Whether the points are the midpoints of cells."""
        return self.axes[0].cells

    @property
    def has_flux(self) -> bool:
        """Whether something is carried along an axis."""
        return any(line.flux is not None for line in self.axes)

    @property
    def counted(self) -> str:
        """The numbers of points, in words."""
        return " and ".join([f"{letter} = {size}" for letter, size in zip(LETTERS, self.full, strict=False)])

    @property
    def letters(self) -> str:
        """The axes of an array, in words."""
        return ", ".join(LETTERS[: self.ndim])

    def coordinates(self) -> dict[str, Array]:
        """Return the points of every axis as leaves (1, ..., N, ..., 1, 1)."""
        return {line.name: laid_along(line.points[:, None], line.place, self.ndim + 1) for line in self.axes}

    def cut(self, name: str, a: Array, what: str) -> Array:
        """Return a field with all axes of the box, without the images of first points; raise unless it is one."""
        d = self.ndim
        if 1 < a.ndim <= d:
            raise mismatch(name, what, tuple(a.shape), f"Write {name}[..., None] for a field.")
        a = padded(a, d + 1)
        for axis, N in zip(range(-d - 1, -1), self.full, strict=True):
            if a.shape[axis] not in (1, N):
                raise mismatch(name, f"{what}, 1 or N = {N} points on axis {axis}", tuple(a.shape))
        return self.without_images(a)


def frame_of(problem: SpaceProblem, given: Given) -> Frame:
    """Check the points of all axes."""
    lines, d = [], len(problem.edges)
    for k, (name, points) in enumerate(problem.edges.items()):
        is_ring, flux = parts_of(problem.sides[SIDES[k][0]])[0].is_ring, problem.fluxes[k]
        line = Line(name, given.array(name, points), k - d - 1, is_ring, problem.cells, flux)
        lines.append(line.checked(given.backend))
    return Frame(tuple(lines))


def box_of(frame: Frame, sides: dict[str, Side], weights: Weights, rank: int, backend: Backend) -> Box:
    """Return the box with arrays of so many axes."""
    d, pairs = frame.ndim, [(sides[first], sides[last]) for first, last in SIDES[: frame.ndim]]
    axes = [axis_of(*each, rank, backend) for each in zip(frame.axes, pairs, strict=True)]
    if d > 1:  # one axis is solved by its bands
        axes = [dataclasses.replace(axis, basis=basis_of(axis, rank - d - 1, backend)) for axis in axes]
    a, b, c = (tree_map(lambda a: padded(a, rank), weight) for weight in weights)
    free = reduce(mul, (axis.free for axis in axes))
    holds = not frame.cells and any(any(side.fixes) for side in sides.values())
    return Box(tuple(axes), a, b, c, free, {line.name: line.places for line in frame.axes}, holds=holds)


def in_a_box(problem: SpaceProblem, y_guess: Any) -> tuple[Backend, Data]:
    """Return backend and data of a steady equation."""
    d, (name, points) = len(problem.edges), next(iter(problem.edges.items()))
    given = Given(d + 1, y_guess=y_guess, **{name if d == 1 else "points": points})
    frame, backend, guess = frame_of(problem, given), given.backend, given.guess
    coefficients = {k: coefficient(k, v, frame, given) for k, v in problem.coefficients.items()}
    fields = coefficients if guess is None else {**coefficients, "y_guess": guess}
    if guess is not None:
        frame.cut("y_guess", guess, f"shape (*B, {frame.letters}, n) with {frame.counted}")
    for name, a in fields.items():
        check_components(name, a, tuple(problem.sides.values()), frame)
    sizes = [int(a.shape[-1]) for a in coefficients.values()]
    n = max(components_of(tuple(problem.sides.values())), *sizes) if guess is None else int(guess.shape[-1])
    for name, a in coefficients.items():
        check_width(a, name, n)
        given.of_batch(name, a)
    sides = {name: side_of(side, n, given, name) for name, side in problem.sides.items()}
    values = {name: given.of_batch(name, along_side(name, side, frame)) for name, side in sides.items()}
    check_corners(values, sides, frame, backend)
    x = given.tree(problem.x or {}, frame.full[0] if d == 1 else None)
    what = f"shape (*B, {frame.letters}, k) with {frame.counted}"
    x = {k: tree_map(lambda a, k=k: frame.cut(k, a, what), v) for k, v in x.items()}
    nothing = backend.convert(0.0, given.first, given.first.dtype)
    start = frame.without_images(given.start(nothing, *frame.full, n))
    box = box_of(frame, sides, weights_of(coefficients), len(given.batch) + d + 1, backend)
    x = given.laid({**frame.coordinates(), **x})
    return backend, Data(x, box, sides_of(values, frame, given.batch), start)


def weights_of(coefficients: dict[str, Array]) -> Weights:
    """Return the weights of the second derivatives, of the first and of u itself."""
    if "D" in coefficients:
        return coefficients["D"], (), None
    return coefficients["a"], (coefficients["b"],), coefficients["c"]


def coefficient(name: str, value: Any, frame: Frame, given: Given) -> Array:
    """Return a coefficient with all axes of the box; D has to be positive, or beside a flux not negative."""
    a = frame.cut(name, given.array(name, value), f"a number, (n,) or ({frame.letters}, n)")
    if name == "D" and given.backend.is_concrete(a):
        numbers, kind = given.backend.to_numpy(a), "diffusion" if frame.ndim == 1 else "coefficient"
        if not bool((numbers >= 0 if frame.has_flux else numbers > 0).all()):
            expected = f"a {kind} of at least 0" if frame.has_flux else f"a positive {kind}"
            raise mismatch("D", f"{expected} at every point", "one that is not", "Signs belong to f.")
    return a


def check_width(a: Array, name: str, n: int) -> None:
    """Raise unless there is one number for all components, or one for each."""
    if a.shape[-1] not in (1, n):
        raise mismatch(name, f"1 or n = {n} components on the last axis", tuple(a.shape))


def check_components(name: str, a: Array, sides: tuple[Any, ...], frame: Frame) -> None:
    """Raise where there is a number for each component, as many as there are points, and no condition says so."""
    N = frame.full[-1]
    if a.ndim <= frame.ndim + 1 and math.prod(a.shape) == a.shape[-1] == N > 1 and components_of(sides) != N:
        shape = f"a number, (n,) or ({frame.letters}, n) with {frame.counted}"
        raise mismatch(name, shape, (N,), f"Write {name}[:, None] for one component.")


def along_side(name: str, side: Side, frame: Frame, *times: int) -> Array:
    """Return what is given along a side, (*B, *times, *R, n), with an axis of 1 in the place of the one it ends."""
    value, n, d, k = side.value, len(side.a), frame.ndim, AXIS_OF[name]
    others = [j for j in range(d) if j != k]
    if others and not times and value.ndim == 1 and value.shape[0] == frame.full[others[-1]] > 1:
        shape = "a number, (n,) or (N, n) with N points along the side"
        raise mismatch(name, shape, tuple(value.shape), "Write value[:, None] for one component.")
    value = padded(value, len(times) + d)
    spans = [(T, f"T = {T} times") for T in times]
    spans += [(frame.full[j], f"{frame.full[j]} points along the side") for j in others]
    for axis, (N, what) in enumerate(spans, start=-len(spans) - 1):
        if value.shape[axis] not in (1, N):
            raise mismatch(name, f"a value, or one for each of {what} on axis {axis}", tuple(value.shape))
    value = frame.along(name, value)
    return array_namespace(value).broadcast_to(value, (*value.shape[:-1], n))


def sides_of(values: dict[str, Array], frame: Frame, batch: tuple[int, ...]) -> Sides:
    """Return what is given at the ends of every axis, for every element of a batch."""

    def at(name: str, k: int) -> Array:
        v, sizes = values[name], (1 if j == k else size for j, size in enumerate(frame.sizes))
        return array_namespace(v).broadcast_to(v, (*batch, *sizes, v.shape[-1]))

    return Sides(tuple(Ends(at(first, k), at(last, k)) for k, (first, last) in enumerate(SIDES[: frame.ndim])))


def check_corners(values: dict[str, Array], sides: dict[str, Side], frame: Frame, backend: Backend) -> None:
    """Raise where two sides give values point by point, and disagree in the corner that they share."""
    d = frame.ndim
    if frame.cells:
        return
    ends = [(name, k, place) for k, pair in enumerate(SIDES[:d]) for name, place in zip(pair, CORNERS, strict=True)]
    for (first, k, at), (second, m, other) in itertools.combinations(ends, 2):
        u, v = values[first], values[second]
        if k == m or 1 in (u.shape[m - d - 1], v.shape[k - d - 1]):
            continue
        u, v = part(u, m - d - 1, *other), part(v, k - d - 1, *at)
        both = [p and q for p, q in zip(sides[first].fixes, sides[second].fixes, strict=True)]
        if not any(both) or not backend.is_concrete((u, v)):
            continue
        u, v = backend.to_numpy(u)[..., both], backend.to_numpy(v)[..., both]
        off = abs(u - v)
        if (off > 1e-6 * (1 + abs(u) + abs(v))).any():
            expected = "the same value in the corner that they share"
            raise mismatch(f"{first} and {second}", expected, f"{off.max():.3g} apart")
