"""Frozen records that may cross ``jax.jit``, and the few tree functions that need no library."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, dataclass_transform

from .namespace import array_namespace

T = TypeVar("T")

_records: list[type] = []
_listeners: list[Callable[[type], None]] = []


def static(default: Any = dataclasses.MISSING) -> Any:
    """Declare a field that is no array: a name, a size, a flag."""
    return dataclasses.field(default=default, metadata={"static": True})


@dataclass_transform(frozen_default=True, field_specifiers=(static, dataclasses.field))
def record(cls: type[T]) -> type[T]:
    """Turn a class into a frozen dataclass whose array fields are the leaves of a JAX pytree."""
    made = dataclasses.dataclass(frozen=True, eq=False, repr="__repr__" not in cls.__dict__)(cls)
    _records.append(made)
    for listener in _listeners:
        listener(made)
    return made


def each_record(listener: Callable[[type], None]) -> None:
    """Call ``listener`` with every record class, those of the future included."""
    for cls in _records:
        listener(cls)
    _listeners.append(listener)


def field_names(cls: type) -> tuple[list[str], list[str]]:
    """Return the names of the array fields and of the static fields of a record."""
    fields = dataclasses.fields(cls)
    arrays = [f.name for f in fields if not f.metadata.get("static")]
    return arrays, [f.name for f in fields if f.metadata.get("static")]


def tree_map(function: Callable[..., Any], tree: Any, *rest: Any) -> Any:
    """Apply ``function`` to every leaf of nested dicts, lists, tuples and records; None stays None."""
    if tree is None:
        return None
    if isinstance(tree, dict):
        return {k: tree_map(function, v, *(r[k] for r in rest)) for k, v in tree.items()}
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*(tree_map(function, *parts) for parts in zip(tree, *rest, strict=True)))
    if isinstance(tree, list | tuple):
        return type(tree)(tree_map(function, *parts) for parts in zip(tree, *rest, strict=True))
    if type(tree) in _records:
        names = field_names(type(tree))[0]
        new = {k: tree_map(function, getattr(tree, k), *(getattr(r, k) for r in rest)) for k in names}
        return dataclasses.replace(tree, **new)
    return function(tree, *rest)


def tree_leaves(tree: Any) -> list[Any]:
    """Return the leaves of a tree in order."""
    if not _is_inner(tree):
        return [tree]
    leaves: list[Any] = []
    tree_map(leaves.append, tree)
    return leaves


@dataclasses.dataclass(frozen=True, eq=False)
class Form:
    """How the leaves of a tree are nested."""

    tree: Any

    def unflatten(self, leaves: Sequence[Any]) -> Any:
        """Return a tree of this form with other leaves, in order."""
        if len(leaves) == 1 and not _is_inner(self.tree):
            return leaves[0]
        rest = iter(leaves)
        return tree_map(lambda _: next(rest), self.tree)

    def __eq__(self, other: object) -> bool:
        """Return whether leaves are nested alike."""
        return isinstance(other, Form) and _alike(self.tree, other.tree)


def _alike(a: Any, b: Any) -> bool:
    if _is_inner(a):
        if type(a) is not type(b) or (isinstance(a, dict) and {*a} != {*b}):
            return False
        if type(a) in _records:
            names = field_names(type(a))[0]
            return all(_alike(getattr(a, k), getattr(b, k)) for k in names)
        if a is None:
            return True
        keys = a if isinstance(a, dict) else range(len(a))
        return len(a) == len(b) and all(_alike(a[k], b[k]) for k in keys)
    return not _is_inner(b)


def _is_inner(a: Any) -> bool:
    """Return whether something is no leaf."""
    return a is None or isinstance(a, dict | list | tuple) or type(a) in _records


def unstacked(tree: Any, length: int, entries: Callable[[Any], Any]) -> Any:
    """Return a tree for each entry on the first axis of all leaves; so many where there are none."""
    rows = [*map(entries, tree_leaves(tree))]
    if not rows:
        return [tree] * length
    return [*map(Form(tree).unflatten, zip(*rows, strict=True))] if _is_inner(tree) else rows[0]


def stacked(trees: list[Any]) -> Any:
    """Return trees of one form as one, whose leaves have an axis more, in front."""
    return tree_map(lambda *parts: array_namespace(parts[0]).stack(parts), *trees)
