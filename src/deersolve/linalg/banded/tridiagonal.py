"""Scalar equations between neighbours in JAX on a CPU: LAPACK's ``gtsv``, which exchanges rows, and one refinement.

Rows as large as 1 and one step of refinement leave a residual at roundoff of the terms of each row, however long the
line is (R. D. Skeel, "Iterative refinement implies numerical stability for Gaussian elimination", Math. Comp. 1980).
"""

from __future__ import annotations

from typing import cast

from ...backends.namespace import Array
from ..host import device_name, family, is_host_float


def takes(r: Array) -> bool:
    """Return whether right-hand sides are of this kind: JAX's solver exchanges no rows on every platform."""
    return family(r) == "jax" and r.shape[-1] == 1 and is_host_float(r) and device_name(r) == "cpu"


def solve(blocks: tuple[Array, Array, Array], r: Array) -> Array:
    """Return y of an open line, (*B, N, 1); NaN where the matrix is singular."""
    import jax
    import jax.numpy as jnp

    lower, middle, upper = (jnp.broadcast_to(b[..., 0, 0], r.shape[:-1]) for b in blocks)
    lower, upper = lower.at[..., 0].set(0.0), upper.at[..., -1].set(0.0)
    size = jnp.maximum(jnp.maximum(abs(lower), abs(upper)), abs(middle))
    size = jax.lax.stop_gradient(jnp.where(size > 0, size, 1.0))
    lower, middle, upper, rows = (a / size for a in (lower, middle, upper, r[..., 0]))

    def nearly(rows: Array) -> Array:
        return jax.lax.linalg.tridiagonal_solve(lower, middle, upper, rows[..., None])[..., 0]

    y = nearly(rows)
    missed = rows - (lower * jnp.roll(y, 1, axis=-1) + middle * y + upper * jnp.roll(y, -1, axis=-1))
    return cast("Array", (y + nearly(missed))[..., None])
