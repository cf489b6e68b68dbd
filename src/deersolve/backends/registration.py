"""One kind of registry: a dict with good errors that imports the file of a key on first use."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar

from ..errors import UnknownKeyError, mismatch

T = TypeVar("T")
OURS = "deersolve."


def close_matches(key: str, known: list[str]) -> str:
    """Return the "did you mean" part of an error message."""
    close = difflib.get_close_matches(key, known, n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(repr(c) for c in close)}?" if close else ""
    return f"{hint} Available: {', '.join(sorted(known))}."


def place_of(thing: Any) -> str:
    """Return where a function or class, or the class of an object, was defined: its module and qualified name."""
    named = thing if hasattr(thing, "__qualname__") else type(thing)
    return f"{named.__module__}.{named.__qualname__}"


class Registry(Generic[T]):
    """Map names to things of one kind, which a file of ``package`` adds when it is imported.

    ``homes`` names the file of each built-in key. Third parties register by calling :meth:`add` or through the
    entry-point group ``deersolve.<kind>``.
    """

    def __init__(self, kind: str, package: str, homes: Mapping[str, str]) -> None:
        self.kind = kind
        self.package = package
        self._homes = homes
        self._known: dict[str, T] = {}
        self._places: dict[str, str] = {}

    def add(self, key: str, value: T, *, replace: bool = False, source: Any = None) -> T:
        """Register ``value`` under ``key``.

        Parameters
        ----------
        key : str
        value : object
        replace : bool
            Whether it may take the place of another one. What was defined in the same module under the same name is the
            same one, defined again: a cell of a notebook may run twice.
        source : object, optional
            The function or class that ``value`` was made of, if not ``value`` itself.

        Raises
        ------
        InputError
            If the key is taken, by what is built in or by another one.
        """
        place = place_of(value if source is None else source)
        taken = self._places.get(key, f"{OURS}{key}" if key in self._homes else place)
        is_ours, was_ours = place.startswith(OURS), taken.startswith(OURS)
        if is_ours and not was_ours and not replace:
            return value  # the file of a key that somebody has replaced is imported
        if not (replace or is_ours or taken == place):
            whose = "built in" if was_ours else f"that of {taken}"
            advice = "Choose another name, or say replace=True."
            raise mismatch(f"{self.kind} {key!r}", "a name that is not taken", f"{place} for what is {whose}", advice)
        self._known[key], self._places[key] = value, place
        return value

    def is_own(self, key: str) -> bool:
        """Return whether what a key stands for is not built in."""
        return not self._places.get(key, OURS).startswith(OURS)

    def keys(self) -> list[str]:
        """Return every known name: built in, registered, or offered by an entry point."""
        points = [p.name for p in entry_points(group=f"deersolve.{self.kind}")]
        return sorted({*self._known, *self._homes, *points})

    def __getitem__(self, key: str) -> T:
        """Return the thing named ``key``; raise :class:`UnknownKeyError` with close matches."""
        if key not in self._known:
            self._load(key)
        if key not in self._known:
            raise self._unknown(key)
        return self._known[key]

    def check(self, key: str) -> None:
        """Raise :class:`UnknownKeyError` if nothing has that name; nothing is imported."""
        if key not in self._known and key not in self.keys():
            raise self._unknown(key)

    def _unknown(self, key: str) -> UnknownKeyError:
        return UnknownKeyError(f"no {self.kind} is named {key!r}." + close_matches(key, self.keys()))

    def _load(self, key: str) -> None:
        if key in self._homes:
            importlib.import_module(f"{self.package}.{self._homes[key]}")
        for point in entry_points(group=f"deersolve.{self.kind}"):
            if point.name == key and key not in self._known:
                loaded = point.load()
                self.add(key, loaded)
