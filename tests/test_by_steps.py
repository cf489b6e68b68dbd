"""Derivatives of a loop by one step after the other, on JAX, against those of the loop written by hand."""

from __future__ import annotations

import numpy as np
import pytest

import deersolve as ds
from tests.conftest import library

N, T = 12, 7  # so many components that no Jacobian is formed
EPS = float(np.finfo(float).eps)


def draws(*shapes):
    rng = np.random.default_rng(0)
    return [rng.normal(size=shape) / 2 for shape in shapes]


def losses(jnp):
    """Return a sum over y_i = tanh(W y_{i-1} + V y_{i-3} + s x_i) of W, V, x, s and y0: solved, and by hand."""
    (c,) = draws((2, T, N))

    def solved(W, V, x, s, y0):
        def f(a, b, x, V):
            return jnp.tanh(a @ W + b @ V + x["each"] * x["all"])

        sol = ds.solve(ds.Recurrence(f, y0, {"each": x, "all": s}, V, lags=(1, 3)), method="sequential")
        assert "a derivative of each step" in sol.stats.gradient
        return (c * sol.y + sol.y**3).sum()

    def by_hand(W, V, x, s, y0):
        ys = [y0[:, k] for k in range(3)]
        for i in range(T):
            ys.append(jnp.tanh(ys[-1] @ W + ys[-3] @ V + x[:, i] * s[:, 0]))
        y = jnp.stack(ys[3:], 1)
        return (c * y + y**3).sum()

    return solved, by_hand


def arguments():
    return tuple(map(library("jax").asarray, draws((N, N), (N, N), (2, T, N), (1, 1, N), (2, 3, N))))


def same(made, expected):
    import jax

    for a, b in zip(jax.tree.leaves(made), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=100 * N * T * EPS * max(float(abs(b).max()), 1.0))


def test_reverse_mode_and_forward_mode_of_it():
    import jax

    args = arguments()

    def products(loss):
        return jax.jvp(jax.grad(loss, tuple(range(5))), args, tuple(2 * a for a in args))

    solved, by_hand = losses(library("jax").xp)
    same(jax.jit(lambda: products(solved))(), jax.jit(lambda: products(by_hand))())


@pytest.mark.deep
def test_reverse_mode_twice_and_mapped():
    import jax

    W, V, *rest = arguments()

    def products(loss):
        of_weights = jax.grad(lambda W: (jax.grad(loss)(W, V, *rest) ** 2).sum())(W)
        return of_weights, jax.vmap(lambda V: jax.grad(loss, (1, 4))(W, V, *rest))(library("jax").xp.stack([V, W]))

    solved, by_hand = losses(library("jax").xp)
    same(jax.jit(lambda: products(solved))(), jax.jit(lambda: products(by_hand))())


def test_slopes_that_the_derivative_lacks_and_an_element_that_fails():
    """y_i = p y_{i-1} + x_i, with a root at y = 0 of which reverse mode makes 0 times infinity."""
    import jax

    jnp = library("jax").xp

    def f(y, x, p):
        safe = jnp.where(y > 0, jnp.sqrt(y), 0.0)
        return p * y + 0 * safe + x

    def loss(p, x, y0):
        sol = ds.solve(ds.Recurrence(f, y0, x, p), method="sequential", on_failure="return")
        return sol.y[:, -1].sum()

    y0 = jnp.asarray([[0.0] * N, [1e300] * N])
    x = jnp.asarray(np.zeros((2, 3, N)))
    p, dx = jax.jit(jax.grad(loss, (0, 1)))(jnp.asarray(0.5), x, y0 * 0)
    assert float(p) == 0.0
    np.testing.assert_allclose(dx, np.broadcast_to([[[0.25], [0.5], [1.0]]], (2, 3, N)), rtol=1e-9)
    dy0 = jax.jit(jax.grad(lambda y0: loss(jnp.asarray(1e10), x + 1, y0)))(y0 + 1)
    assert np.isnan(dy0[1]).all()
    assert np.isfinite(dy0[0]).all()
