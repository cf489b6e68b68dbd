"""The checks for those who extend: what is shipped passes, what lies is caught."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import numpy as np
import pytest

import deersolve as ds
from deersolve import testing
from deersolve.inverses import registry
from deersolve.inverses.theta import Trapezoid
from deersolve.linalg.structure import Dense, Diagonal
from deersolve.testing import CheckFailure, check_backend, check_convergence, check_inverse
from deersolve.testing.cases import in_time
from deersolve.testing.table import builtin_rules

coarse = pytest.mark.filterwarnings("ignore::deersolve.DiscretisationWarning")


def as_rule(cls, **attributes):
    """Return an instance under a name of its own, not known to the registry."""
    made = cls()
    made.key, made.structures, made.exact = f"ddt.{cls.__name__}", (Dense,), True
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


class Simplifies(Trapezoid):
    """Drops what is off the diagonal of G in its solve."""

    def solve(self, Gs, r, **where):
        return super().solve(tuple(Diagonal(G.diagonal()) for G in Gs), r, **where)


class SimplifiesAll(Simplifies):
    """Drops it in the transposed solve too."""

    def transpose(self, Gs, c, **where):
        return super().transpose(tuple(Diagonal(G.diagonal()) for G in Gs), c, **where)


class Untransposed(Trapezoid):
    """Returns the solve for its transpose."""

    def transpose(self, Gs, c, **where):
        return self.solve(Gs, c, **where)


class Midpointless(Trapezoid):
    """Weights that are not those of the order it declares, in residual and solve alike."""

    theta = 0.6


class Unbatched(Trapezoid):
    """Uses the first element of a batch of G for all."""

    def solve(self, Gs, r, **where):
        if r.ndim > 2:
            Gs = tuple(G.map(lambda v: v[:1]) for G in Gs)
        return super().solve(Gs, r, **where)


class NoNumbers(Trapezoid):
    """Returns NaN."""

    def solve(self, Gs, r, **where):
        return super().solve(Gs, r, **where) * np.nan


def exponential(Gs, rhs, *, grid, boundary):
    """Return the paper's midpoint as its callable; y depends on G."""
    (G,) = Gs
    mean = (G.diagonal()[..., 1:, :] + G.diagonal()[..., :-1, :]) / 2
    z = (rhs[..., 1:, :] + rhs[..., :-1, :]) / 2
    decay, y = np.exp(-mean * grid.D), [boundary.y0[..., 0, :]]
    for i in range(z.shape[-2]):
        step = (1 - decay[..., i, :]) / mean[..., i, :] * z[..., i, :]
        y.append(decay[..., i, :] * y[-1] + step)
    return np.stack(y, axis=-2)


def failures(rule, **options):
    with pytest.raises(CheckFailure) as caught:
        check_inverse(rule, **options)
    text = str(caught.value)
    assert "expected" in text
    assert "received" in text
    return {check.name for check in caught.value.report.failed}


def each_rule():
    """Return the built-in rules; those in a plane are in the table, which runs the same checks."""
    return [pytest.param(k, marks=[pytest.mark.deep] * ("2d." in k)) for k in builtin_rules()]


@pytest.mark.parametrize("key", each_rule())
def test_shipped_rules_pass(key):
    report = check_inverse(key)
    assert not report.failed
    assert key in repr(report)
    assert "solve[dense]" in report or "solve[block-diagonal]" in report
    assert "transpose" in report


@pytest.mark.parametrize("seed", range(1, 6))
@pytest.mark.parametrize("key", ["ddt.trapezoid", "shift.scan", "ddt.exponential_linear"])
@pytest.mark.deep_but("-1")
def test_shipped_rules_pass_for_other_seeds(key, seed):
    registry["ddt.exponential"]
    assert not check_inverse(key, seed=seed).failed


@pytest.mark.parametrize(
    ("cls", "attributes", "expected"),
    [
        (Simplifies, {}, {"solve[dense]", "transpose", "exponent"}),
        (SimplifiesAll, {}, {"solve[dense]", "exponent"}),
        (Untransposed, {}, {"transpose"}),
        (Midpointless, {}, {"order"}),
        (Trapezoid, {"order": 3}, {"order"}),
        (Unbatched, {}, {"batch"}),
        (NoNumbers, {}, {"solve[dense]", "batch", "transpose", "independent of G", "exponent", "order"}),
    ],
)
def test_a_rule_that_lies_is_caught(cls, attributes, expected):
    assert failures(as_rule(cls, **attributes)) == expected


def test_a_rule_with_a_residual_that_uses_G_cannot_claim_to_be_exact():
    midpoint = type(registry["ddt.exponential"])
    assert "independent of G" in failures(as_rule(midpoint))
    assert not check_inverse(as_rule(midpoint, exact=False)).failed


def test_a_callable_of_the_paper_whose_y_depends_on_G_is_caught():
    rule = ds.inverses.rule_of(exponential)
    assert rule.exact
    assert "independent of G" in failures(rule, family="ddt")


def test_an_exact_callable_passes():
    def scan(Gs, rhs, *, grid, boundary):
        rule = registry["shift.scan"]
        zero = ds.Recurrence(lambda *ys: 0 * ys[0], boundary.y0, lags=grid.lags, n_points=1).shift
        past = [s(np.zeros_like(rhs), grid=grid, boundary=boundary) for s in zero]
        for G, p in zip(Gs, past, strict=True):
            rhs = rhs - G @ p
        return rule.solve(Gs, rhs, grid=grid, boundary=boundary)

    assert not check_inverse(scan, family="shift").failed


def test_a_rule_of_an_unknown_family_is_an_input_error():
    with pytest.raises(ds.InputError, match="family="):
        check_inverse(exponential)


def test_the_order_may_be_given():
    assert check_inverse("ddt.trapezoid", order=2)["order"].holds
    assert failures("ddt.trapezoid", order=4) == {"order"}


@pytest.mark.parametrize("name", ["numpy", "generic", "torch", pytest.param("jax", marks=pytest.mark.slow)])
def test_shipped_backends_pass(name):
    module = {"generic": "array_api_strict"}.get(name, name)
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    report = check_backend(name)
    assert not report.failed
    assert len(list(report)) >= 12


@pytest.mark.skip_backend("jax", reason="tested by name")
def test_a_backend_on_a_device(lib):
    name = {"strict": "generic"}.get(lib.name.split(":")[0], lib.name.split(":")[0])
    assert not check_backend(name, asarray=lib.asarray, to_numpy=lib.to_numpy).failed


def test_a_backend_in_float32():
    assert not check_backend("numpy", asarray=lambda a: np.asarray(a, dtype=np.float32)).failed


def test_wrong_primitives_are_caught(monkeypatch):
    from deersolve.backends import registry as backends
    from deersolve.backends.generic import Backend

    class Wrong(Backend):
        def linear_solve(self, matrices, rhs):
            return np.linalg.lstsq(matrices[0], rhs[0])[0] + 0 * rhs

        def jacobians(self, f, ys, x=None):
            fy, Js = super().jacobians(f, ys, x)
            return fy, tuple(np.matrix_transpose(J) for J in Js)

        def any_true(self, flag):
            return bool(np.all(flag))

        def while_loop(self, cond, body, state):
            return body(state)

    monkeypatch.setitem(backends._known, "wrong", Wrong())
    with pytest.raises(CheckFailure) as caught:
        check_backend("wrong", asarray=np.asarray)
    names = {check.name for check in caught.value.report.failed}
    assert {"linear_solve[3]", "singular", "jacobians", "any_true", "while_loop"} <= names
    with pytest.raises(ds.InputError, match="asarray="):
        check_backend("wrong")


@coarse
@pytest.mark.parametrize(
    "case",
    [
        in_time.logistic(np.asarray, np.linspace(0, 5, 201)),
        in_time.blow_up(np.asarray, np.linspace(0, 0.8, 201)),
        in_time.bernoulli(np.asarray, np.linspace(0, 3, 201)),
        in_time.pendulum(np.asarray, 400),
        in_time.harmonic(np.asarray, 40),
        in_time.two_lags(np.asarray, 40),
    ],
    ids=lambda case: case.problem.f.__qualname__,
)
def test_newton_is_quadratic_on_problems_with_answers(case):
    report = check_convergence(case.problem)
    assert report["exponent"].value >= 1.6


def test_convergence_of_a_batch_has_a_line_for_each_element():
    y0 = np.array([[0.5], [2.0]])
    problem = ds.Recurrence(lambda y, x, params: y / (1.0 + y), y0, n_points=30)
    report = check_convergence(problem)
    assert "exponent[0]" in report
    assert "exponent[1]" in report


def test_a_wrong_jacobian_is_seen_in_the_convergence():
    t = np.linspace(0.0, 3.0, 101)

    def f(y, t, params):
        return -y * y * y + np.cos(t)

    right = ds.InitialValueProblem(f, t, np.array([1.0]), jac=lambda y, t, params: -3 * y * y)
    wrong = ds.InitialValueProblem(f, t, np.array([1.0]), jac=lambda y, t, params: -2 * y * y)
    assert check_convergence(right)["exponent"].value >= 1.6
    with pytest.raises(CheckFailure, match="exponent: expected at least"):
        check_convergence(wrong)


@pytest.mark.slow
def test_the_table_has_a_line_for_each_rule():
    run = subprocess.run(
        [sys.executable, "-W", "error", "-m", "deersolve.testing"], capture_output=True, text=True, check=True
    )
    lines = run.stdout.splitlines()
    assert [line.split()[0] for line in lines[2:]] == builtin_rules()
    assert all(line.endswith(" ok") for line in lines[2:])


def test_importing_does_not_load_hypothesis():
    program = "import sys, deersolve.testing; assert 'hypothesis' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
    assert set(testing.__all__) <= set(dir(testing))


def test_a_report_names_what_was_checked():
    report = check_inverse("ddt.backward_euler")
    with pytest.raises(KeyError, match="transpose"):
        report["no such check"]
