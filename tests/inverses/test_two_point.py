"""First-order systems with conditions at both ends: orders, conditions, the linear solves, gradients, bad input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import deersolve as ds
from deersolve.inverses import assembled, registry
from deersolve.linalg.banded import lapack, linked, linked_transposed
from deersolve.linalg.banded import orthogonal as staircase
from deersolve.testing import check_inverse
from deersolve.testing.cases import between_ends
from deersolve.testing.systems import FAMILIES, random_Gs, systems_of

EPS = np.finfo(np.float64).eps
COARSE = pytest.mark.filterwarnings("ignore::deersolve.DiscretisationWarning")
S = np.linspace(0.0, 1.0, 9)
LEFT, RIGHT = np.array([[1.0, 0.0], [0.0, 0.0]]), np.array([[0.0, 0.0], [1.0, 0.0]])


def graded(N):
    s = np.linspace(0.0, 1.0, N + 1)
    return 0.7 * s + 0.3 * s * s


def solved(case, asarray=np.asarray, **options):
    return ds.solve(case.problem, asarray(0.0 * case.exact), **options)


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("kind", between_ends.ENDS)
def test_second_order_and_fourth_after_the_correction(kind, n):
    errors = []
    for N in (40, 80, 160):
        case = between_ends.manufactured(np.asarray, graded(N), kind, n)
        sol = solved(case)
        errors.append([np.abs(y - case.exact).max() for y in (sol.y, sol.y_corrected)])
    slopes = -np.diff(np.log2(np.array(errors)), axis=0)
    assert slopes[-1, 0] == pytest.approx(2.0, abs=0.1)
    assert slopes[-1, 1] == pytest.approx(4.0, abs=0.4)
    scale = np.abs(case.exact).max()
    assert errors[-1][0] / scale == pytest.approx(float(sol.stats.discretisation_error), rel=0.5)


def by_band(before, behind, r):
    return lapack.linking(before, behind)(r)


def matrix_of(E, F, first, last):
    K, n = E.shape[0], E.shape[-1]
    A = np.zeros((K + 1, n, K + 1, n))
    A[0, :, 0], A[0, :, K] = first, last
    for i in range(K):
        A[i + 1, :, i] += E[i]
        A[i + 1, :, i + 1] += F[i]
    return A.reshape((K + 1) * n, -1)


@pytest.mark.parametrize("way", [linked, by_band, staircase.linked], ids=["chosen", "band", "staircase"])
@given(K=st.integers(1, 17), n=st.integers(1, 3), seed=st.integers(0, 999))
def test_linked_systems_equal_the_full_matrix(way, K, n, seed):
    rng = np.random.default_rng(seed)
    E, F = rng.normal(size=(2, 2, K, n, n))
    first, last = rng.normal(size=(2, 2, n, n))
    r = rng.normal(size=(2, K + 1, n))
    if way is linked:
        found, turned = way(E, F, first, last, r), linked_transposed(E, F, first, last, r)
    else:
        before, behind = (np.concatenate([a[:, None], b], axis=1) for a, b in ((first, E), (last, F)))
        found, turned = way(before, behind, r), None
    for k in range(2):
        A = matrix_of(E[k], F[k], first[k], last[k])
        bound = 64 * (K + 1) * EPS * np.linalg.cond(A)
        for M, w in ((A, found[k]), (A.T, None if turned is None else turned[k])):
            expected = np.linalg.solve(M, r[k].ravel())
            assert w is None or np.abs(w.ravel() - expected).max() <= bound * np.abs(expected).max()


@pytest.mark.parametrize("way", [by_band, staircase.linked], ids=["band", "staircase"])
def test_no_growth_where_gaussian_elimination_with_row_exchanges_grows(way):
    """Wright's example: (I - hM/2)^{-1}(I + hM/2) has the norm 1.28: products of 200 overtake 1 / eps."""
    M, h, K = np.array([[-1 / 6, 1.0], [1.0, -1 / 6]]), 0.3, 200
    E = np.broadcast_to(-np.eye(2) - h / 2 * M, (1, K, 2, 2))
    F = np.broadcast_to(np.eye(2) - h / 2 * M, (1, K, 2, 2))
    before, behind = (np.concatenate([np.eye(2)[None, None], a], axis=1) for a in (E, F))
    r = np.random.default_rng(0).normal(size=(1, K + 1, 2))
    w = way(before, behind, r)[0]
    A = matrix_of(E[0], F[0], np.eye(2), np.eye(2))
    left = [np.abs(A @ y - r[0].ravel()).max() for y in (w.ravel(), np.linalg.solve(A, r[0].ravel()))]
    assert left[0] <= 64 * EPS * np.abs(A).sum(axis=1).max() * np.abs(w).max()
    assert left[1] > 1.0


@pytest.mark.parametrize("place", range(4))
def test_the_rule_equals_its_assembled_matrix(place):
    rng = np.random.default_rng(place)
    rule = registry["ddx.twopoint"]
    system = systems_of(FAMILIES["ddx"], rule, rng)[place]
    r, where = rng.normal(size=system.data.guess.shape), {"grid": system.data.grid, "boundary": system.data.boundary}
    for kind in rule.structures:
        Gs = random_Gs(system, kind, rng)
        A = assembled(rule, Gs, r, shift=system.shift, **where)
        for matrix, found in ((A, rule.solve), (A.T, rule.transpose)):
            expected = np.linalg.solve(matrix, r.ravel())
            off = np.abs(found(Gs, r, **where).ravel() - expected).max()
            assert off <= 64 * EPS * np.linalg.cond(A) * np.abs(expected).max()


def test_the_rule_keeps_what_it_claims():
    report = check_inverse("ddx.twopoint")
    assert report["independent of G"].holds
    assert report["order"].holds
    assert report["transpose"].holds


@COARSE
@pytest.mark.parametrize("kind", between_ends.ENDS)
@pytest.mark.cases_backend("jax", "coupled")
def test_every_library_finds_the_same(lib, kind):
    if lib.is_jax and kind != "coupled":
        pytest.skip("one of the four is enough to compile, and the next tests compile others")
    sol = solved(between_ends.manufactured(lib.asarray, graded(8), kind, 2), lib.asarray)
    expected = solved(between_ends.manufactured(np.asarray, graded(8), kind, 2))
    assert int(lib.to_numpy(sol.status)) == 0
    for found, known in ((sol.y, expected.y), (sol.y_corrected, expected.y_corrected)):
        np.testing.assert_allclose(lib.to_numpy(found), known, rtol=0, atol=1e-12 * np.abs(known).max())


def first_order(equation):
    """Return u'' = equation(u, u', s, params) as a system."""

    def f(u, x, params):
        right = equation(u[..., 0], u[..., 1], x["s"][..., 0], params)
        return ds.array_namespace(u).stack([u[..., 1], right], axis=-1)

    return f


def values(left, right, asarray=np.asarray):
    return ds.Coupled(asarray(LEFT), asarray(RIGHT), asarray(np.array([left, right])))


def by_scipy(equation, s, left, right, guess):
    from scipy.integrate import solve_bvp

    def rate(s, y):
        return np.stack([y[1], equation(y[0], y[1], s, None)])

    ends = lambda a, b: np.array([a[0] - left, b[0] - right])  # noqa: E731
    other = solve_bvp(rate, ends, s[::20], guess[::20].T, tol=1e-8, max_nodes=100000)
    assert other.success
    return other.sol(s).T


def test_troesch():
    """u'' = 5 sinh(5 u), u(0) = 0, u(1) = 1; u'(0) = 0.04575046140632 and u'(1) = 12.1004954538 (Roberts, Shipman)."""
    s = 1.0 - (1.0 - np.linspace(0.0, 1.0, 801)) ** 2
    problem = ds.TwoPointProblem(
        first_order(lambda u, v, s, p: p * ds.array_namespace(u).sinh(p * u)), s, values(0.0, 1.0), params=5.0
    )
    sol = ds.solve(problem, np.stack([s, 0.0 * s + 1.0], axis=-1))
    assert sol.y[0, 1] == pytest.approx(0.04575046140632, rel=1e-4)
    assert sol.y_corrected[0, 1] == pytest.approx(0.04575046140632, rel=1e-7)


def test_bratu_as_a_system_is_bratu():
    s = np.linspace(0.0, 1.0, 401)
    problem = ds.TwoPointProblem(first_order(lambda u, v, s, p: -ds.array_namespace(u).exp(u)), s, values(0.0, 0.0))
    guess = np.stack([4.0 * np.sin(np.pi * s), 4.0 * np.pi * np.cos(np.pi * s)], axis=-1)
    for start, known, bound in ((None, 0.14053921440447179803, 1e-11), (guess, 4.0914672461892603213, 1e-8)):
        sol = ds.solve(problem, start)
        assert abs(sol.y_corrected[200, 0] - known) < bound


def test_a_boundary_layer_agrees_with_solve_bvp():
    """eps u'' + 2 u' + e^u = 0, u(0) = u(1) = 0, eps = 1e-3: a layer of that width at the left."""
    eps, stretch = 1e-3, 8.0
    s = np.expm1(stretch * np.linspace(0.0, 1.0, 1601)) / np.expm1(stretch)

    def equation(u, v, s, params):
        return -(2.0 * v + ds.array_namespace(u).exp(u)) / eps

    guess = np.stack([np.log(2.0 / (1.0 + s)) - np.log(2.0) * np.exp(-2.0 * s / eps), 0.0 * s], axis=-1)
    guess[:, 1] = np.gradient(guess[:, 0], s)
    sol = ds.solve(ds.TwoPointProblem(first_order(equation), s, values(0.0, 0.0)), guess)
    other = by_scipy(equation, s, 0.0, 0.0, guess)
    size = np.abs(other).max(axis=0)
    assert (np.abs(sol.y - other) / size).max() < 2e-4
    assert (np.abs(sol.y_corrected - other) / size).max() < 1e-6
    assert (np.abs(sol.y - other) / size).max() == pytest.approx(float(sol.stats.discretisation_error), rel=0.2)


def test_growth_both_ways_where_shooting_fails():
    """u'' = k^2 (u - cos(pi s)) - pi^2 cos(pi s), k = 200: solutions grow by e^200 from either end; u = cos(pi s)."""
    k, N = 200.0, 1600
    s = 0.5 - 0.5 * np.cos(np.pi * np.linspace(0.0, 1.0, N + 1))

    def f(u, x, params):
        cos = np.cos(np.pi * x["s"][..., 0])
        return np.stack([k * u[..., 1], k * (u[..., 0] - cos) - np.pi**2 / k * cos], axis=-1)

    sol = ds.solve(ds.TwoPointProblem(f, s, values(1.0, -1.0)))
    assert np.abs(sol.y[:, 0] - np.cos(np.pi * s)).max() < 1e-6


@pytest.mark.skip_backend("jax", reason="nothing new to compile")
def test_an_eigenvalue_is_one_more_component(lib):
    """Mathieu's u'' + (a - 2 q cos 2s) u = 0, u'(0) = u'(pi / 2) = 0, u(0) = 1, q = 5: a_0 = -5.80004602 (NIST)."""
    from scipy.special import mathieu_a

    s = np.linspace(0.0, np.pi / 2, 201)

    def f(u, x, q):
        xp = ds.array_namespace(u)
        y, v, a = u[..., 0], u[..., 1], u[..., 2]
        return xp.stack([v, -(a - 2.0 * q * xp.cos(2.0 * x["s"][..., 0])) * y, 0.0 * a], axis=-1)

    first = lib.asarray([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    last = lib.asarray([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    ends = ds.Coupled(first, last, lib.asarray([1.0, 0.0, 0.0]))
    guess = np.stack([np.exp(2.0 * s**2), 4.0 * s * np.exp(2.0 * s**2), 0.0 * s - 6.0], axis=-1)
    sol = ds.solve(ds.TwoPointProblem(f, lib.asarray(s), ends, params=5.0), lib.asarray(guess))
    a = lib.to_numpy(sol.y_corrected)[:, 2]
    assert np.ptp(a) <= 1e-12 * abs(a[0])
    assert a[0] == pytest.approx(float(mathieu_a(0, 5.0)), rel=1e-7)


def van_der_pol(u, x, mu):
    y, v, T = u[..., 0], u[..., 1], u[..., 2]
    return ds.array_namespace(u).stack([T * v, T * (mu * (1.0 - y * y) * v - y), 0.0 * T], axis=-1)


def orbit(s):
    return np.stack([2.0 * np.cos(2 * np.pi * s), -2.0 * np.sin(2 * np.pi * s), 6.5 + 0.0 * s], axis=-1)


def closed(u_a, u_b, mu):
    """Periodic, and y' = 0 at the start, which fixes the phase."""
    return ds.array_namespace(u_a).stack([u_b[..., 0] - u_a[..., 0], u_b[..., 1] - u_a[..., 1], u_a[..., 1]], axis=-1)


def test_the_period_of_a_cycle_is_one_more_component():
    """6.6632868593231 at mu = 1 (the coefficient tables of Andersen and Geer, and any integrator)."""
    from scipy.integrate import solve_ivp

    s = np.linspace(0.0, 1.0, 401)
    sol = ds.solve(ds.TwoPointProblem(van_der_pol, s, closed, params=1.0), orbit(s))
    y, period = sol.y_corrected[0, :2], sol.y_corrected[0, 2]
    assert period == pytest.approx(6.6632868593231, abs=5e-7)
    other = solve_ivp(lambda t, y: [y[1], (1 - y[0] ** 2) * y[1] - y[0]], (0.0, period), y, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(other.y[:, -1], y, atol=2e-6)


FEW = np.linspace(0.0, 1.0, 5)  # JAX compiles the linear solve for each length
DATA = {"params": np.array([[1.7, 0.4]]), "x": np.cos(FEW)[:, None], "value": np.array([0.3, -0.2])}
MATRICES = {"first": np.array([[1.0, 0.2], [0.1, 0.0]]), "last": np.array([[0.0, 0.3], [0.2, 1.0]])}
WEIGHT = np.random.default_rng(0).normal(size=(5, 2))


def swing(data, asarray=np.asarray, is_linear=True):
    """Return a problem whose conditions depend on its data too: on params where they are a function."""

    def f(u, x, params):
        xp = ds.array_namespace(u)
        return xp.stack([u[..., 1], params[0, 0] * xp.sin(u[..., 0]) + x["k"][..., 0] * u[..., 1] ** 2], axis=-1)

    def function(u_a, u_b, params):
        xp = ds.array_namespace(u_a)
        a, b, given = u_a[..., :1], u_b[..., 1:], xp.reshape(params[0, 1], (1,) * u_a.ndim)
        return xp.concat([a + 0.2 * a * a * a - given, b + 0.3 * u_a[..., 1:] * u_b[..., :1]], axis=-1)

    named = {**{k: asarray(v) for k, v in MATRICES.items()}, **{k: v for k, v in data.items() if k != "x"}}
    conditions = ds.Coupled(named["first"], named["last"], named["value"]) if is_linear else function
    s = np.linspace(0.0, 1.0, data["x"].shape[-2])
    return ds.TwoPointProblem(f, asarray(s), conditions, {"k": data["x"]}, data["params"])


def start(asarray=np.asarray, points=5):
    return asarray(np.full((points, 2), 0.1))


def differences(is_linear, points=5):
    """Return d sum(w y^2) by central differences at an entry of each field, in steps that leave 10 digits."""
    h, found, data = 1e-4, {}, {**DATA, "x": DATA["x"][:points]}
    given = {**data, **MATRICES} if is_linear else {k: data[k] for k in ("params", "x")}
    for name, value in given.items():
        place = tuple(min(1, size - 1) for size in value.shape)
        losses = []
        for step in (h, -h, 2 * h, -2 * h):
            changed = {k: v.copy() for k, v in {**data, **MATRICES}.items()}
            changed[name][place] += step
            y = ds.solve(swing(changed, is_linear=is_linear), start(points=points)).y
            losses.append(float((WEIGHT[:points] * y**2).sum()))
        found[name] = (place, (8 * (losses[0] - losses[1]) - (losses[2] - losses[3])) / (12 * h))
    return found


@COARSE
@pytest.mark.parametrize("is_linear", [True, False], ids=["matrices", "function"])
def test_gradients_by_parameters_conditions_and_fields(lib, is_linear):
    if lib.is_jax and is_linear:
        pytest.skip("one of the two is enough to compile")
    points = 3 if lib.is_jax else 5
    data, w = {**DATA, "x": DATA["x"][:points]}, WEIGHT[:points]
    problem = swing({k: lib.asarray(v) for k, v in data.items()}, lib.asarray, is_linear)
    sol, expected = ds.solve(problem, start(lib.asarray, points)), differences(is_linear, points)
    found = ds.adjoint(problem, sol, 2.0 * lib.asarray(w) * sol.y, wrt=tuple(expected))
    for name, (place, known) in expected.items():
        part = lib.to_numpy(found[name]["k"] if name == "x" else found[name])
        assert part[place] == pytest.approx(known, abs=1e-9)
        v = np.random.default_rng(1).normal(size=part.shape)
        dy = ds.sensitivity(problem, sol, {name: {"k": lib.asarray(v)} if name == "x" else lib.asarray(v)})
        both = 2.0 * w * lib.to_numpy(sol.y) * lib.to_numpy(dy), part * v
        assert abs(both[0].sum() - both[1].sum()) <= 1e-12 * sum(np.abs(a).sum() for a in both)


@COARSE
@pytest.mark.parametrize("is_linear", [True, False], ids=["matrices", "function"])
@pytest.mark.deep_but("matrices")
def test_gradients_of_solve_itself(is_linear):
    jax, torch = pytest.importorskip("jax"), pytest.importorskip("torch")
    expected, jnp = differences(is_linear), jax.numpy
    names = [name for name in expected if name in DATA]

    def loss(data, asarray, w):
        return (w * ds.solve(swing({**DATA, **data}, asarray, is_linear), start(asarray)).y ** 2).sum()

    jitted = jax.jit(jax.grad(lambda data: loss(data, jnp.asarray, WEIGHT)))
    by_jax = jitted({k: jnp.asarray(DATA[k]) for k in names})
    leaves = {k: torch.tensor(DATA[k], requires_grad=True) for k in DATA}
    loss(leaves, torch.as_tensor, torch.as_tensor(WEIGHT)).backward()
    for name in names:
        place, value = expected[name]
        assert float(by_jax[name][place]) == pytest.approx(value, abs=1e-9)
        assert float(leaves[name].grad[place]) == pytest.approx(value, abs=1e-9)
    fixed = {k: v.detach() for k, v in leaves.items()}
    again = torch.func.grad(lambda p: loss({**fixed, "params": p}, torch.as_tensor, torch.as_tensor(WEIGHT)))
    place, value = expected["params"]
    assert float(again(fixed["params"])[place]) == pytest.approx(value, abs=1e-9)


@COARSE
@pytest.mark.parametrize("is_linear", [True, False], ids=["matrices", "function"])
def test_a_batch_gives_what_its_elements_give(lib, is_linear):
    if lib.is_jax and is_linear:
        pytest.skip("one of the two is enough to compile")
    x, value = np.stack([np.cos(FEW), np.sin(FEW), FEW])[..., None], np.array([[0.3, -0.2], [0.1, 0.4], [0.2, 0.1]])
    data = {**DATA, "x": x, "value": value}
    batch = ds.solve(swing({k: lib.asarray(v) for k, v in data.items()}, lib.asarray, is_linear), start(lib.asarray))
    for k in range(3):
        alone = ds.solve(swing({**DATA, "x": x[k], "value": value[k]}, is_linear=is_linear), start())
        np.testing.assert_allclose(lib.to_numpy(batch.y)[k], alone.y, rtol=0, atol=1e-13)


def test_one_element_that_fails_touches_no_other():
    values = np.array([[0.0, 0.0], [1e300, 0.0], [1.0, 0.0]])
    f = first_order(lambda u, v, s, p: -u * u * u)
    both = ds.solve(ds.TwoPointProblem(f, S, ds.Coupled(LEFT, RIGHT, values)), on_failure="nan")
    assert both.converged.tolist() == [True, False, True]
    alone = ds.solve(ds.TwoPointProblem(f, S, ds.Coupled(LEFT, RIGHT, values[2])))
    np.testing.assert_allclose(both.y[2], alone.y, atol=1e-14)


def still(u, x, params):
    return 0.0 * u


SINGULAR = {
    "anything": (lambda u, x, p: 0.0 * u, ds.Periodic()),
    "up to a constant": (lambda u, x, p: ds.array_namespace(u).cos(x["s"]) + 0.0 * u, ds.Periodic()),
    "nothing": (lambda u, x, p: 1.0 + 0.0 * u, ds.Periodic()),
    "one end twice": (lambda u, x, p: 0.0 * u, lambda a, b, p: a + b - 2.0 * a),
}


@pytest.mark.parametrize("name", SINGULAR)
def test_a_solution_that_nothing_fixes_is_reported(lib, name):
    if lib.is_jax and name != "up to a constant":
        pytest.skip("one of the four is enough to compile")
    f, conditions = SINGULAR[name]
    s = lib.asarray(np.linspace(0.0, 2.0 * np.pi, 9))
    sol = ds.solve(ds.TwoPointProblem(f, s, conditions), lib.asarray(np.zeros((9, 1))), on_failure="return")
    assert int(lib.to_numpy(sol.status)) == ds.Status.SINGULAR


def test_a_cycle_without_a_phase_is_reported():
    """Every shift of a periodic orbit is one; rounding, or the grid, picks a phase, and that is not certified."""
    s = np.linspace(0.0, 1.0, 101)
    spring = lambda u, x, p: np.stack([u[..., 1], 0.0 * u[..., 0]], axis=-1)  # noqa: E731
    ends = ds.Coupled([[1.0, 0.0], [1.0, 0.0]], [[-1.0, 0.0], [-1.0, 1e-17]])
    with pytest.raises(ds.ConvergenceError, match="SINGULAR"):
        ds.solve(ds.TwoPointProblem(spring, s, ds.Periodic()), np.ones((101, 2)))
    with pytest.raises(ds.InputError, match="2 independent conditions"):
        ds.solve(ds.TwoPointProblem(spring, s, ends))


def test_what_only_the_grid_fixes_has_a_discretisation_error_of_all_of_it():
    """u'' + u = cos(s) with the period 2 pi has no solution; its difference equation has one of size 1 / h^2."""
    s = np.linspace(0.0, 2.0 * np.pi, 101)
    f = first_order(lambda u, v, s, p: np.cos(s) - u)
    with pytest.warns(ds.DiscretisationWarning):
        sol = ds.solve(ds.TwoPointProblem(f, s, ds.Periodic()), np.zeros((101, 2)))
    assert float(sol.stats.discretisation_error) > 0.9


def test_a_branch_of_solutions_turns_at_its_fold():
    """Bratu's fold is at 3.513830719; the trapezoid has it with an error of h^2, here 1e-4."""
    s = np.linspace(0.0, 1.0, 51)
    f = first_order(lambda u, v, s, p: -p * np.exp(u))
    branch = ds.follow(ds.TwoPointProblem(f, s, values(0.0, 0.0), params=3.3), until=(3.2, 4.0), step=0.2)
    assert branch.folds[0][0] == pytest.approx(3.513830719, abs=3e-3)


def test_matrices_of_whole_numbers(lib):
    if lib.is_jax:
        pytest.skip("nothing new to compile")
    s, f = np.linspace(0.0, 1.5, 31), first_order(lambda u, v, s, p: -u)
    whole = (lib.asarray(np.array(m, dtype="int64"), "int64") for m in (LEFT, RIGHT, [0, 1]))
    found = ds.solve(ds.TwoPointProblem(f, lib.asarray(s), ds.Coupled(*whole)))
    expected = ds.solve(ds.TwoPointProblem(f, s, values(0.0, 1.0)))
    np.testing.assert_allclose(lib.to_numpy(found.y), expected.y, atol=1e-13)


def test_float32_stays_float32(lib):
    if lib.is_jax:
        pytest.skip("nothing new to compile")
    s, f = lib.asarray(np.linspace(0.0, 1.5, 101)), first_order(lambda u, v, s, p: -u)
    sol = ds.solve(ds.TwoPointProblem(f, s, values(0.0, 1.0, lib.asarray)), lib.asarray(np.zeros((101, 2)), "float32"))
    assert "float32" in str(sol.y.dtype)
    exact = np.sin(np.linspace(0.0, 1.5, 101)) / np.sin(1.5)
    np.testing.assert_allclose(lib.to_numpy(sol.y_corrected)[:, 0], exact, atol=1e-6)


@COARSE
@pytest.mark.parametrize("is_linear", [True, False], ids=["matrices", "function"])
def test_transforms_of_torch(is_linear):
    torch = pytest.importorskip("torch")
    data = {k: torch.tensor(v) for k, v in DATA.items()}

    def y(params):
        return ds.solve(swing({**data, "params": params}, torch.as_tensor, is_linear), start(torch.as_tensor)).y

    many = torch.stack([data["params"], 1.1 * data["params"]])
    torch.testing.assert_close(torch.func.vmap(y)(many), torch.stack([y(p) for p in many]), atol=1e-13, rtol=0)
    forward, reverse = torch.func.jacfwd(y)(data["params"]), torch.func.jacrev(y)(data["params"])
    torch.testing.assert_close(forward, reverse, atol=1e-13, rtol=0)


FUNCTION = {"ends": lambda a, b, p: a[..., :1]}
BAD = {
    "order": ({"s": np.array([0.0, 0.5, 0.4, 1.0])}, "s: expected finite, strictly increasing points"),
    "few points": ({"s": np.array([0.0, 1.0])}, r"s: expected shape \(N,\) with N >= 3"),
    "few": ({"ends": ds.Coupled(LEFT[:1], RIGHT[:1])}, r"first: expected shape \(2, 2\): a row for each condition"),
    "many": ({"ends": ds.Coupled(np.eye(3, 2), np.eye(3, 2))}, r"first: expected shape \(2, 2\).*p' = 0"),
    "numbers": ({"ends": ds.Coupled(1.0, -1.0)}, r"first: expected a matrix \(n, n\)"),
    "value": ({"ends": ds.Coupled(LEFT, RIGHT, np.zeros(3))}, r"value: expected shape \(2,\)"),
    "twice": ({"ends": ds.Coupled(LEFT, LEFT)}, "expected 2 independent conditions; received 1 among 2 rows"),
    "not finite": ({"ends": ds.Coupled(np.nan * LEFT, RIGHT)}, "first: expected finite numbers; received nan"),
    "no conditions": ({"ends": 0.0}, r"ends: expected Coupled\(first, last, value\), Periodic\(\) or a function"),
    "a condition of another kind": ({"ends": ds.Dirichlet()}, "ends: expected Coupled"),
    "too few of a function": ({**FUNCTION, "guess": True}, r"ends: expected .* here \(1, 2\).*received \(1, 1\)"),
    "no size": ({"ends": ds.Periodic()}, "solve: expected y_guess"),
    "x": ({"x": {"k": np.ones((7, 1))}}, "x: expected 1 or T = 9 points"),
    "x dict": ({"x": np.ones((9, 1))}, "x: expected a dict"),
    "guess": ({"guess": np.zeros((9, 3))}, r"first: expected shape \(3, 3\)"),
    "batch": ({"ends": ds.Coupled(LEFT, RIGHT, np.zeros((2, 2))), "guess": np.zeros((3, 9, 2))}, "batch axes"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(name):
    changed, message = BAD[name]
    given = {"s": S, "ends": ds.Coupled(LEFT, RIGHT), "x": None, "guess": None, **changed}
    guess = np.zeros((len(given["s"]), 2)) if given["guess"] is True else given["guess"]
    with pytest.raises(ds.InputError, match=message):
        ds.solve(ds.TwoPointProblem(still, given["s"], given["ends"], given["x"]), guess)


def test_methods_that_march_are_refused():
    with pytest.raises(ds.InputError, match="method"):
        ds.solve(ds.TwoPointProblem(still, S, ds.Coupled(LEFT, RIGHT)), method="sequential")


@pytest.mark.parametrize("structure", ["diagonal", "hutchinson"])
@pytest.mark.parametrize("kind", ["coupled", "function"])
def test_less_of_G_ends_in_the_same(kind, structure):
    case = between_ends.manufactured(np.asarray, graded(30), kind, 2)
    few = solved(case, method=ds.Newton(structure=structure))
    np.testing.assert_allclose(few.y, solved(case).y, atol=1e-12)


@pytest.mark.parametrize("kind", ["coupled", "function"])
def test_a_jacobian_by_hand(kind):
    def f(u, x, params):
        return np.stack([u[..., 1], -(u[..., 0] ** 3)], axis=-1)

    def jac(u, x, params):
        J = np.zeros((*u.shape, 2))
        J[..., 0, 1], J[..., 1, 0] = 1.0, -3.0 * u[..., 0] ** 2
        return J

    conditions = between_ends.conditions(np.asarray, kind, np.array([0.1, 0.4]), np.array([0.3, 0.2]))
    guess = np.full((9, 2), 0.3)
    with_jac = ds.solve(ds.TwoPointProblem(f, S, conditions, jac=jac), guess)
    assert with_jac.stats.derivative == "analytic"
    np.testing.assert_allclose(with_jac.y, ds.solve(ds.TwoPointProblem(f, S, conditions), guess).y, atol=1e-14)
    with pytest.raises(ds.FunctionError, match="jac is not the Jacobian"):
        ds.solve(ds.TwoPointProblem(f, S, conditions, jac=lambda *a: 2.0 * jac(*a)), guess)
