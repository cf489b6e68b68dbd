"""The numbers that an object holds: in attributes, closures, defaults, and in methods of a class made inside a call.

A shifter or a rule of one's own is a function of what it holds. Taken out, those numbers are arguments like any other:
a compiled program takes new ones, and derivatives follow them.
"""

from __future__ import annotations

import copy
import functools
import types
from collections.abc import Callable
from typing import Any

from .namespace import Array

OTHERS = ("abc", "builtins", "deersolve.", "enum", "functools", "jax", "numpy", "scipy", "torch", "typing")
"""The modules of classes that are none of a user's own: their methods hold nothing."""


class Held:
    """What an object holds, and the object again with other numbers in their place.

    Attributes
    ----------
    numbers : list of array
        Each once, in the order in which they are met.
    """

    def __init__(self, thing: Any, is_number: Callable[[Any], bool], leaves_of: Callable[[Any], Any]) -> None:
        self.thing, self.is_number, self.leaves_of = thing, is_number, leaves_of
        self.numbers: list[Array] = []

        def met(number: Array) -> Array:
            self.numbers.append(number)
            return number

        self.replaced(met)

    def holding(self, numbers: list[Array]) -> Any:
        """Return the object again, with these numbers."""
        rest = iter(numbers)
        return self.replaced(lambda _: next(rest))

    def replaced(self, change: Callable[[Array], Array]) -> Any:
        """Return the object with every number changed; itself where it holds none."""
        return _Walk(self, change)(self.thing)


class _Walk:
    """One way through an object: what is met twice is changed once."""

    def __init__(self, held: Held, change: Callable[[Array], Array]) -> None:
        self.held, self.change = held, change
        self.known: dict[int, Any] = {}
        self.kept: list[Any] = []  # so that no id is taken again

    def __call__(self, thing: Any) -> Any:
        if isinstance(thing, type | types.ModuleType | str | bytes | int | float | complex | None):
            return thing
        if id(thing) not in self.known:
            self.kept.append(thing)
            self.known[id(thing)] = thing  # a circle ends where it began
            self.known[id(thing)] = self._changed(thing)
        return self.known[id(thing)]

    def _changed(self, thing: Any) -> Any:
        if self.held.is_number(thing):
            return self.change(thing)
        if isinstance(thing, types.FunctionType):
            return self._function(thing)
        if isinstance(thing, types.MethodType):
            return self._same(thing, [thing.__func__, thing.__self__], lambda f, owner: types.MethodType(f, owner))
        if isinstance(thing, functools.partial):
            parts = [thing.func, list(thing.args), dict(thing.keywords)]
            return self._same(thing, parts, lambda f, args, named: functools.partial(f, *args, **named))
        found = self.held.leaves_of(thing)
        if found is not None:
            return self._same(thing, *found)
        return self._object(thing)

    def _same(self, thing: Any, parts: list[Any], made: Callable[..., Any]) -> Any:
        """Return what is made of the parts, changed; the thing itself where none has."""
        new = [self(part) for part in parts]
        return thing if all(a is b for a, b in zip(new, parts, strict=True)) else made(*new)

    def _function(self, function: types.FunctionType) -> Any:
        """Return a function with changed values in its closure and its defaults."""
        cells = function.__closure__ or ()
        inside = [_content(cell) for cell in cells]
        parts = [*inside, function.__defaults__, function.__kwdefaults__, vars(function)]
        new = [self(part) for part in parts]
        if all(a is b for a, b in zip(new, parts, strict=True)):
            return function
        closure = tuple(c if n is o else types.CellType(n) for c, n, o in zip(cells, new, inside, strict=False))
        made = types.FunctionType(function.__code__, function.__globals__, function.__name__, new[-3], closure)
        made.__kwdefaults__ = new[-2]
        made.__qualname__, made.__module__, made.__doc__ = function.__qualname__, function.__module__, function.__doc__
        vars(made).update(new[-1])
        return made

    def _object(self, thing: Any) -> Any:
        """Return a copy with changed attributes, and methods that hold changed values, or the object itself."""
        own = getattr(thing, "__dict__", None)
        if own is None or type(thing).__module__.startswith(("jax", "numpy", "scipy", "torch")):
            return thing
        attributes = {name: self(value) for name, value in own.items()}
        methods = self._methods(type(thing))
        if not methods and all(attributes[name] is own[name] for name in own):
            return thing
        made = copy.copy(thing)
        vars(made).update(attributes)
        if methods:
            made.__class__ = type(
                type(thing).__name__, (type(thing),), {"__module__": type(thing).__module__, **methods}
            )
        return made

    def _methods(self, of: type) -> dict[str, Any]:
        """Return the methods of a class that are others then, those of its bases first."""
        found: dict[str, Any] = {}
        for base in reversed(of.__mro__):
            if not base.__module__.startswith(OTHERS):
                for name, value in vars(base).items():
                    found.pop(name, None)
                    inner = getattr(value, "__func__", value)  # of a static or class method
                    changed = self(inner) if isinstance(inner, types.FunctionType) else inner
                    if changed is not inner:
                        found[name] = changed if inner is value else type(value)(changed)
        return found


def _content(cell: types.CellType) -> Any:
    """Return what a cell of a closure holds; None of one that is still empty."""
    try:
        return cell.cell_contents
    except ValueError:
        return None
