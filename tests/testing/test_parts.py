"""The checks of problems say what is wrong, and what does not apply."""

from __future__ import annotations

import numpy as np
import pytest

import deersolve as ds
from deersolve.testing import (
    CheckFailure,
    check_batch,
    check_certificate,
    check_equals_loop,
    check_gradient,
    check_inverse,
    check_order,
    check_problem,
    check_windows,
)

S = np.linspace(0.0, 1.0, 9)


def cell(h, x, p):
    return np.tanh(p * h + x)


def sums():
    return ds.Recurrence(cell, np.ones(2), np.linspace(-1.0, 1.0, 14).reshape(7, 2), np.array(0.6))


def line(**changes):
    ends = {"left": ds.Dirichlet(0.1), "right": ds.Dirichlet(0.0), **changes}
    return ds.BoundaryValueProblem(lambda u, u_s, x, p: -p * np.exp(u), S, params=np.array(0.7), **ends)


def failures(check, *args, **options):
    with pytest.raises(CheckFailure) as caught:
        check(*args, **options)
    return {c.name for c in caught.value.report.failed}


def test_checks_say_what_does_not_apply():
    report = check_problem(line())
    skipped = {c.name: c.received for c in report if not c.applies}
    assert skipped["equals loop"] == skipped["windows"] == "nothing marches over it"
    table = str(report)
    assert table.startswith("BoundaryValueProblem(")
    assert "not applicable: nothing marches over it" in table
    assert repr(report["windows"]) == "-    windows: not applicable: nothing marches over it"


@pytest.mark.parametrize("check", [check_equals_loop, check_windows, check_batch, check_certificate, check_gradient])
def test_each_check_alone_passes_a_recurrence(check):
    assert not check(sums()).failed


@pytest.mark.parametrize(
    ("problem", "order"),
    [
        (lambda: ds.InitialValueProblem(lambda y, t, p: -y * y, S, np.array([1.0])), 2),
        (lambda: ds.TwoPointProblem(lambda u, x, p: 0.5 * u * u, S, ds.Coupled([[1.0]], [[0.0]], [1.0])), 2),
        (line, 2),
    ],
    ids=["time", "two ends", "line"],
)
def test_the_observed_order(problem, order):
    assert abs(check_order(problem())["order"].value - order) < 0.2
    assert failures(check_order, problem(), order=order + 2) == {"order"}


def test_backward_euler_is_of_first_order():
    problem = ds.InitialValueProblem(lambda y, t, p: -y * y, S, np.array([1.0]))
    assert abs(check_order(problem, inverse="backward_euler")["order"].value - 1) < 0.2


def test_a_jump_of_f_is_seen_in_the_order():
    jump = ds.InitialValueProblem(lambda y, t, p: np.sign(t - 0.3) - y, S, np.array([1.0]))
    assert check_order(jump)["order"].value < 1.6
    assert failures(check_order, jump, order=2) == {"order"}


def test_a_loop_that_f_cannot_follow_in_extended_precision_is_that_of_float64():
    def f(h, x, p):  # LAPACK knows no longdouble
        return np.linalg.solve(np.eye(2, dtype=np.float32) * (3.0 + h[..., :1, None] ** 2), h[..., None])[..., 0] + x

    problem = ds.Recurrence(f, np.ones(2, dtype=np.float32), np.ones((5, 2), dtype=np.float32))
    assert "equals loop (float64)" in check_equals_loop(problem)


def test_a_problem_without_a_solution_is_a_row():
    no_root = ds.BoundaryValueProblem(
        lambda u, u_s, x, p: -9.0 * np.exp(u), S, left=ds.Dirichlet(), right=ds.Dirichlet()
    )
    with pytest.raises(CheckFailure) as caught:
        check_problem(no_root)
    report = caught.value.report
    assert [c.name for c in report.failed] == ["solve"]
    assert report["certificate"].received == "there is no solution"
    assert failures(check_equals_loop, no_root) == {"solve"}


def test_an_f_that_couples_points_is_a_row():
    coupled = ds.Recurrence(lambda h, x, p: np.tanh(h) + h.mean(axis=-2, keepdims=True), np.ones(2), n_points=6)
    assert "solve" in failures(check_problem, coupled)


def test_the_operator_of_a_problem_needs_no_key():
    report = check_inverse(problem=line())
    assert {"solve[dense]", "transpose", "magnitude"} <= {c.name for c in report}
    with pytest.raises(ds.InputError, match="family="):
        check_inverse(lambda Gs, rhs: rhs)


@pytest.mark.slow
def test_a_number_inside_a_shifter_that_the_gradient_does_not_know_of_is_found():
    jax = pytest.importorskip("jax")
    jnp = jax.numpy

    def by_params(k):
        inverse = lambda Gs, rhs: rhs / (1 + Gs[0].diagonal())  # noqa: E731
        return ds.Problem(lambda y, x, p: jnp.cos(p * y), shift=ds.identity, inverse=inverse, params=k)

    def by_shifter(k):
        inverse = lambda Gs, rhs: rhs / (1 + k * Gs[0].diagonal())  # noqa: E731
        return ds.Problem(lambda y, x, p: jnp.cos(y), shift=lambda y: k * y, inverse=inverse)

    k, guess = jnp.asarray(0.5), jnp.ones((3, 1))
    assert check_gradient(by_params(k), guess, make=by_params, at=k)["grad[at]"].value < 1e-5
    try:
        failed = check_gradient(by_shifter(k), guess, make=by_shifter, at=k).failed
    except CheckFailure as failure:
        failed = failure.report.failed
    assert {check.name for check in failed} <= {"grad[at]"}


def test_the_gradient_of_a_library_with_its_own():
    torch = pytest.importorskip("torch")
    x = torch.linspace(-1.0, 1.0, 8, dtype=torch.float64).reshape(4, 2)
    start, p = torch.ones(2, dtype=torch.float64), torch.tensor(0.6, dtype=torch.float64)
    report = check_gradient(ds.Recurrence(lambda h, x, p: torch.tanh(p * h + x), start, x, p))
    assert report["grad"].value < 1e-5


class Scaled(ds.inverses.Rule):
    """h f = k y, of a grid and boundary data of one's own."""

    key, structures, exact = "mine.scaled", (ds.Dense,), True

    def residual(self, y, fy, *, grid, boundary):
        return grid["h"] * fy - boundary["k"] * y

    def solve(self, Gs, r, *, grid, boundary):
        return r / (boundary["k"] + grid["h"] * Gs[0].diagonal())

    def transpose(self, Gs, c, *, grid, boundary):
        return self.solve(Gs, c, grid=grid, boundary=boundary)


def test_records_of_ones_own_are_fields():
    made = {"inverse": Scaled(), "grid": {"h": 1.1}, "boundary": {"k": 2.0}}
    report = check_problem(ds.Problem(lambda y, x, p: np.cos(y), shift=ds.identity, **made), np.ones((4, 1)))
    assert report["sensitivity[grid]"].value < 1e-9
    assert report["adjoint[boundary]"].value < 1e-9


@pytest.mark.parametrize("seed", range(3))
def test_derivatives_that_are_zero_or_small_are_no_fault(seed):
    rng = np.random.default_rng(seed)
    W, x = (rng.normal(size=(3, 3)) / 2).astype(np.float32), rng.normal(size=(8, 3)).astype(np.float32)
    check_gradient(ds.Recurrence(lambda y, x, p: np.tanh(y @ p + x), np.ones(3, np.float32), x, W))
    check_gradient(ds.Recurrence(lambda y, x, p: y / 2 + x, np.zeros(2), rng.normal(size=(6, 2)), 1.0))


def test_of_a_complex_state_what_is_solved_is_checked():
    problem = ds.InitialValueProblem(
        lambda y, t, w: 1j * w * y * abs(y), np.linspace(0, 1, 9), np.array([1 + 0.5j]), params=0.7
    )
    assert check_problem(problem)["equals loop"].holds
