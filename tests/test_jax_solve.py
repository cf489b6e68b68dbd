"""Small linear systems on JAX: right, differentiable, mapped over, and never waiting for each other."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

jax = pytest.importorskip("jax")
import jax.numpy as jnp  # noqa: E402

import deersolve as ds  # noqa: E402
from deersolve.backends._jax_solve import solve  # noqa: E402

EPS = np.finfo(np.float64).eps
SIZES = [1, 2, 3, 4, 5, 9, 45]


def systems(n, k=3, count=7, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(2, count, n, n)), rng.normal(size=(count, n, k))


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize(
    "way", [solve, jax.jit(solve), jax.vmap(solve, (0, None)), jax.jit(jax.vmap(solve, (0, None)))]
)
@pytest.mark.deep_but("solve0-1", "solve1-3", "solve2-5", "solve3-9", "solve1-45")
def test_backward_error_is_roundoff(n, way):
    """Elimination with row exchange: the residual is within growth (at most 2^(n - 1), here tiny) times n eps."""
    m, rhs = systems(n)
    x = np.asarray(way(m, rhs))
    assert x.shape == (2, 7, n, 3)
    size = np.abs(m) @ np.abs(x) + np.abs(rhs)
    assert np.max(np.abs(m @ x - rhs) / size) <= 8 * n * EPS


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.deep_but("3")
def test_derivatives_are_those_of_a_linear_solve(n):
    m, rhs = systems(n, k=1, count=2)
    m = m[0] + 2 * np.sqrt(n) * np.eye(n)
    dm, dr = systems(n, k=1, count=2, seed=1)
    x, dx = jax.jvp(solve, (m, rhs), (dm[0], dr))
    np.testing.assert_allclose(dx, np.linalg.solve(m, dr - dm[0] @ np.asarray(x)), rtol=0, atol=1e-12)
    c = np.ones_like(rhs)
    for_m, for_rhs = jax.vjp(solve, m, rhs)[1](jax.numpy.asarray(c))
    lam = np.linalg.solve(np.matrix_transpose(m), c)
    np.testing.assert_allclose(for_rhs, lam, rtol=0, atol=1e-12)
    np.testing.assert_allclose(for_m, -lam @ np.matrix_transpose(np.asarray(x)), rtol=0, atol=1e-12)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.deep_but("1", "4", "9")
def test_a_singular_system_spoils_no_other(n):
    m, rhs = systems(n)
    m[0, 3] = 0.0
    x = np.asarray(solve(jax.numpy.asarray(m[0]), rhs))
    assert not np.isfinite(x[3]).any()
    assert np.isfinite(np.delete(x, 3, axis=0)).all()


@pytest.mark.parametrize("n", [3, 6])
@pytest.mark.deep_but("6")
@pytest.mark.slow
def test_a_pool_of_two_threads_does_not_wait_for_ever(n):
    """Of jaxlib 0.10.2: two batched factorisations at once stop in a pool of two threads."""
    program = f"""
import jax.numpy as jnp, deersolve as ds
t, y0 = jnp.linspace(0.0, 1.0, 10_001), jnp.ones((4, {n}))
sol = ds.solve(ds.InitialValueProblem(lambda y, t, _: jnp.sin(jnp.roll(y, 1, -1)), t, y0), method="newton")
assert bool(sol.converged.all())
"""
    env = {**os.environ, "NPROC": "2", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr


def products(jaxpr):
    """Return the precisions of the matrix products in a jaxpr and all that it calls."""
    found = []
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            found.append(equation.params["precision"])
        for value in equation.params.values():
            for item in value if isinstance(value, tuple | list) else (value,):
                inner = getattr(item, "jaxpr", item)
                found += products(inner) if hasattr(inner, "eqns") else []
    return found


@pytest.mark.parametrize("kind", ["recurrence", "ode"])
@pytest.mark.parametrize("chosen", [None, "tensorfloat32"])
def test_products_are_not_rounded_unless_that_was_chosen(kind, chosen):
    """JAX multiplies float32 in TF32 on a GPU: there Newton's method would not come to rest."""

    def loss(w):
        if kind == "ode":
            t = jnp.linspace(0.0, 1.0, 9)
            problem = ds.InitialValueProblem(lambda y, x, w: jnp.tanh(y @ w), t, jnp.ones(4), params=w)
        else:
            problem = ds.Recurrence(lambda y, x, w: jnp.tanh(y @ w), jnp.ones(4), params=w, n_points=9)
        sol = ds.solve(problem, method=ds.Newton())
        return jnp.sum(sol.y**2)

    with jax.default_matmul_precision(chosen):
        found = products(jax.make_jaxpr(jax.grad(loss))(jnp.eye(4) / 2).jaxpr)
    highest = (jax.lax.Precision.HIGHEST, jax.lax.Precision.HIGHEST)
    assert found
    assert all(p == highest for p in found) == (chosen is None)


@pytest.mark.parametrize("lags", [(1,), (1, 3)])
def test_a_long_compiled_loop_is_checked_at_every_kth_step(monkeypatch, lags):
    """A step that is wrong there is found: f of all points differs from f of one."""
    monkeypatch.setattr("deersolve.newton.windows.loop.ENOUGH", 64)
    x, y0 = jnp.ones((4, 101, 1)), jnp.ones((4, 3, 1) if len(lags) > 1 else (4, 1))

    def f(*args):
        *ys, x, params = args
        return 0.5 * sum(ys) / len(ys) + x + params * (ys[0].shape[-2] > 1)

    def run(params):
        return ds.solve(ds.Recurrence(f, y0, x, params, lags=lags), method=ds.Sequential(), check_inputs=False)

    sol = jax.jit(run)(0.0)
    assert np.all(np.asarray(sol.converged))
    np.testing.assert_allclose(np.asarray(sol.y)[:, -1], 2.0, rtol=1e-3)
    assert not np.any(
        np.asarray(
            jax.jit(
                lambda p: (
                    ds.solve(
                        ds.Recurrence(f, y0, x, p, lags=lags),
                        method=ds.Sequential(),
                        check_inputs=False,
                        on_failure="return",
                    ).converged
                )
            )(1.0)
        )
    )
