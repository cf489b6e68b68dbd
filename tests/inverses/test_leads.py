"""Recurrences that look ahead: against scipy.optimize.root, their gradients on every library, what is refused."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from scipy.optimize import root

import deersolve as ds

T, N = 6, 2


def f(back, now, ahead, x, params):
    return ds.array_namespace(now).sin(back + params[0] * ahead) / 3 + now / 4 + params[1] * x


def data():
    """Return params, x, two values before the first point and one behind the last."""
    rng = np.random.default_rng(0)
    return rng.normal(size=2), rng.normal(size=(3, T, 1)), rng.normal(size=(2, N)), rng.normal(size=(3, N))


def problem(params, x, y0, y_end):
    return ds.Recurrence(f, y0, x, params, lags=(2, 0, -1), y_end=y_end)


def reference(params, x, y0, y_end):
    """Return y by SciPy, one batch element at a time."""

    def off(flat, k):
        y = flat.reshape(T, N)
        whole = np.concatenate([y0, y, y_end[k, None]])
        return (y - f(whole[:T], y, whole[3:], x[k], params)).ravel()

    return np.stack([root(off, np.zeros(T * N), args=(k,), tol=1e-14).x.reshape(T, N) for k in range(3)])


def test_y_is_the_root_and_gradients_are_differences(lib):
    given, c = data(), np.random.default_rng(1).normal(size=(3, T, N))
    arrays, weights = [lib.asarray(a) for a in given], lib.asarray(c)
    if lib.is_jax:
        import jax

        def loss(*arrays):
            y = ds.solve(problem(*arrays)).y
            return (y * weights).sum(), y

        bars, y = jax.grad(loss, argnums=(0, 1, 2, 3), has_aux=True)(*arrays)
    elif lib.is_torch:
        leaves = [a.requires_grad_() for a in arrays]
        y = ds.solve(problem(*leaves)).y
        (y * weights).sum().backward()
        bars = [a.grad for a in leaves]
    else:
        sol, names = ds.solve(problem(*arrays)), ("params", "x", "y0", "y_end")
        bar = ds.adjoint(problem(*arrays), sol, weights, wrt=names)
        y, bars = sol.y, [bar[name] for name in names]
    np.testing.assert_allclose(lib.to_numpy(y), reference(*given), atol=1e-12)
    rng = np.random.default_rng(2)
    steps = [1e-5 * rng.normal(size=a.shape) for a in given]
    up, down = (reference(*(a + s * d for a, d in zip(given, steps, strict=True))) for s in (1, -1))
    found = sum((lib.to_numpy(b) * d).sum() for b, d in zip(bars, steps, strict=True))
    np.testing.assert_allclose(found, (c * (up - down)).sum() / 2, rtol=1e-6)


def test_the_sensitivity_to_both_ends_is_the_adjoint_of_the_adjoint():
    given, rng = data(), np.random.default_rng(1)
    made = copy.copy(problem(*given))
    sol, c, d0, d1 = ds.solve(made), rng.normal(size=(3, T, N)), rng.normal(size=(2, N)), rng.normal(size=(3, N))
    dy = ds.sensitivity(made, sol, {"y0": d0, "y_end": d1})
    bar = ds.adjoint(made, sol, c)
    np.testing.assert_allclose((c * dy).sum(), (bar["y0"] * d0).sum() + (bar["y_end"] * d1).sum(), rtol=1e-12)


def test_without_lags_it_is_the_reversed_recurrence():
    x = np.linspace(0, 1, 50)[:, None]
    ahead = ds.Recurrence(lambda y, x, _: np.sin(y) + x, None, x[::-1], lags=-1, y_end=[0.5])
    back = ds.Recurrence(lambda y, x, _: np.sin(y) + x, [0.5], x)
    np.testing.assert_allclose(ds.solve(ahead).y[::-1], ds.solve(back, method="sequential").y, rtol=1e-13)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ds.Recurrence(f, [0.0], lags=(1, -1), n_points=3), "y_end: expected 1 values behind the last point"),
        (lambda: ds.Recurrence(f, [0.0], lags=-1, y_end=[0.0], n_points=3), "y0: expected no values before"),
        (lambda: ds.Recurrence(f, [0.0], y_end=[0.0], n_points=3), r"a lag < 0 in lags, such as \(1, -1\)"),
        (lambda: ds.Recurrence(f, [0.0], lags=(1, -1), y_end=[0.0]), "n_points="),
        (lambda: ds.Recurrence(f, [0.0], lags=(-1, -1), y_end=[0.0], n_points=3), "distinct integers"),
        (lambda: ds.solve(ds.Recurrence(f, [0.0], lags=(1, -2), y_end=[0.0], n_points=3)), "with K = 2"),
        (lambda: ds.solve(ds.Recurrence(f, [0.0], lags=(1, -1), y_end=[np.nan], n_points=3)), "y_end: expected finite"),
    ],
)
def test_ends_that_do_not_fit_are_refused(make, message):
    with pytest.raises(ds.InputError, match=message):
        make()
