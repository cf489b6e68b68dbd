"""Complex states: closed forms, the loop and SciPy; gradients against differences; what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special
from scipy.integrate import solve_ivp

import deersolve as ds
from deersolve.backends.dual import value_and_tangents
from deersolve.backends.pairs import complex_of, matrices_of_pairs, paired

RNG = np.random.default_rng(0)
TIMES = np.linspace(0.0, 2.0, 101)
START = np.array([1.0 + 0.5j, 0.3j])
RATES = np.array([1j, -0.3 + 2.0j])


def complex_normal(*shape):
    return RNG.normal(size=shape) + 1j * RNG.normal(size=shape)


def cubic(y, t, p):
    """Neither the absolute value nor the conjugate is holomorphic."""
    xp = ds.array_namespace(y)
    return p["rate"] * y - p["g"] * xp.astype(xp.abs(y) ** 2, y.dtype) * y + 0.3 * xp.conj(y)


def dot(a, b):
    """Return Re(sum(conj(a) b))."""
    return float(np.sum((np.conj(a) * b).real))


# ----------------------------------------------------------------------------------------- closed forms


@pytest.mark.parametrize("kind", ["complex128", "complex64"])
def test_a_rotation(lib, kind):
    rates, y0 = np.array([1.0, 2.0]), lib.asarray([1.0, 2j], kind)
    params = lib.asarray(1j * rates[None, :], kind)
    sol = ds.solve(ds.InitialValueProblem(lambda y, t, p: p * y, lib.asarray(TIMES), y0, params=params))
    assert str(sol.y.dtype).endswith(kind)
    exact = np.exp(1j * TIMES[:, None] * rates) * [1.0, 2j]
    assert np.abs(lib.to_numpy(sol.y_corrected) - exact).max() < (1e-6 if kind == "complex128" else 5e-6)
    assert "pairs of real numbers" in sol.stats.derivative


@pytest.mark.parametrize("rule", ["trapezoid", "trbdf2", "exponential"])
def test_riccati(rule):
    """y' = 1 + y^2 with a complex start is tan(t + c), which has no pole on the real line then."""
    c, t = 0.2 + 0.5j, np.linspace(0.0, 2.0, 401)
    problem = ds.InitialValueProblem(lambda y, t, p: 1 + y * y, t, np.array([np.tan(c)]))
    sol = ds.solve(problem, inverse=rule)
    assert np.abs(sol.y[:, 0] - np.tan(t + c)).max() < 1e-4
    assert sol.stages is None or np.iscomplexobj(sol.stages)


def test_what_is_not_holomorphic_against_scipy():
    p = {"rate": RATES, "g": 0.5}
    sol = ds.solve(ds.InitialValueProblem(cubic, TIMES, START, params=p))
    exact = solve_ivp(lambda t, y: cubic(y, t, p), (0.0, 2.0), START, t_eval=TIMES, rtol=1e-10, atol=1e-12).y.T
    assert np.abs(sol.y_corrected - exact).max() < 2e-6
    again = ds.from_scipy(lambda t, y: [RATES[0] * y[0], RATES[1] * y[1] * abs(y[0])])
    sol = ds.solve(ds.InitialValueProblem(again, TIMES, START))
    scale = abs(START[0])  # of y[0], which only turns
    assert np.abs(sol.y_corrected[:, 1] - START[1] * np.exp(RATES[1] * scale * TIMES)).max() < 1e-6


@pytest.mark.parametrize("lags", [(1,), (1, 3)])
def test_a_diagonal_state_space_layer_against_the_loop(lib, lags):
    weights, u = np.exp(-0.1 + 1j * np.arange(1, 5)) / len(lags), complex_normal(2, 60, 4)
    y0 = complex_normal(4) if lags == (1,) else complex_normal(3, 4)

    def layer(*given):
        *past, x, w = given
        return sum(w * h for h in past) + x

    given = (lib.asarray(a, None) for a in (y0, u, weights[None, None, :]))
    sol = ds.solve(ds.Recurrence(layer, *given, lags=lags))
    rows = [np.broadcast_to(row, (2, 4)) for row in np.reshape(y0, (-1, 4))]
    for i in range(60):
        rows.append(sum(weights * rows[-k] for k in lags) + u[:, i])
    np.testing.assert_allclose(lib.to_numpy(sol.y), np.stack(rows[max(lags) :], axis=1), rtol=1e-12, atol=1e-12)


def test_blocks_of_two_hold_all_of_a_diagonal_layer():
    w, u = np.exp(-0.1 + 1j * np.arange(2)), complex_normal(40, 2)
    layer = ds.Recurrence(lambda h, x, w: w * h + x, np.zeros(2, complex), u, w)
    sol = ds.solve(layer, method=ds.Newton(structure=ds.BlockDiagonal.of_size(2)))
    assert int(sol.stats.steps) <= 2
    np.testing.assert_allclose(sol.y, ds.solve(layer, method="sequential").y, rtol=1e-12, atol=1e-12)


def test_conditions_at_two_ends():
    """u'' + k^2 u = 0 with a complex k: exp(i k s)."""
    k, s = 3.0 + 1.0j, np.linspace(0.0, 1.0, 201)
    exact = np.exp(1j * k * s)
    right = ds.Robin(1.0, 2.0, exact[-1] * (1 + 2j * k))
    line = ds.BoundaryValueProblem(lambda u, u_s, x, p: -p * u, s, left=ds.Dirichlet(1.0), right=right, params=k * k)
    assert np.abs(ds.solve(line).y_corrected[:, 0] - exact).max() < 1e-7

    def f(u, x, p):
        return np.stack([u[..., 1], -k * k * u[..., 0]], axis=-1)

    ends = ds.Coupled(first=[[1, 0], [0, 0]], last=[[0, 0], [-1j * k, 1]], value=[1, 0])
    by_matrices = ds.solve(ds.TwoPointProblem(f, s, ends))

    def outgoing(a, b, p):
        return np.stack([a[..., 0] - 1, b[..., 1] - 1j * k * b[..., 0]], axis=-1)

    by_function = ds.solve(ds.TwoPointProblem(f, s, outgoing), np.ones((201, 2), complex))
    for sol in (by_matrices, by_function):
        assert np.abs(sol.y_corrected[:, 0] - exact).max() < 1e-8


# ------------------------------------------------------------------------------------------- Schroedinger


def second_derivative(n, length):
    """Return the matrix of d2/ds2 of trigonometric polynomials on n points of a ring."""
    k = 2 * np.pi * np.fft.fftfreq(n, length / n)
    return np.fft.ifft(-(k[:, None] ** 2) * np.fft.fft(np.eye(n), axis=0), axis=0).real


def soliton(s, t, v=0.8):
    """i u_t + u_ss + 2 |u|^2 u = 0."""
    return np.exp(1j * (v / 2 * s + (1 - v * v / 4) * t)) / np.cosh(s - v * t)


@pytest.mark.filterwarnings("ignore::deersolve.DiscretisationWarning")  # the tails are small, their errors are not
@pytest.mark.parametrize("is_linear", [True, False])
def test_schroedinger_by_lines(is_linear):
    """The trapezoidal rule keeps the norm of the linear equation."""
    n, length, t = (32, 20.0, np.linspace(0.0, 0.5, 51)) if is_linear else (48, 24.0, np.linspace(0.0, 0.5, 51))
    s, D2 = -length / 2 + length / n * np.arange(n), second_derivative(n, length)

    def packet(s, t):
        return np.exp(-s * s / (4 * (1 + 1j * t))) / np.sqrt(1 + 1j * t)

    exact, g = (packet, 0.0) if is_linear else (soliton, 2.0)

    def f(u, t, p):
        return 1j * (u @ D2.T + p * abs(u) ** 2 * u)

    sol = ds.solve(ds.InitialValueProblem(f, t, exact(s, 0.0) + 0j, params=g))
    assert np.abs(sol.y - exact(s, t[:, None])).max() < 2e-4
    norms = np.sum(np.abs(sol.y) ** 2, axis=-1)
    assert np.ptp(norms) / norms[0] < (1e-14 if is_linear else 1e-7)


def test_a_soliton_by_a_flux_of_i_u_s():
    edges, t = np.linspace(-10.0, 10.0, 161), np.linspace(0.0, 0.5, 26)
    h, s = edges[1] - edges[0], 0.5 * (edges[1:] + edges[:-1])

    def flux(left, right, x, p):
        return -1j * (right - left) / h

    ring = {"left": ds.Periodic(), "right": ds.Periodic(), "cells": True, "flux": flux}
    f = lambda u, u_s, x, p: 2j * abs(u) ** 2 * u  # noqa: E731
    wave = ds.Evolution1D(f, t, edges, soliton(s, 0.0)[:, None], 0.0, **ring)
    sol = ds.solve(wave, inverse="trapezoid")
    assert np.abs(sol.y[..., 0] - soliton(s, t[:, None])).max() < 8e-3  # h^2 / 2
    free = ds.solve(ds.Evolution1D(None, t, edges, soliton(s, 0.0)[:, None], 0.0, **ring), inverse="trapezoid")
    norms = np.sum(np.abs(free.y) ** 2, axis=(-2, -1))
    assert np.ptp(norms) / norms[0] < 1e-14


# --------------------------------------------------------------------------------------------- gradients


@pytest.mark.cases_backend("jax")
def test_gradients_are_those_of_differences(lib):
    """By rate, which is complex, by g, which is real, and by the start."""
    rate, g, c = 0.4 * RATES[None, :], np.array(0.1), complex_normal(20, 2)
    changes = {"rate": complex_normal(1, 2), "g": np.array(0.7)}, complex_normal(2)

    def problem(rate, g, y0):
        return ds.Recurrence(cubic, y0, params={"rate": rate, "g": g}, n_points=20)

    def solved(*given):
        return ds.solve(problem(*given)).y

    h = 1e-6
    ends = [solved(rate + s * changes[0]["rate"], g + s * changes[0]["g"], START) for s in (h, -h)]
    starts = [solved(rate, g, START + s * changes[1]) for s in (h, -h)]
    dy = [(up - down) / (2 * h) for up, down in (ends, starts)]

    def of(a):
        return lib.asarray(a, None)

    def loss(*given):
        return (of(c).conj() * solved(*given)).real.sum()

    given = [of(rate), of(g), of(START)]
    if lib.is_jax:
        import jax

        found = [np.conj(a) for a in jax.grad(loss, (0, 1, 2))(*given)]
    elif lib.is_torch:
        loss(*(a.requires_grad_() for a in given)).backward()
        found = [lib.to_numpy(a.grad) for a in given]
    else:
        sol = ds.solve(problem(*given))
        directions = [{"params": {k: of(v) for k, v in changes[0].items()}}, {"y0": of(changes[1])}]
        np.testing.assert_allclose(lib.to_numpy(ds.sensitivity(problem(*given), sol, directions)), dy, atol=1e-8)
        bars = ds.adjoint(problem(*given), sol, of(c))
        found = [lib.to_numpy(a) for a in (bars["params"]["rate"], bars["params"]["g"], bars["y0"])]
    assert [np.iscomplexobj(a) for a in found] == [True, False, True]
    assert abs(dot(found[0], changes[0]["rate"]) + dot(found[1], changes[0]["g"]) - dot(c, dy[0])) < 1e-7
    assert abs(dot(found[2], changes[1]) - dot(c, dy[1])) < 1e-7


SPACE = np.linspace(0.0, 1.0, 21)
FIELDS = {
    "left": {"left": ds.Dirichlet(0.5 + 1j)},
    "right": {"right": (ds.Dirichlet(1.0), ds.Neumann(2j))},
    "left, of each": {"left": ds.Robin(1.0, (1.0, 2.0), np.array([1j, 0.5]))},
    "a": {"a": np.array([1.0, 2.0])},
    "b": {"b": np.array(0.3)},
    "x": {"x": {"source": np.stack([SPACE + 1j, 2j * SPACE**2], axis=-1)}},
}


@pytest.mark.parametrize("case", FIELDS)
def test_adjoint_and_sensitivity_by_what_is_given_in_space(case):
    name, given = case.partition(",")[0], {"x": {"source": np.ones((21, 2))}, **FIELDS[case]}
    sides = {"left": ds.Dirichlet(1.0), "right": ds.Dirichlet(1j)}

    def problem(**new):
        f = lambda u, u_s, x, p: x["source"] - (2 + 1j) * u * abs(u)  # noqa: E731
        return ds.BoundaryValueProblem(f, SPACE, **{**sides, **given, **new})

    def moved(a, step):
        """Return the field with a change, and the change."""
        if isinstance(a, dict):
            change = {k: (0.5 - 1j) * SPACE[:, None] * [1.0, 2.0] for k in a}
            return {k: v + step * change[k] for k, v in a.items()}, change
        if isinstance(a, tuple):
            change = tuple(np.array(1.0 - 0.5j * (not isinstance(v, float))) for v in a)
            return tuple(v + step * d for v, d in zip(a, change, strict=True)), change
        change = np.asarray(a) * 0 + (1.0 - 0.5j if np.iscomplexobj(a) else 1.0)
        return a + step * change, change

    def conditions(values):
        side = given[name]
        if isinstance(side, tuple):
            return tuple(type(s)(v) for s, v in zip(side, values, strict=True))
        return ds.Robin(side.a, side.b, values) if isinstance(side, ds.Robin) else type(side)(values)

    base, wrap = problem(), conditions if name in sides else lambda value: value
    field, state, guess = base.given(name), RNG.bit_generator.state, np.zeros((21, 2), complex)
    ys = []
    for step in (1e-6, -1e-6):
        RNG.bit_generator.state = state  # the same change twice
        value, change = moved(field, step)
        ys.append(ds.solve(problem(**{name: wrap(value)}), guess).y)
    expected = (ys[0] - ys[1]) / 2e-6
    sol, c = ds.solve(base, guess), complex_normal(21, 2)
    np.testing.assert_allclose(ds.sensitivity(base, sol, {name: change}), expected, atol=2e-8)
    bar = ds.adjoint(base, sol, c, wrt=name)[name]
    pairs = zip(bar, change, strict=True) if isinstance(bar, tuple) else [(bar, change)]
    pairs = [(bar["source"], change["source"])] if isinstance(bar, dict) else pairs
    assert abs(sum(dot(a, b) for a, b in pairs) - dot(c, expected)) < 1e-6


def test_adjoint_by_matrices_of_conditions():
    first, last, k = np.array([[1, 0], [0, 0.2j]]), np.array([[0, 0], [-2j, 1]]), 2.0

    def problem(first):
        ends = ds.Coupled(first=first, last=last, value=np.array([1, 0.5j]))
        f = lambda u, x, p: np.stack([u[..., 1], -k * k * u[..., 0]], axis=-1)  # noqa: E731
        return ds.TwoPointProblem(f, SPACE, ends)

    change, c = complex_normal(2, 2), complex_normal(21, 2)
    ys = [ds.solve(problem(first + step * change)).y for step in (1e-6, -1e-6)]
    base = problem(first)
    bar = ds.adjoint(base, ds.solve(base), c, wrt="first")["first"]
    assert abs(dot(bar, change) - dot(c, (ys[0] - ys[1]) / 2e-6)) < 1e-7


def test_the_jacobian_of_a_holomorphic_f():
    def problem(factor, jac):
        return ds.InitialValueProblem(lambda y, t, p: RATES * y * y, TIMES, 0.1 * START, jac=jac)

    jac = lambda y, t, p: 2 * RATES * y  # noqa: E731
    dense = lambda y, t, p: (2 * RATES * y)[..., None] * np.eye(2)  # noqa: E731
    found = [ds.solve(problem(1.0, j)) for j in (None, jac, dense)]
    assert [sol.stats.derivative.partition(",")[0] for sol in found] == ["dual numbers", "analytic", "analytic"]
    np.testing.assert_allclose(found[1].y, found[0].y, rtol=1e-13)
    np.testing.assert_allclose(found[2].y, found[0].y, rtol=1e-13)
    with pytest.raises(ds.FunctionError, match="jac is not the Jacobian of f"):
        ds.solve(problem(1.0, lambda y, t, p: 2j * RATES * y))
    with pytest.raises(ds.FunctionError, match=r"jac: expected arrays d f_i / d y_j of shape \(48, 2, 2\)"):
        ds.solve(problem(1.0, lambda y, t, p: y[..., :1]))


# ----------------------------------------------------------------------------------- what else there is


def test_windows_checkpoints_and_pictures(tmp_path):
    pytest.importorskip("matplotlib")
    told = []
    problem = ds.InitialValueProblem(lambda y, t, w: 1j * w * y, np.linspace(0.0, 2.0, 401), START, params=2.0)
    sol = ds.solve(problem, method=ds.Newton(window=100), on_window=[ds.Checkpoint(tmp_path), told.append])
    again = ds.solve(problem, method=ds.Newton(window=100), on_window=ds.Checkpoint(tmp_path))
    np.testing.assert_array_equal(sol.y, again.y)
    np.testing.assert_array_equal(np.concatenate([w.y for w in told]), sol.y[1:])
    lines = sol.plot(components=[1]).axes[0].lines
    assert [line.get_label() for line in lines] == ["Re 1", "Im 1"]
    np.testing.assert_array_equal(lines[1].get_ydata(), sol.y[:, 1].imag)


def test_labelled_and_back():
    pytest.importorskip("xarray")
    problem = ds.InitialValueProblem(lambda y, t, w: 1j * w * y, TIMES, START, params=0.3)
    sol = ds.solve(problem)
    guess = ds.from_xarray(sol.to_xarray(), problem)
    np.testing.assert_array_equal(guess, sol.y)
    assert int(ds.solve(problem, guess).stats.steps) == 0


def test_the_lyapunov_exponent_of_a_complex_map():
    problem = ds.Recurrence(lambda z, x, c: z * z + c, np.array([0.1 + 0j]), params=-0.12 + 0.6j, n_points=300)
    sol = ds.solve(problem)
    expected = np.log(np.abs(2 * sol.y[99:-1, 0])).mean()
    assert abs(ds.lyapunov(problem, sol, skip=100) - expected) < 1e-12


def test_a_branch_of_complex_solutions():
    """A rotation of Bratu's problem, u = exp(i) v: its fold is where that of v is."""
    turn, s = np.exp(1j), np.linspace(0.0, 1.0, 21)
    sides = {"left": ds.Dirichlet(0.0), "right": ds.Dirichlet(0j)}
    rotated = ds.BoundaryValueProblem(lambda u, u_s, x, p: -p * turn * np.exp(u / turn), s, params=3.0, **sides)
    sides["right"] = sides["left"]
    plain = ds.BoundaryValueProblem(lambda v, v_s, x, p: -p * np.exp(v), s, params=3.0, **sides)
    found, expected = (ds.follow(p, until=(2.9, 4.0), step=0.5) for p in (rotated, plain))
    assert abs(found.folds[0][0] - expected.folds[0][0]) < 1e-5
    assert np.abs((found.y / turn).imag).max() < 1e-12


def test_a_failure_carries_complex_numbers():
    problem = ds.Recurrence(lambda z, x, c: z * z + c, np.array([10.0 + 1j]), params=1.0, n_points=50)
    with pytest.raises(ds.ConvergenceError) as caught:
        ds.solve(problem, method=ds.Newton())
    assert caught.value.solution.y.shape == (50, 1)
    assert np.iscomplexobj(caught.value.solution.y)
    assert "real and the imaginary part" in "".join(caught.value.__notes__)


def test_an_operator_from_matrices_and_none_of_ones_own():
    """What a rule or callable of one's own adds would be added to real and imaginary parts alike."""
    n = 21
    L = (np.eye(n, k=1) - 2 * np.eye(n) + np.eye(n, k=-1)) * (n + 1) ** 2
    op = ds.Operator(L)
    y = ds.solve(ds.Problem(lambda y, x, p: np.exp(1j * y), shift=op.shifts, inverse=op), np.zeros((n, 1), complex)).y
    assert np.abs(L @ y - np.exp(1j * y)).max() < 1e-11
    mine = ds.Problem(lambda y, x, p: np.exp(1j * y), shift=ds.identity, inverse=lambda Gs, rhs: rhs + 1)
    with pytest.raises(ds.InputError, match="a complex state: expected a rule of deersolve"):
        ds.solve(mine, np.zeros((n, 1), complex))


# -------------------------------------------------------------------------------------------- refusals


def ode(y0=START, f=lambda y, t, p: 1j * y, t=TIMES, **given):
    return ds.InitialValueProblem(f, t, y0, **given)


def heat(u0=SPACE[:, None] + 0j, D=1.0, **given):
    sides = {"left": ds.Dirichlet(1.0), "right": ds.Dirichlet(1.0), **given}
    return ds.Evolution1D(lambda u, u_s, x, p: 0 * u, TIMES, SPACE, u0, D, **sides)


REFUSED = {
    "a diffusion": (lambda: heat(D=1j), r"D: expected real numbers; received 1j.*flux=lambda"),
    "one beside a real start": (lambda: heat(np.ones((21, 1)), D=1j), "D: expected real numbers"),
    "a side beside a real start": (lambda: heat(np.ones((21, 1)), left=ds.Dirichlet(1j)), "complex y0 or u0"),
    "a guess beside a real start": (lambda: (ode(np.ones(2), lambda y, t, p: y), START), "complex y0 or u0"),
    "f of a real start": (lambda: ode(np.ones(2)), r"A complex f takes a complex y0: y0 \+ 0j"),
    "times": (lambda: ode(t=TIMES + 0j), "t: expected float32 or float64; received complex128"),
    "Robin's b": (lambda: heat(left=ds.Robin(1.0, 1j, 0.0)), "a and b at the left"),
    "NaN": (lambda: ode(np.array([1j, np.nan])), r"y0: expected finite numbers; received .*nan.* at \[1\]"),
    "a shape": (lambda: ode(f=lambda y, t, p: y[..., :1]), r"f: expected the shape of y, \(48, 2\)"),
    "a precision": (lambda: ode(f=lambda y, t, p: y.astype(np.complex64)), "expected dtype complex128"),
    "a list": (lambda: ode(f=lambda y, t, p: [y, y]), "f: expected an array; received list"),
    "coupled points": (lambda: ode(f=lambda y, t, p: y - y.mean(-2, keepdims=True)), "acts on each point"),
    "x of one axis": (lambda: ode(x=np.ones(101) + 0j), "Use x"),
    "a half precision": (lambda: ode(np.ones(2, dtype="float16") + 0j), None),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_says_what_to_do(case):
    make, match = REFUSED[case]
    made = make()
    if match is None:  # NumPy's complex numbers begin with complex64
        assert ds.solve(made).y.dtype == np.complex64
        return
    with pytest.raises(ds.InputError, match=match):
        ds.solve(*made) if isinstance(made, tuple) else ds.solve(made)


def test_shapes_of_directions_and_cotangents_are_those_of_the_user():
    problem = ode()
    sol = ds.solve(problem)
    with pytest.raises(ds.InputError, match=r"directions\['y0'\]: expected the shapes of y0, \[\(2,\)\]"):
        ds.sensitivity(problem, sol, {"y0": np.ones(3)})
    with pytest.raises(ds.InputError, match=r"cotangent: expected the shape of y, \(101, 2\)"):
        ds.adjoint(problem, sol, np.ones((101, 4)))


# --------------------------------------------------------------------------------- pairs and dual numbers


def test_matrices_of_pairs_act_as_the_complex_ones(lib):
    A, z = complex_normal(3, 2, 4), complex_normal(3, 4)
    found = matrices_of_pairs(lib.asarray(A, None)) @ paired(lib.asarray(z, None))[..., None]
    np.testing.assert_allclose(lib.to_numpy(complex_of(found[..., 0])), (A @ z[..., None])[..., 0], rtol=1e-14)


FUNCTIONS = {
    "products": lambda z, xp: (1 + 2j) * z * z + z**3 - z / (2 + z),
    "powers": lambda z, xp: z**0.5 + z ** (1 + 0.5j) + 2.0**z,
    "functions": lambda z, xp: xp.exp(1j * z) + xp.log(z) + xp.sqrt(z) + xp.sin(z) * xp.cosh(z) - xp.tanh(z),
    "inverses": lambda z, xp: xp.atan(0.5 * z) + xp.asin(0.3 * z) + xp.acosh(2 + z),
    "size": lambda z, xp: xp.astype(xp.abs(z) ** 2, z.dtype) * z,
    "conjugate": lambda z, xp: xp.conj(z) * z * z,
    "parts": lambda z, xp: xp.astype(xp.real(z) * xp.imag(z), z.dtype) + 1j * z,
    "a matrix": lambda z, xp: z @ xp.asarray([[1 + 1j, 2.0], [0.5j, 1j]], dtype=z.dtype),
    "a sum": lambda z, xp: z * xp.sum(z * xp.conj(z), axis=-1, keepdims=True),
    "a branch": lambda z, xp: xp.where(xp.real(z) > 0.5, z * z, 1j * z),
    "joined": lambda z, xp: xp.concat([z[..., 1:], xp.conj(z[..., :1])], axis=-1),
    "zeros": lambda z, xp: xp.zeros_like(z) + xp.broadcast_to(xp.mean(z, axis=-1, keepdims=True), z.shape),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("library", ["numpy", "array_api_strict"])
def test_dual_numbers_follow_complex_functions(library, name):
    xp, Y = pytest.importorskip(library), RNG.uniform(0.2, 1.0, (5, 4))

    def f(y):
        return paired(FUNCTIONS[name](complex_of(y), ds.array_namespace(y)))

    def at(Y):
        return np.asarray(f(xp.asarray(Y)))

    value, tangents = value_and_tangents(f, (xp.asarray(Y),))
    np.testing.assert_array_equal(np.asarray(value), at(Y))
    expected = [(at(Y + 1e-6 * e) - at(Y - 1e-6 * e)) / 2e-6 for e in np.eye(4)]
    np.testing.assert_allclose(np.asarray(tangents), expected, atol=2e-9)


def test_the_angle_and_its_derivative():
    value, tangents = value_and_tangents(lambda y: np.angle(complex_of(y)), (np.array([[1.0, 2.0]]),))
    np.testing.assert_allclose((value[0, 0], *tangents[:, 0, 0]), (np.arctan2(2.0, 1.0), -0.4, 0.2), rtol=1e-15)


@pytest.mark.parametrize("name", ["sign", "maximum", "sort", "var", "floor", "less"])
def test_what_complex_numbers_have_no_derivative_of(name):
    f = {"maximum": lambda z: np.maximum(z, 0), "less": lambda z: z < 1}.get(name, getattr(np, name))
    with pytest.raises(TypeError, match=f"no derivative rule for the function '{name}' of complex numbers"):
        value_and_tangents(lambda y: f(complex_of(y)), (np.ones((3, 2)),))


def test_no_imaginary_part_is_dropped():
    def written(y):
        out = np.zeros_like(y)
        out[...] = 1j * y
        return out

    for f in (written, lambda y: (1j * y).astype(float)):
        with pytest.raises(TypeError, match="complex"):
            value_and_tangents(f, (np.ones((3, 2)),))


@pytest.mark.parametrize("f", [lambda z: 1j * special.wofz(z), lambda z: 0.5 * np.sign(z) - 1j * z.imag])
def test_what_dual_numbers_cannot_follow_is_differentiated_by_differences(f):
    """No complex step: the numbers are complex already. The certificate is that of f itself."""
    sol = ds.solve(ds.InitialValueProblem(lambda y, t, p: f(y), TIMES, START[:1]))
    assert sol.stats.derivative == "central differences, in pairs of real numbers"
    exact = solve_ivp(lambda t, y: f(y), (0.0, 2.0), START[:1], t_eval=TIMES, rtol=1e-10, atol=1e-12).y.T
    assert bool(sol.converged)
    assert np.abs(sol.y_corrected - exact).max() < 1e-6
