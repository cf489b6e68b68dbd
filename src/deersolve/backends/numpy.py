"""NumPy: the primitives of the Array API, without floating-point warnings."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from ..typing import Array
from . import registry
from .generic import Backend


class NumPy(Backend):
    """NumPy arrays, on the CPU."""

    name = "numpy"

    @contextlib.contextmanager
    def quiet(self) -> Iterator[None]:
        """Hold back floating-point warnings: the status of the solution reports overflow and NaN."""
        import numpy as np

        with np.errstate(all="ignore"):
            yield

    def device_kind(self, array: Array) -> str:
        """Return "cpu"."""
        return "cpu"


registry.add("numpy", NumPy())
