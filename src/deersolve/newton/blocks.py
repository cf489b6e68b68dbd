"""The inverse linear operator of a long trajectory block by block: the Jacobians of one block at a time.

The blocks of (L + M sum_p G_p S_p) delta = r are coupled by what a block hands to the next one: its newest K values,
K the largest lag (1 for a differential equation). The transposed equation runs over the blocks from last to first,
with the Jacobians computed afresh, so that its memory does not grow with T n^2.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from ..backends.namespace import Array, array_namespace, joined, part
from ..backends.spans import spans_of
from ..grids.shifters import apply_shifters
from ..grids.times import Initial
from .equation import Linearised, System


@dataclasses.dataclass(frozen=True)
class Blockwise:
    """The linearisation at y in blocks of ``system.block`` steps or intervals."""

    system: System
    y: Array

    @property
    def axis(self) -> int:
        """The axis that is cut."""
        return self.system.grid.axis

    def residual(self, seen: Callable[[Array], Array] = lambda rows: rows) -> Array:
        """Return ``seen(M f(y) - L y)``; a graph of derivatives keeps nothing of what f computes on its way."""
        grid, axis, first = self.system.grid, self.axis, part(self.y, self.axis, None, 1)

        def piece(nothing: Array, start: Any, steps: int) -> tuple[Array, Array]:
            block = self._block(start, steps)

            def rows(y: Array, x: Any) -> Array:
                return dataclasses.replace(block, data=dataclasses.replace(block.data, x=x)).residual(y)

            return nothing, seen(self.system.backend.rematerialised(rows)(block.data.guess, block.data.x))

        spans = spans_of(grid.length, self.system.stretch)
        made = self.system.backend.over_spans(piece, first * 0, spans, axis, grid.overlap)
        if not grid.overlap:
            return made
        return joined([seen(self.system.data.boundary.y0 - first), part(made, axis, 1, None)], axis)

    def solve(self, r: Array) -> Array:
        """Return delta: from block to block its newest values are carried on."""
        xp, overlap, axis = array_namespace(r), self.system.data.grid.overlap, self.axis
        first = part(r, axis, None, 1) if overlap else xp.zeros_like(self._history_of(0).y0)

        def piece(before: Initial, start: Any, steps: int) -> tuple[Initial, Array]:
            block, at = self._linearised(start, steps)
            rows = self._cut(r, start, steps)
            if overlap:
                rows = joined([before.y0, part(rows, axis, 1, None)], axis)
            else:
                shifted = apply_shifters(block.shift, xp.zeros_like(rows), block.data.grid, before)
                for G, change in zip(at.Gs, shifted, strict=True):
                    rows = rows - (G @ change)
            delta = block.solve(at.Gs, rows)
            return before.after(delta, axis, overlap), delta

        return self._over_blocks(piece, Initial(first + 0))

    def transpose(self, c: Array) -> Array:
        """Return u: from block to block, backwards, what the history of a block has to bear is carried on."""
        xp, overlap, axis = array_namespace(c), self.system.data.grid.overlap, self.axis
        K = self.system.data.boundary.y0.shape[axis]

        def piece(bears: Initial, start: Any, steps: int) -> tuple[Initial, Array]:
            block, at = self._linearised(start, steps)
            rows = self._cut(c, start, steps)
            if overlap:  # the first point is the last of the block before, and counts there
                is_first = xp.asarray(start == 0, device=self.system.backend.placement(c))
                first = xp.astype(is_first, c.dtype) * part(rows, axis, None, 1)
                rows = joined([first, part(rows, axis, 1, None)], axis)
            older = max(K - rows.shape[axis], 0)  # of a short block the history is still a part of what the next has
            newest = rows.shape[axis] - K + older
            loaded = part(rows, axis, newest, None) + part(bears.y0, axis, older, None)
            u = block.transpose(at.Gs, joined([part(rows, axis, None, newest), loaded], axis))
            if overlap:
                return Initial(part(u, axis, None, 1)), u
            total = joined([xp.zeros_like(part(bears.y0, axis, older, None)), part(bears.y0, axis, None, older)], axis)
            for G, k in zip(at.Gs, block.data.grid.lags, strict=True):
                head = G.map(lambda v, G=G, k=k: part(v, axis + 1 - G.tail, None, k))
                borne = head.mT @ part(u, axis, None, k)
                before = xp.zeros_like(part(total, axis, None, K - k))
                behind = xp.zeros_like(part(total, axis, None, k - borne.shape[axis]))
                total = total - joined([before, borne, behind], axis)
            return Initial(total), u

        return self._over_blocks(piece, Initial(xp.zeros_like(self._history_of(0).y0)), reverse=True)

    def rows(self, function: Callable[[System], Array]) -> Array:
        """Return ``function(block)``, rows (*B, P, k) of each block's points, of all; y of the block is its guess."""

        def piece(nothing: Array, start: Any, steps: int) -> tuple[Array, Array]:
            return nothing, function(self._block(start, steps))

        return self._over_blocks(piece, part(self.y, self.axis, None, 1) * 0)

    def _over_blocks(self, piece: Callable[..., Any], carry: Any, reverse: bool = False) -> Array:
        """Run ``carry, rows = piece(carry, start, steps)`` over the blocks; return the rows of all of them."""
        grid, block = self.system.data.grid, self.system.block
        assert block is not None
        spans = spans_of(grid.length, block)
        return self.system.backend.over_spans(piece, carry, spans[::-1] if reverse else spans, self.axis, grid.overlap)

    def _linearised(self, start: Any, steps: int) -> tuple[System, Linearised]:
        block = self._block(start, steps)
        return block, block.linearise(block.data.guess)

    def _block(self, start: Any, steps: int) -> System:
        """Return the equation on one block, y there as its guess: a view, where the library has views."""
        whole = dataclasses.replace(self.system, block=None)
        block = whole.window(start, steps, self._history_of(start))
        return dataclasses.replace(block, data=dataclasses.replace(block.data, guess=self._cut(self.y, start, steps)))

    def _history_of(self, start: Any) -> Initial:
        """Return the values before (at) a point."""
        system, cut, axis = self.system, self.system.backend.slice, self.axis
        if system.data.grid.overlap:
            return Initial(cut(self.y, start, 1, axis))
        first = system.start()
        K = first.y0.shape[axis]
        if isinstance(start, int):
            return Initial(cut(self.y, start - K, K, axis)) if start else first
        return Initial(cut(joined([first.y0, self.y], axis), start, K, axis))

    def _cut(self, values: Array, start: Any, steps: int) -> Array:
        return self.system.backend.slice(values, start, steps + self.system.data.grid.overlap, self.axis)
