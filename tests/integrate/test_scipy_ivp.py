"""What SciPy's own tests ask of ``solve_ivp`` (scipy 1.17, integrate/_ivp/tests/test_ivp.py), asked of ours, in our
words.

Every case of a public call is here, one test each, for SciPy's six names of methods and for "auto". Left out on
purpose, for they test SciPy's classes and helpers: no_integration_class, ConstantDenseOutput, classes, OdeSolution,
num_jac, num_jac_sparse, inital_maxstep, the halves of max_step and first_step that build a solver class, and exact
bounds of nfev, njev and nlu, in whose place counts are asked to be plausible. An event that never happens may have
states of any shape of size 0: SciPy's is (0,).
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from benchmarks.ivp_sets import PROBLEMS
from scipy.sparse import csc_matrix, lil_matrix

import deersolve as ds

RTOL, ATOL = 1e-3, 1e-6
TIGHT = {"rtol": RTOL, "atol": ATOL}
METHODS = ("auto", "RK45", "DOP853", "Radau", "RK23", "BDF", "LSODA")
STIFF = ("auto", "Radau", "BDF")
FORWARD, BACKWARD = (5.0, 9.0), (5.0, 1.0)
START = [1 / 3, 2 / 9]
every_method = pytest.mark.parametrize("method", METHODS)
each_way = pytest.mark.parametrize("span", [FORWARD, BACKWARD], ids=["forward", "backward"])


def rational(t, y):
    return np.array([y[1] / t, y[1] * (y[0] + 2 * y[1] - 1) / (t * (y[0] - 1))])


def rational_jacobian(t, y):
    a, b = y
    return np.array([[0, 1 / t], [-2 * b**2 / (t * (a - 1) ** 2), (a + 4 * b - 1) / (t * (a - 1))]])


def rational_exact(t):
    t = np.asarray(t)
    return np.stack([t / (t + 10), 10 * t / (t + 10) ** 2])


def sparse(jacobian):
    return lambda t, y: csc_matrix(jacobian(t, y))


JACOBIANS = {"differences": None, "dense": rational_jacobian, "sparse": sparse(rational_jacobian)}


def solve(*args, **options):
    """Return the result; an explicit method may warn that it has no use for a Jacobian."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The following arguments have no effect")
        return ds.solve_ivp(*args, **options)


def off(y, exact):
    """Return the largest error on the way, in tolerances, each the root mean square of the components."""
    e = (np.asarray(y) - exact) / (ATOL + RTOL * np.abs(exact))
    return float(np.sqrt((np.abs(e) ** 2).mean(axis=0)).max())


def check_finished(res):
    assert res.success
    assert res.status == 0
    assert res.t_events is None
    assert res.y_events is None


def check_dense(res, exact, span, bound=5.0):
    """The points, the middle as a number, fifty times, and the points once more, by the dense output."""
    assert off(res.y, exact(res.t)) < bound
    middle = sum(span) / 2
    assert res.sol(middle).shape == res.y.shape[:1]
    times = np.linspace(*span)
    assert off(res.sol(times), exact(times)) < bound
    assert off(res.sol(middle)[:, None], exact(np.array([middle]))) < bound
    np.testing.assert_allclose(res.sol(res.t), res.y, rtol=1e-13, atol=1e-13)


# Integration -------------------------------------------------------------------------------------------------------


@every_method
@each_way
@pytest.mark.parametrize("vectorized", [False, True], ids=["one", "vectorized"])
@pytest.mark.parametrize("jac", JACOBIANS)
def test_rational(method, span, vectorized, jac):
    res = solve(
        rational, span, START, method=method, jac=JACOBIANS[jac], vectorized=vectorized, dense_output=True, **TIGHT
    )
    check_finished(res)
    assert res.t[0] == span[0]
    assert res.t[-1] == span[1]
    assert res.y.shape == (2, res.t.size)
    assert 0 < res.nfev < 500
    assert res.njev >= 0
    check_dense(res, rational_exact, span)


@pytest.mark.parametrize("method", ["auto", "RK45", "DOP853", "RK23", "BDF"])
@pytest.mark.parametrize("jac", ["differences", "dense", "sparse"])
def test_complex(method, jac):
    def jacobian(t, y):
        return -np.eye(len(y))

    given = {"differences": None, "dense": jacobian, "sparse": sparse(jacobian)}[jac]
    res = solve(lambda t, y: -y, (0.0, 1.0), [0.5 + 1j], method=method, jac=given, dense_output=True, **TIGHT)
    check_finished(res)
    assert np.iscomplexobj(res.y)
    check_dense(res, lambda t: (0.5 + 1j) * np.exp(-np.asarray(t))[None], (0.0, 1.0))


@pytest.mark.parametrize("method", ["Radau", "BDF"])
def test_pattern_of_the_jacobian(method):
    problem = PROBLEMS["Medical Akzo Nobel"]
    n = len(problem.y0)
    pattern = lil_matrix((n, n), dtype=int)
    for i in range(n):
        near = (i - 2, i, i + 1, i + 2) if i % 2 == 0 else (i - 1, i)
        pattern[i, [j for j in near if 0 <= j < n]] = 1
    res = solve(problem.fun, (0.0, 20.0), problem.y0, method=method, rtol=1e-5, atol=1e-8, jac_sparsity=pattern.tocoo())
    check_finished(res)
    np.testing.assert_allclose(res.y[:, -1], problem.known["y"], atol=1e-3)


@pytest.mark.parametrize("method", STIFF)
@pytest.mark.parametrize("make", [np.asarray, csc_matrix], ids=["dense", "sparse"])
def test_constant_jacobian(method, make):
    A = np.array([[-1.0, -5.0], [1.0, 1.0]])
    res = solve(lambda t, y: A @ y, (0.0, 2.0), [0.0, 2.0], method=method, jac=make(A), dense_output=True, **TIGHT)
    check_finished(res)
    check_dense(
        res,
        lambda t: np.stack([-5 * np.sin(2 * t), 2 * np.cos(2 * t) + np.sin(2 * t)]),
        (0.0, 2.0),
        bound=15.0 if method == "Radau" else 50.0,
    )


@pytest.mark.parametrize("method", ["auto", "Radau", "BDF", "LSODA"])
def test_stiffness_is_seen(method):
    """Robertson's equation of 10^4 until 10^8: 10^10 evaluations if it is not."""
    fun = PROBLEMS["Robertson"].fun
    res = solve(fun, (0.0, 1e8), [1e4, 0.0, 0.0], method=method, rtol=1e-6, atol=1e-6)
    check_finished(res)
    assert res.nfev < 20_000
    np.testing.assert_allclose(res.y.sum(axis=0), 1e4, rtol=1e-5)


@every_method
def test_zero_rate(method):
    res = solve(lambda t, y: 0 * y, (0.0, 10.0), np.ones(3), method=method)
    check_finished(res)
    np.testing.assert_allclose(res.y, 1.0, rtol=1e-15)


# Events ------------------------------------------------------------------------------------------------------------


def crossings(direction=0):
    """Two events, at about 5.5 where the first rises, and at about 7.5 where the second falls, in ascending time."""

    def first(t, y):
        return y[0] - y[1] ** 0.7

    def second(t, y):
        return y[1] ** 0.6 - y[0]

    first.direction = second.direction = direction
    return first, second


def at(time):
    def event(t, y):
        return t - time

    event.terminal = True
    return event


EVENTS = {"forward": ((5.0, 8.0), [1 / 3, 2 / 9]), "backward": ((8.0, 5.0), [4 / 9, 20 / 81])}
BRACKETS = ((5.3, 5.7), (7.3, 7.7))


def check_events(res, events, counts):
    for k, (event, count) in enumerate(zip(events, counts, strict=True)):
        assert res.t_events[k].shape == (count,)
        assert res.y_events[k].shape == (count, 2) or res.y_events[k].size == count == 0
        for t, y in zip(res.t_events[k], res.y_events[k], strict=True):
            np.testing.assert_allclose(event(t, y), 0.0, atol=1e-8)
            np.testing.assert_allclose(y, rational_exact(t), rtol=5 * RTOL, atol=5 * ATOL)
            if k < 2:
                assert BRACKETS[k][0] < t < BRACKETS[k][1]


@every_method
@pytest.mark.parametrize("way", EVENTS)
@pytest.mark.parametrize("direction", [0, 1, -1])
def test_events(method, way, direction):
    """Both; the one that rises in the sense of the integration; the one that falls."""
    span, y0 = EVENTS[way]
    events = crossings(direction)
    res = solve(rational, span, y0, method=method, events=events)
    assert res.status == 0
    rising = direction if way == "forward" else -direction
    check_events(res, events, {0: (1, 1), 1: (1, 0), -1: (0, 1)}[rising])


@every_method
@pytest.mark.parametrize("way", EVENTS)
def test_a_terminal_event(method, way):
    """The event at 7.4 ends the integration, before the second of the others, and the dense output ends there."""
    span, y0 = EVENTS[way]
    events = (*crossings(), at(7.4))
    res = solve(rational, span, y0, method=method, events=events, dense_output=True)
    assert res.status == 1
    assert res.success
    check_events(res, events, (1, 0, 1) if way == "forward" else (0, 1, 1))
    np.testing.assert_allclose(res.t[-1], 7.4, rtol=1e-12)
    times = np.linspace(res.t[0], res.t[-1])
    assert off(res.sol(times), rational_exact(times)) < 5


@every_method
def test_one_event_that_is_no_list(method):
    event = crossings()[0]
    res = solve(rational, (5.0, 8.0), START, method=method, events=event, dense_output=True)
    assert res.status == 0
    check_events(res, [event], [1])
    times = np.linspace(5.0, 8.0)
    assert off(res.sol(times), rational_exact(times)) < 5


def oscillator(t, y):
    return [y[1], -y[0]]


def zero_of_the_first(terminal):
    def event(t, y):
        return y[0]

    event.terminal = terminal
    return event


@pytest.mark.parametrize("count", [3, 4])
def test_the_third_or_fourth_event_ends_it(count):
    res = solve(oscillator, (0.0, 100.0), [1.0, 0.0], events=zero_of_the_first(count))
    assert res.status == 1
    assert res.t_events[0].size == len(res.y_events[0]) == count
    np.testing.assert_allclose(res.y_events[0][:, 0], 0.0, atol=1e-12)


def test_terminal_none_is_terminal_zero():
    runs = [solve(oscillator, (0.0, 100.0), [1.0, 0.0], events=zero_of_the_first(t)) for t in (None, 0)]
    assert [run.status for run in runs] == [0, 0]
    assert runs[0].t_events[0].size > 20
    np.testing.assert_allclose(runs[0].t_events[0], runs[1].t_events[0])


@pytest.mark.parametrize("terminal", [-1, 3.5])
def test_terminal_is_a_count(terminal):
    with pytest.raises(ValueError, match="terminal"):
        solve(oscillator, (0.0, 100.0), [1.0, 0.0], events=zero_of_the_first(terminal))


@pytest.mark.parametrize("method", ["auto", "LSODA"])
def test_an_event_that_is_only_touched(method):
    """y' = y (t - 2) from 0.05 at t = -2 has e^-8 of that at t = 2: the event is above until the last moment."""

    def exact(t):
        return np.exp(np.asarray(t) ** 2 / 2 - 2 * np.asarray(t) + np.log(0.05) - 6)[None]

    res = solve(
        lambda t, y: y * (t - 2.0),
        (-2.0, 2.0),
        [0.05],
        method=method,
        dense_output=True,
        events=lambda t, y: y[0] - 2.02e-5,
        first_step=1e-3,
        max_step=1.0,
        jac=lambda t, y: [[t - 2.0]],
        **TIGHT,
    )
    assert res.success
    assert res.status == 0
    np.testing.assert_allclose(res.t[[0, -1]], [-2.0, 2.0])
    np.testing.assert_allclose(res.t[1] - res.t[0], 1e-3)
    check_dense(res, exact, (-2.0, 2.0))


def test_many_short_steps_to_an_event():
    """A ball that rises 5 micrometres."""

    def ground(t, y):
        return y[0]

    ground.terminal, ground.direction = True, -1
    res = solve(
        lambda t, y: [y[1], -9.80665],
        (0.0, 1.0),
        [0.0, 0.01],
        max_step=0.05 * 0.001 / 9.80665,
        events=ground,
        dense_output=True,
    )
    assert res.success
    assert res.status == 1
    np.testing.assert_allclose(res.t_events[0], [0.02 / 9.80665], rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(res.y_events[0], [[0.0, -0.01]], atol=1e-9)
    np.testing.assert_allclose(res.sol(1e-3), [0.01e-3 - 9.80665e-6 / 2, 0.01 - 9.80665e-3], rtol=1e-5, atol=1e-8)


# Steps -------------------------------------------------------------------------------------------------------------


@every_method
@each_way
def test_max_step(method, span):
    res = solve(rational, span, START, method=method, max_step=0.5, dense_output=True, **TIGHT)
    check_finished(res)
    assert res.t[-1] == span[1]
    assert np.abs(np.diff(res.t)).max() <= 0.5 + 1e-14
    check_dense(res, rational_exact, span)


@every_method
@each_way
def test_first_step(method, span):
    res = solve(rational, span, START, method=method, max_step=0.5, first_step=0.1, dense_output=True, **TIGHT)
    check_finished(res)
    assert res.t[-1] == span[1]
    np.testing.assert_allclose(abs(res.t[1] - 5.0), 0.1)
    check_dense(res, rational_exact, span)


@pytest.mark.parametrize("wrong", [{"max_step": -1.0}, {"first_step": -1.0}, {"first_step": 5.0}], ids=str)
def test_steps_that_cannot_be(wrong):
    with pytest.raises(ValueError, match="step"):
        solve(rational, FORWARD, START, **wrong)


# Where the answer is wanted ----------------------------------------------------------------------------------------

WANTED = {
    "ten": np.linspace(5.0, 9.0, 10),
    "ten, backward": np.linspace(5.0, 1.0, 10),
    "uneven": [5.0, 5.01, 7.0, 8.0, 8.01, 9.0],
    "uneven, backward": [5.0, 4.99, 3.0, 1.5, 1.1, 1.01, 1.0],
    "inside": [5.01, 7.0, 8.0, 8.01],
    "inside, backward": [4.99, 3.0, 1.5, 1.1, 1.01],
}


@pytest.mark.parametrize("method", ["auto", "RK45"])
@pytest.mark.parametrize("times", WANTED)
def test_t_eval(method, times):
    span, wanted = BACKWARD if "backward" in times else FORWARD, WANTED[times]
    res = solve(rational, span, START, method=method, t_eval=wanted, **TIGHT)
    check_finished(res)
    np.testing.assert_array_equal(res.t, wanted)
    assert off(res.y, rational_exact(res.t)) < 5


def test_t_eval_outside_of_the_span():
    with pytest.raises(ValueError, match="t_eval"):
        solve(rational, FORWARD, START, t_eval=[4.0, 6.0], **TIGHT)


def test_t_eval_with_dense_output():
    wanted = np.linspace(*FORWARD, 10)
    plain = solve(rational, FORWARD, START, t_eval=wanted, **TIGHT)
    dense = solve(rational, FORWARD, START, t_eval=wanted, dense_output=True, **TIGHT)
    check_finished(dense)
    assert plain.sol is None
    np.testing.assert_array_equal(plain.t, dense.t)
    np.testing.assert_array_equal(plain.y, dense.y)
    assert off(dense.sol(wanted), rational_exact(wanted)) < 5


@every_method
def test_an_event_before_all_of_t_eval(method):
    res = solve(
        rational,
        FORWARD,
        START,
        method=method,
        t_eval=np.linspace(7.5, 9.0, 16),
        events=at(7.0),
        jac=rational_jacobian,
        **TIGHT,
    )
    assert res.success
    assert res.status == 1
    assert res.message.startswith("A termination event occurred.")
    assert len(res.t) == len(res.y) == 0 or res.y.shape == (2, 0)
    np.testing.assert_array_equal(res.t_events, [[7.0]])


# Spans of no length, no components ---------------------------------------------------------------------------------


@every_method
def test_a_span_of_no_length(method):
    res = solve(lambda t, y: 2 * y, (0.0, 0.0), np.array([1.0]), method=method)
    assert res.success
    np.testing.assert_array_equal(res.y[0, -1], 1.0)


@every_method
def test_dense_output_of_a_span_of_no_length(method):
    res = solve(lambda t, y: -y, (4.0, 4.0), [2.0, 3.0], method=method, dense_output=True)
    np.testing.assert_array_equal(res.sol(4.0), [2.0, 3.0])


# Answered by SciPy and refused here: 23 cases --------------------------------------------------------------------


@every_method
def test_dense_output_beyond_the_span(method):
    """SciPy goes on with the last polynomial."""
    res = solve(lambda t, y: -y, (4.0, 4.0), [2.0, 3.0], method=method, dense_output=True)
    with pytest.raises(ds.DeerError, match="span"):
        res.sol([4.0, 5.0, 6.0])


@every_method
@pytest.mark.parametrize("end", [10.0, np.inf])
def test_no_components(method, end):
    with pytest.raises(ValueError, match=r"y0|t_span"):
        solve(lambda t, y: np.zeros(0), (0.0, end), np.zeros(0), method=method, dense_output=True)


def test_an_infinite_span():
    """SciPy's takes short steps until the event of a ball that rises 5 micrometres."""
    with pytest.raises(ValueError, match="t_span"):
        solve(lambda t, y: [y[1], -9.80665], (0.0, np.inf), [0.0, 0.01], events=lambda t, y: y[0])


def test_args_that_are_no_tuple():
    """SciPy's is a TypeError."""
    with pytest.raises(ValueError, match="args"):
        solve(lambda t, y, a: a * y, (0.0, 0.1), [1.0], args=-1)


# Arguments ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["auto", "Radau"])
def test_args(method):
    """An oscillator beside a logistic equation; arguments go to the rate, the Jacobian and the events."""
    omega, k, last = 2.0, 4.0, 0.99

    def rate(t, w, omega, k, last):
        x, y, z = w
        return [-omega * y, omega * x, k * z * (1 - z)]

    def jacobian(t, w, omega, k, last):
        return np.array([[0, -omega, 0], [omega, 0, 0], [0, 0, k * (1 - 2 * w[2])]])

    def x_falls(t, w, omega, k, last):
        return w[0]

    def y_rises(t, w, omega, k, last):
        return w[1]

    def ends(t, w, omega, k, last):
        return w[2] - last

    x_falls.direction, y_rises.direction, ends.terminal = -1, 1, True
    z0 = np.exp(-k * 5) / ((1 - last) / last + np.exp(-k * 5))
    res = solve(
        rate,
        (0.0, 10.0),
        [0.0, -1.0, z0],
        method=method,
        events=[x_falls, y_rises, ends],
        dense_output=True,
        args=(omega, k, last),
        jac=jacobian,
        rtol=1e-10,
        atol=1e-13,
    )
    np.testing.assert_allclose(res.t_events[0], [np.pi / 2, 3 * np.pi / 2])
    np.testing.assert_allclose(res.t_events[1], [np.pi / 4, 5 * np.pi / 4])
    np.testing.assert_allclose(res.t_events[2], [5.0])
    t = np.linspace(0.0, res.t_events[2][0], 250)
    exact = [np.sin(2 * t), -np.cos(2 * t), 1 / ((1 - z0) / z0 * np.exp(-4 * t) + 1)]
    np.testing.assert_allclose(res.sol(t), exact, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(res.sol(res.t_events[0])[:2], [[0, 0], [1, 1]], atol=1e-9)
    np.testing.assert_allclose(res.sol(res.t_events[1])[:2], [[1, 1], [0, 0]], atol=1e-9)
    np.testing.assert_allclose(res.y_events[2][0][2], last)


def test_args_of_one():
    res = solve(lambda t, y, a: a * y, (0.0, 0.1), [1.0], args=(-1,))
    np.testing.assert_allclose(res.y[0, -1], np.exp(-0.1), rtol=RTOL)


def test_rtol_of_each_component():
    res = solve(lambda t, y: (y[0], y[1]), (0.0, 1.0), [1.0, 1.0], rtol=[1e-1, 1e-1])
    np.testing.assert_allclose(res.y[:, -1], np.e, rtol=0.1)


def test_rtol_below_roundoff():
    """SciPy warns and takes the smallest that it can; an error would do as well."""
    with pytest.warns(UserWarning, match="rtol"):
        res = solve(lambda t, y: (y[0], y[1]), (0.0, 1.0), [1.0, 1.0], rtol=[1e-1, 1e-16])
    np.testing.assert_allclose(res.y[:, -1], np.e, rtol=1e-3)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_y0_is_finite(value):
    with pytest.raises(ValueError, match="finite"):
        solve(lambda t, y: 0 * y, (0.0, 10.0), np.full(3, value))


# The rate is not asked outside of the span -------------------------------------------------------------------------


def within(low, high, rate):
    def fun(t, y):
        assert np.all((low <= t) & (t <= high)), "evaluated outside of the span"
        return rate(t, y)

    return fun


@every_method
@pytest.mark.parametrize("case", ["short", "long", "constant"])
def test_the_rate_is_asked_within_the_span(method, case):
    def well(t, p):
        r = np.exp(t)
        V = -11 / r + 10 * r / (0.05 + r**2)
        return np.array([r * p[1], -2 * r * ((-0.2 - V) * p[0] + p[1] / r)])

    slow = np.array([1.73307544e-02, 6.49376470e-06, 0.0, 0.0])
    span, y0, rate, options = {
        "short": ((0.0, 1e-4), [1.0], lambda t, y: 2 * y, {}),
        "long": ((-17.0, 2.0), [1.0, -11.0], well, {"rtol": 1e-5, "atol": 1e-8, "max_step": 0.03}),
        "constant": ((100.0, 200.0), [134.0, 138.8, 100.0, 0.0], lambda t, y: slow, {"max_step": 100.0}),
    }[case]
    res = solve(within(*span, rate), span, np.array(y0), method=method, **options)
    assert res.success
