"""The faces between the cells of an axis: the states on both sides, and what the numerical flux is given there."""

from __future__ import annotations

from typing import Any

from ..backends.generic import Backend
from ..backends.namespace import Array, Tree, array_namespace, joined, part
from ..backends.trees import tree_map
from .axis import Composed, Stencil
from .conditions import NoFlux
from .fluxes import mirrors, reach_of
from .space import ghost_of

STRAIGHT = (2.0, -1.0, 0.0)
"""The state on a straight line through the first two."""


def around_of(
    flux: Any, s: Array, ends: list[Any], is_ring: bool, n: int, backend: Backend
) -> tuple[Stencil | Composed, ...]:
    """Return u in the cells before and in those behind, and what is in their place where that is a wall.

    For a flux of the two states beside a face, u at the wall, or beyond it if it ``mirrors``; for one of four states
    u beyond it and, by a straight line, further on.
    """
    if flux is None:
        return ()
    widths, nothing = (s[1:] - s[:-1])[:, None], backend.convert([[0.0] * n], s, s.dtype)
    zero = nothing + 0 * widths
    if is_ring:
        before, behind = _ring(zero)
        further, beyond = before, behind
    else:
        share = 1.0 if mirrors(flux) or reach_of(flux) == 2 else 0.5  # half way to the state beyond is the wall
        walls = []
        for (a, b, _), h in zip(ends, (widths[:1, :], widths[-1:, :]), strict=True):
            own, _, value = ghost_of(a, b, h, True, s, backend)
            walls.append((1 - share + share * own, 0.0, share * value))
        before, behind = _line(zero, *walls)
        further, beyond = _line(zero, STRAIGHT, STRAIGHT)
    if reach_of(flux) == 1:
        return before, behind
    return Composed(further, before), before, behind, Composed(beyond, behind)


def _ring(zero: Array) -> tuple[Stencil, Stencil]:
    """Return the neighbours on a ring."""
    one, none = zero + 1, zero[:1, :]
    return Stencil(one, zero, zero, none, none), Stencil(zero, zero, one, none, none)


def _line(zero: Array, first: Any, last: Any) -> tuple[Stencil, Stencil]:
    """Return the neighbours on an open line; past an end a state of weights (of the last u, the one before, given)."""
    xp, one, none = array_namespace(zero), zero[1:, :] + 1, zero[:1, :]
    before = Stencil(
        lower=xp.concat([none, one], axis=0),
        middle=xp.concat([first[0] + none, 0 * one], axis=0),
        upper=xp.concat([first[1] + none, 0 * one], axis=0),
        first=xp.concat([first[2] + none, 0 * one], axis=0),
        last=none,
    )
    behind = Stencil(
        lower=xp.concat([0 * one, last[1] + none], axis=0),
        middle=xp.concat([0 * one, last[0] + none], axis=0),
        upper=xp.concat([one, none], axis=0),
        first=none,
        last=xp.concat([0 * one, last[2] + none], axis=0),
    )
    return before, behind


def openings_of(s: Array, sides: tuple[Any, Any], n: int, backend: Backend) -> tuple[Array, Array]:
    """Return 1 / h of every cell, (X, n), for the face before it and the one behind; 0 where nothing may pass."""
    xp, per_length = array_namespace(s), 1 / (s[1:] - s[:-1])[:, None] + backend.convert([[0.0] * n], s, s.dtype)
    first, last = (backend.convert([_is_open(side, n)], s, s.dtype) for side in sides)
    inward = xp.concat([first * per_length[:1, :], per_length[1:, :]], axis=0)
    return inward, xp.concat([per_length[:-1, :], last * per_length[-1:, :]], axis=0)


def _is_open(side: Any, n: int) -> list[float]:
    parts = side if isinstance(side, tuple) else (side,) * n
    return [float(not isinstance(part, NoFlux)) for part in parts]


def split(x: dict[str, Any], sizes: tuple[int, ...]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the leaves for cells, and those for the faces across each axis; what is the same along it is for both."""
    shapes = {k: tuple(getattr(a, "shape", ()))[-1 - len(sizes) : -1] for k, a in x.items()}

    def on_faces(shape: tuple[int, ...], axis: int) -> bool:
        there = [N + (k == axis) for k, N in enumerate(sizes)]
        return len(shape) == len(sizes) and all(size in (1, N) for size, N in zip(shape, there, strict=True))

    def is_between(shape: tuple[int, ...]) -> bool:
        return any(size == N + 1 for size, N in zip(shape, sizes, strict=False))

    faces = [{k: a for k, a in x.items() if on_faces(shapes[k], axis)} for axis in range(len(sizes))]
    return {k: a for k, a in x.items() if not is_between(shapes[k]) or len(shapes[k]) < len(sizes)}, faces


def both_sides(x: Tree, is_ring: bool, axis: int = -2) -> dict[str, Tree]:
    """Return x on the faces before and behind every cell along an axis, of leaves on N + 1 faces or the same on all."""

    def before(a: Array) -> Array:
        return part(a, axis, None, -1) if a.shape[axis] > 1 else a

    def behind(a: Array) -> Array:
        if a.shape[axis] == 1:
            return a
        return joined([part(a, axis, 1, -1), part(a, axis, None, 1)], axis) if is_ring else part(a, axis, 1, None)

    return {"before": tree_map(before, x), "behind": tree_map(behind, x)}
