"""Equations in a rectangle with known answers.

Each function takes ``asarray``, which turns a NumPy array into one of the library under test, and
returns a :class:`deersolve.testing.problems.Case`; f is written with :func:`deersolve.array_namespace`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..backends.namespace import Array, array_namespace
from ..grids.conditions import Dirichlet, Neumann, Periodic, Robin
from ..problems import Elliptic2D, Evolution2D
from .problems import Case

ZERO: dict[str, Any] = {side: Dirichlet() for side in ("left", "right", "bottom", "top")}


def bratu(asarray: Callable[..., Any], N: int, lam: float = 6.0) -> Case:
    """Return u_ss + u_rr + lam e^u = 0 on the unit square, u = 0 around it, N x N points inside.

    ``exact`` is u in the point (N + 1) / 2 of both axes, rounded down, at lam = 6: values of the discrete equation by
    Newton's method with a sparse LU.
    """
    s = asarray(np.linspace(0.0, 1.0, N + 2))

    def f(u: Array, u_s: Array, u_r: Array, x: Any, lam: Any) -> Array:
        return -lam * array_namespace(u).exp(u)

    known = {64: 0.7966763500026962, 128: 0.7969991749879985}
    return Case(Elliptic2D(f, (s, s), params=asarray(np.float64(lam)), **ZERO), known.get(N, np.nan), 1e-13)


def swinging(asarray: Callable[..., Any], t: Any) -> Case:
    """Return u_t - u_ss - u_rr = -u^2 + force, u = (s^2 + r^2 + 1) cos t, which differences in space follow exactly."""
    t = np.asarray(t, dtype=np.float64)[:, None, None, None]
    s, r = np.linspace(0.0, 1.0, 5)[:, None, None], np.linspace(0.0, 1.0, 4)[:, None]
    u = (s * s + r * r + 1.0) * np.cos(t)

    def f(u: Array, u_s: Array, u_r: Array, x: Any, params: Any) -> Array:
        xp = array_namespace(u)
        cos, sin, form = xp.cos(x["t"]), xp.sin(x["t"]), x["s"] * x["s"] + x["r"] * x["r"] + 1.0
        return form * form * cos * cos - u * u - form * sin - 4.0 * cos

    sides: dict[str, Any] = {
        "left": Neumann(),
        "right": Dirichlet(asarray(u[:, -1])),
        "bottom": Neumann(),
        "top": Dirichlet(asarray(u[:, :, -1])),
    }
    points = asarray(s[:, 0, 0]), asarray(r[:, 0])
    return Case(Evolution2D(f, asarray(t[:, 0, 0, 0]), points, asarray(u[0]), **sides), u, 1e-14)


def manufactured(
    asarray: Callable[..., Any],
    edges: tuple[Any, Any],
    kinds: tuple[str, str, str, str],
    n: int = 1,
    cells: bool = False,
) -> Case:
    """Return D Laplacian(u) = g(u, u_s, u_r) + rest with u_k = sin(2 pi s + k) cos(2 pi r) + 0.3 sin(2 pi r).

    Parameters
    ----------
    asarray : callable
        What makes an array of the library.
    edges : tuple of two arrays
        From 0 to 1.
    kinds : tuple of four of {"dirichlet", "neumann", "robin", "periodic"}
        The conditions at the left, right, bottom and top.
    n : int
        The number of components, coupled for n > 1.
    cells : bool
        Whether the edges are those of cells.
    """
    both = [np.asarray(e, dtype=np.float64) for e in edges]
    s, r = (0.5 * (e[1:] + e[:-1]) if cells else e for e in both)
    k, w = np.arange(n), 2.0 * np.pi

    def u_of(s: Any, r: Any) -> Any:
        return np.sin(w * s + k) * np.cos(w * r) + 0.3 * np.sin(w * r)

    def u_s_of(s: Any, r: Any) -> Any:
        return w * np.cos(w * s + k) * np.cos(w * r)

    def u_r_of(s: Any, r: Any) -> Any:
        return -w * np.sin(w * s + k) * np.sin(w * r) + 0.3 * w * np.cos(w * r)

    def g(u: Array, u_s: Array, u_r: Array) -> Array:
        xp = array_namespace(u)
        return 3.0 * u + 0.5 * u * xp.roll(u, 1, axis=-1) + 0.2 * u * u_s - 0.1 * u_r

    S, R = s[:, None, None], r[None, :, None]
    D = 1.2 + 0.5 * np.sin(w * S) * np.cos(w * R) + 0.0 * k
    u = u_of(S, R)
    laplacian = -(w**2) * (2.0 * np.sin(w * S + k) * np.cos(w * R) + 0.3 * np.sin(w * R))
    rest = D * laplacian - g(u, u_s_of(S, R), u_r_of(S, R))

    def side(kind: str, at: tuple[Any, Any], slope: Any) -> Any:
        value = u_of(*at)
        return {
            "dirichlet": Dirichlet(asarray(value)),
            "neumann": Neumann(asarray(slope)),
            "robin": Robin(2.0, 0.7, asarray(2.0 * value + 0.7 * slope)),
            "periodic": Periodic(),
        }[kind]

    along = {"s": s[:, None], "r": r[:, None]}
    sides: dict[str, Any] = {
        "left": side(kinds[0], (0.0, along["r"]), -u_s_of(0.0, along["r"])),
        "right": side(kinds[1], (1.0, along["r"]), u_s_of(1.0, along["r"])),
        "bottom": side(kinds[2], (along["s"], 0.0), -u_r_of(along["s"], 0.0)),
        "top": side(kinds[3], (along["s"], 1.0), u_r_of(along["s"], 1.0)),
    }
    f = lambda u, u_s, u_r, x, params: g(u, u_s, u_r) + x["rest"]  # noqa: E731
    problem = Elliptic2D(
        f, (asarray(both[0]), asarray(both[1])), asarray(D), x={"rest": asarray(rest)}, cells=cells, **sides
    )
    return Case(problem, u, 1e-13)
