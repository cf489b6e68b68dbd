"""From points, conditions and coefficients to a plane: everything is checked here."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Any

from ..backends.generic import Backend
from ..backends.given import batch_of, beside, expanded, ranks, state
from ..backends.namespace import Array, array_namespace
from ..backends.trees import tree_leaves, tree_map
from ..errors import mismatch
from .base import Data
from .conditions import Periodic
from .faces import around_of
from .line import Ends, Line, Stencil
from .plane import SIDES, Basis, Plane, Sides, turned, without_images
from .space import check_points, check_width, components_of, end_of, stencils_of

if TYPE_CHECKING:
    from ..problems import Elliptic2D, Evolution2D


@dataclasses.dataclass(frozen=True)
class Frame:
    """The axes of a rectangle: their edges, whether they are rings, their points without images, and all of them."""

    edges: tuple[Array, ...]
    rings: tuple[bool, bool]
    images: tuple[bool, bool]
    points: tuple[Array, ...]
    full: tuple[int, ...]
    cells: bool
    fluxes: tuple[Any, Any] = (None, None)

    @property
    def sizes(self) -> tuple[int, int]:
        """X and Y, the numbers of points that are solved for."""
        return int(self.points[0].shape[0]), int(self.points[1].shape[0])

    @property
    def has_flux(self) -> bool:
        """Whether something is carried along an axis."""
        return self.fluxes != (None, None)

    def coordinates(self) -> dict[str, Array]:
        """Return s and r as leaves (X, 1, 1) and (1, Y, 1)."""
        return {"s": self.points[0][:, None, None], "r": self.points[1][None, :, None]}


def frame_of(problem: Elliptic2D | Evolution2D, like: Array, backend: Backend) -> Frame:
    """Check the points of both axes."""
    rings = isinstance(problem.left, Periodic), isinstance(problem.bottom, Periodic)
    edges = []
    for axis, is_ring in zip("sr", rings, strict=True):
        edges.append(beside(getattr(problem, axis), like, backend, axis))
        check_points(edges[-1], problem.cells, is_ring, backend, axis)
    images = rings[0] and not problem.cells, rings[1] and not problem.cells
    points = tuple(_points(e, problem.cells, image) for e, image in zip(edges, images, strict=True))
    full = tuple(int(p.shape[0]) + image for p, image in zip(points, images, strict=True))
    fluxes = getattr(problem, "flux", (None, None))
    return Frame(tuple(edges), rings, images, points, full, problem.cells, fluxes)


def plane_of(frame: Frame, ends: dict[str, Any], D: Array, n: int, rank: int, backend: Backend) -> Plane:
    """Return the rectangle with arrays of so many axes."""
    xp = array_namespace(D)

    def ranked(a: Array) -> Array:
        return xp.reshape(a, (*(1 for _ in range(rank - a.ndim)), *a.shape))

    lines, bases = [], []
    for k, (first, last) in enumerate((SIDES[:2], SIDES[2:])):
        made = stencils_of(frame.edges[k], [ends[first], ends[last]], frame.rings[k], frame.cells, n, backend)
        second, slope, free, held = tree_map(ranked, made)
        unfixed = tuple(p == 0 == q for p, q in zip(ends[first][0], ends[last][0], strict=True))
        at_ends = [ends[first], ends[last]]
        around = around_of(frame.fluxes[k], frame.edges[k], at_ends, frame.rings[k], n, backend)
        kind: Any = {"is_ring": frame.rings[k], "unfixed": unfixed, "around": tree_map(ranked, around)}
        lines.append(Line(frame.points[k], second, slope, free, held, (), **kind))
        basis = _basis(made[0], made[2], frame.rings[k], D, backend, "sr"[k])
        bases.append(tree_map(lambda a: xp.reshape(a, (*(1 for _ in range(rank - 3)), *a.shape)), basis))
    space = {name: _points(edges, frame.cells, False) for name, edges in zip("sr", frame.edges, strict=True)}
    free = turned(lines[0].free) * lines[1].free
    own = xp.abs(turned(lines[0].second.middle) + lines[1].second.middle)
    own = xp.where(free > 0, own, 1.0)
    holds = not frame.cells and any(q == 0 for k in SIDES for q in ends[k][1])
    both = lines[0], lines[1], ranked(D), free, own, (bases[0], bases[1]), space
    return Plane(*both, images=frame.images, holds=holds)


def on_a_plane(problem: Elliptic2D, y_guess: Any) -> tuple[Backend, Data]:
    """Return backend and data of an equation in two dimensions."""
    name, given = ("points", problem.s) if y_guess is None else ("y_guess", y_guess)
    like, backend = state(given, name)
    xp, frame = array_namespace(like), frame_of(problem, like, backend)
    (X, Y), full, images = frame.sizes, frame.full, frame.images
    if y_guess is not None and like.ndim < 3:
        text = f"shape (*B, X, Y, n) with X = {full[0]} and Y = {full[1]}"
        raise mismatch("y_guess", text, tuple(like.shape), "Write y_guess[..., None] for one component.")
    D = diffusion_of(problem.coefficients["D"], like, backend, frame)
    sides = {k: getattr(problem, k) for k in SIDES}
    n = components_of(tuple(sides.values()), {"D": D}, like if y_guess is not None else None)
    check_width(D, "D", n)
    ends = {k: end_of(side, n, like, backend, k) for k, side in sides.items()}
    values = {k: _along(ends[k][2], k, *(full, images), xp) for k in SIDES}
    rank = max(3, D.ndim, ranks(problem.x), *(v.ndim + 1 for v in values.values()))
    rank = max(rank, like.ndim) if y_guess is not None else rank
    given = expanded(problem.x or {}, like, backend, rank)
    x = {k: tree_map(lambda a, k=k: cut_to(frame, a, k), leaves) for k, leaves in given.items()}
    x = {**expanded(frame.coordinates(), like, backend, rank), **x}
    guess = 0 * frame.points[0][:, None, None] if y_guess is None else cut_to(frame, like, "y_guess")
    parts = [("D", tuple(D.shape[:-3])), *((k, tuple(v.shape[:-2])) for k, v in values.items())]
    parts += [("x", tuple(a.shape[:-3])) for a in tree_leaves(x)] + [("y_guess", tuple(guess.shape[:-3]))]
    batch = batch_of(parts)
    if guess.shape[-1] not in (1, n):
        raise mismatch("y_guess", f"{n} components", tuple(like.shape))
    guess = xp.broadcast_to(guess, (*batch, X, Y, n))
    at = {k: xp.broadcast_to(v[..., None, :], (*batch, v.shape[-2], 1, n)) for k, v in values.items()}
    check_corners(ends, problem.cells, backend)
    plane = plane_of(frame, ends, D, n, len(batch) + 3, backend)
    return backend, Data(x, plane, Sides(*(Ends(at[k], at[m]) for k, m in (SIDES[:2], SIDES[2:]))), guess)


def _points(edges: Array, cells: bool, image: bool) -> Array:
    points = 0.5 * (edges[1:] + edges[:-1]) if cells else edges
    return points[:-1] if image else points


def diffusion_of(value: Any, like: Array, backend: Backend, frame: Frame) -> Array:
    """Return D with at least three axes, positive."""
    a = beside(value, like, backend, "D")
    xp = array_namespace(a)
    if a.ndim == 2:
        raise mismatch("D", "a number, (n,) or (X, Y, n)", tuple(a.shape), "Write D[..., None] for a field.")
    a = cut_to(frame, xp.reshape(a, (*(1 for _ in range(3 - a.ndim)), *a.shape)), "D")
    if backend.is_concrete(a):
        numbers, may_vanish = backend.to_numpy(a), frame.has_flux
        if not bool((numbers >= 0 if may_vanish else numbers > 0).all()):
            expected = "a coefficient of at least 0" if may_vanish else "a positive coefficient"
            raise mismatch("D", f"{expected} at every point", "one that is not", "Signs belong to f.")
    return a


def cut_to(frame: Frame, a: Array, name: str) -> Array:
    """Return an array (*B, X, Y, k), or with axes of 1, without the images of first points."""
    full = frame.full
    if a.ndim < 3 or any(size not in (1, N) for size, N in zip(a.shape[-3:-1], full, strict=True)):
        raise mismatch(name, f"shape (*B, X, Y, k) with X = {full[0]} and Y = {full[1]}, or 1", tuple(a.shape))
    return without_images(a, frame.images)


def _along(value: Array, name: str, full: tuple[int, ...], images: tuple[bool, ...], xp: Any) -> Array:
    """Return the right-hand sides along a side, (*B, N, n)."""
    axis = 1 if name in SIDES[:2] else 0
    if value.ndim == 1 and value.shape[0] == full[axis] > 1:
        shape = "a number, (n,) or (N, n) with N points along the side"
        raise mismatch(name, shape, tuple(value.shape), "Write value[:, None] for one component.")
    value = value if value.ndim > 1 else value[None, :]
    if value.shape[-2] not in (1, full[axis]):
        raise mismatch(name, f"a value, or one for each of {full[axis]} points along the side on axis -2", value.shape)
    value = value[..., :-1, :] if images[axis] and value.shape[-2] > 1 else value
    return xp.broadcast_to(value, (*value.shape[:-2], full[axis] - images[axis], value.shape[-1]))


def check_corners(ends: dict[str, Any], cells: bool, backend: Backend) -> None:
    """Raise where two sides give values point by point, and disagree in the corner that they share."""
    for k, first in enumerate(SIDES[:2]):
        for m, second in enumerate(SIDES[2:]):
            u, v = ends[first][2], ends[second][2]
            both = [q == 0 == t for q, t in zip(ends[first][1], ends[second][1], strict=True)]
            if (
                cells
                or not any(both)
                or 1 in (u.ndim, v.ndim)
                or 1 in (u.shape[-2], v.shape[-2])
                or not backend.is_concrete((u, v))
            ):
                continue
            u, v = (backend.to_numpy(a[..., -j, :]) for a, j in ((u, m), (v, k)))
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
