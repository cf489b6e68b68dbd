"""TR-BDF2 for ordinary differential equations: the loop in NumPy, stiff decay, jumps, gradients, libraries."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import deersolve as ds

pytestmark = pytest.mark.filterwarnings("ignore::deersolve.DiscretisationWarning")  # six intervals, and rightly
GAMMA = 2.0 - np.sqrt(2.0)
T = np.array([0.0, 0.1, 0.25, 0.4, 0.7, 0.9, 1.0])


def vanderpol(y, x, mu):
    xp = ds.array_namespace(y)
    u, v = y[..., :1], y[..., 1:]
    return xp.concat([v + 0.1 * xp.sin(x), mu * (1 - u * u) * v - u], axis=-1)


def by_the_loop(t, y0, mu):
    """Return y and the stages by both equations of every interval, as they stand in the paper of Bank et al."""

    def f(t, y):
        return np.array([y[1] + 0.1 * np.sin(t), mu * (1 - y[0] ** 2) * y[1] - y[0]])

    def implicit(t, z, known, h):
        """Return z with ``z = known + h f(t, z)``, by Newton's method."""
        for _ in range(20):
            u, v = z
            J = np.array([[0.0, 1.0], [-1 - 2 * mu * u * v, mu * (1 - u * u)]])
            z = z - np.linalg.solve(np.eye(2) - h * J, z - known - h * f(t, z))
        return z

    ys, stages = [np.asarray(y0)], []
    for a, b in itertools.pairwise(t):
        h, y, c = b - a, ys[-1], a + GAMMA * (b - a)
        stages.append(implicit(c, y, y + GAMMA * h / 2 * f(a, y), GAMMA * h / 2))
        known = (stages[-1] - (1 - GAMMA) ** 2 * y) / (GAMMA * (2 - GAMMA))
        ys.append(implicit(b, stages[-1], known, (1 - GAMMA) / (2 - GAMMA) * h))
    return np.array(ys), np.array(stages)


def test_every_library_finds_what_the_loop_finds(lib):
    y0, tol = np.array([2.0, -0.3]), 1e-12
    problem = ds.InitialValueProblem(vanderpol, lib.asarray(T), lib.asarray(y0), params=3.0)
    sol = ds.solve(problem, inverse="trbdf2", method=ds.Newton())
    ys, stages = by_the_loop(T, y0, 3.0)
    np.testing.assert_allclose(lib.to_numpy(sol.y), ys, rtol=0, atol=tol)
    np.testing.assert_allclose(lib.to_numpy(sol.stages)[1:, 0], stages, rtol=0, atol=tol)
    assert int(lib.to_numpy(sol.status)) == 0


@pytest.mark.parametrize("method", ["newton", "sequential", ds.Newton(window=2), ds.Newton(window=4), "auto"], ids=str)
def test_every_method_finds_the_same(method):
    y0 = np.array([[2.0, -0.3], [0.5, 1.0]])
    sol = ds.solve(ds.InitialValueProblem(vanderpol, T, y0, params=3.0), inverse="trbdf2", method=method)
    expected = np.stack([by_the_loop(T, y, 3.0)[0] for y in y0])
    np.testing.assert_allclose(sol.y, expected, rtol=0, atol=1e-12)
    assert sol.converged.all()


def test_what_is_stiff_is_damped():
    """Prothero and Robinson, k = 1e7: from off the slow solution the trapezoid rings, TR-BDF2 is there at once."""
    t = np.linspace(0.0, 2.0, 41)
    problem = ds.InitialValueProblem(lambda y, t, k: -k * (y - np.cos(t)) - np.sin(t), t, np.array([2.0]), params=1e7)
    off = {rule: np.abs(ds.solve(problem, inverse=rule).y[4:, 0] - np.cos(t[4:])) for rule in ("trbdf2", "trapezoid")}
    assert off["trbdf2"].max() < 1e-5
    assert off["trapezoid"].max() > 0.5


def test_a_march_backwards_is_that_forwards():
    """y(1 - t) of dy/dt = f is that of dz/ds = -f, by the same steps."""
    there = ds.InitialValueProblem(lambda y, t, p: -y * y + np.sin(t), 1.0 - T, np.array([0.7]))
    back = ds.InitialValueProblem(lambda z, s, p: z * z - np.sin(1.0 - s), T, np.array([0.7]))
    np.testing.assert_allclose(
        ds.solve(there, inverse="trbdf2").y, ds.solve(back, inverse="trbdf2").y, rtol=0, atol=1e-14
    )


def test_a_jump_at_a_time_that_stands_twice():
    """y' = (t > 1) - y: of second order behind the jump, and on the levels at once."""
    off = []
    for N in (20, 40):
        t = np.concatenate([np.linspace(0.0, 1.0, N + 1), np.linspace(1.0, 2.0, N + 1)])
        sol = ds.solve(ds.InitialValueProblem(lambda y, t, p: (t > 1) - y, t, np.array([0.0])), inverse="trbdf2")
        assert np.all(sol.y[: N + 2] == 0)
        off.append(abs(sol.y[-1, 0] - (1 - np.exp(-1.0))))
    assert np.log2(off[0] / off[1]) == pytest.approx(2.0, abs=0.1)


def test_x_is_seen_at_the_stage_as_a_mean():
    """Of a force that is linear between two times, the integral by both equations is exact."""
    u = np.random.default_rng(0).normal(size=(len(T), 1))
    sol = ds.solve(ds.InitialValueProblem(lambda y, u, p: u + 0 * y, T, np.array([0.0]), u), inverse="trbdf2")
    areas = np.diff(T) * (u[1:, 0] + u[:-1, 0]) / 2
    np.testing.assert_allclose(sol.y[1:, 0], np.cumsum(areas), rtol=0, atol=1e-14)


def test_derivatives_are_those_of_differences(lib):
    y0, h = np.array([[2.0, -0.3], [0.5, 1.0]]), 1e-6

    def problem(y0, mu):
        return ds.InitialValueProblem(vanderpol, lib.asarray(T), lib.asarray(y0), params=lib.asarray(mu))

    def y(y0, mu):
        return lib.to_numpy(ds.solve(problem(y0, mu), inverse="trbdf2").y)

    here, mu = problem(y0, 3.0), 3.0
    sol = ds.solve(here, inverse="trbdf2")
    d = np.array([[0.3, -1.0], [0.7, 0.2]])
    directions = {"y0": lib.asarray(d), "params": lib.asarray(0.5)}
    found = lib.to_numpy(ds.sensitivity(here, sol, directions))
    expected = (y(y0 + h * d, mu + 0.5 * h) - y(y0 - h * d, mu - 0.5 * h)) / (2 * h)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-8)
    c = np.random.default_rng(1).normal(size=found.shape)
    back = ds.adjoint(here, sol, lib.asarray(c), wrt=("y0", "params"))
    total = np.sum(lib.to_numpy(back["y0"]) * d) + 0.5 * np.sum(lib.to_numpy(back["params"]))
    assert total == pytest.approx(np.sum(c * found), abs=1e-11)


def test_one_that_fails_touches_no_other():
    y0 = np.array([[0.5], [5.0]])  # y' = y^2 ends at t = 1 / y0
    sol = ds.solve(ds.InitialValueProblem(lambda y, t, p: y * y, T, y0), inverse="trbdf2", on_failure="return")
    assert sol.converged.tolist() == [True, False]
    alone = ds.solve(ds.InitialValueProblem(lambda y, t, p: y * y, T, y0[:1]), inverse="trbdf2")
    np.testing.assert_allclose(sol.y[0], alone.y[0], rtol=0, atol=1e-14)


COUPLED = {
    "mean": lambda y: -y.mean(-2, keepdims=True) + 0 * y,
    "differences": lambda y: -np.diff(y, axis=-2, prepend=0),
    "sums": lambda y: -np.cumsum(y, axis=-2),
    "sums from behind": lambda y: -np.flip(np.cumsum(np.flip(y, -2), axis=-2), -2),
    "turned": lambda y: -np.roll(y, 1, -2),
    "largest": lambda y: -y / (1 + abs(y).max(-2, keepdims=True)),
    "a series": lambda y: np.array([[0.0], [10.0]]) - y,
}


@pytest.mark.parametrize("batch", [(), (3,)])
@pytest.mark.parametrize("name", COUPLED)
@pytest.mark.parametrize("times", [T, T[:2]], ids=["many", "two"])
def test_an_f_that_couples_stages_is_refused(times, name, batch):
    f = COUPLED[name]
    y0 = np.linspace(1.0, 2.0, 3)[:, None] if batch else np.ones(1)
    problem = ds.InitialValueProblem(lambda y, x, p: f(y), times, y0)
    with pytest.raises((ds.FunctionError, ValueError), match=r"stage|acts on each point|broadcast"):
        ds.solve(problem, inverse="trbdf2")


def test_flags_and_whole_numbers_stay_such():
    """A table that is looked up at each time: between two times a stage sees the entry of the first."""
    table, t = np.array([0.0, 1.0]), np.array([0.0, 0.5, 0.5, 1.0])
    x = {"k": np.array([[0], [0], [1], [1]]), "on": np.array([[False], [False], [True], [True]])}
    for f in (lambda y, x, p: table[x["k"]] + 0 * y, lambda y, x, p: np.where(~x["on"], 0.0, 1.0) + 0 * y):
        sol = ds.solve(ds.InitialValueProblem(f, t, np.zeros(1), x), inverse="trbdf2")
        np.testing.assert_allclose(sol.y[:, 0], [0.0, 0.0, 0.0, 0.5], rtol=0, atol=1e-15)


def test_the_lyapunov_exponent_has_no_axis_of_stages():
    found = []
    for rule in ("trbdf2", "trapezoid"):
        problem = ds.InitialValueProblem(lambda y, x, p: -y, np.linspace(0.0, 1.0, 41), np.ones((2, 1)))
        found.append(ds.lyapunov(problem, ds.solve(problem, inverse=rule)))
    assert found[0].shape == found[1].shape == (2,)
    np.testing.assert_allclose(found[0], [-1.0, -1.0], atol=1e-4)
