"""From a box, times and conditions to levels: everything is checked here."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..backends.generic import Backend
from ..backends.given import batch_of, beside, expanded, ranks, state
from ..backends.namespace import Array, Tree, array_namespace, part
from ..backends.trees import tree_leaves, tree_map
from ..errors import mismatch
from .axis import laid_along
from .base import Data
from .box import AXIS_OF, SIDES, with_axes
from .faces import both_sides, openings_of, split
from .levels import Levels, staged
from .make_box import LETTERS, Frame, box_of, check_corners, coefficient, frame_of, sides_of
from .space import check_width, end_of
from .times import Initial

if TYPE_CHECKING:
    from ..problems.evolution import EvolutionProblem


def on_levels(problem: EvolutionProblem, y_guess: Any, rule: Any) -> tuple[Backend, Data]:
    """Return backend and data of an evolution equation, laid out for the stages of a rule."""
    u0, backend = state(problem.start, "u0")
    xp, nodes, frame = array_namespace(u0), tuple(rule.nodes), frame_of(problem, u0, backend)
    t = beside(problem.t, u0, backend, "t")
    check_times(t, backend)
    d, T, n = frame.ndim, int(t.shape[0]), int(u0.shape[-1])
    if u0.ndim < d + 1 or tuple(u0.shape[-d - 1 : -1]) != frame.full:
        sizes = ", ".join(f"{letter} = {size}" for letter, size in zip(LETTERS, frame.full, strict=False))
        raise mismatch("u0", f"shape (*B, {frame.letters}, n) with {sizes}", tuple(u0.shape))
    u0 = frame.cut(u0, "u0")
    D = coefficient(problem.coefficients["D"], u0, backend, "D", frame)
    if D.ndim > d + 1:
        raise mismatch("D", f"a diffusion that batch and time share, up to ({frame.letters}, n)", tuple(D.shape))
    check_width(D, "D", n)
    ends = {name: end_of(side, n, u0, backend, name) for name, side in problem.sides.items()}
    values = {name: _over_time(value, name, T, frame) for name, (_, _, value) in ends.items()}
    check_corners(values, ends, frame, backend)
    given = tree_map(lambda a: a[None, ...] if getattr(a, "ndim", 0) == d + 1 else a, problem.x or {})
    rank = max(u0.ndim + 1, ranks(given), *(v.ndim for v in values.values()), getattr(y_guess, "ndim", 0))
    x = _Fields(problem, frame, t, n, lambda leaves: expanded(leaves, u0, backend, rank), backend).of(given)
    parts = [("u0", tuple(u0.shape[: -d - 1])), *((k, tuple(v.shape[: -d - 2])) for k, v in values.items())]
    parts += [("x", tuple(a.shape[: -d - 2])) for a in tree_leaves(x)]
    parts += [("y_guess", tuple(y_guess.shape[: -d - 2]))] if getattr(y_guess, "ndim", 0) > d + 2 else []
    batch, shape = batch_of(parts), (len(nodes), *frame.sizes, n)
    level, whole = (box_of(frame, ends, (D, (), None), n, len(batch) + d + more, backend) for more in (1, 3))
    at = {name: staged(v, nodes, -d - 2) for name, v in values.items()}
    sides = sides_of(at, frame, (*batch, T, len(nodes)))
    steps = xp.reshape(t[1:] - t[:-1], (*(1 for _ in batch), T - 1, 1))
    levels = Levels(t, steps, level, whole, sides, shape=shape, nodes=nodes)
    first = levels.begun(levels.started(with_axes(u0, len(batch) + d + 1)))
    if y_guess is None:
        guess = xp.broadcast_to(first, (*batch, T, first.shape[-1]))
    else:
        guess = _guess(beside(y_guess, u0, backend, "y_guess"), levels, (*batch, T, *frame.full, n))
    x = tree_map(lambda a: levels.laid_out(staged(a, nodes, -d - 2)), x)
    return backend, Data(x, levels, Initial(first), guess)


def check_times(t: Array, backend: Backend) -> None:
    """Raise unless t are times."""
    if t.ndim != 1 or t.shape[0] < 2:
        raise mismatch("t", "shape (T,) with T >= 2", tuple(t.shape))
    if backend.is_concrete(t):
        numbers = backend.to_numpy(t)
        if not bool((numbers[1:] > numbers[:-1]).all()) or not bool((abs(numbers) < float("inf")).all()):
            raise mismatch("t", "finite, strictly increasing times", "a grid that is not")


def _guess(given: Array, levels: Levels, shape: tuple[int, ...]) -> Array:
    """Return the user's guess, which broadcasts to that shape, in every stage."""
    xp = array_namespace(given)
    try:
        full = levels.level.without_images(xp.broadcast_to(given, shape))
    except Exception as error:
        raise mismatch("y_guess", f"an array that broadcasts to {shape}", tuple(given.shape)) from error
    full = xp.expand_dims(full, axis=levels.stage_axis)
    return levels.together(xp.broadcast_to(full, (*shape[: levels.stage_axis + 1], *levels.shape)))


def _over_time(value: Array, name: str, T: int, frame: Frame) -> Array:
    """Return the right-hand sides of a condition over time, with an axis of 1 for the one of space that it ends."""
    d = frame.ndim
    k = AXIS_OF[name]
    others = [j for j in range(d) if j != k]
    value = array_namespace(value).expand_dims(with_axes(value, d + 1), axis=k - d - 1)
    fits = all(value.shape[j - d - 1] in (1, frame.full[j]) for j in others)
    if not fits or value.shape[-d - 2] not in (1, T):
        received = (*value.shape[: k - d - 1], *value.shape[k - d :])
        if not others:
            raise mismatch(name, f"a value, or one for each of T = {T} times on axis -2", received)
        N = ", ".join(str(frame.full[j]) for j in others)
        what = f"a value, or (N, n) or (T, N, n) of them, N = {N} along the side and T = {T}"
        raise mismatch(name, what, received)
    for j in others:
        value = part(value, j - d - 1, None, -1) if frame.images[j] and value.shape[j - d - 1] > 1 else value
    return value


class _Fields:
    """What f is given at every time and point; with a flux what each is given, in the cells and on the faces."""

    def __init__(
        self, problem: Any, frame: Frame, t: Array, n: int, laid: Callable[..., Any], backend: Backend
    ) -> None:
        """Take the axes of the box, the times, and what expands leaves to the rank of u."""
        d = frame.ndim
        self.frame, self.sides, self.n, self.laid, self.backend = frame, problem.sides, n, laid, backend
        self.T = int(t.shape[0])
        self.own = {"t": laid_along(t[:, None], -d - 2, d + 2)}
        self.own |= {name: a[None, ...] for name, a in frame.coordinates().items()}

    def of(self, given: dict[str, Any]) -> Tree:
        """Return all of it, leaves (*B, T or 1, *R or 1, k)."""
        frame = self.frame
        if not frame.has_flux:
            x = self.laid(given)
            self._check(x, frame.full, "")
            return {**self.laid(self.own), **tree_map(lambda a: frame.cut(a, "x"), x)}
        in_cells, on_faces = split(given, frame.sizes)
        cells = self.laid({**self.own, **in_cells})
        self._check(cells, frame.sizes, f", or X + 1 = {frame.sizes[0] + 1} for the flux")
        return {"cells": cells, "faces": tuple(self._on_faces(k, x) for k, x in enumerate(on_faces))}

    def _on_faces(self, k: int, given: dict[str, Any]) -> Tree:
        """Return what the flux of an axis is given on both sides of every cell, and what its faces are to the cell."""
        frame, d = self.frame, self.frame.ndim
        if frame.fluxes[k] is None:
            return None
        edges, (first, last), axis = frame.edges[k], SIDES[k], k - d - 1
        inward, outward = openings_of(edges, (self.sides[first], self.sides[last]), self.n, self.backend)
        at = {frame.names[k]: laid_along(edges[:, None], axis, d + 2)}
        passing = self.laid({**self.own, **at, **given})
        self._check(passing, tuple(size + (j == k) for j, size in enumerate(frame.sizes)), "")
        per_length = {name: laid_along(a, axis, d + 2) for name, a in (("in", inward), ("out", outward))}
        return {**both_sides(passing, frame.rings[k], axis), **self.laid(per_length)}

    def _check(self, x: Tree, sizes: tuple[int, ...], more: str) -> None:
        """Raise unless every leaf spans time and space, or does not vary."""
        d = len(sizes)
        named = ", ".join(f"1 or {letter} = {size}" for letter, size in zip(LETTERS, sizes, strict=False))
        for leaf in tree_leaves(x):
            fits = all(size in (1, N) for size, N in zip(leaf.shape[-d - 1 : -1], sizes, strict=True))
            if not fits or leaf.shape[-d - 2] not in (1, self.T):
                raise mismatch("x", f"leaves (*B, 1 or T = {self.T}, {named}, k){more}", tuple(leaf.shape))
