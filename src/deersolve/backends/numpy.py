"""NumPy: dual numbers first; a complex step, then differences, where they cannot follow ``f``."""

from __future__ import annotations

from typing import Any

from ..typing import Array
from . import registry
from .generic import Backend


class NumPy(Backend):
    """NumPy arrays, on the CPU."""

    name = "numpy"

    def quiet(self) -> Any:
        """Silence floating-point warnings: the status of the solution reports overflow and NaN."""
        import numpy as np

        return np.errstate(all="ignore")

    def device_kind(self, array: Array) -> str:
        """Return "cpu"."""
        return "cpu"


registry.add("numpy", NumPy())
