"""NumPy: the primitives of the Array API, on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import LibraryError, mismatch
from . import registry
from .generic import Backend
from .namespace import Array
from .sums import Rows, Stages, Sums

PLAIN = (np.ndarray, np.memmap)


class StagesInRows(Stages):
    """Arrays as the rows of a matrix: weights times h are made once for a step, a sum is one product."""

    def __init__(self, rows: Sequence[Sequence[float]], like: Array) -> None:
        count = max(map(len, rows))
        self.weights = np.zeros((len(rows), count), like.dtype)
        for row, given in zip(self.weights, rows, strict=True):
            row[: len(given)] = given
        self.scaled, self.stack = np.empty_like(self.weights), np.empty((count, *like.shape), like.dtype)
        self.products = [self.scaled[k, : len(row)].dot for k, row in enumerate(rows)]
        self.heads = [self.stack[: len(row)] for row in rows]

    def begin(self, y: Array, h: float, first: Array) -> None:
        """Begin a step of length h at y, where F is ``first``."""
        np.multiply(self.weights, h, self.scaled)
        self.y, self.stack[0], self.count = y, first, 1

    def append(self, F: Array) -> None:
        """Add the next F."""
        self.stack[self.count] = F
        self.count += 1

    def moved(self, k: int) -> Array:
        """Return ``h sum_l a_kl F_l``."""
        return self.products[k](self.heads[k])


class NumPy(Backend):
    """NumPy arrays, on the CPU."""

    name = "numpy"
    in_cache = 2**18
    unbound = tuple  # the rows, which np.unstack takes longer to give

    def plain(self, array: Array, name: str) -> Array:
        """Return the array in the byte order of the machine; refuse masks, matrices, units and what are no numbers."""
        if not isinstance(array, np.generic) and type(array) not in PLAIN:
            advice = "Its masks, units or products would be lost: fill or convert it, and give np.asarray(...)."
            raise mismatch(name, "a plain array", type(array).__name__, advice)
        if array.dtype.kind not in "biufc":
            raise LibraryError(f"{name}: expected an array of numbers; received dtype {array.dtype}.")
        return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))

    def listed(self, numbers: Any, like: Array) -> Array:
        """Return a list of numbers as an array of the dtype of ``like``."""
        return np.array(numbers, like.dtype)

    def sums(self, rows: Sequence[Sequence[float]], like: Array) -> Sums:
        """Return what holds arrays like ``like`` side by side."""
        if type(like) not in PLAIN:
            return super().sums(rows, like)
        stack = np.empty((max(map(len, rows)), *like.shape), like.dtype)
        return Rows(rows, stack, lambda row: np.asarray(row, like.dtype).dot)

    def stages(self, rows: Sequence[Sequence[float]], like: Array) -> Stages:
        """Return what holds the stages of a step of one element side by side."""
        return StagesInRows(rows, like) if type(like) in PLAIN else super().stages(rows, like)

    def numbers(self, t: Array, like: Array) -> list[float] | None:
        """Return times (N,) as numbers of Python, of plain arrays of float64."""
        is_plain = all(type(a) in PLAIN and a.dtype == np.float64 for a in (t, like))
        return t.tolist() if is_plain and t.ndim == 1 else None

    def to_numpy(self, array: Array) -> Any:
        """Return the array."""
        return array

    def device_kind(self, array: Array) -> str:
        """Return "cpu"."""
        return "cpu"


registry.add("numpy", NumPy())
