"""Second-order problems on a line with exact answers.

Each function takes ``asarray``, which turns a NumPy array into one of the library under test, and
returns a :class:`deersolve.testing.problems.Case`; f is written with :func:`deersolve.array_namespace`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..backends.namespace import Array, array_namespace
from ..grids.conditions import Dirichlet, Neumann, Periodic, Robin
from ..problems import BoundaryValueProblem, Elliptic1D, Evolution1D
from .problems import Case

SIDES = ("dirichlet", "neumann", "robin", "periodic")


def steady_burgers(asarray: Callable[..., Any], s: Any, D: float = 0.5, cells: bool = False) -> Case:
    """Return D u'' = u u' with u = -tanh((s - 1/2) / (2 D)): its slope at the left, its value at the right."""
    s = np.asarray(s, dtype=np.float64)
    points = 0.5 * (s[1:] + s[:-1]) if cells else s

    def exact(s: Any) -> Any:
        return -np.tanh((s - 0.5) / (2.0 * D))

    outward = (1.0 - exact(s[0]) ** 2) / (2.0 * D)
    left, right = Neumann(float(outward)), Dirichlet(float(exact(s[-1])))
    problem = Elliptic1D(lambda u, u_s, x, params: u * u_s, asarray(s), D, left=left, right=right, cells=cells)
    return Case(problem, exact(points)[:, None], 1e-14)


def swinging(asarray: Callable[..., Any], t: Any) -> Case:
    """Return u_t - u_ss = -u^2 + r(t, s) with u = (s^2 + 1) cos t, which differences in space follow exactly."""
    t, s = np.asarray(t, dtype=np.float64)[:, None, None], np.linspace(0.0, 1.0, 5)[:, None]
    u = (s * s + 1.0) * np.cos(t)

    def f(u: Array, u_s: Array, x: Any, params: Any) -> Array:
        xp = array_namespace(u)
        cos, sin, form = xp.cos(x["t"]), xp.sin(x["t"]), x["s"] * x["s"] + 1.0
        return form * form * cos * cos - u * u - form * sin - 2.0 * cos

    grid, right = (asarray(t[:, 0, 0]), asarray(s[:, 0])), Dirichlet(asarray(u[:, -1, :]))
    return Case(Evolution1D(f, *grid, asarray(u[0]), left=Neumann(), right=right), u, 1e-14)


def bratu(asarray: Callable[..., Any], s: Any, upper: bool = False) -> Case:
    """Return u'' + e^u = 0, u(0) = u(1) = 0: u = 2 ln(cosh(theta / 4) / cosh((s - 1/2) theta / 2)).

    theta = sqrt(2) cosh(theta / 4) has two solutions; the upper one is found from a guess such as ``4 sin(pi s)``.
    """
    s = np.asarray(s, dtype=np.float64)
    theta = 10.9387027721221068 if upper else 1.5171645990507543685
    exact = 2.0 * np.log(np.cosh(theta / 4) / np.cosh((s - 0.5) * theta / 2))

    def f(u: Array, u_s: Array, x: Any, params: Any) -> Array:
        return -array_namespace(u).exp(u)

    problem = BoundaryValueProblem(f, asarray(s), left=Dirichlet(), right=Dirichlet())
    return Case(problem, exact[:, None], 1e-14)


def manufactured(
    asarray: Callable[..., Any], edges: Any, left: str, right: str, n: int = 3, cells: bool = False
) -> Case:
    """Return a u'' + b u' + c u = g(u, u') + r(s) with r chosen for u_k = sin(2 pi s + k), coupled for n > 1.

    Parameters
    ----------
    asarray : callable
        What makes an array of the library.
    edges : array
        From 0 to 1.
    left, right : {"dirichlet", "neumann", "robin", "periodic"}
        The conditions.
    n : int
        The number of components.
    cells : bool
        Whether the edges are those of cells.
    """
    edges = np.asarray(edges, dtype=np.float64)
    s = (0.5 * (edges[1:] + edges[:-1]) if cells else edges)[:, None]
    a, b, c, two_pi, k = 1.3, 0.4, -2.0, 2.0 * np.pi, np.arange(n)

    def u_of(s: Any) -> Any:
        return np.sin(two_pi * s + k)

    def u_s_of(s: Any) -> Any:
        return two_pi * np.cos(two_pi * s + k)

    def g(u: Array, u_s: Array) -> Array:
        return u * array_namespace(u).roll(u, 1, axis=-1) - 0.05 * u_s * u_s

    u, u_s = u_of(s), u_s_of(s)
    r = -a * two_pi**2 * u + b * u_s + c * u - g(u, u_s)

    def side(kind: str, at: float, sign: float) -> Any:
        value, slope = u_of(at), sign * u_s_of(at)
        return {
            "dirichlet": Dirichlet(asarray(value)),
            "neumann": Neumann(asarray(slope)),
            "robin": Robin(2.0, 0.7, asarray(2.0 * value + 0.7 * slope)),
            "periodic": Periodic(),
        }[kind]

    ends = {"left": side(left, 0.0, -1.0), "right": side(right, 1.0, 1.0)}
    L = {"a": asarray(np.full(n, a)), "b": b, "c": c, "cells": cells, "x": {"r": asarray(r)}}
    f = lambda u, u_s, x, params: g(u, u_s) + x["r"]  # noqa: E731
    return Case(BoundaryValueProblem(f, asarray(edges), **ends, **L), u, 1e-14)
