"""First-order systems with conditions at both ends and exact answers."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backends.namespace import Array
from ...grids.conditions import Coupled, Periodic
from ...problems import TwoPointProblem
from .base import AsArray, Case

ENDS = ("separated", "coupled", "function", "periodic")


def manufactured(asarray: AsArray, s: Any, ends: str, n: int = 3) -> Case:
    """Return u' = A u - u^3 / 10 + r(s) with r chosen for u_k = sin(2 pi s + k), growing in both directions.

    Parameters
    ----------
    asarray : callable
        What makes an array of the library.
    s : array
        The points, from 0 to 1.
    ends : {"separated", "coupled", "function", "periodic"}
        The conditions.
    n : int
        The number of components.
    """
    s, k = np.asarray(s, dtype=np.float64)[:, None], np.arange(n)
    rng = np.random.default_rng(0)
    A = np.diag(3.0 * (-1.0) ** k) + 0.5 * rng.normal(size=(n, n))
    u = np.sin(2.0 * np.pi * s + k)
    r = 2.0 * np.pi * np.cos(2.0 * np.pi * s + k) - u @ A.T + u**3 / 10

    def f(u: Array, x: Any, params: Any) -> Array:
        return u @ params - u * u * u / 10 + x["r"]

    made = conditions(asarray, ends, u[0], u[-1])
    problem = TwoPointProblem(f, asarray(s[:, 0]), made, {"r": asarray(r)}, asarray(A.T))
    return Case(problem, u, guess=asarray(0.0 * u))


def conditions(asarray: AsArray, kind: str, a: Any, b: Any) -> Any:
    """Return conditions that u(a) = a and u(b) = b meet, those of growing components at the right."""
    n = len(a)
    if kind == "periodic":
        return Periodic()
    grows = np.diag((np.arange(n) % 2 == 0).astype(float))
    first, last = np.eye(n) - grows, grows
    if kind == "coupled":
        first, last = first + 0.3 * last, last - 0.2 * first + 0.1 * np.eye(n)
    value = first @ a + last @ b
    if kind != "function":
        return Coupled(asarray(first), asarray(last), asarray(value))
    first, last, value = (asarray(m) for m in (first.T, last.T, (value + (a**3 + a * b) / 10)[None, :]))

    def function(u_a: Array, u_b: Array, params: Any) -> Array:
        return u_a @ first + u_b @ last + (u_a**3 + u_a * u_b) / 10 - value

    return function
