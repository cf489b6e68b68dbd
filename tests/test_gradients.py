"""Derivatives of solutions against those of the loop, and against differences of the discrete solution."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
@pytest.mark.deep_but("newton-params")
@pytest.mark.slow
def test_jax_every_mode_and_order(method, closed):
    jax = pytest.importorskip("jax")
    args = tuple(map(jax.numpy.asarray, (W, X, Y0)))

    def ours(*args):
        return energy(*args, method, closed)

    def by_the_loop(w, x, y0):  # compiled once, not each of its steps
        def step(y, x):
            y = jax.numpy.tanh(y @ w + x)
            return y, (y**2).sum()

        return jax.lax.scan(step, y0, x)[1].sum()

    for way in (jax.grad, jax.jacfwd, lambda f, n: jax.jit(jax.grad(f, n)), lambda f, n: jax.jit(jax.jacfwd(f, n))):
        for found, expected in zip(way(ours, (0, 1, 2))(*args), jax.grad(by_the_loop, (0, 1, 2))(*args), strict=True):
            np.testing.assert_allclose(found, expected, rtol=TOL, atol=TOL)
    for order in (jax.hessian, lambda f: jax.jacfwd(jax.hessian(f))):
        found, expected = (order(f)(*args) for f in (ours, by_the_loop))
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
    ("rule", "n"),
    [
        ("trapezoid", 1),
        ("trapezoid", 3),
        ("backward_euler", 3),
        ("exponential", 3),
        ("exponential_left", 1),
        ("exponential_right", 1),
    ],
)
@pytest.mark.deep_but("exponential_left-1")
@pytest.mark.slow
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


def half_failed(x, y0, w):
    """Return y of three elements, of which the second meets a NaN in x and fails; w is shared."""
    xp = ds.array_namespace(x)
    problem = ds.Recurrence(lambda y, x, w: w * xp.tanh(y) + x, y0, x, w)
    return ds.solve(problem, method="newton", on_failure="return")


BAD_X = np.random.default_rng(3).normal(size=(3, 20, 1))
BAD_X[1, 7] = np.nan


def by_loop(x, y0, w):
    xp, rows = ds.array_namespace(x), [y0]
    for i in range(x.shape[-2]):
        rows.append(w * xp.tanh(rows[-1]) + x[..., i, :])
    return xp.stack(rows[1:], -2)


@pytest.mark.slow
def test_jax_a_failed_element_gives_zero_or_nan_and_touches_no_other():
    jax = pytest.importorskip("jax")
    jnp = jax.numpy
    x, y0, w = jnp.asarray(BAD_X), jnp.full((3, 1), 0.1), jnp.asarray(0.6)
    assert half_failed(x, y0, w).status.tolist() == [0, int(ds.Status.NONFINITE), 0]
    good = jnp.asarray([0, 2])

    def loss(x, y0, w, which):
        return jnp.sum(half_failed(x, y0, w).y[which] ** 2)

    expected = jax.grad(lambda *a: jnp.sum(by_loop(*a) ** 2), (0, 1, 2))(x[good], y0[good], w)
    for way in (jax.grad, lambda f, n: jax.jit(jax.grad(f, n))):
        found = way(loss, (0, 1, 2))(x, y0, w, good)
        for ours, theirs in zip(found[:2], expected[:2], strict=True):
            np.testing.assert_allclose(ours[good], theirs, rtol=TOL, atol=TOL)
            assert (ours[1] == 0).all()
        np.testing.assert_allclose(found[2], expected[2], rtol=TOL)
        dx, dy0, dw = way(loss, (0, 1, 2))(x, y0, w, jnp.asarray([0, 1, 2]))
        assert np.isnan(dw)
        assert np.isnan(dy0[1]).all()
        np.testing.assert_allclose(dx[good], expected[0], rtol=TOL, atol=TOL)
    dy = jax.jvp(lambda w: half_failed(x, y0, w).y, (w,), (jnp.ones(()),))[1]
    assert np.isnan(dy[1]).all()
    assert np.isfinite(dy[good]).all()
    dy = jax.jvp(lambda y0: half_failed(x, y0, w).y, (y0,), (jnp.ones((3, 1)).at[1].set(0.0),))[1]
    assert (dy[1] == 0).all()
    assert (dy[good, 0] != 0).all()


def test_jax_a_failed_element_under_vmap_and_a_checkpoint():
    jax = pytest.importorskip("jax")
    jnp = jax.numpy
    x, y0, w = jnp.asarray(BAD_X), jnp.full((3, 1), 0.1), jnp.asarray(0.6)

    def loss(w, x, y0, counts):
        return counts * jnp.sum(half_failed(x, y0, w).y ** 2)

    expected = [jax.grad(lambda w, b=b: jnp.sum(by_loop(x[b], y0[b], w) ** 2))(w) for b in (0, 2)]
    each = jax.vmap(jax.grad(loss), in_axes=(None, 0, 0, 0))
    found = each(w, x, y0, jnp.asarray([1.0, 0.0, 1.0]))
    np.testing.assert_allclose(found, [expected[0], 0.0, expected[1]], rtol=TOL)
    assert np.isnan(each(w, x, y0, jnp.ones(3))).tolist() == [False, True, False]
    kept = jax.jit(jax.grad(jax.checkpoint(lambda w: loss(w, x[0], y0[0], 1.0))))(w)
    np.testing.assert_allclose(kept, expected[0], rtol=TOL)


def test_torch_a_failed_element_gives_zero_or_nan_and_touches_no_other():
    torch = pytest.importorskip("torch")
    good = [0, 2]

    def leaves():
        return [torch.tensor(np.asarray(a), requires_grad=True) for a in (BAD_X, np.full((3, 1), 0.1), 0.6)]

    args = leaves()
    (half_failed(*args).y[good] ** 2).sum().backward()
    theirs = leaves()
    (by_loop(theirs[0][good], theirs[1][good], theirs[2]) ** 2).sum().backward()
    for a, b in zip(args[:2], theirs[:2], strict=True):
        np.testing.assert_allclose(a.grad[good], b.grad[good], rtol=TOL, atol=TOL)
        assert (a.grad[1] == 0).all()
    np.testing.assert_allclose(args[2].grad, theirs[2].grad, rtol=TOL)
    args = leaves()
    (half_failed(*args).y ** 2).sum().backward()
    assert args[2].grad.isnan()
    assert args[1].grad[1].isnan().all()
    np.testing.assert_allclose(args[0].grad[good], theirs[0].grad[good], rtol=TOL, atol=TOL)


@pytest.mark.parametrize("mode", ["nan", "return"])
def test_an_unfinished_solution_has_no_finite_gradient(mode):
    """MAX_STEPS leaves a finite y: its gradient must not look like one of a solution."""
    torch = pytest.importorskip("torch")
    w = torch.tensor(3.7, requires_grad=True, dtype=torch.float64)
    problem = ds.Recurrence(lambda y, x, w: w * y * (1 - y), torch.tensor([0.3], dtype=w.dtype), params=w, n_points=99)
    sol = ds.solve(problem, method=ds.Newton(max_steps=2), on_failure=mode)
    assert int(sol.status) != 0
    sol.y.sum().backward()
    assert w.grad.isnan()


@pytest.mark.parametrize("rule", ["trapezoid", "backward_euler"])
@pytest.mark.filterwarnings("ignore::deersolve.DiscretisationWarning")
def test_torch_two_orders_of_the_exact_rules(rule):
    torch = pytest.importorskip("torch")
    a, t, y0 = (torch.tensor(v, requires_grad=True, dtype=torch.float64) for v in (0.7, np.linspace(0, 1, 6), [1.2]))

    def end(a, t, y0):
        problem = ds.InitialValueProblem(lambda y, t, a: -a * y * y + torch.sin(t), t, y0, params=a)
        return ds.solve(problem, inverse=rule).y[-1]

    assert torch.autograd.gradcheck(end, (a, t, y0))
    assert torch.autograd.gradgradcheck(end, (a, t, y0))


def test_torch_lags_and_weights_of_a_module():
    torch = pytest.importorskip("torch")
    layer = torch.nn.Linear(4, 2).double()
    x = torch.tensor(RNG.normal(size=(3, 25, 2)))

    def f(a, b, x, _):
        return torch.tanh(layer(torch.cat([a, b], -1)) + x)

    def energy_of(y):
        return (y**2).sum()

    y0 = torch.tensor(RNG.normal(size=(3, 2, 2)))
    energy_of(ds.solve(ds.Recurrence(f, y0, x, lags=(1, 2))).y).backward()
    ours = [p.grad.clone() for p in layer.parameters()]
    layer.zero_grad()
    rows = [y0[:, 0], y0[:, 1]]
    for i in range(25):
        rows.append(f(rows[-1], rows[-2], x[:, i], None))
    energy_of(torch.stack(rows[2:], 1)).backward()
    for a, p in zip(ours, layer.parameters(), strict=True):
        np.testing.assert_allclose(a, p.grad, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("method", METHODS, ids=IDS)
def test_torch_dual_tensors(method):
    torch = pytest.importorskip("torch")
    w, x, y0 = (torch.tensor(a) for a in (W, X, Y0))
    forward, direction = torch.autograd.forward_ad, torch.ones_like(w)
    for way in (torch.enable_grad, torch.no_grad):
        with way(), forward.dual_level():
            moving = forward.make_dual(w, direction)
            found, expected = energy(moving, x, y0, method, True), energy_by_the_loop(moving, x, y0)
            found, expected = (forward.unpack_dual(e).tangent for e in (found, expected))
        np.testing.assert_allclose(found, expected, rtol=TOL)


def test_torch_third_derivatives_are_refused():
    torch = pytest.importorskip("torch")
    x, y0 = torch.tensor(X), torch.tensor(Y0)
    w, h = (torch.tensor(v, requires_grad=True, dtype=x.dtype) for v in (0.5, 0.5))
    ours = ds.solve(ds.Recurrence(lambda y, x, w: torch.tanh(w * y) + x, y0, x, w)).y.pow(2).sum()
    rows = [y0]
    for x_i in x:
        rows.append(torch.tanh(h * rows[-1]) + x_i)
    theirs = torch.stack(rows[1:]).pow(2).sum()
    for _ in range(2):
        (ours,), (theirs,) = (torch.autograd.grad(g, v, create_graph=True) for g, v in ((ours, w), (theirs, h)))
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=0)
    with pytest.raises(ds.InputError, match="third"):
        torch.autograd.grad(ours, w)


def test_backward_is_one_jacobian_and_one_transposed_solve(monkeypatch):
    torch = pytest.importorskip("torch")
    from deersolve.backends import _torch_rows
    from deersolve.inverses import registry
    from deersolve.newton.equation import System

    calls = []
    rule = type(registry["shift.scan"])
    watched = (System, "linearise"), (System, "f"), (_torch_rows, "_pulled"), (rule, "transpose"), (rule, "solve")
    for owner, name in watched:
        real = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *a, _r=real, _n=name, **k: (calls.append(_n), _r(*a, **k))[1])
    w = torch.tensor(W, requires_grad=True)
    loss = energy(w, torch.tensor(X), torch.tensor(Y0), "newton", True)
    calls.clear()
    loss.backward()
    assert calls == ["_pulled"] * len(W) + ["transpose"]  # a row each


@pytest.mark.slow
def test_y_corrected_has_its_own_gradient_or_an_error():
    t, h = np.linspace(0.0, 2.0, 41), 1e-5

    def problem(library, k):
        xp, as_array = library
        return ds.InitialValueProblem(
            lambda y, t, k: xp.sin(t) - k * y * y, as_array(t), as_array(np.ones(1)), params=k
        )

    jax, torch = pytest.importorskip("jax"), pytest.importorskip("torch")

    def end(k):
        return ds.solve(problem((jax.numpy, jax.numpy.asarray), k)).y_corrected[-1, 0]

    np.testing.assert_allclose(jax.grad(end)(0.7), (end(0.7 + h) - end(0.7 - h)) / (2 * h), rtol=1e-8)
    k = torch.tensor(0.7, requires_grad=True, dtype=torch.float64)
    sol = ds.solve(problem((torch, torch.tensor), k))
    with pytest.raises(ds.InputError, match=r"sol\.y"):
        sol.y_corrected.sum().backward()
    sol.y.sum().backward()
    assert k.grad.isfinite()


@given(n=st.integers(1, 3), T=st.integers(1, 12), lags=st.sampled_from([(1,), (2,), (1, 3), (1, 20)]), data=st.data())
def test_gradient_of_a_batch_is_that_of_its_elements(n, T, lags, data):
    """The stack of single gradients, in any order of the batch; what all share gets their sum."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(data.draw(st.integers(0, 2**31)))
    order = data.draw(st.permutations(range(4)))
    w = rng.normal(size=(n, n)) / 2
    y0 = rng.normal(size=(4, n) if lags == (1,) else (4, max(lags), n))
    x, c = rng.normal(size=(4, T, n)), torch.tensor(rng.normal(size=(4, T, n)))

    def f(*args):
        *ys, x, w = args
        return torch.tanh(sum(y @ w for y in ys) + x)

    def gradients(which):
        args = [torch.tensor(a, requires_grad=True) for a in (w, y0[which], x[which])]
        sol = ds.solve(ds.Recurrence(f, args[1], args[2], args[0], lags=lags), method="newton")
        (c[which] * sol.y).sum().backward()
        return [a.grad.numpy() for a in args]

    whole, permuted = gradients(list(range(4))), gradients(order)
    singles = [gradients(b) for b in range(4)]
    scale = 64 * T * len(lags) * np.finfo(float).eps * max(1.0, *(np.abs(g).max() for g in whole))
    np.testing.assert_allclose(whole[0], sum(one[0] for one in singles), rtol=0, atol=n * scale)
    np.testing.assert_allclose(permuted[0], whole[0], rtol=0, atol=n * scale)
    for k in (1, 2):
        np.testing.assert_allclose(whole[k], np.stack([one[k] for one in singles]), rtol=0, atol=scale)
        np.testing.assert_allclose(permuted[k], whole[k][order], rtol=0, atol=scale)
