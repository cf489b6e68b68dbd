"""Every transform of torch.func around a solve: vmap in all its nestings, and derivatives beyond the second."""

from __future__ import annotations

import numpy as np
import pytest

import deersolve as ds

torch = pytest.importorskip("torch")
func = torch.func

RNG = np.random.default_rng(5)
W = torch.tensor(RNG.normal(size=(2, 2)) / 2)
X = torch.tensor(RNG.normal(size=(3, 20, 2)))
TOL = 1e-12  # 20 steps of at most 100 operations each, in eps
METHODS = ["auto", "sequential", ds.Newton(window=7), ds.Newton(structure="diagonal")]
NESTINGS = {
    "vmap": lambda f: func.vmap(f, (None, 0)),
    "vmap of vmap": lambda f: lambda w, x: func.vmap(func.vmap(f, (None, 0)), (0, None))(torch.stack([w, w / 2]), x),
    "vmap of grad": lambda f: func.vmap(func.grad(f), (None, 0)),
    "grad of vmap": lambda f: func.grad(lambda w, x: func.vmap(f, (None, 0))(w, x).sum()),
    "jacrev of vmap": lambda f: func.jacrev(func.vmap(f, (None, 0))),
    "jacfwd of vmap": lambda f: func.jacfwd(func.vmap(f, (None, 0))),
    "vmap of hessian": lambda f: func.vmap(func.hessian(f), (None, 0)),
    "vmap of jvp": lambda f: (
        lambda w, x: func.vmap(lambda x: func.jvp(lambda w: f(w, x), (w,), (torch.ones_like(w),))[1])(x)
    ),
}


def by_newton(method):
    def energy(w, x):
        problem = ds.Recurrence(lambda y, x, w: torch.tanh(y @ w + x), torch.zeros_like(x[0]), x, w)
        return (ds.solve(problem, method=method).y ** 2).sum()

    return energy


def by_loop(w, x):
    y, total = torch.zeros_like(x[0]), 0.0
    for x_i in x:
        y = torch.tanh(y @ w + x_i)
        total = total + (y**2).sum()
    return total


@pytest.mark.parametrize("nesting", NESTINGS)
@pytest.mark.parametrize("method", METHODS, ids=str)
def test_vmap_in_every_nesting(nesting, method):
    way = NESTINGS[nesting]
    np.testing.assert_allclose(way(by_newton(method))(W, X), way(by_loop)(W, X), rtol=TOL, atol=10 * TOL)


def test_backward_through_vmap():
    leaves = [W.clone().requires_grad_() for _ in range(2)]
    for f, w in zip((by_newton("auto"), by_loop), leaves, strict=True):
        func.vmap(f, (None, 0))(w, X).sum().backward()
    np.testing.assert_allclose(leaves[0].grad, leaves[1].grad, rtol=TOL)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_derivatives_of_every_order(order):
    scale, x = torch.tensor(0.7, dtype=W.dtype), X[0]

    def derivative(f):
        g = lambda s: f(s * W, x)  # noqa: E731
        for _ in range(order):
            g = func.grad(g)
        return g(scale)

    np.testing.assert_allclose(derivative(by_newton("newton")), derivative(by_loop), rtol=10**order * TOL)


def test_a_failed_element_under_vmap_touches_no_other():
    bad = X.clone()
    bad[1, 7] = torch.nan
    slopes = func.vmap(func.grad(by_newton("newton")), (None, 0))(W, bad)
    np.testing.assert_allclose(slopes[::2], func.vmap(func.grad(by_loop), (None, 0))(W, X)[::2], rtol=TOL, atol=TOL)
    assert slopes[1].isnan().all()


def test_what_is_asked_of_failures_under_vmap():
    def steep(x):
        problem = ds.Recurrence(lambda y, x, _: 4.0 * y * (1 - y) + x, torch.zeros_like(x[0]), x)
        return ds.solve(problem, method=ds.Newton(max_steps=1), on_failure=asked).y

    asked = None
    assert func.vmap(steep)(X).isnan().any()
    asked = "raise"
    with pytest.raises(ds.InputError, match="vmap"):
        func.vmap(steep)(X)


def bf16():
    return torch.autocast("cpu", dtype=torch.bfloat16)


def test_autocast_does_not_reach_into_a_solve():
    """Under autocast ``y @ w`` would be rounded to 3 digits, and so would the linear solves."""
    x = X[0].float()
    found = []
    for context in (bf16, torch.enable_grad):
        w = W.float().requires_grad_()
        with context():
            y = ds.solve(ds.Recurrence(lambda y, x, w: torch.tanh(y @ w + x), torch.zeros(2), x, w)).y
        (y**2).sum().backward()
        found.append((y.detach(), w.grad))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    with bf16():
        w = W.float().requires_grad_()
        y = ds.solve(ds.Recurrence(lambda y, x, w: torch.tanh(y * w + x), torch.zeros(2), x, w[0])).y
        (y**2).sum().backward()
    v = W.float().requires_grad_()
    (ds.solve(ds.Recurrence(lambda y, x, w: torch.tanh(y * w + x), torch.zeros(2), x, v[0])).y ** 2).sum().backward()
    torch.testing.assert_close(w.grad, v.grad, rtol=0, atol=0)


def test_two_dtypes_in_f_name_y0_and_autocast():
    problem = ds.Recurrence(lambda y, x, w: torch.tanh(y @ w), torch.zeros(2), params=W, n_points=5)
    with pytest.raises(RuntimeError, match="dtype") as caught:
        ds.solve(problem)
    assert "float32" in caught.value.__notes__[0]
    assert "utocast" in caught.value.__notes__[0]


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # of torch.compile itself
def test_torch_compile_leaves_a_solve_alone():
    traced = []

    def model(w):
        def f(y, x, w):
            traced.append(torch.compiler.is_compiling())
            return torch.tanh(y @ w + x)

        return (2 * ds.solve(ds.Recurrence(f, torch.zeros(2, dtype=w.dtype), X[0], w)).y ** 2).sum()

    leaves = [W.clone().requires_grad_() for _ in range(2)]
    for f, w in zip((torch.compile(model, backend="eager"), model), leaves, strict=True):
        f(w).backward()
    torch.testing.assert_close(leaves[0].grad, leaves[1].grad, rtol=0, atol=0)
    assert traced
    assert not any(traced)


@pytest.mark.parametrize(("rule", "says"), [("trapezoid", "exact, by one linear"), ("exponential", "4 Newton steps")])
def test_stats_say_how_y_is_differentiated(rule, says):
    t = np.linspace(0.0, 1.0, 11)
    sol = ds.solve(ds.InitialValueProblem(lambda y, t, _: -y, t, np.ones(1)), inverse=rule)
    assert says in sol.stats.gradient


@pytest.mark.parametrize("products", [torch.backends.cuda.matmul, torch.backends.mkldnn.matmul], ids=["cuda", "cpu"])
def test_tf32_does_not_reach_into_a_solve(products):
    """With products rounded to 3 digits the residual of float32 does not come to rest."""
    seen = []

    def f(y, x, w):
        seen.append(products.fp32_precision)
        return torch.tanh(y @ w + x)

    w, before = W.float().requires_grad_(), products.fp32_precision
    products.fp32_precision = "tf32"
    try:
        y = ds.solve(ds.Recurrence(f, torch.zeros(2), X[0].float(), w)).y
        (y**2).sum().backward()
        assert set(seen) == {"ieee"}
        assert products.fp32_precision == "tf32"
    finally:
        products.fp32_precision = before
