"""Equations and independent references of the tests, in NumPy and float64."""

from __future__ import annotations

import contextlib

import numpy as np

import deersolve as ds

PENDULUM_20 = [-1.6445675165127094, -0.8275778409430459]  # y(20) from y(0) = (2, 0), to 7e-16


def pendulum(y, t, params):
    xp = ds.array_namespace(y)
    return xp.stack([y[..., 1], -xp.sin(y[..., 0])], axis=-1)


def lotka_volterra(y, t, params):
    xp = ds.array_namespace(y)
    a, b = y[..., 0], y[..., 1]
    return xp.stack([1.5 * a - a * b, -3.0 * b + a * b], axis=-1)


def lorenz(y, t, params):
    xp = ds.array_namespace(y)
    a, b, c = y[..., 0], y[..., 1], y[..., 2]
    return xp.stack([10.0 * (b - a), a * (28.0 - c) - b, a * b - 8.0 / 3.0 * c], axis=-1)


def sigmoid(v):
    xp = ds.array_namespace(v)
    return 1.0 / (1.0 + xp.exp(-v))


def gru(h, x, weights):
    """Return the next state; ``weights`` are W, U, b, c of torch.nn.GRU for r, z, n."""
    xp = ds.array_namespace(h)
    W, U = weights[:2]
    b, c = (xp.reshape(v, (3, *(1 for _ in range(h.ndim - 1)), h.shape[-1])) for v in weights[2:])
    r = sigmoid(x @ W[0, ...] + h @ U[0, ...] + b[0, ...] + c[0, ...])
    z = sigmoid(x @ W[1, ...] + h @ U[1, ...] + b[1, ...] + c[1, ...])
    n = xp.tanh(x @ W[2, ...] + b[2, ...] + r * (h @ U[2, ...] + c[2, ...]))
    return (1.0 - z) * n + z * h


def gru_weights(n, seed=0, scale=1.0):
    """Return weights uniform in (-1, 1) / sqrt(n), the initialisation of torch.nn.GRU."""
    rng = np.random.default_rng(seed)
    draw = lambda *shape: scale * rng.uniform(-1, 1, shape) / np.sqrt(n)  # noqa: E731
    return draw(3, n, n), draw(3, n, n), draw(3, n), draw(3, n)


def loop(f, y0, x, params, lags=(1,), n_points=None):
    """Run a recurrence by the plainest loop; y0 is (*B, K, n)."""
    T = x.shape[-2] if n_points is None else n_points
    ys = [y0[..., k : k + 1, :] for k in range(y0.shape[-2])]
    for i in range(T):
        xi = None if x is None else x[..., i : i + 1, :]
        ys.append(f(*(ys[-k] for k in lags), xi, params))
    return np.concatenate(ys[y0.shape[-2] :], axis=-2)


def on(lib, arrays, dtype="float64"):
    """Move weights to a library."""
    return tuple(lib.asarray(a, dtype) for a in arrays)


@contextlib.contextmanager
def put_back(registry):
    """Forget at the end what was registered in between, but what is built in: its file is imported once."""
    for key in registry._homes:
        with contextlib.suppress(ImportError, KeyError, ds.InputError):  # a library that is not installed
            registry[key]
    before = dict(registry._known), dict(registry._places)
    try:
        yield
    finally:
        for old, now in zip(before, (registry._known, registry._places), strict=True):
            ours = {key: now[key] for key in now if not registry.is_own(key)}
            kept = {**ours, **old}
            now.clear()
            now.update(kept)
