"""Directions of a derivative on JAX, in which what is known to stand still is no array of zeros."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero

from ..errors import FunctionError
from .namespace import Array, Tree

BACKWARD_ONLY = (
    "f: expected a function with a derivative in forward mode; received one with jax.custom_vjp, which has none. "
    "Give it its derivative by jax.custom_jvp, or take the loop: ds.scan(..., method='sequential')."
)


@contextlib.contextmanager
def forward_mode() -> Iterator[None]:
    """Say what to do about a function that JAX cannot follow forward."""
    try:
        yield
    except TypeError as error:
        if "custom_vjp" not in str(error):
            raise
        raise FunctionError(BACKWARD_ONLY) from error


def moving(tree: Tree, direction: Tree) -> tuple[list[Array], list[Array], Callable[[list[Array]], Tree]]:
    """Return the arrays that move along a direction, how they do, and what puts others in their place."""
    leaves, form = jax.tree.flatten(tree)
    changes = jax.tree.leaves(direction)
    places = [k for k, d in enumerate(changes) if not isinstance(d, SymbolicZero) and d.dtype != jax.dtypes.float0]

    def put(others: list[Array]) -> Tree:
        new = dict(zip(places, others, strict=True))
        return form.unflatten([new.get(k, a) for k, a in enumerate(leaves)])

    return [leaves[k] for k in places], [changes[k] for k in places], put


def instantiated(tangent: Any) -> Any:
    """Return numbers in the place of a zero that is known to be one."""
    if not isinstance(tangent, SymbolicZero):
        return tangent
    return np.zeros(tangent.shape, tangent.dtype) if tangent.dtype == jax.dtypes.float0 else jnp.zeros_like(tangent)
