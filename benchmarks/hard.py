"""Problems on which Newton's method from a constant guess fails: stiff, chaotic, with close encounters.

As in :mod:`deersolve.testing.cases`, every function takes ``asarray``. The initial value problems of the test set
for IVP solvers (Mazzia, Magherini, Release 2.4) are known at their last time only, from tight runs of an independent
solver of high order.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from deersolve.backends.namespace import Array, array_namespace
from deersolve.problems import InitialValueProblem, Recurrence
from deersolve.testing.cases import AsArray, Case


def logarithmic(first: float, last: float, N: int) -> Any:
    """Return 0 and N times from ``first`` to ``last``, each the same multiple of the one before it."""
    return np.concatenate([[0.0], np.geomspace(first, last, N)])


def fitting(case: Case, last: float, N: int, rtol: float = 1e-6) -> Any:
    """Return about N times, dense where an implicit method of SciPy takes small steps."""
    from scipy.integrate import solve_ivp

    problem = case.problem

    def fun(t: float, y: Any) -> Any:
        return np.asarray(problem.f(y[None, :], np.full((1, 1), t), problem.params))[0]

    steps = solve_ivp(fun, (0.0, last), np.asarray(problem.boundary.y0), method="Radau", rtol=rtol, atol=1e-3 * rtol).t
    return np.interp(np.linspace(0.0, steps.shape[0] - 1.0, N + 1), np.arange(steps.shape[0]), steps)


def _from(f: Any, asarray: AsArray, t: Any, y0: Any, final: Any, accuracy: float) -> Case:
    return Case(InitialValueProblem(f, asarray(np.asarray(t)), asarray(np.asarray(y0))), final, accuracy, True)


def van_der_pol(asarray: AsArray, t: Any, mu: float = 100.0) -> Case:
    """Return u' = v, v' = mu (1 - u^2) v - u from (2, 0); known at t = 163 for mu = 100, to 1e-12."""

    def f(y: Array, t: Array, params: Any) -> Array:
        u, v = y[..., 0], y[..., 1]
        return array_namespace(y).stack([v, mu * (1.0 - u * u) * v - u], axis=-1)

    return _from(f, asarray, t, [2.0, 0.0], np.array([1.9989355768358275, -0.006672462034821017]), 2e-12)


def robertson(asarray: AsArray, t: Any) -> Case:
    """Return Robertson's kinetics, rates 0.04, 10^4 and 3 10^7, from (1, 0, 0)."""

    def f(y: Array, t: Array, params: Any) -> Array:
        a, b, c = y[..., 0], y[..., 1], y[..., 2]
        slow, mixed, fast = 0.04 * a, 1e4 * b * c, 3e7 * b * b
        return array_namespace(y).stack([mixed - slow, slow - mixed - fast, fast], axis=-1)

    return _from(f, asarray, t, [1.0, 0.0, 0.0], None, np.inf)


def hires(asarray: AsArray, t: Any) -> Case:
    """Return the photomorphogenesis of plants, 8 equations; known at t = 321.8122 to 4e-13."""

    def f(y: Array, t: Array, params: Any) -> Array:
        a, b, c, d, e, g, h, k = (y[..., i] for i in range(8))
        fast = 280.0 * g * k
        rows = [
            -1.71 * a + 0.43 * b + 8.32 * c + 0.0007,
            1.71 * a - 8.75 * b,
            -10.03 * c + 0.43 * d + 0.035 * e,
            8.32 * b + 1.71 * c - 1.12 * d,
            -1.745 * e + 0.43 * g + 0.43 * h,
            -fast + 0.69 * d + 1.71 * e - 0.43 * g + 0.69 * h,
            fast - 1.81 * h,
            -fast + 1.81 * h,
        ]
        return array_namespace(y).stack(rows, axis=-1)

    y0 = [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0057]
    final = np.array(
        [
            [0.0007371312573325465, 0.00014424857263161447, 5.8887297409671964e-05, 0.0011756513432831111],
            [0.0023863561988307198, 0.006238968252740881, 0.0028499983951853383, 0.002850001604814658],
        ]
    )
    return _from(f, asarray, t, y0, final.reshape(8), 4e-13)


def pleiades(asarray: AsArray, t: Any) -> Case:
    """Return seven stars in a plane, 28 equations, with close encounters; known at t = 3 to 6e-11."""
    mass = asarray(np.arange(1.0, 8.0))

    def f(y: Array, t: Array, params: Any) -> Array:
        xp = array_namespace(y)
        a, b = y[..., :7], y[..., 7:14]
        da, db = a[..., None, :] - a[..., :, None], b[..., None, :] - b[..., :, None]
        distance = da * da + db * db
        pull = xp.where(distance > 0, mass, 0.0) / xp.where(distance > 0, distance, 1.0) ** 1.5
        rows = [y[..., 14:], xp.sum(pull * da, axis=-1), xp.sum(pull * db, axis=-1)]
        return xp.concat(rows, axis=-1)

    place = [3, 3, -1, -3, 2, -2, 2, 3, -3, 2, 0, 0, -4, 4]
    speed = [0, 0, 0, 0, 0, 1.75, -1.5, 0, 0, 0, -1.25, 1, 0, 0]
    final = np.array(
        [
            [0.3706139143970234, 3.237284092057234, -3.2225590324183258, 0.6597091455775346],
            [0.3425581707156598, 1.5621721014006313, -0.7003092922212485, -3.943437585517394],
            [-3.271380973972549, 5.225081843456526, -2.59061243497747, 1.1982136933922798],
            [-0.2429682344935824, 1.0914492404289842, 3.41700380631426, 1.3545845016255018],
            [-2.590065597810772, 2.0250537347142523, -1.155815100160447, -0.8072988170223002],
            [0.5952396354208686, -3.7412449612340337, 0.37734596857506414, 0.9386858869550911],
            [0.366792222720061, -0.3474046353808423, 2.3449154481809362, -1.9470204342632882],
        ]
    )
    return _from(f, asarray, t, np.array([*place, *speed], dtype=np.float64), final.reshape(28), 1e-10)


def neural_ode(asarray: AsArray, seed: int, N: int = 1_000, last: float = 10.0, n: int = 4, width: int = 32) -> Case:
    """Return y' = V tanh(W y + b), with random weights."""
    rng = np.random.default_rng(seed)
    W = asarray(rng.normal(size=(n, width)) * np.sqrt(2.0 / n))
    b = asarray(rng.normal(size=width) * 0.5)
    V = asarray(rng.normal(size=(width, n)) * np.sqrt(2.0 / width))

    def f(y: Array, t: Array, params: Any) -> Array:
        return array_namespace(y).tanh(y @ W + b) @ V

    return _from(f, asarray, np.linspace(0.0, last, N + 1), rng.normal(size=n), None, np.inf)


def gated(asarray: AsArray, seed: int, T: int, scale: float = 1.0, n: int = 4, cell: str = "gru") -> Case:
    """Return a GRU or an LSTM with the weights of PyTorch's initial law times ``scale``, on white noise.

    The state of the LSTM is (h, c), of 2 n components.
    """
    rng = np.random.default_rng(seed)
    gates = 3 if cell == "gru" else 4
    bound = scale / np.sqrt(n)
    W, U = (asarray(rng.uniform(-bound, bound, (n, gates * n))) for _ in range(2))
    b, c = (asarray(rng.uniform(-bound, bound, gates * n)) for _ in range(2))
    x = asarray(rng.normal(size=(T, n)))

    def sigmoid(a: Array) -> Array:
        return 0.5 * (1.0 + array_namespace(a).tanh(0.5 * a))

    def gru(h: Array, x: Array, params: Any) -> Array:
        xp = array_namespace(h)
        u, v = x @ W + b, h @ U + c
        reset = sigmoid(u[..., :n] + v[..., :n])
        update = sigmoid(u[..., n : 2 * n] + v[..., n : 2 * n])
        new = xp.tanh(u[..., 2 * n :] + reset * v[..., 2 * n :])
        return (1.0 - update) * new + update * h

    def lstm(y: Array, x: Array, params: Any) -> Array:
        xp = array_namespace(y)
        a = x @ W + b + y[..., :n] @ U + c
        keep, write, show = (sigmoid(a[..., i * n : (i + 1) * n]) for i in range(3))
        memory = keep * y[..., n:] + write * xp.tanh(a[..., 3 * n :])
        return xp.concat([show * xp.tanh(memory), memory], axis=-1)

    f, size = (gru, n) if cell == "gru" else (lstm, 2 * n)
    return Case(Recurrence(f, asarray(np.zeros(size)), x), None, np.inf)
