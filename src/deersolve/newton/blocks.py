"""The inverse linear operator of a long trajectory block by block: the Jacobians of one block at a time.

The blocks of (L + M sum_p G_p S_p) delta = r are coupled by what a block hands to the next one: its newest K values,
K the largest lag (1 for a differential equation). The transposed equation runs over the blocks from last to first,
with the Jacobians computed afresh, so that its memory does not grow with T n^2.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from ..backends.generic import spans_of
from ..backends.namespace import Array, array_namespace
from ..grids.shifters import apply_shifters
from ..grids.times import Initial
from .equation import Linearised, System


@dataclasses.dataclass(frozen=True)
class Blockwise:
    """The linearisation at y in blocks of ``system.block`` steps or intervals."""

    system: System
    y: Array

    def residual(self, seen: Callable[[Array], Array] = lambda rows: rows) -> Array:
        """Return ``seen(M f(y) - L y)``; a graph of derivatives keeps nothing of what f computes on its way."""
        xp, overlap = array_namespace(self.y), self.system.data.grid.overlap

        def piece(nothing: Array, start: Any, steps: int) -> tuple[Array, Array]:
            part = self._part(start, steps)

            def rows(y: Array, x: Any) -> Array:
                return dataclasses.replace(part, data=dataclasses.replace(part.data, x=x)).residual(y)

            return nothing, seen(self.system.backend.rematerialised(rows)(part.data.guess, part.data.x))

        spans = spans_of(self.system.data.grid.length, self.system.stretch)
        made = self.system.backend.over_spans(piece, self.y[..., :1, :] * 0, spans, overlap)
        if not overlap:
            return made
        return xp.concat([seen(self.system.data.boundary.y0 - self.y[..., :1, :]), made[..., 1:, :]], axis=-2)

    def solve(self, r: Array) -> Array:
        """Return delta: from block to block its newest values are carried on."""
        xp, overlap = array_namespace(r), self.system.data.grid.overlap
        first = r[..., :1, :] if overlap else xp.zeros_like(self._history_of(0).y0)

        def piece(before: Initial, start: Any, steps: int) -> tuple[Initial, Array]:
            part, at = self._linearised(start, steps)
            rows = self._cut(r, start, steps)
            if overlap:
                rows = xp.concat([before.y0, rows[..., 1:, :]], axis=-2)
            else:
                shifted = apply_shifters(part.shift, xp.zeros_like(rows), part.data.grid, before)
                for G, change in zip(at.Gs, shifted, strict=True):
                    rows = rows - (G @ change)
            delta = part.solve(at.Gs, rows)
            return before.after(delta), delta

        return self._over_blocks(piece, Initial(first + 0))

    def transpose(self, c: Array) -> Array:
        """Return u: from block to block, backwards, what the history of a block has to bear is carried on."""
        xp, overlap = array_namespace(c), self.system.data.grid.overlap
        K = self.system.data.boundary.y0.shape[-2]

        def piece(bears: Initial, start: Any, steps: int) -> tuple[Initial, Array]:
            part, at = self._linearised(start, steps)
            rows = self._cut(c, start, steps)
            if overlap:  # the first point is the last of the block before, and counts there
                is_first = xp.asarray(start == 0, device=self.system.backend.placement(c))
                rows = xp.concat([xp.astype(is_first, c.dtype) * rows[..., :1, :], rows[..., 1:, :]], axis=-2)
            older = max(K - rows.shape[-2], 0)  # of a short block the history is still a part of what the next one has
            newest = rows.shape[-2] - K + older
            rows = xp.concat([rows[..., :newest, :], rows[..., newest:, :] + bears.y0[..., older:, :]], axis=-2)
            u = part.transpose(at.Gs, rows)
            if overlap:
                return Initial(u[..., :1, :]), u
            passed = bears.y0[..., :older, :]
            total = xp.concat([xp.zeros_like(bears.y0[..., older:, :]), passed], axis=-2)
            for G, k in zip(at.Gs, part.data.grid.lags, strict=True):
                head = G.map(lambda v, G=G, k=k: v[(..., slice(k), *(slice(None) for _ in range(G.tail)))])
                borne = head.mT @ u[..., :k, :]
                before, behind = (
                    xp.zeros_like(total[..., : K - k, :]),
                    xp.zeros_like(total[..., : k - borne.shape[-2], :]),
                )
                total = total - xp.concat([before, borne, behind], axis=-2)
            return Initial(total), u

        return self._over_blocks(piece, Initial(xp.zeros_like(self._history_of(0).y0)), reverse=True)

    def rows(self, function: Callable[[System], Array]) -> Array:
        """Return ``function(part)``, rows (*B, P, k) of each block's points, of all; y of the block is its guess."""

        def piece(nothing: Array, start: Any, steps: int) -> tuple[Array, Array]:
            return nothing, function(self._part(start, steps))

        return self._over_blocks(piece, self.y[..., :1, :] * 0)

    def _over_blocks(self, piece: Callable[..., Any], carry: Any, reverse: bool = False) -> Array:
        """Run ``carry, rows = piece(carry, start, steps)`` over the blocks; return the rows of all of them."""
        grid, block = self.system.data.grid, self.system.block
        assert block is not None
        spans = spans_of(grid.length, block)
        return self.system.backend.over_spans(piece, carry, spans[::-1] if reverse else spans, grid.overlap)

    def _linearised(self, start: Any, steps: int) -> tuple[System, Linearised]:
        part = self._part(start, steps)
        return part, part.linearise(part.data.guess)

    def _part(self, start: Any, steps: int) -> System:
        """Return the equation on one block, y there as its guess: a view, where the library has views."""
        whole = dataclasses.replace(self.system, block=None)
        part = whole.window(start, steps, self._history_of(start))
        return dataclasses.replace(part, data=dataclasses.replace(part.data, guess=self._cut(self.y, start, steps)))

    def _history_of(self, start: Any) -> Initial:
        """Return the values before (at) a point."""
        system, cut = self.system, self.system.backend.slice
        if system.data.grid.overlap:
            return Initial(cut(self.y, start, 1, -2))
        first = system.start()
        K = first.y0.shape[-2]
        if isinstance(start, int):
            return Initial(cut(self.y, start - K, K, -2)) if start else first
        return Initial(cut(array_namespace(self.y).concat([first.y0, self.y], axis=-2), start, K, -2))

    def _cut(self, values: Array, start: Any, steps: int) -> Array:
        return self.system.backend.slice(values, start, steps + self.system.data.grid.overlap, -2)
