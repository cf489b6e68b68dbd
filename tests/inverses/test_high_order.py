"""Rules of high order for initial value problems: explicit pairs, Radau IIA and Gauss, against theory and SciPy."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.special import roots_jacobi, roots_legendre

import deersolve as ds
from deersolve.backends.trees import tree_map
from deersolve.inverses import collocation, registry
from deersolve.inverses.lagrange import legendre, roots
from deersolve.testing.inverse import observed_errors
from deersolve.testing.systems import FAMILIES, system_of

ORDERS = {"dopri5": 5, "dopri8": 8, "radau5": 5, "radau9": 9, **{f"gauss{2 * s}": 2 * s for s in range(1, 6)}}
EXTENDED = {"dopri5": 5, "dopri8": 8, "radau5": 4, "radau9": 6, "gauss4": 3, "gauss10": 6, "trapezoid": 2, "trbdf2": 2}
"""The order of the largest error between the points, which is not above that at the points."""
T = 2.0 * np.array([0.0, 0.08, 0.2, 0.35, 0.45, 0.6, 0.8, 0.9, 1.0])
coarse = pytest.mark.filterwarnings("ignore::deersolve.DiscretisationWarning")


def pendulum(y, t, k):
    """Return a driven pendulum."""
    xp = ds.array_namespace(y)
    return xp.stack([y[..., 1], -k * xp.sin(y[..., 0]) + 0.3 * xp.cos(2 * t[..., 0])], axis=-1)


def exact(f, t, y0, **options):
    """Return y by SciPy, of one element, at roundoff."""
    at = {"method": "DOP853", "rtol": 1e-13, "atol": 1e-13, **options}
    return solve_ivp(lambda t, y: f(y, np.array([t])), (t[0], t[-1]), y0, t_eval=t, **at).y.T


def with_stages(sol, system):
    """Return y as the discrete equation has it."""
    return system.grid.absorb(sol.y, sol.stages)


def between(problem, rule, theta):
    """Return the continuous extension at so many parts of every interval, (*B, T - 1, K, n), and the solution."""
    sol = ds.solve(problem, inverse=rule)
    system = system_of(problem, registry[f"ddt.{rule}"])
    c = system.polynomials(with_stages(sol, system))
    return np.einsum("kd,...idn->...ikn", theta[:, None] ** np.arange(c.shape[-2]), c), sol


def slope(sizes, errors):
    return -np.polyfit(np.log(sizes), np.log(errors), 1)[0]


@pytest.mark.parametrize("rule", ORDERS)
def test_the_order_on_a_grid_that_is_not_uniform(rule):
    family = FAMILIES["ddt"]
    sizes = (64, 96, 128) if ORDERS[rule] < 8 else (24, 32, 48)
    errors = observed_errors(registry[f"ddt.{rule}"], family.steep, sizes)[:, 0]
    assert slope(sizes, errors) == pytest.approx(ORDERS[rule], abs=0.3)


@pytest.mark.parametrize("rule", EXTENDED)
@coarse
def test_the_order_between_the_points(rule):
    """The polynomials meet y at both ends of every interval, and the exact solution between them."""
    theta, errors, sizes = np.linspace(0.0, 1.0, 5), [], (32, 64)
    for N in sizes:
        case = FAMILIES["ddt"].steep(N)
        t = case.problem.t
        found, sol = between(case.problem, rule, theta)
        np.testing.assert_allclose(found[:, 0], sol.y[:-1], rtol=0, atol=1e-14)
        np.testing.assert_allclose(found[:, -1], sol.y[1:], rtol=0, atol=1e-12)
        at = (t[:-1, None] + theta * np.diff(t)[:, None]).reshape(-1)
        u, v = np.exp(np.sin(3.0 * at)), 1 / (1 + at + np.sin(3.0 * at) / 3.0)
        errors.append(np.abs(found.reshape(-1, 2) - np.stack([0.8 * u - 0.6 * v, 0.6 * u + 0.8 * v], -1)).max())
    assert slope(sizes, errors) >= EXTENDED[rule] - 0.4


@pytest.mark.parametrize("s", [1, 2, 3, 4, 5])
def test_nodes_and_weights_are_those_of_gauss_and_radau(s):
    for tableau, (x, w) in ((collocation.gauss(s), roots_legendre(s)), (collocation.radau(s), _radau(s))):
        np.testing.assert_allclose(tableau.nodes[:s], (x + 1) / 2, rtol=0, atol=4e-15)
        np.testing.assert_allclose(tableau.weights[-1][1:], w / 2, rtol=0, atol=4e-15)
        A = np.array(tableau.weights)[:, 1:]
        np.testing.assert_allclose(A.sum(-1), tableau.nodes, rtol=0, atol=4e-16)
    assert all(abs(legendre(s, c)) < Fraction(1, 2**70) for c in roots(lambda c: legendre(s, c)))


def _radau(s):
    """Return nodes and weights on [-1, 1] with the right end, by those of the weight 1 - x."""
    x, w = roots_jacobi(s - 1, 1, 0) if s > 1 else (np.zeros(0), np.zeros(0))
    inner = w / (1 - x)
    return np.append(x, 1.0), np.append(inner, 2.0 - inner.sum())


@pytest.mark.parametrize("rule", ["dopri5", "dopri8"])
@pytest.mark.cases_backend("jax", "dopri5")
def test_an_explicit_rule_is_the_loop_of_its_tableau(lib, rule):
    pair, y0 = registry[f"ddt.{rule}"].pair, np.array([[1.0, 0.0], [0.2, -0.5]])
    expected = [y0]
    for t, h in zip(T[:-1], np.diff(T), strict=True):
        F = []
        for row, c in zip(pair.rows[: pair.stages - 1], pair.nodes, strict=False):
            Y = expected[-1] + h * sum((a * k for a, k in zip(row, F, strict=True)), start=0 * y0)
            F.append(pendulum(Y, np.array([t + c * h]), 1.3))
        expected.append(expected[-1] + h * sum(b * k for b, k in zip(pair.rows[pair.stages - 1], F, strict=True)))
    problem = ds.InitialValueProblem(pendulum, lib.asarray(T), lib.asarray(y0), params=1.3)
    for method in ("sequential", "newton") if not lib.is_jax else ("sequential",):
        sol = ds.solve(problem, inverse=rule, method=method)
        np.testing.assert_allclose(lib.to_numpy(sol.y), np.stack(expected, axis=1), rtol=0, atol=1e-14)
        assert not lib.to_numpy(sol.status).any()


@pytest.mark.parametrize("rule", ["dopri8", "radau5", "gauss4"])
@pytest.mark.parametrize("method", ["newton", "sequential", ds.Newton(window=3), "auto"], ids=str)
@coarse
def test_every_method_finds_the_same_in_both_directions(rule, method):
    """A batch whose elements have times of their own, forwards and backwards."""
    t, y0 = np.stack([T, 1.2 * T]), np.array([[1.0, 0.0], [0.2, -0.5]])
    for sign in (1.0, -1.0):
        problem = ds.InitialValueProblem(pendulum, sign * t, y0, params=1.3)
        sol = ds.solve(problem, inverse=rule, method=method)
        whole = ds.solve(problem, inverse=rule, method=ds.Newton())
        np.testing.assert_allclose(sol.y, whole.y, rtol=0, atol=1e-13)
        expected = np.stack([exact(lambda y, t: pendulum(y, t, 1.3), sign * t[b], y0[b]) for b in (0, 1)])
        np.testing.assert_allclose(sol.y, expected, rtol=0, atol=2e-4 if rule == "gauss4" else 1e-5)
        assert sol.converged.all()


@pytest.mark.parametrize("rule", ["dopri5", "dopri8", "radau5", "radau9", "gauss6"])
def test_a_time_that_stands_twice_has_two_sides(rule):
    """f jumps at t = 1: on both sides it is smooth, and the order is that of a smooth f; so it is of x given twice."""
    t = np.concatenate([np.linspace(0.0, 1.0, 9), np.linspace(1.0, 2.0, 9)])
    y = np.where(t < 1, np.exp(-t), np.exp(-1.0) + 0.0 * t)
    y = np.where(np.arange(18) < 9, np.exp(-t), 5.0 + (np.exp(-1.0) - 5.0) * np.exp(-(t - 1.0)))
    push = np.where(np.arange(18) < 9, 0.0, 5.0)[:, None]
    by_time = ds.InitialValueProblem(lambda y, t, p: 5.0 * (t > 1) - y, t, np.array([1.0]))
    by_x = ds.InitialValueProblem(lambda y, x, p: x - y, t, np.array([1.0]), x=push)
    for problem in (by_time, by_x):
        found, sol = between(problem, rule, np.array([0.0, 1.0]))
        np.testing.assert_allclose(sol.y[:, 0], y, rtol=0, atol=1e-7)
        np.testing.assert_allclose(found[:, 1, 0], y[1:], rtol=0, atol=1e-7)


@pytest.mark.parametrize("rule", ["dopri5", "radau5"])
def test_x_between_two_points_is_linear_and_flags_stay(rule):
    t, u = np.linspace(0.0, 1.0, 6), np.array([0.0, 1.0, 0.5, -0.5, 0.0, 0.25])
    on = np.array([True, True, False, False, True, True])

    def f(y, x, p):
        return x["u"] - 0.0 * y + 0.0 * x["on"]

    sol = ds.solve(ds.InitialValueProblem(f, t, np.zeros(1), x={"u": u[:, None], "on": on[:, None]}), inverse=rule)
    area = np.append(0.0, np.cumsum((u[1:] + u[:-1]) / 10))
    np.testing.assert_allclose(sol.y[:, 0], area, rtol=0, atol=1e-15)


def test_radau_is_l_stable():
    """Prothero and Robinson, k = 1e7: from off the slow solution it is there at once; Gauss rings."""
    t = np.linspace(0.0, 2.0, 11)
    problem = ds.InitialValueProblem(lambda y, t, k: -k * (y - np.cos(t)) - np.sin(t), t, np.array([2.0]), params=1e7)
    rules = ("radau5", "radau9", "gauss4")
    off = {rule: np.abs(ds.solve(problem, inverse=rule).y[1:, 0] - np.cos(t[1:])).max() for rule in rules}
    assert max(off["radau5"], off["radau9"]) < 1e-5
    assert off["gauss4"] > 0.5


def test_robertson_by_radau():
    """Three reactions on eleven orders of magnitude of time, against SciPy's Radau."""

    def f(y, t, p):
        a, b, c = (y[..., k] for k in range(3))
        first, second, third = 0.04 * a, 3e7 * b * b, 1e4 * b * c
        return np.stack([third - first, first - second - third, second], axis=-1)

    t = np.concatenate([[0.0], np.logspace(-5.0, 5.0, 81)])
    sol = ds.solve(ds.InitialValueProblem(f, t, np.array([1.0, 0.0, 0.0])), inverse="radau5")
    expected = exact(lambda y, t: f(y, t, None), t, [1.0, 0.0, 0.0], method="Radau", rtol=1e-8, atol=1e-13)
    np.testing.assert_allclose(sol.y[1:], expected[1:], rtol=3e-4, atol=0)


@pytest.mark.parametrize(("rule", "drift"), [("gauss4", False), ("gauss6", False), ("radau5", True)])
def test_gauss_keeps_the_energy_of_a_pendulum(rule, drift):
    """Over 25 swings the error of the energy of a symplectic rule does not grow; that of a damping one does."""
    t = np.linspace(0.0, 210.0, 601)

    def f(y, t, p):
        return np.stack([y[..., 1], -np.sin(y[..., 0])], axis=-1)

    y = ds.solve(ds.InitialValueProblem(f, t, np.array([2.0, 0.0])), inverse=rule).y
    energy = np.abs(y[:, 1] ** 2 / 2 - np.cos(y[:, 0]) + np.cos(2.0))
    grows = energy[500:].max() > 2 * energy[:100].max()
    assert grows == drift


@pytest.mark.parametrize("rule", ["dopri5", "dopri8"])
@pytest.mark.parametrize("is_diagonal", [True, False], ids=["diagonal", "full"])
def test_a_jac_of_f_goes_through_the_stages(rule, is_diagonal):
    """With its f only in NumPy's own numbers, which no dual number passes."""

    def f(y, t, p):
        return np.asarray(-y * y * y + np.cos(t), dtype=float)

    def jac(y, t, p):
        return -3 * y * y if is_diagonal else -3 * (y * y)[..., None] * np.eye(2)

    y0 = np.array([1.0, 0.3])
    plain = ds.solve(ds.InitialValueProblem(lambda y, t, p: -y * y * y + np.cos(t), T, y0), inverse=rule)
    sol = ds.solve(ds.InitialValueProblem(f, T, y0, jac=jac), inverse=rule, method=ds.Newton())
    np.testing.assert_allclose(sol.y, plain.y, rtol=0, atol=1e-14)
    assert sol.stats.derivative == "analytic"
    assert sol.stats.steps.max() <= 7


@pytest.mark.parametrize("rule", ["dopri5", "radau5", "gauss4"])
def test_derivatives_are_those_of_differences(lib, rule):
    """By y0, params, x and the times."""
    x = np.sin(3.0 * T)[:, None]

    def f(y, x, k):
        xp = ds.array_namespace(y)
        return xp.sin(xp.flip(y, axis=-1)) * x["u"] - k * y * y

    def problem(asarray, y0, k, u):
        return ds.InitialValueProblem(f, asarray(T), y0, x={"u": u}, params=k)

    y0, k = np.array([0.7, -0.2]), np.array(0.8)
    directions = {"y0": np.array([0.3, 1.0]), "params": np.array(0.5), "x": {"u": np.cos(T)[:, None]}}

    def along(e):
        moved = (y0 + e * directions["y0"], k + e * directions["params"], x + e * directions["x"]["u"])
        return ds.solve(problem(np.asarray, *moved), inverse=rule).y

    here = problem(lib.asarray, lib.asarray(y0), lib.asarray(k), lib.asarray(x))
    here.inverse = f"ddt.{rule}"
    sol = ds.solve(here, method="sequential" if lib.is_jax else "newton")
    changes = tree_map(lib.asarray, directions)
    dy = lib.to_numpy(ds.sensitivity(here, sol, changes))
    h = 1e-3
    expected = (8 * (along(h) - along(-h)) - along(2 * h) + along(-2 * h)) / (12 * h)
    np.testing.assert_allclose(dy, expected, rtol=0, atol=1e-10)
    c = np.cos(np.arange(dy.size)).reshape(dy.shape)
    bars = ds.adjoint(here, sol, lib.asarray(c), wrt=("y0", "params", "x"))
    found = [lib.to_numpy(bars["y0"]), lib.to_numpy(bars["params"]), lib.to_numpy(bars["x"]["u"])]
    given = [directions["y0"], directions["params"], directions["x"]["u"]]
    assert sum(np.sum(a * b) for a, b in zip(found, given, strict=True)) == pytest.approx(np.sum(c * dy), abs=1e-11)


@pytest.mark.parametrize("rule", ["dopri8", "radau9"])
def test_a_complex_state_is_a_pair_of_real_ones(rule):
    """y' = i w(t) y keeps |y|, and is exp of the integral of i w."""
    y0 = np.array([1.0 + 0.5j])
    sol = ds.solve(ds.InitialValueProblem(lambda y, t, w: 1j * w * xp_cos(t) * y, T, y0, params=2.0), inverse=rule)
    np.testing.assert_allclose(sol.y[:, 0], y0[0] * np.exp(2j * np.sin(T)), rtol=0, atol=1e-7)


def xp_cos(t):
    return ds.array_namespace(t).cos(t)


@pytest.mark.parametrize("rule", ["dopri5", "radau5", "gauss4"])
@pytest.mark.skip_backend("jax", reason="compiled for one precision already")
def test_single_precision_is_kept(lib, rule):
    t, y0 = lib.asarray(T), lib.asarray([1.0, 0.0], "float32")
    sol = ds.solve(ds.InitialValueProblem(pendulum, t, y0, params=1.3), inverse=rule)
    assert sol.y.dtype == y0.dtype
    expected = ds.solve(ds.InitialValueProblem(pendulum, T, np.array([1.0, 0.0]), params=1.3), inverse=rule).y
    np.testing.assert_allclose(lib.to_numpy(sol.y), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("rule", ["dopri5", "radau5", "trbdf2", "trapezoid", "backward_euler", "exponential"])
@coarse
def test_the_polynomials_have_the_derivative_of_differences(rule):
    """By params, through y and the f of the stages, on PyTorch."""
    torch = pytest.importorskip("torch")

    def coefficients(k, asarray):
        problem = ds.InitialValueProblem(pendulum, asarray(T), asarray(np.array([1.0, 0.0])), params=k)
        system = system_of(problem, registry[f"ddt.{rule}"])
        return system.polynomials(with_stages(ds.solve(problem, inverse=rule, method="newton"), system))

    k = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
    made = coefficients(k, torch.asarray)
    weights = np.cos(np.arange(made.numel())).reshape(made.shape)
    (made * torch.asarray(weights)).sum().backward()
    h, f = 1e-3, lambda k: np.sum(weights * coefficients(k, np.asarray))
    expected = (8 * (f(1.3 + h) - f(1.3 - h)) - f(1.3 + 2 * h) + f(1.3 - 2 * h)) / (12 * h)
    assert k.grad.item() == pytest.approx(expected, abs=1e-8 if rule != "exponential" else 1e-6)


def test_what_an_explicit_rule_makes_of_a_stiff_equation_is_no_answer_that_is_taken_for_one():
    """It is unstable, and the solution of its own equation: large, or not finite."""
    t = np.linspace(0.0, 2.0, 41)
    problem = ds.InitialValueProblem(lambda y, t, k: -k * (y - np.cos(t)), t, np.array([2.0]), params=1e7)
    for method in ("sequential", "newton"):
        sol = ds.solve(problem, inverse="dopri5", method=method, on_failure="return")
        assert not sol.converged or np.abs(sol.y).max() > 1e6
