"""NumPy: the primitives of the Array API, on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import LibraryError, mismatch
from . import registry
from .generic import Backend
from .namespace import Array
from .sums import Rows, Sums

PLAIN = (np.ndarray, np.memmap)


class NumPy(Backend):
    """NumPy arrays, on the CPU."""

    name = "numpy"
    in_cache = 2**18

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

    def to_numpy(self, array: Array) -> Any:
        """Return the array."""
        return array

    def device_kind(self, array: Array) -> str:
        """Return "cpu"."""
        return "cpu"


registry.add("numpy", NumPy())
