"""The problems on which rules are checked, and their discrete equations, in NumPy."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from ..backends.namespace import Array, array_namespace
from ..errors import mismatch
from ..grids.conditions import Coupled, Dirichlet, Neumann, Periodic, Robin
from ..grids.times import TimeGrid
from ..inverses import Rule
from ..linalg.structure import BlockDiagonal, Choice, Dense, Diagonal, Structure, Zero
from ..newton.equation import System
from ..newton.iteration import newton_step
from ..problems import (
    BoundaryValueProblem,
    Elliptic,
    Elliptic2D,
    Evolution,
    InitialValueProblem,
    Problem,
    Recurrence,
    TwoPointProblem,
)
from ..problems.inputs import closed, prepare
from .cases import Case, between_ends, in_space, in_time

BLOCK = 2
SIZES = (20, 40, 80, 160, 320, 640)
"""Numbers of intervals, of which errors tell an order."""
Generator = np.random.Generator


@dataclasses.dataclass(frozen=True)
class Family:
    """The problems on which the rules of one L are checked.

    ``samples`` are small, random and coupled, with conditions of every kind; on them Newton's method converges, also
    with the diagonal of G. ``refined(N)`` has a known answer, on a grid of about N intervals, N
    of ``sizes``, where there are any. ``steep`` is the same for rules of an order above 2, whose errors are roundoff on
    grids that are fine, or of what is smooth.
    """

    samples: Callable[[Generator], Iterator[Case]]
    refined: Callable[[int], Case] | None = None
    sizes: tuple[int, ...] = SIZES
    steep: Callable[[int], Case] | None = None

    def refinement(self, order: float | None) -> tuple[Callable[[int], Case] | None, tuple[int, ...], float]:
        """Return the cases for a rule of that order, their numbers of intervals, and how far an order may be off."""
        if self.steep is None or order is None or order <= 2:
            return self.refined, self.sizes, 0.1
        return self.steep, (96, 128, 192, 256) if order < 8 else (24, 32, 48), 0.3


def family_of(rule: Rule, family: str | None = None) -> Family:
    """Return one of ``FAMILIES``."""
    found = family or rule.key.partition(".")[0]
    if found not in FAMILIES:
        text = f"family= one of {', '.join(FAMILIES)}, or a key that begins with it"
        raise mismatch("check_inverse", text, repr(found))
    return FAMILIES[found]


def recurrences(rng: Generator, n: int = 4, T: int = 20) -> Iterator[Case]:
    """Yield recurrences of one and of two lags."""
    W, x = _mixing(rng, n, 0.6) + np.eye(n), rng.normal(size=(T, n), scale=0.5)

    def step(*args: Any) -> Array:
        *ys, x, _ = args
        total = 0.5 * array_namespace(ys[0]).sin(ys[0] @ W) + x
        return total + sum(0.1 * y * y for y in ys[1:])

    yield Case(Recurrence(step, rng.normal(size=n), x))
    for lags in ((1, 3), (2, 5)):
        yield Case(Recurrence(step, rng.normal(size=(max(lags), n)), x, lags=lags))


def rates(rng: Generator, n: int = 4) -> Iterator[Case]:
    """Yield an equation forwards in time and the same one backwards."""
    W, t = _mixing(rng, n, 0.6) + np.eye(n), 2.0 * np.linspace(0.0, 1.0, 13) ** 1.5

    def rate(y: Array, t: Array, sign: float) -> Array:
        xp = array_namespace(y)
        return sign * (xp.sin(y @ W) - y * y * y + xp.cos(2.0 * t))

    for sign in (1.0, -1.0):
        yield Case(InitialValueProblem(rate, sign * t, rng.normal(size=n), params=sign))


def first_order(rng: Generator, n: int = 4, N: int = 13) -> Iterator[Case]:
    """Yield first-order systems between two ends."""
    W, s, sign = _mixing(rng, n), np.cumsum(rng.uniform(0.05, 0.2, N)), np.where(np.arange(n) % 2 == 0, -1.0, 1.0)

    def f(u: Array, x: Any, params: Any) -> Array:
        xp = array_namespace(u)
        return sign * u + 0.3 * xp.sin(u @ W) + xp.cos(3.0 * x["s"])

    def function(a: Array, b: Array, params: Any) -> Array:
        return 0.5 * (sign + 3.0) * a + 0.2 * (a * a + b * b * b) + (sign + 0.5) * b - 0.3

    mixed = [rng.normal(size=(n, n), scale=0.2) + np.diag(d) for d in (sign < 0, sign > 0)]
    separated = [np.diag(np.where(sign < 0, 1.0, 0.0)), np.diag(np.where(sign > 0, 1.0, 0.0))]
    linear = [Coupled(a, b, rng.normal(size=n)) for a, b in (separated, mixed)]
    for ends in (*linear, Coupled(np.eye(n), -np.eye(n)), function):
        yield Case(TwoPointProblem(f, s, ends), guess=np.zeros((N, n)))


def in_space_of(make: Callable[..., Problem], sizes: tuple[int, ...], n: int, rng: Generator) -> Iterator[Case]:
    """Yield equations on axes of these numbers of points, with conditions of every kind, on points and in cells."""
    W, axes = _mixing(rng, n), [np.cumsum(rng.uniform(0.1, 0.2, N)) for N in sizes]

    def f(u: Array, *rest: Any) -> Array:
        *slopes, x, growth = rest
        xp = array_namespace(u)
        total = (
            xp.sin(u @ W)
            + growth * u
            + 0.3 * u * u * u
            - 0.5 * u * slopes[0]
            + sum(0.3 * slope for slope in slopes[1:])
        )
        return total + (1.0 + growth) * xp.cos(sum(x.values()))

    mixed = (Dirichlet(0.3), *(Robin(1.0, 0.5, 0.2) for _ in range(n - 1)))
    pairs: list[Any] = [
        (Dirichlet(0.3), Neumann(-0.1)),
        (mixed, Dirichlet(0.1)),
        (Neumann(0.2), Robin(2.0, 0.3, 0.1)),
        (Periodic(), Periodic()),
    ]
    turns = [tuple((k + axis) % 4 for axis in range(len(axes))) for k in range(4)]
    for places in dict.fromkeys([*turns, (3,) * len(axes)]):  # a torus too
        sides = dict(zip(in_space.SIDES, [side for place in places for side in pairs[place]], strict=False))
        for cells in (False, True):
            yield Case(make(f, axes, rng.uniform(0.5, 1.5, n), cells=cells, **sides))


def _second_order(f: Any, axes: list[Array], D: Array, **sides: Any) -> Problem:
    return BoundaryValueProblem(f, axes[0], a=D, b=0.3, c=-2.0, params=0.0, **sides)


def _elliptic(f: Any, axes: list[Array], D: Array, **sides: Any) -> Problem:
    return Elliptic2D(f, (axes[0], axes[1]), D, params=3.0, **sides)


def _in_a_box(f: Any, axes: list[Array], D: Array, cells: bool, **sides: Any) -> Problem:
    return Elliptic(f, tuple(axes), D, sides=in_space.pairs_of(sides), cells=cells, params=3.0)


def _evolution(f: Any, axes: list[Array], D: Array, **sides: Any) -> Problem:
    t, size = np.array([0.0, 0.05, 0.12, 0.2]), [len(a) - sides["cells"] for a in axes]
    u0 = np.sin(np.arange(np.prod(size) * len(D))).reshape(*size, -1)
    cells = sides.pop("cells")
    t = t[: 5 - len(axes)]
    return Evolution(f, t, tuple(axes), u0, D, sides=in_space.pairs_of(sides), cells=cells, params=0.0)


def _mixing(rng: Generator, n: int, scale: float = 0.5) -> Array:
    return rng.normal(size=(n, n), scale=scale / np.sqrt(n))


def _graded(N: int, bend: float = 1.0) -> Array:
    s = np.linspace(0.0, 1.0, N + 1)
    return s + bend * s * s


def _steep(N: int) -> Case:
    return in_time.swinging(np.asarray, 1.5 * _graded(N))


FAMILIES = {
    "d2dx2": Family(
        partial(in_space_of, _second_order, (13,), 4),
        lambda N: in_space.steady_burgers(np.asarray, 0.7 * _graded(N)),
    ),
    "ddt": Family(rates, lambda N: in_time.bernoulli(np.asarray, 1.5 * _graded(N)), steep=_steep),
    "ddx": Family(first_order, lambda N: between_ends.manufactured(np.asarray, 0.7 * _graded(N, 3 / 7), "coupled", 4)),
    "heat": Family(partial(in_space_of, _evolution, (7,), BLOCK), lambda N: in_space.swinging(np.asarray, _graded(N))),
    "heat2d": Family(
        partial(in_space_of, _evolution, (5, 4), BLOCK),
        lambda N: in_space.swinging(np.asarray, _graded(N // 2), axes=2),
        (40, 80, 160),
    ),
    "heat3d": Family(
        partial(in_space_of, _evolution, (4, 4, 5), 1),
        lambda N: in_space.swinging(np.asarray, _graded(N // 2), axes=3),
        (24, 48, 96),
    ),
    "laplace": Family(
        partial(in_space_of, _in_a_box, (4, 4, 5), BLOCK),
        lambda N: in_space.in_a_box(
            np.asarray, [_graded(N, 0.0)] * 3, ("dirichlet", "robin", "neumann", "dirichlet", "periodic", "periodic")
        ),
        (12, 16, 20, 24),
    ),
    "laplace2d": Family(
        partial(in_space_of, _elliptic, (6, 5), BLOCK),
        lambda N: in_space.in_a_box(
            np.asarray, [_graded(N // 2, 0.0)] * 2, ("dirichlet", "robin", "neumann", "dirichlet")
        ),
    ),
    "shift": Family(recurrences),
}


def time_grid(t: Array) -> TimeGrid:
    """Return the grid of these times, shape (*B, T)."""
    return TimeGrid(t, (t[..., 1:] - t[..., :-1])[..., None])


def system_of(problem: Problem, rule: Rule, y_guess: Array | None = None) -> System:
    """Return the discrete equation that ``solve`` would solve."""
    backend, data = prepare(problem, y_guess, rule)
    return System(backend, rule, problem.shift, closed(problem, data.grid), data)


def systems_of(family: Family, rule: Rule, rng: Generator) -> list[System]:
    """Return the discrete equations of all samples."""
    return [system_of(case.problem, rule, case.guess) for case in family.samples(rng)]


def random_G(kind: Any, shape: tuple[int, ...], rng: Generator, scale: float = 0.7) -> Structure:
    """Return random matrices of a structure; ``shape`` is that of r, (*B, T, n)."""
    n = shape[-1]
    if kind is Zero:
        return Zero(np.zeros(shape))
    if kind is Diagonal:
        return Diagonal(rng.normal(size=shape, scale=scale))
    if kind is BlockDiagonal:
        blocks = (*shape[:-1], n // BLOCK, BLOCK, BLOCK)
        return BlockDiagonal(rng.normal(size=blocks, scale=scale / np.sqrt(BLOCK)))
    full = Dense(rng.normal(size=(*shape, n), scale=scale / np.sqrt(n)))
    return full if kind is Dense else kind.simplify(full)


def random_Gs(system: System, kind: type, rng: Generator, batch: tuple[int, ...] = ()) -> tuple[Structure, ...]:
    """Return them for each signal of f."""
    return tuple(random_G(kind, (*batch, *y.shape), rng) for y in system.shifted(system.data.guess))


class DiagonalOfDense(Choice):
    """A choice of structure: the diagonal, stored in full matrices, which every rule takes."""

    name = "diagonal in full matrices"

    def simplify(self, full: Structure) -> Structure:
        """Keep the diagonal."""
        return Dense(Diagonal.simplify(full).to_dense())


def iterate(system: System, structure: Any, max_steps: int = 400) -> tuple[Array, list[float]]:
    """Repeat undamped steps to rest; return y and the corrections relative to the largest |y|.

    The stop is at roundoff, or where corrections near roundoff no longer shrink.
    """
    y, history = system.data.guess, [np.inf]
    for _ in range(max_steps):
        delta = newton_step(system, y, structure)[2]
        y = y + delta
        size = float(np.max(np.abs(delta)) / np.max(np.abs(y)))
        history.append(size)
        rests = size < 1e-13 and size > history[-2] / 2
        if not size > 1e-15 or rests:
            break
    return y, history[1:]
