"""Gradients of differential equations: by params, y0 and the time grid, of the discrete solution of every rule."""

from __future__ import annotations

import functools

import numpy as np
import pytest

import deersolve as ds
from deersolve.inverses import registry
from deersolve.testing.systems import iterate, system_of
from deersolve.testing.table import builtin_rules
from tests.autodiff import EPS, LIBRARIES, check_two_orders, draws, growth, moved, off

pytestmark = pytest.mark.filterwarnings("ignore::deersolve.DiscretisationWarning")

T, N = 31, 4
THETA = {"trapezoid": 0.5, "backward_euler": 1.0}
ROUNDS = 7  # of Newton's method for each implicit step of the reference: quadratic from an error of 0.1
STEP = 2.5e-4  # of a difference of 4th order
OPERATIONS = 200  # of a step, forward and back
METHODS = {
    "newton": ds.Newton(),
    "sequential": ds.Sequential(),
    "diagonal": ds.Newton(structure="diagonal"),
    "blocks": ds.Newton(structure=ds.BlockDiagonal.of_size(2)),
    "windows": ds.Newton(window=10),
    "uneven windows": ds.Newton(window=12),
}
# JAX compiles each case for seconds, so that there the methods are divided between the rules.
COMPILED = {"trapezoid": ("newton", "sequential"), "backward_euler": ("windows",)}
TABLE = [("torch", rule, method) for rule in THETA for method in METHODS]
TABLE += [("jax", rule, method) for rule, methods in COMPILED.items() for method in methods]


def rate(y, t, params):
    """Return W tanh(y) - y + v sin(t)."""
    xp, (W, v) = ds.array_namespace(y), params
    return xp.tanh(y) @ xp.matrix_transpose(W) - y + v * xp.sin(t)


def slope(y, params):
    """Return the Jacobian of the rate at one point, by hand."""
    xp = ds.array_namespace(y)
    return params[0] * (1 - xp.tanh(y) ** 2) - xp.eye(N, dtype=y.dtype)


@functools.cache
def case():
    """Return W, v, t and y0, and random directions and a cotangent."""
    rng = np.random.default_rng(2)
    t = 3.0 * np.linspace(0.0, 1.0, T) ** 1.3
    args = (rng.normal(size=(N, N)), rng.normal(size=N), t, rng.normal(size=N))
    return args, draws(rng, args), rng.normal(size=(T, N))


def solution(rule, method=None):
    """Return y as a function of W, v, t and y0."""

    def solve(W, v, t, y0):
        return ds.solve(ds.InitialValueProblem(rate, t, y0, params=(W, v)), inverse=rule, method=method).y

    return solve


def by_the_loop(library, theta):
    """Return the same, every implicit step solved one after the other."""

    def solve(W, v, t, y0):
        xp = ds.array_namespace(y0)

        def step(y, row):
            start, end = row
            D = end - start
            known = y + D * (1 - theta) * rate(y, start, (W, v))
            for _ in range(ROUNDS):
                r = known + D * theta * rate(y, end, (W, v)) - y
                M = xp.eye(N, dtype=y.dtype) - D * theta * slope(y, (W, v))
                y = y + xp.linalg.solve(M, r[:, None])[:, 0]
            return y, y

        return xp.concat([y0[None, :], library.march(step, y0, (t[:-1], t[1:]))])

    return solve


@functools.cache
def expected(name, theta):
    library = LIBRARIES[name]()
    return library.derivatives(by_the_loop(library, theta))(*moved(library, case()))


def propagators(rule):
    """Return d y_{i+1} / d y_i at the solution."""
    (W, v, t, y0), _, _ = case()
    y, D, theta, eye = solution(rule)(W, v, t, y0), np.diff(t)[:, None, None], THETA[rule], np.eye(N)
    J = np.stack([slope(point, (W, v)) for point in y])
    return np.linalg.solve(eye - D * theta * J[1:], eye + D * (1 - theta) * J[:-1])


@functools.cache
def tolerance(rule):
    return OPERATIONS * T * EPS * growth(propagators(rule))


@pytest.mark.parametrize("rule", THETA)
def test_roundoff_has_not_grown_beyond_what_is_claimed(rule):
    """The claim is 1e-10, for as long as eps exp(LLE T) < 1e-12."""
    assert EPS * growth(propagators(rule)) < 1e-12
    assert tolerance(rule) < 1e-10


def recurrence(W, v, x, y0):
    """Return y of a recurrence with the lags 2 and 3, x in the place of t."""
    history = y0[None, :] + x[:3, None]

    def step(a, b, x, params):
        return (rate(a, x, params) + b) / 2

    return ds.solve(ds.Recurrence(step, history, x[:, None], (W, v), lags=(2, 3))).y


def differences(function, args, directions, h):
    """Return the derivative along the directions by a central difference of 4th order."""
    at = {k: function(*(a + k * h * d for a, d in zip(args, directions, strict=True))) for k in (-2, -1, 1, 2)}
    return ((8 * (at[1] - at[-1]) - (at[2] - at[-2])) / (12 * h)).numpy()


@functools.cache
def left_over(key):
    """Return what the derivative of a rule lacks: nothing where y does not depend on G, else four steps at its rate."""
    if registry[key].exact:
        return 0.0
    W, v, t, y0 = gentle()[0]
    _, history = iterate(system_of(ds.InitialValueProblem(rate, t, y0, params=(W, v)), registry[key]), ds.Dense)
    *_, a, b, c = [size for size in history if size > 1e-12]
    return 10 * max(c / b, b / a) ** 4


def gentle():
    """Return the case on a finer grid, with a smaller W."""
    (W, v, t, y0), directions, c = case()
    return (W / 2, v, t / 2, y0), directions, c


@pytest.mark.parametrize("only", [{0, 1, 3}, {2}], ids=["W, v and y0", "t or x"])
@pytest.mark.parametrize("key", [key for key in builtin_rules() if key.startswith(("ddt.", "shift."))])
@pytest.mark.deep_but("W, v and y0")
def test_torch_every_rule_against_differences(key, only):
    """By the grid and by all else: forward mode at every point, reverse mode for a random cotangent."""
    function, library = solution(key) if key.startswith("ddt.") else recurrence, LIBRARIES["torch"]()
    args, directions, c = moved(library, gentle())
    directions = tuple(d * (k in only) for k, d in enumerate(directions))
    found = library.derivatives(function)(args, directions, c)
    dy, coarse = (differences(function, args, directions, h) for h in (STEP, 2 * STEP))
    # Of a difference of 4th order: twice the truncation that the coarser one shows, and the roundoff of y.
    size = max(1.0, np.abs(dy).max())
    error = np.abs(dy - coarse).max() / 8 + size * (64 * EPS / STEP + left_over(key))
    assert error <= 1e-9 * size
    np.testing.assert_allclose(found["forward"][0], dy, rtol=0, atol=error)
    for mode in ("reverse", "backward"):
        along = sum(np.sum(bar * d.numpy()) for bar, d in zip(found[mode], directions, strict=True))
        assert abs(along - np.sum(c.numpy() * dy)) <= error * np.abs(c.numpy()).sum()


def short(rule):
    """Return y on a few points, as a function of a, t and y0."""

    def solve(a, t, y0):
        xp = ds.array_namespace(y0)
        problem = ds.InitialValueProblem(lambda y, t, a: xp.sin(t) - a * y * xp.flip(y, axis=-1), t, y0, params=a)
        return ds.solve(problem, inverse=rule, method=ds.Newton(reuse=0)).y

    return solve


@pytest.mark.parametrize(("rule", "y0"), [("trapezoid", [1.2, 0.8]), ("backward_euler", [1.2])])
@pytest.mark.deep
def test_jax_two_orders_in_both_modes(rule, y0):
    jax = pytest.importorskip("jax")
    args = (jax.numpy.asarray(0.7), jax.numpy.linspace(0.0, 1.0, 4), jax.numpy.asarray(y0))
    check_two_orders(jax.jit(short(rule)), args)


@pytest.mark.parametrize(("name", "rule", "method"), TABLE, ids=lambda v: v.replace(" ", ""))
@pytest.mark.cases_backend("jax")
@pytest.mark.deep_but("torch-trapezoid-newton", "torch-backward_euler-windows")
def test_gradients_are_those_of_the_implicit_steps(name, rule, method):
    library = LIBRARIES[name]()
    found = library.derivatives(solution(rule, METHODS[method]))(*moved(library, case()))
    assert off(found, expected(name, THETA[rule])) <= tolerance(rule)
