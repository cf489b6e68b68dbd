"""A small array library of one's own: NumPy's arrays in a class that knows nothing but its own namespace."""

from __future__ import annotations

import types
from typing import Any

import numpy as np


class Wrapped:
    """An array with the namespace ``wrapped``, which mixes with no other."""

    __hash__ = None
    device = "cpu"

    def __init__(self, values: Any) -> None:
        self.values = np.asarray(values)

    shape = property(lambda self: self.values.shape)
    ndim = property(lambda self: self.values.ndim)
    size = property(lambda self: self.values.size)
    dtype = property(lambda self: self.values.dtype)
    mT = property(lambda self: Wrapped(self.values.mT))
    T = property(lambda self: Wrapped(self.values.T))

    def __array_namespace__(self, api_version: str | None = None) -> Any:
        return wrapped

    def __getitem__(self, key: Any) -> Wrapped:
        return Wrapped(self.values[opened(key)])

    def __setitem__(self, key: Any, value: Any) -> None:
        self.values[opened(key)] = opened(value)

    def __bool__(self) -> bool:
        return bool(self.values)

    def __float__(self) -> float:
        return float(self.values)

    def __int__(self) -> int:
        return int(self.values)

    def __index__(self) -> int:
        return int(self.values)

    def to_device(self, device: Any, stream: Any = None) -> Wrapped:
        return self

    def __dlpack__(self, **options: Any) -> Any:
        return self.values.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self.values.__dlpack_device__()


def opened(tree: Any) -> Any:
    """Return NumPy's arrays in the place of wrapped ones."""
    if isinstance(tree, tuple | list):
        return type(tree)(opened(part) for part in tree)
    if isinstance(tree, dict):
        return {key: opened(part) for key, part in tree.items()}
    return tree.values if isinstance(tree, Wrapped) else tree


def closed(tree: Any) -> Any:
    """Return wrapped arrays in the place of NumPy's."""
    if isinstance(tree, np.ndarray | np.generic):
        return Wrapped(tree)
    if isinstance(tree, tuple | list):
        parts = map(closed, tree)
        return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
    return tree


def _operator(name: str) -> Any:
    def operate(self: Wrapped, *others: Any) -> Any:
        made = getattr(self.values, name)(*opened(others))
        return made if made is NotImplemented else closed(made)

    return operate


BINARY = "add sub mul truediv pow mod floordiv matmul and or xor"
for short in ("neg pos abs invert lt le gt ge eq ne " + BINARY + " r" + BINARY.replace(" ", " r")).split():
    setattr(Wrapped, f"__{short}__", _operator(f"__{short}__"))


class Namespace(types.ModuleType):
    """The functions of NumPy for wrapped arrays."""

    def __init__(self, name: str, of: Any) -> None:
        super().__init__(name)
        self._of = of

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._of, name)
        if isinstance(found, types.ModuleType):
            return Namespace(f"wrapped.{name}", found)
        if isinstance(found, type) or not callable(found):
            return found
        return lambda *args, **options: closed(found(*opened(args), **opened(options)))


wrapped = Namespace("wrapped", np)
