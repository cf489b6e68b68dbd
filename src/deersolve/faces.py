"""The faces between the cells of an axis: the states on both sides, and what the numerical flux is given there."""

from __future__ import annotations

from typing import Any

from .backends.generic import Backend
from .domain import NoFlux
from .fluxes import mirrors
from .line import Stencil
from .record import tree_map
from .space import ghost_of
from .typing import Array, Tree, array_namespace


def around_of(flux: Any, s: Array, ends: list[Any], is_ring: bool, n: int, backend: Backend) -> tuple[Stencil, ...]:
    """Return u in the cell before and in the cell behind; where that is a wall u there, or mirrored there."""
    if flux is None:
        return ()
    xp, h = array_namespace(s), (s[1:] - s[:-1])[:, None]
    zero = 0 * h + backend.convert([[0.0] * n], s, s.dtype)
    one, none = zero + 1, zero[:1, :]
    if is_ring:
        return Stencil(one, zero, zero, none, none), Stencil(zero, zero, one, none, none)
    # u beyond a wall is p u + q value; at the wall it is half way between that and u
    (p, _, q), (r, _, t) = (
        ghost_of(a, b, width, True, s, backend) for (a, b, _), width in zip(ends, (h[:1, :], h[-1:, :]), strict=True)
    )
    share = 1.0 if mirrors(flux) else 0.5
    p, r = (1 - share + share * a for a in (p, r))
    before = Stencil(
        lower=xp.concat([none, one[1:, :]], axis=0),
        middle=xp.concat([p + none, zero[1:, :]], axis=0),
        upper=zero,
        left=share * q + none,
        right=none,
    )
    behind = Stencil(
        lower=zero,
        middle=xp.concat([zero[1:, :], r + none], axis=0),
        upper=xp.concat([one[1:, :], none], axis=0),
        left=none,
        right=share * t + none,
    )
    return before, behind


def openings_of(s: Array, sides: tuple[Any, Any], n: int, backend: Backend) -> tuple[Array, Array]:
    """Return 1 / h of every cell, (X, n), for the face before it and the one behind; 0 where nothing may pass."""
    xp, per_length = array_namespace(s), 1 / (s[1:] - s[:-1])[:, None] + backend.convert([[0.0] * n], s, s.dtype)
    first, last = (backend.convert([_is_open(side, n)], s, s.dtype) for side in sides)
    inward = xp.concat([first * per_length[:1, :], per_length[1:, :]], axis=0)
    return inward, xp.concat([per_length[:-1, :], last * per_length[-1:, :]], axis=0)


def _is_open(side: Any, n: int) -> list[float]:
    parts = side if isinstance(side, tuple) else (side,) * n
    return [float(not isinstance(part, NoFlux)) for part in parts]


def split(x: dict[str, Any], faces: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the leaves for cells and those for faces; what is the same along the axis is for both."""
    sizes = {k: a.shape[-2] if getattr(a, "ndim", 0) > 1 else None for k, a in x.items()}
    return (
        {k: a for k, a in x.items() if sizes[k] != faces},
        {k: a for k, a in x.items() if sizes[k] in (1, faces)},
    )


def both_sides(x: Tree, is_ring: bool) -> dict[str, Tree]:
    """Return x on the faces before and behind every cell, of leaves on faces, (..., X + 1 or 1, k)."""

    def before(a: Array) -> Array:
        return a[..., :-1, :] if a.shape[-2] > 1 else a

    def behind(a: Array) -> Array:
        if a.shape[-2] == 1:
            return a
        return array_namespace(a).concat([a[..., 1:-1, :], a[..., :1, :]], axis=-2) if is_ring else a[..., 1:, :]

    return {"before": tree_map(before, x), "behind": tree_map(behind, x)}
