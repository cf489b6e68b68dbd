"""Array libraries: each supplies a handful of primitives, derivatives of a function among them."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from ..errors import LibraryError
from .registration import Registry

if TYPE_CHECKING:
    from .generic import Backend

_names = ("numpy", "torch", "jax", "cupy", "generic")
registry: Registry[Backend] = Registry("backend", "deersolve.backends", {name: name for name in _names})

_libraries = {"numpy": "numpy", "torch": "torch", "jax": "jax", "jaxlib": "jax", "cupy": "cupy"}


@cache
def _of_type(kind: Any) -> Backend:
    roots = [_libraries.get(c.__module__.split(".")[0]) for c in kind.__mro__]
    name = next((r for r in roots if r), "generic" if hasattr(kind, "__array_namespace__") else None)
    if name is None:
        text = f"expected an array of NumPy, CuPy, JAX, PyTorch or the Array API; received {kind.__name__}."
        raise LibraryError(text)
    return registry[name]


def backend_of(array: Any) -> Backend:
    """Return the backend of an array, found from its type; raise :class:`LibraryError` if it has none."""
    kind: Any = type(array)
    return _of_type(kind)
