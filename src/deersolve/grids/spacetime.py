"""From a line, times and conditions to a sheet of space and time: everything is checked here."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..backends.generic import Backend
from ..backends.given import batch_of, beside, expanded, ranks, state
from ..backends.namespace import Array, Tree, array_namespace
from ..backends.trees import tree_leaves, tree_map
from ..errors import mismatch
from .axis import Ends, Sides
from .base import Data
from .faces import both_sides, openings_of, split
from .make_box import Frame, box_of, frame_of
from .sheet import Sheet, laid_out, staged
from .space import check_width, coefficient_of, end_of
from .times import Initial

if TYPE_CHECKING:
    from ..problems import Evolution1D


def on_a_sheet(problem: Evolution1D, y_guess: Any, rule: Any) -> tuple[Backend, Data]:
    """Return backend and data of an evolution equation, laid out for the stages of a rule."""
    u0, backend = state(problem.boundary.y0, "u0")
    xp, nodes = array_namespace(u0), rule.nodes
    frame, t = frame_of(problem, u0, backend), beside(problem.t, u0, backend, "t")
    check_times(t, backend)
    (points,), (full,), (X,) = frame.points, frame.full, frame.sizes
    T, m = int(t.shape[0]), len(nodes)
    if u0.ndim < 2 or u0.shape[-2] != full:
        raise mismatch("u0", f"shape (*B, X, n) with X = {full} points of s", tuple(u0.shape))
    u0, n = frame.cut(u0, "u0"), int(u0.shape[-1])
    D = coefficient_of(problem.coefficients["D"], u0, backend, "D", full, may_vanish=frame.has_flux)
    if D.ndim > 2:
        raise mismatch(
            "D",
            f"a diffusion that batch and time share: a number, (n,), (X, 1) or (X, n) with X = {full}",
            tuple(D.shape),
        )
    D = frame.cut(D, "D")
    check_width(D, "D", n)
    ends = {name: end_of(side, n, u0, backend, name) for name, side in problem.sides.items()}
    values = {name: v if v.ndim > 1 else v[None, :] for name, (_, _, v) in ends.items()}
    for name, v in values.items():
        if v.shape[-2] not in (1, T):
            raise mismatch(name, f"a value, or one for each of T = {T} times on axis -2", tuple(v.shape))
    given = tree_map(lambda a: a[None, ...] if getattr(a, "ndim", 0) == 2 else a, problem.x or {})
    rank = max(
        u0.ndim + 1, D.ndim + 1, ranks(given), *(v.ndim + 1 for v in values.values()), getattr(y_guess, "ndim", 0)
    )
    places = {"t": t[:, None, None], "s": points[None, :, None]}
    x = _fields(frame, problem.sides, given, places, lambda leaves: expanded(leaves, u0, backend, rank), (n, backend))
    parts = [("u0", tuple(u0.shape[:-2])), *((k, tuple(v.shape[:-2])) for k, v in values.items())]
    parts += [("x", tuple(a.shape[:-3])) for a in tree_leaves(x)]
    parts += [("y_guess", tuple(y_guess.shape[:-3]))] if getattr(y_guess, "ndim", 0) > 3 else []
    batch = batch_of(parts)

    box = box_of(frame, ends, (D, (), None), n, len(batch) + 4, backend)
    at = [xp.broadcast_to(v, (*batch, *(v.shape[-2:]))) for v in values.values()]
    at = [staged(v[..., :, None, :], nodes, -3) for v in at]
    shape = (*batch, T, m, 1, n)
    sheet = Sheet(
        t,
        xp.reshape(t[1:] - t[:-1], (*(1 for _ in batch), T - 1, 1)),
        box,
        Sides((Ends(*(xp.broadcast_to(v, shape) for v in at)),)),
        shape=(m, X, n),
        nodes=tuple(nodes),
    )
    start = xp.reshape(u0, (*(1 for _ in range(len(batch) + 2 - u0.ndim)), *u0.shape))
    level = sheet.together(xp.broadcast_to(start[..., None, None, :, :], (*start.shape[:-2], 1, m, X, n)))
    level = sheet.begun(level)
    guess = (
        xp.broadcast_to(level, (*batch, T, m * X * n))
        if y_guess is None
        else _laid(y_guess, sheet, (*batch, T, full, n), u0, backend)
    )
    return backend, Data(laid_out(tree_map(lambda a: staged(a, nodes, -3), x), (m, X, n)), sheet, Initial(level), guess)


def _fields(
    frame: Frame,
    sides: dict[str, Any],
    given: dict[str, Any],
    places: dict[str, Array],
    laid: Callable[..., Any],
    of: tuple[int, Backend],
) -> Tree:
    """Return what f is given at every time and point; with a flux what each is given, in the cells and on the faces."""
    T, (X,), (full,) = places["t"].shape[0], frame.sizes, frame.full
    if not frame.has_flux:
        x = laid(given)
        _check_fields(x, full, T, False)
        return {**laid(places), **tree_map(lambda a: frame.cut(a, "x"), x)}
    (s,) = frame.edges
    in_cells, (on_faces,) = split(given, (X,))
    cells, passing = laid({**places, **in_cells}), laid({**places, "s": s[None, :, None], **on_faces})
    _check_fields(cells, X, T, True)
    _check_fields(passing, X + 1, T, True)
    inward, outward = openings_of(s, (sides["left"], sides["right"]), *of)
    per_length = laid({"in": inward[None, ...], "out": outward[None, ...]})
    return {"cells": cells, "faces": ({**both_sides(passing, frame.rings[0]), **per_length},)}


def _check_fields(x: Tree, X: int, T: int, has_flux: bool) -> None:
    """Raise unless every leaf spans time and space, or does not vary."""
    for leaf in tree_leaves(x):
        if leaf.shape[-2] not in (1, X) or leaf.shape[-3] not in (1, T):
            faces = f", or X + 1 = {X + 1} for the flux" if has_flux else ""
            raise mismatch("x", f"leaves (*B, 1 or T = {T}, 1 or X = {X}, k){faces}", tuple(leaf.shape))


def _laid(y_guess: Any, sheet: Sheet, shape: tuple[int, ...], like: Array, backend: Backend) -> Array:
    """Return the user's guess, of that shape, for every stage."""
    xp, (m, X, n) = array_namespace(like), sheet.shape
    guess = beside(y_guess, like, backend, "y_guess")
    try:
        full = sheet.box.without_images(xp.broadcast_to(guess, shape))
    except Exception as error:
        raise mismatch("y_guess", f"an array that broadcasts to {shape}", tuple(guess.shape)) from error
    return sheet.together(xp.broadcast_to(full[..., None, :, :], (*shape[:-2], m, X, n)))


def check_times(t: Array, backend: Backend) -> None:
    """Raise unless t are times."""
    if t.ndim != 1 or t.shape[0] < 2:
        raise mismatch("t", "shape (T,) with T >= 2", tuple(t.shape))
    if backend.is_concrete(t):
        numbers = backend.to_numpy(t)
        if not bool((numbers[1:] > numbers[:-1]).all()) or not bool((abs(numbers) < float("inf")).all()):
            raise mismatch("t", "finite, strictly increasing times", "a grid that is not")
