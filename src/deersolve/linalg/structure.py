"""The structure of G, the matrices at every grid point: dense, diagonal, block-diagonal, zero, or one's own.

Every structure has ``values``, ``n``, ``to_dense()``, ``diagonal()``, ``mT``, unary minus and ``@`` (with
a vector field ``(*S, n)`` or a structure). Simplifying a Jacobian is ``Structure.simplify(dense)``.
"""

from __future__ import annotations

import abc
import dataclasses
from typing import Any, ClassVar, cast

from ..backends import backend_of
from ..backends.namespace import Array, array_namespace, padded
from ..backends.trees import record, static
from ..errors import InputError, check_whole, mismatch
from .layout import Layout


class Structure(abc.ABC):
    """The matrices ``(*S, n, n)`` at every point of a grid, stored as their shape allows.

    One of your own is a subclass, decorated by :func:`deersolve.backends.trees.record`, with what is abstract here; the
    rest has a default, which may make the matrices dense. ``jac=`` returns it, and a rule that has it in its
    ``structures`` is given it; another rule is given ``Dense(structure.to_dense())``.
    :func:`deersolve.testing.check_structure` compares it with its ``to_dense()``.

    Attributes
    ----------
    name : str
        Of the class, for messages.
    tail : int
        Of the class: how many axes of ``values`` belong to one matrix.
    values : array, shape (*S, ...)
        All that is stored. Where it is 0, so is the matrix. Minus ``values`` is minus the matrix, and their absolute
        values have at least those of the matrix; if not, write ``__neg__`` and ``__abs__``.

    Examples
    --------
    >>> import numpy as np
    >>> import deersolve as ds
    >>> from deersolve.backends.trees import record
    >>> @record
    ... class Multiple(ds.Structure):  # c I, values of shape (*S, 1, n): n copies of c
    ...     name, tail = "multiple", 2
    ...     values: object
    ...     n = property(lambda self: self.values.shape[-1])
    ...     mT = property(lambda self: self)
    ...     def to_dense(self):
    ...         return self.values * np.eye(self.n)
    ...     def apply(self, v):
    ...         return self.values[..., 0, :] * v
    >>> G = Multiple(np.full((5, 1, 3), 2.0))
    >>> (G @ np.ones((5, 3)))[0].tolist()
    [2.0, 2.0, 2.0]
    """

    name: ClassVar[str]
    tail: ClassVar[int] = 1
    values: Array

    @classmethod
    def simplify(cls, full: Structure) -> Structure:
        """Keep of ``full`` what this structure can hold."""
        raise InputError(
            f"{cls.__name__}: expected a class method simplify(full), to keep a part of another structure."
        )

    def among(self, kinds: tuple[type, ...]) -> Structure:
        """Return the matrices in a structure that a rule takes: the built-in ones go into one another."""
        takes_ours = any(kind in OURS for kind in kinds)
        if isinstance(self, kinds) or (takes_ours and type(self) in OURS):
            return self
        if not takes_ours:
            names = " or ".join(kind.__name__ for kind in kinds)
            advice = "Return that from jac=, or choose a rule that takes Dense."
            raise mismatch("G", f"{names}, which is all that the rule takes", type(self).__name__, advice)
        return Dense(self.to_dense())

    @property
    def places(self) -> tuple[int, ...]:
        """The shape (*S) of the grid that the matrices are on."""
        return tuple(self.values.shape[: -self.tail])

    @classmethod
    def linearise(cls, system: Any, ys: tuple[Array, ...]) -> tuple[Array, tuple[Structure, ...]]:
        """Return f(*ys) of a :class:`~deersolve.newton.equation.System` and what is kept of each d f / d y_p."""
        fy, Js = system.jacobians(ys)
        return fy, tuple(cls.simplify(J) for J in Js)

    @property
    @abc.abstractmethod
    def n(self) -> int:
        """The size of each matrix."""

    @property
    def block(self) -> int:
        """The size of the blocks on the diagonal beside which there is nothing."""
        return self.n

    @property
    @abc.abstractmethod
    def mT(self) -> Structure:
        """The transposed matrices."""

    @abc.abstractmethod
    def to_dense(self) -> Array:
        """Return the matrices as an array ``(*S, n, n)``."""

    @abc.abstractmethod
    def apply(self, v: Array) -> Array:
        """Return the product with a vector field ``(*S, n)``."""

    def diagonal(self) -> Array:
        """Return the diagonals as an array ``(*S, n)``."""
        dense = self.to_dense()
        return dense[..., 0] if self.n == 1 else array_namespace(dense).linalg.diagonal(dense)

    def shifted(self, shift: Array) -> Structure:
        """Return the matrices with ``shift``, which broadcasts to ``(*S, n)``, added to their diagonals."""
        dense = self.to_dense()
        return Dense(dense + shift[..., None] * identity(dense, self.n, dense.ndim))

    @property
    def layout(self) -> Layout:
        """Which components make a block."""
        return Layout(self.block)

    def in_blocks(self, size: int, strided: bool = False) -> BlockDiagonal:
        """Return the blocks of that size on the diagonal, of neighbours or not."""
        xp, dense, count = array_namespace(self.values), self.to_dense(), self.n // size
        cuts = [slice(i, None, count) if strided else slice(i * size, (i + 1) * size) for i in range(count)]
        return BlockDiagonal(xp.stack([dense[..., cut, cut] for cut in cuts], axis=-3), strided)

    def map(self, function: Any) -> Structure:
        """Apply an elementwise or grid-only function to what is stored."""
        return type(self)(function(self.values))  # type: ignore[call-arg]

    def __neg__(self) -> Structure:
        return self.map(lambda v: -v)

    def __abs__(self) -> Structure:
        xp = array_namespace(self.values)
        return self.map(xp.abs)

    def __matmul__(self, other: Any) -> Any:
        if not isinstance(other, Structure):
            return self.apply(other)
        xp = array_namespace(self.values)
        if isinstance(other, Zero) or isinstance(self, Zero):
            return Zero(xp.zeros_like(self.diagonal()))
        if isinstance(self, Diagonal) and isinstance(other, Diagonal):
            return Diagonal(self.values * other.values)
        return Dense(xp.matmul(self.to_dense(), other.to_dense()))


@record
class Dense(Structure):
    """Full matrices, ``values`` of shape ``(*S, n, n)``; entry ``[i, j]`` is d f_i / d y_j."""

    name = "dense"
    tail = 2
    values: Array

    @classmethod
    def simplify(cls, full: Structure) -> Structure:
        return full

    @property
    def n(self) -> int:
        return int(self.values.shape[-1])

    @property
    def mT(self) -> Structure:
        return Dense(array_namespace(self.values).matrix_transpose(self.values))

    def to_dense(self) -> Array:
        return self.values

    def apply(self, v: Array) -> Array:
        return backend_of(self.values).matvec(self.values, v)


class OnDiagonal(Structure):
    """Matrices with nothing beside their diagonal, which is stored: ``values`` of shape ``(*S, n)``."""

    block = 1

    @property
    def n(self) -> int:
        return int(self.values.shape[-1])

    @property
    def mT(self) -> Structure:
        return self

    def shifted(self, shift: Array) -> Structure:
        return Diagonal(self.values + shift)

    def to_dense(self) -> Array:
        return self.values[..., None] * identity(self.values, self.n, self.values.ndim + 1)

    def in_blocks(self, size: int, strided: bool = False) -> BlockDiagonal:
        return BlockDiagonal(Diagonal(Layout(size, strided).parted(self.values)).to_dense(), strided)

    def diagonal(self) -> Array:
        return self.values


@record
class Diagonal(OnDiagonal):
    """Diagonal matrices, ``values`` of shape ``(*S, n)``."""

    name = "diagonal"
    values: Array

    @classmethod
    def simplify(cls, full: Structure) -> Structure:
        return full if isinstance(full, OnDiagonal) else Diagonal(full.diagonal())

    def apply(self, v: Array) -> Array:
        return self.values * v


@record
class BlockDiagonal(Structure):
    """Equal square blocks on the diagonal, ``values`` of shape ``(*S, n / b, b, b)``.

    With ``strided`` those are of the components k, k + n / b, k + 2 n / b, ..., as of b vectors side by side.
    """

    name = "block-diagonal"
    tail = 3
    values: Array
    strided: bool = static(default=False)

    @classmethod
    def of_size(cls, b: int) -> BlockSize:
        """Return the structure with blocks of size ``b``, for ``Newton(structure=...)``."""
        return BlockSize(b)

    @classmethod
    def simplify(cls, full: Structure) -> Structure:
        raise InputError("BlockDiagonal: expected the block size; use BlockDiagonal.of_size(b).")

    @property
    def n(self) -> int:
        return int(self.values.shape[-1] * self.values.shape[-3])

    def map(self, function: Any) -> Structure:
        return BlockDiagonal(function(self.values), self.strided)

    @property
    def mT(self) -> Structure:
        return self.map(array_namespace(self.values).matrix_transpose)

    @property
    def block(self) -> int:
        return int(self.values.shape[-1])

    @property
    def layout(self) -> Layout:
        return Layout(self.block, self.strided)

    def diagonal(self) -> Array:
        return self.layout.whole(array_namespace(self.values).linalg.diagonal(self.values))

    def to_dense(self) -> Array:
        xp = array_namespace(self.values)
        m, b = self.values.shape[-3], self.values.shape[-1]
        if m == 1:
            return self.values[..., 0, :, :]
        eye = identity(self.values, m, self.values.ndim - 1)[..., :, None, :, None]
        full = self.values[..., :, :, None, :] * eye
        if self.strided:
            full = xp.permute_dims(full, (*range(full.ndim - 4), *(full.ndim - k for k in (3, 4, 1, 2))))
        return xp.reshape(full, (*self.values.shape[:-3], m * b, m * b))

    def in_blocks(self, size: int, strided: bool = False) -> BlockDiagonal:
        xp, (*_, count, own, _) = array_namespace(self.values), self.values.shape
        if (own, self.strided) == (size, strided):
            return self
        if self.strided or strided:
            return super().in_blocks(size, strided)
        if own % size == 0:
            parts = Dense(self.values).in_blocks(size).values  # (*S, n / own, own / size, size, size)
            return BlockDiagonal(xp.reshape(parts, (*parts.shape[:-4], count * parts.shape[-3], size, size)))
        if size % own:
            return super().in_blocks(size)
        some = size // own
        grouped = xp.reshape(self.values, (*self.values.shape[:-3], count // some, some, own, own))
        return BlockDiagonal(BlockDiagonal(grouped).to_dense())

    def apply(self, v: Array) -> Array:
        return self.layout.whole(backend_of(self.values).matvec(self.values, self.layout.parted(v)))


class Choice(abc.ABC):
    """What a step keeps of the Jacobians, where the type of a structure does not say it all."""

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """The name shown in ``stats``."""

    @abc.abstractmethod
    def simplify(self, full: Structure) -> Structure:
        """Keep of ``full`` what was chosen."""

    def linearise(self, system: Any, ys: tuple[Array, ...]) -> tuple[Array, tuple[Structure, ...]]:
        """Return f(*ys) of a :class:`~deersolve.newton.equation.System` and what is kept of each d f / d y_p."""
        fy, Js = system.jacobians(ys)
        return fy, tuple(self.simplify(J) for J in Js)


@dataclasses.dataclass(frozen=True)
class BlockSize(Choice):
    """The choice "block-diagonal with blocks of this size"."""

    size: int

    def __post_init__(self) -> None:
        check_whole("BlockDiagonal", "the size of its blocks", self.size)

    @property
    def name(self) -> str:
        """The name shown in ``stats``."""
        return f"block-diagonal({self.size})"

    def simplify(self, full: Structure) -> Structure:
        """Keep the diagonal blocks of ``full``."""
        if isinstance(full, OnDiagonal):
            return full
        if full.n % self.size:
            text = f"BlockDiagonal: expected a block size that divides n = {full.n}; received {self.size}."
            raise InputError(text)
        return full.in_blocks(self.size)


@record
class Zero(OnDiagonal):
    """No matrices at all; ``values`` holds the zero diagonal ``(*S, n)`` for its shape and dtype."""

    name = "zero"
    values: Array

    @classmethod
    def simplify(cls, full: Structure) -> Structure:
        xp = array_namespace(full.values)
        return full if isinstance(full, Zero) else cls(xp.zeros_like(full.diagonal()))

    @classmethod
    def linearise(cls, system: Any, ys: tuple[Array, ...]) -> tuple[Array, tuple[Structure, ...]]:
        """Return f alone."""
        return system.f(*ys), tuple(cls(array_namespace(y_p).zeros_like(y_p)) for y_p in ys)

    def apply(self, v: Array) -> Array:
        return cast("Array", array_namespace(v).zeros_like(v))


OURS = (Dense, Diagonal, BlockDiagonal, Zero)


def of_layout(layout: Layout, rows: Array, by_rows: bool) -> Structure:
    """Return the matrices of which rows (*S, size, n) are the seeds of a layout times them, or they times the seeds."""
    if layout.size == 1:
        return Diagonal(rows[..., 0, :])
    made = BlockDiagonal(layout.blocks(rows), layout.strided)
    return made if by_rows else made.mT


def as_structure(J: Any, like: Array) -> Structure:
    """Return what a ``jac`` returned for the signal ``like`` as a structure: an array is of matrices or diagonals."""
    if isinstance(J, Structure):
        return J
    return Diagonal(J) if J.ndim == like.ndim else Dense(J)


def identity(like: Array, n: int, ndim: int) -> Array:
    """Return the n x n identity with ``ndim`` axes, in the library, dtype and device of ``like``."""
    xp = array_namespace(like)
    eye = xp.eye(n, dtype=like.dtype, device=backend_of(like).placement(like))
    return padded(eye, ndim)
