"""``associative``: ``jax.lax.associative_scan`` over pairs (A, b), for GPUs and TPUs."""

from __future__ import annotations

import functools
from typing import TypeAlias, cast

import jax
import jax.numpy as jnp

from ...backends.namespace import Array
from .affine import register
from .lag_one import to_lag_one

Pair: TypeAlias = tuple[Array, Array]

SUMMED = 8  # rows of a matrix whose products are not worth a library's call


@register("associative")
def associative(As: tuple[Array, ...], lags: tuple[int, ...], b: Array) -> Array:
    """Return y from ``(A_2, b_2) o (A_1, b_1) = (A_2 A_1, A_2 b_1 + b_2)``.

    Notes
    -----
    Work ``O(T n^3)``, depth ``O(log T)``. Products have the highest precision: TF32 ruins
    matrix scans. Several lags need ``n * max(lags) <= 16``.
    """
    return _scan(As, lags, b)


@functools.partial(jax.jit, static_argnums=1)
def _scan(As: tuple[Array, ...], lags: tuple[int, ...], b: Array) -> Array:
    A, d, restore = to_lag_one(As, lags, b)
    axis = d.ndim - 2
    A, d = jnp.moveaxis(A, axis, 0), jnp.moveaxis(d, axis, 0)
    A = jnp.concatenate([jnp.zeros((1, *A.shape[1:]), A.dtype), A])
    combine = _dense if A.ndim > d.ndim else _diagonal
    y = jax.lax.associative_scan(combine, (A, d))[1]
    return cast("Array", restore(jnp.moveaxis(y, 0, axis)))


def _dense(first: Pair, then: Pair) -> Pair:
    return _times(then[0], first[0]), _times(then[0], first[1][..., None])[..., 0] + then[1]


def _times(a: Array, b: Array) -> Array:
    """Return ``a b``, of small matrices as sums that fuse with what is around them."""
    if a.shape[-1] <= SUMMED:
        return jnp.sum(a[..., :, :, None] * b[..., None, :, :], axis=-2)
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)


def _diagonal(first: Pair, then: Pair) -> Pair:
    return then[0] * first[0], then[0] * first[1] + then[1]
