"""One kind of registry: a dict with good errors that imports the file of a key on first use."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import pkgutil
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Generic, TypeVar

from ..errors import UnknownKeyError

T = TypeVar("T")


def close_matches(key: str, known: list[str]) -> str:
    """Return the "did you mean" part of an error message."""
    close = difflib.get_close_matches(key, known, n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(repr(c) for c in close)}?" if close else ""
    return f"{hint} Available: {', '.join(sorted(known))}."


class Registry(Generic[T]):
    """Map names to things of one kind, which a file of ``package`` adds when it is imported.

    ``homes`` names the file of each built-in key; without it a key ``"ddt.trapezoid"`` lives in ``ddt_trapezoid.py``,
    and every file whose name begins with no underscore is the home of one. Third parties register by calling
    :meth:`add` or through the entry-point group ``deersolve.<kind>``.
    """

    def __init__(self, kind: str, package: str, homes: Mapping[str, str] | None = None) -> None:
        self.kind = kind
        self.package = package
        self._homes = homes
        self._known: dict[str, T] = {}

    def add(self, key: str, value: T) -> T:
        """Register ``value`` under ``key``, replacing what was there."""
        self._known[key] = value
        return value

    def keys(self) -> list[str]:
        """Return every known name: built in, registered, or offered by an entry point."""
        points = [p.name for p in entry_points(group=f"deersolve.{self.kind}")]
        return sorted({*self._known, *(self._files() if self._homes is None else self._homes), *points})

    def _files(self) -> list[str]:
        spec = importlib.util.find_spec(self.package)
        paths = list(spec.submodule_search_locations or []) if spec else []
        return [m.name.replace("_", ".", 1) for m in pkgutil.iter_modules(paths) if m.name[0] != "_"]

    def __getitem__(self, key: str) -> T:
        """Return the thing named ``key``; raise :class:`UnknownKeyError` with close matches."""
        if key not in self._known:
            self._load(key)
        if key not in self._known:
            text = f"no {self.kind} is named {key!r}." + close_matches(key, self.keys())
            raise UnknownKeyError(text)
        return self._known[key]

    def _load(self, key: str) -> None:
        name = key.replace(".", "_") if self._homes is None else self._homes.get(key, "")
        if name.isidentifier() and importlib.util.find_spec(f"{self.package}.{name}"):
            importlib.import_module(f"{self.package}.{name}")
        for point in entry_points(group=f"deersolve.{self.kind}"):
            if point.name == key and key not in self._known:
                loaded = point.load()
                self._known.setdefault(key, loaded)
