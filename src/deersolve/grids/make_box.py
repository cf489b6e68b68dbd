"""From points, conditions and coefficients to a box: everything is checked here."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from typing import TYPE_CHECKING, Any

from ..backends.generic import Backend
from ..backends.given import batch_of, beside, expanded, ranks, spanning, state
from ..backends.namespace import Array, array_namespace, part
from ..backends.trees import tree_leaves, tree_map
from ..errors import mismatch
from .axis import Axis, Basis, Ends, Sides, Stencil, laid_along
from .base import Data
from .box import AXIS_OF, SIDES, Box, with_axes
from .conditions import Periodic
from .faces import around_of
from .space import (
    check_components,
    check_points,
    check_width,
    coefficient_of,
    components_of,
    end_of,
    stencils_of,
    walls_of,
)

if TYPE_CHECKING:
    from ..problems.space import SpaceProblem

Weights = tuple[Array, tuple[Array, ...], Array | None]
"""Of the second derivatives, of the first along every axis, or none, and of u itself."""
LETTERS = "XYZ"
"""Of the numbers of points along the axes, in messages."""


@dataclasses.dataclass(frozen=True)
class Frame:
    """The axes of a box before there is a box.

    ``full`` are the numbers of points of each with the image of the first one, ``points`` those without.
    """

    names: tuple[str, ...]
    edges: tuple[Array, ...]
    rings: tuple[bool, ...]
    images: tuple[bool, ...]
    points: tuple[Array, ...]
    full: tuple[int, ...]
    cells: bool
    fluxes: tuple[Any, ...]

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.edges)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The numbers of points that are solved for."""
        return tuple(int(points.shape[0]) for points in self.points)

    @property
    def has_flux(self) -> bool:
        """Whether something is carried along an axis."""
        return any(flux is not None for flux in self.fluxes)

    @property
    def counted(self) -> str:
        """The numbers of points, in words."""
        return " and ".join(f"{letter} = {size}" for letter, size in zip(LETTERS, self.full, strict=False))

    @property
    def letters(self) -> str:
        """The axes of an array, in words."""
        return ", ".join(LETTERS[: self.ndim])

    def coordinates(self) -> dict[str, Array]:
        """Return the points of every axis as leaves (1, ..., N, ..., 1, 1)."""
        d = self.ndim
        return {
            name: laid_along(points[:, None], k - d - 1, d + 1)
            for k, (name, points) in enumerate(zip(self.names, self.points, strict=True))
        }

    def cut(self, a: Array, name: str) -> Array:
        """Return an array (*B, *R, k), or with axes of 1, without the images of first points."""
        d = self.ndim
        if a.ndim < d + 1 or any(size not in (1, N) for size, N in zip(a.shape[-d - 1 : -1], self.full, strict=True)):
            raise mismatch(name, f"shape (*B, {self.letters}, k) with {self.counted}, or 1", tuple(a.shape))
        for k, has_image in enumerate(self.images):
            a = part(a, k - d - 1, None, -1) if has_image and a.shape[k - d - 1] > 1 else a
        return a


def frame_of(problem: SpaceProblem, like: Array, backend: Backend) -> Frame:
    """Check the points of all axes."""
    cells, edges = problem.cells, []
    rings = tuple(isinstance(problem.sides[first], Periodic) for first, _ in SIDES[: len(problem.edges)])
    for (name, given), is_ring in zip(problem.edges.items(), rings, strict=True):
        edges.append(beside(given, like, backend, name))
        check_points(edges[-1], cells, is_ring, backend, name)
    images = tuple(is_ring and not cells for is_ring in rings)
    points = [midpoints(e) if cells else e for e in edges]
    full = tuple(int(p.shape[0]) for p in points)
    kept = tuple(p[:-1] if has_image else p for p, has_image in zip(points, images, strict=True))
    return Frame(tuple(problem.edges), tuple(edges), rings, images, kept, full, cells, problem.fluxes)


def midpoints(edges: Array) -> Array:
    """Return the midpoints of cells."""
    return 0.5 * (edges[1:] + edges[:-1])


def box_of(frame: Frame, ends: dict[str, Any], weights: Weights, n: int, rank: int, backend: Backend) -> Box:
    """Return the box with arrays of so many axes."""
    (a, b, c), d = weights, frame.ndim

    def ranked(a: Array) -> Array:
        return with_axes(a, rank)

    axes = []
    for k, (first, last) in enumerate(SIDES[:d]):
        edges, both, is_ring, place = frame.edges[k], [ends[first], ends[last]], frame.rings[k], k - d - 1
        second, slope, free, held = stencils_of(edges, both, is_ring, frame.cells, n, backend)
        around = around_of(frame.fluxes[k], edges, both, is_ring, n, backend)
        basis = None if d == 1 else _basis(second, free, is_ring, a, backend, frame.names[k])
        kind: dict[str, Any] = {
            "is_ring": is_ring,
            "has_image": frame.images[k],
            "name": frame.names[k],
            "place": place,
        }
        kind["unfixed"] = tuple(p == 0 == q for p, q in zip(both[0][0], both[1][0], strict=True))
        kind["walls"] = tree_map(ranked, walls_of(edges, both, is_ring, frame.cells, backend)) if d == 1 else None
        kind["basis"] = tree_map(lambda v: with_axes(v, v.ndim + rank - d - 1), basis)
        made = Axis(
            frame.points[k],
            second.laid(place, rank, is_ring),
            slope.laid(place, rank, is_ring),
            laid_along(free, place, rank),
            Ends(laid_along(held.first, place, rank), laid_along(held.last, place, rank)),
            tuple(stencil.laid(place, rank, is_ring) for stencil in around),
            **kind,
        )
        axes.append(made)
    free = functools.reduce(lambda f, axis: f * axis.free, axes[1:], axes[0].free)
    places = {name: midpoints(e) if frame.cells else e for name, e in zip(frame.names, frame.edges, strict=True)}
    holds = not frame.cells and any(q == 0 for pair in SIDES[:d] for k in pair for q in ends[k][1])
    b, c = tuple(map(ranked, b)), None if c is None else ranked(c)
    return Box(tuple(axes), ranked(a), b, c, free, places, holds=holds)


def in_a_box(problem: SpaceProblem, y_guess: Any) -> tuple[Backend, Data]:
    """Return backend and data of a steady equation."""
    first = next(iter(problem.edges))
    name, given = ("points" if len(problem.edges) > 1 else first, problem.edges[first])
    like, backend = state(given if y_guess is None else y_guess, name if y_guess is None else "y_guess")
    xp, frame = array_namespace(like), frame_of(problem, like, backend)
    d, sizes = frame.ndim, frame.sizes
    guess = None if y_guess is None else like
    if guess is not None and d > 1 and guess.ndim < d + 1:
        text = f"shape (*B, {frame.letters}, n) with {frame.counted}"
        raise mismatch("y_guess", text, tuple(guess.shape), "Write y_guess[..., None] for one component.")
    coefficients = {k: coefficient(v, like, backend, k, frame) for k, v in problem.coefficients.items()}
    sides = problem.sides
    if d == 1:
        for name, a in {**coefficients, **({} if guess is None else {"y_guess": guess})}.items():
            check_components(a, name, frame.full[0], tuple(sides.values()))
    n = components_of(tuple(sides.values()), coefficients, guess)
    for name, a in coefficients.items():
        check_width(a, name, n)
    ends = {name: end_of(side, n, like, backend, name) for name, side in sides.items()}
    values = {name: along_side(ends[name][2], name, frame) for name in sides}
    rank = max(d + 1, *(a.ndim for a in coefficients.values()), *(v.ndim for v in values.values()), ranks(problem.x))
    rank = rank if guess is None else max(rank, guess.ndim)
    given = expanded(problem.x or {}, like, backend, rank)
    if d == 1:
        spanning(given, frame.full[0])
    x = {k: tree_map(lambda a, k=k: frame.cut(a, k), v) for k, v in given.items()}
    x = {**expanded(frame.coordinates(), like, backend, rank), **x}
    parts = [(k, tuple(a.shape[: -d - 1])) for k, a in {**coefficients, **values}.items()]
    parts += [("x", tuple(a.shape[: -d - 1])) for a in tree_leaves(x)]
    if guess is not None:
        guess = frame.cut(with_axes(guess, d + 1), "y_guess")
        parts += [("y_guess", tuple(guess.shape[: -d - 1]))]
        if guess.shape[-1] not in (1, n):
            raise mismatch("y_guess", f"{n} components", tuple(like.shape))
    batch = batch_of(parts)
    start = xp.zeros((1,) * (d + 1), dtype=like.dtype, device=backend.placement(like)) if guess is None else guess
    check_corners(values, ends, frame, backend)
    box = box_of(frame, ends, weights_of(coefficients), n, len(batch) + d + 1, backend)
    return backend, Data(x, box, sides_of(values, frame, batch), xp.broadcast_to(start, (*batch, *sizes, n)))


def weights_of(coefficients: dict[str, Array]) -> Weights:
    """Return the weights of the second derivatives, of the first and of u itself."""
    if "D" in coefficients:
        return coefficients["D"], (), None
    return coefficients["a"], (coefficients["b"],), coefficients["c"]


def coefficient(value: Any, like: Array, backend: Backend, name: str, frame: Frame) -> Array:
    """Return a coefficient with an axis for each of the box, and one for the components."""
    if frame.ndim == 1:
        made = coefficient_of(value, like, backend, name, frame.full[0], may_vanish=frame.has_flux)
        return frame.cut(made, name)
    return diffusion_of(value, like, backend, frame)


def diffusion_of(value: Any, like: Array, backend: Backend, frame: Frame) -> Array:
    """Return D with an axis for each of the box, and one for the components; positive."""
    a, d = beside(value, like, backend, "D"), frame.ndim
    shape = f"a number, (n,) or ({frame.letters}, n)"
    if 1 < a.ndim <= d:
        raise mismatch("D", shape, tuple(a.shape), "Write D[..., None] for a field.")
    a = frame.cut(with_axes(a, d + 1), "D")
    if backend.is_concrete(a):
        numbers, may_vanish = backend.to_numpy(a), frame.has_flux
        if not bool((numbers >= 0 if may_vanish else numbers > 0).all()):
            expected = "a coefficient of at least 0" if may_vanish else "a positive coefficient"
            raise mismatch("D", f"{expected} at every point", "one that is not", "Signs belong to f.")
    return a


def along_side(value: Array, name: str, frame: Frame) -> Array:
    """Return the right-hand sides along a side, with an axis of 1 in the place of the one that it ends."""
    d = frame.ndim
    k = AXIS_OF[name]
    xp, others = array_namespace(value), [j for j in range(d) if j != k]
    if others and value.ndim == 1 and value.shape[0] == frame.full[others[-1]] > 1:
        shape = "a number, (n,) or (N, n) with N points along the side"
        raise mismatch(name, shape, tuple(value.shape), "Write value[:, None] for one component.")
    value = xp.expand_dims(with_axes(value, d), axis=k - d - 1)
    for j in others:
        if value.shape[j - d - 1] not in (1, frame.full[j]):
            what = f"a value, or one for each of {frame.full[j]} points along the side on axis {j - d - 1 + (j < k)}"
            raise mismatch(name, what, tuple(value.shape[: k - d - 1]) + tuple(value.shape[k - d :]))
        value = part(value, j - d - 1, None, -1) if frame.images[j] and value.shape[j - d - 1] > 1 else value
    return value


def sides_of(values: dict[str, Array], frame: Frame, batch: tuple[int, ...]) -> Sides:
    """Return what is given at the ends of every axis, for every element of a batch."""

    def at(name: str, k: int) -> Array:
        v, sizes = values[name], (1 if j == k else size for j, size in enumerate(frame.sizes))
        return array_namespace(v).broadcast_to(v, (*batch, *sizes, v.shape[-1]))

    return Sides(tuple(Ends(at(first, k), at(last, k)) for k, (first, last) in enumerate(SIDES[: frame.ndim])))


def check_corners(values: dict[str, Array], ends: dict[str, Any], frame: Frame, backend: Backend) -> None:
    """Raise where two sides give values point by point, and disagree in the corner that they share."""
    d = frame.ndim
    if frame.cells:
        return
    for (k, pair), (m, other) in itertools.combinations(enumerate(SIDES[:d]), 2):
        for (i, first), (j, second) in itertools.product(enumerate(pair), enumerate(other)):
            both = [q == 0 == t for q, t in zip(ends[first][1], ends[second][1], strict=True)]
            u, v = values[first], values[second]
            if not any(both) or 1 in (u.shape[m - d - 1], v.shape[k - d - 1]):
                continue
            u, v = (part(a, p - d - 1, -at, None if at else 1) for a, p, at in ((u, m, j), (v, k, i)))
            if not backend.is_concrete((u, v)):
                continue
            u, v = backend.to_numpy(u), backend.to_numpy(v)
            off = abs(u - v)[..., both]
            if (off > 1e-6 * (1 + abs(u) + abs(v))[..., both]).any():
                raise mismatch(
                    f"{first} and {second}", "the same value in the corner that they share", f"{off.max():.3g} apart"
                )


def _basis(second: Stencil, free: Array, is_ring: bool, like: Array, backend: Backend, name: str) -> Basis:
    """Return the eigenvectors of d2/ds2 between points where no value is given."""
    import numpy as np

    parts = (second.lower, second.middle, second.upper, free)
    if not backend.is_concrete(parts):
        raise mismatch(name, "points whose numbers are known when the program is traced", "traced ones")
    numbers = [backend.to_numpy(a).astype(float) for a in parts]
    columns = [tuple(a[:, k].tobytes() for a in numbers) for k in range(free.shape[-1])]
    made = [eigenvectors(*column, is_ring) for column in (columns[:1] if len(set(columns)) == 1 else columns)]
    return Basis(*(backend.convert(np.stack(group), like, like.dtype) for group in zip(*made, strict=True)))


@functools.lru_cache(maxsize=8)
def eigenvectors(lower: bytes, middle: bytes, upper: bytes, free: bytes, is_ring: bool) -> tuple[Any, Any, Any]:
    """Return to, back and values of a :class:`Basis` for one component; the arguments hold float64."""
    import numpy as np

    low, own, up = (np.frombuffer(a) for a in (lower, middle, upper))
    is_free = np.frombuffer(free) > 0
    T = np.diag(own) + np.diag(up[:-1], 1) + np.diag(low[1:], -1)
    if is_ring:
        T[0, -1], T[-1, 0] = low[0], up[-1]
    coupled = is_free[1:] & is_free[:-1]
    ratio = np.where(coupled, up[:-1], 1.0) / np.where(coupled, low[1:], 1.0)
    root = np.sqrt(np.concatenate([[1.0], np.cumprod(ratio)]))  # root T / root is symmetric
    T = np.where(is_free[:, None] & is_free, T, np.diag(np.full(len(T), 2 * T.min())))
    S = T * root[:, None] / root
    values, Q = np.linalg.eigh(0.5 * (S + S.T))
    return Q.T * root, Q / root[:, None], values
