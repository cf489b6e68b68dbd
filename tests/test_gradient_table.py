"""Gradients of recurrences against those of the loop differentiated directly: lags, weights, methods, modes, libraries.

The cell is a GRU of n = 4 with a term for each further lag. A gradient is right to the unit roundoff times what a
recurrence makes of it, times the operations of all steps; what the recurrence makes of it is measured on the loop.
"""

from __future__ import annotations

import functools

import numpy as np
import pytest

import deersolve as ds
from tests.autodiff import EPS, LIBRARIES, check_two_orders, draws, growth, moved, off
from tests.references import gru, gru_weights, loop

T, N = 60, 4
SEED = 1  # at the scale 4 one draw of ten overflows in Newton's first step over the whole horizon; this one does not
SCALES = (1.0, 2.0, 4.0)
LAGS = ((1,), (1, 3), (2, 5))
OPERATIONS = 100  # of a step, forward and back
METHODS = {
    "newton": ds.Newton(),
    "sequential": ds.Sequential(),
    "diagonal": ds.Newton(structure="diagonal"),
    "blocks": ds.Newton(structure=ds.BlockDiagonal.of_size(2)),
    "windows": ds.Newton(window=20),
    "uneven windows": ds.Newton(window=25),
}
# JAX compiles each case for seconds, so that there the methods are divided among the lags.
COMPILED = {(1,): ("blocks", "windows"), (1, 3): ("diagonal",), (2, 5): ("newton",)}
TABLE = [("torch", lags, method) for lags in LAGS for method in METHODS]
TABLE += [("jax", lags, method) for lags, methods in COMPILED.items() for method in methods]


def cell(*args):
    """Return the next state of a GRU that looks at y_{i-k_1}, moved by y_{i-k_2}."""
    first, *others, x, weights = args
    xp = ds.array_namespace(first)
    return sum((xp.tanh(y @ weights[1][2, ...]) / 4 for y in others), gru(first, x, weights))


@functools.cache
def case(lags, scale):
    """Return weights, x and y0, and random directions and a cotangent."""
    rng = np.random.default_rng(SEED)
    x, y0 = rng.normal(size=(T, N)), rng.normal(size=(N,) if lags == (1,) else (max(lags), N))
    args = (*gru_weights(N, SEED, scale), x, y0)
    return args, draws(rng, args), rng.normal(size=(T, N))


def solution(method, lags):
    """Return y as a function of the weights, x and y0."""

    def solve(*args):
        *weights, x, y0 = args
        return ds.solve(ds.Recurrence(cell, y0, x, tuple(weights), lags=lags), method=method).y

    return solve


def by_the_loop(library, lags):
    """Return the same by the loop."""

    def solve(*args):
        *weights, x, y0 = args
        xp = ds.array_namespace(x)

        def step(history, row):
            y = cell(*(history[-k, ...] for k in lags), row[0], weights)
            return xp.concat([history[1:, ...], y[None, ...]]), y

        return library.march(step, xp.reshape(y0, (-1, N)), (x,))

    return solve


@functools.cache
def derivatives_of_the_loop(name, lags):
    library = LIBRARIES[name]()
    return library.derivatives(by_the_loop(library, lags))


@functools.cache
def expected(name, lags, scale):
    return derivatives_of_the_loop(name, lags)(*moved(LIBRARIES[name](), case(lags, scale)))


def companions(lags, scale):
    """Return the Jacobian matrices of the loop, of the last K states by those before: by complex steps."""
    (*weights, x, y0), _, _ = case(lags, scale)
    K, history = max(lags), y0.reshape(-1, N)
    y = np.concatenate([history, loop(cell, history, x, weights, lags)])
    M = np.zeros((T, K * N, K * N))
    M[:, :-N, N:] = np.eye((K - 1) * N)
    for k in lags:
        for j in range(N):
            ys = [y[K - q : K - q + T] + 1e-30j * (q == k) * np.eye(N)[j] for q in lags]
            M[:, -N:, (K - k) * N + j] = cell(*ys, x, weights).imag / 1e-30
    return M


@functools.cache
def tolerance(lags, scale):
    return OPERATIONS * T * EPS * growth(companions(lags, scale))


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("lags", LAGS, ids=str)
def test_roundoff_has_not_grown_beyond_what_is_claimed(lags, scale):
    """The claim is 1e-10, for as long as eps exp(LLE T) < 1e-12."""
    assert EPS * growth(companions(lags, scale)) < 1e-12
    assert tolerance(lags, scale) < 1e-10


@pytest.mark.parametrize(("name", "lags", "method"), TABLE, ids=lambda v: str(v).replace(" ", ""))
@pytest.mark.deep_but("torch-(1,)-newton", "torch-(1,3)-unevenwindows", "torch-(2,5)-sequential")
def test_gradients_are_those_of_the_loop(name, lags, method):
    library = LIBRARIES[name]()
    derivatives = library.derivatives(solution(METHODS[method], lags))
    for scale in SCALES:
        found = derivatives(*moved(library, case(lags, scale)))
        assert off(found, expected(name, lags, scale)) <= tolerance(lags, scale)


def short(a, x, y0):
    """Return y of a batch of short recurrences with the lags 1 and 3."""
    xp = ds.array_namespace(x)

    def f(y, z, x, a):
        return xp.tanh(y @ a + x) - z * z / 4

    return ds.solve(ds.Recurrence(f, y0, x, a, lags=(1, 3)), method=ds.Sequential()).y


def short_arguments():
    rng = np.random.default_rng(3)
    return rng.normal(size=(2, 2)) / 2, rng.normal(size=(2, 4, 2)), rng.normal(size=(2, 3, 2)) / 2


@pytest.mark.deep
def test_jax_two_orders_in_both_modes():
    jax = pytest.importorskip("jax")
    check_two_orders(jax.jit(short), tuple(map(jax.numpy.asarray, short_arguments())))


def test_torch_two_orders_of_lags_and_a_batch():
    """The reverse and the forward mode, and the reverse mode of the reverse mode."""
    torch = pytest.importorskip("torch")
    args = tuple(torch.tensor(a, requires_grad=True) for a in short_arguments())
    assert torch.autograd.gradcheck(short, args, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(short, args)
