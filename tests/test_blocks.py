"""Long trajectories within a memory: the linear solves, gradients and estimates in blocks are those of the whole."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import deersolve as ds
from deersolve.grids.times import Steps
from deersolve.inverses import rule_of
from deersolve.newton.blocks import Blockwise
from deersolve.newton.implicit import inverse_at
from deersolve.newton.memory import bytes_of, steps_within
from deersolve.testing.systems import system_of
from tests.references import on

T = 103
pytestmark = pytest.mark.filterwarnings("ignore::deersolve.DiscretisationWarning")
METHODS = [ds.Newton, lambda memory: ds.Newton(window=20, memory=memory), ds.Sequential, ds.Auto]


def wave(y, x, W):
    return ds.array_namespace(y).tanh(y @ W) + 0.3 * x["u"]


def two_back(a, b, x, W):
    return ds.array_namespace(a).tanh(a @ W - 0.3 * b) + x


def problem_of(kind, y0, x, W, t):
    if kind == "ode":
        return ds.InitialValueProblem(wave, t, y0, {"t": t[:, None], "u": x}, W)
    return ds.Recurrence(two_back, y0, x, W, lags=(1, 3))


def draw(kind, seed=0):
    rng = np.random.default_rng(seed)
    y0 = rng.normal(size=(2, 3) if kind == "ode" else (2, 3, 3))
    return y0, rng.normal(size=(2, T, 3)), 0.5 * rng.normal(size=(3, 3)), np.cumsum(rng.uniform(0.01, 0.03, T))


@given(block=st.integers(3, T), seed=st.integers(0, 99), kind=st.sampled_from(["ode", "lags"]))
@settings(max_examples=40)
def test_blocks_of_any_length_solve_the_same_linear_equation(block, seed, kind):
    y0, x, W, t = draw(kind, seed)
    rng = np.random.default_rng(seed)
    y, r = rng.normal(size=(2, 2, T, 3))
    problem = problem_of(kind, y0, x, W, t)
    rule = rule_of(problem.inverse, problem.family)
    system = dataclasses.replace(system_of(problem, rule), block=block)
    whole, blocks = inverse_at(system, system.linearise(y)), Blockwise(system, y)
    for ours, theirs in ((blocks.solve(r), whole.solve(r)), (blocks.transpose(r), whole.transpose(r))):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-13 * np.max(np.abs(theirs)))
    plain = dataclasses.replace(system, block=None)
    np.testing.assert_allclose(blocks.residual(), plain.residual(y), rtol=0, atol=1e-13)


@pytest.mark.parametrize("kind", ["ode", "lags"])
@pytest.mark.parametrize("method", METHODS, ids=["whole", "windows", "loop", "auto"])
@pytest.mark.cases_backend("jax", "loop-lags")
def test_solutions_and_estimates_do_not_depend_on_the_memory(lib, kind, method):
    if lib.is_jax and method is METHODS[0 if kind == "lags" else 3]:
        pytest.skip("the programs of the other methods, compiled again")
    problem = problem_of(kind, *on(lib, draw(kind)))
    whole, blocks = (lib.solve(problem, method=method(memory=memory)) for memory in (None, 1))
    assert bool(ds.array_namespace(blocks.y).all(blocks.converged))
    for name in ("y", "y_corrected"):
        if getattr(whole, name) is not None:
            ours, theirs = (lib.to_numpy(getattr(s, name)) for s in (blocks, whole))
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-13 * np.max(np.abs(theirs)))
    if kind == "ode":
        ours, theirs = (lib.to_numpy(s.stats.discretisation_error) for s in (blocks, whole))
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


@pytest.mark.parametrize("kind", ["ode", "lags"])
@pytest.mark.parametrize("method", METHODS, ids=["whole", "windows", "loop", "auto"])
def test_gradients_across_blocks_on_torch(kind, method):
    torch = pytest.importorskip("torch")

    def gradients(memory):
        y0, x, W, t = (torch.tensor(a) for a in draw(kind))
        leaves = [a.requires_grad_() for a in (y0, x, W)]
        y = ds.solve(problem_of(kind, *leaves, t), method=method(memory=memory)).y
        return torch.autograd.grad((y**3).sum(), leaves)

    for ours, theirs in zip(gradients(1), gradients(None), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12 * float(theirs.abs().max()))


def test_a_second_derivative_on_torch_asks_for_memory():
    torch = pytest.importorskip("torch")
    y0, x, W, t = (torch.tensor(a) for a in draw("ode"))
    y = ds.solve(problem_of("ode", y0.requires_grad_(), x, W, t), method=ds.Auto(memory=1)).y
    with pytest.raises(ds.InputError, match="memory=None"):
        torch.autograd.grad((y**3).sum(), y0, create_graph=True)


@pytest.mark.parametrize("kind", ["ode", "lags"])
@pytest.mark.slow
@pytest.mark.deep_but("lags")
def test_gradients_across_blocks_on_jax(kind):
    jax = pytest.importorskip("jax")
    y0, x, W, t = map(jax.numpy.asarray, draw(kind))

    def loss(y0, x, W, memory):
        return (ds.solve(problem_of(kind, y0, x, W, t), method=ds.Auto(memory=memory)).y ** 3).sum()

    whole, blocks = (jax.jit(jax.grad(loss, (0, 1, 2)), static_argnums=3)(y0, x, W, m) for m in (None, 1))
    for ours, theirs in zip(blocks, whole, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12 * float(abs(theirs).max()))
    whole, blocks = (jax.jit(jax.hessian(loss, 2), static_argnums=3)(y0, x, W, m) for m in (None, 1))
    np.testing.assert_allclose(blocks, whole, rtol=0, atol=1e-11 * float(abs(whole).max()))


@pytest.mark.parametrize(
    ("memory", "expected"), [("2GiB", 2 * 2**30), ("500 MB", 500 * 10**6), (2e9, 2 * 10**9), (7, 7), (None, None)]
)
def test_memory_is_read_as_people_write_it(memory, expected):
    assert bytes_of(memory) == expected


@pytest.mark.parametrize("memory", ["2 gigs", "-1GB", 0, True, "inf", "1.2.3", [2]])
def test_memory_that_is_none_is_refused(memory):
    with pytest.raises(ds.InputError, match="memory"):
        ds.Auto(memory=memory)


def test_half_the_memory_is_half_the_steps():
    y = np.zeros((4, 1_000_000, 16), np.float32)
    one, two = (steps_within(m, y, Steps(10**6)) for m in (10**8, 2 * 10**8))
    assert abs(two - 2 * one) <= 2
    assert steps_within(10**15, y, Steps(10**6)) is None
