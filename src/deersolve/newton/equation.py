"""The discrete equation to solve: functions, shifters, rule and data in one place."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

from ..backends.columns import split_columns, split_rows
from ..backends.generic import Backend
from ..backends.namespace import Array, Tree, array_namespace, joined, padded, padded_behind, part
from ..backends.spans import spans_of
from ..backends.trees import record, tree_map
from ..grids.base import Data, Grid
from ..grids.shifters import Shifter, apply_shifters
from ..grids.times import Initial
from ..inverses import Rule
from ..linalg.layout import Layout
from ..linalg.structure import Dense, Structure, as_structure, of_layout
from .causality import why_whole
from .finite_slopes import Directions, mended


@record
class Linearised:
    """f and ``G_p = -df / dy_p``, or what a structure keeps of them, at every grid point of y."""

    ys: tuple[Array, ...]
    fy: Array
    Gs: tuple[Structure, ...]


@dataclasses.dataclass(frozen=True)
class System:
    """residual(y) = M f(S[y], x) - L y."""

    backend: Backend
    rule: Rule
    shift: tuple[Shifter, ...]
    functions: dict[str, Callable[..., Any]]
    data: Data
    block: int | None = None  # how many steps or intervals are linearised at once; None for all
    layout: Layout | None = None  # of blocks that are all of d f / d y_p, where those are small
    strict: bool = False  # whether a slope of f that is another on each side is NaN: for derivatives of the solution

    @cached_property
    def grid(self) -> Grid:
        """Where y lives."""
        grid: Grid = self.data.grid
        return grid

    @property
    def stretch(self) -> int:
        """How many steps or intervals f alone is evaluated on at once: a Jacobian is n of its directions."""
        length = int(self.grid.length)
        return length if self.block is None else min(length, self.block * (1 + int(self.data.guess.shape[-1])))

    @cached_property
    def why_whole(self) -> str:
        """Why all points have to be solved at once; "" where windows can be cut."""
        return why_whole(self.rule, self.shift, self.data)

    @property
    def marches(self) -> bool:
        """Whether windows can be cut, from the first point on."""
        return not self.why_whole

    @cached_property
    def n_batch(self) -> int:
        """The number of batch axes."""
        return int(self.data.guess.ndim - self.grid.ndim) - 1

    @cached_property
    def sizes(self) -> tuple[int, int]:
        """How many numbers there are at each place of the first axis of the grid, and how many batch elements."""
        shape, axis = self.data.guess.shape, self.grid.axis
        return math.prod(shape[axis + 1 :]), math.prod(shape[:axis])

    @property
    def width(self) -> int:
        """How many numbers a row of a Jacobian has."""
        return self.sizes[0] if self.layout is None else self.layout.size

    def shifted(self, y: Array) -> tuple[Array, ...]:
        """Return y_1, ..., y_P."""
        return apply_shifters(self.shift, y, self.grid.seen, self.data.boundary)

    @property
    def posed(self) -> tuple[dict[str, Callable[..., Any]], Tree]:
        """The functions of the discrete equation, and what they are given at every point beside y."""
        return self.rule.posed(self.functions, self.data)

    def f(self, *ys: Array) -> Array:
        """Return f at every grid point, in blocks without keeping what it computed on its way."""
        functions, x = self.posed
        if "ends" in functions:
            u, ends = self._parted(ys)
            rows = [functions["f"](u, u, x), functions["ends"](*ends)]
            return array_namespace(u).concat(rows, axis=-2)
        f, axis = functions["f"], self.grid.axis
        points = ys[0].shape[axis]
        if self.block is None or points <= self.stretch + self.grid.overlap:
            return f(*ys, x)
        cut, light = self.backend.slice, self.backend.rematerialised(f)

        def piece(nothing: Array, start: Any, steps: int) -> tuple[Array, Array]:
            return nothing, light(*(cut(y, start, steps, axis) for y in ys), self.cut(x, start, steps))

        return self.backend.over_spans(piece, part(ys[0], axis, None, 1) * 0, spans_of(points, self.stretch), axis)

    @cached_property
    def where(self) -> dict[str, Any]:
        """What a rule is told of the place where y lives."""
        return {"grid": self.grid.seen, "boundary": self.data.boundary}

    def residual(self, y: Array, fy: Array | None = None, Gs: tuple[Structure, ...] = ()) -> Array:
        """Return ``M f(y) - L y`` where the equation is looked at; of a rule that is not exact at these G."""
        fy = self.f(*self.shifted(y)) if fy is None else fy
        r = self.rule.residual(y, fy, **self.at(Gs), **self.where)
        return self.grid.kept(self.rule.checked("residual", r, y))

    def at(self, Gs: tuple[Structure, ...]) -> dict[str, Any]:
        """Return G for a rule whose residual depends on it."""
        return {} if self.rule.exact else {"Gs": Gs}

    def magnitude(self, y: Array, fy: Array) -> Array:
        """Return ``|L| y + |M| fy`` for y, fy >= 0."""
        return self.rule.checked("magnitude", self.rule.magnitude(y, fy, **self.where), y)

    def solver(self, Gs: tuple[Structure, ...], like: Array) -> Callable[[Array], Array]:
        """Return ``r -> delta`` with ``(L + M sum_p G_p S_p) delta = r``; what depends on G alone is done once."""
        solve = self.rule.solver(Gs, like, **self.where)
        return solve if self.rule.is_builtin else lambda r: self.rule.checked("solve", solve(r), r)

    def estimator(self, Gs: tuple[Structure, ...], like: Array) -> Callable[[Array], Array]:
        """Return the same to half of the digits at least, for estimates."""
        return self.rule.estimator(Gs, like, **self.where)

    def solve(self, Gs: tuple[Structure, ...], r: Array) -> Array:
        """Return delta with ``(L + M sum_p G_p S_p) delta = r``."""
        return self.rule.solved(Gs, r, **self.where)

    def transpose(self, Gs: tuple[Structure, ...], c: Array) -> Array:
        """Return u with ``(L + M sum_p G_p S_p)^T u = c``."""
        return self.rule.transposed(Gs, c, **self.where)

    def correction(self, Gs: tuple[Structure, ...], y: Array, ys: tuple[Array, ...], fy: Array) -> tuple[Array, Array]:
        """Return the residual and the correction of one step."""
        return self.rule.correction(Gs, y, ys, fy, self.data)

    def linearise(self, y: Array, structure: Any = Dense) -> Linearised:
        """Return f and G, or what the structure keeps of it, at every grid point."""
        ys = self.shifted(y)
        fy, Js = structure.linearise(self, ys)
        return Linearised(ys, fy, tuple(-J for J in Js))

    def jacobians(self, ys: tuple[Array, ...]) -> tuple[Array, tuple[Structure, ...]]:
        """Return ``f(*ys)`` and all of d f / d y_p, fused."""
        if "ends" in self.functions:
            return self._with_ends(ys)
        if "columns" in self.functions:
            return self._by_columns(ys)
        functions, x = self.posed
        if "jac" not in functions and self.layout is not None:
            return self._in_layout(self.layout, functions["f"], ys, x)
        if "jac" not in functions:
            fy, Js = self._automatic(functions["f"], ys, x)
            return fy, tuple(map(Dense, Js))
        made = functions["jac"](*ys, x)
        made = made if isinstance(made, tuple | list) else (made,)
        kinds = self.rule.structures
        return functions["f"](*ys, x), tuple(as_structure(J, ys[0]).among(kinds) for J in made)

    def _automatic(self, f: Callable[..., Array], ys: tuple[Array, ...], x: Tree) -> tuple[Array, tuple[Array, ...]]:
        """Return ``f(*ys, x)`` and its Jacobians by the derivative of the library, finite wherever f has slopes."""
        fy, Js = self.backend.jacobians(f, ys, x)
        return fy, mended(self.backend, lambda *ys: f(*ys, x), ys, Js, self._directions(ys), self.strict)

    def _in_layout(
        self, layout: Layout, f: Callable[..., Array], ys: tuple[Array, ...], x: Tree
    ) -> tuple[Array, tuple[Structure, ...]]:
        """Return the same where blocks are all there is: a derivative along one direction for all of them."""
        n, b, by = ys[0].shape[-1], layout.size, self.backend
        fy, rows = by.along_seeds(f, ys, x, layout.seeds(n, ys[0]))
        Js = tuple(of_layout(layout, a, by.by_rows) for a in rows)

        def along(k: Any) -> tuple[Array, ...]:
            xp = array_namespace(fy)
            moves = (layout.moves(n, y, k - p * b) for p, y in enumerate(ys))
            return tuple(xp.zeros_like(y) + xp.astype(at, y.dtype) for at, y in zip(moves, ys, strict=True))

        def laid(rows: Array) -> tuple[Array, ...]:
            columns = split_rows(array_namespace(rows).moveaxis(rows, 0, -2), len(ys))
            return tuple(of_layout(layout, a, False).values for a in columns)

        slopes = mended(
            by,
            lambda *ys: f(*ys, x),
            ys,
            tuple(J.values for J in Js),
            Directions(b * len(ys), along, laid),
            self.strict,
        )
        return fy, tuple(J.map(lambda _, a=a: a) for J, a in zip(Js, slopes, strict=True))

    def _directions(self, ys: tuple[Array, ...]) -> Directions:
        """Return one direction for each component of each signal."""

        def along(k: Any) -> tuple[Array, ...]:
            ends = [sum(y.shape[-1] for y in ys[:p]) for p in range(len(ys))]
            return tuple(self._unit(y, k - end) for y, end in zip(ys, ends, strict=True))

        def laid(rows: Array) -> tuple[Array, ...]:
            return split_columns(array_namespace(rows).permute_dims(rows, (*range(1, rows.ndim), 0)), ys)

        return Directions(sum(y.shape[-1] for y in ys), along, laid)

    def _unit(self, y: Array, k: Any) -> Array:
        """Return 1 in component k and 0 elsewhere, of the shape of y."""
        xp = array_namespace(y)
        place = xp.arange(y.shape[-1], device=self.backend.placement(y))
        return xp.zeros_like(y) + xp.astype(padded(place == k, y.ndim), y.dtype)

    def _parted(self, ys: tuple[Array, ...]) -> tuple[Array, tuple[Array, ...]]:
        """Return the points, where the signals are the same, and the row behind them, where each is another end."""
        return ys[0][..., :-1, :], tuple(y[..., -1:, :] for y in ys)

    def _with_ends(self, ys: tuple[Array, ...]) -> tuple[Array, tuple[Structure, ...]]:
        """Return the same where the last row is that of conditions on both ends: f is of the first signal only."""
        xp, (u, ends) = array_namespace(ys[0]), self._parted(ys)
        of_first: dict[str, Callable[..., Any]]
        of_first = {name: partial(_of_one, g) for name, g in self.functions.items() if not name.startswith("ends")}
        fy, Js = dataclasses.replace(self, functions=of_first).jacobians((u,))
        if "ends_jac" in self.functions:
            c, (A, B) = self.functions["ends"](*ends), self.functions["ends_jac"](*ends, None)
        else:
            c, (A, B) = self._automatic(lambda a, b, _: self.functions["ends"](a, b), ends, None)
        J = Js[0].to_dense()
        rows = xp.concat([J, A], axis=-3), xp.concat([xp.zeros_like(J), B], axis=-3)
        return xp.concat([fy, c], axis=-2), tuple(map(Dense, rows))

    def _by_columns(self, ys: tuple[Array, ...]) -> tuple[Array, tuple[Structure, ...]]:
        """Return the same where f knows a short way to its derivatives; of as many points as stay in cache."""
        f, cut, axis = self.functions["f"], self.backend.slice, self.grid.axis
        points, width, most = ys[0].shape[axis], sum(y.shape[-1] for y in ys), self.backend.in_cache

        def piece(nothing: Array, start: Any, steps: int) -> tuple[Array, Array]:
            us = tuple(cut(y, start, steps, axis) for y in ys)
            return nothing, self.functions["columns"](self.backend.pushforward, *us, self.inputs(start, steps))

        is_whole = most is None or points != self.grid.n_points
        spans = spans_of(points, points if is_whole else max(most * points // (width * math.prod(ys[0].shape)), 1))
        rows = self.backend.over_spans(piece, part(ys[0], axis, None, 1) * 0, spans, axis)
        by = self._directions(ys)
        Js = mended(self.backend, lambda *ys: f(*ys, self.data.x), ys, by.laid(rows), by, self.strict)
        return f(*ys, self.data.x), tuple(map(Dense, Js))

    def along(self, ys: tuple[Array, ...], v: Array) -> Array:
        """Return the products ``d f / d y_p v``, stacked, each by one directional derivative."""
        xp, count = array_namespace(v), len(ys)
        zero = xp.zeros_like(v)
        directions = [xp.stack([v if q == p else zero for q in range(count)]) for p in range(count)]
        functions, x = self.posed
        f = self.f if "ends" in functions else lambda *ys: functions["f"](*ys, x)
        return self.backend.pushforward(f, list(ys), directions)

    def peaks(self, y: Array) -> Array:
        """Return the largest |y| of each component over time and space, of the rank of y."""
        return array_namespace(y).max(abs(y), axis=tuple(range(self.n_batch, y.ndim - 1)), keepdims=True)

    def over_grid(self, reduce: Callable[..., Array], values: Array) -> Array:
        """Reduce over everything but the batch axes."""
        return reduce(values, axis=tuple(range(self.n_batch, values.ndim)))

    def over_points(self, reduce: Callable[..., Array], values: Array) -> Array:
        """Reduce over everything but the batch axes and the first one of the grid."""
        return reduce(values, axis=tuple(range(self.n_batch + 1, values.ndim)))

    def numbers(self, count: int) -> Array:
        """Return 0, 1, ... along the first axis of the grid, of the rank of y."""
        xp, like = array_namespace(self.data.guess), self.data.guess
        numbers = xp.arange(count, dtype=xp.int32, device=self.backend.placement(like))
        return xp.reshape(numbers, (*(1,) * self.n_batch, count, *(1,) * self.grid.ndim))

    def per_element(self, flags: Array) -> Array:
        """Give flags of shape (*B,) the rank of y."""
        return padded_behind(flags, flags.ndim + self.grid.ndim + 1)

    def spans(self, leaf: Array) -> bool:
        """Return whether a leaf of x varies along the first axis of the grid."""
        axis, n_points = self.grid.axis, self.grid.n_points
        return bool(leaf.ndim >= -axis and leaf.shape[axis] == n_points and n_points > 1)

    def cut(self, x: Tree, start: Any, points: int) -> Tree:
        """Return what f is given beside y on ``points`` points from ``start``."""
        cut, axis = self.backend.slice, self.grid.axis
        return tree_map(lambda leaf: cut(leaf, start, points, axis) if self.spans(leaf) else leaf, x)

    def inputs(self, start: Any, points: int) -> Tree:
        """Return x there."""
        return self.cut(self.data.x, start, points)

    def polynomials(self, y: Array) -> Array:
        """Return the coefficients of the rule's continuous extension, (*B, T - 1, d + 1, n)."""
        return self.rule.polynomials(y, self.functions, self.data)

    def start(self) -> Initial:
        """Return the boundary data with the batch axes of y."""
        y0, guess, axis = self.data.boundary.y0, self.data.guess, self.grid.axis
        return Initial(array_namespace(guess).broadcast_to(y0, (*guess.shape[:axis], *y0.shape[axis:])))

    def head(self, points: int) -> System:
        """Return the same equation on its first points, guessed constant; itself where those are all."""
        if points == self.data.guess.shape[self.grid.axis]:
            return self
        return self.window(0, points - self.grid.overlap, self.start())

    def window(self, start: Any, length: int, boundary: Initial) -> System:
        """Return the same equation on ``length`` steps or intervals from ``start``, with that history.

        The guess is that of the whole, moved by what the history differs from it.
        """
        grid, cut = self.data.grid, self.backend.slice
        points = length + grid.overlap
        last = part(boundary.y0, grid.axis, -1, None)
        guess = cut(self.data.guess, start, points, grid.axis) + self._jump(start, last)
        data = Data(self.inputs(start, points), grid.window(cut, start, length), boundary, guess)
        return dataclasses.replace(self, data=data)

    def longer(self, intervals: int) -> System:
        """Return the equation on a grid that stands still for so many intervals at its end."""
        grid = self.data.grid

        def repeated(a: Array, axis: int = grid.axis) -> Array:
            return joined([a, *[part(a, axis, -1, None)] * intervals], axis)

        x = tree_map(lambda leaf: repeated(leaf) if self.spans(leaf) else leaf, self.data.x)
        still = joined([0 * part(grid.D, grid.axis, -1, None)] * intervals, grid.axis)
        longer = grid.longer(repeated, still)
        data = dataclasses.replace(self.data, x=x, grid=longer, guess=repeated(self.data.guess))
        return dataclasses.replace(self, data=data)

    def _jump(self, start: Any, last: Array) -> Array:
        xp, guess, axis = array_namespace(last), self.data.guess, self.grid.axis
        before = start - 1 + self.grid.overlap  # the place of the guess that the history has taken
        if isinstance(start, int):
            return last - self.backend.slice(guess, before, 1, axis) if start else xp.zeros_like(last)
        return xp.where(start > 0, last - self.backend.slice(guess, xp.maximum(before, 0), 1, axis), 0.0)


def _of_one(function: Callable[..., Any], u: Array, x: Tree) -> Any:
    return function(u, u, x)
