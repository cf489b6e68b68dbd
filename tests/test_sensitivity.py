"""sensitivity() and adjoint() on every library: against complex steps through the loop, differences and each other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import deersolve as ds

RNG = np.random.default_rng(5)
B, T, N = 3, 12, 2
PARAMS = {"W": RNG.normal(size=(N, N)) / 2, "b": 0.3}
STEP = 1e-30  # of a complex step: exact to roundoff


def two_lags(a, b, x, p):
    xp = ds.array_namespace(a)
    return xp.tanh(a @ p["W"] + x["own"]) - p["b"] * b + x["shared"] * a


def move(tree, direction, step):
    """Return tree + step * direction."""
    if isinstance(tree, dict):
        return {k: move(v, direction[k], step) for k, v in tree.items()}
    return tree + step * direction


def draw(tree, rng):
    return {k: draw(v, rng) for k, v in tree.items()} if isinstance(tree, dict) else rng.normal(size=np.shape(tree))


def on(lib, tree):
    return {k: on(lib, v) for k, v in tree.items()} if isinstance(tree, dict) else lib.asarray(tree)


def to_numpy(lib, tree):
    return {k: to_numpy(lib, v) for k, v in tree.items()} if isinstance(tree, dict) else lib.to_numpy(tree)


def inner(a, b):
    return sum(inner(a[k], b[k]) for k in a) if isinstance(a, dict) else float(np.sum(a * b))


def case():
    """Return the fields of a recurrence: x of one element each, and of all of them."""
    x = {"own": RNG.normal(size=(B, T, N)), "shared": RNG.normal(size=(T, 1)) / 4}
    return {"params": PARAMS, "y0": RNG.normal(size=(B, 2, N)), "x": x}


def recurrence(fields):
    return ds.Recurrence(two_lags, fields["y0"], fields["x"], fields["params"], lags=(1, 2))


def by_the_loop(fields, direction):
    """Return dy/d(step) along a direction, by a complex step through the loop."""
    moved = move(fields, direction, 1j * STEP)
    history, x = [moved["y0"][:, k] for k in range(2)], moved["x"]
    for i in range(T):
        here = {"own": x["own"][:, i], "shared": x["shared"][i]}
        history.append(two_lags(history[-1], history[-2], here, moved["params"]))
    return np.stack(history[2:], 1).imag / STEP


def test_recurrence_along_all_fields_at_once(lib):
    fields = case()
    directions = [draw(fields, RNG) for _ in range(3)]
    problem = recurrence(on(lib, fields))
    sol = ds.solve(problem)
    found = ds.sensitivity(problem, sol, [on(lib, d) for d in directions])
    for dy, direction in zip(lib.to_numpy(found), directions, strict=True):
        np.testing.assert_allclose(dy, by_the_loop(fields, direction), rtol=0, atol=1e-12)
    one = ds.sensitivity(problem, sol, {"y0": on(lib, directions[0]["y0"])})
    zero = {k: move(v, v, -1.0) for k, v in fields.items()}
    expected = by_the_loop(fields, {**zero, "y0": directions[0]["y0"]})
    np.testing.assert_allclose(lib.to_numpy(one), expected, rtol=0, atol=1e-12)


@pytest.mark.cases_backend("jax")
def test_adjoint_is_the_transpose_of_the_sensitivity(lib):
    fields = case()
    problem = recurrence(on(lib, fields))
    sol = ds.solve(problem)
    c, direction = RNG.normal(size=(B, T, N)), draw(fields, RNG)
    bars = ds.adjoint(problem, sol, lib.asarray(c), wrt=("params", "y0", "x"))
    found = {
        k: {j: lib.to_numpy(b) for j, b in v.items()} if isinstance(v, dict) else lib.to_numpy(v)
        for k, v in bars.items()
    }
    assert found["params"]["W"].shape == (N, N)
    assert found["params"]["b"].shape == ()
    assert found["x"]["shared"].shape == (T, 1)
    for name in fields:
        zero = {k: move(v, v, -1.0) for k, v in fields.items()}
        dy = by_the_loop(fields, {**zero, name: direction[name]})
        assert inner(found[name], direction[name]) == pytest.approx(inner(c, dy), rel=1e-11, abs=1e-11)


@pytest.mark.filterwarnings("ignore::deersolve.DiscretisationWarning")
@pytest.mark.parametrize("rule", ["trapezoid", "backward_euler"])
def test_differential_equation_and_its_grid(lib, rule):
    """Against differences of the converged discrete solution; a central difference of 1e-5 is right to 1e-9."""
    t = 2.0 * np.linspace(0.0, 1.0, 31) ** 1.3

    def f(y, t, p):
        xp = ds.array_namespace(y)
        return -p * y * y + xp.sin(t)

    fields = {"params": np.array([[0.7, 0.4]]), "y0": np.array([1.2, 0.8]), "t": t}
    direction = {k: RNG.normal(size=v.shape) * 0.05 for k, v in fields.items()}

    def solve(fields, as_array=np.asarray):
        p, y0, t = (as_array(fields[k]) for k in ("params", "y0", "t"))
        problem = ds.InitialValueProblem(f, t, y0, params=p)
        return problem, ds.solve(problem, inverse=rule)

    up, down = (solve(move(fields, direction, s * 1e-4))[1].y for s in (1, -1))
    problem, sol = solve(fields, lib.asarray)
    dy = lib.to_numpy(ds.sensitivity(problem, sol, on(lib, direction)))
    np.testing.assert_allclose(dy, (up - down) / 2e-4, rtol=0, atol=1e-8)
    c = RNG.normal(size=(31, 2))
    names = ("params", "y0", "t") if lib.is_jax or lib.is_torch else ("params", "y0")
    bars = ds.adjoint(problem, sol, lib.asarray(c), wrt=names)
    some = {k: direction[k] for k in names}
    dy = lib.to_numpy(ds.sensitivity(problem, sol, on(lib, some)))
    assert sum(inner(lib.to_numpy(bars[k]), some[k]) for k in names) == pytest.approx(inner(c, dy), rel=1e-11)


@pytest.mark.filterwarnings("ignore::deersolve.DiscretisationWarning")
def test_adjoint_by_an_input_of_a_differential_equation():
    """The trapezoid knows f at two points: the gradient by x is split among the rows that see it."""
    t, u = np.linspace(0.0, 1.0, 14), RNG.normal(size=(2, 14, 3))
    problem = ds.InitialValueProblem(
        lambda y, u, p: -y * y + np.sin(u[..., :1] * u[..., 1:2]) + u[..., 2:], t, np.ones((2, 1)), u
    )
    sol = ds.solve(problem)
    c, du = RNG.normal(size=sol.y.shape), RNG.normal(size=u.shape)
    bar = ds.adjoint(problem, sol, c, wrt="x")["x"]
    assert bar.shape == u.shape
    assert inner(bar, du) == pytest.approx(inner(c, ds.sensitivity(problem, sol, {"x": du})), rel=1e-12)


@given(
    n=st.integers(1, 3),
    T=st.integers(1, 9),
    lags=st.sampled_from([(1,), (2,), (1, 3), (5,)]),
    seed=st.integers(0, 2**31),
)
def test_adjoint_identity_of_any_recurrence(n, T, lags, seed):
    rng, K = np.random.default_rng(seed), max(lags)

    def f(*args):
        *ys, x, w = args
        return np.tanh(sum(y @ w for y in ys) + x)

    w, x = rng.normal(size=(n, n)) / 2, rng.normal(size=(T, n))
    y0 = rng.normal(size=(n,) if lags == (1,) else (K, n))
    problem = ds.Recurrence(f, y0, x, w, lags=lags)
    sol = ds.solve(problem)
    c, d = rng.normal(size=(T, n)), {"params": rng.normal(size=w.shape), "y0": rng.normal(size=y0.shape)}
    bars = ds.adjoint(problem, sol, c)
    dy = ds.sensitivity(problem, sol, d)
    size = np.abs(c * dy).sum() + sum(np.abs(bars[k] * d[k]).sum() for k in d)
    assert abs(sum(inner(bars[k], d[k]) for k in d) - inner(c, dy)) <= 1e-12 * max(size, 1.0)


def test_a_function_that_dual_numbers_cannot_follow_is_differentiated_by_differences():
    from scipy.special import erf

    problem = ds.Recurrence(lambda y, x, p: p * erf(y) + 0.1, np.array([0.5]), params=np.array(0.8), n_points=9)
    dy = ds.sensitivity(problem, ds.solve(problem), {"params": np.array(1.0)})
    y, slope = np.concatenate([[0.5], ds.solve(problem).y[:, 0]]), 0.0
    for i in range(9):
        slope = erf(y[i]) + 0.8 * 2 / np.sqrt(np.pi) * np.exp(-(y[i] ** 2)) * slope
        assert dy[i, 0] == pytest.approx(slope, rel=1e-8)


def test_a_solution_of_other_parameters_is_refused(lib):
    """A stale solution would give the derivative of nothing."""
    fields = case()
    problem = recurrence(on(lib, fields))
    sol = ds.solve(problem, method=ds.Newton(rtol=1e-4))
    ds.sensitivity(problem, sol, {"y0": on(lib, fields["y0"])})  # solved loosely: still its own
    fields["params"] = {"W": PARAMS["W"] * 1.1, "b": 0.3}
    with pytest.raises(ds.InputError, match="Solve again"):
        ds.sensitivity(recurrence(on(lib, fields)), sol, {"y0": on(lib, fields["y0"])})
    with pytest.raises(ds.InputError, match="Solve again"):
        ds.adjoint(recurrence(on(lib, fields)), sol, sol.y)


@pytest.mark.filterwarnings("ignore::deersolve.DiscretisationWarning")
def test_the_rule_is_that_of_the_solution():
    t = np.linspace(0.0, 1.0, 6)
    problem = ds.Problem(
        lambda y, x, p: -p * y,
        shift=ds.identity,
        inverse=ds.inverses.registry["ddt.trapezoid"],
        grid=ds.TimeGrid(t, np.diff(t)[:, None]),
        boundary=ds.Initial(np.ones((1, 1))),
        params=np.array(1.0),
    )
    guess = np.ones((6, 1))
    for rule, factor, slope in (("trapezoid", 0.9 / 1.1, -0.2 / 1.21), ("backward_euler", 1 / 1.2, -0.2 / 1.44)):
        sol = ds.solve(problem, guess, inverse=f"ddt.{rule}")
        dy = ds.sensitivity(problem, sol, {"params": np.array(1.0)})
        np.testing.assert_allclose(dy[:, 0], np.arange(6) * factor ** (np.arange(6) - 1.0) * slope, rtol=1e-12, atol=0)


def test_bad_requests_are_clear_errors():
    problem = ds.Recurrence(lambda y, x, p: p * y * (1 - y), np.array([0.3]), params=np.array(2.5), n_points=50)
    sol = ds.solve(problem)
    one = np.array(1.0)
    with pytest.raises(ds.UnknownKeyError, match="params"):
        ds.sensitivity(problem, sol, {"parameters": one})
    with pytest.raises(ds.InputError, match=r"directions\['y0'\]"):
        ds.sensitivity(problem, sol, {"y0": np.ones(3)})
    with pytest.raises(ds.InputError, match="dict"):
        ds.sensitivity(problem, sol, [])
    with pytest.raises(ds.InputError, match="x"):
        ds.sensitivity(problem, sol, {"x": one})
    with pytest.raises(ds.InputError, match="cotangent"):
        ds.adjoint(problem, sol, np.ones(50))
    failed = ds.solve(problem, method=ds.Newton(max_steps=1), on_failure="return")
    with pytest.raises(ds.InputError, match="MAX_STEPS"):
        ds.sensitivity(problem, failed, {"params": one})
    t = np.linspace(0.0, 1.0, 11)
    ivp = ds.InitialValueProblem(lambda y, t, p: -p * y, t, np.ones(1), params=np.array(1.0))
    with pytest.raises(ds.InputError, match="exact"):
        ds.sensitivity(ivp, ds.solve(ivp, inverse="exponential"), {"params": one})
    with pytest.raises(ds.InputError, match="wrt='t'"):
        ds.adjoint(ivp, ds.solve(ivp), np.ones((11, 1)), wrt="t")


def test_gradients_have_the_layouts_that_were_given(lib):
    """A tuple of conditions, numbers, a coefficient of one number for a batch of two components."""
    if lib.is_jax:
        pytest.skip("nothing that depends on the library")
    s, rng = np.linspace(0.0, 1.0, 9), np.random.default_rng(0)
    ends = {"left": (ds.Dirichlet(lib.asarray([0.3])), ds.Robin(1.0, 0.5, 0.1)), "right": ds.Neumann(-0.2)}
    x, b = lib.asarray(rng.normal(size=(3, 1, 2))), lib.asarray([0.2, -0.1])
    f = lambda u, u_s, x, p: u * u * u + u * x["q"] - p[0]  # noqa: E731
    problem = ds.BoundaryValueProblem(f, lib.asarray(s), **ends, a=1.5, b=b, x={"q": x}, params=[0.7])
    sol = ds.solve(problem)
    c, names = rng.normal(size=(3, 9, 2)), ("left", "right", "a", "b", "x", "params")
    bars = ds.adjoint(problem, sol, lib.asarray(c), wrt=names)
    assert [tuple(v.shape) for v in bars["left"]] == [(1,), ()]
    shapes = {"right": (), "a": (), "b": (2,)}
    assert {k: tuple(bars[k].shape) for k in shapes} == shapes
    assert tuple(bars["x"]["q"].shape) == (3, 1, 2)
    v = {"left": ([0.2], -0.4), "right": 0.7, "a": -0.3, "b": [0.5, 0.1], "x": {"q": rng.normal(size=(3, 1, 2))}}
    given = {**{k: lib.asarray(v[k]) for k in shapes}, "left": tuple(map(lib.asarray, v["left"])), "params": [1.0]}
    dy = lib.to_numpy(ds.sensitivity(problem, sol, {**given, "x": on(lib, v["x"])}))
    back = sum(float(np.sum(lib.to_numpy(bars[k]) * v[k])) for k in shapes) + float(bars["params"][0])
    back += sum(float(np.sum(lib.to_numpy(a) * d)) for a, d in zip(bars["left"], v["left"], strict=True))
    back += inner(lib.to_numpy(bars["x"]["q"]), v["x"]["q"])
    assert back == pytest.approx(inner(c, dy), rel=1e-12)
