"""The root of an implicit rule that continues from the y before it, and the others, which are artefacts."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks import hard
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

import deersolve as ds
from deersolve.linalg.matrix_sign import in_right_half_plane

COEFFICIENTS = st.integers(-3000, 3000).map(lambda k: k / 1000)
RULES = {"trapezoid": 0.5, "backward_euler": 1.0}
coarse = pytest.mark.filterwarnings("ignore::deersolve.DiscretisationWarning")


def square(y, t, params):
    return y * y


def roots(y, D, theta):
    """Return both roots z of z - y = D ((1 - theta) y^2 + theta z^2), the one that continues first."""
    inner = np.sqrt(1 - 4 * theta * D * (y + (1 - theta) * D * y * y))
    return (1 - inner) / (2 * theta * D), (1 + inner) / (2 * theta * D)


@coarse
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("method", ["newton", "auto", "sequential"])
@pytest.mark.cases_backend("jax")
def test_of_two_roots_the_one_that_continues(lib, rule, method):
    right, wrong = roots(1.0, 0.1, RULES[rule])
    problem = ds.InitialValueProblem(square, lib.asarray([0.0, 0.1]), lib.asarray([1.0]))
    sol = lib.solve(problem, inverse=rule, method=method)
    np.testing.assert_allclose(lib.to_numpy(sol.y)[1, 0], right, rtol=1e-14)
    guess = lib.asarray([[1.0], [wrong]])
    sol = lib.solve(problem, guess, inverse=rule, method=method, on_failure="return")
    if method == "newton":
        assert int(sol.status) == int(ds.Status.NO_DISCRETE_SOLUTION)
    if int(sol.status) == 0:
        np.testing.assert_allclose(lib.to_numpy(sol.y)[1, 0], right, rtol=1e-14)


@coarse
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("method", ["auto", "sequential"])
def test_past_a_blow_up_the_status_says_so_and_what_came_before_is_kept(lib, rule, method):
    t = np.linspace(0.0, 1.2, 121)
    problem = ds.InitialValueProblem(square, lib.asarray(t), lib.asarray([1.0]))
    sol = lib.solve(problem, inverse=rule, method=method, on_failure="return")
    assert int(sol.status) == int(ds.Status.NO_DISCRETE_SOLUTION)
    y, expected = lib.to_numpy(sol.y)[:, 0], [1.0]
    while 4 * RULES[rule] * 0.01 * (expected[-1] + (1 - RULES[rule]) * 0.01 * expected[-1] ** 2) < 1:
        expected.append(roots(expected[-1], 0.01, RULES[rule])[0])
    n = len(expected) - 1  # the last root may be lost to roundoff beside its fold
    assert 0.8 < t[n] < 1.1
    if method == "auto":
        np.testing.assert_allclose(y[:n], expected[:n], rtol=1e-10)


@coarse
@pytest.mark.deep_backend("strict")
def test_kinetics_whose_windows_had_ended_in_another_root(lib):
    """HIRES on a logarithmic mesh: -0.0145 in its sixth component was certified, once."""
    case = hard.hires(lib.asarray, hard.logarithmic(1e-3, 321.8122, 2_000))
    sol = lib.solve(case.problem)
    assert bool(sol.converged)
    np.testing.assert_allclose(lib.to_numpy(sol.y)[-1], case.exact, rtol=5e-3)
    assert lib.to_numpy(sol.y).min() >= 0


@coarse
@given(
    a=COEFFICIENTS, b=COEFFICIENTS, c=COEFFICIENTS, d=COEFFICIENTS,
    y0=st.floats(-2, 2), D=st.floats(1e-3, 3.0), seed=st.integers(0, 99), rule=st.sampled_from(sorted(RULES)),
)  # fmt: skip
def test_random_cubics_are_continued_or_failed(a, b, c, d, y0, D, seed, rule):
    """One interval of y' = a + b y + c y^2 + d y^3 from any guess: CONVERGED is the root tracked from s = 0 to 1."""
    theta = RULES[rule]

    def f(y, t=None, params=None):
        return a + b * y + c * y * y + d * y * y * y

    right = tracked(y0, (1 - theta) * D * f(y0), theta * D * np.array([d, c, b, a]))
    problem = ds.InitialValueProblem(f, np.array([0.0, D]), np.array([y0]))
    guess = np.array([[y0], [5.0 * np.random.default_rng(seed).normal()]])
    for method in (ds.Newton(), ds.Auto()):
        sol = ds.solve(problem, guess, inverse=rule, method=method, on_failure="return")
        if sol.status == 0:
            z = sol.y[1, 0]
            slope = 1 - theta * D * (b + 2 * c * z + 3 * d * z * z)
            assert slope > -1e-9 * (1 + abs(slope))
            assert right is None or abs(z - right) <= 1e-6 * (1 + abs(right)) / min(1.0, abs(slope))


@coarse
@pytest.mark.parametrize(
    ("cubic", "y0", "D", "rule"),
    [
        ((-2.822, -2.822, 1.604, -0.893), -1.75, 3.0, "trapezoid"),
        ((-0.28202118, 1.3943429, 2.43896068, 1.05371606), -1.80349242, 0.60639362, "trapezoid"),
        ((-1.15294082, 0.34754431, 1.80789692, 1.7407855), -1.24001368, 0.70592046, "backward_euler"),
    ],
)
def test_a_root_behind_two_folds(cubic, y0, D, rule):
    """At it f is nearly linear over the whole way, and the implicit matrix as at D = 0; between it is not."""
    theta, guesses = RULES[rule], np.linspace(-6.0, 6.0, 49)
    right = tracked(y0, (1 - theta) * D * np.polyval(cubic, y0), theta * D * np.array(cubic))
    start = np.stack([0 * guesses + y0, guesses], axis=-1)[..., None]
    problem = ds.InitialValueProblem(lambda y, t, p: np.polyval(cubic, y), np.array([0.0, D]), np.array([y0]))
    for method in (ds.Newton(), ds.Auto()):
        sol = ds.solve(problem, start, inverse=rule, method=method, on_failure="return")
        assert np.any(sol.status == 0)
        np.testing.assert_allclose(sol.y[sol.status == 0, 1, 0], right, rtol=1e-9)


def tracked(y0, known, cubic, steps=400):
    """Return the root z of z = y0 + s (known + cubic(z)) that is y0 at s = 0, at s = 1; None where others come near."""
    z = y0
    for s in np.linspace(0.0, 1.0, steps + 1)[1:]:
        found = np.roots(np.trim_zeros(s * cubic - [0, 0, 1, -y0 - s * known], "f"))
        near = np.sort(np.abs(found - z))
        new = found[np.argmin(np.abs(found - z))]
        if abs(new.imag) > 1e-9 or (len(near) > 1 and near[1] < 8 * near[0]):
            return None
        z = new.real
    return z


ARTEFACTS = {
    "2 equal": (lambda y, xp: y * (1 - y), [0.01, 0.01]),
    "4 equal": (lambda y, xp: y * (1 - y), [0.01] * 4),
    "2 unequal": (lambda y, xp: y * (1 - y) * (1 + xp.flip(y, axis=-1)), [0.01, 0.02]),
    "rotated": (lambda y, xp: y * (1 - y) + 0.01 * xp.stack([y[..., 1], -y[..., 0]], axis=-1), [0.01, 0.01]),
    "two stable roots": (lambda y, xp: y - y**3, [0.01]),
}


@coarse
@pytest.mark.transformed
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("case", ARTEFACTS)
def test_an_artefact_on_one_coarse_interval_is_not_certified(lib, case, rule):
    """D = 10: with the eigenvalues that changed sign in pairs, or a root of the other sign, no determinant tells."""
    if lib.is_jax and (case in ("4 equal", "2 unequal") or rule != "trapezoid"):
        pytest.skip("the same program with other numbers, slow to compile")
    f, start = ARTEFACTS[case]
    t = lib.asarray([0.0, 10.0])
    problem = ds.InitialValueProblem(lambda y, t, p: f(y, ds.array_namespace(y)), t, lib.asarray(start))
    for method in ("auto", "newton", "sequential", ds.Newton(window=1)):
        if lib.is_jax and method in ("sequential", "newton"):
            continue  # compiled windows hold both
        for guess in (None, -0.95) if case == "two stable roots" else (None,):
            y_guess = None if guess is None else lib.asarray([start, [guess]])
            sol = lib.solve(problem, y_guess, inverse=rule, method=method, on_failure="return")
            if int(lib.to_numpy(sol.status)) == 0:
                assert np.all(lib.to_numpy(sol.y)[1] > 0.5)
            elif not lib.is_jax and not lib.is_transformed and method != "newton":
                pytest.fail(f"{method}: the root that continues was not found, {sol.status}")


@coarse
@pytest.mark.cases_backend("jax")
def test_one_element_on_an_artefact_leaves_the_others(lib):
    """Of a batch, each is continued by itself; in windows what comes before the interval is kept."""
    t = lib.asarray([0.0, 0.1, 0.2, 10.2])
    problem = ds.InitialValueProblem(lambda y, t, p: y * (1 - y), t, lib.asarray([[0.01, 0.01], [0.9, 0.9]]))
    sol = lib.solve(problem, method="newton", on_failure="return")
    assert lib.to_numpy(sol.status).tolist() == [int(ds.Status.NO_DISCRETE_SOLUTION), 0]
    expected = ds.solve(ds.InitialValueProblem(lambda y, t, p: y * (1 - y), lib.to_numpy(t), np.array([0.9, 0.9])))
    np.testing.assert_allclose(lib.to_numpy(sol.y)[1], expected.y, rtol=1e-13)


@given(n=st.integers(1, 5), seed=st.integers(0, 10**6), shift=st.floats(-3, 3), decades=st.integers(0, 8))
def test_the_half_plane_of_eigenvalues(n, seed, shift, decades):
    """Of matrices with rows of any size, as of NumPy's eigenvalues; those on the axis may go either way."""
    rng = np.random.default_rng(seed)
    M = (rng.normal(size=(6, n, n)) + shift * np.eye(n)) * 10.0 ** (decades * rng.random((6, n, 1)))
    found, least = in_right_half_plane(M), np.linalg.eigvals(M).real.min(axis=-1)
    clear = np.abs(least) > 1e-6 * np.abs(M).max(axis=(-2, -1))
    assert (found == (least > 0))[clear].all()


@coarse
def test_steep_transients_are_followed_and_certified(lib):
    """y' = -1e3 (y^3 - cos t) from 0: far from linear on the first interval, and one root."""
    t = np.linspace(0.0, 1.0, 11)
    problem = ds.InitialValueProblem(
        lambda y, t, p: -1e3 * (y**3 - ds.array_namespace(y).cos(t)), lib.asarray(t), lib.asarray([0.0])
    )
    sol = lib.solve(problem, inverse="backward_euler")
    y = [0.0]
    for time in t[1:]:  # 100 z^3 + z = y + 100 cos t has one real root
        found = np.roots([100.0, 0.0, 1.0, -y[-1] - 100 * np.cos(time)])
        y.append(found[np.argmin(np.abs(found.imag))].real)
    np.testing.assert_allclose(lib.to_numpy(sol.y)[:, 0], y, rtol=1e-12)


@coarse
def test_a_chord_does_not_judge_by_the_terms_of_where_it_came_from():
    """y (1 - D) = ... has no root at D = 1: a step from 4.5e6 back to 0 was certified by the terms of 4.5e6, once."""

    def f(y, x, params):
        return np.tanh(y) - np.abs(y) + x

    t, x = np.array([0.0, 1.0], np.float32), np.array([[-1.8320857], [0.45849404]], np.float32)
    problem = ds.InitialValueProblem(f, t, np.array([-1.611425], np.float32), x)
    sol = ds.solve(problem, inverse="backward_euler", on_failure="return")
    assert sol.status == int(ds.Status.NO_DISCRETE_SOLUTION)


@coarse
@pytest.mark.parametrize("method", ["auto", "newton", "sequential", ds.Newton(window=2)])
@given(seed=st.integers(0, 10_000))
@example(seed=228)  # both ends of an interval are mild, what is between them is not
@settings(max_examples=12)
def test_what_is_kept_of_a_window_is_on_the_branch_too(method, seed):
    """y' = a + b y + c y^2 - d y^3 on a few coarse intervals, against Newton's method in small steps of D from 0."""
    rng = np.random.default_rng(seed)
    a, b, c, d = rng.normal(size=4) * [0.5, 2.0, 1.0, 1.0]
    T, rule = int(rng.integers(3, 7)), ["trapezoid", "backward_euler"][int(rng.integers(2))]
    t, y0, theta = np.cumsum(np.r_[0.0, rng.uniform(0.2, 4.0, T - 1)]), rng.normal() * 1.5, RULES[rule]

    def f(y):
        return a + b * y + c * y * y - abs(d) * y**3

    problem = ds.InitialValueProblem(lambda y, t, p: f(y), t, np.array([y0]))
    sol = ds.solve(problem, inverse=rule, method=method, on_failure="return")
    if int(sol.status) != 0:
        return
    before = y0
    for D, found in zip(np.diff(t), sol.y[1:, 0], strict=True):
        root, margin = before, 1.0
        for s in np.linspace(0.0, 1.0, 201)[1:] * D:
            for _ in range(4):
                slope = 1 - s * theta * (b + 2 * c * root - 3 * abs(d) * root**2)
                root -= (root - before - s * ((1 - theta) * f(before) + theta * f(root))) / slope
            margin = min(margin, slope)
        if margin < 1e-2:  # the branch ends, or all but ends, in a fold
            return
        assert abs(found - root) <= 1e-6 * (1 + abs(root))
        before = found


@coarse
@pytest.mark.parametrize(("rule", "D", "start"), [("trapezoid", 10.0, 0.5), ("backward_euler", 10.0, 0.5)])
def test_an_evolution_that_went_to_another_stable_state_is_not_certified(lib, rule, D, start):
    """u_t = u_ss + u - u^3 without a flux at the ends, from 0.5 in steps of 10: u must not change its sign."""
    s, t = np.linspace(0.0, 1.0, 5), D * np.arange(4)
    ends = {"left": ds.NoFlux(), "right": ds.NoFlux()}
    problem = ds.Evolution1D(
        lambda u, u_s, x, p: u - u**3, lib.asarray(t), lib.asarray(s), lib.asarray(start + np.zeros((5, 1))), **ends
    )
    sol = lib.solve(problem, inverse=rule, on_failure="return")
    assert int(lib.to_numpy(sol.status)) != 0 or lib.to_numpy(sol.y).min() > 0
    if lib.is_numpy:  # steps that resolve the rise are certified
        fine = ds.Evolution1D(lambda u, u_s, x, p: u - u**3, t / 40, s, start + np.zeros((5, 1)), **ends)
        assert int(ds.solve(fine, inverse=rule).status) == 0


@coarse
@pytest.mark.parametrize("step", [5.0, 100.0])
@pytest.mark.parametrize("method", ["auto", "sequential"])
def test_a_branch_that_leaves_its_start_at_once_is_followed(step, method):
    """Robertson's reaction by backward Euler: of each step b is the one root of a monotone equation.

    At the start b rises within 5e-4 of a time to 3.6e-5: a part of 1e-4 or 5e-6 of the way.
    """

    def f(y, t, p):
        a, b, c = y[..., 0], y[..., 1], y[..., 2]
        return np.stack([-0.04 * a + 1e4 * b * c, 0.04 * a - 1e4 * b * c - 3e7 * b * b, 3e7 * b * b], axis=-1)

    def after(y):
        a, c = (lambda b: y.sum() - b - c(b)), (lambda b: y[2] + 3e7 * step * b * b)
        b = brentq(lambda b: a(b) * (1 + 0.04 * step) - y[0] - step * 1e4 * b * c(b), 0, 1, xtol=1e-300, rtol=1e-15)
        return np.array([a(b), b, c(b)])

    expected = [np.array([1.0, 0.0, 0.0])]
    for _ in range(20):
        expected.append(after(expected[-1]))
    problem = ds.InitialValueProblem(f, step * np.arange(21.0), expected[0])
    sol = ds.solve(problem, inverse="backward_euler", method=method)
    np.testing.assert_allclose(sol.y, expected, rtol=1e-9, atol=1e-13)
