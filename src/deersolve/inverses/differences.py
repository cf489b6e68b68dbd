"""What differences of second order miss of u' and u'': those to a polynomial through the nearest five points."""

from __future__ import annotations

from typing import Any

from ..backends.namespace import Array, array_namespace, padded
from ..grids.axis import Axis, Ends

FEWEST = 6  # points of a line
ORDER = 4  # of the polynomials
PAST = 3  # points of a ring that are repeated before its first and behind its last


Pair = tuple[Array, Array]
"""Of the first and of the second derivative."""


def missed(line: Axis, ends: Ends, u: Array) -> tuple[Pair, Pair]:
    """Return the derivatives of the polynomials less the differences of the line at every point of u, and smoothed.

    At an end the differences take a point beyond it from the condition there; what they miss is what they would if the
    polynomial satisfied that condition. Smoothed, the fourth difference at a point is the mean of those beside it,
    which is the same where the points resolve u.
    """
    first = line.first.of(u) + line.first.given(ends)
    second = line.second.of(u) + line.second.given(ends)
    gaps = padded(line.gaps, u.ndim)
    if line.is_ring:
        xp = array_namespace(u)
        u = xp.concat([u[..., -PAST:, :], u, u[..., :PAST, :]], axis=-2)
        gaps = xp.concat([gaps[..., -PAST:-1, :], gaps, gaps[..., 1:PAST, :]], axis=-2)
        plain, smoothed = (
            (slope[..., PAST - 1 : 1 - PAST, :] - first, curve[..., PAST - 1 : 1 - PAST, :] - second)
            for slope, curve in _between(u, gaps, _divided(u, gaps))
        )
        return plain, smoothed
    return _on_an_open_line(line, u, gaps, (first, second))


def _on_an_open_line(line: Axis, u: Array, gaps: Array, known: Pair) -> tuple[Pair, Pair]:
    """Return the same between two ends, each of which is the first point as it is seen from there."""
    xp, (down, bend) = array_namespace(u), known
    inner, turned = gaps[..., 1:-1, :], xp.flip(gaps, axis=-2)
    divided = _divided(u, inner)
    from_last = [xp.flip((-1) ** k * d, axis=-2) for k, d in enumerate([u, *divided])]
    own, other = (padded(a, u.ndim) for a in (line.mirrored.first, line.mirrored.last))
    first, last = _at_end(own, line.cells, gaps, [u, *divided]), _at_end(other, line.cells, turned, from_last)

    def whole(slope: Array, curve: Array) -> Pair:
        parts = [first[0], slope - down[..., 1:-1, :], -last[0]], [first[1], curve - bend[..., 1:-1, :], last[1]]
        return xp.concat(parts[0], axis=-2), xp.concat(parts[1], axis=-2)

    plain, smoothed = _between(u, inner, divided)
    return whole(*plain), whole(*smoothed)


def _divided(u: Array, gaps: Array) -> list[Array]:
    """Return the divided differences of one to four neighbouring gaps."""
    made, values = [], u
    N = u.shape[-2]
    for order in range(1, ORDER + 1):
        length = sum(gaps[..., k : N - order + k, :] for k in range(order))
        values = (values[..., 1:, :] - values[..., :-1, :]) / length
        made.append(values)
    return made


def _between(u: Array, gaps: Array, divided: list[Array]) -> tuple[Pair, Pair]:
    """Return the derivatives at all points but the first and the last, each from the five nearest, and smoothed."""
    xp, (d1, d2, d3, d4) = array_namespace(u), divided
    before, behind = gaps[..., :-1, :], gaps[..., 1:, :]
    further = xp.concat(
        [behind[..., :-1, :] + behind[..., 1:, :], -(before[..., -1:, :] + before[..., -2:-1, :])], axis=-2
    )
    third = xp.concat([d3, d3[..., -1:, :]], axis=-2)
    fourth, nodes = xp.concat([d4[..., :1, :], d4, d4[..., -1:, :]], axis=-2), [-before, 0 * before, behind, further]
    _, slope, curve = _polynomial([u[..., :-2, :], d1[..., :-1, :], d2, third, fourth], nodes, 0.0)
    change = _smoothed(d4) - fourth  # times (z + before) z (z - behind) (z - further), whose derivatives at 0 are
    turn, bend = before * behind * further, 2 * (behind * further - before * further - before * behind)
    return (slope, curve), (slope + turn * change, curve + bend * change)


def jumps(f: Array, is_ring: bool) -> Array:
    """Return by how much f jumps beside every point, half of it on each side, 0 where it changes from point to point.

    A change over an interval is a jump as far as it is more than twice that over the next two on either side, of which
    the smaller one counts: a jump up and one down may be neighbours.
    """
    xp = array_namespace(f)
    ends = [f[..., :1, :], f[..., -1:, :]]
    f = xp.concat([f[..., -3:, :], f, f[..., :3, :]] if is_ring else [*ends[:1] * 3, f, *ends[1:] * 3], axis=-2)
    d = xp.abs(f[..., 1:, :] - f[..., :-1, :])
    before, behind = xp.minimum(d[..., :-4, :], d[..., 1:-3, :]), xp.minimum(d[..., 3:-1, :], d[..., 4:, :])
    jump = xp.clip(d[..., 2:-2, :] - 2 * xp.maximum(before, behind), min=0.0)
    return 0.5 * (jump[..., 1:, :] + jump[..., :-1, :])


def _smoothed(d: Array) -> Array:
    """Return the means of both neighbours, one more at each end: past the ends d goes on in a straight line."""
    first, second, before, last = d[..., :1, :], d[..., 1:2, :], d[..., -2:-1, :], d[..., -1:, :]
    longer = [3 * first - 2 * second, 2 * first - second, d, 2 * last - before, 3 * last - 2 * before]
    whole = array_namespace(d).concat(longer, axis=-2)
    return 0.5 * (whole[..., 2:, :] + whole[..., :-2, :])


def _at_end(own: Array, cells: bool, gaps: Array, divided: list[Array]) -> tuple[Array, Array]:
    """Return what is missed at the first point; ``own`` is what u weighs there in u beyond the end.

    In cells that is ``(1 - own) u + own u_0 - (1 + own) h / 2 du/ds`` of u at the wall between, else of the slope at
    u_0 itself ``u_1 - 2 h du/ds``.
    """
    h, g1, g2, g3 = (gaps[..., k : k + 1, :] for k in range(4))
    at = [d[..., :1, :] for d in divided]
    nodes = [0.0, g1, g1 + g2, g1 + g2 + g3]
    u0, up = at[:2]
    _, slope, curve = _polynomial(at, nodes, 0.0)
    if cells:
        value, out, _ = _polynomial(at, nodes, -0.5 * h)
        beyond = (1 - own) * value + own * u0 - (1 + own) * (0.5 * h * out)
    else:
        beyond = divided[0][..., 1:2, :] - 2 * h * slope
    down = (u0 - beyond) / h
    return slope - (down * g1 + up * h) / (h + g1), curve - (up - down) / h


def _polynomial(divided: list[Array], nodes: list[Any], z: Any) -> tuple[Any, Any, Any]:
    """Return the value and two derivatives at z of ``d_0 + (z - z_0) (d_1 + (z - z_1) (d_2 + ...))``."""
    *rest, value = divided
    slope = curve = 0.0 * value
    for d, node in zip(reversed(rest), reversed(nodes), strict=True):
        curve = curve * (z - node) + 2 * slope
        slope = slope * (z - node) + value
        value = value * (z - node) + d
    return value, slope, curve
