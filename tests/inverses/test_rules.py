"""Every built-in rule against its assembled matrix, closed forms and what it claims."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests import strategies
from tests.references import loop

import deersolve as ds
from deersolve.inverses import assembled, registry
from deersolve.linalg.scans import affine
from deersolve.linalg.scans.lag_one import LARGEST
from deersolve.testing.cases import in_time
from deersolve.testing.convergence import exponents
from deersolve.testing.inverse import SIZES, observed_errors
from deersolve.testing.systems import FAMILIES, iterate, system_of
from deersolve.testing.table import builtin_rules

EPS = np.finfo(np.float64).eps
RULES = builtin_rules()
MARCHING = [key for key in RULES if key.startswith(("ddt.", "shift."))]
ODE_RULES = [key for key in RULES if key.startswith("ddt.")]
ESTIMATED = [key for key in ODE_RULES if registry[key].offers("defect")]
EXACT = [key for key in MARCHING if registry[key].exact]
EXPONENTIAL = [key for key in ODE_RULES if not registry[key].exact]
CLAIMS = [(key, kind) for key in MARCHING for kind in registry[key].structures]
IDS = [f"{key}-{kind.name}" for key, kind in CLAIMS]
coarse = pytest.mark.filterwarnings("ignore::deersolve.DiscretisationWarning")


def elements(system):
    """Yield G, r of each batch element."""
    for b in np.ndindex(system.r.shape[: system.grid.axis]):
        yield tuple(G.map(lambda v, b=b: v[b]) for G in system.Gs), system.r[b]


def test_these_rules_are_built_in():
    assert RULES == [
        "d2dx2.blocktridiagonal",
        "ddt.backward_euler",
        "ddt.dopri5",
        "ddt.dopri8",
        "ddt.exponential",
        "ddt.exponential_left",
        "ddt.exponential_linear",
        "ddt.exponential_right",
        "ddt.gauss10",
        "ddt.gauss2",
        "ddt.gauss4",
        "ddt.gauss6",
        "ddt.gauss8",
        "ddt.radau5",
        "ddt.radau9",
        "ddt.trapezoid",
        "ddt.trbdf2",
        "ddx.twopoint",
        "heat.backward_euler",
        "heat.trapezoid",
        "heat.trbdf2",
        "heat2d.backward_euler",
        "heat2d.trapezoid",
        "heat2d.trbdf2",
        "heat3d.backward_euler",
        "heat3d.trapezoid",
        "heat3d.trbdf2",
        "laplace.direct",
        "laplace.krylov",
        "laplace2d.direct",
        "laplace2d.krylov",
        "shift.scan",
    ]


@pytest.mark.parametrize("key", RULES)
def test_a_new_process_finds_the_rule_by_its_key(key):
    program = f"import deersolve as ds; assert ds.inverses.registry[{key!r}].key == {key!r}"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_an_unknown_rule_is_told_all_keys_in_a_new_process():
    program = "import deersolve as ds; print(*ds.inverses.registry.keys())"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.split() == RULES


@pytest.mark.parametrize(("key", "kind"), CLAIMS, ids=IDS)
@given(data=st.data())
def test_solve_equals_the_assembled_matrix(key, kind, data):
    rule = registry[key]
    system = data.draw(strategies.linear_systems(key.split(".")[0], kind, nodes=rule.nodes))
    where = {"grid": system.grid, "boundary": system.boundary}
    found = rule.solve(system.Gs, system.r, **where)
    for (Gs, r), delta in zip(elements(system), found.reshape(-1, *system.r.shape[system.grid.axis :]), strict=True):
        matrix = assembled(rule, Gs, r, **where)
        expected = np.linalg.solve(matrix, r.reshape(-1)).reshape(r.shape)
        bound = 64 * EPS * np.linalg.cond(matrix) * np.abs(expected).max()
        np.testing.assert_allclose(delta, expected, rtol=0, atol=bound)


@pytest.mark.parametrize("way", ["chosen", "sequential", "blelloch", "lapack", "numba"])
@pytest.mark.parametrize(("key", "kind"), CLAIMS, ids=IDS)
@given(data=st.data())
def test_transpose_is_the_adjoint_of_solve(way, key, kind, data):
    """<c, S d> = <S^T c, d>, however the scan is run, on fewer points than the largest lag too."""
    pytest.importorskip({"lapack": "scipy", "numba": "numba"}.get(way, "numpy"))
    rule = registry[key]
    system = data.draw(strategies.linear_systems(key.split(".")[0], kind, nodes=rule.nodes))
    where = {"grid": system.grid, "boundary": system.boundary}
    sizes = [system.r.shape[-1] * k for k in getattr(system.grid, "lags", ())]
    assume(way != "blelloch" or len(sizes) < 2 or max(sizes) <= LARGEST)  # larger ones are refused
    c = data.draw(strategies.generators()).normal(size=system.r.shape)
    with pytest.MonkeyPatch.context() as patch:
        if way != "chosen":
            patch.setattr(affine, "pick", lambda form, asked: (way, "as asked"))
        delta = rule.solve(system.Gs, system.r, **where)
        u = rule.transpose(system.Gs, c, **where)
    scale = np.abs(c * delta).sum() + np.abs(u * system.r).sum()
    assert abs((c * delta).sum() - (u * system.r).sum()) <= 1e-12 * scale


@pytest.mark.parametrize("key", ESTIMATED)
def test_observed_order_on_a_non_autonomous_equation(key):
    errors = np.log(observed_errors(registry[key], FAMILIES["ddt"].refined))
    y, corrected = -np.polyfit(np.log(SIZES), errors, 1)[0]
    assert y == pytest.approx(registry[key].order, abs=0.1)
    assert corrected > y + 0.8
    if key == "ddt.trapezoid":
        assert corrected == pytest.approx(4.0, abs=0.3)


def test_left_is_of_second_order_on_an_autonomous_equation():
    errors = []
    for N in (40, 80, 160):
        case = in_time.logistic(np.asarray, 4 * np.linspace(0, 1, N + 1) ** 1.5)
        sol = ds.solve(case.problem, inverse=registry["ddt.exponential_left"])
        errors.append(np.abs(sol.y - case.exact).max())
    assert np.log2(errors[0] / errors[2]) / 2 == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("key", ODE_RULES)
def test_linear_equation_against_expm(key):
    t = np.linspace(0.0, 2.0, 401)
    case = in_time.linear(np.asarray, t, [[0.0, 1.0], [-1.0, -0.2]], [1.0, 0.5])
    sol = ds.solve(case.problem, inverse=registry[key])
    tol = 1e-12 if key in EXPONENTIAL or registry[key].order > 4 else (5.0 / 400) ** registry[key].order
    np.testing.assert_allclose(sol.y, case.exact, rtol=0, atol=tol)


@pytest.mark.parametrize("key", EXACT)
def test_exact_rules_converge_quadratically(key):
    problem = in_time.harmonic(np.asarray, 60).problem
    if key in ODE_RULES:
        problem = in_time.bernoulli(np.asarray, 3 * np.linspace(0, 1, 31) ** 1.5).problem
    _, history = iterate(system_of(problem, registry[key]), ds.Dense)
    assert exponents(history)[-1] == pytest.approx(2.0, abs=0.35)


@pytest.mark.parametrize("key", EXPONENTIAL)
def test_the_rules_of_the_paper_converge_linearly(key):
    case = in_time.bernoulli(np.asarray, 3 * np.linspace(0, 1, 16) ** 1.5)
    _, history = iterate(system_of(case.problem, registry[key]), ds.Dense)
    assert exponents(history)[-1] == pytest.approx(1.0, abs=0.3)


@pytest.mark.parametrize("key", [key for key in EXACT if key in ODE_RULES])
@pytest.mark.parametrize("structure", ["diagonal", "zero", ds.BlockDiagonal.of_size(2)], ids=str)
@coarse
@given(data=st.data())
def test_y_of_an_exact_ode_rule_does_not_depend_on_G(key, structure, data):
    n = data.draw(st.sampled_from([2, 4]))
    problem = data.draw(strategies.odes(max_points=20, min_n=n, max_n=n))
    dense = ds.solve(problem, inverse=key, method=ds.Newton())
    other = ds.solve(problem, inverse=key, method=ds.Newton(structure=structure))
    scale = np.abs(dense.y).max()
    np.testing.assert_allclose(other.y, dense.y, rtol=0, atol=1e-12 * scale)


@pytest.mark.parametrize("structure", ["diagonal", "zero"])
@given(problem=strategies.recurrences(gain=0.9))
def test_y_of_a_recurrence_does_not_depend_on_G(structure, problem):
    dense = ds.solve(problem, method=ds.Newton())
    other = ds.solve(problem, method=ds.Newton(structure=structure))
    np.testing.assert_allclose(other.y, dense.y, rtol=0, atol=1e-12 * np.abs(dense.y).max())


@given(problem=strategies.recurrences())
def test_contractive_and_expansive_recurrences_equal_the_loop(problem):
    y0, lags = problem.boundary.y0, problem.lags
    history = y0[..., None, :] if lags == (1,) else y0
    expected = loop(problem.f, history, problem.x, None, lags)
    sol = ds.solve(problem)
    assert sol.converged.all()
    growth = 1.5 ** expected.shape[-2]  # the largest gain, over all steps
    np.testing.assert_allclose(sol.y, expected, rtol=0, atol=64 * EPS * growth * np.abs(expected).max())


@pytest.mark.parametrize("key", ODE_RULES)
@coarse
@given(problem=strategies.odes(max_points=12))
def test_a_batch_is_what_its_elements_are_alone(key, problem):
    y0 = problem.boundary.y0
    whole = ds.solve(problem, inverse=registry[key])
    for b in np.ndindex(y0.shape[:-1]):
        alone = ds.InitialValueProblem(problem.f, problem.t, y0[b])
        y = ds.solve(alone, inverse=registry[key]).y
        np.testing.assert_allclose(whole.y[b], y, rtol=0, atol=64 * EPS * np.abs(y).max())


@pytest.mark.parametrize("key", ["ddt.backward_euler", "ddt.exponential_right"])
@pytest.mark.parametrize("rate", [-1e3, -1e6])
@coarse
def test_stiff_rules_are_accurate_on_a_coarse_grid(key, rate):
    case = in_time.prothero_robinson(np.asarray, 3 * np.linspace(0, 1, 12) ** 1.5, rate)
    sol = ds.solve(case.problem, inverse=registry[key])
    # The error of one step, D y'' / 2 or y', is damped by 1 / rate.
    assert np.abs(sol.y - case.exact).max() <= 2 / abs(rate)


@coarse
def test_stiff_start_off_the_slow_solution():
    t, rate = np.linspace(0.0, 3.0, 21), -1e6
    problem = in_time.prothero_robinson(np.asarray, t, rate).problem
    off = ds.InitialValueProblem(problem.f, t, np.array([2.0]))
    error = {
        key: np.abs(ds.solve(off, inverse=registry[key]).y[:, 0] - np.cos(t))
        for key in ("ddt.backward_euler", "ddt.exponential_right", "ddt.trapezoid")
    }
    assert error["ddt.backward_euler"][1:].max() < 1e-4
    assert error["ddt.exponential_right"][1:].max() < 1e-4
    # The trapezoid rings: |R(rate D)| is just below 1, so the start is neither damped nor amplified.
    assert 0.9 < error["ddt.trapezoid"].max() <= 1.01


@pytest.mark.parametrize("key", ESTIMATED)
@coarse
def test_the_estimate_is_not_below_a_tenth_of_the_error(key):
    case = in_time.bernoulli(np.asarray, 3 * np.linspace(0, 1, 41) ** 1.5)
    sol = ds.solve(case.problem, inverse=registry[key])
    error = (np.abs(sol.y - case.exact).max(axis=0) / np.abs(sol.y).max(axis=0)).max()
    assert error / 5 <= sol.stats.discretisation_error <= 5 * error


@pytest.mark.parametrize("key", ["ddt.backward_euler", "ddt.exponential_right"])
@coarse
def test_the_estimate_of_a_stiff_solution(key):
    case = in_time.prothero_robinson(np.asarray, 3 * np.linspace(0, 1, 31) ** 1.5, -1e6)
    sol = ds.solve(case.problem, inverse=registry[key])
    error = np.abs(sol.y - case.exact).max()
    assert sol.stats.discretisation_error <= 10 * error or not bool(sol.stats.is_asymptotic)
