"""Operators of one's own: what rule, shifters, grid and history say of each other, against what they do."""

import math

import numpy as np
import pytest

import deersolve as ds
from deersolve.linalg.scans import affine_scan, affine_scan_transposed
from deersolve.linalg.structure import Dense

WAYS = [ds.Newton(), ds.Newton(window=30), ds.Newton(window=7), ds.Sequential(), ds.Auto()]


def xp_of(a):
    return ds.array_namespace(a)


class Delay:
    """(S y)_i = (1 - w) y_{i-k} + w y_{i-k+1}; the last of the k + 1 values of the history is y(t_0)."""

    def __init__(self, tau, h):
        self.k = math.ceil(tau / h)
        self.w = self.k - tau / h
        self.reach = (self.k, 0)

    def __call__(self, y, *, grid, boundary):
        xp, T, past = xp_of(y), y.shape[-2], boundary.y0
        past = xp.broadcast_to(past, (*y.shape[:-2], *past.shape[-2:]))
        full = xp.concat([past[..., -1 - self.k : -1, :], y], axis=-2)
        return (1 - self.w) * full[..., :T, :] + self.w * full[..., 1 : T + 1, :]


class DelayTrapezoid(ds.inverses.Rule):
    """The trapezoid of y' = f(y, y(t - tau)): an affine recurrence of the lags 1, k - 1, k and k + 1."""

    key, structures, exact, reach = "ddt.delay_trapezoid", (Dense,), True, (1, 0)

    def __init__(self, delay):
        self.delay, self.shifts = delay, (ds.identity, delay)

    def residual(self, y, fy, *, grid, boundary):
        rows = grid.D * (fy[..., :-1, :] + fy[..., 1:, :]) / 2 - (y[..., 1:, :] - y[..., :-1, :])
        first = xp_of(y).broadcast_to(boundary.y0[..., -1:, :], y[..., :1, :].shape) - y[..., :1, :]
        return xp_of(y).concat([first, rows], axis=-2)

    def magnitude(self, y, fy, *, grid, boundary):
        rows = grid.D * (fy[..., :-1, :] + fy[..., 1:, :]) / 2 + y[..., 1:, :] + y[..., :-1, :]
        return xp_of(y).concat([y[..., :1, :], rows], axis=-2)

    def _scan(self, Gs, grid, like):
        xp, k, w, n = xp_of(like), self.delay.k, self.delay.w, like.shape[-1]
        G, H = (xp.broadcast_to(g.to_dense(), (*like.shape, n)) for g in Gs)
        eye, D = xp.eye(n, dtype=like.dtype), grid.D[..., None] / 2
        now, old, late, early = G[..., 1:, :, :], G[..., :-1, :, :], H[..., 1:, :, :], H[..., :-1, :, :]
        M, rows = eye + D * now, {1: eye - D * old}
        for lag, a in ((k - 1, -D * w * late), (k, -D * ((1 - w) * late + w * early)), (k + 1, -D * (1 - w) * early)):
            if lag:
                rows[lag] = rows.get(lag, 0) + a
            else:
                M = M - a
        lags = tuple(sorted(lag for lag in rows if lag < like.shape[-2]))
        zero = xp.zeros_like(G[..., :1, :, :])
        return M, tuple(Dense(xp.concat([zero, xp.linalg.solve(M, rows[lag])], axis=-3)) for lag in lags), lags

    def solve(self, Gs, r, *, grid, boundary):
        xp, (M, As, lags) = xp_of(r), self._scan(Gs, grid, r)
        late = xp.linalg.solve(M, r[..., 1:, :, None])[..., 0]
        return affine_scan(As, lags, xp.concat([r[..., :1, :], late], axis=-2))

    def transpose(self, Gs, c, *, grid, boundary):
        xp, (M, As, lags) = xp_of(c), self._scan(Gs, grid, c)
        v = affine_scan_transposed(As, lags, c)
        late = xp.linalg.solve(xp.matrix_transpose(M), v[..., 1:, :, None])[..., 0]
        return xp.concat([v[..., :1, :], late], axis=-2)


def mackey_glass(params=2.0, tau=1.7, end=10.0, T=101, asarray=np.asarray):
    t, delay = np.linspace(0.0, end, T), Delay(tau, end / (T - 1))
    grid = ds.TimeGrid(asarray(t), asarray(np.diff(t)[:, None]))
    past = ds.Initial(asarray(np.full((delay.k + 1, 1), 0.5)))

    def f(y, late, x, p):
        return p * late / (1 + late**8) - y

    return ds.Problem(
        f, shift=(ds.identity, delay), inverse=DelayTrapezoid(delay), params=params, grid=grid, boundary=past
    )


def guess(T=101):
    return np.full((T, 1), 0.5)


def stepped(p, tau, end, T):
    """Return the same discrete equation, solved interval by interval by a fixed-point iteration."""
    h, k = end / (T - 1), math.ceil(tau * (T - 1) / end)
    w, y = k - tau / h, np.full(T + k, 0.5)
    rate = lambda i, now: p * (late := (1 - w) * y[i - k] + w * y[i - k + 1]) / (1 + late**8) - now  # noqa: E731
    for i in range(k, T + k - 1):
        for _ in range(60):
            y[i + 1] = y[i] + h * (rate(i, y[i]) + rate(i + 1, y[i + 1])) / 2
    return y[k:, None]


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_a_delay_equation_in_windows(way):
    """Windows are handed the last K values: what a delay looks back on too."""
    sol = ds.solve(mackey_glass(), guess(), method=way)
    np.testing.assert_allclose(sol.y, stepped(2.0, 1.7, 10.0, 101), rtol=0, atol=1e-12)
    assert sol.status == 0


def test_gradients_of_a_delay_equation():
    sol = ds.solve(mackey_glass(np.array(2.0)), guess())
    e = 1e-6
    there, here = (ds.solve(mackey_glass(2.0 + s), guess()).y for s in (e, -e))
    change = (there - here) / (2 * e)
    dy = ds.sensitivity(mackey_glass(np.array(2.0)), sol, {"params": np.array(1.0)})
    np.testing.assert_allclose(dy, change, rtol=0, atol=1e-8 * np.abs(change).max())
    total = ds.adjoint(mackey_glass(np.array(2.0)), sol, np.ones_like(sol.y))["params"]
    assert total == pytest.approx(change.sum(), rel=1e-7)


def test_one_guess_for_a_batch_of_histories():
    problem, y = mackey_glass(), []
    for factor in (1.0, 1.2):
        problem.boundary = ds.Initial(np.full((18, 1), 0.5 * factor))
        y.append(ds.solve(problem, guess()).y)
    problem.boundary = ds.Initial(np.stack([np.full((18, 1), 0.5), np.full((18, 1), 0.6)]))
    for way in (ds.Newton(), ds.Newton(window=30)):
        np.testing.assert_allclose(ds.solve(problem, guess(), method=way).y, np.stack(y), rtol=0, atol=1e-13)


def test_the_history_after_an_interval_keeps_what_came_before():
    """y(-2h), y(-h), y(0) = 1, 2, 3 and an interval from 3 to 4 leave 2, 3, 4."""
    first = ds.Initial(np.array([[1.0], [2.0], [3.0]]))
    assert first.after(np.array([[3.0], [4.0]]), overlap=1).y0.ravel().tolist() == [2.0, 3.0, 4.0]
    assert first.after(np.array([[4.0]])).y0.ravel().tolist() == [2.0, 3.0, 4.0]


# ------------------------------------------------------------------------------- what does not belong together


def on_times(rule="ddt.trapezoid", shift=ds.identity, y0=((0.5,),), T=21):
    t = np.linspace(0.0, 1.0, T)
    grid = ds.TimeGrid(t, np.diff(t)[:, None])
    f = lambda *args: -args[0]  # noqa: E731
    return ds.Problem(f, shift=shift, inverse=rule, grid=grid, boundary=ds.Initial(np.array(y0))), np.ones((T, 1))


def on_steps(shift, y0=((0.5,),), T=9, **lags):
    f = lambda *args: 0.5 * np.cos(args[0])  # noqa: E731
    grid = ds.Steps(T, **lags)
    return ds.Problem(f, shift=shift, inverse="shift.scan", grid=grid, boundary=ds.Initial(np.array(y0))), np.ones(
        (T, 1)
    )


def silent(y):
    return 0.5 * y


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: on_times(shift=(ds.identity, silent)), r"expected ds.identity for the rule 'ddt.trapezoid'.*silent\)"),
        (lambda: on_times(shift=silent), "expected ds.identity for the rule 'ddt.trapezoid'.*received silent"),
        (lambda: on_times("ddt.exponential", shift=ds.lag(1)), r"expected ds.identity.*received ds.lag\(1\)"),
        (lambda: on_times(y0=((1.0,), (2.0,))), "K = 1 values before or at the first point.*received K = 2"),
        (lambda: on_steps(ds.lag(2), ((0.5,), (0.5,))), r"expected ds.lag\(1\) for the rule 'shift.scan'.*ds.lag\(2\)"),
        (lambda: on_steps(ds.identity), r"expected ds.lag\(1\).*received ds.identity"),
        (
            lambda: on_steps((ds.lag(2), ds.lag(1)), ((0.5,), (0.5,)), lags=(1, 2)),
            r"expected \(ds.lag\(1\), ds.lag\(2\)\)",
        ),
        (lambda: (mackey_glass_with(shifts=1), guess()), "expected 1 shifted signals.*received 2"),
        (lambda: (mackey_glass_with(axes=2), guess()), "grid: expected one of 2 axes.*received one of 1"),
        (lambda: (mackey_glass_with(history=1), guess()), "K = 1 values.*received K = 18"),
    ],
)
def test_what_does_not_belong_together_is_an_error(made, message):
    problem, start = made()
    for method in ("auto", "newton", "sequential", ds.Newton(rtol=1e-3)):
        with pytest.raises(ds.InputError, match=message):
            ds.solve(problem, start, method=method)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (
            lambda: ds.solve(cosine(Own), np.ones((5, 1))),
            "received <class .*Own'>. Derive its class from ds.inverses.Rule",
        ),
        (
            lambda: ds.solve(cosine(type("Like", (), {"solve": None})()), np.ones((5, 1))),
            "Derive its class from ds.inverses.Rule and pass an object",
        ),
        (
            lambda: ds.inverses.register("mine.x", structures=Dense, exact=True),
            r"structures: expected a tuple of.*Dense",
        ),
        (lambda: ds.inverses.register("mine.x", structures=("dense",), exact=True), "structures: expected a tuple of"),
        (
            lambda: ds.solve(ds.Problem(lambda y, x, p: y, shift=ds.identity, inverse=ds.Operator(np.eye(10))), WIDE),
            r"shape \(\*B, 10, n\).*received \(5, 2\). Of matrices on points and components give shape=5",
        ),
    ],
)
def test_what_is_no_rule_is_an_error_that_says_how_to_make_one(made, message):
    with pytest.raises(ds.InputError, match=message):
        made()


WIDE = np.ones((5, 2))


def mackey_glass_with(**declared):
    problem = mackey_glass()
    vars(problem.inverse).update(declared)
    return problem


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"reach": None}, "the rule 'ddt.delay_trapezoid' does not say how far its rows look"),
        ({"reach": (2, 0)}, "its rows look 19 points back, and 18 are given before the first"),
        ({"reach": (1, 1)}, "looks 1 points ahead"),
        ({"reach_of_f": (0, 2)}, "looks 2 points ahead"),
    ],
)
def test_windows_only_where_the_reach_allows_them(declared, message):
    problem = mackey_glass_with(**declared)
    for method in (ds.Newton(window=30), "sequential"):
        with pytest.raises(ds.InputError, match=message):
            ds.solve(problem, guess(), method=method)
    sol = ds.solve(problem, guess())
    assert message in sol.stats.choice
    np.testing.assert_allclose(sol.y, stepped(2.0, 1.7, 10.0, 101), rtol=0, atol=1e-12)


def test_a_shifter_that_says_nothing_is_not_cut():
    problem = mackey_glass()
    del problem.shift[1].function.reach
    with pytest.raises(ds.InputError, match="Delay does not say how far"):
        ds.solve(problem, guess(), method=ds.Newton(window=30))


def test_a_reach_that_is_not_true_is_found():
    """A rule whose start-up takes more points than it says: windows start it again."""

    class Restarts(DelayTrapezoid):
        def residual(self, y, fy, *, grid, boundary):
            r = super().residual(y, fy, grid=grid, boundary=boundary)
            xp, first = xp_of(r), xp_of(r).arange(r.shape[-2]) == 1
            return xp.where(first[:, None], r + grid.D[0, 0] * 0.1, r)

    problem = mackey_glass()
    problem.inverse = Restarts(problem.inverse.delay)
    whole = ds.solve(problem, guess(), method="newton")
    cut = ds.solve(problem, guess(), method=ds.Newton(window=30), on_failure="return")
    assert whole.status == 0
    assert cut.status != 0 or np.abs(cut.y - whole.y).max() < 1e-12


# ------------------------------------------------------------------------------- axes


class Lattice(ds.inverses.Rule):
    """y_ij = f(y_{i+1,j}, y_ij) on N x N points."""

    key, structures, exact = "rows.down", (Dense,), True

    def __init__(self, **declared):
        vars(self).update(declared)

    def residual(self, y, fy, *, grid, boundary):
        return fy - y

    def solve(self, Gs, r, *, grid, boundary):
        y = np.zeros_like(r)
        for i in reversed(range(r.shape[-3])):
            after = y[..., i + 1, :, :] if i + 1 < r.shape[-3] else 0 * y[..., i, :, :]
            lead, own = (G.diagonal()[..., i, :, :] for G in Gs)
            y[..., i, :, :] = (r[..., i, :, :] - lead * after) / (1 + own)
        return y


def down(y):
    return np.concatenate([y[..., 1:, :, :], np.zeros_like(y[..., :1, :, :])], axis=-3)


def lattice(rule, N=5, grid=None):
    x = np.zeros((N, N, 1))
    x[-1] = 1.0
    return ds.Problem(
        lambda after, y, x, p: after**2 + x * np.cos(y), shift=(down, ds.identity), inverse=rule, x=x, grid=grid
    )


class Square:
    ndim = 2


@pytest.mark.parametrize(
    ("rule", "grid"), [(Lattice(axes=2), None), (Lattice(), Square()), (Lattice(axes=2), Square())]
)
def test_an_axis_of_the_grid(rule, grid):
    for batch in ((), (3,)):
        sol = ds.solve(lattice(rule, grid=grid), np.zeros((*batch, 5, 5, 1)))
        assert sol.status.shape == batch
        np.testing.assert_allclose(sol.y[..., 3, :, 0], 0.7390851332151607**2, rtol=1e-14)


def test_an_axis_of_the_grid_that_is_taken_for_a_batch_is_an_error():
    with pytest.raises(ds.FunctionError, match=r"shift couples batch elements.*y is \(5, 5, 1\).*has 1 axis"):
        ds.solve(lattice(Lattice()), np.zeros((5, 5, 1)))

    class Coupling(Lattice):
        def residual(self, y, fy, *, grid, boundary):
            return fy - y + 1e-3 * np.roll(y, 1, axis=0)

    one = ds.Problem(lambda y, x, p: 0.0 * y, shift=ds.identity, inverse=Coupling())
    with pytest.raises(ds.FunctionError, match="residual of the rule couples batch elements"):
        ds.solve(one, np.zeros((5, 5, 1)))


@pytest.mark.parametrize("grid", [np.linspace(0, 1, 4), np.eye(4)])
def test_the_number_of_axes_of_an_array_is_not_that_of_the_grid(grid):
    inverse = lambda Gs, rhs: rhs / (1 + Gs[0].diagonal())  # noqa: E731
    problem = ds.Problem(lambda y, x, q: np.cos(y), shift=ds.identity, inverse=inverse, grid=grid)
    for start in (np.ones((4, 1)), np.ones((3, 4, 1))):
        sol = ds.solve(problem, start)
        assert sol.status.shape == start.shape[:-2]
        np.testing.assert_allclose(sol.y, 0.7390851332151607, rtol=1e-15)


# ------------------------------------------------------------------------------- what a rule returns, and claims


class Own(ds.inverses.Rule):
    """y = f."""

    key, structures, exact = "mine.own", (Dense,), True

    def residual(self, y, fy, *, grid, boundary):
        return fy - y

    def magnitude(self, y, fy, *, grid, boundary):
        return fy + y

    def solve(self, Gs, r, *, grid, boundary):
        return r / (1 + Gs[0].diagonal())

    def transpose(self, Gs, c, *, grid, boundary):
        return c / (1 + Gs[0].diagonal())


def rule(**methods):
    """Return y = f with other methods, each without the keywords."""

    def with_keywords(function):
        return lambda self, *args, grid, boundary: function(*args)

    return type("Changed", (Own,), {name: with_keywords(m) for name, m in methods.items()})()


def cosine(inverse):
    return ds.Problem(lambda y, x, p: p * ds.array_namespace(y).cos(y), shift=ds.identity, inverse=inverse, params=0.3)


@pytest.mark.parametrize(
    ("methods", "name"),
    [
        ({"residual": lambda y, fy: (fy - y)[..., :1, :]}, "residual"),
        ({"residual": lambda y, fy: np.mean(fy - y)}, "residual"),
        ({"solve": lambda Gs, r: (r / (1 + Gs[0].diagonal()))[None]}, "solve"),
        ({"magnitude": lambda y, fy: np.max(fy + y)}, "magnitude"),
        ({"transpose": lambda Gs, c: c[..., :1, :]}, "transpose"),
        ({"solve": lambda Gs, r: (r / (1 + Gs[0].diagonal())).astype(np.float32)}, "solve"),
    ],
)
def test_shapes_that_a_rule_returns(methods, name):
    with pytest.raises(ds.InputError, match=f"{name} of the rule 'mine.own': expected an array as y is, of shape"):
        ds.solve(cosine(rule(**methods)), np.ones((5, 1)))


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ({"solve": lambda Gs, r: r}, r"solve\(\) of a random right-hand side is off by"),
        ({"solve": lambda Gs, r: r / (1 + Gs[0].diagonal() / 2)}, r"solve\(\) of a random right-hand side is off by"),
        ({"solve": lambda Gs, r: r / (1 + Gs[0].diagonal()) + 1e-3 * r[..., ::-1, :]}, "solve"),
        ({"transpose": lambda Gs, c: c}, r"transpose\(\) is off by"),
        ({"magnitude": lambda y, fy: 1e4 * (y + fy)}, r"magnitude\(\) is .* times the terms of residual\(\)"),
        ({"magnitude": lambda y, fy: y + fy + 1e5}, r"magnitude\(\) is .* times the terms of residual\(\)"),
        ({"residual": lambda y, fy: fy - y - 0.1 * y**3, "solve": lambda Gs, r: r / (1.2 + Gs[0].diagonal())}, "solve"),
    ],
)
def test_what_a_rule_does_is_held_against_its_residual(methods, message):
    with pytest.raises(ds.ConvergenceError, match=f"UNCERTIFIED.*{message}"):
        ds.solve(cosine(rule(**methods)), np.linspace(0.5, 1.5, 5)[:, None])


@pytest.mark.cases_backend("jax")
@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ({"residual": lambda y, fy: y - fy}, r"MAX_STEPS \(at y the rule fails: solve\(\) of a random.*check_inverse"),
        ({"solve": lambda Gs, r: r * np.inf}, "NONFINITE.*'mine.own' is not built in: is it right.*check_inverse"),
    ],
)
def test_an_iteration_that_fails_asks_whether_the_rule_is_right(methods, message):
    with pytest.raises(ds.ConvergenceError, match=message):
        ds.solve(cosine(rule(**methods)), np.linspace(0.5, 1.5, 5)[:, None])


def test_what_is_right_is_certified_on_every_backend(lib):
    """And the numbers are in stats; one wrong element of a batch does not touch the other."""
    start = lib.asarray(np.linspace(0.5, 1.5, 10).reshape(2, 5, 1))
    sol = lib.solve(cosine(Own()), start)
    found = sol.stats.rule_errors
    assert np.all(lib.to_numpy(sol.status) == 0)
    assert np.all(lib.to_numpy(found.solve) < 1e-14)
    assert np.all(lib.to_numpy(found.transpose) < 1e-14)
    assert np.all(lib.to_numpy(found.magnitude) < 100.0)
    first = lib.asarray(np.array([1.0, 0.0])[:, None, None])

    def half_wrong(Gs, r):
        return r / (1 + Gs[0].diagonal() * first)

    mixed = lib.solve(cosine(rule(solve=half_wrong, transpose=half_wrong)), start, on_failure="return")
    assert lib.to_numpy(mixed.status).tolist() == [0, int(ds.Status.UNCERTIFIED)]


def test_a_builtin_rule_is_not_asked():
    assert ds.solve(ds.Recurrence(lambda y, x, p: 0.5 * y, np.array([1.0]), n_points=9)).stats.rule_errors is None


def forward_euler(memory=None, asarray=np.asarray, reach=(1, 0)):
    """Return y' = -k sin(y) by an explicit rule of one's own."""

    class ForwardEuler(ds.inverses.Rule):
        key, structures, exact, history = "ddt.euler_of_mine", (Dense,), True, 1

        def residual(self, y, fy, *, grid, boundary):
            rows = grid.D * fy[..., :-1, :] - (y[..., 1:, :] - y[..., :-1, :])
            return xp_of(y).concat([boundary.y0 - y[..., :1, :], rows], axis=-2)

        def _propagators(self, G, grid):
            xp, G = xp_of(G.values), G.to_dense()
            A = xp.eye(G.shape[-1], dtype=G.dtype) - grid.D[..., None] * G[..., :-1, :, :]
            return Dense(xp.concat([xp.zeros_like(A[..., :1, :, :]), A], axis=-3))

        def solve(self, Gs, r, *, grid, boundary):
            vars(self).setdefault("sizes", set()).add(r.shape[-2])
            return affine_scan((self._propagators(Gs[0], grid),), (1,), r)

        def transpose(self, Gs, c, *, grid, boundary):
            return affine_scan_transposed((self._propagators(Gs[0], grid),), (1,), c)

    ForwardEuler.reach = reach
    t = asarray(np.linspace(0.0, 2.0, 401))
    f = lambda y, t, k: -k * ds.array_namespace(y).sin(y)  # noqa: E731
    return ds.InitialValueProblem(f, t, asarray(np.array([1.0])), params=asarray(np.array(1.5))), ForwardEuler()


def euler(k, T=401, h=2.0 / 400):
    y, dy = [1.0], [0.0]
    for _ in range(T - 1):
        dy.append(dy[-1] - h * (np.sin(y[-1]) + k * np.cos(y[-1]) * dy[-1]))
        y.append(y[-1] - h * k * np.sin(y[-1]))
    return np.array(y), np.array(dy)


@pytest.mark.parametrize("method", [ds.Auto(), ds.Auto(memory=1), ds.Newton(window=37, memory=1), ds.Newton()], ids=str)
def test_an_own_rule_obeys_memory(method):
    """In blocks of few intervals, forward and backward, and to the same numbers."""
    torch = pytest.importorskip("torch")
    problem, own = forward_euler(asarray=torch.asarray)
    problem.params.requires_grad_(True)
    sol = ds.solve(problem, inverse=own, method=method)
    y, dy = euler(1.5)
    np.testing.assert_allclose(sol.y.detach().numpy()[:, 0], y, rtol=0, atol=1e-14)
    sol.y.sum().backward()
    assert float(problem.params.grad) == pytest.approx(dy.sum(), rel=1e-12)
    in_numpy, own = forward_euler()
    own.sizes = set()
    found = ds.solve(in_numpy, inverse=own, method=method)
    is_whole = method in (ds.Auto(), ds.Newton())
    assert (max(own.sizes) == 401) == is_whole
    assert found.stats.rule_errors.solve < 1e-12
    assert found.stats.rule_errors.transpose < 1e-12


def test_adjoint_of_an_own_rule_by_what_f_and_what_the_rule_knows():
    """Of x by M^T u, that of y0 by the residual: with weights at hand it was 0."""

    def f(y, x, k):
        return -k * np.sin(y) + x

    x, rng = np.cos(np.linspace(0.0, 3.0, 401))[:, None], np.random.default_rng(0)
    _, own = forward_euler()
    problem = ds.InitialValueProblem(f, np.linspace(0.0, 2.0, 401), np.array([1.0]), x, np.array(1.5))
    sol, c = ds.solve(problem, inverse=own), rng.normal(size=(401, 1))
    with pytest.raises(ds.InputError, match=r"Set problem\.inverse to the rule that solve was given"):
        ds.adjoint(problem, sol, c)
    problem.inverse = own
    with pytest.raises(ds.InputError, match=r"Give it a method weights\(u, \*, grid, boundary\), which returns M\^T u"):
        ds.adjoint(problem, sol, c, wrt="x")
    type(own).weights = lambda self, u, *, grid, boundary: np.append(grid.D * u[..., 1:, :], 0 * u[..., :1, :], axis=-2)
    found = ds.adjoint(problem, sol, c, wrt=("y0", "x", "params"))
    for name, direction in (("x", rng.normal(size=(401, 1))), ("y0", np.ones(1)), ("params", np.array(1.0))):
        dy = ds.sensitivity(problem, sol, {name: direction})
        assert (found[name] * direction).sum() == pytest.approx((c * dy).sum(), rel=1e-10)


# ------------------------------------------------------------------------------- what had been refused, or was wrong


def second_difference(N=9):
    return np.eye(N, k=1) - 2 * np.eye(N) + np.eye(N, k=-1)


@pytest.mark.parametrize("h", [1e-1, 1e-6, 1e-9])
def test_rows_in_any_unit(h):
    """Bratu's equation in metres and in nanometres: y + d must not lose d."""
    op = ds.Operator(second_difference() / h**2)
    sol = ds.solve(ds.Problem(lambda y, x, p: np.exp(y), shift=op.shifts, inverse=op), np.zeros((9, 1)))
    assert sol.stats.rule_errors.solve < 1e-12
    np.testing.assert_allclose(second_difference() @ sol.y, h**2 * np.exp(sol.y), rtol=0, atol=1e-13)


@pytest.mark.parametrize("f", [lambda y, x, p: y, lambda y, x, p: np.sin(y), lambda y, x, p: y**2])
def test_a_solution_that_is_zero(f):
    op = ds.Operator(100 * second_difference())
    sol = ds.solve(ds.Problem(f, shift=op.shifts, inverse=op), np.full((9, 1), 0.1))
    assert np.abs(sol.y).max() < 1e-290


def test_what_an_operator_adds_to_a_complex_state():
    """A real number is no complex one with the same imaginary part."""
    N, p = 4, 0.7 + 0.3j
    W, one = np.diag(np.full(N - 1, 0.5), -1), np.ones((N, 1))
    right = np.linalg.solve(np.eye(N) + p * W, one)
    made = [
        (ds.Operator(np.eye(N), M=-W, given=one), None, 1),
        (ds.Operator(np.eye(N), M=-W, given=1.0), None, 1),
        (ds.Operator(np.eye(N), M=-W, given=1j), None, 1j),
        (ds.Operator(np.eye(N), M=-W), one, 1),
        (ds.Operator(np.eye(N), M=-W), {"given": one * (1 + 2j)}, 1 + 2j),
    ]
    for op, boundary, factor in made:
        problem = ds.Problem(lambda y, x, p: p * y, shift=op.shifts, inverse=op, params=p, boundary=boundary)
        np.testing.assert_allclose(ds.solve(problem, one + 0j).y, factor * right, rtol=0, atol=1e-14)
    with pytest.raises(ds.InputError, match="a complex state: expected a rule of deersolve"):
        ds.solve(cosine(Own()), one + 0j)


@pytest.mark.parametrize("y0", [0.0, 1e-3])
@pytest.mark.parametrize("T", [51, 76, 101])
def test_a_right_jac_at_a_point_of_rest(y0, T):
    t = np.linspace(0.0, 1.0, T)
    pairs = [
        (lambda y, t, k: 1.3 * np.cos(y), lambda y, t, k: -1.3 * np.sin(y)),
        (lambda y, t, k: 1 / np.cosh(y), lambda y, t, k: -np.tanh(y) / np.cosh(y)),
        (lambda y, t, k: 1 + y**2 / 9, lambda y, t, k: 2 * y / 9),
    ]
    for f, jac in pairs:
        assert ds.solve(ds.InitialValueProblem(f, t, np.array([y0]), jac=jac)).status == 0


def test_directions_are_named():
    """The order of the keys of a direction says nothing."""
    params = {"z": np.array(0.5), "a": np.array(0.3)}
    f = lambda y, x, p: np.tanh(p["z"] * y + p["a"])  # noqa: E731
    problem = ds.Recurrence(f, np.ones(1), params=params, n_points=5)
    sol, y, dy = ds.solve(problem), 1.0, 0.0
    for _ in range(5):
        y, dy = np.tanh(0.5 * y + 0.3), (1 - np.tanh(0.5 * y + 0.3) ** 2) * (y + 0.5 * dy)
    for direction in ({"z": np.array(1.0), "a": np.array(0.0)}, {"a": np.array(0.0), "z": np.array(1.0)}):
        assert ds.sensitivity(problem, sol, {"params": direction})[-1, 0] == pytest.approx(dy, rel=1e-13)
    one = np.array(1.0)
    for wrong in ({"zz": one, "a": one}, {"z": one}, one, [one, one]):
        with pytest.raises(ds.InputError, match="expected a dict by the names z, a"):
            ds.sensitivity(problem, sol, {"params": wrong})


class DelayBDF2(ds.inverses.Rule):
    """(3 y_i - 4 y_{i-1} + y_{i-2}) / 2 = h f_i on steps: two points back in y, none in f."""

    key, structures, exact, shifts, reach, reach_of_f = "shift.delay_bdf2", (Dense,), True, 2, (2, 0), (0, 0)
    h = 0.05

    def _rows(self, y, past):
        whole = np.concatenate([past[..., -2:, :], y], axis=-2)
        return 1.5 * y - 2 * whole[..., 1:-1, :] + 0.5 * whole[..., :-2, :]

    def residual(self, y, fy, *, grid, boundary):
        past = np.broadcast_to(boundary.y0, (*y.shape[:-2], *boundary.y0.shape[-2:]))
        return self.h * fy - self._rows(y, past)

    def solve(self, Gs, r, *, grid, boundary):
        now, late = (np.broadcast_to(G.to_dense(), (*r.shape, r.shape[-1]))[..., 0] for G in Gs)
        y = np.zeros((*r.shape[:-2], 6 + r.shape[-2], 1))
        for i in range(r.shape[-2]):
            known = (
                r[..., i, :] + 2 * y[..., i + 5, :] - 0.5 * y[..., i + 4, :] - self.h * late[..., i, :] * y[..., i, :]
            )
            y[..., i + 6, :] = known / (1.5 + self.h * now[..., i, :])
        return y[..., 6:, :]


def test_a_multistep_rule_with_a_delay_in_windows():
    """What shifters look back on is before f, not before y: six values are enough for a delay of six."""
    past = np.linspace(0.5, 0.6, 6)[:, None]
    late = ds.lag(6)
    made = {"shift": (ds.identity, late), "inverse": DelayBDF2(), "grid": ds.Steps(40), "boundary": ds.Initial(past)}
    problem = ds.Problem(lambda y, late, x, p: late / (1 + late**2) - y, **made)
    y = [*past[:, 0]]
    for _ in range(40):
        y.append((2 * y[-1] - 0.5 * y[-2] + 0.05 * y[-6] / (1 + y[-6] ** 2)) / 1.55)
    for method in (ds.Newton(), ds.Newton(window=7), ds.Newton(window=1), "auto"):
        sol = ds.solve(problem, np.full((40, 1), 0.5), method=method)
        np.testing.assert_allclose(sol.y[:, 0], y[6:], rtol=0, atol=1e-14)
    DelayBDF2.reach_of_f = None
    with pytest.raises(ds.InputError, match="its rows look 8 points back, and 6 are given"):
        ds.solve(problem, np.full((40, 1), 0.5), method=ds.Newton(window=7))
    DelayBDF2.reach_of_f = (0, 0)
