"""A batch in parts: each element its own rule, and an error that is estimated of some or of all, whatever the size."""

import numpy as np
import pytest

import deersolve as ds


def van_der_pol(y, x, p):
    xp = ds.array_namespace(y)
    return xp.stack([y[..., 1], x["mu"][..., 0] * (1 - y[..., 0] ** 2) * y[..., 1] - y[..., 0]], axis=-1)


@pytest.mark.deep_backend("jax")
def test_stiff_elements_alone_take_the_implicit_rule(lib):
    """Values, dense output, steps and rows are those of the elements by themselves."""
    mu, t = np.array([1.0, 300.0, 0.5]), np.array([0.0, 5.0, 8.0])
    x, y0 = {"mu": lib.asarray(mu[:, None, None])}, lib.asarray(np.tile([2.0, 0.0], (3, 1)))
    sol = ds.solve(ds.InitialValueProblem(van_der_pol, lib.asarray(t), y0, x=x), rtol=1e-6)
    assert sol.stats.choice.startswith("1 of 3 implicit") == (lib.name != "jax")
    for k, m in enumerate(mu):
        one = ds.InitialValueProblem(van_der_pol, t, np.array([2.0, 0.0]), x={"mu": np.array([[m]])})
        known = ds.solve(one, rtol=1e-10, inverse="radau9")
        assert np.abs(lib.to_numpy(sol.y[k, ...]) - known.y).max() < 1e-5
        assert np.abs(lib.to_numpy(sol(3.3))[k] - known(3.3)).max() < 1e-5
        assert np.abs(lib.to_numpy(sol(8.0, 1))[k] - known(8.0, 1)).max() < 1e-3
        assert int(sol.stats.steps[k]) == np.sum(np.diff(lib.to_numpy(sol.grid)[k]) > 0)


def test_derivatives_of_a_batch_of_two_rules():
    mu, t = np.array([1.0, 300.0, 0.5]), np.array([0.0, 1.0])
    problem = ds.InitialValueProblem(van_der_pol, t, np.tile([2.0, 0.0], (3, 1)), x={"mu": mu[:, None, None]})
    sol = ds.solve(problem, rtol=1e-8)
    moved = ds.sensitivity(problem, sol, {"y0": np.tile([1.0, 0.0], (3, 1))})[..., -1, :]
    near = [
        ds.solve(
            ds.InitialValueProblem(van_der_pol, t, np.tile([2.0 + h, 0.0], (3, 1)), x={"mu": mu[:, None, None]}),
            rtol=1e-11,
            inverse="radau9",
        ).y[:, -1]
        for h in (1e-4, -1e-4)
    ]
    np.testing.assert_allclose(moved, (near[0] - near[1]) / 2e-4, rtol=1e-4, atol=1e-6)


def growth(y, t, p):
    return y - ds.array_namespace(y).sin(t) + ds.array_namespace(y).cos(t)


def test_the_error_of_a_large_batch_is_estimated_of_a_sample():
    y0 = np.linspace(0.5, 1.5, 3000)[:, None]
    decay = ds.InitialValueProblem(lambda y, t, p: -y, np.array([0.0, 3.0]), y0)
    sol = ds.solve(decay, rtol=1e-8)
    known = sol.stats.is_asymptotic
    assert f"estimated of {known.sum()} of 3000" in sol.stats.choice
    assert known[0]
    assert sol.stats.discretisation_error.max() < 1e-7
    every = ds.solve(decay, method=ds.Adaptive(1e-8, 1e-11, estimate=True))
    assert (every.stats.discretisation_error < 1e-7).all()
    np.testing.assert_allclose(every.y, sol.y, rtol=1e-7)
    np.testing.assert_allclose(every(1.7), sol(1.7), rtol=1e-7)
    assert "no error was estimated" in ds.solve(decay, method=ds.Adaptive(1e-8, estimate=False)).stats.choice


def test_errors_that_grow_are_mended_in_a_large_batch():
    """y = sin t of all elements, an error of the first step grows 22,000 times."""
    problem = ds.InitialValueProblem(growth, np.array([0.0, 10.0]), np.zeros((700, 1)))
    sol = ds.solve(problem, rtol=1e-7, atol=1e-7)
    assert "errors grow" in sol.stats.choice
    assert np.abs(sol.y[:, -1, 0] - np.sin(10.0)).max() < 1e-6


@pytest.mark.parametrize("rtol", [1e-4, 1e-6])
def test_jumps_that_are_not_named_are_resolved_or_told_in_a_large_batch(rtol):
    """Stages of long steps see the same sign of a square wave, and every step is taken."""
    f = lambda y, t, p: np.sign(np.sin(5 * t)) + 0 * y  # noqa: E731
    sol = ds.solve(
        ds.InitialValueProblem(f, np.array([0.0, 10.0]), np.zeros((200, 1))), rtol=rtol, atol=rtol, on_failure="return"
    )
    assert np.prod(sol.grid.shape) > 2**14
    exact = 2 * np.pi / 5 - 10 % (2 * np.pi / 5)
    told = sol.status == ds.Status.UNDER_RESOLVED
    assert (told | (np.abs(sol.y[:, -1, 0] - exact) < 100 * rtol)).all()


def test_chaos_in_a_large_batch_is_told():
    """Lorenz over 30 units of time: errors grow by e^27."""

    def lorenz(y, t, p):
        a, b, c = (y[..., k] for k in range(3))
        return np.stack([10 * (b - a), a * (28 - c) - b, a * b - 8 / 3 * c], axis=-1)

    y0 = np.array([1.0, 1.0, 20.0]) + np.linspace(0.0, 1.0, 20)[:, None]
    sol = ds.solve(ds.InitialValueProblem(lorenz, np.array([0.0, 30.0]), y0), rtol=1e-6, on_failure="return")
    assert np.prod(sol.grid.shape) * 3 > 2**14
    assert (sol.status == ds.Status.UNDER_RESOLVED).all()


@pytest.mark.parametrize("batch", [(), (2,)])
def test_sliding_along_a_jump_ends_early_and_is_told(batch):
    """y' = -sign(y) comes to 0 at t = 1; the rest would be 2 10^8 steps. The part before is there."""
    y0 = np.ones((*batch, 1))
    slide = ds.InitialValueProblem(lambda y, t, p: -np.sign(y), np.array([0.0, 0.5, 2.0]), y0)
    with pytest.raises(ds.ConvergenceError, match=r"f jumps.* came to t = 1.* last step of \d") as caught:
        ds.solve(slide, rtol=1e-6)
    sol = caught.value.solution
    assert (sol.status == ds.Status.UNDER_RESOLVED).all()
    assert np.max(sol.stats.steps) < 3000
    np.testing.assert_allclose(sol.y[..., 1, :], 0.5, rtol=1e-6)


@pytest.mark.parametrize("batch", [(), (2,)])
def test_many_steps_are_no_stall(batch):
    """exp(-t) sin(10^4 t): a thousand steps and more, each over a few radians."""

    def burst(y, t, p):
        return np.stack([-y[..., 0] + 1e4 * y[..., 1], -y[..., 1] - 1e4 * y[..., 0]], axis=-1)

    t, y0 = np.array([0.0, 0.3]), np.broadcast_to([0.0, 1.0], (*batch, 2))
    sol = ds.solve(ds.InitialValueProblem(burst, t, y0), rtol=1e-4, method=ds.Adaptive(estimate=False))
    exact = np.exp(-0.3) * np.array([np.sin(3e3), np.cos(3e3)])
    assert np.max(sol.stats.steps) > 1000
    assert np.abs(sol.y[..., -1, :] - exact).max() < 1e-4 * np.max(sol.stats.steps)  # one tolerance a step
