"""From a rectangle, times and conditions to a volume of space and time: everything is checked here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..backends.generic import Backend
from ..backends.given import batch_of, beside, expanded, ranks, state
from ..backends.namespace import Array, array_namespace
from ..backends.trees import tree_leaves, tree_map
from ..errors import mismatch
from .axis import Ends, Sides
from .base import Data
from .box import SIDES as PAIRS
from .faces import both_sides, openings_of, split
from .make_box import Frame, box_of, check_corners, diffusion_of, frame_of
from .sheet import staged
from .space import check_width, end_of
from .spacetime import check_times
from .times import Initial
from .volume import Volume, laid_in_volume

if TYPE_CHECKING:
    from ..problems import Evolution2D

SIDES = (*PAIRS[0], *PAIRS[1])


def in_a_volume(problem: Evolution2D, y_guess: Any, rule: Any) -> tuple[Backend, Data]:
    """Return backend and data of an evolution equation in a rectangle, laid out for the stages of a rule."""
    u0, backend = state(problem.boundary.y0, "u0")
    xp, nodes, frame = array_namespace(u0), rule.nodes, frame_of(problem, u0, backend)
    t = beside(problem.t, u0, backend, "t")
    check_times(t, backend)
    T, m, n, (X, Y) = int(t.shape[0]), len(nodes), int(u0.shape[-1]), frame.sizes
    if u0.ndim < 3 or tuple(u0.shape[-3:-1]) != frame.full:
        raise mismatch("u0", f"shape (*B, X, Y, n) with X = {frame.full[0]}, Y = {frame.full[1]}", tuple(u0.shape))
    u0 = frame.cut(u0, "u0")
    D = diffusion_of(problem.coefficients["D"], u0, backend, frame)
    if D.ndim > 3:
        raise mismatch("D", "a diffusion that batch and time share, up to (X, Y, n)", tuple(D.shape))
    check_width(D, "D", n)
    ends = {k: end_of(side, n, u0, backend, k) for k, side in problem.sides.items()}
    values = {k: _over_time(ends[k][2], k, T, frame) for k in SIDES}
    given = tree_map(lambda a: a[None, ...] if getattr(a, "ndim", 0) == 3 else a, problem.x or {})
    rank = max(u0.ndim + 1, ranks(given), *(v.ndim + 1 for v in values.values()), getattr(y_guess, "ndim", 0))
    given, *on_faces = _split(given, frame)
    x = tree_map(lambda a: frame.cut(a, "x"), expanded(given, u0, backend, rank))
    own = {"t": t[:, None, None, None], **{k: a[None, ...] for k, a in frame.coordinates().items()}}
    x = {**expanded(own, u0, backend, rank), **x}
    if frame.has_flux:
        x = {"cells": x, "faces": tuple(_faces(problem, frame, own, on_faces, k, (u0, backend, rank)) for k in (0, 1))}
    for leaf in tree_leaves(x):
        if leaf.shape[-4] not in (1, T):
            raise mismatch("x", f"leaves (*B, 1 or T = {T}, X, Y, k)", tuple(leaf.shape))
    parts = [("u0", tuple(u0.shape[:-3])), *((k, tuple(v.shape[:-3])) for k, v in values.items())]
    parts += [("x", tuple(a.shape[:-4])) for a in tree_leaves(x)]
    parts += [("y_guess", tuple(y_guess.shape[:-4]))] if getattr(y_guess, "ndim", 0) > 4 else []
    batch = batch_of(parts)

    laid = {k: xp.expand_dims(v, axis=-3 if k in SIDES[:2] else -2) for k, v in values.items()}
    at = {k: staged(v, nodes, -4) for k, v in laid.items()}
    at = {k: xp.broadcast_to(v, (*batch, T, m, *((1, Y) if k in SIDES[:2] else (X, 1)), n)) for k, v in at.items()}
    check_corners(laid, ends, frame, backend)
    level, whole = (box_of(frame, ends, (D, (), None), n, len(batch) + more, backend) for more in (3, 5))
    steps = xp.reshape(t[1:] - t[:-1], (*(1 for _ in batch), T - 1, 1))
    sides = Sides(tuple(Ends(at[k], at[j]) for k, j in (SIDES[:2], SIDES[2:])))
    volume = Volume(t, steps, level, whole, sides, shape=(m, X, Y, n), nodes=tuple(nodes))
    start = xp.reshape(u0, (*(1 for _ in range(len(batch) + 3 - u0.ndim)), *u0.shape))
    first = volume.together(xp.broadcast_to(start[..., None, None, :, :, :], (*start.shape[:-3], 1, m, X, Y, n)))
    first = volume.begun(first)
    if y_guess is None:
        guess = xp.broadcast_to(first, (*batch, T, m * X * Y * n))
    else:
        full = frame.cut(beside(y_guess, u0, backend, "y_guess"), "y_guess")
        try:
            full = xp.broadcast_to(full, (*batch, T, X, Y, n))[..., None, :, :, :]
        except Exception as error:
            shape = (*batch, T, *frame.full, n)
            raise mismatch("y_guess", f"an array that broadcasts to {shape}", tuple(y_guess.shape)) from error
        guess = volume.together(xp.broadcast_to(full, (*batch, T, m, X, Y, n)))
    x = laid_in_volume(tree_map(lambda a: staged(a, nodes, -4), x), volume.shape)
    return backend, Data(x, volume, Initial(first), guess)


def _split(x: dict[str, Any], frame: Frame) -> tuple[dict[str, Any], ...]:
    """Return the leaves for cells, and those for the faces of each axis."""
    if not frame.has_flux:
        return x, {}, {}
    cells, faces = split(x, frame.sizes)
    return cells, *faces


def _faces(problem: Evolution2D, frame: Frame, own: dict[str, Array], x: list[dict[str, Any]], k: int, to: Any) -> Any:
    """Return what the flux of an axis is given on both sides of every cell, and what its faces are to the cell."""
    if frame.fluxes[k] is None:
        return None
    edges, sides = frame.edges[k], (problem.sides[SIDES[2 * k]], problem.sides[SIDES[2 * k + 1]])
    at = {"s": edges[None, :, None, None]} if k == 0 else {"r": edges[None, None, :, None]}
    inward, outward = openings_of(edges, sides, int(to[0].shape[-1]), to[1])
    per_length = {name: a[:, None, :] if k == 0 else a[None, :, :] for name, a in (("in", inward), ("out", outward))}
    passing = expanded({**own, **at, **x[k]}, *to)
    both = both_sides(passing, frame.rings[k], k - 3)
    return {**both, **expanded({name: a[None, ...] for name, a in per_length.items()}, *to)}


def _over_time(value: Array, name: str, T: int, frame: Any) -> Array:
    """Return the right-hand sides of a condition, (*B, T or 1, N or 1, n)."""
    axis = 1 if name in SIDES[:2] else 0
    value = value if value.ndim > 2 else value[(*(None for _ in range(3 - value.ndim)), ...)]
    if value.shape[-2] not in (1, frame.full[axis]) or value.shape[-3] not in (1, T):
        shape = f"a value, or (N, n) or (T, N, n) of them, N = {frame.full[axis]} along the side and T = {T}"
        raise mismatch(name, shape, tuple(value.shape))
    return value[..., :-1, :] if frame.images[axis] and value.shape[-2] > 1 else value
