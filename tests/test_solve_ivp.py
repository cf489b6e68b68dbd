"""solve_ivp beside SciPy's: its documentation's examples, shapes, fields, messages, errors, gradients, batches."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.integrate
from scipy.integrate import solve_ivp as by_scipy

import deersolve as ds
from deersolve import solve_ivp

TIGHT = {"rtol": 1e-9, "atol": 1e-11}


def decay(t, y):
    return -0.5 * y


def lotka_volterra(t, z, a, b, c, d):
    x, y = z
    return [a * x - b * x * y, -c * y + d * x * y]


def upward_cannon(t, y):
    return [y[1], -0.5]


def hit_ground(t, y):
    return y[0]


def apex(t, y):
    return y[1]


hit_ground.terminal = True
hit_ground.direction = -1


def both(*args, **options):
    """Return the result of ours and of SciPy."""
    return solve_ivp(*args, **options), by_scipy(*args, **options)


# ------------------------------------------------- the examples of SciPy's page, as they stand there


def test_exponential_decay():
    ours, scipys = both(decay, [0, 10], [2, 4, 8])
    assert ours.t[0] == scipys.t[0] == 0
    assert ours.t[-1] == scipys.t[-1] == 10
    assert ours.y.shape == (3, len(ours.t))
    np.testing.assert_allclose(ours.y[:, -1], scipys.y[:, -1], rtol=2e-2)
    for t_eval in ([0, 1, 2, 4, 10], np.linspace(0, 10, 7)):
        ours, scipys = both(decay, [0, 10], [2, 4, 8], t_eval=t_eval)
        np.testing.assert_array_equal(ours.t, scipys.t)
        np.testing.assert_allclose(ours.y, scipys.y, rtol=2e-2, atol=1e-3)


def test_a_cannon_fired_upward():
    ours, scipys = both(upward_cannon, [0, 100], [0, 10], events=hit_ground)
    np.testing.assert_allclose(ours.t_events[0], scipys.t_events[0], rtol=1e-12)
    np.testing.assert_allclose(ours.t_events[0], [40.0], rtol=1e-12)
    assert ours.status == scipys.status == 1
    assert ours.t[-1] == ours.t_events[0][-1]
    ours, scipys = both(upward_cannon, [0, 100], [0, 10], events=(hit_ground, apex), dense_output=True)
    for one, other in zip(ours.t_events + ours.y_events, scipys.t_events + scipys.y_events, strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(ours.sol(ours.t_events[1][0]), [100.0, 0.0], atol=1e-10)
    np.testing.assert_allclose(ours.sol([10.0, 30.0]), scipys.sol([10.0, 30.0]), rtol=1e-9, atol=1e-9)


def test_a_cannon_and_an_open_end():
    ours = solve_ivp(upward_cannon, [0, np.inf], [0, 10], events=hit_ground)
    np.testing.assert_allclose(ours.t_events[0], [40.0], rtol=1e-12)


def test_lotka_volterra():
    args, t = (1.5, 1, 3, 1), np.linspace(0, 15, 300)
    ours, scipys = both(lotka_volterra, [0, 15], [10, 5], args=args, dense_output=True, **TIGHT)
    assert ours.sol(t).shape == scipys.sol(t).shape == (2, 300)
    np.testing.assert_allclose(ours.sol(t), scipys.sol(t), rtol=1e-6, atol=1e-7)
    loose = solve_ivp(lotka_volterra, [0, 15], [10, 5], args=args, dense_output=True)
    assert np.abs(loose.sol(t) - scipys.sol(t)).max() < 0.5


def test_a_complex_matrix():
    A = np.array([[-0.25 + 0.14j, 0, 0.33 + 0.44j], [0.25 + 0.58j, -0.2 + 0.14j, 0], [0, 0.2 + 0.4j, -0.1 + 0.97j]])
    y0 = np.array([10 + 0j, 20 + 0j, 30 + 0j])
    ours, scipys = both(lambda t, y: A @ y, [0, 5], y0, t_eval=np.linspace(0, 5, 11), **TIGHT)
    assert ours.y.dtype == scipys.y.dtype == np.complex128
    np.testing.assert_allclose(ours.y, scipys.y, rtol=1e-7, atol=1e-6)


# ------------------------------------------------------------------------------ fields and shapes


def test_the_fields_are_those_of_scipy():
    ours, scipys = both(decay, [0, 10], [2.0])
    assert set(scipys) <= set(ours)
    assert ours.sol is None
    assert ours.t_events is ours.y_events is None
    assert (ours.status, ours.success) == (scipys.status, scipys.success) == (0, True)
    assert type(ours.success) is bool
    assert ours["y"] is ours.y
    assert ours.nfev > 0
    assert ours.message == scipys.message
    assert "status: 0" in repr(ours)
    with pytest.raises(AttributeError, match="no_field"):
        ours.no_field  # noqa: B018 - the access is what is tested
    assert isinstance(ours.solution, ds.Solution)
    np.testing.assert_allclose(ours.solution(3.0), [2 * math.exp(-1.5)], rtol=1e-2)


def test_arguments_stand_in_scipys_order():
    from inspect import signature

    names = [p for p in signature(by_scipy).parameters if p != "options"]
    ours = signature(solve_ivp).parameters
    assert list(ours)[: len(names)] == names
    ours, _ = both(decay, (0, 10), [2.0], "RK45", [1.0, 5.0], True, [lambda t, y: y[0] - 1.0], False, None)
    assert ours.y.shape == (1, 2)
    np.testing.assert_allclose(ours.t_events[0], [2 * math.log(2)], rtol=1e-2)


@pytest.mark.parametrize("method", ["auto", "RK23", "RK45", "DOP853", "Radau", "BDF", "LSODA", scipy.integrate.RK45])
def test_every_method_of_scipy(method):
    ours = solve_ivp(lotka_volterra, [0, 5], [10, 5], method, args=(1.5, 1, 3, 1), t_eval=[2.5, 5.0], rtol=1e-6)
    expected = by_scipy(lotka_volterra, [0, 5], [10, 5], args=(1.5, 1, 3, 1), t_eval=[2.5, 5.0], **TIGHT)
    np.testing.assert_allclose(ours.y, expected.y, rtol=1e-3)
    assert ("stood in" in ours.message) == (method in ("RK23", "BDF", "LSODA"))


@pytest.mark.parametrize("jac", [None, "function", "matrix", "sparse"])
def test_jac(jac):
    from scipy.sparse import csc_array

    J = np.array([[-100.0, 1.0], [0.0, -2.0]])
    given = {"function": lambda t, y: J, "matrix": J, "sparse": lambda t, y: csc_array(J)}.get(jac)
    ours = solve_ivp(lambda t, y: J @ y, [0, 2], [1.0, 1.0], "Radau", jac=given, **TIGHT)
    exact = math.exp(-4.0) * np.array([1 / 98, 1.0])
    np.testing.assert_allclose(ours.y[:, -1], exact, rtol=1e-6)
    assert (ours.njev > 0) == (jac in ("function", "sparse"))


def test_backwards_vectorized_and_steps():
    ours = solve_ivp(decay, [10, 0], [math.exp(-5.0)], dense_output=True, t_eval=[9.0, 1.0], **TIGHT)
    np.testing.assert_allclose(ours.y[0], np.exp([-4.5, -0.5]), rtol=1e-7)
    assert (float(ours.sol.t_min), float(ours.sol.t_max)) == (0.0, 10.0)

    def columns(t, y):
        assert y.ndim == 2
        return np.vstack([y[1], -y[0]])

    ours = solve_ivp(columns, [0, 3], [1.0, 0.0], vectorized=True, **TIGHT)
    np.testing.assert_allclose(ours.y[:, -1], [math.cos(3), -math.sin(3)], rtol=1e-7)
    ours = solve_ivp(decay, [0, 10], [2.0], max_step=0.5, first_step=0.25)
    assert ours.t[1] == 0.25
    assert np.diff(ours.t).max() <= 0.5 + 1e-14


def test_a_span_of_no_length():
    ours = solve_ivp(decay, [1, 1], [2.0, 3.0], t_eval=[1.0], dense_output=True)
    assert (ours.status, ours.success) == (0, True)
    np.testing.assert_array_equal(ours.y, [[2.0], [3.0]])
    np.testing.assert_array_equal(ours.sol(1.0), [2.0, 3.0])


# ------------------------------------------------------------------------------------- events


def swing(t, y):
    return [y[1], -math.sin(y[0])]


def rest(t, y):
    return y[1]


def through(t, y):
    return y[0]


def test_events_are_those_of_scipy():
    through.direction = 1.0
    ours, scipys = both(swing, [0, 30], [2.0, 0.3], events=[rest, through], **TIGHT)
    for one, other in zip(ours.t_events, scipys.t_events, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)
    for one, other in zip(ours.y_events, scipys.y_events, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_the_third_crossing_ends_it():
    def counted(t, y):
        return y[0]

    counted.terminal = 3
    ours, scipys = both(swing, [0, 300], [2.0, 0.3], events=counted, t_eval=np.linspace(0, 300, 301), **TIGHT)
    np.testing.assert_allclose(ours.t_events[0], scipys.t_events[0], rtol=1e-6)
    np.testing.assert_array_equal(ours.t, scipys.t)
    np.testing.assert_allclose(ours.y, scipys.y, atol=1e-6)
    assert ours.solution.stats.steps < 300


def test_where_f_is_no_number_behind_an_event():
    def falls(t, y):
        return -np.sqrt(y)

    def empty(t, y):
        return y[0] - 1e-3

    empty.terminal = True
    ours = solve_ivp(falls, [0, 100], [1.0], events=empty, **TIGHT)
    np.testing.assert_allclose(ours.t_events[0], [2 * (1 - math.sqrt(1e-3))], rtol=1e-7)
    assert ours.status == 1


def test_no_event_and_none_that_changes_sign():
    ours = solve_ivp(decay, [0, 10], [2.0], events=[lambda t, y: y[0] + 1.0])
    assert ours.t_events[0].shape == (0,)
    assert ours.y_events[0].shape == (0,)
    assert ours.status == 0


# ------------------------------------------------------------------------------------- failures


def test_a_solution_that_ends():
    ours = solve_ivp(lambda t, y: y**2, [0, 2], [1.0], dense_output=True, t_eval=[0.5, 0.9, 1.5])
    assert (ours.status, ours.success) == (-1, False)
    assert "UNDER_RESOLVED at t = 1" in ours.message
    np.testing.assert_array_equal(ours.t, [0.5, 0.9])
    np.testing.assert_allclose(ours.y[0], [2.0, 10.0], rtol=2e-2)
    with pytest.raises(ds.InputError, match="within the span"):
        ours.sol(1.5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fun": 3.0}, "fun: expected"),
        ({"fun": lambda t, y: [y[0], y[0]]}, r"expected numbers of shape \(1,\); received"),
        ({"t_span": (0, np.nan)}, "t_span: expected two finite numbers"),
        ({"t_span": 5.0}, "t_span: expected two numbers"),
        ({"t_span": (0, np.inf)}, "with a terminal event an infinite end"),
        ({"y0": []}, "y0"),
        ({"y0": 1.0}, r"shape \(\*B, n\)"),
        ({"y0": ["a"]}, "y0: expected numbers"),
        ({"y0": [np.nan]}, "finite"),
        ({"t_eval": [0.0, 11.0]}, r"t_eval: expected times within t_span, \[0, 10\]"),
        ({"t_eval": [2.0, 1.0]}, "in the order of t_span"),
        ({"t_eval": [1.0, 1.0]}, "each once"),
        ({"t_eval": [[1.0]]}, r"shape \(M,\)"),
        ({"method": "RK54"}, "Did you mean 'RK45'"),
        ({"method": 5}, "method"),
        ({"events": "y"}, r"events\[0\]"),
        ({"events": [None]}, r"events\[0\]"),
        ({"rtol": -1.0}, "rtol"),
        ({"atol": -1.0}, "atol"),
        ({"atol": [1.0, 1.0]}, "one for each of 1 components"),
        ({"args": 3.0}, r"args=\(c,\)"),
        ({"first_step": 11.0}, "within the length of t_span, 10"),
        ({"max_step": -1.0}, "max_step"),
        ({"jac": np.zeros((2, 2)), "method": "Radau"}, r"jac: expected df_i/dy_j of shape \(1, 1\)"),
    ],
)
def test_bad_arguments_are_refused(change, message):
    given = {"fun": decay, "t_span": (0, 10), "y0": [1.0]} | change
    with pytest.raises(ds.InputError, match=message):
        solve_ivp(**given)


def test_args_that_are_no_tuple_are_a_type_error_as_in_scipy():
    with pytest.raises(TypeError, match=r"args=\(c,\)"):
        solve_ivp(decay, (0, 1), [1.0], args=3.0)


def test_a_tolerance_below_roundoff_is_raised_with_a_warning():
    with pytest.warns(UserWarning, match="below roundoff"):
        ours = solve_ivp(decay, [0, 1], [1.0], rtol=1e-18, atol=1e-12)
    np.testing.assert_allclose(ours.y[0, -1], math.exp(-0.5), rtol=1e-11)


# ------------------------------------------------------------- every library, batches, gradients


@pytest.mark.cases_backend("jax")
def test_on_every_library_with_a_batch(lib):
    def linear(t, y):
        return -0.5 * y

    def half(t, y):
        return y[0] - 1.0

    y0 = np.array([[2.0, 1.0], [4.0, 1.0], [0.5, 1.0]])
    ours = solve_ivp(linear, (0.0, 5.0), lib.asarray(y0), t_eval=lib.asarray([1.0, 5.0]), events=half, **TIGHT)
    assert ours.y.shape == (3, 2, 2)
    expected = y0[..., None] * np.exp([-0.5, -2.5])
    np.testing.assert_allclose(lib.to_numpy(ours.y), expected, rtol=1e-7)
    t = lib.to_numpy(ours.t_events[0])
    np.testing.assert_allclose(t[:2, 0], 2 * np.log([2.0, 4.0]), rtol=1e-7)
    assert np.isnan(t[2]).all()
    assert bool(ours.success)
    assert lib.to_numpy(ours.solution.status).tolist() == [0, 0, 0]
    assert np.isfinite(lib.to_numpy(ours.t)).all()


def test_each_element_of_a_batch_ends_at_its_own_event():
    def low(t, y):
        return y[0] - 1.0

    low.terminal = True
    y0, t = np.array([[2.0], [4.0], [0.5]]), np.linspace(0.0, 5.0, 11)
    ours = solve_ivp(decay, (0.0, 5.0), y0, t_eval=t, events=low, dense_output=True, **TIGHT)
    ends = np.array([2 * np.log(2.0), 2 * np.log(4.0), 5.0])
    assert ours.status.tolist() == [1, 1, 0]
    np.testing.assert_allclose(ours.solution.grid[:, -1], ends, rtol=1e-7)
    exact = np.where(t <= ends[:, None], y0 * np.exp(-0.5 * t), np.nan)
    np.testing.assert_allclose(ours.y[:, 0], exact, rtol=1e-7)


@pytest.mark.skip_backend("jax", reason="a compiled march looks at no events")
def test_an_element_of_a_batch_does_not_go_behind_its_event(lib):
    """y = y0 / (1 - y0 t) has a pole a tenth behind the event; the march of an element ends with the step before."""

    def ten(t, y):
        return y[0] - 10.0

    ten.terminal = True
    y0 = np.array([[1.0], [0.5], [2.0], [0.01]])
    ours = solve_ivp(lambda t, y: y**2, (0.0, 5.0), lib.asarray(y0), events=ten, **TIGHT)
    assert lib.to_numpy(ours.status).tolist() == [1, 1, 1, 0]
    assert lib.to_numpy(ours.solution.status).tolist() == [0, 0, 0, 0]
    np.testing.assert_allclose(lib.to_numpy(ours.t_events[0])[:3, 0], 1 / y0[:3, 0] - 0.1, rtol=1e-7)
    assert lib.to_numpy(ours.solution.stats.steps).max() < 40  # on the way to the pole there are 450


def test_of_a_batch_the_second_crossing_upwards_ends_a_complex_element():
    def half(t, y):
        return y[0].real - 0.5

    half.terminal, half.direction = 2, 1
    ours = solve_ivp(lambda t, y: 1j * y, [0.0, 30.0], np.array([[1.0 + 0j], [1j]]), events=half, **TIGHT)
    first = np.array([5 / 3, 7 / 6]) * np.pi  # cos(t) and -sin(t) pass 1/2 upwards
    np.testing.assert_allclose(ours.t_events[0], first[:, None] + [0.0, 2 * np.pi], rtol=1e-7)
    np.testing.assert_allclose(ours.solution.grid[:, -1], first + 2 * np.pi, rtol=1e-7)


@pytest.mark.parametrize("method", ["RK45", "Radau"])
def test_a_function_may_return_one_array_each_time(method):
    held = np.empty(2)

    def pendulum(t, y):
        held[:] = y[1], -np.sin(y[0])
        return held[:]

    def fresh(t, y):
        return np.array([y[1], -np.sin(y[0])])

    ours, expected = (solve_ivp(f, (0, 3), [2.0, 0.0], method, rtol=1e-6).y[:, -1] for f in (pendulum, fresh))
    np.testing.assert_allclose(ours, expected, rtol=1e-9)


def test_the_derivative_of_an_event_through_a_solve():
    torch = pytest.importorskip("torch")

    def falls(t, y, g, drag):
        return torch.stack([y[1], -g - drag * y[1]])

    def ground(t, y, g, drag):
        return y[0]

    ground.terminal, ground.direction = True, -1

    def hits(g, drag, height):
        start = torch.stack([height, 0 * height])
        return solve_ivp(falls, [0, 10], start, args=(g, drag), events=ground, **TIGHT).t_events[0][0]

    given = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (9.81, 0.2, 20.0)]
    found = torch.autograd.grad(hits(*given), given)
    for k, gradient in enumerate(found):
        up, down = ([v.detach() + s * 1e-4 * (j == k) for j, v in enumerate(given)] for s in (1, -1))
        assert float(gradient) == pytest.approx(float(hits(*up) - hits(*down)) / 2e-4, rel=1e-6)
