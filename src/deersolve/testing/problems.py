"""Problems with known answers, for any array library.

Every function takes ``asarray``, which turns a NumPy array of float64 into one of the library, and
returns a :class:`Case`; f is written with :func:`deersolve.array_namespace`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from ..backends.namespace import Array, array_namespace
from ..problems import InitialValueProblem, Problem, Recurrence

AsArray = Callable[[Any], Array]


@dataclasses.dataclass(frozen=True)
class Case:
    """A problem and its answer.

    Attributes
    ----------
    problem : Problem
        Its arrays are of the library of ``asarray``.
    exact : numpy.ndarray, shape (T, n) or (n,)
        The solution at all points, or at the last one only (``is_final``).
    accuracy : float
        How well ``exact`` is known, relative to the largest entry.
    is_final : bool
        Whether only the last point is known.
    """

    problem: Problem
    exact: Any
    accuracy: float = 1e-14
    is_final: bool = False


def _of_time(f: Callable[..., Array], asarray: AsArray, t: Any, exact: Any, accuracy: float = 1e-14) -> Case:
    exact = np.asarray(exact)
    return Case(InitialValueProblem(f, asarray(t), asarray(exact[0])), exact, accuracy)


def logistic(asarray: AsArray, t: Any) -> Case:
    """Return y' = y (1 - y), y(t_0) = 1/10: y = 1 / (1 + 9 exp(t_0 - t))."""
    t = np.asarray(t, dtype=np.float64)
    exact = 1 / (1 + 9 * np.exp(t[:1] - t))
    return _of_time(lambda y, t, params: y * (1.0 - y), asarray, t, exact[:, None])


def blow_up(asarray: AsArray, t: Any) -> Case:
    """Return y' = y^2, y(0) = 1, for t < 1: y = 1 / (1 - t)."""
    t = np.asarray(t, dtype=np.float64)
    return _of_time(lambda y, t, params: y * y, asarray, t, 1 / (1 - t)[:, None])


def linear(asarray: AsArray, t: Any, A: Any, y0: Any) -> Case:
    """Return y' = A y: y = expm(A (t - t_0)) y0."""
    from scipy.linalg import expm

    t, A = np.asarray(t, dtype=np.float64), np.asarray(A, dtype=np.float64)
    transposed = asarray(A.T)
    exact = np.stack([expm(A * (s - t[0])) @ np.asarray(y0) for s in t])
    return _of_time(lambda y, t, params: y @ transposed, asarray, t, exact, 1e-13)


def bernoulli(asarray: AsArray, t: Any) -> Case:
    """Return two equations u' = -a u^2 (1 + cos t), a = 1 and 1/2, seen in rotated coordinates.

    Non-linear, non-autonomous and coupled; u = 1 / (1 + a (t + sin t - t_0 - sin t_0)).
    """
    t = np.asarray(t, dtype=np.float64)
    c, s = 0.8, 0.6

    def f(y: Array, t: Array, params: Any) -> Array:
        xp = array_namespace(y)
        u, v = c * y[..., 0] + s * y[..., 1], c * y[..., 1] - s * y[..., 0]
        rate = 1.0 + xp.cos(t[..., 0])
        du, dv = -u * u * rate, -0.5 * v * v * rate
        return xp.stack([c * du - s * dv, s * du + c * dv], axis=-1)

    phase = t + np.sin(t) - t[0] - np.sin(t[0])
    u, v = 1 / (1 + phase), 1 / (1 + 0.5 * phase)
    return _of_time(f, asarray, t, np.stack([c * u - s * v, s * u + c * v], axis=-1))


def prothero_robinson(asarray: AsArray, t: Any, rate: float = -1e6) -> Case:
    """Return y' = rate (y - cos t) - sin t with y = cos t; stiff where -rate is large."""
    t = np.asarray(t, dtype=np.float64)

    def f(y: Array, t: Array, params: Any) -> Array:
        xp = array_namespace(y)
        return rate * (y - xp.cos(t)) - xp.sin(t)

    return _of_time(f, asarray, t, np.cos(t)[:, None])


def _at_the_end(f: Callable[..., Array], asarray: AsArray, N: int, T: float, y0: Any, final: Any) -> Case:
    t = np.linspace(0.0, T, N + 1)
    problem = InitialValueProblem(f, asarray(t), asarray(np.asarray(y0)))
    return Case(problem, np.asarray(final), 2e-15, True)


def pendulum(asarray: AsArray, N: int) -> Case:
    """Return the pendulum from rest at 2 rad on [0, 20]; known at t = 20 to 7.4e-16."""

    def f(y: Array, t: Array, params: Any) -> Array:
        xp = array_namespace(y)
        return xp.stack([y[..., 1], -xp.sin(y[..., 0])], axis=-1)

    final = [-1.6445675165127094, -0.8275778409430459]
    return _at_the_end(f, asarray, N, 20.0, [2.0, 0.0], final)


def lotka_volterra(asarray: AsArray, N: int) -> Case:
    """Return x' = 1.5 x - x y, y' = -3 y + x y from (1, 1) on [0, 10]; known at 10 to 1.2e-15."""

    def f(y: Array, t: Array, params: Any) -> Array:
        a, b = y[..., 0], y[..., 1]
        return array_namespace(y).stack([1.5 * a - a * b, -3.0 * b + a * b], axis=-1)

    final = [1.0263447675750899, 0.9096910781360402]
    return _at_the_end(f, asarray, N, 10.0, [1.0, 1.0], final)


def lorenz(asarray: AsArray, N: int) -> Case:
    """Return Lorenz (10, 28, 8/3) from (1, 1, 1) on [0, 2]; known at t = 2 to roundoff."""

    def f(y: Array, t: Array, params: Any) -> Array:
        a, b, c = y[..., 0], y[..., 1], y[..., 2]
        rows = [10.0 * (b - a), a * (28.0 - c) - b, a * b - 8.0 / 3.0 * c]
        return array_namespace(y).stack(rows, axis=-1)

    final = [-8.17349993224225, -9.562023686798799, 24.620702049679664]
    return _at_the_end(f, asarray, N, 2.0, [1.0, 1.0, 1.0], final)


def logistic_map(asarray: AsArray, T: int, angle: float = 0.3) -> Case:
    """Return y_i = 4 y (1 - y) from sin^2 angle: y_i = sin^2(2^{i+1} angle).

    Chaotic: roundoff grows to 2^T eps.
    """
    exact = np.sin(2.0 ** np.arange(1, T + 1) * angle) ** 2
    y0 = asarray(np.array([np.sin(angle) ** 2]))
    problem = Recurrence(lambda y, x, params: 4.0 * y * (1.0 - y), y0, n_points=T)
    return Case(problem, exact[:, None], 4 * 2.0 ** min(T, 1000) * float(np.finfo(np.float64).eps))


def harmonic(asarray: AsArray, T: int) -> Case:
    """Return y_i = y / (1 + y) from 1 and 1/2: y_i = 1 / (i + 1 + 1 / y_{-1})."""
    first = np.array([1.0, 0.5])
    problem = Recurrence(lambda y, x, params: y / (1.0 + y), asarray(first), n_points=T)
    return Case(problem, 1 / (np.arange(1, T + 1)[:, None] + 1 / first))


def two_lags(asarray: AsArray, T: int) -> Case:
    """Return y_i = y_{i-1} / 2 + 3/10 y_{i-3}: powers of the roots of z^3 = z^2 / 2 + 3/10."""
    roots = np.roots([1.0, -0.5, 0.0, -0.3])
    history = np.array([1.0, -0.5, 0.25])
    weights = np.linalg.solve(roots ** np.arange(3)[:, None], history.astype(complex))
    exact = (roots ** np.arange(3, T + 3)[:, None] @ weights).real[:, None]

    def f(a: Array, b: Array, x: Any, params: Any) -> Array:
        return 0.5 * a + 0.3 * b

    problem = Recurrence(f, asarray(history[:, None]), lags=(1, 3), n_points=T)
    return Case(problem, exact, 1e-13)
