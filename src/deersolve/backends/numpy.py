"""NumPy: the primitives of the Array API, on the CPU."""

from __future__ import annotations

from typing import Any

from ..typing import Array
from . import registry
from .generic import Backend


class NumPy(Backend):
    """NumPy arrays, on the CPU."""

    name = "numpy"

    def to_numpy(self, array: Array) -> Any:
        """Return the array."""
        return array

    def device_kind(self, array: Array) -> str:
        """Return "cpu"."""
        return "cpu"


registry.add("numpy", NumPy())
