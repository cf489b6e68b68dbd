"""Any lags as one lag of 1: interleaved recurrences for one lag, the companion form for several."""

from __future__ import annotations

from collections.abc import Callable

from ...backends import backend_of
from ...backends.namespace import Array, array_namespace
from ...errors import mismatch

LARGEST = 16
"""The largest companion matrix n * max(lags) that is worth its n^3 work per point."""
WIDEST = 32
"""The largest n whose states stay in the registers of a GPU."""


def state_size(is_dense: bool, n: int, lags: tuple[int, ...]) -> int:
    """Return the size of the matrices after :func:`to_lag_one` (0: diagonal)."""
    if len(lags) == 1:
        return n if is_dense else 0
    return (n if is_dense else 1) * max(lags)


def to_lag_one(As: tuple[Array, ...], lags: tuple[int, ...], b: Array) -> tuple[Array, Array, Callable[[Array], Array]]:
    """Rewrite the recurrence as ``s_i = C_i s_{i-1} + d_i``.

    Parameters
    ----------
    As, lags, b
        A normal form.

    Returns
    -------
    C : array, shape (*B', T' - 1, N, N) or (*B', T' - 1, N)
    d : array, shape (*B'', T', N)
    restore : callable
        Maps s, shaped like d, to y.
    """
    if len(lags) == 1:
        return (As[0], b, lambda s: s) if lags[0] == 1 else interleaved(As[0], lags[0], b)
    is_dense, K = As[0].ndim == b.ndim + 1, max(lags)
    if state_size(is_dense, b.shape[-1], lags) > LARGEST:
        text = f"n * max(lags) <= {LARGEST} for several lags"
        received = f"n = {b.shape[-1]}, lags {lags}"
        raise mismatch("this way of scanning", text, received, "Choose the way 'sequential', or none.")
    if is_dense:
        return _companion(As, lags, b, K)
    xp = array_namespace(b)
    columns = tuple(xp.matrix_transpose(A)[..., None, None] for A in As)
    C, d, restore = _companion(columns, lags, xp.matrix_transpose(b)[..., None], K)
    return C, d, lambda s: xp.matrix_transpose(restore(s)[..., 0])


def interleaved(A: Array, k: int, b: Array) -> tuple[Array, Array, Callable[[Array], Array]]:
    """Make a single lag k a batch of k recurrences of lag 1, in a new last batch axis."""
    xp, T = array_namespace(b), b.shape[-2]
    n_core = A.ndim - b.ndim + 2
    rounds = -(-T // k)

    def split(a: Array, n_rounds: int, axis: int) -> Array:
        batch, core = a.shape[: axis + a.ndim], a.shape[axis + a.ndim + 1 :]
        pad = n_rounds * k - a.shape[axis]
        if pad:
            a = xp.concat([a, zeros((*batch, pad, *core), a)], axis=axis)
        return xp.moveaxis(xp.reshape(a, (*batch, n_rounds, k, *core)), axis, axis - 1)

    def restore(s: Array) -> Array:
        joined = xp.reshape(xp.moveaxis(s, -3, -2), (*s.shape[:-3], rounds * k, s.shape[-1]))
        return joined[..., :T, :]

    return split(A, rounds - 1, -n_core), split(b, rounds, -2), restore


def _companion(
    As: tuple[Array, ...], lags: tuple[int, ...], b: Array, K: int
) -> tuple[Array, Array, Callable[[Array], Array]]:
    """Put K successive points into one state of size N = n K, the newest first."""
    xp, (T, n) = array_namespace(b), b.shape[-2:]
    batch = b.shape[:-2]
    top = [zeros((*batch, T - 1, n, n), b)] * K
    for A, k in zip(As, lags, strict=True):
        full = xp.broadcast_to(A, (*batch, T - k, n, n))
        top[k - 1] = full if k == 1 else xp.concat([zeros((*batch, k - 1, n, n), b), full], axis=-3)
    eye = xp.eye(n * (K - 1), n * K, dtype=b.dtype, device=backend_of(b).placement(b))
    below = xp.broadcast_to(eye, (*batch, T - 1, *eye.shape))
    C = xp.concat([xp.concat(top, axis=-1), below], axis=-2)
    d = xp.concat([b, zeros((*batch, T, n * (K - 1)), b)], axis=-1)
    return C, d, lambda s: s[..., :n]


def zeros(shape: tuple[int, ...], like: Array) -> Array:
    """Return zeros of the dtype and device of ``like``."""
    return array_namespace(like).zeros(shape, dtype=like.dtype, device=backend_of(like).placement(like))
