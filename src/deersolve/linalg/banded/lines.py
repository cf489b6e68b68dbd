"""Block banded systems along all lines of one axis of space, of many stages at once."""

from __future__ import annotations

import dataclasses
from functools import reduce
from operator import add
from typing import Any

from ...backends import backend_of
from ...backends.namespace import Array, array_namespace
from .choose import Blocks, turned


@dataclasses.dataclass(frozen=True)
class Lines:
    """The matrices of K stages, which couple u, (*B, *R, n), along one of the axes R.

    Attributes
    ----------
    blocks : tuple of arrays, shape (*B, *L, K, N, n, n)
        Those of every row from left to right, three or five; L are the other axes of space.
    axis : int
        The axis of u, counted from the last.
    is_ring : bool
    """

    blocks: Blocks
    axis: int
    is_ring: bool

    @classmethod
    def of_levels(cls, blocks: Blocks, axis: int, d: int, is_ring: bool) -> Lines:
        """Return the matrices of blocks (*B, J, m, *R, n, n), d axes R, whose K = J m stages follow one another."""
        xp = array_namespace(blocks[0])

        def laid(b: Array) -> Array:
            b = xp.moveaxis(b, axis - 1, -3)
            b = xp.reshape(b, (*b.shape[: -d - 4], b.shape[-d - 4] * b.shape[-d - 3], *b.shape[-d - 2 :]))
            return xp.moveaxis(b, -d - 3, -4)

        return cls(tuple(map(laid, xp.broadcast_arrays(*blocks))), axis, is_ring)

    @property
    def transposed(self) -> Lines:
        """The transposed matrices."""
        return dataclasses.replace(self, blocks=turned(self.blocks))

    def laid(self, u: Array) -> Array:
        """Return (*B, *L, N, n) of u."""
        return array_namespace(u).moveaxis(u, self.axis, -2)

    def natural(self, u: Array) -> Array:
        """Return u of (*B, *L, N, n)."""
        return array_namespace(u).moveaxis(u, -2, self.axis)

    def times(self, k: Any, u: Array) -> Array:
        """Return the product of the k-th matrix with u."""
        backend, v, middle = backend_of(u), self.laid(u), len(self.blocks) // 2
        each = (backend.slice(b, k, 1, -4)[..., 0, :, :, :] for b in self.blocks)
        terms = [backend.matvec(b, self._moved(v, j - middle)) for j, b in enumerate(each)]
        return self.natural(reduce(add, terms))

    def _moved(self, v: Array, count: int) -> Array:
        """Return the neighbours so many points further on; at an open end nothing comes in."""
        xp = array_namespace(v)
        if self.is_ring or count == 0:
            return xp.roll(v, -count, axis=-2)
        nothing = xp.zeros_like(v[..., : abs(count), :])
        parts = [v[..., count:, :], nothing] if count > 0 else [nothing, v[..., :count, :]]
        return xp.concat(parts, axis=-2)[..., : v.shape[-2], :]
