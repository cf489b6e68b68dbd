"""Blocks of components found by themselves: right where they are there, and never taken where they are not."""

from __future__ import annotations

import numpy as np
import pytest

import deersolve as ds
from deersolve.testing import check_structure

n, T, B = 12, 40, 2
rng = np.random.default_rng(0)
X, A = rng.normal(size=(B, T, n)), rng.normal(size=(4, n))
LIBRARIES = ("numpy", "torch", "jax")


def library(name):
    """Return tanh, a sigmoid, a function of parts side by side, and one that makes an array."""
    if name == "numpy":
        return np.tanh, lambda v: 1 / (1 + np.exp(-v)), lambda parts: np.concatenate(parts, axis=-1), np.asarray
    if name == "torch":
        torch = pytest.importorskip("torch")
        return torch.tanh, torch.sigmoid, lambda parts: torch.cat(parts, -1), torch.as_tensor
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    return jax.numpy.tanh, jax.nn.sigmoid, lambda parts: jax.numpy.concatenate(parts, axis=-1), jax.numpy.asarray


def cells(name):
    """Return cells with the size of their states, and what is to be found of them."""
    tanh, sigmoid, side_by_side, array = library(name)
    a, b, c, d = map(array, A)

    def gru(h, x, _):
        z = sigmoid(a * h + x)
        return (1 - z) * tanh(b * h * sigmoid(c * h) + x) + z * h

    def lstm(state, x, _):
        h, cell = state[..., :n], state[..., n:]
        cell = sigmoid(a * h + x) * cell + sigmoid(b * h - x) * tanh(c * h + x)
        return side_by_side([sigmoid(d * h + x) * tanh(cell), cell])

    def mixing(h, x, _):
        return 0.3 * tanh(h + side_by_side([h[..., 1:], h[..., :1]]) + x)

    def pairs(state, x, _):  # neighbours
        made = 0.5 * tanh(state.reshape((*state.shape[:-1], n // 2, 2)) @ array(np.array([[0.5, 0.3], [-0.4, 0.6]])))
        return made.reshape(state.shape) + x

    return {
        "gru": (gru, n, "each component by itself"),
        "lstm": (lstm, 2 * n, "blocks of 2 components"),
        "pairs": (pairs, n, "blocks of 2 components"),
        "mixing": (mixing, n, None),
    }


def loop(cell, y0, x):
    """Return y by the loop."""
    rows, y = [], y0
    for i in range(T):
        y = cell(y, x[:, i], None)
        rows.append(y)
    return rows


@pytest.mark.parametrize("name", LIBRARIES)
@pytest.mark.parametrize("kind", ["gru", "lstm", "pairs", "mixing"])
def test_layout_is_found(name, kind):
    cell, size, expected = cells(name)[kind]
    array = library(name)[3]
    sol = ds.solve(ds.Recurrence(cell, array(np.zeros((B, size))), array(X)), method=ds.Newton())
    assert expected in sol.stats.derivative if expected else "components" not in sol.stats.derivative
    rows = loop(cell, array(np.zeros((B, size))), array(X))
    for k, row in enumerate(rows):
        np.testing.assert_allclose(np.asarray(sol.y[:, k]), np.asarray(row), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_gradient_of_blocks_is_that_of_the_loop(kind):
    torch = pytest.importorskip("torch")
    cell, size, _ = cells("torch")[kind]
    grads = []
    for solves in (True, False):
        x, y0 = torch.tensor(X, requires_grad=True), torch.zeros((B, size), dtype=torch.float64, requires_grad=True)
        y = ds.solve(ds.Recurrence(cell, y0, x), method=ds.Newton()).y if solves else torch.stack(loop(cell, y0, x), 1)
        (y**3).sum().backward()
        grads.append((x.grad, y0.grad))
    for found, meant in zip(*grads, strict=True):
        torch.testing.assert_close(found, meant, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_gradient_of_blocks_in_jax(kind):
    jax = pytest.importorskip("jax")
    cell, size, _ = cells("jax")[kind]
    y0 = jax.numpy.zeros((B, size))

    def by_newton(x):
        return (ds.solve(ds.Recurrence(cell, y0, x), method=ds.Newton()).y ** 3).sum()

    def by_scan(x):
        def step(y, x):
            y = cell(y, x, None)
            return y, y

        return (jax.lax.scan(step, y0, x.swapaxes(0, 1))[1] ** 3).sum()

    x = jax.numpy.asarray(X)
    np.testing.assert_allclose(jax.jit(jax.grad(by_newton))(x), jax.grad(by_scan)(x), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", ["numpy", "torch"])
def test_coupling_that_shows_at_the_solution_alone(name):
    """Components that know each other from y > 4 on are not seen before: the Jacobians are whole ones in the end."""
    _, _, side_by_side, array = library(name)

    def cell(h, x, _):
        other = side_by_side([h[..., 1:], h[..., :1]])
        return h + 0.2 - 0.05 * other * (h > 4) * (other - 4)

    y0 = array(np.linspace(0.1, 0.5, n))
    sol = ds.solve(ds.Recurrence(cell, y0, n_points=T), method=ds.Newton())
    assert "component" not in sol.stats.derivative
    y = y0
    for row in sol.y:
        y = cell(y, None, None)
        np.testing.assert_allclose(np.asarray(row), np.asarray(y), rtol=1e-11)


def test_one_pair_of_many_is_seen():
    """A single component that knows a single other one, far away and weakly, makes Jacobians whole."""
    for source in (0, 2, 9):

        def cell(h, x, _, source=source):
            weak = np.zeros((n, n))
            weak[source, 7] = 1e-9
            return 0.5 * np.tanh(h + x + h @ weak)

        sol = ds.solve(ds.Recurrence(cell, np.zeros((B, n)), X), method=ds.Newton())
        assert "component" not in sol.stats.derivative


@pytest.mark.parametrize("name", ["numpy", "torch"])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("weights", [(1.0, 2.0), (1.0, -1.0)])
def test_coefficients_that_one_would_choose_do_not_cancel(name, transposed, weights):
    """Of neighbours that weigh 1 and 2, the derivatives along directions of 2^k cancel: in rows, or in columns."""
    array, W = library(name)[3], np.diag(np.linspace(0.2, 0.5, n))
    for k in range(1, n - 1):
        W[k, [k + 1, k - 1]] = 0.2 * np.array(weights)
    W = array(W if transposed else W.T)
    sol = ds.solve(ds.Recurrence(lambda h, x, _: h @ W + x, array(np.zeros((B, n))), array(X)), method=ds.Newton())
    assert "component" not in sol.stats.derivative
    assert int(sol.stats.steps.max()) <= 2


@pytest.mark.parametrize("size", [1e-20, 1e20])
def test_gradient_of_components_in_other_units(size):
    """A component of 1e20 has a part in one of 1 by a derivative of 1e-20, which is not little."""
    torch = pytest.importorskip("torch")
    units = torch.ones(n, dtype=torch.float64)
    units[3] = size
    hears, a = torch.eye(n, dtype=torch.float64)[2], torch.as_tensor(A[0] / 3)

    def cell(h, x, _):
        of_one = h / units
        return units * (torch.tanh(a * of_one + x) + 0.2 * hears * torch.roll(of_one, -1, -1))

    grads = []
    for solves in (True, False):
        x, y0 = torch.tensor(X, requires_grad=True), torch.zeros((B, n), dtype=torch.float64)
        y = ds.solve(ds.Recurrence(cell, y0, x), method=ds.Newton()).y if solves else torch.stack(loop(cell, y0, x), 1)
        grads.append(torch.autograd.grad(y[..., 2].sum(), x)[0])
    assert grads[1][..., 3].abs().max() > 0.1
    torch.testing.assert_close(*grads, rtol=1e-11, atol=1e-12)


def test_strided_blocks_as_a_structure():
    G = ds.BlockDiagonal(rng.normal(size=(5, 3, 2, 2)), True)
    assert G.n == 6
    dense = G.to_dense()
    for k in range(3):
        np.testing.assert_array_equal(dense[:, k::3, k::3], G.values[:, k])
    assert np.count_nonzero(dense) == G.values.size
    check_structure(G)


def test_carry_of_two_arrays_in_a_scan():
    """Of an LSTM without mixing, (h, c) as a tuple: pairs are found, and the result is that of the loop."""
    tanh, sigmoid, _, _ = library("numpy")
    a, b, c, d = A

    def cell(carry, x):
        h, s = carry
        s = sigmoid(a * h + x) * s + sigmoid(b * h - x) * tanh(c * h + x)
        h = sigmoid(d * h + x) * tanh(s)
        return (h, s), h

    start, x = (np.zeros((B, n)), np.zeros((B, n))), X.swapaxes(0, 1)
    (h, s), ys = ds.scan(cell, start, x, batch_axis=0, method="newton")
    (h2, s2), ys2 = ds.scan(cell, start, x, batch_axis=0, method="sequential")
    for found, meant in ((h, h2), (s, s2), (ys, ys2)):
        np.testing.assert_allclose(found, meant, rtol=1e-12, atol=1e-13)


def test_layer_norm_from_zero():
    """A layer norm is steep at h = 0, where a constant guess stays: f of it does not."""
    W = rng.normal(size=(n, n)) / np.sqrt(n)

    def cell(h, x, _):
        centred = h - h.mean(axis=-1, keepdims=True)
        return np.tanh(centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5) @ W + x)

    sol = ds.solve(ds.Recurrence(cell, np.zeros((B, n)), X), method=ds.Newton())
    np.testing.assert_allclose(sol.y[:, -1], loop(cell, np.zeros((B, n)), X)[-1], rtol=1e-10)
