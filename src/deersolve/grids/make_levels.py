"""From a box, times and conditions to levels: everything is checked here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..backends.generic import Backend
from ..backends.given import Given
from ..backends.namespace import Array, Tree, array_namespace, padded, padded_behind
from ..backends.trees import tree_leaves, tree_map
from ..errors import mismatch
from .axis import laid_along
from .base import Data
from .box import SIDES
from .conditions import side_of
from .faces import both_sides, openings_of, split
from .levels import Levels, staged
from .make_axis import is_rising
from .make_box import (
    LETTERS,
    Frame,
    along_side,
    box_of,
    check_corners,
    check_width,
    coefficient,
    frame_of,
    sides_of,
)
from .times import Initial

if TYPE_CHECKING:
    from ..problems.evolution import Evolution


def on_levels(problem: Evolution, y_guess: Any, rule: Any) -> tuple[Backend, Data]:
    """Return backend and data of an evolution equation, laid out for the stages of a rule."""
    d, nodes = len(problem.edges), tuple(rule.nodes)
    given = Given(d + 2, u0=problem.start, y_guess=y_guess)
    u0, backend, xp, frame = given.first, given.backend, given.xp, frame_of(problem, given)
    t = given.array("t", problem.t)
    check_times(t, backend)
    T, n = int(t.shape[0]), int(u0.shape[-1])
    if u0.ndim < d + 1 or tuple(u0.shape[-d - 1 : -1]) != frame.full:
        sizes = ", ".join(f"{letter} = {size}" for letter, size in zip(LETTERS, frame.full, strict=False))
        raise mismatch("u0", f"shape (*B, {frame.letters}, n) with {sizes}", tuple(u0.shape))
    u0 = frame.without_images(u0)
    D = coefficient("D", problem.coefficients["D"], frame, given)
    if D.ndim > d + 1:
        raise mismatch("D", f"a diffusion that batch and time share, up to ({frame.letters}, n)", tuple(D.shape))
    check_width(D, "D", n)
    given.of_batch("u0", xp.expand_dims(u0, axis=-d - 2))
    ends = {name: side_of(side, n, given, name) for name, side in problem.sides.items()}
    values = {name: given.of_batch(name, along_side(name, side, frame, T)) for name, side in ends.items()}
    check_corners(values, ends, frame, backend)
    x = _Fields(problem, frame, t, n, given).of(problem.x or {})
    batch, shape = given.batch, (len(nodes), *frame.sizes, n)
    level, whole = (box_of(frame, ends, (D, (), None), len(batch) + d + more, backend) for more in (1, 3))
    at = {name: staged(v, nodes, -d - 2) for name, v in values.items()}
    sides = sides_of(at, frame, (*batch, T, len(nodes)))
    steps = padded_behind(t[1:] - t[:-1], 1 + len(shape))
    levels = Levels(t, padded(steps, len(batch) + 1 + len(shape)), shape, nodes, level, whole, sides)
    first = levels.begun(levels.started(padded(u0, len(batch) + d + 1)))
    if given.guess is None:
        guess = xp.broadcast_to(first, (*batch, T, *shape))
    else:
        guess = _guess(given.start(first, T, *frame.full, n), levels)

    def laid_out(leaf: Array) -> Array:
        at = levels.in_stages(leaf)
        return xp.broadcast_to(at, (*at.shape[: levels.stage_axis], *shape[:-1], leaf.shape[-1]))

    x = tree_map(laid_out, given.laid(x))
    return backend, Data(x, levels, Initial(first), guess)


def check_times(t: Array, backend: Backend) -> None:
    """Raise unless t are times."""
    if t.ndim != 1 or t.shape[0] < 2:
        raise mismatch("t", "shape (T,) with T >= 2", tuple(t.shape))
    if not is_rising(t, backend):
        raise mismatch("t", "finite, strictly increasing times", "a grid that is not")


def _guess(given: Array, levels: Levels) -> Array:
    """Return the user's guess, (*B, T, *R, n), in every stage."""
    full = array_namespace(given).expand_dims(levels.level.without_images(given), axis=levels.stage_axis)
    return array_namespace(given).broadcast_to(full, (*given.shape[: levels.stage_axis + 1], *levels.shape))


class _Fields:
    """What f is given at every time and point; with a flux what each is given, in the cells and on the faces."""

    def __init__(self, problem: Any, frame: Frame, t: Array, n: int, given: Given) -> None:
        """Take the axes of the box, the times, and what brings leaves to them."""
        d = frame.ndim
        self.frame, self.sides, self.n, self.given = frame, problem.sides, n, given
        self.T = int(t.shape[0])
        self.own = {"t": laid_along(t[:, None], -d - 2, d + 2)}
        self.own |= {name: a[None, ...] for name, a in frame.coordinates().items()}

    def of(self, given: dict[str, Any]) -> Tree:
        """Return all of it, leaves (*B, T or 1, *R or 1, k)."""
        frame = self.frame
        if not frame.has_flux:
            x = self.given.tree(given)
            self._check(x, frame.full, "")
            return {**self.own, **tree_map(frame.without_images, x)}
        in_cells, on_faces = split(given, frame.sizes)
        cells = {**self.own, **self.given.tree(in_cells)}
        self._check(cells, frame.sizes, f", or X + 1 = {frame.sizes[0] + 1} for the flux")
        return {"cells": cells, "faces": tuple(self._on_faces(k, x) for k, x in enumerate(on_faces))}

    def _on_faces(self, k: int, given: dict[str, Any]) -> Tree:
        """Return what the flux of an axis is given on both sides of every cell, and what its faces are to the cell."""
        frame, d = self.frame, self.frame.ndim
        line, (first, last), axis = frame.axes[k], SIDES[k], k - d - 1
        if line.flux is None:
            return None
        inward, outward = openings_of(line.widths, (self.sides[first], self.sides[last]), self.n, self.given.backend)
        at = {line.name: laid_along(line.edges[:, None], axis, d + 2)}
        passing = {**self.own, **at, **self.given.tree(given)}
        self._check(passing, tuple(size + (j == k) for j, size in enumerate(frame.sizes)), "")
        per_length = {name: laid_along(a, axis, d + 2) for name, a in (("in", inward), ("out", outward))}
        return {**both_sides(passing, line.is_ring, axis), **per_length}

    def _check(self, x: Tree, sizes: tuple[int, ...], more: str) -> None:
        """Raise unless every leaf spans time and space, or does not vary."""
        d = len(sizes)
        named = ", ".join(f"1 or {letter} = {size}" for letter, size in zip(LETTERS, sizes, strict=False))
        for leaf in tree_leaves(x):
            fits = all(size in (1, N) for size, N in zip(leaf.shape[-d - 1 : -1], sizes, strict=True))
            if not fits or leaf.shape[-d - 2] not in (1, self.T):
                raise mismatch("x", f"leaves (*B, 1 or T = {self.T}, {named}, k){more}", tuple(leaf.shape))
