"""Shifters S_p: linear maps of the whole signal that know their boundary data."""

from __future__ import annotations

import abc
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..backends.namespace import Array, array_namespace
from ..errors import is_whole, mismatch
from .times import Initial


class Shifter(abc.ABC):
    """A linear map of the whole signal, or of the signal and its boundary data."""

    @property
    @abc.abstractmethod
    def reach(self) -> tuple[int, int] | None:
        """How many points back and ahead along the first axis it looks; None if that is not known."""

    @abc.abstractmethod
    def __call__(self, y: Array, *, grid: Any, boundary: Any) -> Any:
        """Return S[y]; it may be several signals at once."""


class BuiltIn(Shifter):
    """A shifter of the library's own: it holds no arrays, so that equal ones make equal programs."""

    @property
    def reach(self) -> tuple[int, int]:
        """It looks at the point itself."""
        return 0, 0


@dataclass(frozen=True)
class Identity(BuiltIn):
    """S[y] = y."""

    def __str__(self) -> str:
        return "ds.identity"

    def __call__(self, y: Array, *, grid: Any, boundary: Any) -> Array:
        """Return y."""
        return y


@dataclass(frozen=True)
class Lag(BuiltIn):
    """S[y]_i = y_{i-k}, with the history of the boundary data before the first point."""

    k: int

    @property
    def reach(self) -> tuple[int, int]:
        """Return ``(k, 0)``."""
        return self.k, 0

    def __call__(self, y: Array, *, grid: Any, boundary: Initial) -> Array:
        """Return the signal k steps earlier, shape (*B, T, n)."""
        if not isinstance(boundary, Initial):
            raise mismatch("boundary", "ds.Initial(y0), the values before the first point, for ds.lag", repr(boundary))
        xp, T = array_namespace(y), y.shape[-2]
        history = boundary.y0
        K = history.shape[-2]
        first = xp.broadcast_to(history, (*y.shape[:-2], *history.shape[-2:]))[..., K - self.k :, :]
        if self.k >= T:
            return first[..., :T, :]
        return xp.concat([first, y[..., : T - self.k, :]], axis=-2)

    def __str__(self) -> str:
        return f"ds.lag({self.k})"


@dataclass(frozen=True)
class Along(BuiltIn):
    """S[y] = a signal of a :class:`deersolve.grids.box.Box`: the slope along an axis, or u in a cell beside."""

    place: int

    def __call__(self, y: Array, *, grid: Any, boundary: Any) -> Array:
        """Return it at every point."""
        return grid.signal(self.place, y, boundary)


@dataclass(frozen=True)
class WithEnd(BuiltIn):
    """S[y] = y with its first or its last point once more behind it, where conditions on both ends are evaluated."""

    end: int

    def __call__(self, y: Array, *, grid: Any, boundary: Any) -> Array:
        """Return y and one more row, (*B, N + 1, n)."""
        end = y[..., :1, :] if self.end == 0 else y[..., -1:, :]
        return array_namespace(y).concat([y, end], axis=-2)


identity = Identity()
slope = Along(0)


def lag(k: int) -> Lag:
    """Return the shifter ``S[y]_i = y_{i-k}``, k >= 1.

    Examples
    --------
    >>> import deersolve as ds
    >>> ds.lag(2)
    Lag(k=2)
    """
    if not is_whole(k) or k < 1:
        raise mismatch("lag", "an integer k >= 1", repr(k))
    return Lag(int(k))


def takes_keywords(function: Callable[..., Any], *names: str) -> bool:
    """Return whether a function can be called with all of these keywords."""
    try:
        called = getattr(function, "forward", function)  # of a torch.nn.Module
        parameters = inspect.signature(called).parameters.values()
    except (TypeError, ValueError):
        return False
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return True
    return set(names) <= {p.name for p in parameters if p.kind is not p.POSITIONAL_ONLY}


@dataclass(frozen=True)
class Own(Shifter):
    """A user's shifter, ``(y) -> y_p`` or ``(y, *, grid, boundary) -> y_p``; its attribute ``reach`` says how far."""

    function: Callable[..., Any]

    @property
    def reach(self) -> tuple[int, int] | None:
        """What the user's function says of itself."""
        reach: tuple[int, int] | None = getattr(self.function, "reach", None)
        return reach

    def __call__(self, y: Array, *, grid: Any, boundary: Any) -> Any:
        """Return what the function makes of y."""
        if takes_keywords(self.function, "grid", "boundary"):
            return self.function(y, grid=grid, boundary=boundary)
        return self.function(y)

    def __str__(self) -> str:
        kind = type(self.function)
        plain = kind.__name__ if "__repr__" not in vars(kind) else repr(self.function)
        return str(getattr(self.function, "__name__", plain))


def as_shifters(shift: Any) -> tuple[Shifter, ...]:
    """Turn what a user gave as ``shift`` into a tuple of callables ``(y, *, grid, boundary)``."""
    parts = tuple(shift) if isinstance(shift, tuple | list) else (shift,)
    if not parts or not all(callable(s) for s in parts):
        raise mismatch("shift", "a callable or a non-empty tuple of callables", repr(shift))
    return tuple(s if isinstance(s, Shifter) else Own(s) for s in parts)


def apply_shifters(shifters: tuple[Shifter, ...], y: Array, grid: Any, boundary: Any) -> tuple[Array, ...]:
    """Return y_1, ..., y_P; a shifter may return several signals at once."""
    signals: list[Array] = []
    for shifter in shifters:
        out = shifter(y, grid=grid, boundary=boundary)
        signals += list(out) if isinstance(out, tuple | list) else [out]
    return tuple(signals)
