"""JAX: functions of one point mapped over all, and numbers with the derivatives of others."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from .namespace import Array, Tree


def at_each_point(function: Callable[..., Array], ys: tuple[Array, ...], x: Tree) -> Array:
    """Map a function of one point, its arrays with grid axes of 1, over all of them; axes of 1 in x broadcast."""
    for axis, size in enumerate(ys[0].shape[:-1]):
        function = _mapped(function, axis, size)
    return function(ys, x)


def _mapped(function: Callable[..., Array], axis: int, size: int) -> Callable[..., Array]:
    def over_axis(ys: tuple[Array, ...], x: Tree) -> Array:
        leaves, tree = jax.tree.flatten((ys, x))
        spans = [a.shape[axis] == size for a in leaves]

        def one(*parts: Array) -> Array:
            whole = [jnp.expand_dims(a, axis) if s else a for a, s in zip(parts, spans, strict=True)]
            return jnp.squeeze(function(*jax.tree.unflatten(tree, whole)), axis)

        return jax.vmap(one, in_axes=tuple(axis if s else None for s in spans), out_axes=axis)(*leaves)

    return over_axis


@jax.custom_jvp  # type: ignore[untyped-decorator]
def following(value: Array, other: Array) -> Array:
    """Return the value with the derivative of another, which is not computed where nobody asks for one."""
    return value


following.defjvp(lambda primals, tangents: (following(*primals), tangents[1]))
