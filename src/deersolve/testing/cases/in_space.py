"""Equations in space, and in space and time, of which one formula is the answer for any number of axes."""

from __future__ import annotations

import math
from itertools import chain
from typing import Any

import numpy as np

from ...backends.namespace import Array, array_namespace, padded_behind
from ...grids.box import AXES
from ...grids.box import SIDES as PAIRS
from ...grids.conditions import Dirichlet, Neumann, Periodic, Robin
from ...problems import BoundaryValueProblem, Elliptic, Elliptic1D, Elliptic2D, Evolution
from .base import AsArray, Case

KINDS = ("dirichlet", "neumann", "robin", "periodic")
SIDES = tuple(chain.from_iterable(PAIRS))
ZERO: dict[str, Any] = {side: Dirichlet() for side in SIDES[:4]}
W = 2.0 * np.pi


def steady_burgers(asarray: AsArray, s: Any, D: float = 0.5) -> Case:
    """Return D u'' = u u' with u = -tanh((s - 1/2) / (2 D)): its slope at the left, its value at the right."""
    s = np.asarray(s, dtype=np.float64)
    exact = -np.tanh((s - 0.5) / (2.0 * D))
    left, right = Neumann(float((1.0 - exact[0] ** 2) / (2.0 * D))), Dirichlet(float(exact[-1]))
    problem = Elliptic1D(lambda u, u_s, x, params: u * u_s, asarray(s), D, left=left, right=right)
    return Case(problem, exact[:, None])


def _bratu(u: Array, *rest: Any) -> Array:
    *_, lam = rest
    return -lam * array_namespace(u).exp(u)


def bratu_on_a_line(asarray: AsArray, s: Any, upper: bool = False) -> Case:
    """Return u'' + e^u = 0, u(0) = u(1) = 0: u = 2 ln(cosh(theta / 4) / cosh((s - 1/2) theta / 2)).

    theta = sqrt(2) cosh(theta / 4) has two solutions; the upper one is found from a guess such as ``4 sin(pi s)``.
    """
    s = np.asarray(s, dtype=np.float64)
    theta = 10.9387027721221068 if upper else 1.5171645990507543685
    exact = 2.0 * np.log(np.cosh(theta / 4) / np.cosh((s - 0.5) * theta / 2))
    problem = BoundaryValueProblem(_bratu, asarray(s), params=1.0, left=Dirichlet(), right=Dirichlet())
    return Case(problem, exact[:, None])


def bratu(asarray: AsArray, N: int, lam: float = 6.0) -> Case:
    """Return u_ss + u_rr + lam e^u = 0 on the unit square, u = 0 around it, N x N points inside.

    ``exact`` is u in the point (N + 1) / 2 of both axes, rounded down, at lam = 6: values of the discrete equation by
    Newton's method with a sparse LU.
    """
    s = asarray(np.linspace(0.0, 1.0, N + 2))
    known = {64: 0.7966763500026962, 128: 0.7969991749879985}
    problem = Elliptic2D(_bratu, (s, s), params=asarray(np.float64(lam)), **ZERO)
    return Case(problem, known.get(N, np.nan), 1e-13)


def swinging(asarray: AsArray, t: Any, axes: int = 1) -> Case:
    """Return u_t - Laplacian(u) = -u^2 + force, u = (1 + s^2 + r^2 ...) cos t, which differences in space follow."""
    points = [np.linspace(0.0, 1.0, 5 - k) for k in range(axes)]
    form = 1.0 + sum(a * a for a in _mesh(points))
    u = form * np.cos(padded_behind(np.asarray(t, dtype=np.float64), axes + 2))

    def f(u: Array, *rest: Any) -> Array:
        *slopes, x, _ = rest
        xp, form = array_namespace(u), 1.0 + sum(x[name] * x[name] for name in AXES[: len(slopes)])
        cos, sin = xp.cos(x["t"]), xp.sin(x["t"])
        return form * form * cos * cos - u * u - form * sin - 2.0 * len(slopes) * cos

    sides: dict[str, Any] = dict.fromkeys(SIDES[: 2 * axes : 2], Neumann())
    for k, name in enumerate(SIDES[1 : 2 * axes : 2]):
        sides[name] = Dirichlet(asarray(np.take(u, -1, axis=1 + k)))
    times, start, space = asarray(np.asarray(t)), asarray(u[0]), [asarray(p) for p in points]
    return Case(Evolution(f, times, tuple(space), start, sides=pairs_of(sides)), u)


def on_a_line(asarray: AsArray, edges: Any, kinds: tuple[str, str], n: int = 3, cells: bool = False) -> Case:
    """Return a u'' + b u' + c u = g(u, u') + r(s) with r chosen for :func:`waves`, coupled for n > 1.

    Parameters
    ----------
    asarray : callable
        What makes an array of the library.
    edges : array
        From 0 to 1.
    kinds : tuple of two of {"dirichlet", "neumann", "robin", "periodic"}
        The conditions at the left and right.
    n : int
        The number of components.
    cells : bool
        Whether the edges are those of cells.
    """
    points, a, b, c = _points([edges], cells), 1.3, 0.4, -2.0

    def g(u: Array, u_s: Array) -> Array:
        return u * array_namespace(u).roll(u, 1, axis=-1) - 0.05 * u_s * u_s

    u, (u_s,), laplacian = waves(_mesh(points), n)
    r = a * laplacian + b * u_s + c * u - g(u, u_s)
    L = {"a": asarray(np.full(n, a)), "b": b, "c": c, "cells": cells, "x": {"r": asarray(r)}}
    f = lambda u, u_s, x, params: g(u, u_s) + x["r"]  # noqa: E731
    sides = conditions(asarray, points, kinds, n)
    return Case(BoundaryValueProblem(f, asarray(np.asarray(edges, dtype=np.float64)), **sides, **L), u)


def in_a_box(asarray: AsArray, edges: Any, kinds: tuple[str, ...], n: int = 1, cells: bool = False) -> Case:
    """Return D Laplacian(u) = g(u, u_s, u_r, ...) + rest, ``rest`` chosen for :func:`waves`, coupled for n > 1.

    Parameters
    ----------
    asarray : callable
        What makes an array of the library.
    edges : two or three arrays
        From 0 to 1.
    kinds : tuple of two for each axis of {"dirichlet", "neumann", "robin", "periodic"}
        The conditions at the left, right, bottom, top, front and back.
    n : int
        The number of components.
    cells : bool
        Whether the edges are those of cells.
    """
    points = _points(edges, cells)
    S, R, *others = at = _mesh(points)

    def g(u: Array, u_s: Array, *slopes: Array) -> Array:
        xp = array_namespace(u)
        return 3.0 * u + 0.5 * u * xp.roll(u, 1, axis=-1) + 0.2 * u * u_s - 0.1 * sum(slopes[1:], start=slopes[0])

    D = 1.2 + 0.5 * np.sin(W * S) * np.cos(W * R) + np.zeros(n)
    u, slopes, laplacian = waves(at, n)
    rest = D * laplacian - g(u, *slopes)
    f = lambda *given: g(*given[:-2]) + given[-2]["rest"]  # noqa: E731 - u, its slopes, x, params
    axes = tuple(asarray(np.asarray(e, dtype=np.float64)) for e in edges)
    more: dict[str, Any] = {"x": {"rest": asarray(rest)}, "cells": cells}
    sides = conditions(asarray, points, kinds, n)
    if not others:
        return Case(Elliptic2D(f, axes, asarray(D), **more, **sides), u, 1e-13)
    return Case(Elliptic(f, axes, asarray(D), sides=pairs_of(sides), **more), u, 1e-13)


def pairs_of(sides: dict[str, Any]) -> tuple[tuple[Any, Any], ...]:
    """Return the conditions of each axis, of those by the names of the sides."""
    return tuple((sides[first], sides[last]) for first, last in PAIRS if first in sides)


def waves(at: list[Any], n: int) -> tuple[Any, list[Any], Any]:
    """Return u_k = sin(2 pi s + k) cos(2 pi r) ... + 0.3 (sin(2 pi r) + ...), its slopes, and its Laplacian.

    ``at`` has one array for each axis, which broadcast against each other, with an axis for the components last.
    """
    first, others = W * at[0] + np.arange(n), [W * a for a in at[1:]]
    factors = [np.sin(first), *map(np.cos, others)]
    turned = [W * np.cos(first), *(-W * np.sin(a) for a in others)]
    more = 0.3 * sum(np.sin(a) for a in others)
    product = math.prod(factors)
    slopes = [math.prod([*factors[:k], turned[k], *factors[k + 1 :]]) for k in range(len(at))]
    slopes[1:] = [slope + 0.3 * W * np.cos(a) for slope, a in zip(slopes[1:], others, strict=True)]
    return product + more, slopes, -(W**2) * (len(at) * product + more)


def conditions(asarray: AsArray, points: list[Any], kinds: tuple[str, ...], n: int) -> dict[str, Any]:
    """Return the conditions of these kinds, two for each axis, that :func:`waves` meet, by the names of the sides."""
    sides = {}
    for k, kind in enumerate(kinds):
        axis, end = divmod(k, 2)
        at = _mesh(points[:axis] + points[axis + 1 :])
        at.insert(axis, float(end))
        value, slopes, _ = waves(at, n)
        slope = (2 * end - 1) * slopes[axis]
        sides[SIDES[k]] = {
            "dirichlet": Dirichlet(asarray(value)),
            "neumann": Neumann(asarray(slope)),
            "robin": Robin(2.0, 0.7, asarray(2.0 * value + 0.7 * slope)),
            "periodic": Periodic(),
        }[kind]
    return sides


def _points(edges: Any, cells: bool) -> list[Any]:
    """Return the points of each axis."""
    each = [np.asarray(e, dtype=np.float64) for e in edges]
    return [0.5 * (e[1:] + e[:-1]) if cells else e for e in each]


def _mesh(points: list[Any]) -> list[Any]:
    """Return the points of each axis along it, with an axis for the components last."""
    return [a[..., None] for a in np.meshgrid(*points, indexing="ij", sparse=True)]
