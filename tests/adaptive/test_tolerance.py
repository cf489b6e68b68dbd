"""Initial value problems to a tolerance: the error is what was allowed, and what is claimed of it holds."""

import warnings

import numpy as np
import pytest
import scipy.integrate
import scipy.linalg
from hypothesis import given
from hypothesis import strategies as st

import deersolve as ds
from deersolve.errors import ConvergenceError, InputError

RULES = ("dopri5", "dopri8", "radau5", "radau9")
FACTOR = 10  # times the tolerance: what an error may be


def forced(y, t, p):
    """Damped oscillation with a force, whose solution is sin(t^2), cos(t) when started there."""
    xp = ds.array_namespace(y)
    u, v = xp.sin(t[..., 0] ** 2), xp.cos(t[..., 0])
    a, b = y[..., 0] - u, y[..., 1] - v
    return xp.stack([-a + b + 2 * t[..., 0] * xp.cos(t[..., 0] ** 2), -a - b - xp.sin(t[..., 0])], axis=-1)


def truth(t):
    return np.stack([np.sin(t**2), np.cos(t)], axis=-1)


def lotka_volterra(y, t, p):
    xp = ds.array_namespace(y)
    u, v = y[..., 0], y[..., 1]
    return xp.stack([1.5 * u - u * v, u * v - 3.0 * v], axis=-1)


def van_der_pol(mu):
    def f(y, t, p):
        xp = ds.array_namespace(y)
        return xp.stack([y[..., 1], mu * (1 - y[..., 0] ** 2) * y[..., 1] - y[..., 0]], axis=-1)

    return f


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.cases_backend("jax", "dopri5")
def test_the_error_is_the_one_that_was_allowed(lib, rule):
    t = np.linspace(0.0, 4.0, 9)
    problem = ds.InitialValueProblem(forced, lib.asarray(t), lib.asarray(truth(0.0)))
    for rtol in (1e-4, 1e-8) if rule == "dopri8" else (1e-5,):
        sol = ds.solve(problem, rtol=rtol, atol=rtol, inverse=rule)
        assert bool(sol.converged)
        error = np.abs(lib.to_numpy(sol.y) - truth(t)).max()
        assert error <= FACTOR * rtol
        assert sol.stats.rule == f"ddt.{rule}"


@pytest.mark.parametrize("rule", RULES)
def test_the_estimate_is_the_error(rule):
    """At the end of a stretch where errors neither grow nor fade fast: between half of it and twice."""
    t = np.array([0.0, 10.0])
    end = [1.0263447675750899, 0.9096910781360402]  # of an integration in extended precision
    sol = ds.solve(ds.InitialValueProblem(lotka_volterra, t, np.array([1.0, 1.0])), rtol=1e-5, inverse=rule)
    peak = np.abs(sol.dense.y).max(axis=0)
    error = np.max(np.abs(sol.y[-1] - end) / peak)
    assert error / 3 <= sol.stats.discretisation_error <= 3 * error


def test_errors_that_grow_are_mended_by_smaller_steps():
    """y' = y - sin t + cos t over 12 units of time: an error of the first step is 160,000 times as large at the end."""
    t = np.array([0.0, 12.0])
    problem = ds.InitialValueProblem(lambda y, t, p: y - np.sin(t) + np.cos(t), t, np.array([0.0]))
    sol = ds.solve(problem, rtol=1e-7, atol=1e-7)
    assert bool(sol.converged)
    assert "errors grow" in sol.stats.choice
    assert abs(sol.y[-1, 0] - np.sin(12.0)) <= FACTOR * 1e-7
    plain = ds.solve(problem, method=ds.Adaptive(1e-7, 1e-7, estimate=False))
    assert abs(plain.y[-1, 0] - np.sin(12.0)) > FACTOR * 1e-7
    assert plain.stats.discretisation_error is None


def test_chaos_is_not_called_solved():
    """Lorenz over 60 units of time: errors grow by e^54."""
    lorenz = lambda y, t, p: np.stack(  # noqa: E731
        [
            10 * (y[..., 1] - y[..., 0]),
            y[..., 0] * (28 - y[..., 2]) - y[..., 1],
            y[..., 0] * y[..., 1] - 8 / 3 * y[..., 2],
        ],
        axis=-1,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ds.DiscretisationWarning)
        problem = ds.InitialValueProblem(lorenz, np.array([0.0, 60.0]), np.ones(3))
        sol = ds.solve(problem, rtol=1e-6, on_failure="return")
    assert sol.status == ds.Status.UNDER_RESOLVED
    assert sol.stats.discretisation_error > 1e-2


def test_the_rule_is_chosen_by_tolerance_and_stiffness():
    start, span = np.array([2.0, 0.0]), np.array([0.0, 20.0])
    assert ds.solve(ds.InitialValueProblem(lotka_volterra, span, start + 1), rtol=1e-3).stats.rule == "ddt.dopri5"
    assert ds.solve(ds.InitialValueProblem(lotka_volterra, span, start + 1), rtol=1e-6).stats.rule == "ddt.dopri8"
    stiff = ds.InitialValueProblem(van_der_pol(1000.0), np.array([0.0, 1000.0]), start)
    sol = ds.solve(stiff, rtol=1e-5)
    assert sol.stats.rule == "ddt.radau9"
    assert "stability" in sol.stats.choice
    assert sol.stats.steps < 1000  # where 16,577 points are needed by hand


def test_batch_elements_have_their_own_grids(lib):
    mu = lib.asarray([[[0.1]], [[5.0]]])
    t, y0 = lib.asarray([0.0, 5.0]), lib.asarray([[2.0, 0.0], [2.0, 0.0]])

    def f(y, x, p):
        xp = ds.array_namespace(y)
        return xp.stack([y[..., 1], x["mu"][..., 0] * (1 - y[..., 0] ** 2) * y[..., 1] - y[..., 0]], axis=-1)

    both = ds.solve(ds.InitialValueProblem(f, t, y0, x={"mu": mu}), method=ds.Adaptive(1e-6, way="march"))
    assert len({int(k) for k in lib.to_numpy(both.stats.steps)}) == 2
    for k in range(2):
        alone = ds.solve(ds.InitialValueProblem(f, t, y0[k, :], x={"mu": mu[k, ...]}), rtol=1e-6)
        np.testing.assert_allclose(lib.to_numpy(both.y[k, ...]), lib.to_numpy(alone.y), rtol=2e-5)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_jump_is_seen_from_both_sides(rule, sign):
    """A tap that opens at t = 1: y' = (t > 1) - y forwards, the same mirrored backwards."""
    t = sign * np.array([0.0, 1.0, 1.0, 2.0])
    f = lambda y, t, p: sign * (1.0 * (sign * t > 1) - y)  # noqa: E731
    for y0 in (np.array([0.5]), np.array([[0.5], [2.0]])):
        sol = ds.solve(ds.InitialValueProblem(f, t, y0), rtol=1e-10, inverse=rule)
        exact = y0 * np.exp(-2.0) + 1 - np.exp(-1.0)
        np.testing.assert_allclose(sol.y[..., -1, :], exact, atol=1e-9)
        assert np.all(np.sum(sol.grid == sign, axis=-1) >= 2)  # the time stands there twice
        np.testing.assert_allclose(sol(sign, 1, side="left"), -sign * y0 * np.exp(-1.0), atol=1e-6)


def test_the_part_before_a_pole_is_there():
    problem = ds.InitialValueProblem(lambda y, t, p: y**2, np.array([0.0, 0.5, 2.0]), np.array([1.0]))
    with pytest.raises(ConvergenceError, match=r"came to t = 1[ .].*last step of \d") as caught:
        ds.solve(problem, rtol=1e-8)
    sol = caught.value.solution
    assert sol.status == ds.Status.UNDER_RESOLVED
    assert sol.y[1, 0] == pytest.approx(2.0, rel=1e-7)
    assert np.isnan(sol.y[2, 0])
    assert sol(0.75)[0] == pytest.approx(4.0, rel=1e-6)


def test_not_a_number_on_the_way_has_its_status(lib):
    def f(y, t, p):
        xp = ds.array_namespace(y)
        return xp.where(t > 1.3, xp.nan, xp.ones_like(t)) * y

    for start in ([1.0], [[1.0], [2.0]]):
        problem = ds.InitialValueProblem(f, lib.asarray([0.0, 1.0, 2.0]), lib.asarray(start))
        sol = ds.solve(problem, rtol=1e-6, on_failure="return")
        y, end = lib.to_numpy(sol.y), lib.to_numpy(sol.grid)[..., -1]
        assert np.all(lib.to_numpy(sol.status) == ds.Status.NONFINITE)
        np.testing.assert_allclose(y[..., 1, :], np.e * np.array(start), rtol=1e-5)
        assert np.isnan(y[..., 2, :]).all()
        np.testing.assert_allclose(end, 1.3, rtol=1e-6)


def test_nothing_is_solved_where_f_is_not_finite_at_the_start():
    for start in (np.array([0.0]), np.zeros((2, 1))):
        problem = ds.InitialValueProblem(lambda y, t, p: y / 0.0, np.array([0.0, 1.0]), start)
        with np.errstate(all="ignore"):
            sol = ds.solve(problem, rtol=1e-6, on_failure="return", check_inputs=False)
        assert np.all(sol.status == ds.Status.NONFINITE)


def test_too_many_steps_are_said():
    problem = ds.InitialValueProblem(lotka_volterra, np.array([0.0, 100.0]), np.array([1.0, 1.0]))
    with pytest.raises(ConvergenceError, match="UNDER_RESOLVED"):
        ds.solve(problem, method=ds.Adaptive(rtol=1e-8, max_steps=20))
    assert float(ds.solve(problem, method=ds.Adaptive(1e-4, 1e-4, max_step=0.5)).grid[1:].max()) == 100.0


def test_steps_obey_their_limits():
    problem = ds.InitialValueProblem(lotka_volterra, np.array([0.0, 3.0]), np.array([1.0, 1.0]))
    grid = ds.solve(problem, method=ds.Adaptive(1e-3, 1e-3, first_step=0.01, max_step=0.05)).grid
    assert grid[1] == pytest.approx(0.01)
    assert np.diff(grid).max() <= 0.05 + 1e-15


def test_inputs_at_times_are_lines_between_them():
    t = np.linspace(0.0, 1.0, 6)
    u = t[:, None] ** 2
    problem = ds.InitialValueProblem(lambda y, x, p: x["u"] + 0 * y, t, np.array([0.0]), x={"u": u})
    sol = ds.solve(problem, rtol=1e-10, atol=1e-12)
    area = np.concatenate([[0.0], np.cumsum((u[1:, 0] + u[:-1, 0]) / 2 * 0.2)])
    np.testing.assert_allclose(sol.y[:, 0], area, atol=1e-9)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"rtol": -1e-3}, "rtol"),
        ({"rtol": 1.0}, "below 1"),
        ({"rtol": 0.0, "atol": 0.0}, "above 0"),
        ({"rtol": float("nan")}, "finite"),
        ({"rtol": 1e-6, "method": "newton"}, "method"),
        ({"rtol": 1e-6, "inverse": "trapezoid"}, "steps to a tolerance"),
        ({"rtol": 1e-6, "y_guess": np.ones(2)}, "y_guess"),
        ({"rtol": 1e-6, "on_window": print}, "on_window"),
        ({"rtol": [1e-6, 1e-6, 1e-6]}, "components"),
    ],
)
def test_what_does_not_belong_together_is_refused(options, text):
    problem = ds.InitialValueProblem(lotka_volterra, np.array([0.0, 1.0]), np.array([1.0, 1.0]))
    with pytest.raises(InputError, match=text):
        ds.solve(problem, **options)


def test_only_initial_value_problems_have_a_tolerance():
    with pytest.raises(InputError, match="InitialValueProblem"):
        ds.solve(ds.Recurrence(lambda y, x, p: y / 2, np.ones(1), n_points=5), rtol=1e-6)


@given(st.data())
def test_linear_systems_against_the_exponential(data):
    """Any matrix of two rows whose solutions do not grow, any span in either direction, any tolerance."""
    real, turn = data.draw(st.floats(-20.0, 0.0)), data.draw(st.floats(0.0, 5.0))
    shear, span = data.draw(st.floats(-3.0, 3.0)), data.draw(st.floats(0.1, 5.0))
    rtol = 10.0 ** -data.draw(st.integers(3, 10))
    A = np.array([[real, turn + shear], [-turn, real]])
    f = lambda y, t, p: np.stack(  # noqa: E731
        [A[0, 0] * y[..., 0] + A[0, 1] * y[..., 1], A[1, 0] * y[..., 0] + A[1, 1] * y[..., 1]], axis=-1
    )
    sol = ds.solve(ds.InitialValueProblem(f, np.array([0.0, span]), np.array([1.0, 0.5])), rtol=rtol, atol=rtol)
    exact = scipy.linalg.expm(A * span) @ [1.0, 0.5]
    peak = np.abs(sol.dense.y).max(axis=0)
    assert np.all(np.abs(sol.y[-1] - exact) <= FACTOR * rtol * (1 + peak))


def test_inside_jit():
    jax = pytest.importorskip("jax")
    jnp = jax.numpy

    def end(y0):
        problem = ds.InitialValueProblem(lotka_volterra, jnp.array([0.0, 0.7, 2.0]), y0)
        sol = ds.solve(problem, method=ds.Adaptive(1e-6, 1e-8, max_steps=64))
        assert "inverse='radau9'" in sol.stats.choice
        return sol.y, sol.status

    y, status = jax.jit(end)(jnp.asarray([1.0, 1.0]))
    expected = ds.solve(ds.InitialValueProblem(lotka_volterra, np.array([0.0, 0.7, 2.0]), np.ones(2)), rtol=1e-10).y
    assert int(status) == 0
    np.testing.assert_allclose(np.asarray(y), expected, rtol=1e-5)


@pytest.mark.parametrize("rule", ["dopri8", "radau5"])
@pytest.mark.parametrize("batch", [(), (2,)])
def test_a_component_that_stays_0_needs_no_absolute_tolerance(rule, batch):
    t, y0 = np.array([0.0, 3.0]), np.tile([0.0, 1.0], (*batch, 1))
    decay = ds.InitialValueProblem(lambda y, t, p: -y, t, y0)
    sol = ds.solve(decay, rtol=1e-6, atol=0.0, inverse=rule)
    assert not sol.y[..., 0].any()
    assert np.abs(sol.y[..., -1, 1] - np.exp(-3.0)).max() < 1e-6
    assert (sol.stats.discretisation_error < 1e-5).all()
    rest = ds.InitialValueProblem(lambda y, t, p: 0.0 * y, t, y0)
    assert (ds.solve(rest, rtol=1e-6, atol=0.0, inverse=rule).y == y0[..., None, :]).all()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("batch", [(), (2,)])
def test_far_from_0_steps_are_those_between_the_times(rule, batch):
    """At t = 1e9 a time is a multiple of 1e-7, so a step is not what was meant, but what is between two of them."""

    def turn(y, t, p):
        return np.stack([y[..., 1], -y[..., 0]], axis=-1)

    y0 = np.tile([1.0, 0.0], (*batch, 1))
    sol = ds.solve(ds.InitialValueProblem(turn, 1e9 + np.array([0.0, 10.0]), y0), rtol=1e-6, atol=1e-9, inverse=rule)
    assert np.abs(sol.y[..., -1, :] - [np.cos(10.0), -np.sin(10.0)]).max() < 1e-5


def test_chaos_on_many_steps_is_not_called_solved():
    """The last grid has more numbers than are estimated by default: where errors were too large, all are."""

    def lorenz(y, t, p):
        u, v, w = y[..., :5], y[..., 5:10], y[..., 10:]
        return np.concatenate([10 * (v - u), u * (28 - w) - v, u * v - 8 / 3 * w], axis=-1)

    problem = ds.InitialValueProblem(lorenz, np.array([0.0, 30.0]), np.repeat([1.0, 1.0, 20.0], 5))
    sol = ds.solve(problem, rtol=1e-6, atol=1e-6, on_failure="return")
    assert sol.grid.shape[0] * 15 > 2**14
    assert sol.status == ds.Status.UNDER_RESOLVED
    assert sol.stats.discretisation_error > 1e-2


@pytest.mark.parametrize("rtol", [1e-3, 1e-4, 1e-5, 5e-6, 1e-6, 3e-7, 1e-7, 1e-8, 7e-9])
def test_steps_that_jump_over_a_square_wave_are_right_or_told(rtol):
    """Of jumps that are not named the estimate of a step is a chance: where steps are short, all of it is allowed."""
    wave = ds.InitialValueProblem(lambda y, t, p: np.sign(np.sin(5 * t)) + 0 * y, np.array([0.0, 10.0]), np.zeros(1))
    sol = ds.solve(wave, rtol=rtol, atol=rtol, on_failure="return")
    rises = np.pi / 5 - (10 - 15 * np.pi / 5)  # fifteen half periods, of which one is left over, and a part of a fall
    assert sol.status == ds.Status.UNDER_RESOLVED or abs(sol.y[-1, 0] - rises) < FACTOR * rtol


@pytest.mark.parametrize("rows", [(), (2,)])
@pytest.mark.parametrize("rtol", [1e-6, 5e-10, 7e-10])
def test_a_long_step_over_many_jumps_is_mended_or_told(rtol, rows):
    """A step is ten times the one before where f was constant, and its stages may see what they saw before."""
    f = lambda y, t, p: np.stack([1 + 0 * y[..., 0], np.where(np.floor(y[..., 0]) % 2 == 0, 1.0, -0.5)], -1)  # noqa: E731
    clock = ds.InitialValueProblem(f, np.array([0.0, 9.3]), np.zeros((*rows, 2)))
    sol = ds.solve(clock, rtol=rtol, atol=rtol, on_failure="return")
    error = np.abs(sol.y[..., -1, :] - [9.3, 5 - 2 - 0.15]).max(axis=-1)
    assert np.all((sol.status == ds.Status.UNDER_RESOLVED) | (error < FACTOR * 10 * rtol))


@pytest.mark.parametrize("rtol", [1e-3, 1e-6])
def test_an_ignition_is_followed(rtol):
    """A small error before it is a large one in its time: one Newton step on all steps at once is not enough."""

    def reactor(y, t, p):
        c, T = y[..., 0], y[..., 1]
        rate = 0.02 * np.exp(25 - 25 / T) * c
        return np.stack([1 - c - rate, 20 * rate - 1.5 * (T - 1)], axis=-1)

    sol = ds.solve(ds.InitialValueProblem(reactor, np.array([0.0, 0.5, 20.0]), np.ones(2)), rtol=rtol)
    expected = [[2.77034004441e-9, 18.0677452193], [3.97281492022e-9, 14.3333332804]]  # SciPy's Radau to 1e-12
    assert np.abs(sol.y[1:] / expected - 1).max() < FACTOR * rtol


def test_a_jump_that_is_not_named_is_resolved_or_told():
    """Roundoff decides on which side of its jumps f is, so the equations of the steps do not hold to roundoff."""
    wave = ds.InitialValueProblem(lambda y, t, p: np.sign(np.sin(5 * t)) + 0 * y, np.array([0.0, 10.0]), np.zeros(1))
    for rtol in (1e-5, 1e-7, 1e-9, 1e-11):
        sol = ds.solve(wave, rtol=rtol, atol=rtol, on_failure="return")
        exact = 2 * np.pi / 5 - 10 % (2 * np.pi / 5)
        assert sol.status == ds.Status.UNDER_RESOLVED or abs(sol.y[-1, 0] - exact) < 10 * FACTOR * rtol


def epidemic(y, x, p):
    infected, recovered = x["rates"][..., 0] * y[..., 0] * y[..., 1], x["rates"][..., 1] * y[..., 1]
    return np.stack([-infected, infected - recovered, recovered], axis=-1)


FOOLED = np.array(  # rates, shares of susceptible and infected, and the step where the error of order 5 is 0
    [
        [0.123, 0.454, 0.553, 0.0271, 14.625],
        [0.139, 0.553, 0.751, 0.0259, 12.579],
        [0.403, 0.834, 0.738, 0.0066, 10.507],
        [0.490, 0.737, 0.837, 0.0051, 17.121],
        [0.379, 0.835, 0.579, 0.1310, 8.902],
        [1.933, 0.794, 0.100, 0.0284, 9.116],
    ]
)


@pytest.mark.parametrize("is_alone", [True, False])
def test_an_estimate_that_is_0_by_chance_takes_no_step(is_alone):
    """By the estimate of order 5 these first steps would be taken, with errors of 10^6 tolerances."""
    for *rates, s, i, h in FOOLED:
        y0, t = np.array([s, i, 1 - s - i]), np.array([0.0, 1.5 * h])
        batch = () if is_alone else (1,)
        x = {"rates": np.broadcast_to(rates, (*batch, 1, 2))}
        problem = ds.InitialValueProblem(epidemic, t, np.broadcast_to(y0, (*batch, 3)), x=x)
        sol = ds.solve(problem, method=ds.Adaptive(1e-7, 1e-10, first_step=h, estimate=False), inverse="dopri8")
        known = scipy.integrate.solve_ivp(
            lambda t, y, x: epidemic(y, x, None),
            t,
            y0,
            "DOP853",
            args=({"rates": np.array(rates)},),
            rtol=1e-12,
            atol=1e-15,
        ).y[:, -1]
        assert np.abs(sol.y[..., -1, :] - known).max() < FACTOR * 1e-7


@pytest.mark.parametrize(("rate", "count", "tolerance"), [(1e6, 4, 1e-4), (1e6, 4, 1e-9), (1e3, 200, 1e-6)])
def test_values_inside_of_long_steps_are_judged_too(rate, count, tolerance):
    """y = cos t + e^{-kt}: behind a step of several units of time y is right, the polynomial inside of it is not."""
    t = np.linspace(0.0, 6.0, count)
    slope = lambda y, t, k: -k * (y - np.cos(t)) - np.sin(t)  # noqa: E731
    sol = ds.solve(ds.InitialValueProblem(slope, t, np.array([2.0]), params=rate), rtol=tolerance, atol=tolerance)
    assert np.abs(sol.y[:, 0] - np.cos(t) - np.exp(-rate * t)).max() < FACTOR * 2 * tolerance


@pytest.mark.parametrize("inverse", [None, "radau5"])
def test_an_f_that_is_not_a_number_at_once(inverse):
    rates, t = np.array([np.nan, 0.5])[:, None, None], np.array([0.0, 1.0])
    options = {"rtol": 1e-6, "on_failure": "return", "inverse": inverse}
    decay = lambda y, k, p: -k * y  # noqa: E731
    sol = ds.solve(ds.InitialValueProblem(decay, t, np.ones((2, 1)), rates), **options)
    assert sol.status.tolist() == [ds.Status.NONFINITE, ds.Status.CONVERGED]
    alone = ds.solve(ds.InitialValueProblem(lambda y, t, k: -k * y, t, np.ones(1), params=np.nan), **options)
    assert alone.status == ds.Status.NONFINITE
