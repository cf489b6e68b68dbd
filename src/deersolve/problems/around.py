"""Functions around a user's: they are given its arguments in another form, and say of it what it says of itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from ..backends.namespace import Array, Tree

Signals = tuple[Array, ...]


@dataclasses.dataclass(frozen=True)
class Around:
    """A function around another, which sees the signals, x and params as :meth:`inside` returns them."""

    function: Callable[..., Any]

    def inside(self, ys: Signals, x: Tree, params: Any) -> tuple[Signals, Tree, Any]:
        """Return signals, x and params as the function inside is given them."""
        return ys, x, params

    @property
    def __name__(self) -> str:
        return getattr(self.function, "__name__", type(self.function).__name__)

    @property
    def adapter(self) -> str | None:
        """What the function was made by, where it says so."""
        return getattr(self.function, "adapter", None)

    @property
    def contract(self) -> str | None:
        """What the function inside has to be, where it says so."""
        return getattr(self.function, "contract", None)

    @property
    def way(self) -> str:
        """How the function is called, where it says so."""
        return getattr(self.function, "way", "")

    def tuned(self, backend: Any, ys: Signals, x: Tree, params: Any) -> Any:
        """Return the same of the function as it is called fastest, where it can be called in several ways."""
        tune = getattr(self.function, "tuned", None)
        return self if tune is None else self._of(tune(backend, *self.inside(ys, x, params)))

    def otherwise(self, ys: Signals, x: Tree, params: Any) -> Any:
        """Return the same of the function as it has to be called instead, or None."""
        look = getattr(self.function, "otherwise", None)
        other = None if look is None else look(*self.inside(ys, x, params))
        return None if other is None else self._of(other)

    def _of(self, function: Any) -> Any:
        return dataclasses.replace(self, function=function)
