"""Many small linear systems on JAX, on CPUs by factorisations that never wait for each other.

LAPACK's batched routines in jaxlib (0.10.2) split large batches over the pool of threads and wait for the parts. Where
the pool has two threads, as on a machine of two cores, two such calls at once wait for ever. Batches too small to be
split do not: they are solved one after the other in a loop.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from .namespace import Array

ELIMINATED = 3  # up to this size, elimination of all systems at once beats a call to LAPACK for each
UNSPLIT = 2**16  # n^2 max(n, k) times the systems of one call; jaxlib splits from between 2^17 and 2^18


def solve(matrices: Array, rhs: Array) -> Array:
    """Solve ``(*S, n, n)`` systems for ``(*S, n, k)``; a singular one gives numbers that are not finite."""
    if matrices.shape[-1] <= ELIMINATED:
        return _eliminated(matrices, rhs)
    x: Array = jax.lax.platform_dependent(matrices, rhs, cpu=_in_turn, default=jnp.linalg.solve)
    return x


def _eliminated(m: Array, rhs: Array) -> Array:
    """Solve by elimination of the first unknown, from the row where it is largest."""
    if m.shape[-1] == 1:
        return rhs / m
    if m.shape[-1] == 2:
        swap = _size(m[..., 1:, :1]) > _size(m[..., :1, :1])
        m, rhs = (jnp.where(swap, a[..., ::-1, :], a) for a in (m, rhs))
        row, right, below, under = m[..., :1, :], rhs[..., :1, :], m[..., 1:, :], rhs[..., 1:, :]
        return _reduced(row, right, below, under)
    place = jnp.argmax(_size(m[..., :, 0]), axis=-1)
    is_pivot = jax.nn.one_hot(place, m.shape[-1], dtype=bool)[..., None]
    row, right = (jnp.sum(jnp.where(is_pivot, a, 0), axis=-2, keepdims=True) for a in (m, rhs))
    below, under = (jnp.where(is_pivot, a[..., :1, :], a)[..., 1:, :] for a in (m, rhs))
    return _reduced(row, right, below, under)


def _size(a: Array) -> Array:
    """Return how large a pivot is: of a complex one the sum of its parts, without a root."""
    return jnp.abs(a.real) + jnp.abs(a.imag) if jnp.iscomplexobj(a) else jnp.abs(a)


def _reduced(row: Array, right: Array, below: Array, under: Array) -> Array:
    """Take the first unknown, by its row, out of the equations below, and solve those."""
    once = 1 / row[..., :1]
    factor = below[..., :1] * once
    rest = _eliminated(below[..., 1:] - factor * row[..., 1:], under - factor * right)
    first = (right - jnp.sum(row[..., 0, 1:, None] * rest, axis=-2, keepdims=True)) * once
    return jnp.concatenate([first, rest], axis=-2)


def _in_turn(matrices: Array, rhs: Array) -> Array:
    """Solve by LAPACK, a few systems a call; differentiated as a linear solve."""
    n, k = rhs.shape[-2:]
    batch = jnp.broadcast_shapes(matrices.shape[:-2], rhs.shape[:-2])
    matrices, rhs = (jnp.broadcast_to(a, (*batch, n, a.shape[-1])) for a in (matrices, rhs))

    def flat(a: Array) -> Array:
        return a.reshape(-1, n, a.shape[-1])

    x: Array = jax.lax.custom_linear_solve(
        lambda x: jnp.matmul(matrices, x),
        rhs,
        lambda _, b: _by_lapack(flat(matrices), flat(b)).reshape(*batch, n, k),
        lambda _, b: _by_lapack(flat(matrices.mT), flat(b)).reshape(*batch, n, k),
    )
    return x


@jax.custom_batching.custom_vmap  # type: ignore[untyped-decorator]
def _by_lapack(matrices: Array, rhs: Array) -> Array:
    """Solve (S, n, n) systems for (S, n, k)."""
    count, n, k = rhs.shape
    size = min(count, max(1, UNSPLIT // (n * n * max(n, k))))
    calls = -(-count // size)
    spare = calls * size - count

    def in_calls(a: Array, fill: Array) -> Array:
        return jnp.concatenate([a, jnp.broadcast_to(fill, (spare, *fill.shape))]).reshape(calls, size, *fill.shape)

    eye = jnp.eye(n, dtype=matrices.dtype)
    parts = in_calls(matrices, eye), in_calls(rhs, jnp.zeros((n, k), rhs.dtype))
    return jax.lax.map(lambda part: jnp.linalg.solve(*part), parts).reshape(-1, n, k)[:count]


@_by_lapack.def_vmap  # type: ignore[untyped-decorator]
def _(size: int, _: list[bool], matrices: Array, rhs: Array) -> tuple[Array, bool]:
    """Lay what is mapped over beside the other systems: the calls stay small."""
    n, k = rhs.shape[-2:]
    matrices = jnp.broadcast_to(matrices, (size, rhs.shape[-3], n, n)).reshape(-1, n, n)
    flat = jnp.broadcast_to(rhs, (size, *rhs.shape[-3:])).reshape(-1, n, k)
    return _by_lapack(matrices, flat).reshape(size, -1, n, k), True
