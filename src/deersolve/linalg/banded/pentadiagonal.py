"""Five blocks a row as three of twice the size: two rows at a time see no further than the pairs beside them."""

from __future__ import annotations

from ...backends.namespace import Array, array_namespace
from ...errors import mismatch
from ..structure import identity


def blocks(five: tuple[Array, ...], is_ring: bool) -> tuple[Array, Array, Array]:
    """Return the blocks of pairs, (*B, N / 2, 2 n, 2 n); an odd row is paired with ``y = 0``."""
    xp, N = array_namespace(five[0]), five[2].shape[-3]
    if N % 2 and is_ring:
        raise mismatch("s", "an even number of cells on a ring, with a flux of four states", f"{N}")
    if N % 2:
        one = identity(five[2], five[2].shape[-1], five[2].ndim)
        last = [0 * a[..., :1, :, :] + (one if k == 2 else 0 * one) for k, a in enumerate(five)]
        five = tuple(xp.concat([a, b], axis=-3) for a, b in zip(five, last, strict=True))
    (a, b, c, d, e), (f, g, h, i, j) = ([block[..., k::2, :, :] for block in five] for k in (0, 1))
    none = 0 * c

    def of(top: tuple[Array, Array], bottom: tuple[Array, Array]) -> Array:
        return xp.concat([xp.concat([p + none, q + none], axis=-1) for p, q in (top, bottom)], axis=-2)

    return of((a, b), (none, f)), of((c, d), (g, h)), of((e, none), (i, j))


def rows(r: Array) -> Array:
    """Return (*B, N / 2, 2 n) of (*B, N, n)."""
    xp = array_namespace(r)
    r = xp.concat([r, 0 * r[..., :1, :]], axis=-2) if r.shape[-2] % 2 else r
    return xp.reshape(r, (*r.shape[:-2], r.shape[-2] // 2, 2 * r.shape[-1]))


def apart(y: Array, N: int) -> Array:
    """Return (*B, N, n) of (*B, N / 2, 2 n)."""
    flat = array_namespace(y).reshape(y, (*y.shape[:-2], 2 * y.shape[-2], y.shape[-1] // 2))
    return flat[..., :N, :]
