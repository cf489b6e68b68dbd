"""From the points of an axis and the conditions at its ends to stencils."""

from __future__ import annotations

import math
from typing import Any

from ..backends.generic import Backend
from ..backends.given import batch_of, beside, real_numbers
from ..backends.namespace import Array, array_namespace
from ..errors import mismatch
from .axis import Ends, Stencil, Wall, Walls
from .conditions import Dirichlet, Neumann, NoFlux, Periodic, Robin

FEWEST = 3  # points that a stencil takes


def check_points(s: Array, cells: bool, is_ring: bool, backend: Backend, name: str = "s") -> None:
    """Raise unless s are the points, or edges, of a line."""
    fewest = FEWEST + 1 if cells or is_ring else FEWEST
    what = "edges of cells" if cells else "points, both ends included"
    if s.ndim != 1 or s.shape[0] < fewest:
        raise mismatch(name, f"shape (N,) with N >= {fewest}: the {what}", tuple(s.shape))
    if backend.is_concrete(s):
        numbers = backend.to_numpy(s)
        if not bool((numbers[1:] > numbers[:-1]).all()) or not bool((abs(numbers) < float("inf")).all()):
            raise mismatch(name, "finite, strictly increasing points", "a grid that is not")


def coefficient_of(value: Any, like: Array, backend: Backend, name: str, N: int, *, may_vanish: bool = False) -> Array:
    """Return a coefficient with at least two axes; a diffusion must be positive, or beside a flux not negative."""
    a = beside(value, like, backend, name)
    a = array_namespace(a).reshape(a, (*(1 for _ in range(2 - a.ndim)), *a.shape))
    if a.shape[-2] not in (1, N):
        raise mismatch(name, f"a number, (n,), or 1 or N = {N} points on axis -2", tuple(a.shape))
    if name == "D" and backend.is_concrete(a):
        numbers = backend.to_numpy(a)
        if not bool((numbers >= 0 if may_vanish else numbers > 0).all()):
            expected = "a diffusion of at least 0" if may_vanish else "a positive diffusion"
            raise mismatch("D", f"{expected} at every point", "one that is not", "Signs belong to f.")
    return a


def check_width(a: Array, name: str, n: int) -> None:
    """Raise unless there is one number for all components, or one for each."""
    if a.shape[-1] not in (1, n):
        raise mismatch(name, f"1 or n = {n} components on the last axis", tuple(a.shape))


def check_components(a: Array, name: str, N: int, sides: tuple[Any, ...]) -> None:
    """Raise where there is a number for each component, as many as there are points, and no condition says so."""
    if a.ndim <= 2 and math.prod(a.shape) == a.shape[-1] == N > 1 and components_of(sides, {}, None) != N:
        shape = f"a number, (n,), (N, 1) or (N, n) with N = {N} points"
        raise mismatch(name, shape, (N,), f"Write {name}[:, None] for one component.")


def components_of(sides: tuple[Any, ...], coefficients: dict[str, Array], guess: Array | None) -> int:
    """Return n: that of the guess, or the largest last axis of what else is given."""
    if guess is not None:
        return int(guess.shape[-1])
    sizes = [int(a.shape[-1]) for a in coefficients.values()]
    for side in sides:
        parts = side if isinstance(side, tuple) else (side,)
        sizes.append(len(parts))
        for part in parts:
            for value in (getattr(part, k, 0.0) for k in ("value", "slope", "a", "b")):
                sizes += [_width(value)] if len(parts) == 1 else []
    return max(sizes)


def _width(value: Any) -> int:
    """Return the length of the last axis of what a user gave for a condition."""
    if isinstance(value, tuple | list) and value:
        is_row = not isinstance(value[0], tuple | list) and not getattr(value[0], "shape", ())
        return len(value) if is_row else _width(value[0])
    shape = getattr(value, "shape", ())
    return int(shape[-1]) if shape else 1


def end_of(side: Any, n: int, like: Array, backend: Backend, name: str) -> tuple[Any, Any, Array]:
    """Return a, b (numbers, n of each) and the right-hand side, (*B, n), of ``a u + b du/dn = value``."""
    xp, parts = array_namespace(like), side if isinstance(side, tuple) else (side,)
    if len(parts) not in (1, n):
        raise mismatch(name, f"one condition, or n = {n} of them", f"{len(parts)}")
    if isinstance(side, Periodic):
        return (0.0,) * n, (1.0,) * n, backend.convert([0.0] * n, like, like.dtype)
    triples = [_robin(p) for p in parts]
    a, b = (_numbers([t[k] for t in triples], n, name) for k in (0, 1))
    if any(p == 0 == q for p, q in zip(a, b, strict=True)):
        raise mismatch(name, "a or b of a u + b du/dn = value not 0", "both 0")
    if any(q == 0 and p != 1 for p, q in zip(a, b, strict=True)):
        raise mismatch(name, "a = 1 where b = 0, in Robin(a, b, value)", f"a = {a}, b = {b}", "Divide the value by a.")
    value = value_of([beside(t[2], like, backend, name) for t in triples], name)
    if value.shape[-1] not in (1, n):
        raise mismatch(name, f"a value for each of n = {n} components", tuple(value.shape))
    return a, b, xp.broadcast_to(value, (*value.shape[:-1], n))


def value_of(values: list[Array], name: str) -> Array:
    """Return the right-hand sides of the conditions of one side, (*B, n or 1)."""
    xp = array_namespace(values[0])
    values = [xp.reshape(v, (1,)) if v.ndim == 0 else v for v in values]
    if len(values) == 1:
        return values[0]
    if any(v.shape[-1] != 1 for v in values):
        raise mismatch(name, "a value of shape (*B, 1), or a number, for each component", "another shape")
    shape = batch_of([(name, tuple(v.shape[:-1])) for v in values])
    return xp.concat([xp.broadcast_to(v, (*shape, 1)) for v in values], axis=-1)


def _robin(condition: Any) -> tuple[Any, Any, Any]:
    if isinstance(condition, Dirichlet):
        return 1.0, 0.0, condition.value
    if isinstance(condition, Neumann):
        return 0.0, 1.0, condition.slope
    if isinstance(condition, NoFlux):
        return 0.0, 1.0, 0.0
    assert isinstance(condition, Robin)
    return condition.a, condition.b, condition.value


def _numbers(given: list[Any], n: int, name: str) -> tuple[float, ...]:
    """Return n numbers."""
    flat = [number for value in given for number in real_numbers(value, f"a and b at the {name}")]
    if len(flat) not in (1, n):
        raise mismatch(name, f"a and b as numbers, or n = {n} of them", f"{len(flat)}")
    return tuple(flat) if len(flat) == n else tuple(flat * n)


def gaps_of(s: Array, is_ring: bool, cells: bool) -> Array:
    """Return the distances between neighbours, (N + 1, 1), with the points beyond both ends."""
    xp, h = array_namespace(s), (s[1:] - s[:-1])[:, None]
    if is_ring and not cells:
        return xp.concat([h[-1:, :], h], axis=0)
    inner = 0.5 * (h[1:, :] + h[:-1, :]) if cells else h
    first, last = [0.5 * (h[:1, :] + h[-1:, :])] * 2 if is_ring else [h[:1, :], h[-1:, :]]
    return xp.concat([first, inner, last], axis=0)


def stencils_of(
    s: Array, ends: list[Any], is_ring: bool, cells: bool, n: int, backend: Backend
) -> tuple[Stencil, Stencil, Array, Ends]:
    """Return d2/ds2 and d/ds by central differences, where the equation holds, and at which end it does not."""
    xp, gaps = array_namespace(s), gaps_of(s, is_ring, cells)
    before, behind, beyond = gaps[:-1, :], gaps[1:, :], (gaps[:1, :], gaps[-1:, :])
    width = (s[1:] - s[:-1])[:, None] if cells else 0.5 * (before + behind)
    down, up = 1 / (width * before), 1 / (width * behind)
    both = before + behind
    rows = {
        "second": (down, -(down + up), up),
        "first": (-behind / (before * both), (behind - before) / (before * behind), before / (behind * both)),
    }
    free = xp.ones_like(before) + backend.convert([[0.0] * n], s, s.dtype)
    if is_ring:
        none = 0 * free[:1, :]
        second, first = (
            Stencil(lower=a + 0 * free, middle=b + 0 * free, upper=c + 0 * free, first=none, last=none)
            for a, b, c in (rows["second"], rows["first"])
        )
        return second, first, free, Ends(none, none)
    ghosts = [ghost_of(ends[k][0], ends[k][1], beyond[k], cells, s, backend) for k in (0, 1)]
    given = [backend.convert([[float(q == 0 and not cells) for q in ends[k][1]]], s, s.dtype) for k in (0, 1)]
    top = xp.concat([free[:1, :], 0 * free[1:, :]], axis=0)
    bottom = xp.flip(top, axis=0)
    held = Ends(top * given[0], bottom * given[1])
    free = free - held.first - held.last
    made = []
    for name in ("second", "first"):
        lower, middle, upper = (r + 0 * free for r in rows[name])
        l0, uN, zero = lower[:1, :], upper[-1:, :], 0 * free[:1, :]
        (p0, p1, q), (r0, r1, t) = ghosts
        middle = xp.concat([middle[:1, :] + l0 * p0, middle[1:-1, :], middle[-1:, :] + uN * r0], axis=0)
        upper = xp.concat([upper[:1, :] + l0 * p1, upper[1:-1, :], zero], axis=0)
        lower = xp.concat([zero, lower[1:-1, :], lower[-1:, :] + uN * r1], axis=0)
        made.append(Stencil(lower, middle, upper, top * (l0 * q), bottom * (uN * t)))
    return made[0], made[1], free, held


def walls_of(s: Array, ends: list[Any], is_ring: bool, cells: bool, backend: Backend) -> Walls:
    """Return the distances between the points, and what :func:`ghost_of` says of u beyond the ends by u at the wall."""
    gaps, walls = gaps_of(s, is_ring, cells), []
    for (a, b, _), h in zip(ends, (gaps[:1, :], gaps[-1:, :]), strict=True):
        own, _, _ = ghost_of(a, b, h, cells, s, backend)
        zero = 0 * own
        if cells:
            walls.append(Wall(0.5 * h, 1 - own, 0.5 * h * (1 + own), own, zero))
        else:
            walls.append(Wall(0 * h, zero, 2 * h + zero, zero, zero + 1))
    return Walls(gaps, (walls[0], walls[1]))


def ghost_of(a: Any, b: Any, h: Array, cells: bool, like: Array, backend: Backend) -> tuple[Array, Array, Array]:
    """Return p, q, r of the value beyond an end, ``p u_0 + q u_1 + r value``, u_0 next to the end.

    In cells the end is between u and u_0, so that a (u + u_0) / 2 + b (u - u_0) / h = value. Else u_0 is at the end:
    a u_0 + b (u - u_1) / (2 h) = value, and where u_0 itself is given the slope next to it is that of the first gap.
    """
    if cells:
        a, b = (backend.convert([list(v)], like, like.dtype) for v in (a, b))
        near, far = a / 2 + b / h, a / 2 - b / h
        return -far / near, 0 * a, 1 / near
    is_given = backend.convert([[float(q == 0) for q in b]], like, like.dtype)
    ratio = backend.convert([[0.0 if q == 0 else p / q for p, q in zip(a, b, strict=True)]], like, like.dtype)
    weight = backend.convert([[0.0 if q == 0 else 1 / q for q in b]], like, like.dtype)
    return 2 * is_given - 2 * h * ratio, 1 - 2 * is_given, 2 * h * weight
