"""Array libraries: each supplies a handful of primitives, derivatives of a function among them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import LibraryError, mismatch
from .registration import Registry

if TYPE_CHECKING:
    from .generic import Backend

_names = ("numpy", "torch", "jax", "cupy", "generic")
_libraries = {"numpy": "numpy", "torch": "torch", "jax": "jax", "jaxlib": "jax", "cupy": "cupy"}
_duals = "deersolve.backends.dual.array"
_found: dict[type, Backend] = {}
"""The backend of each type of array that was met."""


class Backends(Registry["Backend"]):
    """The backends by their names; one of a library of its own says which arrays it owns."""

    def add(self, key: str, value: Backend, *, replace: bool = False, source: Any = None) -> Backend:
        """Register a backend, to be found from its arrays from now on.

        Raises
        ------
        InputError
            If the name is taken, or no array could lead to the backend, or those of a library that has another one.
        """
        if key not in self._homes:
            self._check(key, value)
        made = super().add(key, value, replace=replace, source=source)
        _found.clear()
        return made

    @staticmethod
    def _check(key: str, value: Backend) -> None:
        from .generic import Backend

        if value.name != key:
            raise mismatch(f"the backend {key!r}", f"name = {key!r} in its class", repr(value.name))
        if not value.namespaces and type(value).owns is Backend.owns:
            advice = 'Such as namespaces = ("my_arrays",), if that is array.__array_namespace__().__name__.'
            raise mismatch(f"the backend {key!r}", "namespaces or a method owns(array)", "neither", advice)
        taken = sorted({_libraries[root] for root in map(_root, value.namespaces) if root in _libraries})
        if taken:
            advice = f"To replace that one: registry.add({taken[0]!r}, ..., replace=True)."
            raise mismatch(f"the backend {key!r}", "arrays without a backend", f"those of {taken[0]!r}", advice)

    def that_own(self, array: Any, is_known: bool) -> list[str]:
        """Return the names of those that say an array is their own; offered ones are loaded for arrays nobody knows."""
        keys = set(self._known if is_known else self.keys()) - set(self._homes)
        return sorted(key for key in keys if self[key].owns(array))


registry = Backends("backend", "deersolve.backends", {name: name for name in _names})


def _root(name: str) -> str:
    return name.partition(".")[0]


def _backend_of(array: Any) -> Backend:
    """Return the backend of an array of a type that was not met yet: of the library itself, an own one, inherited."""
    kind = type(array)
    if any(c.__module__ == _duals for c in kind.__mro__):
        return registry["generic"]
    roots = [_libraries[root] for root in (_root(c.__module__) for c in kind.__mro__) if root in _libraries]
    own = registry.that_own(array, is_known=bool(roots))
    claims = own + (roots[:1] if _root(kind.__module__) in _libraries else [])
    if len(claims) > 1:
        raise LibraryError(
            f"expected one backend for arrays of {kind.__name__}; received {' and '.join(map(repr, claims))}. Register "
            "again with other namespaces, or replace the one with the other: registry.add(name, ..., replace=True)."
        )
    is_standard = hasattr(kind, "__array_namespace__")
    name = next(iter([*claims, *roots, *(["generic"] if is_standard else [])]), None)
    if name is None:
        text = f"expected an array of NumPy, CuPy, JAX, PyTorch or the Array API; received {kind.__name__}."
        raise LibraryError(text)
    return registry[name]


def backend_of(array: Any) -> Backend:
    """Return the backend of an array, found from its type; raise :class:`LibraryError` if it has none."""
    kind = type(array)
    if kind not in _found:
        _found[kind] = _backend_of(array)
    return _found[kind]
