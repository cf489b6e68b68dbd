"""Derivatives of a loop on PyTorch where that of each step costs less than Jacobians: those of the loop by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import RK45

import deersolve as ds

torch = pytest.importorskip("torch")

N, T, B = 12, 7, 150  # so many components and elements that no Jacobian is formed
RNG = np.random.default_rng(0)
TOL = 100 * N * T * float(np.finfo(float).eps)
METHODS = ["sequential", "newton", ds.Sequential(memory=60 * B * N * 8)]  # the last has room for one step
MARCHES = pytest.mark.parametrize("method", METHODS, ids=["loop", "newton", "little memory"])


def draw(*shape):
    return torch.tensor(RNG.normal(size=shape) / 2, requires_grad=True)


ARGS = W, V, X, S, Y0 = draw(N, N), draw(N, N), draw(B, T, N), draw(1, 1, N), draw(B, 3, N)
C = torch.tensor(RNG.normal(size=(B, T, N)))


def solved(W, V, x, s, y0, method="sequential", **kw):
    def f(a, b, x, V):
        return torch.tanh(a @ W + b @ V + x["each"] * x["all"])

    sol = ds.solve(ds.Recurrence(f, y0, {"each": x, "all": s}, V, lags=(1, 3)), method=method, **kw)
    assert "a derivative of each step" in sol.stats.gradient
    return sol.y


def by_hand(W, V, x, s, y0):
    ys = [*y0.unbind(1)]
    for i in range(x.shape[1]):
        ys.append(torch.tanh(ys[-1] @ W + ys[-3] @ V + x[:, i] * s[:, 0]))
    return torch.stack(ys[3:], 1)


def loss(y):
    return (C * y + y**3).sum()


def same(made, expected):
    for a, b in zip(made, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=TOL * max(float(b.detach().abs().max()), 1.0))


@MARCHES
def test_backward_and_backward_of_that(method):
    """Of weights that f closes over, of params, of x of each step and of all, and of y0."""

    def slopes(y):
        first = torch.autograd.grad(loss(y), ARGS, create_graph=True)
        return first + torch.autograd.grad(sum((g**2).sum() for g in first), ARGS)

    same(slopes(solved(*ARGS, method=method)), slopes(by_hand(*ARGS)))


def test_transforms():
    """torch.func.grad, forward mode of it, and vmap."""
    args = tuple(a.detach() for a in ARGS)

    def products(y_of):
        one = torch.func.jvp(torch.func.grad(lambda W: loss(y_of(W, *args[1:]))), args[:1], args[:1])
        many = torch.func.vmap(torch.func.grad(lambda V: loss(y_of(args[0], V, *args[2:]))))(torch.stack(args[:2]))
        return *one, many

    same(products(lambda *a: solved(*a, on_failure="return")), products(by_hand))


def test_an_element_that_fails():
    """Its own gradient is NaN, that of y_i = y_{i-1}^2 W; those of the others, and of what all share, are theirs."""
    y0 = Y0[:, 0].detach().clone()
    y0[1] = 1e200
    y0.requires_grad_()
    problem = ds.Recurrence(lambda y, x, W: (y * y) @ W, y0, params=W, n_points=T)
    y = ds.solve(problem, method="sequential", on_failure="return").y
    kept = [k for k in range(B) if k != 1]
    rows = [y0[kept]]
    for _ in range(T):
        rows.append((rows[-1] ** 2) @ W)
    of_kept = [C[kept] * u for u in (y[kept], torch.stack(rows[1:], 1))]
    made, expected = (torch.autograd.grad(u.sum(), (W, y0), retain_graph=True) for u in of_kept)
    same(made, expected)
    assert not made[1][1].any()
    assert torch.autograd.grad(y[1].sum(), y0)[0][1].isnan().all()


def test_complex_state():
    A, z0 = torch.tensor(RNG.normal(size=(2, N, N)) / 4), draw(B, N)
    A = torch.complex(*A).requires_grad_()

    def f(z, x, p):
        return torch.tanh(z @ A)

    y = ds.solve(ds.Recurrence(f, z0.to(A.dtype), n_points=T), method="sequential").y
    rows = [z0.to(A.dtype)]
    for _ in range(T):
        rows.append(f(rows[-1], None, None))
    slopes = [torch.autograd.grad(z.abs().pow(2).sum(), (A, z0)) for z in (y, torch.stack(rows[1:], 1))]
    same([torch.view_as_real(slopes[0][0]), slopes[0][1]], [torch.view_as_real(slopes[1][0]), slopes[1][1]])


def test_an_explicit_rule():
    """Dormand and Prince's rule, whose numbers SciPy has, of y' = tanh(W y)."""
    t = torch.linspace(0.0, 1.0, T + 1, dtype=W.dtype)
    problem = ds.InitialValueProblem(lambda y, t, W: torch.tanh(y @ W), t, Y0[:, 0], params=W)
    rows = [Y0[:, 0]]
    for D in t.diff():
        ks = []
        for a in RK45.A:
            ks.append(torch.tanh((rows[-1] + D * sum(float(w) * k for w, k in zip(a, ks, strict=False))) @ W))
        rows.append(rows[-1] + D * sum(float(w) * k for w, k in zip(RK45.B, ks, strict=True)))
    made = ds.solve(problem, inverse="dopri5", method="sequential").y
    same(*(torch.autograd.grad(u.pow(3).sum(), (W, Y0)) for u in (made, torch.stack(rows, 1))))


@pytest.mark.parametrize("method", METHODS[::2], ids=["loop", "little memory"])
def test_weights_that_changed_are_an_error(method):
    w = W.detach().clone().requires_grad_()
    y = solved(w, V, X, S, Y0, method=method)
    with torch.no_grad():
        w.mul_(1 + 1e-9)
    with pytest.raises((RuntimeError, ds.FunctionError), match="modified by an inplace operation"):
        loss(y).backward()
