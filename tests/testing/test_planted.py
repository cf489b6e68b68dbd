"""Faults planted in operators of one's own: each is found by check_problem or refused by solve; right ones pass."""

from __future__ import annotations

import numpy as np
import pytest

import deersolve as ds
from deersolve.linalg.structure import Dense
from deersolve.testing import CheckFailure, check_problem

N = 7
EYE = np.eye(N)
SPACING = 1.0 / (N + 1)
LINE = 2 * EYE - np.eye(N, k=1) - np.eye(N, k=-1)
BACK = np.eye(N, k=-1)


class Grid:
    """The grid of an operator on more than one axis."""

    def __init__(self, ndim):
        self.ndim = ndim


def on(A, v, axes=1):
    """Return A times v along the flattened grid."""
    flat = v.reshape(*v.shape[: -1 - axes], -1, v.shape[-1])
    return (A.astype(v.dtype) @ flat).reshape(v.shape)


class ByMatrix(ds.inverses.Rule):
    """residual = M f + g - L y; L, M and the shifts are matrices on the flattened grid, g is the boundary data."""

    structures, exact = (Dense,), True

    def __init__(self, L=EYE, S=(EYE,), M=None, axes=1):
        self.key, self.L, self.S, self.M = "mine.matrix", L, S, np.eye(len(L)) if M is None else M
        self.axes, self.shifts = axes, len(S)

    def given(self, boundary):
        return 0.0 if boundary is None else boundary["g"]

    def residual(self, y, fy, *, grid, boundary):
        return on(self.M, fy, self.axes) + self.given(boundary) - on(self.L, y, self.axes)

    def magnitude(self, y, fy, *, grid, boundary):
        return on(abs(self.M), fy, self.axes) + on(abs(self.L), y, self.axes)

    def matrix(self, Gs, like):
        """Return L + M sum_p G_p S_p, (*B, N n, N n)."""
        n, count = like.shape[-1], len(self.L)
        lead = like.shape[: -1 - self.axes]
        spread = [np.kron(A, np.eye(n)).astype(like.dtype) for A in (self.L, self.M, *self.S)]
        total = spread[0]
        for G, S in zip(Gs, spread[2:], strict=True):
            points = np.broadcast_to(G.to_dense(), (*like.shape, n)).reshape(*lead, count, n, n)
            rows = points @ S.reshape(count, n, count * n)
            total = total + spread[1] @ rows.reshape(*lead, count * n, count * n)
        return np.broadcast_to(total, (*lead, count * n, count * n))

    def solve(self, Gs, r, *, grid, boundary):
        return self._applied(self.matrix(Gs, r), r)

    def transpose(self, Gs, c, *, grid, boundary):
        return self._applied(np.matrix_transpose(self.matrix(Gs, c)), c)

    def _applied(self, A, r):
        return np.linalg.solve(A, r.reshape(*A.shape[:-1], 1)).reshape(r.shape)


def shifts(*S, axes=1):
    return tuple(lambda y, S=A: on(S, y, axes) for A in S)


def cosine(y, x, p):
    return p * np.cos(y @ np.array([[0.8, 0.5], [-0.3, 0.6]], dtype=y.dtype))


def exponential(y, x, p):
    return p * np.exp(0.5 * y @ np.array([[0.8, 0.5], [-0.3, 0.6]], dtype=y.dtype))


def of_two(y, z, x, p):
    return p * np.sin(y[..., ::-1] + 0.5 * z + 0.3) + 0.2 * z


def algebra(rule, f=cosine, S=(EYE,), **given):
    """y = f(S y): L is the identity."""
    return ds.Problem(f, shift=shifts(*S), inverse=rule, params=np.array(0.4), **given)


def line(rule, f=exponential):
    """Two components between two ends with values: h^2 f + g - A y = 0."""
    g = np.zeros((N, 2))
    g[0], g[-1] = [0.3, -0.2], [0.1, 0.4]
    return ds.Problem(f, shift=ds.identity, inverse=rule, params=np.array(0.4), boundary={"g": g})


def on_line(kind=ByMatrix, **changes):
    rule = kind(LINE, M=SPACING**2 * EYE)
    vars(rule).update(changes)
    return line(rule)


def two_shifts(kind=ByMatrix):
    return algebra(kind(S=(EYE, BACK)), of_two, (EYE, BACK))


GUESS = np.full((N, 2), 0.1)


# ------------------------------------------------------------------------------- what is wrong


class Off(ByMatrix):
    """A solve that is off by a percent."""

    def solve(self, Gs, r, **where):
        return 1.01 * super().solve(Gs, r, **where)


class IgnoresG(ByMatrix):
    """A solve that takes no G, and a transpose to match."""

    def matrix(self, Gs, like):
        return super().matrix(tuple(G.map(lambda v: 0 * v) for G in Gs), like)


class HalfOfG(ByMatrix):
    """Half of G."""

    def matrix(self, Gs, like):
        return super().matrix(tuple(G.map(lambda v: v / 2) for G in Gs), like)


class WrongSign(ByMatrix):
    """The second of two G with the other sign."""

    def matrix(self, Gs, like):
        return super().matrix((Gs[0], -Gs[1]), like)


class TransposedG(ByMatrix):
    """Every G_i transposed."""

    def matrix(self, Gs, like):
        return super().matrix(tuple(G.mT for G in Gs), like)


class DiagonalOfG(ByMatrix):
    """What is off the diagonal of G is left out."""

    def matrix(self, Gs, like):
        return super().matrix(tuple(ds.Diagonal(G.diagonal()) for G in Gs), like)


class Untransposed(ByMatrix):
    """The solve for its transpose."""

    def transpose(self, Gs, c, **where):
        return self.solve(Gs, c, **where)


class OtherUnits(ByMatrix):
    """A magnitude in which h^2 is forgotten."""

    def magnitude(self, y, fy, **where):
        return super().magnitude(y, fy, **where) / SPACING**4


class ForgetsF(ByMatrix):
    """A magnitude without f, which is h^2 of the rest."""

    def magnitude(self, y, fy, **where):
        return super().magnitude(y, 0 * fy, **where)


class SizeOfRows(ByMatrix):
    """The residual for its terms, which cancel in it."""

    def magnitude(self, y, fy, *, grid, boundary):
        return abs(on(self.M, fy, self.axes) - on(self.L, y, self.axes))


class OtherRows(ByMatrix):
    """Rows in the unit of f, 1 / h^2 times that of y, in which a tolerance of y means nothing."""

    def __init__(self, L, M):
        super().__init__(L / SPACING**2, M=M / SPACING**2)


class TransposesOne(ByMatrix):
    """A transpose that takes the G of the first element for all of a batch."""

    def transpose(self, Gs, c, **where):
        first = tuple(G.map(lambda v: v.reshape(-1, *v.shape[-3:])[0]) for G in Gs)
        return super().transpose(first, c, **where)


class OneRow(ByMatrix):
    """A residual of one row, which broadcasts."""

    def residual(self, y, fy, **where):
        return super().residual(y, fy, **where)[..., :1, :]


class BlindAtAPoint(ByMatrix):
    """A residual that is 0 at a point, whatever y."""

    def residual(self, y, fy, **where):
        r = super().residual(y, fy, **where)
        return np.where(np.arange(N)[:, None] == 3, 0.0, r)


class StaleBoundary(ByMatrix):
    """A solve with the boundary data of y, which is not that of a correction."""

    def solve(self, Gs, r, *, grid, boundary):
        return super().solve(Gs, r + self.given(boundary), grid=grid, boundary=boundary)


class DeafToBoundary(ByMatrix):
    """A residual without the boundary data that the problem holds."""

    def given(self, boundary):
        return 0.0


class MeanOfBatch(ByMatrix):
    """One matrix for all of a batch."""

    def matrix(self, Gs, like):
        A = super().matrix(Gs, like)
        return A if A.ndim == 2 else np.broadcast_to(A.mean(axis=0), A.shape)


class SharesR(ByMatrix):
    """A solve in which a batch element hears of the others."""

    def solve(self, Gs, r, **where):
        made = super().solve(Gs, r, **where)
        return made if r.ndim == 2 else made + 1e-3 * made.mean(axis=0)


class Clipped(ByMatrix):
    """A solve that is not linear in r."""

    def solve(self, Gs, r, **where):
        return np.clip(super().solve(Gs, r, **where), -1.0, 1.0)


class Inhomogeneous(ByMatrix):
    """A solve that is not 0 for r = 0."""

    def solve(self, Gs, r, **where):
        return super().solve(Gs, r, **where) + 1e-6


class NotAffine(ByMatrix):
    """A residual with y^2 in L."""

    def residual(self, y, fy, **where):
        return super().residual(y, fy, **where) - 0.1 * y * y


class CachedById(ByMatrix):
    """A factorisation that is kept by the identity of G."""

    def __init__(self, *args, **kw):
        super().__init__(*args, **kw)
        self.kept = {}

    def matrix(self, Gs, like):
        key = (id(Gs[0].values), like.shape)
        if key not in self.kept:
            self.kept[key] = super().matrix(Gs, like)
        return self.kept[key]


class CachedOnce(CachedById):
    """The first factorisation of a shape, for ever."""

    def matrix(self, Gs, like):
        if like.shape not in self.kept:
            self.kept[like.shape] = ByMatrix.matrix(self, Gs, like)
        return self.kept[like.shape]


class Widens(ByMatrix):
    """float64 of float32."""

    def solve(self, Gs, r, **where):
        return super().solve(Gs, r, **where).astype(np.float64)


class WritesToR(ByMatrix):
    """A solve in the place of r."""

    def solve(self, Gs, r, **where):
        made = super().solve(Gs, r, **where)
        r *= 0.5
        return made


class HidesNaN(ByMatrix):
    """A solve that returns 0 for what is not a number."""

    def solve(self, Gs, r, **where):
        return super().solve(Gs, np.nan_to_num(r), **where)


class HidesNaNInResidual(ByMatrix):
    """A residual that does."""

    def residual(self, y, fy, **where):
        return super().residual(y, np.nan_to_num(fy), **where)


class Random(ByMatrix):
    """A solve that is another one each time."""

    def solve(self, Gs, r, **where):
        return super().solve(Gs, r, **where) * (1 + 0.1 * np.random.default_rng().normal())


class OtherSolver(ByMatrix):
    """A factored solve that is not the solve."""

    def solver(self, Gs, like, **where):
        half = tuple(G.map(lambda v: v / 2) for G in Gs)
        return lambda r: self.solve(half, r, **where)


class MyTheta(ds.inverses.Rule):
    """y_{i+1} - y_i = D ((1 - theta) f_i + theta f_{i+1}), one interval after the other."""

    key, structures, exact, order, theta = "ddt.my_theta", (Dense,), True, 2, 0.5
    shifts, reach = 1, (1, 0)

    def residual(self, y, fy, *, grid, boundary):
        mean = (1 - self.theta) * fy[..., :-1, :] + self.theta * fy[..., 1:, :]
        rows = grid.D * mean - (y[..., 1:, :] - y[..., :-1, :])
        return np.concatenate([boundary.y0 - y[..., :1, :], rows], axis=-2)

    def magnitude(self, y, fy, *, grid, boundary):
        mean = (1 - self.theta) * fy[..., :-1, :] + self.theta * fy[..., 1:, :]
        rows = abs(grid.D) * mean + y[..., 1:, :] + y[..., :-1, :]
        return np.concatenate([y[..., :1, :], rows], axis=-2)

    def _sides(self, Gs, grid, like):
        n = like.shape[-1]
        G, D = np.broadcast_to(Gs[0].to_dense(), (*like.shape, n)), grid.D[..., None]
        return np.eye(n) + self.theta * D * G[..., 1:, :, :], np.eye(n) - (1 - self.theta) * D * G[..., :-1, :, :]

    def solve(self, Gs, r, *, grid, boundary):
        P, Q = self._sides(Gs, grid, r)
        made = [r[..., 0, :, None]]
        for i in range(r.shape[-2] - 1):
            made.append(np.linalg.solve(P[..., i, :, :], Q[..., i, :, :] @ made[-1] + r[..., i + 1, :, None]))
        return np.stack(made, axis=-3)[..., 0]

    def transpose(self, Gs, c, *, grid, boundary):
        P, Q = (np.matrix_transpose(A) for A in self._sides(Gs, grid, c))
        v, made = c[..., -1, :, None], []
        for i in reversed(range(c.shape[-2] - 1)):
            made.append(np.linalg.solve(P[..., i, :, :], v))
            v = c[..., i, :, None] + Q[..., i, :, :] @ made[-1]
        return np.stack([v, *reversed(made)], axis=-3)[..., 0]


class Skewed(MyTheta):
    """The weights of another order than it says."""

    theta = 0.6


class WithoutStart(MyTheta):
    """Row 0 is y_0 = 0."""

    def residual(self, y, fy, *, grid, boundary):
        return super().residual(y, fy, grid=grid, boundary=ds.Initial(0 * boundary.y0))


class TwoBack(ds.inverses.Rule):
    """y_{i+1} = y_i + D (3 f_i - f_{i-1}) / 2, the first step by Euler: two points back, which windows forget."""

    key, structures, exact, order, shifts, reach = "ddt.two_back", (Dense,), True, 2, 1, (1, 0)

    def _mean(self, fy):
        first = fy[..., :1, :]
        return np.concatenate([first, 1.5 * fy[..., 1:-1, :] - 0.5 * fy[..., :-2, :]], axis=-2)

    def residual(self, y, fy, *, grid, boundary):
        rows = grid.D * self._mean(fy) - (y[..., 1:, :] - y[..., :-1, :])
        return np.concatenate([boundary.y0 - y[..., :1, :], rows], axis=-2)

    def solve(self, Gs, r, *, grid, boundary):
        made = [r[..., :1, :]]
        G, D = Gs[0].to_dense(), grid.D
        for i in range(r.shape[-2] - 1):
            slopes = [
                -(G[..., j, :, :] @ made[j][..., 0, :, None])[..., None, :, 0] for j in range(max(i - 1, 0), i + 1)
            ]
            mean = slopes[0] if i == 0 else 1.5 * slopes[1] - 0.5 * slopes[0]
            made.append(made[-1] + D[..., i : i + 1, :] * mean + r[..., i + 1 : i + 2, :])
        return np.concatenate(made, axis=-2)


def rate(y, t, p):
    return p * np.stack([y[..., 1], -np.sin(y[..., 0])], axis=-1)


def swing(rule):
    t = np.cumsum(np.linspace(0.05, 0.25, 9)) - 0.05
    return ds.InitialValueProblem(rate, t, np.array([1.2, 0.3]), params=np.array(1.1)), rule


def lagged(shift, rule="shift.scan", lags=(1,)):
    """A recurrence as a problem of one's own."""
    x = np.random.default_rng(0).normal(size=(N, 2))
    return ds.Problem(
        lambda y, x, p: p * np.sin(y) + x,
        shift=shift,
        inverse=rule,
        x=x,
        params=np.array(0.6),
        grid=ds.Steps(N, lags),
        boundary=ds.Initial(np.array([[0.5, 0.2], [0.1, -0.3]])),
    )


def without_history(y, *, grid, boundary):
    """Return y two points back, with the newest value of the history for both before the first."""
    first = np.broadcast_to(boundary.y0[..., -1:, :], (*y.shape[:-2], 2, y.shape[-1]))
    return np.concatenate([first, y[..., :-2, :]], axis=-2)


def in_place(y):
    y[..., 0, :] = 0.0
    return y


def paper(Gs, rhs):
    """L y = y - shift(y) / 2, an operator of the paper's form."""
    n = rhs.shape[-1]
    A = np.kron(EYE - 0.5 * BACK, np.eye(n)).reshape(N, n, N, n)
    G = np.broadcast_to(Gs[0].to_dense(), (*rhs.shape, n))
    A = A + np.einsum("...iab,ij->...iajb", G, EYE)
    flat = rhs.reshape(*rhs.shape[:-2], N * n, 1)
    return np.linalg.solve(A.reshape(*G.shape[:-3], N * n, N * n), flat).reshape(rhs.shape)


def paper_half(Gs, rhs):
    return paper(tuple(G.map(lambda v: v / 2) for G in Gs), rhs)


def paper_batch(Gs, rhs):
    return paper(tuple(G.map(lambda v: v if v.ndim == 3 else np.broadcast_to(v[:1], v.shape)) for G in Gs), rhs)


def of(problem, guess=GUESS, inverse=None):
    return problem, guess, inverse


def in_time_of(rule, guess=None):
    problem, rule = swing(rule)
    return problem, guess, rule


PLANTED = {
    "a solve that is off": lambda: of(on_line(Off)),
    "G ignored": lambda: of(on_line(IgnoresG)),
    "half of G": lambda: of(on_line(HalfOfG)),
    "the wrong sign of one G of two": lambda: of(two_shifts(WrongSign)),
    "transposed G": lambda: of(on_line(TransposedG)),
    "the diagonal of G": lambda: of(on_line(DiagonalOfG)),
    "no transpose": lambda: of(on_line(Untransposed)),
    "a magnitude in other units": lambda: of(on_line(OtherUnits)),
    "a magnitude without f": lambda: of(on_line(ForgetsF)),
    "the residual for its magnitude": lambda: of(on_line(SizeOfRows)),
    "rows in another unit": lambda: of(on_line(OtherRows)),
    "the transpose of one element": lambda: of(on_line(TransposesOne)),
    "a residual of one row": lambda: of(on_line(OneRow)),
    "a residual blind at a point": lambda: of(on_line(BlindAtAPoint)),
    "stale boundary data in the solve": lambda: of(on_line(StaleBoundary)),
    "boundary data ignored": lambda: of(on_line(DeafToBoundary)),
    "one matrix for a batch": lambda: of(on_line(MeanOfBatch)),
    "a solve that couples the batch": lambda: of(on_line(SharesR)),
    "a solve that is not linear": lambda: of(on_line(Clipped)),
    "a solve that is not homogeneous": lambda: of(on_line(Inhomogeneous)),
    "a residual that is not affine": lambda: of(on_line(NotAffine)),
    "a cache by identity": lambda: of(on_line(CachedById)),
    "a cache by shape": lambda: of(on_line(CachedOnce)),
    "float64 from float32": lambda: of(algebra(Widens()), GUESS.astype(np.float32)),
    "a write to r": lambda: of(on_line(WritesToR)),
    "NaN hidden in the solve": lambda: of(on_line(HidesNaN)),
    "NaN hidden in the residual": lambda: of(on_line(HidesNaNInResidual)),
    "a random solve": lambda: of(on_line(Random)),
    "another solver": lambda: of(on_line(OtherSolver)),
    "a shift that is not the rule's": lambda: of(lagged(ds.lag(2))),
    "a shift that is none": lambda: of(lagged(ds.identity)),
    "history ignored": lambda: of(lagged(without_history, "shift.scan", (2,))),
    "a shifter that is not linear": lambda: of(ds.Problem(cosine, shift=np.square, inverse=ByMatrix(), params=0.4)),
    "a shifter that writes": lambda: of(ds.Problem(cosine, shift=in_place, inverse=ByMatrix(), params=0.4)),
    "weights of another order": lambda: in_time_of(Skewed()),
    "a start that is not the problem's": lambda: in_time_of(WithoutStart()),
    "a reach that windows forget": lambda: in_time_of(TwoBack()),
    "half of G in the paper's callable": lambda: of(algebra(paper_half)),
    "a callable that couples the batch": lambda: of(algebra(paper_batch)),
    "rows of a lattice as a batch": lambda: of(algebra(ByMatrix(), of_two, (EYE, BACK)), GUESS),
}


def found(problem, guess, inverse):
    """Return the rows that fail, or the error of solve."""
    try:
        check_problem(problem, guess, inverse=inverse)
    except CheckFailure as failure:
        return [check.name for check in failure.report.failed]
    try:
        ds.solve(problem, guess, inverse=inverse)
    except ds.DeerError as refusal:
        return [type(refusal).__name__]
    return []


def each_fault():
    """Return the faults, one of each kind for the short run."""
    deep = {
        "the diagonal of G",
        "a cache by shape",
        "NaN hidden in the residual",
        "a shift that is none",
        "a shifter that writes",
        "one matrix for a batch",
        "a solve that is off",
        "a random solve",
        "another solver",
        "a start that is not the problem's",
        "rows of a lattice as a batch",
        "a solve that is not homogeneous",
        "a residual that is not affine",
        "half of G",
    }
    assert deep < {*PLANTED}
    return [pytest.param(name, marks=[pytest.mark.deep] * (name in deep)) for name in PLANTED]


@pytest.mark.parametrize("fault", each_fault())
def test_a_planted_fault_is_found(fault):
    assert found(*PLANTED[fault]())


# ------------------------------------------------------------------------------- what is right


CUBIC = (np.eye(N, k=2) - 2 * np.eye(N, k=1) + 2 * np.eye(N, k=-1) - np.eye(N, k=-2)) / 2
RING = LINE - np.eye(N, k=N - 1) - np.eye(N, k=1 - N) + 0.5 * EYE
WEIGHTS = np.tril(np.ones((N, N))) / N
S = np.linspace(0.0, 1.0, 9)
ZERO = ds.Dirichlet(0.1)


def lattice():
    """y_ij = f(y_{i-1,j}, y_{i,j-1}) on 3 x 4 points."""
    up, left = np.kron(np.eye(3, k=-1), np.eye(4)), np.kron(np.eye(3), np.eye(4, k=-1))
    rule = ByMatrix(np.eye(12), (up, left), axes=2)
    x = np.random.default_rng(0).normal(size=(3, 4, 1))
    f = lambda y, z, x, p: p * np.sin(y + x) + 0.3 * z  # noqa: E731
    problem = ds.Problem(f, shift=shifts(up, left, axes=2), inverse=rule, x=x, params=np.array(0.5), grid=Grid(2))
    return problem, np.zeros((3, 4, 1)), None


def in_torch():
    torch = pytest.importorskip("torch")
    x = torch.as_tensor(np.random.default_rng(0).normal(size=(8, 2)))
    f = lambda h, x, p: torch.tanh(p * h + x)  # noqa: E731
    return ds.Recurrence(f, torch.zeros(2, dtype=torch.float64), x, torch.tensor(0.7, dtype=torch.float64)), None, None


def single(f=cosine):
    """float32 of float32, all through."""
    problem = ds.Problem(f, shift=shifts(EYE), inverse=ByMatrix(), params=np.float32(0.4))
    return problem, GUESS.astype(np.float32), None


def pendulum(rule=None):
    return swing(rule)[0], None, rule


def cell(*args):
    *hs, x, p = args
    return sum(np.tanh(p * h + x) for h in hs)


X = np.random.default_rng(1).normal(size=(9, 2))
RIGHT = {
    "a recurrence": lambda: (ds.Recurrence(cell, np.zeros(2), X, np.array(0.7)), None, None),
    "two lags": lambda: (ds.Recurrence(cell, np.ones((3, 2)), X, np.array(0.4), lags=(1, 3)), None, None),
    "a batch": lambda: (ds.Recurrence(cell, np.ones((2, 2)), X, np.array(0.7)), None, None),
    "a recurrence on torch": in_torch,
    "the trapezoid": pendulum,
    "backward Euler": lambda: pendulum("backward_euler"),
    "TR-BDF2": lambda: pendulum("trbdf2"),
    "the exponential rule": lambda: pendulum("exponential"),
    "two ends": lambda: (
        ds.TwoPointProblem(
            lambda u, x, p: rate(u, None, p),
            S,
            ds.Coupled([[1.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [1.0, 0.0]], [0.0, 0.5]),
            params=np.array(1.0),
        ),
        None,
        None,
    ),
    "a line": lambda: (
        ds.BoundaryValueProblem(
            lambda u, u_s, x, p: -p * np.exp(u) + u_s, S, left=ZERO, right=ZERO, params=np.array(0.7)
        ),
        None,
        None,
    ),
    "a rectangle": lambda: (
        ds.Elliptic2D(
            lambda u, u_s, u_r, x, p: -p * np.exp(u),
            (S[::2], S[::2]),
            params=np.array(0.7),
            left=ZERO,
            right=ds.Neumann(0.2),
            bottom=ZERO,
            top=ZERO,
        ),
        None,
        None,
    ),
    "heat": lambda: (
        ds.Evolution1D(
            lambda u, u_s, x, p: p * u * (1 - u),
            S[:3],
            S[::2],
            np.sin(S[::2])[:, None],
            0.1,
            left=ds.Neumann(),
            right=ds.Neumann(),
            params=np.array(0.8),
        ),
        None,
        None,
    ),
    "algebra": lambda: of(algebra(ByMatrix())),
    "an own line": lambda: of(on_line()),
    "two shifts": lambda: of(two_shifts()),
    "a third derivative": lambda: of(algebra(ByMatrix(CUBIC + 2 * EYE))),
    "a ring": lambda: of(algebra(ByMatrix(RING))),
    "an integral equation": lambda: of(algebra(ByMatrix(M=WEIGHTS))),
    "a lattice": lattice,
    "a callable of the paper": lambda: of(algebra(paper)),
    "an own rule in time": lambda: pendulum(MyTheta()),
    "float32": single,
    "an own lag": lambda: of(lagged(ds.lag(2), lags=(2,), rule=ByLag(2))),
}


class ByLag(ds.inverses.Rule):
    """y_i = f(y_{i-k}), one step after the other."""

    key, structures, exact, shifts = "mine.lag", (Dense,), True, 1

    def __init__(self, k):
        self.k, self.history, self.reach = k, k, (k, 0)

    def residual(self, y, fy, *, grid, boundary):
        return fy - y

    def magnitude(self, y, fy, *, grid, boundary):
        return fy + y

    def solve(self, Gs, r, *, grid, boundary):
        G, made = np.broadcast_to(Gs[0].to_dense(), (*r.shape, r.shape[-1])), []
        for i in range(r.shape[-2]):
            past = 0.0 if i < self.k else (G[..., i, :, :] @ made[i - self.k][..., None])[..., 0]
            made.append(r[..., i, :] - past)
        return np.stack(made, axis=-2)


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_passes(name):
    problem, guess, inverse = RIGHT[name]()
    report = check_problem(problem, guess, inverse=inverse)
    assert not report.failed
    assert sum(check.applies for check in report) >= 10
