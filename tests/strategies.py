"""Hypothesis strategies: grids, recurrences, differential equations, linear systems; in NumPy."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from deersolve.backends.namespace import Array, array_namespace
from deersolve.grids.base import Data
from deersolve.grids.levels import with_stages
from deersolve.grids.times import Initial, Steps
from deersolve.linalg.structure import BlockDiagonal, Structure
from deersolve.problems import InitialValueProblem, Recurrence
from deersolve.testing.systems import BLOCK, random_G, time_grid

Draw = Callable[..., Any]


@dataclasses.dataclass(frozen=True)
class System:
    """A linear system ``(L + M sum_p G_p S_p) delta = r``, r of shape (*B, T, n) or, with stages, (*B, T, m, n)."""

    Gs: tuple[Structure, ...]
    r: Array
    grid: Any
    boundary: Initial


def generators() -> st.SearchStrategy[np.random.Generator]:
    """Return seeded random generators: Hypothesis shrinks shapes, not thousands of numbers."""
    return st.integers(0, 2**32 - 1).map(np.random.default_rng)


@st.composite
def grids(draw: Draw, min_points: int = 2, max_points: int = 40, max_ratio: float = 10.0) -> Array:
    """Draw non-uniform times of shape (T,) on [0, 1], ascending or descending.

    Parameters
    ----------
    draw : callable
        Given by Hypothesis.
    min_points, max_points : int
        Bounds of T.
    max_ratio : float
        Of the longest interval to the shortest.
    """
    T, rng = draw(st.integers(min_points, max_points)), draw(generators())
    D = max_ratio ** rng.uniform(0, 1, T - 1)
    t = np.concatenate([[0.0], np.cumsum(D)]) / D.sum()
    return t if draw(st.booleans()) else t[::-1].copy()


def batches() -> st.SearchStrategy[tuple[int, ...]]:
    """Return batch shapes, the empty one included."""
    return st.lists(st.integers(1, 3), max_size=2).map(tuple)


def lag_sets(max_lag: int = 6) -> st.SearchStrategy[tuple[int, ...]]:
    """Return distinct lags in any order."""
    return st.lists(st.integers(1, max_lag), min_size=1, max_size=3, unique=True).map(tuple)


@st.composite
def recurrences(draw: Draw, gain: float | None = None, max_points: int = 40, max_n: int = 4) -> Recurrence:
    """Draw ``y_i = sum_p gain / P sin(W_p y_{i-k_p}) + x_i``, with |W_p| = 1 as a matrix.

    Parameters
    ----------
    draw : callable
        Given by Hypothesis.
    gain : float, optional
        Below 1 the recurrence is contractive, above it may be expansive; drawn from 0.3, 0.9, 1.05
        and 1.5 if not given. y is bounded in all cases.
    max_points, max_n : int
        Bounds of T and n.
    """
    n, T = draw(st.integers(1, max_n)), draw(st.integers(1, max_points))
    batch, lags, rng = draw(batches()), draw(lag_sets()), draw(generators())
    strength = draw(st.sampled_from([0.3, 0.9, 1.05, 1.5])) if gain is None else gain
    Ws = [W / np.linalg.norm(W, 2) for W in rng.normal(size=(len(lags), n, n))]

    def f(*args: Any) -> Array:
        *ys, x, _ = args
        xp, total = array_namespace(ys[0]), x
        for y, W in zip(ys, Ws, strict=True):
            total = total + strength / len(Ws) * xp.sin(y @ W)
        return total

    history = (n,) if lags == (1,) else (max(lags), n)
    y0, x = rng.normal(size=(*batch, *history)), rng.normal(size=(*batch, T, n))
    return Recurrence(f, y0, x, lags=lags)


@st.composite
def odes(draw: Draw, max_points: int = 40, min_n: int = 1, max_n: int = 4) -> InitialValueProblem:
    """Draw ``y' = sin(W y) / 2 + cos(t)``, |W| = 1, on a non-uniform grid of length 1.

    An implicit rule has one solution on every such grid: |D df/dy| <= 1/2.

    Parameters
    ----------
    draw : callable
        Given by Hypothesis.
    max_points, min_n, max_n : int
        Bounds of T and n.
    """
    n, batch, rng = draw(st.integers(min_n, max_n)), draw(batches()), draw(generators())
    W = rng.normal(size=(n, n))
    W /= np.linalg.norm(W, 2)

    def f(y: Array, t: Array, params: Any) -> Array:
        xp = array_namespace(y)
        return 0.5 * xp.sin(y @ W) + xp.cos(t)

    return InitialValueProblem(f, draw(grids(max_points=max_points)), rng.normal(size=(*batch, n)))


@st.composite
def linear_systems(draw: Draw, family: str, kind: type, max_points: int = 12, nodes: tuple[float, ...] = ()) -> System:
    """Draw a linear system for the rules of a family, "ddt" or "shift".

    Parameters
    ----------
    draw : callable
        Given by Hypothesis.
    family : str
        "ddt" draws a non-uniform grid, "shift" several lags.
    kind : type
        The structure of G.
    max_points : int
        The bound of T.
    nodes : tuple of float
        The places of the stages that y holds.
    """
    n = draw(st.integers(1, 2)) * BLOCK if kind is BlockDiagonal else draw(st.integers(1, 4))
    batch, rng = draw(batches()), draw(generators())
    if family == "ddt":
        t = draw(grids(max_points=max_points))
        grid: Any = time_grid(t)
        T, count, K = t.shape[0], 1, 1
    else:
        T, lags = draw(st.integers(1, max_points)), draw(lag_sets())
        grid, count, K = Steps(T, lags), len(lags), max(lags)
    data = with_stages(Data(None, grid, Initial(rng.normal(size=(K, n))), np.zeros((*batch, T, n))), nodes)
    shape = data.guess.shape
    Gs = tuple(random_G(kind, shape, rng) for _ in range(count))
    return System(Gs, rng.normal(size=shape), data.grid, data.boundary)
