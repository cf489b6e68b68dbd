"""What differences of second order miss of u' and u'': the difference to a polynomial through the nearest five points."""

from __future__ import annotations

from typing import Any

from ..line import Ends, Line
from ..typing import Array, array_namespace

FEWEST = 5  # points that the polynomial runs through


def missed(line: Line, ends: Ends, u: Array) -> tuple[Array, Array]:
    """Return the derivatives of the polynomials less the differences of the line, at every point of u.

    At an end the differences take a point beyond it from the condition there; what they miss is what they would if the
    polynomial satisfied that condition.
    """
    first = line.first.of(u, line.is_ring) + line.first.given(ends)
    second = line.second.of(u, line.is_ring) + line.second.given(ends)
    gaps = line.walls.gaps
    if line.is_ring:
        xp = array_namespace(u)
        u = xp.concat([u[..., -2:, :], u, u[..., :2, :]], axis=-2)
        gaps = xp.concat([gaps[..., -2:-1, :], gaps, gaps[..., 1:2, :]], axis=-2)
        slope, curve = (a[..., 1:-1, :] for a in _between(u, gaps, _divided(u, gaps)))
        return slope - first, curve - second
    return _on_an_open_line(line, u, first, second)


def _on_an_open_line(line: Line, u: Array, first: Array, second: Array) -> tuple[Array, Array]:
    xp, gaps = array_namespace(u), line.walls.gaps
    inner = gaps[..., 1:-1, :]
    divided = _divided(u, inner)
    slope, curve = _between(u, inner, divided)
    slope, curve = slope - first[..., 1:-1, :], curve - second[..., 1:-1, :]
    turned = [_at_end(line, 1, xp.flip(gaps, axis=-2), [xp.flip(d, axis=-2) for d in _signed(u, divided)])]
    rows = [_at_end(line, 0, gaps, [u, *divided]), *turned]
    (s0, c0), (s1, c1) = rows
    return xp.concat([s0, slope, -s1], axis=-2), xp.concat([c0, curve, c1], axis=-2)


def _divided(u: Array, gaps: Array) -> list[Array]:
    """Return the divided differences of one to four neighbouring gaps."""
    made, values = [], u
    N = u.shape[-2]
    for order in range(1, FEWEST):
        length = sum(gaps[..., k : N - order + k, :] for k in range(order))
        values = (values[..., 1:, :] - values[..., :-1, :]) / length
        made.append(values)
    return made


def _signed(u: Array, divided: list[Array]) -> list[Array]:
    """Return u and its divided differences seen from the other end."""
    return [u, *((-1) ** (k + 1) * d for k, d in enumerate(divided))]


def _between(u: Array, gaps: Array, divided: list[Array]) -> tuple[Array, Array]:
    """Return the derivatives at all points but the first and the last, each from the five nearest."""
    xp, (d1, d2, d3, d4) = array_namespace(u), divided
    before, behind = gaps[..., :-1, :], gaps[..., 1:, :]
    further = xp.concat([behind[..., :-1, :] + behind[..., 1:, :], -(before[..., -1:, :] + before[..., -2:-1, :])], -2)
    third = xp.concat([d3, d3[..., -1:, :]], axis=-2)
    fourth = xp.concat([d4[..., :1, :], d4, d4[..., -1:, :]], axis=-2)
    nodes = [-before, 0 * before, behind, further]
    _, slope, curve = _polynomial([u[..., :-2, :], d1[..., :-1, :], d2, third, fourth], nodes, 0.0)
    return slope, curve


def _at_end(line: Line, end: int, gaps: Array, divided: list[Array]) -> tuple[Array, Array]:
    """Return what is missed at the first point, seen from there."""
    wall, (h, g1, g2, g3) = line.walls.ends[end], (gaps[..., k : k + 1, :] for k in range(4))
    at = [d[..., :1, :] for d in divided]
    nodes = [0.0, g1, g1 + g2, g1 + g2 + g3]
    _, slope, curve = _polynomial(at, nodes, 0.0)
    value, out, _ = _polynomial(at, nodes, -wall.distance)
    u0 = at[0]
    beyond = wall.value * value - wall.slope * out + wall.own * u0 + wall.next * divided[0][..., 1:2, :]
    down, up = (u0 - beyond) / h, at[1]
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
