"""Solutions along a parameter, past the folds where they turn back: pseudo-arclength continuation."""

from __future__ import annotations

import copy
import dataclasses
import math
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..backends import backend_of
from ..backends._compilers import untraced
from ..backends.given import real_numbers
from ..backends.namespace import Array, array_namespace
from ..backends.pairs import complex_of
from ..errors import DiscretisationWarning, InputError, check_real, check_whole, is_real, mismatch
from ..inverses import rule_of
from ..newton.discrete import discrete
from ..newton.equation import System
from ..newton.jacobians import derivative_of
from ..newton.measures import eps_of, judge, terms
from ..newton.methods import Newton
from ..problems import Problem
from ..problems.complex_state import pairs_of
from ..problems.inputs import check_problem, prepare
from ..solution.solution import Solution
from ..solution.status import Status
from ..solver import solve
from .fields import residual_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CORRECTIONS = 8  # Newton steps on the way to one point
EASY = 3  # of them, below which the next step is longer
GROWTH = 1.5
FEW = Newton(max_steps=3)  # certifies what is solved, and gives up soon on what is not
ROUNDOFF = 4  # in units of eps: the backward error at which a point is done
SHORTEST = 1e-6  # times the first step
TURN = 0.7  # the least cosine between the directions at two points: a larger turn may be another branch
NEAR = 1e-6  # times a step: how well the place of a fold is known


@dataclasses.dataclass(frozen=True)
class Branch:
    """The points of a branch, in order of arclength.

    Attributes
    ----------
    params : array, shape (K,)
        The parameter at every point.
    y : array, shape (K, *R, n)
        The solutions, each certified as by :func:`~deersolve.solve`.
    arclength : array, shape (K,)
        The distance along the branch from its first point, by ``mean(dy^2) + dparam^2``.
    folds : tuple of (param, y)
        Where the parameter turns back: its error there is the square of that of y, about 1e-6 of a step. Crossings of
        another branch are not among them, and are not looked for.
    stopped : str
        Why the branch ends.
    """

    params: Array
    y: Array
    arclength: Array
    folds: tuple[tuple[float, Array], ...]
    stopped: str

    def plot(self, component: int = 0) -> Figure:
        """Draw the largest |y| of a component over the parameter, folds marked. Needs matplotlib."""
        from ..solution.plot import branch

        return branch(self, component)


@dataclasses.dataclass(frozen=True)
class Point:
    """A point of the branch: the parameter, the solution, and the direction of the branch there."""

    param: float
    u: Array
    tangent: tuple[float, Array]


@untraced
def follow(
    problem: Problem,
    y_guess: Any = None,
    *,
    step: float = 0.1,
    until: tuple[float, float] = (-float("inf"), float("inf")),
    max_points: int = 200,
) -> Branch:
    """Follow the solutions of a problem along its parameter, past folds.

    A step of length h goes along the tangent (dy, dp) of the branch, and Newton's method comes back to it in the plane
    across:

        residual(y; p) = 0,      mean(dy (y - y_0)) + dp (p - p_0) = h.

    Parameters
    ----------
    problem : Problem
        With ``params`` a single number, where the branch starts; not a batch.
    y_guess : array, optional
        For the first point, as in :func:`~deersolve.solve`.
    step : float
        The first step, negative to start toward smaller parameters; later ones are longer where few corrections
        are needed, at most ten times as long, and shorter where many are.
    until : tuple of two float
        The branch ends where the parameter leaves this interval, which holds ``params``; its last point is at the
        bound.
    max_points : int
        The most points.

    Returns
    -------
    Branch

    Raises
    ------
    InputError
        If params is not one number, an option is out of range, the problem is a batch, or its rule has no linear solve
        of its own.
    ConvergenceError
        If there is no solution to start from.

    Notes
    -----
    The bordered system is solved by block elimination, from two solves with the matrix of the equation: at a fold that
    is singular, but a branch passes it between two points. A point counts when ``solve`` certifies it as it is.

    Folds are found, and nothing else is looked for: where another branch crosses this one, as at a pitchfork, it goes
    straight on. That ``folds`` is empty does not say that the branch is the only one, or stable.

    References
    ----------
    H. B. Keller, "Numerical solution of bifurcation and nonlinear eigenvalue problems", in Rabinowitz (ed.),
    Applications of Bifurcation Theory, Academic Press (1977).

    Examples
    --------
    >>> import numpy as np
    >>> import deersolve as ds
    >>> s = np.linspace(0.0, 1.0, 101)
    >>> ends = {"left": ds.Dirichlet(), "right": ds.Dirichlet()}
    >>> bratu = ds.BoundaryValueProblem(lambda u, u_s, x, p: -p * np.exp(u), s, params=1.0, **ends)
    >>> branch = ds.follow(bratu, until=(0.5, 5.0))
    >>> round(branch.folds[0][0], 3), bool(branch.y[-1].max() > 5.0)
    (3.514, True)
    """
    _check(problem, step, until, max_points)
    pairs = pairs_of(problem, y_guess)
    if pairs is not None:
        found = follow(pairs.real(), pairs.guess(y_guess), step=step, until=until, max_points=max_points)
        folds = tuple((param, complex_of(y)) for param, y in found.folds)
        return dataclasses.replace(found, y=complex_of(found.y), folds=folds)
    first = _first(problem, y_guess, step)
    backend, xp = backend_of(first.u), array_namespace(first.u)
    with backend.frozen():
        points, away, turns, stopped = _points(problem, first, step, until, max_points)

    def numbers(values: list[float]) -> Array:
        return backend.convert(values, first.u, first.u.dtype)

    folds = tuple((p.param, p.u) for p in turns)
    return Branch(numbers([p.param for p in points]), xp.stack([p.u for p in points]), numbers(away), folds, stopped)


def _points(
    problem: Problem, first: Point, step: float, until: tuple[float, float], max_points: int
) -> tuple[list[Point], list[float], list[Point], str]:
    """Return the points from the first on, how far along the branch each is, the folds, and why it ends."""
    found, folds, length, away = [first], [], abs(step), [0.0]
    stopped, leaves = f"max_points = {max_points}", False
    while len(found) < max_points and not leaves:
        last = found[-1]
        made = _step(problem, last, length)
        if made is None:
            length /= 2
            if length < SHORTEST * abs(step):
                stopped = f"no point found within {2 * length:.1e} of the last, at params = {last.param:.6g}"
                break
            continue
        point, corrections = made
        leaves = not until[0] <= point.param <= until[1]
        if leaves:
            stopped = f"params left {until}"
            point, length = _landed(problem, last, point, length, until[0] if point.param < until[0] else until[1])
            if length == 0:  # the last point is at the bound
                break
        if last.tangent[0] * point.tangent[0] < 0:
            folds += _fold(problem, last, point, length)
        found.append(point)
        away.append(away[-1] + length)
        length = min(length * GROWTH, 10 * abs(step)) if corrections <= EASY else length
    return found, away, folds, stopped


def _check(problem: Any, step: Any, until: Any, max_points: Any) -> None:
    """Raise unless the problem has one number to follow it by, and the options say where to and how far."""
    check_problem(problem)
    if not problem.shows_all:
        raise mismatch("problem", "one whose y holds all that is solved for", f"an {type(problem).__name__}")
    check_real("step", "a finite number other than 0", step, lambda step: step != 0 and math.isfinite(step))
    check_whole("follow", "max_points", max_points)
    param = problem.params
    if not is_real(param) and (isinstance(param, bool) or getattr(param, "shape", None) != ()):
        raise mismatch("params", "a single number, where the branch starts", repr(param))
    start = real_numbers(param, "params")[0]
    if not isinstance(until, tuple | list) or len(until) != 2 or not all(map(is_real, until)):
        raise mismatch("until", "two numbers, between which the branch goes on", repr(until))
    if not until[0] <= start <= until[1] or until[0] == until[1]:
        raise mismatch("until", f"(lower, upper) with params = {start} between them", repr(until))


def _first(problem: Problem, y_guess: Any, step: float) -> Point:
    """Return the solution at the given parameter, and the tangent in the direction asked for."""
    rule = rule_of(problem.inverse, problem.family)
    if not (rule.has_residual and rule.exact):
        raise InputError(f"the rule {rule.key!r}: expected an exact rule with a linear solve of its own.")
    sol = solve(problem, y_guess)
    if sol.status.ndim:
        raise mismatch("problem", "a single equation", f"a batch {tuple(sol.status.shape)}", "Follow its elements.")
    p, backend = float(problem.params), backend_of(sol.y)
    y = backend.without_gradient(sol.y)
    with backend.frozen():
        return Point(p, y, _tangent(problem, p, y, (1.0 if step > 0 else -1.0, 0.0 * y)))


def _at(problem: Problem, param: float, like: Array) -> Problem:
    new = copy.copy(problem)
    new.params = backend_of(like).convert(param, like, like.dtype)
    return new


def _system(problem: Problem, param: float, y: Array) -> System:
    """Return the equation at one parameter and y."""
    here = _at(problem, param, y)
    backend, data = prepare(here, y)
    system = discrete(here, rule_of(problem.inverse, problem.family), backend, data)[1]
    return dataclasses.replace(system, functions=derivative_of(system, False)[0])


def _solved(problem: Problem, param: float, u: Array) -> tuple[Array, Array, Array, bool]:
    """Return the residual's correction, the change of y with the parameter, and whether u solves the equation."""
    with backend_of(u).quiet():
        return _linearised(problem, _system(problem, param, u), param, u)


def _linearised(problem: Problem, system: System, param: float, u: Array) -> tuple[Array, Array, Array, bool]:
    backend, y = system.backend, system.data.guess
    at = system.linearise(y)
    r = system.residual(y, at.fy)
    off = judge(system, y, terms(system, y, at), r).residual
    p = backend.convert(param, u, u.dtype)
    slope = backend.pushforward(residual_of(problem, system, {"params": p}), [p], [backend.convert([1.0], u, u.dtype)])
    back, along = (system.grid.present(system.solve(at.Gs, change)) for change in (r, slope[0, ...]))
    return back, along, off, bool(off <= ROUNDOFF * eps_of(u))


def _dot(a: tuple[float, Array], b: tuple[float, Array]) -> float:
    return a[0] * b[0] + float(array_namespace(a[1]).mean(a[1] * b[1]))


def _tangent(problem: Problem, param: float, u: Array, before: tuple[float, Array]) -> tuple[float, Array]:
    """Return the unit tangent that goes on in the direction of the one before."""
    along = _solved(problem, param, u)[1]
    size = _dot((1.0, along), (1.0, along)) ** 0.5
    sign = 1.0 if _dot((1.0, along), before) >= 0 else -1.0
    return sign / size, along * (sign / size)


def _step(problem: Problem, last: Point, length: float) -> tuple[Point, int] | None:
    """Return the point a step ahead and how many corrections it took, or None."""
    dp, du = last.tangent
    param, u = last.param + length * dp, last.u + length * du
    xp, smallest = array_namespace(u), float("inf")
    for count in range(CORRECTIONS):
        back, along, off, is_done = _solved(problem, param, u)
        if is_done or (count > EASY and float(off) >= smallest):
            break
        smallest = min(smallest, float(off))
        missing = length - _dot(last.tangent, (param - last.param, u - last.u))
        change = (missing - float(xp.mean(du * back))) / (dp + float(xp.mean(du * along)))
        param, u = param + change, u + back + change * along
        if not bool(xp.all(xp.isfinite(u))):
            return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DiscretisationWarning)  # at a fold no error is small beside y
        sol: Solution = solve(_at(problem, param, u), u, method=FEW, on_failure="return", check_inputs=False)
    moved = float(xp.max(xp.abs(sol.y - u)))
    if int(sol.status) != int(Status.CONVERGED) or moved > 1e-3 * abs(
        length
    ):  # at this very parameter it went elsewhere
        return None
    tangent = _tangent(problem, param, sol.y, last.tangent)
    return (Point(param, sol.y, tangent), count) if _dot(tangent, last.tangent) >= TURN else None


def _fold(problem: Problem, last: Point, point: Point, length: float) -> list[Point]:
    """Return the point between two where the parameter turns back: its part of the tangent vanishes."""
    return [_between(problem, last, point, length, lambda p: p.tangent[0])[1]]


def _landed(problem: Problem, last: Point, point: Point, length: float, bound: float) -> tuple[Point, float]:
    """Return the point between two where the parameter is that of the bound, and how far it is from the first."""
    h, near = _between(problem, last, point, length, lambda p: p.param - bound)
    sol = solve(_at(problem, bound, near.u), near.u, method=FEW, on_failure="return", check_inputs=False)
    if int(sol.status) != int(Status.CONVERGED):
        return near, h  # a fold at the very bound: the point beside it
    return Point(bound, sol.y, near.tangent), h


def _between(
    problem: Problem, last: Point, point: Point, length: float, measure: Callable[[Point], float]
) -> tuple[float, Point]:
    """Return where between two points a measure of them vanishes, as a distance from the first, and the point."""
    from scipy.optimize import brentq

    seen = {0.0: last, length: point}

    def nearest() -> float:
        return min(seen, key=lambda h: abs(measure(seen[h])))

    def measured(h: float) -> float:
        if h not in seen:
            made = _step(problem, last, h)
            seen[h] = made[0] if made else seen[nearest()]
        return measure(seen[h])

    brentq(measured, 0.0, length, xtol=NEAR * length)
    return nearest(), seen[nearest()]
