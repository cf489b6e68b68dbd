"""Operators of nine kinds, small: the gradients by params and by what is given are differences of NumPy's solutions."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.special import gamma

import deersolve as ds


def chebyshev(N):
    x = np.cos(np.pi * np.arange(N + 1) / N)
    c = np.r_[2, np.ones(N - 1), 2] * (-1.0) ** np.arange(N + 1)
    D = np.outer(c, 1 / c) / (x[:, None] - x + np.eye(N + 1))
    return D - np.diag(D.sum(axis=1))


def second(N, h):
    return sp.diags_array([1.0, -2.0, 1.0], offsets=[-1, 0, 1], shape=(N, N)) / h**2


def conditions(L, M, rows):
    """Put rows in the place of those of L, and zeros into M there."""
    L, M = L.copy(), M.copy()
    for row, condition in rows.items():
        L[row], M[row] = condition, 0
    return L, M


def third_derivative():
    D = chebyshev(10) / 2
    L, M = conditions(D @ D @ D, np.eye(11), {-1: np.eye(11)[-1], -2: D[-1], 0: D[0]})
    return ds.Operator(L, M, (ds.identity, D @ D)), lambda xp, g, g2, p: -p * g * g2, np.eye(1, 11)[0], 1


def lattice():
    back, one = sp.eye_array(4, k=-1), sp.eye_array(4)
    shifts = (sp.kron(back, one), sp.kron(one, back))
    return ds.Operator(sp.eye_array(16), shifts=shifts, shape=(4, 4)), lambda xp, a, b, p: xp.sin(p * a + b), 0.3, 2


def caputo():
    t = np.linspace(0, 1, 9) ** 2
    powers = np.maximum(t[:, None] - t, 0) ** 0.5 / gamma(1.5)
    L = (powers[:, :-1] - powers[:, 1:]) / np.diff(t) @ np.diff(np.eye(9), axis=0)
    return ds.Operator(*conditions(L, np.eye(9), {0: np.eye(9)[0]})), lambda xp, y, p: -p * y**2, np.eye(1, 9)[0], 1


def sine_gordon():
    T, S = 6, 5
    wave, around = np.eye(T) + np.eye(T, k=-2), np.eye(S, k=1) + np.eye(S, k=-1)
    L = np.kron(wave, np.eye(S)) - np.kron(np.eye(T, k=-1), around)
    L, M = conditions(L, np.eye(T * S), {k: np.eye(T * S)[k] for k in range(2 * S)})
    op = ds.Operator(L, M, sp.kron(sp.eye_array(T, k=-1), sp.eye_array(S)), shape=(T, S))
    return op, lambda xp, u, p: -0.1 * p * xp.sin(u), np.linspace(0, 1, T * S), 1


def collocation():
    D = chebyshev(8)
    L, M = conditions(D @ D, np.eye(9), {0: np.eye(9)[0], -1: np.eye(9)[-1]})
    return ds.Operator(L, M), lambda xp, y, p: xp.exp(p * y), np.eye(1, 9)[0], 1


def foresight():
    a, T = 0.3, 5
    M, ends = np.eye(2 * T), np.zeros((2, T, 2))
    M[0, 0], ends[0, 0], ends[1, -1] = 0, (0.17, 0.41), (0.17, 0.41)

    def f(xp, before, after, p):
        k, c, k_next, c_next = before[..., 0], before[..., 1], after[..., 0], after[..., 1]
        return xp.stack([xp.abs(k) ** a - p * c, c_next / a * xp.abs(k_next) ** (1 - a)], axis=-1)

    given = 0.1 * np.eye(1, 2 * T)[0]
    shifts = ((np.eye(T, k=-1), ends[0]), (np.eye(T, k=1), ends[1]))
    return ds.Operator(np.eye(T), M, shifts), f, given, 2


def integral():
    t, w = np.polynomial.legendre.leggauss(6)
    return ds.Operator(np.eye(6), np.exp(-np.abs(t[:, None] - t)) * w / 4), lambda xp, y, p: p * y**2, 0.2 * t, 1


def poisson():
    D, one = second(3, 0.25), sp.eye_array(3)
    L = sp.kron(sp.kron(D, one), one) + sp.kron(sp.kron(one, D), one) + sp.kron(sp.kron(one, one), D)
    return ds.Operator(L, shape=(3, 3, 3)), lambda xp, u, p: p * u**3 + 1, 0.5, 1


def swift_hohenberg():
    A = np.eye(8) + second(8, 0.8).toarray()
    return ds.Operator(lambda u: A @ (A @ u), shape=8), lambda xp, u, p: p * u / 4 - u**3, 0.3, 1


KINDS = [
    *(third_derivative, lattice, caputo, sine_gordon, collocation, foresight, integral, poisson, swift_hohenberg),
]


def case_of(make):
    """Return a problem of (params, boundary), the data, the guess, and how the gradient is held against differences."""
    op, f, given, n = make()
    shape = (*op.shape, n)
    given = np.reshape(given, shape) if np.size(given) > 1 else np.full(shape, given)

    def problem(p, g):
        def of_signals(*signals):
            return f(ds.array_namespace(signals[0]), *signals[:-2], signals[-1])

        return ds.Problem(of_signals, shift=op.shifts, inverse=op, params=p, boundary=g)

    rng, guess = np.random.default_rng(0), np.full(shape, 0.3)
    dp, dg, c = 1.0, rng.normal(size=shape), rng.normal(size=shape)
    up, down = (ds.solve(problem(np.array(1 + e * dp), given + e * dg), guess).y for e in (1e-5, -1e-5))
    return problem, given, guess, (dp, dg, c, np.sum(c * (up - down)) / 2e-5)


@pytest.mark.parametrize("make", KINDS)
def test_gradients_on_numpy_are_differences(make):
    problem, given, guess, (dp, dg, c, expected) = case_of(make)
    made = problem(np.array(1.0), given)
    sol = ds.solve(made, guess)
    bar = ds.adjoint(made, sol, c)
    dy = ds.sensitivity(made, sol, {"params": np.array(dp), "boundary": dg})
    tol = {"rtol": 1e-6, "atol": 1e-7}
    np.testing.assert_allclose(np.sum(c * dy), expected, **tol)
    np.testing.assert_allclose(bar["params"] * dp + np.sum(bar["boundary"] * dg), expected, **tol)


@pytest.mark.parametrize("make", KINDS)
def test_gradients_on_pytorch_are_differences(make):
    torch = pytest.importorskip("torch")
    problem, given, guess, (dp, dg, c, expected) = case_of(make)
    p = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    g = torch.tensor(given.copy(), requires_grad=True)
    (ds.solve(problem(p, g), torch.tensor(guess)).y * torch.tensor(c)).sum().backward()
    found = p.grad.item() * dp + (g.grad.numpy() * dg).sum()
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.deep
@pytest.mark.parametrize("make", KINDS)
def test_gradients_on_jax_are_differences(make):
    jax = pytest.importorskip("jax")
    problem, given, guess, (dp, dg, c, expected) = case_of(make)

    def loss(p, g):
        return (ds.solve(problem(p, g), jax.numpy.asarray(guess)).y * c).sum()

    by_p, by_g = jax.grad(loss, argnums=(0, 1))(jax.numpy.asarray(1.0), jax.numpy.asarray(given))
    np.testing.assert_allclose(by_p * dp + np.sum(by_g * dg), expected, rtol=1e-6, atol=1e-7)
