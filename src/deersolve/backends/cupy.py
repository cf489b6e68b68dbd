"""CuPy: the primitives of the Array API, on a GPU."""

from __future__ import annotations

from typing import Any

from . import registry
from .generic import Backend
from .namespace import Array, array_namespace


class CuPy(Backend):
    """CuPy arrays, on a GPU."""

    name = "cupy"

    def device_kind(self, array: Array) -> str:
        """Return "gpu"."""
        return "gpu"

    def to_numpy(self, array: Array) -> Any:
        """Return a copy on the host."""
        return array.get()

    def linear_solve(self, matrices: Array, rhs: Array) -> Array:
        """Solve ``(*S, n, n)`` systems; CuPy reports a singular one by non-finite numbers itself."""
        if matrices.shape[-1] == 1:
            return rhs / matrices
        return array_namespace(matrices).linalg.solve(matrices, rhs)


registry.add("cupy", CuPy())
