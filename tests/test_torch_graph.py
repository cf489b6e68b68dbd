"""PyTorch's graph around a solve: backward uses what the forward used, and saved tensors go where their owner wants."""

from __future__ import annotations

import numpy as np
import pytest

import deersolve as ds
from deersolve.backends.trees import tree_map

torch = pytest.importorskip("torch")
checkpoint = pytest.importorskip("torch.utils.checkpoint").checkpoint

RNG = np.random.default_rng(7)
X, W = torch.tensor(RNG.normal(size=(20, 2))), torch.tensor(RNG.normal(size=(2, 2)) / 2)
TOL = 1e-12  # 20 steps of at most 100 operations each, in eps
METHODS = ["newton", "sequential", ds.Newton(window=7), ds.Newton(memory=20_000)]
IN_BLOCKS = METHODS[-1]
INPLACE = "modified by an inplace operation"


def cell(y, x, w):
    return torch.tanh(y @ w + x)


def solved(w, x=X, y0=None, f=cell, method="newton", **kw):
    return ds.solve(ds.Recurrence(f, torch.zeros_like(W[0]) if y0 is None else y0, x, w, **kw), method=method).y


def by_loop(w, x=X):
    rows = [torch.zeros_like(W[0])]
    for x_i in x:
        rows.append(cell(rows[-1], x_i, w))
    return torch.stack(rows[1:])


def slope(y, w, **kw):
    return torch.autograd.grad(y.pow(2).sum(), w, **kw)[0]


def leaf():
    return W.clone().requires_grad_()


def expected():
    w = leaf()
    return slope(by_loop(w), w)


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_a_problem_may_be_given_other_fields_between_forward_and_backward(method):
    ws, problem, total = [leaf(), (W / 2).requires_grad_()], ds.Recurrence(cell, torch.zeros_like(W[0]), X), 0.0
    for k, w in enumerate(ws):
        problem.params, problem.x = w, X * (1 + k)
        total = total + ds.solve(problem, method=method).y.pow(2).sum()
    problem.f = problem.params = problem.x = problem.boundary = None
    found = torch.autograd.grad(total, ws)
    for k, (g, w) in enumerate(zip(found, ws, strict=True)):
        torch.testing.assert_close(g, slope(by_loop(w, X * (1 + k)), w), rtol=TOL, atol=TOL)


def test_a_name_that_f_closes_over_may_be_bound_anew():
    """As in a loop, where every f sees the last of the weights by the time of backward."""
    ws, total = [leaf(), (W / 2).requires_grad_()], 0.0
    for w in ws:
        total = total + solved(None, f=lambda y, x, _: cell(y, x, w)).pow(2).sum()  # noqa: B023 - on purpose
    for g, v in zip(torch.autograd.grad(total, ws), ws, strict=True):
        torch.testing.assert_close(g, slope(by_loop(v), v), rtol=TOL, atol=TOL)


def test_in_blocks_f_is_to_be_what_it_was():
    """There the Jacobians are computed in backward: other weights are another f, and no gradient comes."""
    w = leaf()
    y = solved(None, f=lambda y, x, _: cell(y, x, w), method=IN_BLOCKS)
    torch.testing.assert_close(slope(y, w, retain_graph=True), expected(), rtol=TOL, atol=TOL)
    with torch.no_grad():
        w.mul_(1 + 1e-9)
    with pytest.raises(ds.FunctionError, match=INPLACE):
        slope(y, w)


@pytest.mark.parametrize("method", METHODS, ids=str)
@pytest.mark.parametrize("kind", [lambda x: x, lambda x: x[None], lambda x: x.float()], ids=["as is", "batch", "cast"])
def test_inputs_changed_in_place_change_no_gradient(method, kind):
    """x is added, so that PyTorch's own loop stays right; where x is needed once more, it is PyTorch's error."""
    for of_tree in (False, True):
        w, x = leaf(), kind(X.clone())
        before = x.to(W.dtype, copy=True).reshape(20, 2)
        f = (lambda y, x, w: cell(y, x["u"], w)) if of_tree else cell
        y = solved(w, {"u": x} if of_tree else x, f=f, method=method)
        x.mul_(3.0)
        if method is IN_BLOCKS and x.dtype == W.dtype:
            with pytest.raises(RuntimeError, match=INPLACE):
                slope(y, w)
        else:
            torch.testing.assert_close(slope(y, w), slope(by_loop(w, before), w), rtol=TOL, atol=TOL)


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_weights_changed_in_place_are_an_error(method):
    w = leaf()
    y = solved(w, method=method)
    with torch.no_grad():
        w.mul_(0.5)
    with pytest.raises((RuntimeError, ds.FunctionError), match=INPLACE):
        slope(y, w)


def line(k, D, left, q):
    f = lambda u, u_s, x, k: k * torch.sin(u) - u * u_s + x["q"]  # noqa: E731
    ends = {"left": ds.Dirichlet(left), "right": ds.Dirichlet(torch.zeros_like(left))}
    return ds.Elliptic1D(f, torch.linspace(0.0, 1.0, 11, dtype=D.dtype), D=D, x={"q": q}, params=k, **ends)


@pytest.mark.parametrize("name", ["D", "left", "q"])
def test_data_in_space_changed_in_place_change_no_gradient(name):
    k, found = torch.tensor(0.7, dtype=W.dtype, requires_grad=True), []
    for factor in (1.0, 2.0):
        data = {"D": torch.full((11, 1), 0.3), "left": torch.ones(1), "q": torch.ones((11, 1))}
        data = {n: a.to(W.dtype) for n, a in data.items()}
        u = ds.solve(line(k, **data)).y
        if factor != 1.0:
            data[name].mul_(factor)
        if factor == 1.0 or name == "q":
            found.append(slope(u, k))
        else:
            with pytest.raises(RuntimeError, match=INPLACE):
                slope(u, k)
    assert all(g == found[0] for g in found)


def test_an_analytic_jacobian_is_that_of_the_forward():
    def jac(y, x, w):
        return (1 - torch.tanh(w * y + x) ** 2)[..., None] * w

    w, x = torch.tensor(0.6, dtype=W.dtype, requires_grad=True), X[:, :1]
    problem = ds.Recurrence(lambda y, x, w: torch.tanh(w * y + x), torch.ones_like(x[0]), x, w, jac=jac)
    y = ds.solve(problem, method="newton").y
    problem.jac, problem.params = (lambda y, x, w: 0 * y[..., None]), None
    rows = [torch.ones_like(x[0])]
    for x_i in x:
        rows.append(torch.tanh(w * rows[-1] + x_i))
    torch.testing.assert_close(slope(y, w), slope(torch.stack(rows[1:]), w), rtol=TOL, atol=0)


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_checkpoints_and_saved_tensors_on_the_cpu(method):
    def run(w):
        return solved(w, method=method)

    for way in (False, True):
        w = leaf()
        checkpoint(run, w, use_reentrant=way).pow(2).sum().backward()
        torch.testing.assert_close(w.grad, expected(), rtol=TOL, atol=TOL)
    w = leaf()
    with torch.autograd.graph.save_on_cpu():
        torch.testing.assert_close(slope(run(w), w), expected(), rtol=TOL, atol=TOL)


def test_a_checkpoint_around_an_equation_in_time_and_space_and_its_second_derivative():
    s = torch.linspace(0.0, 1.0, 7, dtype=W.dtype)
    ends = {k: ds.Dirichlet(torch.zeros(1, dtype=W.dtype)) for k in ("left", "right")}

    def run(k):
        f = lambda u, u_s, x, k: k * torch.sin(u) - u * u_s  # noqa: E731
        return ds.solve(ds.Evolution1D(f, s[:4] / 4, s, torch.sin(np.pi * s)[:, None], 0.3, params=k, **ends)).y

    def derivatives(way):
        k = torch.tensor(0.7, dtype=W.dtype, requires_grad=True)
        first = slope(way(k), k, create_graph=True)
        return first.detach(), torch.autograd.grad(first, k)[0]

    found, plain = derivatives(lambda k: checkpoint(run, k, use_reentrant=False)), derivatives(run)
    torch.testing.assert_close(found, plain, rtol=TOL, atol=0)


def test_a_solve_within_f():
    """The inner solution is a node of the graph that the outer Jacobians come from."""

    def inner(y, a):
        x = y[..., None, :] * torch.ones((4, 1), dtype=y.dtype)
        return ds.solve(ds.Recurrence(lambda z, x, a: torch.tanh(a * z + x), 0 * y, x, a), method="newton").y[
            ..., -1, :
        ]

    def steps(y, a):
        z = 0 * y
        for _ in range(4):
            z = torch.tanh(a * z + y)
        return z

    for n in (1, 6):
        found = []
        for g in (inner, steps):
            a = torch.tensor(0.8, dtype=W.dtype, requires_grad=True)
            x = X[:8, :1] * torch.ones(n, dtype=W.dtype)
            y = solved(a, x, x[0] * 0, f=lambda y, x, a, g=g: torch.sin(g(y, a)) + x)
            found.append((y.detach(), slope(y, a)))
        torch.testing.assert_close(*found, rtol=100 * TOL, atol=TOL)


class Unbatched(torch.autograd.Function):
    """tanh, whose backward looks at numbers: vmap cannot follow it."""

    @staticmethod
    def forward(ctx, a):
        ctx.save_for_backward(a)
        return torch.tanh(a)

    @staticmethod
    def backward(ctx, c):
        (a,) = ctx.saved_tensors
        return c * (1 - torch.tanh(a) ** 2) if float(c.abs().max()) >= 0 else c


@pytest.mark.parametrize("n", [2, 6])
def test_functions_that_vmap_cannot_follow(n):
    x, found = X[:, :1] * torch.ones(n, dtype=W.dtype), []
    for tanh in (torch.tanh, Unbatched.apply):
        w = torch.eye(n, dtype=W.dtype).mul_(0.5).requires_grad_()
        y = solved(w, x, x[0] * 0, f=lambda y, x, w, tanh=tanh: tanh(y @ w + x))
        found.append((y.detach(), slope(y, w)))
    torch.testing.assert_close(*found, rtol=TOL, atol=TOL)


def test_tensors_of_inference_mode():
    with torch.inference_mode():
        w = W.clone()
        inside = solved(w)
    for y in (inside, solved(w)):
        torch.testing.assert_close(y, by_loop(W), rtol=TOL, atol=TOL)


def test_a_compiled_f_is_called_as_it_was_written():
    """What PyTorch's compiler makes of its backward may run once only."""
    traced = []

    def f(y, x, w):
        traced.append(torch.compiler.is_compiling())
        return cell(y, x, w)

    w = leaf()
    y = solved(w, f=torch.compile(f, backend="eager"))
    torch.testing.assert_close(slope(y, w), expected(), rtol=TOL, atol=TOL)
    assert traced
    assert not any(traced)


def test_a_solve_asks_no_transform_and_backward_calls_f_no_more(monkeypatch):
    """``torch.func.vjp`` imports the compiler of PyTorch on its first call, which takes seconds."""
    calls = []
    monkeypatch.setattr(torch.func, "vjp", lambda *_: calls.append("vjp"))

    def f(y, x, w):
        calls.append("f")
        return cell(y, x, w)

    w = leaf()
    y = solved(w, f=f)
    assert set(calls) == {"f"}
    calls.clear()
    first = slope(y, w, create_graph=True)
    torch.autograd.grad(first.sum(), w)
    assert calls == []
    torch.testing.assert_close(first.detach(), expected(), rtol=TOL, atol=TOL)


def test_nothing_but_the_weights_gets_a_grad_and_the_graph_is_freed():
    import weakref

    w, seen = leaf(), []
    y = solved(w, x=X.clone().requires_grad_())
    w.register_post_accumulate_grad_hook(lambda p: seen.append(p.grad.clone()))
    y.pow(2).sum().backward()
    assert len(seen) == 1
    with pytest.raises(RuntimeError, match="second time"):
        y.sum().backward()
    gone = weakref.ref(y)
    del y
    assert gone() is None
    assert tree_map(lambda a: a.grad is None, {"x": X}) == {"x": True}
