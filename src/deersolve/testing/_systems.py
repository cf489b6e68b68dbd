"""Small random systems in NumPy, on which rules are tested."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from ..backends.namespace import Array, array_namespace
from ..errors import mismatch
from ..grids.conditions import Coupled, Dirichlet, Neumann, Periodic, Robin
from ..grids.times import Initial, Steps, TimeGrid
from ..inverses import Rule
from ..linalg.structure import BlockDiagonal, Choice, Dense, Diagonal, Structure, Zero
from ..newton.equation import System
from ..newton.iteration import newton_step
from ..problems import (
    BoundaryValueProblem,
    Elliptic2D,
    Evolution1D,
    Evolution2D,
    InitialValueProblem,
    Problem,
    Recurrence,
    TwoPointProblem,
)
from ..problems.inputs import closed, prepare

FAMILIES = ("d2dx2", "ddt", "ddx", "heat", "heat2d", "laplace2d", "shift")
BLOCK = 2


@dataclasses.dataclass(frozen=True)
class Linear:
    """``(L + M sum_p G_p S_p) delta = r``: everything but G; no batch axes."""

    grid: Any
    boundary: Any
    r: Array
    count: int
    shift: Any = None
    behind: int = 0  # rows of f that stand behind the last point

    @property
    def where(self) -> dict[str, Any]:
        """The keywords of a rule's methods."""
        return {"grid": self.grid, "boundary": self.boundary}


def family_of(rule: Rule, family: str | None) -> str:
    """Return one of ``FAMILIES``."""
    found = family or rule.key.partition(".")[0]
    if found not in FAMILIES:
        text = f"family= one of {', '.join(FAMILIES)}, or a key that begins with it"
        raise mismatch("check_inverse", text, repr(found))
    return found


def time_grid(t: Array) -> TimeGrid:
    """Return the grid of these times, shape (*B, T)."""
    return TimeGrid(t, (t[..., 1:] - t[..., :-1])[..., None])


def linear_systems(
    family: str, rng: np.random.Generator, T: int = 9, n: int = 4, rule: Rule | None = None
) -> list[Linear]:
    """Return small linear systems on non-uniform grids or with several lags."""

    def draw(K: int) -> tuple[Initial, Array]:
        return Initial(rng.normal(size=(K, n))), rng.normal(size=(T, n))

    if family == "d2dx2":
        return [_on_line(case, rng.normal(size=(_points(case), n))) for case in second_order(rng, n, T)]
    if family == "ddx":
        return [_between(case, rng.normal(size=(T, n))) for case in two_point(rng, n, T)]
    if family == "heat":
        return [_on_sheet(case, rule, rng) for case in evolutions(rng, 0.0)]
    if family == "heat2d":
        return [_on_sheet(case, rule, rng, 3) for case in evolutions_in_a_plane(rng, 0.0)]
    if family == "laplace2d":
        return [_on_plane(case, rng) for case in elliptic(rng)]
    if family == "ddt":
        t = np.cumsum(rng.uniform(0.05, 0.4, T))
        return [Linear(time_grid(s), *draw(1), 1) for s in (t, -t)]
    return [Linear(Steps(T, k), *draw(max(k)), len(k)) for k in ((1,), (1, 3), (2, 5))]


def second_order(rng: np.random.Generator, n: int, T: int) -> list[BoundaryValueProblem]:
    """Return second-order problems with conditions of every kind, on points and in cells."""
    W = rng.normal(size=(n, n), scale=0.5 / np.sqrt(n))

    def f(u: Array, u_s: Array, x: Any, params: Any) -> Array:
        xp = array_namespace(u)
        return xp.sin(u @ W) + 0.5 * u * u_s + 0.1 * u * u * u + xp.cos(3.0 * x["s"])

    s, values = np.cumsum(rng.uniform(0.1, 0.2, T)), rng.normal(size=(4, n))
    mixed = (Dirichlet(0.3), Neumann(-0.4), *(Robin(1.0, 0.5, 0.2) for _ in range(n - 2)))
    sides = [
        (Dirichlet(values[0]), Dirichlet(values[1])),
        (Neumann(values[2]), Robin(2.0, 0.3, values[3])),
        (mixed, Dirichlet(values[0])),
        (Periodic(), Periodic()),
    ]
    L: dict[str, Any] = {"a": 1.0 + rng.uniform(size=n), "b": 0.3, "c": -2.0}
    return [BoundaryValueProblem(f, s, left=a, right=b, cells=cells, **L) for a, b in sides for cells in (False, True)]


def two_point(rng: np.random.Generator, n: int, T: int) -> list[TwoPointProblem]:
    """Return first-order systems with conditions of every kind, and a guess."""
    W = rng.normal(size=(n, n), scale=0.5 / np.sqrt(n))
    s, sign = np.cumsum(rng.uniform(0.05, 0.2, T)), np.where(np.arange(n) % 2 == 0, -1.0, 1.0)

    def f(u: Array, x: Any, params: Any) -> Array:
        xp = array_namespace(u)
        return sign * u + 0.3 * xp.sin(u @ W) + xp.cos(3.0 * x["s"])

    def function(a: Array, b: Array, params: Any) -> Array:
        return 0.5 * (sign + 3.0) * a + 0.2 * (a * a + b * b * b) + (sign + 0.5) * b - 0.3

    mixed = [rng.normal(size=(n, n), scale=0.2) + np.diag(d) for d in (sign < 0, sign > 0)]
    separated = [np.diag(np.where(sign < 0, 1.0, 0.0)), np.diag(np.where(sign > 0, 1.0, 0.0))]
    linear = [Coupled(a, b, rng.normal(size=n)) for a, b in (separated, mixed)]
    return [TwoPointProblem(f, s, ends) for ends in (*linear, Coupled(np.eye(n), -np.eye(n)), function)]


def evolutions(rng: np.random.Generator, value: float, n: int = BLOCK) -> list[Evolution1D]:
    """Return evolution equations with conditions of every kind, on points and in cells."""
    W = rng.normal(size=(n, n), scale=0.5 / np.sqrt(n))

    def f(u: Array, u_s: Array, x: Any, params: Any) -> Array:
        xp = array_namespace(u)
        return xp.sin(u @ W) - 0.5 * u * u_s + xp.cos(3.0 * x["s"] + x["t"])

    s, t = np.cumsum(rng.uniform(0.1, 0.2, 7)), np.cumsum(rng.uniform(0.02, 0.1, 4))
    mixed = (Dirichlet(value), *(Robin(1.0, 0.5, value) for _ in range(n - 1)))
    sides = [(Dirichlet(value), Neumann(value)), (mixed, Robin(2.0, 0.3, value)), (Periodic(), Periodic())]
    D = 0.1 + rng.uniform(size=n)
    return [
        Evolution1D(f, t, s, rng.normal(size=(7 - cells, n)), D, left=a, right=b, cells=cells)
        for a, b in sides
        for cells in (False, True)
    ]


def elliptic(rng: np.random.Generator, n: int = BLOCK) -> list[Elliptic2D]:
    """Return equations in a rectangle with conditions of every kind, on points and in cells."""
    W = rng.normal(size=(n, n), scale=0.5 / np.sqrt(n))

    def f(u: Array, u_s: Array, u_r: Array, x: Any, params: Any) -> Array:
        xp = array_namespace(u)
        return xp.sin(u @ W) + 3.0 * u + 0.3 * u * u_s - 0.2 * u_r + xp.cos(3.0 * x["s"] + x["r"])

    s, r = np.cumsum(rng.uniform(0.1, 0.2, 6)), np.cumsum(rng.uniform(0.1, 0.2, 5))
    mixed = (Dirichlet(0.3), *(Robin(1.0, 0.5, 0.2) for _ in range(n - 1)))
    sides: list[dict[str, Any]] = [
        {"left": Dirichlet(0.1), "right": Neumann(0.2), "bottom": mixed, "top": Robin(2.0, 0.3, 0.1)},
        {"left": Periodic(), "right": Periodic(), "bottom": Dirichlet(0.4), "top": Neumann(-0.1)},
        {"left": Periodic(), "right": Periodic(), "bottom": Periodic(), "top": Periodic()},
    ]
    D = 0.5 + rng.uniform(size=n)
    return [Elliptic2D(f, (s, r), D, cells=cells, **around) for around in sides for cells in (False, True)]


def _on_plane(problem: Elliptic2D, rng: np.random.Generator) -> Linear:
    data = prepare(problem, None)[1]
    return Linear(data.grid, data.boundary, rng.normal(size=data.guess.shape), 3, problem.shift)


def evolutions_in_a_plane(rng: np.random.Generator, value: float, n: int = BLOCK) -> list[Evolution2D]:
    """Return evolution equations in a rectangle with conditions of every kind, on points and in cells."""
    W = rng.normal(size=(n, n), scale=0.5 / np.sqrt(n))

    def f(u: Array, u_s: Array, u_r: Array, x: Any, params: Any) -> Array:
        xp = array_namespace(u)
        return xp.sin(u @ W) - 0.5 * u * u_s + 0.3 * u_r + xp.cos(3.0 * x["s"] + x["r"] + x["t"])

    s, r = np.cumsum(rng.uniform(0.1, 0.2, 5)), np.cumsum(rng.uniform(0.1, 0.2, 4))
    t = np.cumsum(rng.uniform(0.02, 0.1, 3))
    mixed = (Dirichlet(value), *(Robin(1.0, 0.5, value) for _ in range(n - 1)))
    sides: list[dict[str, Any]] = [
        {"left": Dirichlet(value), "right": Neumann(value), "bottom": mixed, "top": Robin(2.0, 0.3, value)},
        {"left": Periodic(), "right": Periodic(), "bottom": Dirichlet(value), "top": Neumann(value)},
    ]
    D = 0.1 + rng.uniform(size=n)
    return [
        Evolution2D(f, t, (s, r), rng.normal(size=(5 - cells, 4 - cells, n)), D, cells=cells, **around)
        for around in sides
        for cells in (False, True)
    ]


def _on_sheet(problem: Evolution1D | Evolution2D, rule: Any, rng: np.random.Generator, count: int = 2) -> Linear:
    data = prepare(problem, None, rule)[1]
    return Linear(data.grid, data.boundary, rng.normal(size=data.guess.shape), count, problem.shift)


def _between(problem: TwoPointProblem, r: Array) -> Linear:
    data = prepare(problem, np.zeros(r.shape))[1]
    return Linear(data.grid, data.boundary, r, len(problem.shift), problem.shift, len(problem.shift) - 1)


def _on_line(problem: BoundaryValueProblem, r: Array) -> Linear:
    data = prepare(problem, np.zeros((*r.shape[:-2], 1, r.shape[-1])))[1]
    return Linear(data.grid, data.boundary, r, 2, problem.shift)


def _points(problem: BoundaryValueProblem) -> int:
    return len(problem.s) - (problem.cells or isinstance(problem.left, Periodic))


def random_G(kind: type, shape: tuple[int, ...], rng: np.random.Generator, scale: float = 0.7) -> Structure:
    """Return random matrices of a structure; ``shape`` is that of r, (*B, T, n)."""
    n = shape[-1]
    if kind is Zero:
        return Zero(np.zeros(shape))
    if kind is Diagonal:
        return Diagonal(rng.normal(size=shape, scale=scale))
    if kind is BlockDiagonal:
        blocks = (*shape[:-1], n // BLOCK, BLOCK, BLOCK)
        return BlockDiagonal(rng.normal(size=blocks, scale=scale / np.sqrt(BLOCK)))
    return Dense(rng.normal(size=(*shape, n), scale=scale / np.sqrt(n)))


def nonlinear_problems(family: str, rng: np.random.Generator) -> list[Problem]:
    """Return coupled, non-autonomous problems on which Newton and a diagonal G converge."""
    n = 4
    W = rng.normal(size=(n, n), scale=0.6 / np.sqrt(n)) + np.eye(n)

    def rate(y: Array, t: Array, params: Any) -> Array:
        xp = array_namespace(y)
        return xp.sin(y @ W) - y * y * y + xp.cos(2.0 * t)

    def step(*args: Any) -> Array:
        *ys, x, _ = args
        xp = array_namespace(ys[0])
        total = 0.7 * xp.sin(ys[0] @ W) + x
        for y in ys[1:]:
            total = total + 0.1 * y * y
        return total

    if family == "d2dx2":
        return list(second_order(rng, n, 13))
    if family == "ddx":
        return list(two_point(rng, n, 13))
    if family == "heat":
        return list(evolutions(rng, 0.2))
    if family == "heat2d":
        return list(evolutions_in_a_plane(rng, 0.2))
    if family == "laplace2d":
        return list(elliptic(rng))
    if family == "ddt":
        t = 2.0 * np.linspace(0.0, 1.0, 13) ** 1.5
        return [InitialValueProblem(rate, t, rng.normal(size=n))]
    x = rng.normal(size=(20, n), scale=0.5)
    single = Recurrence(step, rng.normal(size=n), x)
    return [single, Recurrence(step, rng.normal(size=(3, n)), x, lags=(1, 3))]


def system_of(problem: Problem, rule: Rule, y_guess: Array | None = None) -> System:
    """Return the discrete equation that ``solve`` would solve."""
    if y_guess is None and isinstance(problem, TwoPointProblem):
        y_guess = np.zeros((len(problem.s), 4))
    backend, data = prepare(problem, y_guess, rule)
    return System(backend, rule, problem.shift, closed(problem, data.grid), data)


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


def slope(sizes: tuple[int, ...], errors: list[float]) -> float:
    """Return the observed order, the slope of log error over -log N."""
    return -float(np.polyfit(np.log(np.array(sizes)), np.log(np.array(errors)), 1)[0])
