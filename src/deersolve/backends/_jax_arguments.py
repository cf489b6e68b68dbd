"""The arguments of a compiled solve: its arrays, and the numbers that its rule and its shifters hold."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import jax
import numpy as np

from ..errors import InputError
from ._jax_programs import callbacks, nested_constants, same
from .compilable import Solver
from .held import Held
from .namespace import Array, Tree

PLACE = re.compile(r" at 0x[0-9a-fA-F]+")  # in memory, of a function of Python's as it is printed
HIDDEN = (
    "a traced number in a rule or shifter: expected it where it can be found, so that derivatives follow it; received "
    "one in a global variable, a slot, or behind compiled code. Hold it as an attribute or in a closure, or pass it as "
    "params, x, grid= or boundary=."
)


class Arguments:
    """The numbers of a solve: its arrays, and what rule, shifters and objects of a user's own hold.

    Attributes
    ----------
    numbers : (list of array, list of array)
        The arrays, and those that are held.
    """

    def __init__(self, solver: Solver, arrays: Tree) -> None:
        self.solver = solver
        leaves, self.tree = jax.tree.flatten(arrays)
        self.is_array = [isinstance(leaf, jax.Array | np.ndarray | np.generic | int | float) for leaf in leaves]
        objects = [leaf for leaf, is_array in zip(leaves, self.is_array, strict=True) if not is_array]
        self.is_plain = solver.cacheable and not objects
        self.held = Held((solver.operator, objects) if not self.is_plain else (), _is_number, _parts_of)
        self.numbers = (
            [leaf for leaf, is_array in zip(leaves, self.is_array, strict=True) if is_array],
            self.held.numbers,
        )

    def holding(self, arrays: list[Array], held: list[Array]) -> tuple[Any, Tree]:
        """Return solver and arrays with these numbers."""
        if self.is_plain:
            return self.solver, jax.tree.unflatten(self.tree, arrays)
        operator, objects = self.held.holding(held)
        rest, others = iter(arrays), iter(objects)
        leaves = [next(rest if is_array else others) for is_array in self.is_array]
        return self.solver.with_operator(operator), jax.tree.unflatten(self.tree, leaves)

    def described(self) -> tuple[str, Any, list[Any]]:
        """Return what the operator does as a text, what it holds beside the numbers, and functions that it calls back.

        Two operators are one program where text and what is held are equal, as long as those functions are kept.

        Raises
        ------
        InputError
            If a number that is traced is where it is not found.
        """
        if self.is_plain:
            return "", (), []
        traced = jax.make_jaxpr(lambda numbers: _tried(*self.holding(*numbers)))(self.numbers)
        fixed = [*traced.consts, *nested_constants(traced.jaxpr)]
        if any(isinstance(c, jax.core.Tracer) for c in fixed):
            raise InputError(HIDDEN)
        called = callbacks(traced.jaxpr)
        text = PLACE.sub("", str(traced.jaxpr)) if called else str(traced.jaxpr)
        return text, (*map(_digest, fixed), *map(same, called)), called


def _tried(solver: Any, arrays: Tree) -> list[Any]:
    return [leaf for leaf in jax.tree.leaves(solver.tried(arrays)) if isinstance(leaf, jax.Array)]


def _is_number(thing: Any) -> bool:
    return isinstance(thing, jax.Array)


def _parts_of(thing: Any) -> tuple[list[Any], Any] | None:
    """Return the leaves of a tree, and what makes it again of others; None of what is none."""
    leaves, tree = jax.tree.flatten(thing)
    if jax.tree_util.treedef_is_leaf(tree):
        return None
    return leaves, lambda *new: jax.tree.unflatten(tree, new)


def _digest(constant: Any) -> Any:
    """Return what tells one constant from another."""
    array = np.asarray(constant)
    return array.shape, str(array.dtype), hashlib.sha256(array.tobytes()).hexdigest()
