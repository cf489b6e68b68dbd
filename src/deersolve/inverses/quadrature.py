"""The quadrature of 4th order that measures the discretisation error of the rules for y' = f, and where it may fail.

The integral of f over an interval of length D is that of the trapezoid less ``D^3 / 6`` times the second divided
difference of f at its middle (that of a smooth f is f'' / 2), which is a straight line between those of the points
around: the cubic through four points.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..backends.namespace import Array, array_namespace

GAP = 32  # an interval so much shorter than the next one is not interpolated across: f may jump there
POINTS = 4  # of a cubic
ONE_SIDED = 2.0  # how much more an extrapolated cubic is doubted than one between points on both sides


def quadrature_defect(y: Array, fy: Array, lengths: Array) -> tuple[Array, Array] | None:
    """Return ``integral of the interpolant of f - (y_{i+1} - y_i)`` on every interval, and how far it may be wrong.

    Parameters
    ----------
    y, fy : array, shape (*B, T, n)
        The solution and f at the grid points.
    lengths : array, shape (*B, T - 1, 1)
        The intervals of any grid. No interpolant crosses one of no length, where f has two values, nor one that is
        tiny beside its neighbour; a piece between such is interpolated from its own side.

    Returns
    -------
    tuple of two arrays, shape (*B, T, n), or None where the grid has fewer points than a cubic
        Row 0 is zero. The second, not negative, is the spread of the cubics to the left, around and to the right of
        each interval. It falls faster than the defect where f is smooth, and is as large as what a jump or a kink of f
        does to the integral.
    """
    xp, D = array_namespace(y), lengths
    if y.shape[-2] < POINTS:
        return None
    rise = fy[..., 1:, :] - fy[..., :-1, :]
    curvature, spread, sides = _curvature(rise, D)
    bend, doubt = D**3 / 6 * curvature, xp.abs(D**3 / 6) * spread
    smooth = largest_near(xp.abs(bend)) / xp.where(doubt > 0, doubt, 1.0)  # at a kink about 1, at a jump less
    doubt = doubt * xp.where(sides > 1, 1 / (1 + smooth**4), ONE_SIDED)
    doubt = doubt + xp.astype(sides == 0, D.dtype) / 2 * xp.abs(D * rise)
    rows = D / 2 * (fy[..., 1:, :] + fy[..., :-1, :]) - bend - (y[..., 1:, :] - y[..., :-1, :])
    zero = xp.zeros_like(y[..., :1, :])
    return xp.concat([zero, rows], axis=-2), xp.concat([zero, doubt], axis=-2)


def _curvature(rise: Array, D: Array) -> tuple[Array, Array, Array]:
    """Return the second divided difference at the middle of each interval, its spread, and on how many sides it is."""
    xp = array_namespace(rise)
    near, far = xp.abs(D[..., :-1, :]), xp.abs(D[..., 1:, :])
    holds = xp.astype((near * GAP > far) & (far * GAP > near), D.dtype)
    slope, total = rise / xp.where(D == 0, 1.0, D), D[..., :-1, :] + D[..., 1:, :]
    q = holds * (slope[..., 1:, :] - slope[..., :-1, :]) / xp.where(total == 0, 1.0, total)
    before, left, right, behind = map(_Difference, _around(q, 4), _around(holds, 4))
    a, b, _, c, d = _around(D, 5)
    to_left, to_right = -(b + D / 2), c + D / 2  # thrice the way from the middle of an interval to a difference
    from_left = _line(left, to_left, before, to_left - (a + b + D))
    from_right = _line(right, to_right, behind, to_right + (c + d + D))
    around = _line(left, to_left, right, to_right)
    both = left.holds * right.holds
    value = both * around + (left.holds - both) * from_left + (right.holds - both) * from_right
    off_left = xp.abs(from_left - (both * around + (1 - both) * before.holds * left.q))
    off_right = xp.abs(from_right - (both * around + (1 - both) * behind.holds * right.q))
    return value, left.holds * off_left + right.holds * off_right, left.holds + right.holds


def largest_near(values: Array) -> Array:
    """Return the largest of each row and the two beside it."""
    xp = array_namespace(values)
    before = xp.concat([values[..., :1, :], values[..., :-1, :]], axis=-2)
    behind = xp.concat([values[..., 1:, :], values[..., -1:, :]], axis=-2)
    return xp.maximum(values, xp.maximum(before, behind))


@dataclass(frozen=True)
class _Difference:
    """A second divided difference near each interval, and 1 where there is one."""

    q: Array
    holds: Array


def _around(values: Array, count: int) -> list[Array]:
    """Return the ``count`` values around each interval, of a row for each interval or each point between two."""
    xp, n = array_namespace(values), values.shape[-2]
    ends = xp.zeros_like(values[..., :1, :])
    padded = xp.concat([ends, ends, values, ends, ends], axis=-2)
    return [padded[..., k : n + 5 - count + k, :] for k in range(count)]


def _line(p: _Difference, x: Array, q: _Difference, z: Array) -> Array:
    """Return the straight line through p at x and q at z, at 0; p where q does not hold."""
    way = array_namespace(x).where(x == z, 1.0, x - z)
    return p.q + q.holds * x / way * (q.q - p.q)
