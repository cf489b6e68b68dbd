"""Derivatives of solutions against those of the loop, and against differences of the discrete solution."""

from __future__ import annotations

import numpy as np
import pytest

import deersolve as ds

RNG = np.random.default_rng(0)
X, W, Y0 = RNG.normal(size=(30, 2)), RNG.normal(size=(2, 2)) / 2, np.zeros(2)
METHODS = ["newton", "sequential", ds.Newton(structure="diagonal")]
IDS = ["newton", "sequential", "diagonal"]
TOL = 1e-12  # 30 steps of at most 100 operations each, in eps


def energy(w, x, y0, method, closed):
    """Return the sum of y^2 of y_i = tanh(y_{i-1} W + x_i), W closed over or a parameter."""
    xp = ds.array_namespace(w)
    f = (lambda y, x, p: xp.tanh(y @ w + x)) if closed else (lambda y, x, p: xp.tanh(y @ p + x))
    return xp.sum(ds.solve(ds.Recurrence(f, y0, x, None if closed else w), method=method).y ** 2)


def energy_by_the_loop(w, x, y0):
    xp = ds.array_namespace(w)
    y, total = y0, 0.0
    for i in range(x.shape[0]):
        y = xp.tanh(y @ w + x[i])
        total = total + xp.sum(y**2)
    return total


@pytest.mark.parametrize("closed", [True, False], ids=["closed over", "params"])
@pytest.mark.parametrize("method", METHODS, ids=IDS)
def test_jax_every_mode_and_order(method, closed):
    jax = pytest.importorskip("jax")
    args = tuple(map(jax.numpy.asarray, (W, X, Y0)))

    def ours(*args):
        return energy(*args, method, closed)

    for way in (jax.grad, jax.jacfwd, lambda f, n: jax.jit(jax.grad(f, n)), lambda f, n: jax.jit(jax.jacfwd(f, n))):
        for found, expected in zip(
            way(ours, (0, 1, 2))(*args), jax.grad(energy_by_the_loop, (0, 1, 2))(*args), strict=True
        ):
            np.testing.assert_allclose(found, expected, rtol=TOL, atol=TOL)
    for order in (jax.hessian, lambda f: jax.jacfwd(jax.hessian(f))):
        found, expected = (order(f)(*args) for f in (ours, energy_by_the_loop))
        np.testing.assert_allclose(found, expected, rtol=TOL, atol=100 * TOL)


@pytest.mark.parametrize("method", METHODS, ids=IDS)
def test_torch_every_mode_and_two_orders(method):
    torch = pytest.importorskip("torch")
    w, x, y0 = (torch.tensor(a) for a in (W, X, Y0))

    def ours(w):
        return energy(w, x, y0, method, True)

    def loop(w):
        return energy_by_the_loop(w, x, y0)

    expected = torch.func.grad(loop)(w)
    leaf = w.clone().requires_grad_()
    for found in (torch.func.grad(ours)(w), torch.func.jacfwd(ours)(w), torch.autograd.grad(ours(leaf), leaf)[0]):
        np.testing.assert_allclose(found, expected, rtol=TOL, atol=TOL)
    np.testing.assert_allclose(torch.func.hessian(ours)(w), torch.func.hessian(loop)(w), rtol=TOL, atol=100 * TOL)
    assert torch.autograd.gradgradcheck(ours, (leaf,))


@pytest.mark.filterwarnings("ignore::deersolve.DiscretisationWarning")
@pytest.mark.parametrize(
    "rule", ["trapezoid", "backward_euler", "exponential", "exponential_left", "exponential_right"]
)
@pytest.mark.parametrize("n", [1, 3])
def test_jax_every_rule_against_differences(rule, n):
    """d y(end) by params, the time grid and y0; a central difference of step 1e-5 is right to about 1e-9."""
    jax = pytest.importorskip("jax")
    jnp = jax.numpy

    def end(a, t, y0):
        def f(y, t, a):
            return -a * y * y + jnp.sin(t) + jnp.roll(y, 1, axis=-1) / 4

        return ds.solve(ds.InitialValueProblem(f, t, y0, params=a), inverse=rule).y[-1, 0]

    args = (jnp.asarray(0.7), jnp.linspace(0.0, 2.0, 41), jnp.full(n, 1.2))
    slopes, h = jax.grad(end, (0, 1, 2))(*args), 1e-5
    for k, at in ((0, ()), (1, (7,)), (2, (n - 1,))):
        up, down = (end(*(a.at[at].add(s * h) if k == j else a for j, a in enumerate(args))) for s in (1, -1))
        np.testing.assert_allclose(slopes[k][at], (up - down) / (2 * h), rtol=1e-7, atol=1e-8)
