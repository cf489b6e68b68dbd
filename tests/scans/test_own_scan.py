"""A scan of one's own is used wherever it is asked for, and found out where it is wrong."""

from __future__ import annotations

import numpy as np
import pytest
from tests.references import put_back

import deersolve as ds
from deersolve.linalg.scans import register, ways
from deersolve.linalg.structure import Dense
from deersolve.testing import CheckFailure, check_scan

CALLS = []


def loop(As, lags, b):
    """The recurrence in operations that every library has."""
    xp, rows = ds.array_namespace(b), []
    CALLS.append(tuple(b.shape))
    for i in range(b.shape[-2]):
        y = b[..., i, :]
        for A, k in zip(As, lags, strict=True):
            if i >= k and A.ndim > b.ndim:
                y = y + xp.matmul(A[..., i - k, :, :], rows[i - k][..., None])[..., 0]
            elif i >= k:
                y = y + A[..., i - k, :] * rows[i - k]
        rows.append(y)
    return xp.stack(rows, axis=-2)


def shrinks(As, lags, b):
    return loop(tuple(0.999 * A for A in As), lags, b)


def rounds(As, lags, b):
    return np.asarray(loop(As, lags, b), dtype=np.float32).astype(np.float64)


def forgets_time_reversed(As, lags, b):
    return loop(tuple(0 * A if min(A.strides) < 0 else A for A in As), lags, b)


def spoils_one_element(As, lags, b):
    y = loop(As, lags, b)
    y[1] *= 1.001
    return y


def writes(As, lags, b):
    b += 1
    return loop(As, lags, b)


def cuts(As, lags, b):
    return loop(As, lags, b)[..., 1:, :]


def halves(As, lags, b):
    return loop(As, lags, b).astype(np.float32)


def lists(As, lags, b):
    return loop(As, lags, b).tolist()


@pytest.fixture(autouse=True)
def own():
    """Register the scans above for the time of a test."""
    with put_back(ways):
        for way in (loop, shrinks, rounds, forgets_time_reversed, spoils_one_element, writes, cuts, halves, lists):
            register(way.__name__)(way)
        CALLS.clear()
        yield


def pendulum(y, t, k):
    xp = ds.array_namespace(y)
    return xp.stack([y[..., 1], -k * xp.sin(y[..., 0])], axis=-1)


def in_time(asarray=np.asarray, points=41, k=1.0):
    t, y0 = np.linspace(0.0, 2.0, points), np.array([2.0, 0.0])
    return ds.InitialValueProblem(pendulum, asarray(t), asarray(y0), params=asarray(np.array(k)))


def step(y, x, w):
    return ds.array_namespace(y).tanh(y * w + x)


def recurrence(batch=(), points=30):
    x = np.sin(np.arange(points * 2.0)).reshape(points, 2)
    return ds.Recurrence(step, np.zeros((*batch, 2)), x, np.array(0.5))


CASES = [(in_time, f"ddt.{name}") for name in ("trapezoid", "backward_euler", "trbdf2", "exponential")]
CASES += [(in_time, f"ddt.exponential_{side}") for side in ("left", "right", "linear")] + [(recurrence, "shift.scan")]


@pytest.mark.filterwarnings("ignore::deersolve.DiscretisationWarning")
@pytest.mark.parametrize(("make", "rule"), CASES)
def test_every_rule_that_scans_takes_it(make, rule):
    problem = make()
    sol = ds.solve(problem, inverse=rule, method=ds.Newton(scan="loop"))
    assert sol.stats.scan == "loop"
    assert len(CALLS) >= sol.stats.steps
    expected = ds.solve(problem, inverse=rule, method="newton")
    assert expected.stats.scan in ("lapack", "numba", "sequential")
    np.testing.assert_allclose(sol.y, expected.y, rtol=1e-11, atol=1e-13)
    if "exponential" not in rule:
        before = len(CALLS)
        gradient = ds.adjoint(problem, sol, np.ones_like(sol.y))["params"]
        assert len(CALLS) > before
        np.testing.assert_allclose(gradient, ds.adjoint(problem, expected, np.ones_like(sol.y))["params"], rtol=1e-9)


@pytest.mark.parametrize(
    ("method", "options"), [(ds.Newton, {"window": 7}), (ds.Auto, {}), (ds.Auto, {"memory": 1})], ids=str
)
@pytest.mark.parametrize("make", [in_time, recurrence])
def test_windows_blocks_and_auto_take_it(method, options, make):
    sol = ds.solve(make(), method=method(scan="loop", **options))
    assert sol.stats.scan == "loop"
    assert CALLS
    np.testing.assert_allclose(sol.y, ds.solve(make(), method="newton").y, rtol=1e-11, atol=1e-13)


def test_in_the_loop_it_serves_gradient_and_certificate():
    sol = ds.solve(recurrence(), method=ds.Sequential(scan="loop"))
    assert (sol.stats.method, sol.stats.scan, len(CALLS)) == ("sequential", "loop", 2)


@pytest.mark.parametrize("name", ["sequential", "blelloch", "lapack", "numba"])
def test_built_in_scans_are_chosen_by_name(name):
    if name == "numba":
        pytest.importorskip("numba")
    sol = ds.solve(in_time(), method=ds.Newton(scan=name))
    assert sol.stats.scan == name
    np.testing.assert_allclose(sol.y, ds.solve(in_time(), method="newton").y, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("method", [{}, {"window": 9}, {"memory": 1}], ids=str)
@pytest.mark.parametrize("name", ["shrinks", "rounds", "forgets_time_reversed"])
@pytest.mark.parametrize(("make", "rule"), [CASES[0], CASES[2], CASES[-1]])
def test_a_wrong_scan_certifies_nothing(make, rule, name, method):
    with pytest.raises(ds.ConvergenceError, match=rf"check_scan\('{name}'\)") as caught:
        ds.solve(make(), inverse=rule, method=ds.Newton(scan=name, **method))
    assert int(caught.value.solution.status) == ds.Status.UNCERTIFIED


def test_it_is_judged_for_each_element():
    sol = ds.solve(recurrence((3,)), method=ds.Newton(scan="spoils_one_element"), on_failure="return")
    assert sol.status.tolist() == [ds.Status.CONVERGED, ds.Status.UNCERTIFIED, ds.Status.CONVERGED]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("cuts", r"the scan 'cuts': expected y like b, \(41, 2\) of float64 on numpy; received \(40, 2\)"),
        ("halves", r"received \(41, 2\) of float32"),
        ("lists", "received a list"),
        ("lax", "the scan 'lax': expected arrays of JAX; received float64 of numpy"),
        ("cuda", "PyTorch on CUDA"),
    ],
)
def test_what_is_not_like_b_is_an_error(name, text):
    with pytest.raises(ds.InputError, match=text):
        ds.solve(in_time(), method=ds.Newton(scan=name))


def test_it_may_not_write_to_its_arguments():
    with pytest.raises(ValueError, match="read-only") as caught:
        ds.solve(in_time(), method=ds.Newton(scan="writes"))
    assert "The scan 'writes'" in caught.value.__notes__[0]


@pytest.mark.parametrize("method", [ds.Newton, ds.Auto, ds.Sequential])
def test_a_name_that_nothing_has_is_an_error_at_once(method):
    with pytest.raises(ds.UnknownKeyError, match=r"no scan is named 'lop'\. Did you mean 'loop'"):
        method(scan="lop")
    with pytest.raises(ds.InputError, match="scan as the name of a scan; received <function loop"):
        method(scan=loop)


def test_a_rule_that_does_not_scan_takes_none():
    s, wall = np.linspace(0.0, 1.0, 11), ds.Dirichlet(0.0)
    bratu = ds.BoundaryValueProblem(lambda u, us, x, p: -np.exp(u), s, left=wall, right=wall)
    with pytest.raises(ds.InputError, match="expected a rule that scans along time"):
        ds.solve(bratu, method=ds.Auto(scan="loop"))


@pytest.mark.filterwarnings("ignore::deersolve.DiscretisationWarning")
@pytest.mark.parametrize("problem", [
    ds.Recurrence(lambda y, x, p: 3.9 * y * (1 - y), np.array([0.3]), n_points=2000),
    ds.Recurrence(lambda y, x, p: 3.0 * y, np.array([1e-5]), n_points=600),
    ds.InitialValueProblem(lambda y, t, p: -1e6 * y, np.linspace(0.0, 1.0, 101), np.array([1.0])),
])  # fmt: skip
def test_a_right_scan_is_not_refused_where_recurrences_overflow_or_vanish(problem):
    register("reduction")(lambda As, lags, b: ways["blelloch"](As, lags, b))
    for name in ("loop", "reduction"):
        assert bool(ds.solve(problem, method=ds.Newton(window=50, scan=name)).converged)


def test_one_in_the_place_of_a_built_in_scan_is_judged_too():
    problem = in_time()
    name = ds.solve(problem, method="newton").stats.scan
    with pytest.raises(ds.InputError, match=f"scan '{name}': expected a name that is not taken"):
        register(name)(shrinks)
    register(name, replace=True)(shrinks)
    with pytest.raises(ds.ConvergenceError, match="UNCERTIFIED"):
        ds.solve(problem, method="newton")


def half_explicit(scans, way):
    """Return a rule of one's own, explicit Euler, that passes on the scan that was chosen, or another one."""

    class Euler(ds.inverses.Rule):
        def residual(self, y, fy, *, grid, boundary):
            rows = grid.D * fy[..., :-1, :] - (y[..., 1:, :] - y[..., :-1, :])
            return np.concatenate([boundary.y0 - y[..., :1, :], rows], axis=-2)

        def magnitude(self, y, fy, *, grid, boundary):
            return abs(y) + np.concatenate([0 * y[..., :1, :], abs(grid.D * fy[..., :-1, :]) + y[..., :-1, :]], axis=-2)

        def solve(self, Gs, r, *, grid, boundary):
            from deersolve.linalg.scans import affine_scan

            G = Gs[0].to_dense()
            A = np.eye(G.shape[-1]) - grid.D[..., None] * G[..., :-1, :, :]
            A = Dense(np.concatenate([0 * A[..., :1, :, :], A], axis=-3))
            return affine_scan((A,), (1,), r, way=way(self))

    Euler.scans, Euler.key = scans, "ddt.euler"
    return Euler()


@pytest.mark.filterwarnings("ignore::deersolve.DiscretisationWarning")
def test_a_rule_of_ones_own_takes_it_if_it_says_so_and_does():
    method = ds.Newton(scan="loop")
    assert ds.solve(in_time(), inverse=half_explicit(True, lambda rule: rule.scan), method=method).stats.scan == "loop"
    assert CALLS
    with pytest.raises(ds.InputError, match=r"call affine_scan\(..., way=self.scan\)"):
        ds.solve(in_time(), inverse=half_explicit(True, lambda rule: None), method=method)
    with pytest.raises(ds.InputError, match="a rule that scans"):
        ds.solve(in_time(), inverse=half_explicit(False, lambda rule: None), method=method)


def test_on_jax_it_is_compiled_again_when_it_is_defined_again():
    jax = pytest.importorskip("jax")
    y0 = jax.numpy.asarray([0.5])
    problem, method = ds.Recurrence(lambda y, x, p: 0.5 * y + 0.1 * y * y, y0, n_points=4), ds.Newton(scan="loop")
    sol = ds.solve(problem, method=method)
    assert sol.stats.scan == "loop"
    np.testing.assert_allclose(sol.y, ds.solve(problem).y, rtol=1e-12)
    before = len(CALLS)
    assert before
    ds.solve(problem, method=method)
    assert len(CALLS) == before  # compiled
    register("loop", replace=True)(shrinks)
    with pytest.raises(ds.ConvergenceError, match="UNCERTIFIED"):
        ds.solve(problem, method=method)


def test_on_torch_gradients_take_it_and_higher_derivatives_what_they_can_follow():
    torch = pytest.importorskip("torch")
    k = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    register("host")(lambda As, lags, b: torch.from_numpy(loop([A.numpy() for A in As], lags, b.numpy())))

    def total(method):
        t, y0 = torch.linspace(0.0, 2.0, 21, dtype=torch.float64), torch.tensor([2.0, 0.0], dtype=torch.float64)
        sol = ds.solve(ds.InitialValueProblem(pendulum, t, y0, params=k), method=method)
        assert sol.stats.scan == (method.scan or sol.stats.scan)
        return torch.sum(sol.y**2)

    def two_orders(method):
        (first,) = torch.autograd.grad(total(method), k, create_graph=True)
        return float(first.detach()), float(torch.autograd.grad(first, k)[0])

    expected = two_orders(ds.Newton())
    for name in ("loop", "host", "lapack"):
        (first,) = torch.autograd.grad(total(ds.Newton(scan=name)), k)
        assert float(first) == pytest.approx(expected[0], rel=1e-10)
        assert two_orders(ds.Newton(scan=name)) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("name", ["sequential", "blelloch", "lapack"])
def test_shipped_scans_pass(name):
    report = check_scan(name)
    assert not report.failed
    assert len(list(report)) == 28


def test_they_pass_on_other_libraries():
    pytest.importorskip("torch")
    pytest.importorskip("array_api_strict")
    assert not check_scan(loop, libraries=("torch", "generic")).failed


@pytest.mark.parametrize(
    ("way", "cases"),
    [
        (shrinks, {"one lag", "float32", "transposed"}),
        (rounds, {"one lag", "a batch", "float32"}),
        (forgets_time_reversed, {"transposed", "transposed, lags 1 and 3, a batch"}),
        (lambda As, lags, b: loop(As[:1], lags[:1], b), {"lags 1 and 3", "lags 2 and 3, T = 5"}),
        (lambda As, lags, b: loop(tuple(A[..., :1, :, :, :] for A in As), lags, b), {"A for a part of a batch"}),
        (cuts, {"T = 2", "n = 1"}),
    ],
)
def test_a_wrong_one_is_caught(way, cases):
    with pytest.raises(CheckFailure) as caught:
        check_scan(way)
    assert cases <= {check.name.partition(" [")[0] for check in caught.value.report.failed}


def test_one_that_changes_what_it_is_given_is_caught():
    torch = pytest.importorskip("torch")

    def adds(As, lags, b):
        y = loop(As, lags, b)
        b.add_(torch.ones_like(b))
        return y

    with pytest.raises(CheckFailure, match="the scan writes to them"):
        check_scan(adds, libraries=("torch",))


def test_an_unknown_one_is_an_error():
    with pytest.raises(ds.UnknownKeyError, match="Did you mean 'lapack'"):
        check_scan("lapak")
