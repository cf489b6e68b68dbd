"""Radau IIA as a stepper: its numbers, its order, stiff equations against reference values, and what goes wrong."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
from tests.conftest import library

from deersolve.adaptive.base import Field
from deersolve.adaptive.march import ARRIVED, NOT_FINITE, Course, march
from deersolve.adaptive.march_alone import march as march_alone
from deersolve.adaptive.radau import Radau
from deersolve.adaptive.radau_alone import RadauAlone
from deersolve.adaptive.radau_numbers import RADAU_5, RADAU_9
from deersolve.backends import backend_of
from deersolve.inverses.collocation import radau

RULES = pytest.mark.parametrize("rule", [RADAU_5, RADAU_9], ids=["radau5", "radau9"])


def marched(lib, f, y0, span, rtol, rule=RADAU_5, jacobian=None, atol=None):
    """Return y at the end, the code, and how many steps were tried, of ``f(t, y)`` from y0 (*B, n)."""
    y0 = y0 if hasattr(y0, "dtype") else np.asarray(y0, dtype="float64")
    y = lib.asarray(y0[..., None, :], dtype=None)
    t = lib.asarray(np.zeros((*y0.shape[:-1], 1)), "float32" if y0.dtype == "float32" else "float64")
    allowed = [lib.asarray(a, str(t.dtype).rpartition(".")[2]) for a in (rtol, 1e-3 * rtol if atol is None else atol)]
    field = Field(functools.partial(f, lib.xp), jacobian, *allowed)
    course = Course(backend_of(y), Radau(rule), field, t, t + span, None, None, None, 2000, looks=False)

    def run(y):
        _, walker = march(course, y)
        return walker.y[..., 0, :], walker.code, walker.t, walker.tried

    with course.backend.quiet():
        y, code, t, tried = (lib.to_numpy(a) for a in course.backend.compiled(run)(y))
    return y, code, t, int(tried.max())


def vdp(xp, t, y):
    a, b = y[..., 0], y[..., 1]
    return xp.stack([b, 100 * (1 - a**2) * b - a], axis=-1)


def robertson(xp, t, y, k=0.04):
    a, b, c = (y[..., i] for i in range(3))
    first, last = -k * a + 1e4 * b * c, 3e7 * b**2
    return xp.stack([first, -first - last, last], axis=-1)


def hires(xp, t, y):
    a, b, c, d, e, f, g, h = (y[..., i] for i in range(8))
    both = 280 * f * h
    rows = [-1.71 * a + 0.43 * b + 8.32 * c + 0.0007, 1.71 * a - 8.75 * b, -10.03 * c + 0.43 * d + 0.035 * e]
    rows += [8.32 * b + 1.71 * c - 1.12 * d, -1.745 * e + 0.43 * f + 0.43 * g]
    rows += [-both + 0.69 * d + 1.71 * e - 0.43 * f + 0.69 * g, both - 1.81 * g, -both + 1.81 * g]
    return xp.stack(rows, axis=-1)


@RULES
def test_numbers_are_those_of_the_rule_on_a_grid(rule):
    weights = np.array(radau(len(rule.nodes)).weights)[:, 1:]
    np.testing.assert_allclose(np.linalg.inv(weights), rule.inverse, rtol=1e-12)
    values = np.linalg.eigvals(rule.inverse)
    for value, projection in rule.modes:
        assert np.min(abs(values - value)) < 1e-12
        np.testing.assert_allclose(np.array(rule.inverse) @ projection, value * np.array(projection), atol=1e-10)
    np.testing.assert_allclose(sum(np.array(P) for _, P in rule.modes), np.eye(len(rule.nodes)), atol=1e-12)


def fixed_steps(slope, rule, steps, y0):
    """Return y at t = 1 by steps of one length, their equations solved to roundoff."""
    stepper, t, y, h = Radau(rule), np.zeros((1,)), np.array([y0]), np.full((1,), 1 / steps)
    field = Field(slope, None, np.array(0.0), np.array(1e-14))
    carry = stepper.start(field, t, y)
    for _ in range(steps):
        made = stepper.attempt(field, t, y, h, carry)
        assert not made.failed
        t, y, carry = t + h, made.y, made.carry
    return y[0]


@RULES
def test_order_on_a_non_autonomous_equation(rule, monkeypatch):
    monkeypatch.setattr("deersolve.adaptive.radau.MOST", 40)

    def slope(t, y):
        wave = np.sin(5 * t)[..., None]
        return (wave**3 - y**3) / 2 + 5 * np.cos(5 * t)[..., None]

    steps = (10, 20) if rule is RADAU_5 else (4, 8)
    errors = [abs(fixed_steps(slope, rule, k, [0.0])[0] - np.sin(5)) for k in steps]
    assert np.log2(errors[0] / errors[1]) == pytest.approx(rule.order, abs=0.3)


@RULES
@pytest.mark.parametrize("z", [-1.0, -30.0, -1e8])
def test_one_step_is_the_stability_function(rule, z):
    A = np.linalg.inv(rule.inverse)
    s, one = len(A), np.ones(len(A))
    exact = 1 + z * A[-1] @ np.linalg.solve(np.eye(s) - z * A, one)
    stepper, t, y = Radau(rule), np.zeros(1), np.ones((1, 1))
    field = Field(lambda t, y: z * y, None, np.array(0.0), np.array(1e-13))
    made = stepper.attempt(field, t, y, t + 1, stepper.start(field, t, y))
    assert made.y[0, 0] == pytest.approx(exact, abs=1e-12)
    assert not made.failed
    if z == -1e8:
        assert abs(made.y[0, 0]) < 1e-6  # L-stable


REFERENCES = {
    "vdp": (vdp, [2.0, 0.0], 163.0, [1.9989355768358275, -0.006672462034821017], [2.0, 134.0]),
    "robertson": (
        robertson,
        [1.0, 0.0, 0.0],
        1e5,
        [0.0178659211421, 7.27475147e-08, 0.98213400611],
        [1.0, 3.65e-5, 1.0],
    ),
    "hires": (
        hires,
        [1.0, 0, 0, 0, 0, 0, 0, 0.0057],
        321.8122,
        [
            0.0007371312573325465,
            0.00014424857263161447,
            5.8887297409671964e-05,
            0.0011756513432831111,
            0.0023863561988307198,
            0.006238968252740881,
            0.0028499983951853383,
            0.002850001604814658,
        ],
        [1.0, 0.15, 0.0014, 0.15, 0.1, 0.4, 0.0057, 0.0057],
    ),
}


@RULES
@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.cases_backend("jax", "robertson-radau9")
@pytest.mark.deep_but("robertson-radau9", "numpy-vdp-radau5", "numpy-hires-radau9", "numpy-hires-radau5")
def test_stiff_equations_against_reference_values(lib, name, rule):
    f, y0, span, reference, size = REFERENCES[name]
    y, code, _, tried = marched(lib, lambda xp, t, y: f(xp, t, y), y0, span, 1e-5, rule)
    assert code == ARRIVED
    np.testing.assert_array_less(abs(y - reference) / size, 1e-5)
    assert tried < {"vdp": (450, 150), "robertson": (110, 60), "hires": (120, 65)}[name][rule is RADAU_9]


@pytest.mark.deep_backend("jax")
def test_batch_is_its_elements(lib):
    rates = np.array([0.02, 0.08])
    k = lib.asarray(rates[:, None])
    y, code, _, tried = marched(lib, lambda xp, t, y: robertson(xp, t, y, k), np.array([[1.0, 0, 0]] * 2), 1e3, 1e-5)
    assert (code == ARRIVED).all()
    alone = [marched(lib, lambda xp, t, y, r=r: robertson(xp, t, y, float(r)), [1.0, 0, 0], 1e3, 1e-5) for r in rates]
    np.testing.assert_allclose(y, [a[0] for a in alone], rtol=1e-9)
    assert tried == max(a[3] for a in alone)


@RULES
def test_a_stiff_non_autonomous_equation_backwards_and_forwards(rule):
    lib = numpy_library()
    for sign in (1.0, -1.0):
        f = lambda xp, t, y, s=sign: -1e5 * s * (y - xp.cos(t)[..., None]) - xp.sin(t)[..., None]  # noqa: E731
        y, code, _, tried = marched(lib, f, [1.0], sign * 20.0, 1e-6, rule)
        assert code == ARRIVED
        assert y[0] == pytest.approx(np.cos(20.0), abs=1e-6)
        assert tried < 200


def test_float32():
    y, code, _, tried = marched(numpy_library(), robertson, np.array([1.0, 0, 0], "float32"), 1e3, 1e-3, atol=1e-7)
    assert y.dtype == "float32"
    assert code == ARRIVED
    exact = marched(numpy_library(), robertson, [1.0, 0, 0], 1e3, 1e-8)[0]
    np.testing.assert_allclose(y, exact, atol=1e-3)
    assert tried < 100


@pytest.mark.deep_backend("jax")
@pytest.mark.deep_backend("strict")
def test_complex_states(lib):
    rate = -1e4 + 1e3j

    def f(xp, t, y):
        wave = xp.exp(1j * xp.astype(t, y.dtype))[..., None]
        return rate * (y - wave) + 1j * wave

    y, code, _, tried = marched(lib, f, np.array([1.0 + 0j]), 5.0, 1e-6)
    assert code == ARRIVED
    assert y[0] == pytest.approx(np.exp(5j), abs=1e-6)
    assert tried < 100


def test_a_given_jacobian_is_used():
    calls = []

    def jacobian(t, y):
        calls.append(1)
        return -1e3 + 0 * y[..., None]

    y, code, _, _ = marched(numpy_library(), lambda xp, t, y: -1e3 * y, [1.0], 1.0, 1e-6, jacobian=jacobian)
    assert code == ARRIVED
    assert abs(y[0]) < 1e-6
    assert calls


def test_a_singular_matrix_is_a_failed_step():
    rate = RADAU_5.eigenvalues[0].real
    stepper, t, y = Radau(RADAU_5), np.zeros(1), np.ones((1, 2))
    rates = np.array([rate, -1.0])
    field = Field(lambda t, y: rates * y, lambda t, y: np.diag(rates)[None], np.array(0.0), np.array(1e-6))
    with np.errstate(all="ignore"):
        made = stepper.attempt(field, t, y, t + 1, stepper.start(field, t, y))
        assert made.failed
        made = stepper.attempt(field, t, y, t + 0.1, made.kept)
    assert not made.failed
    np.testing.assert_allclose(made.y[0], np.exp(0.1 * rates), rtol=1e-6)


@pytest.mark.deep_backend("jax")
def test_not_a_number_ends_the_march(lib):
    def f(xp, t, y):
        return xp.where(t[..., None] > 1.0, xp.nan, -y)

    y, code, t, _ = marched(lib, f, [1.0], 2.0, 1e-6)
    assert code == NOT_FINITE
    assert 0.9 < t[0] <= 1.0
    assert y[0] == pytest.approx(np.exp(-t[0]), rel=1e-5)


def test_an_element_that_fails_leaves_the_others_alone():
    def f(xp, t, y):
        bad = (t[..., None] > 1.0) & (xp.arange(2)[:, None, None] == 1)
        return xp.where(bad, xp.nan, -50 * (y - t[..., None]))

    y, code, _, _ = marched(numpy_library(), f, np.array([[1.0], [1.0]]), 2.0, 1e-6)
    np.testing.assert_array_equal(code, [ARRIVED, NOT_FINITE])
    assert y[0, 0] == pytest.approx(2 - 1 / 50, abs=1e-5)


def alone(lib, f, y0, span, rtol, rule=RADAU_5, jacobian=None):
    """Return the steps of the march of Python, of ``f(t, y)`` from y0 (n,)."""
    y = lib.asarray(y0, dtype=None)

    def slopes(times, ys):
        return f(lib.xp, lib.asarray(times), ys)

    rtol = lib.asarray(rtol)
    stepper = RadauAlone(backend_of(y), rule, slopes, jacobian, rtol, 1e-3 * rtol)
    with backend_of(y).quiet():
        return march_alone(stepper, [0.0, span / 2, span], y, math.copysign(1e-4, span), math.inf, 1000)


@RULES
@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.skip_backend("jax", reason="compiles")
@pytest.mark.deep_but("robertson-radau9", "numpy-vdp-radau5", "numpy-hires-radau9")
def test_one_element_by_numbers_of_python(lib, name, rule):
    f, y0, span, reference, size = REFERENCES[name]
    steps = alone(lib, f, np.array(y0), span, 1e-5, rule)
    assert steps.code == ARRIVED
    assert span / 2 in steps.t
    np.testing.assert_array_less(abs(lib.to_numpy(steps.y[-1]) - reference) / size, 1e-5)
    assert steps.tried < {"vdp": (450, 150), "robertson": (120, 70), "hires": (130, 75)}[name][rule is RADAU_9]


@pytest.mark.skip_backend("jax", reason="compiles")
def test_one_element_meets_what_is_no_number(lib):
    def f(xp, t, y):
        return xp.where(t[..., None] > 1.0, xp.nan, -y)

    steps = alone(lib, f, np.array([1.0]), 4.0, 1e-6)
    assert steps.code == NOT_FINITE
    assert 0.9 < steps.t[-1] <= 1.0
    assert lib.to_numpy(steps.y[-1])[0] == pytest.approx(np.exp(-steps.t[-1]), rel=1e-5)


def test_one_complex_element_with_its_jacobian():
    rate, calls = -1e4 + 1e3j, []

    def f(xp, t, y):
        wave = xp.exp(1j * t)[..., None]
        return rate * (y - wave) + 1j * wave

    def jacobian(t, y):
        calls.append(t)
        return np.array([[rate]])

    steps = alone(numpy_library(), f, np.array([1.0 + 0j]), -5.0, 1e-6, RADAU_9, jacobian)
    assert steps.code == ARRIVED
    assert steps.y[-1][0] == pytest.approx(np.exp(-5j), abs=1e-6)
    assert 0 < len(calls) < 10


def numpy_library():
    return library("numpy")
