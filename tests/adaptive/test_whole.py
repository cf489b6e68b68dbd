"""Initial value problems by Newton's method on all steps at once: the grid follows the solution, and says where not."""

import numpy as np
import pytest
import scipy.linalg

import deersolve as ds
from deersolve.adaptive.mesh import SHARE, divided, graded, lengths, needed, wanted
from deersolve.backends import backend_of
from deersolve.errors import ConvergenceError, InputError, UnknownKeyError

FACTOR = 10  # times the tolerance: what an error may be


def by_newton(rtol, atol=None, **options):
    return ds.Adaptive(rtol, atol, way="newton", **options)


def lotka_volterra(y, t, p):
    xp = ds.array_namespace(y)
    u, v = y[..., 0], y[..., 1]
    return xp.stack([1.5 * u - u * v, u * v - 3.0 * v], axis=-1)


END = np.array([1.0263447675750899, 0.9096910781360402])  # at t = 10 from (1, 1), in extended precision


def van_der_pol(y, t, mu):
    return np.stack([y[..., 1], mu * (1 - y[..., 0] ** 2) * y[..., 1] - y[..., 0]], axis=-1)


@pytest.mark.skip_backend("jax", reason="a program of half a minute; jit is tested by itself")
@pytest.mark.parametrize("rtol", [1e-3, 1e-6])
def test_the_error_is_the_one_that_was_allowed(lib, rtol):
    problem = ds.InitialValueProblem(lotka_volterra, lib.asarray([0.0, 10.0]), lib.asarray([1.0, 1.0]))
    sol = ds.solve(problem, method=by_newton(rtol))
    error = np.abs(lib.to_numpy(sol.y)[-1] - END) / np.abs(lib.to_numpy(sol.dense.y)).max(axis=0)
    assert bool(sol.converged)
    assert error.max() <= FACTOR * rtol
    assert sol.stats.rule == ("ddt.radau5" if rtol > 1e-4 else "ddt.radau9")
    assert "all steps at once" in sol.stats.choice
    assert float(sol.stats.discretisation_error) <= rtol


def test_between_its_points_the_solution_is_as_good():
    """y = sin(t^2), cos(t): polynomials of degree 5, whose error is that which is controlled."""

    def forced(y, t, p):
        a, b = y[..., 0] - np.sin(t[..., 0] ** 2), y[..., 1] - np.cos(t[..., 0])
        return np.stack([-a + b + 2 * t[..., 0] * np.cos(t[..., 0] ** 2), -a - b - np.sin(t[..., 0])], axis=-1)

    times = np.linspace(0.0, 4.0, 1001)
    sol = ds.solve(
        ds.InitialValueProblem(forced, np.array([0.0, 4.0]), np.array([0.0, 1.0])), method=by_newton(1e-6, 1e-6)
    )
    assert np.abs(sol(times) - np.stack([np.sin(times**2), np.cos(times)], axis=-1)).max() <= FACTOR * 1e-6


def test_steep_layers_are_found():
    """Van der Pol's equation, mu = 100: two layers of a width of 0.01 in 163, of which 32 equal steps see nothing."""
    problem = ds.InitialValueProblem(van_der_pol, np.array([0.0, 163.0]), np.array([2.0, 0.0]), params=100.0)
    sol = ds.solve(problem, method=by_newton(1e-5, 1e-8))
    known = np.array([1.9989355768358275, -0.006672462034821017])  # SciPy's Radau to 1e-12
    assert np.abs((sol.y[-1] - known) / np.abs(sol.dense.y).max(axis=0)).max() <= FACTOR * 1e-5
    steps = np.diff(sol.grid)
    assert steps.max() > 1000 * steps.min()
    assert sol.stats.steps < 200


def test_a_boundary_layer_at_the_start():
    """y' = -1e4 (y - cos t): from 0 it is at cos t within a thousandth, and behind it the steps are long."""
    k = 1e4
    problem = ds.InitialValueProblem(lambda y, t, p: -k * (y - np.cos(t)), np.array([0.0, 2.0]), np.zeros(1))
    sol = ds.solve(problem, method=by_newton(1e-6, 1e-6))
    times = np.concatenate([np.geomspace(1e-7, 1e-2, 50), np.linspace(0.01, 2.0, 50)])
    slow = (k**2 * np.cos(times) + k * np.sin(times)) / (1 + k**2)
    exact = slow - k**2 / (1 + k**2) * np.exp(-k * times)
    assert np.abs(sol(times)[:, 0] - exact).max() <= FACTOR * 1e-6
    assert sol.stats.steps < 64
    assert sol.grid[1] < 1e-3 < 0.1 < np.diff(sol.grid).max()


@pytest.mark.skip_backend("jax", reason="a program of half a minute; jit is tested by itself")
def test_batch_elements_have_their_own_grids(lib):
    """y' = -k (y - t) of k = 1 and 1000, as many steps each, where each needs them."""
    k = lib.asarray([[[1.0]], [[1000.0]]])
    problem = ds.InitialValueProblem(
        lambda y, x, p: -x["k"] * (y - x["t"]),
        lib.asarray([0.0, 1.0]),
        lib.asarray([[1.0], [1.0]]),
        x={"k": k, "t": lib.asarray([[0.0], [1.0]])},
    )
    sol = ds.solve(problem, method=by_newton(1e-8, 1e-8))
    k = np.array([1.0, 1000.0])
    exact = 1 - 1 / k + (1 + 1 / k) * np.exp(-k)
    np.testing.assert_allclose(lib.to_numpy(sol.y)[:, -1, 0], exact, atol=FACTOR * 1e-8)
    grid = lib.to_numpy(sol.grid)
    assert grid[1, 1] < grid[0, 1] / 10


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_jump_is_a_point_of_the_grid(sign):
    """A tap that opens at t = 1, forwards and mirrored; and a signal that breaks there."""
    t = sign * np.array([0.0, 1.0, 1.0, 2.0])
    y0 = np.array([[0.5], [2.0]])
    exact = y0 * np.exp(-2.0) + 1 - np.exp(-1.0)
    sol = ds.solve(
        ds.InitialValueProblem(lambda y, t, p: sign * (1.0 * (sign * t > 1) - y), t, y0), method=by_newton(1e-9, 1e-9)
    )
    np.testing.assert_allclose(sol.y[:, -1, :], exact, atol=1e-8)
    assert np.all(np.sum(sol.grid == sign, axis=-1) >= 2)
    knots = np.sort(sign * np.array([0.0, 1.0, 2.0]))
    values = np.array([0.0, 1.0, 1.0]) if sign > 0 else np.array([1.0, 0.0, 0.0])
    tap = ds.Signal(knots, values[:, None], "hold")
    held = ds.InitialValueProblem(lambda y, x, p: sign * (x["u"] - y), t[[0, 3]], y0, x={"u": tap})
    sol = ds.solve(held, method=by_newton(1e-9, 1e-9))
    np.testing.assert_allclose(sol.y[:, -1, :], exact, atol=1e-8)


def test_the_part_before_a_pole_is_there():
    problem = ds.InitialValueProblem(lambda y, t, p: y**2, np.array([0.0, 0.5, 2.0]), np.array([1.0]))
    with pytest.raises(ConvergenceError, match=r"UNDER_RESOLVED.*came to t = (1|0\.9999)") as caught:
        ds.solve(problem, method=by_newton(1e-6))
    sol = caught.value.solution
    assert sol.y[1, 0] == pytest.approx(2.0, rel=1e-5)
    assert np.isnan(sol.y[2, 0])


def test_not_a_number_on_the_way_has_its_status():
    """One element of two meets it; the other one is solved."""
    y0 = np.array([[1.0], [2.0]])
    f = lambda y, t, p: np.where((t > 1.3) & (y > 5.0), np.nan, 1.0) * y  # noqa: E731
    sol = ds.solve(
        ds.InitialValueProblem(f, np.array([0.0, 1.0, 1.5]), y0), method=by_newton(1e-6), on_failure="return"
    )
    assert list(sol.status) == [ds.Status.CONVERGED, ds.Status.NONFINITE]
    np.testing.assert_allclose(sol.y[:, 1], np.e * y0, rtol=1e-5)
    np.testing.assert_allclose(sol.y[0, -1], np.exp(1.5), rtol=1e-5)
    assert np.isnan(sol.y[1, -1, 0])
    assert sol.grid[1, -1] == pytest.approx(1.3, abs=1e-6)


def test_errors_that_grow_beyond_precision_are_not_called_solved():
    """y' = y - sin t + cos t over 40 units of time: an error of the first step is 2e17 times as large at the end."""
    start, slope = np.zeros(1), lambda y, t, p: y - np.sin(t) + np.cos(t)
    sol = ds.solve(
        ds.InitialValueProblem(slope, np.array([0.0, 40.0]), start), method=by_newton(1e-6, 1e-6), on_failure="return"
    )
    assert sol.status == ds.Status.UNDER_RESOLVED
    near = ds.solve(ds.InitialValueProblem(slope, np.array([0.0, 12.0]), start), method=by_newton(1e-7, 1e-7))
    assert abs(near.y[-1, 0] - np.sin(12.0)) <= FACTOR * 1e-7


def test_chaos_is_not_called_solved():
    """Lorenz over 45 units of time: errors grow by e^40. What was good enough until then is there."""

    def lorenz(y, t, p):
        u, v, w = y[..., 0], y[..., 1], y[..., 2]
        return np.stack([10 * (v - u), u * (28 - w) - v, u * v - 8 / 3 * w], axis=-1)

    problem = ds.InitialValueProblem(lorenz, np.array([0.0, 0.5, 45.0]), np.ones(3))
    sol = ds.solve(problem, method=by_newton(1e-3, max_steps=120), on_failure="return")
    assert sol.status == ds.Status.UNDER_RESOLVED
    assert np.isnan(sol.y[2]).all()
    near = ds.solve(ds.InitialValueProblem(lorenz, np.array([0.0, 0.5]), np.ones(3)), rtol=1e-9)
    np.testing.assert_allclose(sol.y[1], near.y[-1], rtol=FACTOR * 1e-3)


def test_steps_obey_their_limits():
    problem = ds.InitialValueProblem(lotka_volterra, np.array([0.0, 3.0]), np.ones(2))
    assert lengths(ds.solve(problem, method=by_newton(1e-3, max_step=0.05)).grid).max() <= 0.05 + 1e-12
    assert ds.solve(problem, method=by_newton(1e-8, max_steps=8), on_failure="return").status == 6


def test_gradients_are_those_of_the_discrete_equation():
    """y' = A y: the derivative of y(1) by y0 is exp(A)."""
    torch = pytest.importorskip("torch")
    A = torch.tensor([[-0.5, 2.0], [-2.0, -0.1]], dtype=torch.float64)
    y0 = torch.tensor([1.0, 0.5], dtype=torch.float64, requires_grad=True)
    times = torch.tensor([0.0, 1.0], dtype=torch.float64)
    sol = ds.solve(ds.InitialValueProblem(lambda y, t, p: y @ A.mT, times, y0), method=by_newton(1e-8))
    sol.y[-1, 0].backward()
    np.testing.assert_allclose(y0.grad.numpy(), scipy.linalg.expm(A.numpy())[0], rtol=1e-8)


@pytest.mark.slow
def test_inside_jit():
    jax = pytest.importorskip("jax")
    jnp = jax.numpy

    def end(y0):
        problem = ds.InitialValueProblem(lotka_volterra, jnp.array([0.0, 2.0]), y0)
        sol = ds.solve(problem, method=by_newton(1e-5, max_steps=24), inverse="radau5")
        return sol.y[-1, 0], sol.status

    (y, status), slope = jax.jit(jax.value_and_grad(end, has_aux=True))(jnp.ones(2))
    tight = ds.InitialValueProblem(lotka_volterra, np.array([0.0, 2.0]), np.ones(2))
    expected = ds.solve(tight, rtol=1e-10)
    assert int(status) == 0
    assert float(y) == pytest.approx(expected.y[-1, 0], rel=1e-4)
    known = [ds.sensitivity(tight, expected, {"y0": direction})[-1, 0] for direction in np.eye(2)]
    np.testing.assert_allclose(np.asarray(slope), known, rtol=1e-3)


@pytest.mark.parametrize(
    ("method", "inverse", "error", "text"),
    [
        (lambda: ds.Adaptive(way="loop"), None, UnknownKeyError, "no 'loop'"),
        (lambda: by_newton(1e-6, first_step=0.1), None, InputError, "first_step"),
        (lambda: by_newton(1e-6), "dopri5", InputError, "radau5, ddt.radau9"),
    ],
)
def test_what_does_not_belong_together_is_refused(method, inverse, error, text):
    problem = ds.InitialValueProblem(lotka_volterra, np.array([0.0, 1.0]), np.ones(2))
    with pytest.raises(error, match=text):
        ds.solve(problem, method=method(), inverse=inverse)


def test_on_a_cpu_it_is_a_march():
    sol = ds.solve(ds.InitialValueProblem(lotka_volterra, np.array([0.0, 1.0]), np.ones(2)), rtol=1e-6)
    assert "Newton" not in sol.stats.choice


def test_on_a_gpu_few_elements_are_solved_at_once_or_marched(monkeypatch):
    """Where the device is no CPU, as far as the choice sees it; a pole is left to the march."""
    problem = ds.InitialValueProblem(lambda y, t, p: y**2, np.array([0.0, 0.5]), np.array([[1.0], [0.5]]))
    monkeypatch.setattr(type(backend_of(problem.start)), "device_kind", lambda self, array: "gpu")
    sol = ds.solve(problem, rtol=1e-6)
    assert "all steps at once" in sol.stats.choice
    np.testing.assert_allclose(sol.y[:, -1, 0], [2.0, 2 / 3], rtol=1e-5)
    beyond = ds.InitialValueProblem(lambda y, t, p: y**2, np.array([0.0, 1.5]), np.array([[1.0], [0.5]]))
    sol = ds.solve(beyond, rtol=1e-6, on_failure="return")
    assert "did not come to the end" in sol.stats.choice
    assert list(sol.status) == [ds.Status.UNDER_RESOLVED, ds.Status.CONVERGED]
    assert sol.y[1, -1, 0] == pytest.approx(2.0, rel=1e-5)
    assert "all steps" not in ds.solve(problem, rtol=1e-3).stats.choice


# Grids -------------------------------------------------------------------------------------------------------------


def test_equidistribution_makes_errors_alike(lib):
    """E = (h / s)^4 of s = 0.01 (0.5 + t): on the grid of int dt / s intervals all are SHARE."""
    t, order = lib.asarray(np.linspace(0.0, 1.0, 9)), 4

    def error(t):
        return (lengths(t) / (0.005 + 0.01 * (t[1:] + t[:-1]) / 2)) ** order

    for _ in range(8):
        s = graded(wanted(error(t), t, order), t, None)
        t = divided(t, s, int(np.ceil(float(needed(s, t)))), None)
    found = lib.to_numpy(error(t))
    assert 0.9 * SHARE < found.min() <= found.max() < 1.1 * SHARE


def test_lengths_grow_with_the_way_from_a_short_one(lib):
    rng = np.random.default_rng(0)
    t = np.cumsum(rng.exponential(1.0, (2, 40)), axis=-1) * np.array([[1.0], [-1.0]])
    t[:, 20] = t[:, 21]  # a time that stands there twice
    s = 10.0 ** rng.uniform(-3.0, 1.0, (2, 39))
    middle, h = (t[:, 1:] + t[:, :-1]) / 2, np.abs(np.diff(t))
    known = np.where(h > 0, s, np.inf)
    known = np.min(known[:, :, None] + np.abs(middle[:, :, None] - middle[:, None, :]), axis=1)
    found = lib.to_numpy(graded(lib.asarray(s), lib.asarray(t), None))
    np.testing.assert_allclose(found[h > 0], known[h > 0], rtol=1e-12)


def test_stops_are_kept_in_either_direction(lib):
    stops = lib.asarray([[0.5, 1.7], [-1.0, -2.0]])
    t = lib.asarray([[0.0, 1.0, 2.0], [0.0, -1.0, -2.0]])
    points = lib.to_numpy(divided(t, lib.asarray([[0.3, 1e-2], [0.1, 0.1]]), 20, stops))
    assert np.all(np.diff(points) * [[1.0], [-1.0]] >= 0)
    for row, at in zip(points, lib.to_numpy(stops), strict=True):
        assert [np.sum(row == stop) >= 2 for stop in at] == [True, True]
