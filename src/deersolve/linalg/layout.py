"""Which components of a vector make a block, where matrices have nothing beside blocks on their diagonal."""

from __future__ import annotations

import dataclasses

from ..backends import backend_of
from ..backends.namespace import Array, array_namespace, padded


@dataclasses.dataclass(frozen=True)
class Layout:
    """Blocks of ``size`` components: neighbours, or with ``strided`` k, k + n / size, k + 2 n / size, ..."""

    size: int
    strided: bool = False

    def __str__(self) -> str:
        kind = f"blocks of {self.size} components"
        return (
            "each component by itself"
            if self.size == 1
            else f"{kind}, as far apart as can be"
            if self.strided
            else kind
        )

    @property
    def name(self) -> str:
        """The name of the structure of its matrices."""
        return "diagonal" if self.size == 1 else f"block-diagonal({self.size})"

    def parted(self, v: Array) -> Array:
        """Return (*S, n) as (*S, n / size, size)."""
        xp, (*lead, n), b = array_namespace(v), v.shape, self.size
        if not self.strided:
            return xp.reshape(v, (*lead, n // b, b))
        return xp.matrix_transpose(xp.reshape(v, (*lead, b, n // b)))

    def whole(self, parts: Array) -> Array:
        """Return (*S, n / size, size) as (*S, n)."""
        xp, (*lead, m, b) = array_namespace(parts), parts.shape
        return xp.reshape(xp.matrix_transpose(parts) if self.strided else parts, (*lead, m * b))

    def numbers(self, n: int) -> list[int]:
        """Return the number of the block of each component."""
        return [k % (n // self.size) if self.strided else k // self.size for k in range(n)]

    def seeds(self, n: int, like: Array) -> Array:
        """Return ``size`` directions of n components: along each, one component of every block moves."""
        xp = array_namespace(like)
        eye = xp.eye(self.size, dtype=like.dtype, device=backend_of(like).placement(like))
        return self.whole(xp.broadcast_to(eye[:, None, :], (self.size, n // self.size, self.size)))

    def blocks(self, rows: Array) -> Array:
        """Return the blocks (*S, n / size, size, size) of matrices of which (*S, size, n) are the seeds times them.

        Of the matrices times the seeds, in the same form, these are the transposed blocks.
        """
        return array_namespace(rows).moveaxis(self.parted(rows), -3, -2)

    def moves(self, n: int, like: Array, k: int) -> Array:
        """Return whether each component moves along seed k, which may be a number of a compiled loop."""
        xp = array_namespace(like)
        places = xp.arange(n, device=backend_of(like).placement(like))
        return padded((places // (n // self.size) if self.strided else places % self.size) == k, like.ndim)
