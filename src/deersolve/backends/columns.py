"""Derivatives as columns: cut apart, and blanked where an element has none."""

from __future__ import annotations

from .namespace import Array, array_namespace, padded_behind


def passed(change: Array, usable: Array) -> Array:
    """Return a derivative where elements are usable; of others zero if it is zero there, and NaN if not."""
    xp = array_namespace(change)
    touched = xp.any(change != 0, axis=tuple(range(usable.ndim - change.ndim, 0)))
    usable, known = (padded_behind(flags, change.ndim) for flags in (usable, usable | ~touched))
    return xp.where(known, xp.where(usable, change, 0.0), xp.nan)


def split_columns(columns: Array, ys: tuple[Array, ...]) -> tuple[Array, ...]:
    """Cut the columns of all P Jacobians, side by side on the last axis, into P arrays."""
    ends, parts = 0, []
    for y in ys:
        parts.append(columns[..., ends : ends + y.shape[-1]])
        ends += y.shape[-1]
    return tuple(parts)


def split_rows(rows: Array, count: int) -> tuple[Array, ...]:
    """Cut the rows of all matrices, one under the other on the axis before the last, into so many arrays."""
    each = rows.shape[-2] // count
    return tuple(rows[..., p * each : (p + 1) * each, :] for p in range(count))
