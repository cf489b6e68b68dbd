"""Stages of Runge-Kutta rules as a loop of the compiler's: a program has f once, whatever their number."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from .namespace import Array, Tree
from .sums import Stage, Sums


class Looped(Sums):
    """Arrays as the rows of one, and sums with weights by products."""

    def __init__(self, rows: Sequence[Sequence[float]], like: Array) -> None:
        self.rows = rows

    def restart(self, first: Array) -> None:
        """Begin with this one."""
        self.stack = first[None]

    def append(self, part: Array) -> None:
        """Add an array."""
        self.stack = jnp.concatenate([self.stack, part[None]])

    def fill(self, stage: Stage, first: int, places: Sequence[Tree]) -> list[tuple[Array, Array]]:
        """Append what ``stage`` makes of sums and places; return the last two."""
        known, count = self.stack.shape[0], len(places)
        if not count:
            return []
        room = jnp.zeros((count, *self.stack.shape[1:]), self.stack.dtype)
        weights = self._weights(self.rows[first : first + count], known + count)
        numbers = jnp.arange(known, known + count)

        def once(F: Array, at: Tree) -> tuple[Array, tuple[Array, Array]]:
            k, row, place = at
            point, made = stage(jnp.tensordot(row, F, 1), place)
            return F.at[k].set(made), (point, made)

        inputs = jax.tree.map(lambda *parts: jnp.stack(parts), *places)
        F, (points, made) = jax.lax.scan(once, jnp.concatenate([self.stack, room]), (numbers, weights, inputs))
        self.stack = F
        return [(points[-k], made[-k]) for k in (2, 1) if k <= count]

    def of_rows(self, first: int, last: int) -> Array:
        """Return the sums by some rows, one before the other in a new last axis but one."""
        made = jnp.tensordot(self._weights(self.rows[first:last], self.stack.shape[0]), self.stack, 1)
        return jnp.moveaxis(made, 0, -2)

    def weighted(self, weights: Sequence[float]) -> Array:
        """Return the sum of the first arrays by other weights."""
        return jnp.tensordot(self._weights([weights], self.stack.shape[0])[0], self.stack, 1)

    def _weights(self, rows: Sequence[Sequence[float]], size: int) -> Array:
        return jnp.asarray([[*row, *[0.0] * (size - len(row))] for row in rows], self.stack.dtype)
