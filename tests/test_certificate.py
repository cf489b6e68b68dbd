"""Nothing is silently wrong: on no backend is a bad equation CONVERGED with a wrong y."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import deersolve as ds
from tests.references import loop, pendulum

pytestmark = [
    pytest.mark.transformed,
    pytest.mark.filterwarnings("ignore::deersolve.DiscretisationWarning"),
]
STRUCTURES = ["dense", "diagonal", "zero"]
ATOLS = [None, 1e-12, 1e-3]


def xp_of(y):
    return ds.array_namespace(y)


RECURRENCES = {
    "overflow": (lambda y, x, p: 1.1 * y, 1.0, 2000, "float32"),
    "growth from 1e-13": (lambda y, x, p: 2.0 * y, 1e-13, 60, "float64"),
    "chaos": (lambda y, x, p: 4.0 * y * (1.0 - y), 0.3, 10_000, "float64"),
    "abs": (lambda y, x, p: xp_of(y).abs(y) - 0.7, 0.4, 300, "float64"),
    "relu": (lambda y, x, p: xp_of(y).where(y > 0, 1.5 * y, 0.0 * y) - 0.9, 1.0, 200, "float64"),
    "floor": (lambda y, x, p: xp_of(y).floor(y) / 2 + 0.3 * y, 9.7, 100, "float64"),
    "nan unseen": (lambda y, x, p: xp_of(y).where(y > 1e3, np.nan * y, 1.01 * y), 1.0, 600, "float64"),
    "nan met": (lambda y, x, p: xp_of(y).where(y > 1e3, np.nan * y, 1.01 * y), 1.0, 1200, "float64"),
    "nan at once": (lambda y, x, p: xp_of(y).sqrt(y - 0.5), 0.6, 50, "float64"),
}


def assert_right_or_failed(lib, sol, f, y0, atol=None):
    """CONVERGED only if y agrees with the loop (within atol), or if every step is right to roundoff."""
    y = lib.to_numpy(sol.y)
    if int(lib.to_numpy(sol.status)) != 0:
        return
    with np.errstate(all="ignore"):
        expected = loop(f, y0, None, None, n_points=y.shape[-2])
        step = f(np.concatenate([y0[-1:], y[:-1]]), None, None)
    assert np.isfinite(y).all()
    eighth = np.abs(y) / 8 + np.abs(step) / 8 + np.abs(np.concatenate([y0[-1:], y[:-1]])) / 2  # y may be near overflow
    agrees = np.abs(y - expected) <= 1e-6 * np.abs(expected) + 100 * (atol or 0.0)
    assert np.isfinite(step).all()
    satisfied = np.abs(y - step) <= 8 * 64 * np.finfo(y.dtype).eps * eighth
    assert agrees.all() or satisfied.all()


COMPILED = ("overflow", "chaos", "floor", "nan met")


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("case", RECURRENCES.values(), ids=RECURRENCES.keys())
@pytest.mark.cases_backend("jax")
@pytest.mark.cases_backend("torch", "floor-dense", "chaos-dense", "nan met-zero")
@pytest.mark.cases_backend("torch:vmap", "floor-dense")
def test_recurrences_with_every_structure_and_atol(lib, case, structure):
    if structure != "dense" and lib.is_transformed:
        pytest.skip("other structures are tested without a transform")
    f, start, n, dtype = case
    if lib.is_jax and case not in [RECURRENCES[name] for name in COMPILED]:
        pytest.skip("other numbers, slow to compile")
    n = n if lib.is_numpy and structure == "dense" else min(n, 200 if lib.is_strict else 1000)
    y0 = lib.asarray([start], dtype)
    problem = ds.Recurrence(f, y0, n_points=n)
    others = ["auto", "sequential"] if structure == "dense" else []
    for atol in ATOLS if lib.is_numpy else [1e-12]:  # others are slow to check or to compile
        whole = ds.Newton(structure=structure, atol=atol)
        windows = ds.Newton(structure=structure, atol=atol, window=64)
        for method in [whole, *([] if lib.is_jax and structure != "dense" else [windows]), *others]:
            sol = lib.solve(problem, method=method, on_failure="return")
            assert_right_or_failed(lib, sol, f, np.array([[start]], dtype), atol)
        others = []


@pytest.mark.parametrize("rule", ["trapezoid", "backward_euler", "exponential"])
@pytest.mark.cases_backend("jax")
def test_growth_over_700_e_folds(lib, rule):
    """y' = y: whatever is called CONVERGED is the discrete solution, exact to the roundoff of 7,000 steps."""
    t = np.linspace(0.0, 700.0, 7001)
    problem = ds.InitialValueProblem(lambda y, t, p: y, lib.asarray(t), lib.asarray([1.0]))
    sol = lib.solve(problem, inverse=rule, method="newton", on_failure="return")
    factor = {"trapezoid": 1.05 / 0.95, "backward_euler": 1 / 0.9, "exponential": np.exp(0.1)}[rule]
    if int(lib.to_numpy(sol.status)) == 0:
        with np.errstate(over="ignore"):
            np.testing.assert_allclose(lib.to_numpy(sol.y)[:, 0], factor ** np.arange(7001), rtol=1e-9)


@pytest.mark.parametrize("method", ["auto", "newton", "sequential"])
@pytest.mark.parametrize("rule", ["trapezoid", "backward_euler"])
@pytest.mark.cases_backend("torch", "trapezoid-auto", "backward_euler-newton")
def test_past_a_blow_up_there_is_no_solution(lib, rule, method):
    """y' = y^2 from 1 blows up at t = 1; the implicit rules have no real solution past it."""
    if lib.is_jax and (rule != "trapezoid" or method == "newton"):
        pytest.skip("nearly the same program, slow to compile")
    t = np.linspace(0.0, 2.0, 201)
    problem = ds.InitialValueProblem(lambda y, t, p: y * y, lib.asarray(t), lib.asarray([1.0]))
    sol = lib.solve(problem, inverse=rule, method=method, on_failure="return")
    if int(lib.to_numpy(sol.status)) == 0:  # a real root of every interval's equation, then
        y, D = lib.to_numpy(sol.y)[:, 0], np.diff(t)
        mean = y[1:] ** 2 if rule == "backward_euler" else (y[1:] ** 2 + y[:-1] ** 2) / 2
        left = np.abs(y[1:] - y[:-1] - D * mean)
        assert (left <= 64 * np.finfo(float).eps * (np.abs(y[1:]) + np.abs(y[:-1]) + D * mean)).all()


@pytest.mark.cases_backend("jax")
@pytest.mark.deep_backend("strict")
@pytest.mark.deep_backend("torch:vmap")
def test_a_callable_that_simplifies_g_is_not_certified(lib):
    """The mean of G inside, the full G in the right-hand side: the iteration rests, wrong by 0.1."""
    t = np.linspace(0.0, 4.0, 41)
    D, xp = float(t[1] - t[0]), lib.xp
    start = lib.asarray([2.0, 0.0])

    def mean_inverse(Gs, rhs):
        G = xp.mean(Gs[0].to_dense(), axis=0)
        step = xp.linalg.inv(lib.asarray(np.eye(2)) + D * G)
        rows = [start]
        for i in range(1, 41):
            rows.append((step @ (rows[-1] + D * rhs[i, :])[:, None])[:, 0])
        return xp.stack(rows)

    problem = ds.Problem(pendulum, shift=ds.identity, inverse=mean_inverse, x=lib.asarray(t[:, None]))
    guess = lib.asarray(np.ones((41, 2)) * [2.0, 0.0])
    sol = lib.solve(problem, guess, method=ds.Newton(max_steps=400), on_failure="return")
    exact = ds.solve(ds.InitialValueProblem(pendulum, t, np.array([2.0, 0.0])), inverse="backward_euler")
    off = np.abs(lib.to_numpy(sol.y) - exact.y).max()
    assert int(lib.to_numpy(sol.status)) != 0 or off < 1e-8


@pytest.mark.cases_backend("jax")
@pytest.mark.cases_backend("jax:vmap")
def test_a_rule_whose_solve_is_wrong_is_not_certified(lib):
    class Lazy(ds.inverses.Rule):
        key = "shift.lazy"

        def residual(self, y, fy, *, grid, boundary):
            return fy - y

        def solve(self, Gs, r, *, grid, boundary):
            return r * 1e-20  # never moves, so every correction is small

    problem = ds.Recurrence(lambda y, x, p: 0.5 * y + 1.0, lib.asarray([0.0]), n_points=20)
    sol = lib.solve(problem, inverse=Lazy(), method="newton", on_failure="return")
    assert int(lib.to_numpy(sol.status)) != int(ds.Status.CONVERGED)


def test_a_registered_rule_solves(lib):
    """The trapezoid written by a user, with the classical matrices and a dense solve."""
    name = f"ddt.midpoint_of_{lib.name.replace(':', '_')}"

    @ds.inverses.register(name, structures=(ds.Dense,), exact=True)
    class Mine:
        def residual(self, y, fy, *, grid, boundary):
            rows = grid.D * (fy[..., 1:, :] + fy[..., :-1, :]) / 2 - (y[..., 1:, :] - y[..., :-1, :])
            return xp_of(y).concat([boundary.y0 - y[..., :1, :], rows], axis=-2)

        def magnitude(self, y, fy, *, grid, boundary):
            rows = grid.D * (fy[..., 1:, :] + fy[..., :-1, :]) / 2 + y[..., 1:, :] + y[..., :-1, :]
            return xp_of(y).concat([y[..., :1, :], rows], axis=-2)

        def solve(self, Gs, r, *, grid, boundary):
            xp, G, D = xp_of(r), Gs[0].to_dense(), grid.D[..., None]
            eye = lib.asarray(np.eye(2)[None])
            A = xp.linalg.inv(eye + D * G[1:, :, :] / 2)
            B = A @ (eye - D * G[:-1, :, :] / 2)
            rows = [r[0, :]]
            for i in range(1, r.shape[0]):
                rows.append(B[i - 1, ...] @ rows[-1] + A[i - 1, ...] @ r[i, :])
            return xp.stack(rows)

    t, y0 = lib.asarray(np.linspace(0.0, 2.0, 31)), lib.asarray([2.0, 0.0])
    problem = ds.InitialValueProblem(pendulum, t, y0)
    mine, ours = (lib.solve(problem, inverse=rule, method="newton") for rule in (name, "trapezoid"))
    assert mine.stats.rule == name
    np.testing.assert_allclose(lib.to_numpy(mine.y), lib.to_numpy(ours.y), rtol=0, atol=1e-13)


@pytest.mark.parametrize("method", ["sequential", ds.Newton(window=7), ds.Auto(memory=1)], ids=["loop", "7", "blocks"])
def test_a_derivative_that_f_does_not_follow_certifies_no_correction(lib, method):
    """floor(y) has the derivative 0 and, for y >> 1, the slope 1: a correction with that says nothing of the error."""
    if not lib.is_numpy and (method != ds.Newton(window=7) or lib.is_jax):
        pytest.skip("tried on NumPy, or under jit: the iteration is the same")
    T, rng = 33, np.random.default_rng(0)
    t, x = lib.asarray(np.linspace(0.0, 18.0, T)), lib.asarray(rng.normal(size=(T, 3)))

    def f(y, x, params):
        xp = ds.array_namespace(y)
        return xp.tanh(y) + 0.5 * xp.floor(y) + x

    problem = ds.InitialValueProblem(f, t, lib.asarray(1e18 * rng.normal(size=3)), x)
    sol = lib.solve(problem, method=method, on_failure="return", check_inputs=False)
    y, x, D = (np.asarray(lib.to_numpy(a), dtype=np.longdouble) for a in (sol.y, x, t[1:] - t[:-1]))
    slope = np.tanh(y) + 0.5 * np.floor(y) + x
    with np.errstate(invalid="ignore"):
        off = np.abs(y[1:] - y[:-1] - D[:, None] * (slope[1:] + slope[:-1]) / 2) / np.max(np.abs(y))
    assert int(lib.to_numpy(sol.status)) != 0 or np.max(off) <= 64 * np.finfo(np.float64).eps


@pytest.mark.parametrize("noise", ["counted", "random", "none"])
def test_a_long_loop_of_a_function_that_is_not_pure_is_found(lib, noise):
    """Only some steps of a long loop are looked at afresh: f that gives other numbers each time shows in each."""
    count, rng = itertools.count(1), np.random.default_rng(0)
    more = {"counted": lambda: 1e-9 * next(count), "random": lambda: 1e-9 * rng.random(), "none": lambda: 0.0}[noise]
    y0 = lib.asarray(np.linspace(1.0, 2.0, 400).reshape(200, 2))
    problem = ds.Recurrence(lambda y, x, params: 0.5 * y + (1.0 + more()), y0, n_points=100)
    sol = lib.solve(problem, method="sequential", on_failure="return", check_inputs=False)
    assert np.all(lib.to_numpy(sol.converged) == (noise == "none"))


STIFF = [1e8, 1e12, 1e14, 1e30, 1e200]


def outweighed(k, family):
    """Return k (u^3 + u - 1) beside a derivative that it outweighs."""
    s, ends = np.linspace(0.0, 1.0, 9), {"left": ds.Dirichlet(), "right": ds.Dirichlet()}
    if family == "ddt":
        return ds.InitialValueProblem(lambda y, t, p: -k * (y**3 + y - 1.0), s, np.array([0.0]))
    if family == "d2dx2":
        return ds.Elliptic1D(lambda u, u_s, x, p: u**3 + u - 1.0, s, 1 / k, **ends)
    f = lambda u, u_s, u_r, x, p: u**3 + u - 1.0  # noqa: E731
    return ds.Elliptic2D(f, (s, s), 1 / k, bottom=ds.Dirichlet(), top=ds.Dirichlet(), **ends)


LOOSE = {"auto": ds.Auto(), "newton": ds.Newton(), "rtol": ds.Newton(rtol=1e-6), "atol": ds.Newton(atol=1e-9)}


@pytest.mark.parametrize("method", LOOSE.values(), ids=LOOSE)
@pytest.mark.parametrize("k", STIFF)
@pytest.mark.parametrize(
    ("family", "rule"),
    [("ddt", "backward_euler"), ("d2dx2", "blocktridiagonal"), ("laplace2d", "direct"), ("laplace2d", "krylov")],
)
def test_a_correction_small_beside_f_is_no_answer_where_it_is_all_of_y(family, rule, k, method):
    """Inside, u is the root of u^3 + u - 1 but for a part of 1 / k."""
    sol = ds.solve(outweighed(k, family), inverse=rule, method=method, on_failure="return")
    root = 0.6823278038280193
    inside = sol.y[1:] if family == "ddt" else sol.y[(slice(1, -1),) * (sol.y.ndim - 1)]
    assert int(sol.status) != 0 or np.abs(inside - root).max() <= (1e-6 if method.rtol else 1e-9) + 1e3 / k


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("rule", ["trapezoid", "backward_euler", "exponential"])
def test_decay_below_the_smallest_number_is_an_answer(lib, rule, dtype):
    """y' = -k y underflows, in one component of two and in one element of two: there y is 0 to within an underflow."""
    if lib.is_jax and (rule != "trapezoid" or dtype == "float32"):
        pytest.skip("the same program with other numbers, slow to compile")
    T, k = 301, np.array([[900.0, 1.0], [1.0, 2.0]])
    t, x = np.linspace(0.0, 3.0, T), k[:, None, :]
    f = lambda y, x, p: -x * y  # noqa: E731
    problem = ds.InitialValueProblem(
        f, lib.asarray(t, dtype), lib.asarray(np.ones((2, 2)), dtype), lib.asarray(x, dtype)
    )
    for method in ["auto", "newton", "sequential"] if lib.is_numpy else ["auto"]:
        sol = lib.solve(problem, inverse=rule, method=method, on_failure="return")
        assert lib.to_numpy(sol.status).tolist() == [0, 0]
        z, y = k * t[1], lib.to_numpy(sol.y)
        factor = {"trapezoid": (2 - z) / (2 + z), "backward_euler": 1 / (1 + z), "exponential": np.exp(-z)}[rule]
        expected = factor[:, None, :] ** np.arange(T)[:, None]
        numbers = np.finfo(dtype)
        least = 64 * numbers.eps  # a correction certifies to the peak of a component
        np.testing.assert_allclose(y, expected, rtol=2e3 * numbers.eps, atol=least)


ZEROS = {
    "line": lambda s, p: ds.BoundaryValueProblem(
        lambda u, u_s, x, p: -p * ds.array_namespace(u).sin(u), s, left=ds.Dirichlet(), right=ds.Dirichlet(), params=p
    ),
    "linear": lambda s, p: ds.BoundaryValueProblem(
        lambda u, u_s, x, p: p * u, s, left=ds.Neumann(), right=ds.Dirichlet(), params=p
    ),
    "two ends": lambda s, p: ds.TwoPointProblem(
        lambda u, x, p: ds.array_namespace(u).stack([u[..., 1], -p * ds.array_namespace(u).sin(u[..., 0])], axis=-1),
        s, ds.Coupled(first=[[1.0, 0], [0, 0]], last=[[0, 0], [1.0, 0]], value=[0.0, 0.0]), params=p,
    ),
    "rectangle": lambda s, p: ds.Elliptic2D(
        lambda u, u_s, u_r, x, p: -p * ds.array_namespace(u).sin(u), (s, s), left=ds.Dirichlet(), right=ds.Dirichlet(),
        bottom=ds.Dirichlet(), top=ds.Dirichlet(), params=p,
    ),
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("case", ZEROS)
def test_zero_is_an_answer(lib, case, dtype):
    """Below the buckling load the rod is straight: u = 0 from any guess, in every class of problems in space."""
    if lib.is_transformed or (lib.is_jax and (dtype, case) != ("float64", "linear")):
        pytest.skip("the same program with other numbers, slow to compile")
    s = np.linspace(0.0, 1.0, 17)
    guess = np.sin(np.pi * s)[:, None]
    if case == "two ends":
        guess = np.stack([np.sin(np.pi * s), np.pi * np.cos(np.pi * s)], axis=-1)
    elif case == "rectangle":
        guess = guess[:, None, :] * guess[None]
    sol = lib.solve(ZEROS[case](lib.asarray(s, dtype), 5.0), lib.asarray(guess, dtype), on_failure="return")
    assert int(lib.to_numpy(sol.status)) == 0
    assert np.abs(lib.to_numpy(sol.y)).max() <= np.finfo(dtype).smallest_normal / np.finfo(dtype).eps


@pytest.mark.parametrize(("left", "right"), [(0.0, 0.0), (0.0, 1.0), (1e-300, 1.0)])
def test_a_value_that_is_given_is_put_in_exactly(lib, left, right):
    """a u'' + u' = 1 on a grid that is too coarse for a: u is not small beside the end, which is 0 all the same."""
    if lib.is_transformed or (lib.is_jax and (left, right) != (0.0, 1.0)):
        pytest.skip("the same program with other numbers, slow to compile")
    N, a = 51, 1e-3
    s, h = np.linspace(0.0, 1.0, N), 1 / 50
    problem = ds.BoundaryValueProblem(
        lambda u, u_s, x, p: 1.0 + 0 * u, lib.asarray(s), a=a, b=1.0, left=ds.Dirichlet(left), right=ds.Dirichlet(right)
    )
    sol = lib.solve(problem, on_failure="return")
    y = lib.to_numpy(sol.y)[:, 0]
    A, r = np.zeros((N, N)), np.ones(N)
    for i in range(1, N - 1):
        A[i, i - 1 : i + 2] = a / h**2 - 1 / (2 * h), -2 * a / h**2, a / h**2 + 1 / (2 * h)
    A[0, 0] = A[-1, -1] = 1.0
    r[0], r[-1] = left, right
    assert int(lib.to_numpy(sol.status)) == 0
    assert (y[0], y[-1]) == (left, right)
    np.testing.assert_allclose(y, np.linalg.solve(A, r), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("dtype", "size"), [("float64", 1e8), ("float64", 1e12), ("float32", 1e4)])
def test_components_of_any_size_are_certified_by_default(lib, dtype, size):
    """u' = -u, v' = size u - v^2 size^2: v is curved over its own size, which is 1 / size of that of u."""
    if lib.is_transformed or (lib.is_jax and size != 1e8):
        pytest.skip("the same program with other numbers, slow to compile")

    def f(y, t, p):
        u, v = y[..., 0], y[..., 1]
        return ds.array_namespace(y).stack([-u, u / size - v * v * size], axis=-1)

    t, y0 = np.linspace(0.0, 3.0, 61), [1.0, 0.0]
    sol = lib.solve(ds.InitialValueProblem(f, lib.asarray(t, dtype), lib.asarray(y0, dtype)), on_failure="return")
    assert int(lib.to_numpy(sol.status)) == 0
    w, u, expected = 0.0, 1.0, [0.0]
    for D in np.diff(t):  # v size by the trapezoid: w + D w^2 / 2 = known
        before, u = u, u * (2 - D) / (2 + D)
        known = w + D / 2 * (before - w * w) + D / 2 * u
        w = 2 * known / (1 + np.sqrt(1 + 2 * D * known))
        expected.append(w)
    np.testing.assert_allclose(lib.to_numpy(sol.y)[:, 1] * size, expected, rtol=1e3 * np.finfo(dtype).eps)


ILL = {0.02: True, 0.01: False, 0.005: False}


@pytest.mark.parametrize(("eps", "is_determined"), ILL.items(), ids=ILL)
@pytest.mark.parametrize("family", ["ddx", "d2dx2"])
def test_a_residual_at_roundoff_of_an_ill_conditioned_equation_is_singular(lib, family, eps, is_determined):
    """eps u'' = s u' - u, u(-1) = 1, u(1) = 2: inside u is s / 2, to exp(-1 / (2 eps)), which roundoff loses."""
    if lib.is_transformed or (lib.is_jax and (eps, family) != (0.01, "d2dx2")):
        pytest.skip("the same program with other numbers, slow to compile")

    def first_order(u, x, p):
        u, v = u[..., 0], u[..., 1]
        return ds.array_namespace(u).stack([v, (x["s"][..., 0] * v - u) / eps], axis=-1)

    for n in (401, 201) if lib.is_numpy else (401,):
        s = lib.asarray(np.linspace(-1.0, 1.0, n))
        if family == "ddx":
            sides = ds.Coupled(first=[[1.0, 0], [0, 0]], last=[[0.0, 0], [1, 0]], value=[1.0, 2.0])
            problem = ds.TwoPointProblem(first_order, s, sides)
        else:
            ends = {"left": ds.Dirichlet(1.0), "right": ds.Dirichlet(2.0)}
            problem = ds.BoundaryValueProblem(lambda u, u_s, x, p: x["s"] * u_s - u, s, a=eps, **ends)
        sol = lib.solve(problem, on_failure="return")
        assert int(lib.to_numpy(sol.status)) == int(ds.Status.CONVERGED if is_determined else ds.Status.SINGULAR)
        if is_determined:
            np.testing.assert_allclose(lib.to_numpy(sol.y)[n // 4, 0], -0.25, rtol=1e-3)
