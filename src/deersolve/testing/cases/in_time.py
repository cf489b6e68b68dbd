"""Recurrences and differential equations with known answers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ...backends.namespace import Array, array_namespace
from ...problems import InitialValueProblem, Recurrence
from .base import AsArray, Case


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


def swinging(asarray: AsArray, t: Any) -> Case:
    """Return u' = 3 cos(3 t) u and v' = -v^2 (1 + cos(3 t)), t_0 = 0, seen in rotated coordinates.

    u = exp(sin(3 t)) and v = 1 / (1 + t + sin(3 t) / 3): for rules of high order, to which Bernoulli's is no task.
    """
    t = np.asarray(t, dtype=np.float64)
    c, s = 0.8, 0.6

    def f(y: Array, t: Array, params: Any) -> Array:
        xp = array_namespace(y)
        u, v = c * y[..., 0] + s * y[..., 1], c * y[..., 1] - s * y[..., 0]
        wave = xp.cos(3.0 * t[..., 0])
        du, dv = 3.0 * wave * u, -v * v * (1.0 + wave)
        return xp.stack([c * du - s * dv, s * du + c * dv], axis=-1)

    u, v = np.exp(np.sin(3.0 * t)), 1 / (1 + t + np.sin(3.0 * t) / 3.0)
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


def gru(asarray: AsArray, T: int, n: int = 4) -> Case:
    """Return a GRU with weights of PyTorch's initial law on white noise; known from a loop in NumPy."""
    rng = np.random.default_rng(0)
    W, U = (rng.uniform(-1, 1, (3, n, n)) / math.sqrt(n) for _ in range(2))
    b, c = (rng.uniform(-1, 1, (3, n)) / math.sqrt(n) for _ in range(2))
    x = rng.standard_normal((T, n))

    def sigmoid(v: Array) -> Array:
        return 1.0 / (1.0 + array_namespace(v).exp(-v))

    def cell(h: Array, x: Array, weights: Any) -> Array:
        (Wr, Wz, Wn), (Ur, Uz, Un), (br, bz, bn), (cr, cz, cn) = weights
        r = sigmoid(x @ Wr + br + h @ Ur + cr)
        z = sigmoid(x @ Wz + bz + h @ Uz + cz)
        new = array_namespace(h).tanh(x @ Wn + bn + r * (h @ Un + cn))
        return (1.0 - z) * new + z * h

    inputs = x @ np.concatenate(W, axis=1) + b.reshape(-1)
    fused, c_fused, h = np.concatenate(U, axis=1), c.reshape(-1), np.zeros(n)
    states = np.empty((T, n))
    for i in range(T):
        g = h @ fused + c_fused
        r, z = np.split(sigmoid(inputs[i, : 2 * n] + g[: 2 * n]), 2)
        h = states[i] = (1.0 - z) * np.tanh(inputs[i, 2 * n :] + r * g[2 * n :]) + z * h
    weights = [[asarray(part) for part in group] for group in (W, U, b, c)]
    return Case(Recurrence(cell, asarray(np.zeros(n)), asarray(x), weights), states, 1e-12)


def forced_lags(asarray: AsArray, T: int) -> Case:
    """Return y_i = tanh(y_{i-1}) / 2 - 3/10 y_{i-2} + white noise; known from a loop."""
    x, start = np.random.default_rng(0).standard_normal((T, 1)), [0.5, -0.5]

    def f(y_1: Array, y_2: Array, x: Array, params: Any) -> Array:
        return 0.5 * array_namespace(y_1).tanh(y_1) - 0.3 * y_2 + x

    y = list(start)
    for value in x[:, 0].tolist():
        y.append(0.5 * math.tanh(y[-1]) - 0.3 * y[-2] + value)
    problem = Recurrence(f, asarray(np.array(start)[:, None]), asarray(x), lags=(1, 2))
    return Case(problem, np.array(y[2:])[:, None], 1e-12)


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
