"""``lax``: ``jax.lax.scan`` over the points, the fastest on a CPU that runs JAX."""

from __future__ import annotations

import functools
from typing import Any, cast

import jax
import jax.numpy as jnp

from ...backends.namespace import Array
from .affine import register


@register("lax")
def lax(As: tuple[Array, ...], lags: tuple[int, ...], b: Array) -> Array:
    """Return ``y_i = sum_p A_{p,i} y_{i-k_p} + b_i`` with a ring buffer of max(lags) points.

    Notes
    -----
    Work ``O(P T n^2)``, depth T, memory for max(lags) points beside the result.
    """
    return _scan(As, lags, b)


@functools.partial(jax.jit, static_argnums=1)
def _scan(As: tuple[Array, ...], lags: tuple[int, ...], b: Array) -> Array:
    axis, K = b.ndim - 2, max(lags)
    rows = tuple(_time_first(A, axis, k) for A, k in zip(As, lags, strict=True))
    time = jnp.arange(b.shape[axis])

    def step(ring: Array, inputs: Any) -> tuple[Array, Array]:
        i, y, coefficients = inputs
        for a, k in zip(coefficients, lags, strict=True):
            past = ring[(i - k) % K]
            y = y + (_matvec(a, past) if a.ndim > past.ndim else a * past)
        return ring.at[i % K].set(y), y

    first = jnp.moveaxis(b, axis, 0)
    ring = jnp.zeros((K, *first.shape[1:]), b.dtype)
    y = jax.lax.scan(step, ring, (time, first, rows))[1]
    return cast("Array", jnp.moveaxis(y, 0, axis))


def _matvec(a: Array, v: Array) -> Array:
    """Return ``a v`` as a sum of products: one fused loop, and never TF32."""
    return jnp.sum(a * v[..., None, :], axis=-1)


def _time_first(A: Array, axis: int, k: int) -> Array:
    """Move time to the front and put zeros before the first point that A is used at."""
    A = jnp.moveaxis(A, axis, 0)
    return jnp.concatenate([jnp.zeros((k, *A.shape[1:]), A.dtype), A])
