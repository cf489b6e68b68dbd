"""A structure of G of one's own: returned by jac, kept by a rule that takes it, dense for others, and checked."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from tests.own_structures import LowRank, Tridiagonal, WithoutMatrices, chain

import deersolve as ds
from deersolve.backends.trees import record
from deersolve.testing import CheckFailure, check_inverse, check_structure

pytestmark = pytest.mark.filterwarnings("ignore::deersolve.DiscretisationWarning")


def drawn(cls, *shape):
    values = np.random.default_rng(0).normal(size=shape) * (cls is not ds.Zero)
    if cls is Tridiagonal:
        values[..., 0, 0] = values[..., 2, -1] = 0
    return cls(values)


GIVEN = [(Tridiagonal, (5, 3, 6)), (Tridiagonal, (2, 4, 3, 1)), (LowRank, (5, 6, 5)), (ds.Dense, (5, 4, 4))]
GIVEN += [(ds.Diagonal, (2, 5, 4)), (ds.BlockDiagonal, (5, 3, 2, 2)), (ds.Zero, (5, 3))]


@pytest.mark.parametrize(("cls", "shape"), GIVEN)
def test_right_structures_pass(cls, shape):
    assert not check_structure(drawn(cls, *shape)).failed


def test_it_is_checked_on_other_libraries():
    torch = pytest.importorskip("torch")
    made = drawn(LowRank, 5, 6, 5)
    assert not check_structure(LowRank(torch.asarray(made.values))).failed


WRONG = {
    "apply": {"apply": lambda self, v: self.values[..., 1, :] * v},
    "mT": {"mT": property(lambda self: self)},
    "neg": {"__neg__": lambda self: self},
    "diagonal": {"diagonal": lambda self: self.values[..., 0, :]},
    "abs": {"__abs__": lambda self: type(self)(0.9 * abs(self.values))},
    "shifted": {"shifted": lambda self, shift: self},
    "matmul": {"__matmul__": lambda self, other: self if isinstance(other, ds.Structure) else self.apply(other)},
    "in_blocks(2)": {"in_blocks": lambda self, size: ds.BlockDiagonal(np.zeros((5, 6 // size, size, size)))},
    "map": {"map": lambda self, function: type(self)(self.values)},
    "shape": {"to_dense": lambda self: np.zeros((5, 6, 5))},
}


@pytest.mark.parametrize("claim", WRONG)
def test_wrong_ones_are_caught(claim):
    made = drawn(record(type("Wrong", (Tridiagonal,), WRONG[claim])), 5, 3, 6)
    made.values[..., 0, 0] = made.values[..., 2, -1] = 0
    with pytest.raises(CheckFailure) as caught:
        check_structure(made)
    assert claim in {check.name for check in caught.value.report.failed}


def test_one_that_is_no_record_is_caught():
    class Plain(ds.Structure):
        name, n, mT = "plain", 2, property(lambda self: self)

        def __init__(self, values):
            self.values = values

        def to_dense(self):
            return ds.Diagonal(self.values).to_dense()

        def apply(self, v):
            return self.values * v

    with pytest.raises(CheckFailure, match="expected a record") as caught:
        check_structure(Plain(np.ones((3, 2))))
    assert [check.name for check in caught.value.report.failed] == ["tree"]


@pytest.mark.parametrize("batch", [(), (3,)])
def test_a_rule_that_takes_it_never_sees_matrices(batch):
    problem = chain(WithoutMatrices, batch=batch)
    sol = ds.solve(problem, inverse="banded")
    expected = ds.solve(chain(batch=batch), inverse="backward_euler")
    np.testing.assert_allclose(sol.y, expected.y, rtol=1e-12, atol=1e-14)
    assert sol.stats.discretisation_error is not None
    np.testing.assert_allclose(sol.stats.discretisation_error, expected.stats.discretisation_error, rtol=1e-9)
    one = np.ones_like(sol.y)
    found, other = (ds.adjoint(p, s, one) for p, s in ((problem, sol), (chain(batch=batch), expected)))
    assert float(found["params"]) == pytest.approx(float(other["params"]), rel=1e-10)
    ahead = ds.sensitivity(problem, sol, {"params": np.array(1.0)})
    assert float(np.sum(ahead * one)) == pytest.approx(float(found["params"]), rel=1e-10)


def test_the_linear_claims_of_such_a_rule_are_checked():
    report = check_inverse("ddt.banded")
    assert [check.name for check in report] == ["solve[tridiagonal]", "batch", "transpose"]


def test_it_saves_the_memory_of_the_matrices():
    n, points = 250, 9
    problem = chain(WithoutMatrices, n=n, points=points)
    ds.solve(chain(), inverse="banded")  # what is imported on the way counts for nothing
    tracemalloc.start()
    sol = ds.solve(problem, inverse="banded")
    ds.adjoint(problem, sol, np.ones_like(sol.y), wrt="params")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < points * n * n * 8 / 4


def test_every_problem_takes_it_and_rules_that_do_not_are_given_matrices():
    s, wall = np.linspace(0.0, 1.0, 9), ds.Dirichlet(0.5)
    t, y0 = np.linspace(0.0, 1.0, 9), np.array([0.5, 0.2, 0.1])

    def rate(u, *rest):
        return 0.1 * u[..., ::-1] - u * u * u

    def slopes(u, *rest):
        d, one = -3 * u * u, 0 * u[..., None]
        U = one + 0.1 * np.eye(3)[::-1]
        return LowRank.of(d, U, one + np.eye(3))

    def zero(u):
        return ds.Zero(0 * u)

    def of(jac):
        wrap = {} if jac is None else {"jac": jac}
        two = {} if jac is None else {"jac": lambda u, us, x, p: (slopes(u), zero(u))}
        three = {} if jac is None else {"jac": lambda u, us, ur, x, p: (slopes(u), zero(u), zero(u))}
        return [
            ds.Recurrence(rate, y0, n_points=9, **wrap),
            ds.InitialValueProblem(rate, t, y0, **wrap),
            ds.TwoPointProblem(lambda u, x, p: rate(u), s, ds.Coupled(np.eye(3), 0 * np.eye(3), y0), **wrap),
            ds.BoundaryValueProblem(rate, s, left=wall, right=wall, a=np.ones(3), **two),
            ds.Elliptic(rate, (s, s), np.ones(3), sides=((wall, wall), (wall, wall)), **three),
        ]

    for given, plain in zip(of(slopes), of(None), strict=True):
        sol = ds.solve(given, method="newton")
        assert sol.stats.derivative.startswith("analytic")
        np.testing.assert_allclose(sol.y, ds.solve(plain, method="newton").y, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("structure", ["diagonal", ds.BlockDiagonal.of_size(2)])
def test_it_is_simplified_like_matrices(structure):
    sol = ds.solve(chain(), method=ds.Newton(structure=structure))
    np.testing.assert_allclose(sol.y, ds.solve(chain(), method="newton").y, rtol=1e-12, atol=1e-14)


def test_a_rule_that_takes_nothing_else_says_so():
    problem, t, y0 = chain(), np.linspace(0.0, 1.0, 9), np.ones(3)
    with pytest.raises(ds.InputError, match="jac: expected a function that returns Tridiagonal, which is all"):
        ds.solve(ds.InitialValueProblem(lambda u, t, p: -u, t, y0), inverse="banded")
    diagonal = ds.InitialValueProblem(lambda u, t, p: -u, t, y0, jac=lambda u, t, p: 0 * u - 1)
    with pytest.raises(ds.InputError, match="Tridiagonal, which is all that the rule takes; received Diagonal"):
        ds.solve(diagonal, inverse="banded")
    with pytest.raises(ds.InputError, match="structure: expected Dense"):
        ds.solve(problem, inverse="banded", method=ds.Newton(structure="diagonal"))


@pytest.mark.parametrize("make", [lambda v: Tridiagonal(1.1 * v), lambda v: Tridiagonal(v[..., :-1])])
def test_a_wrong_one_is_not_the_jacobian(make):
    with pytest.raises(ds.FunctionError, match="jac"):
        ds.solve(chain(make), inverse="banded")


def test_on_torch_it_stands_in_a_graph():
    torch = pytest.importorskip("torch")
    expected = ds.solve(chain(n=3, points=4), inverse="backward_euler")
    gradient = ds.adjoint(chain(n=3, points=4), expected, np.ones_like(expected.y))["params"]
    problem = chain(WithoutMatrices, n=3, points=4, asarray=torch.asarray)
    p = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    again = ds.InitialValueProblem(problem.f, problem.t, torch.sin(torch.arange(3.0, dtype=torch.float64)), params=p)
    again.jac = problem.jac
    ds.solve(again, inverse="banded").y.sum().backward()
    assert float(p.grad) == pytest.approx(float(gradient), rel=1e-10)


def test_on_jax_it_is_a_tree():
    jax = pytest.importorskip("jax")

    def problem(xp, p):
        def f(y, x, p):
            return 0.3 * xp.sin(p * y) + 0.1 * xp.mean(y, axis=-1, keepdims=True) + 0.5

        def jac(y, x, p):
            one = xp.ones_like(y)[..., None]
            return LowRank.of(0.3 * p * xp.cos(p * y), 0.1 * one, one / 3)

        return ds.Recurrence(f, xp.asarray([0.0, 1.0, 2.0]), params=p, n_points=3, jac=jac)

    plain = problem(np, np.array(1.2))
    expected = ds.adjoint(plain, ds.solve(plain), np.ones((3, 3)))["params"]
    found = jax.grad(lambda p: jax.numpy.sum(ds.solve(problem(jax.numpy, p)).y))(1.2)
    np.testing.assert_allclose(found, expected, rtol=1e-10)
