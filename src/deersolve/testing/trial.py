"""A problem under test: its discrete equation, its solution, and both as matrices and numbers in NumPy."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import warnings
from collections.abc import Iterator
from functools import cached_property, reduce
from operator import add
from typing import Any

import numpy as np

from ..backends.namespace import Array, array_namespace
from ..errors import DeerError
from ..grids.base import Data
from ..inverses import Rule, rule_of
from ..linalg.structure import BlockDiagonal, Dense, Structure
from ..newton.discrete import discrete
from ..newton.equation import System
from ..newton.jacobians import derivative_of
from ..newton.methods import Newton
from ..problems import Problem
from ..problems.complex_state import pairs_of
from ..problems.inputs import prepare
from ..solution.solution import Solution
from ..solution.status import Status
from ..solver import solve

MOST = 700  # numbers in y from which on no matrix is assembled
CAP = 1e-2  # the largest difference between two answers that roundoff excuses
SLACK = 1e3  # between the bound on an error and what is allowed


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Show no warnings: what they say is what is checked."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


@dataclasses.dataclass(frozen=True)
class Matrices:
    """The residual ``M f - L y + g`` and the signals ``S_p y + s_p``, of arrays laid out as vectors."""

    L: Array
    M: Array
    g: Array
    S: tuple[Array, ...]

    def of(self, Gs: tuple[Array, ...]) -> Array:
        """Return ``L + M sum_p G_p S_p`` of ``Gs`` with shape (*B, *R, n, n)."""
        total = self.L
        for G, S in zip(Gs, self.S, strict=True):
            n = G.shape[-1]
            points = G.reshape(-1, n, n)
            moved = np.einsum("pij,pjk->pik", points, S.reshape(len(points), n, -1))
            total = total + self.M @ moved.reshape(-1, S.shape[1])
        return total


class Trial:
    """A problem under test.

    Parameters
    ----------
    problem, y_guess, inverse
        As for :func:`deersolve.solve`.
    method : Newton, optional
        That of the time-parallel answer; by default Newton's method on the whole trajectory.
    seed : int
        Of the random numbers.
    """

    def __init__(
        self, problem: Problem, y_guess: Any = None, inverse: Any = None, method: Any = None, seed: int = 0
    ) -> None:
        pairs = pairs_of(problem, y_guess)  # of a complex state what is solved is checked
        self.problem = problem if pairs is None else pairs.real()
        self.y_guess, self.inverse = y_guess if pairs is None else pairs.guess(y_guess), inverse
        self.method = Newton() if method is None else method
        self.rng = np.random.default_rng(seed)

    @cached_property
    def rule(self) -> Rule:
        """The rule that solves it."""
        return rule_of(self.problem.inverse if self.inverse is None else self.inverse, self.problem.family)

    @cached_property
    def system(self) -> System:
        """The discrete equation, with the guess."""
        backend, data = prepare(self.problem, self.y_guess, self.rule)
        _, system = discrete(self.problem, self.rule, backend, data)
        with backend.quiet():
            return dataclasses.replace(system, functions=derivative_of(system, False)[0])

    @cached_property
    def eps(self) -> float:
        """The unit of roundoff."""
        y = self.system.data.guess
        return float(array_namespace(y).finfo(y.dtype).eps)

    def solve(self, **changed: Any) -> Solution:
        """Return the solution of this problem, or of a changed one."""
        given = {"y_guess": self.y_guess, "inverse": self.inverse, "method": self.method, **changed}
        with quietly():
            return solve(given.pop("problem", self.problem), given.pop("y_guess"), **given, on_failure="return")

    @cached_property
    def sol(self) -> Solution:
        """The time-parallel answer."""
        return self.solve()

    @cached_property
    def failure(self) -> str:
        """Why there is no solution to look at; empty where there is one."""
        try:
            codes = np.unique(self.numpy(self.sol.status))
        except DeerError as error:
            return f"solve raised {type(error).__name__}: {error}"
        bad = [Status(int(c)).name for c in codes if c]
        return f"{self.sol.stats.method}: {', '.join(bad)}" if bad else ""

    @cached_property
    def at(self) -> System:
        """The discrete equation with the solution in the place of the guess."""
        grid = self.system.grid
        data = dataclasses.replace(self.system.data, guess=grid.absorb(self.sol.y, self.sol.stages))
        return dataclasses.replace(self.system, data=data)

    # ------------------------------------------------------------------------------------ in NumPy

    def numpy(self, array: Any) -> Array:
        """Return an array of the library as one of NumPy."""
        return np.asarray(self.system.backend.to_numpy(self.system.backend.without_gradient(array)))

    def array(self, values: Any) -> Array:
        """Return a new array of the library, of the dtype of y."""
        like = self.system.data.guess
        return self.system.backend.convert(np.array(values), like, like.dtype)

    def random(self, *lead: int, like: Any = None, scale: float = 1.0) -> Array:
        """Return random numbers of the shape of y in NumPy, with axes before it; exact in the dtype of y."""
        shape = tuple(self.system.data.guess.shape if like is None else like)
        made = self.rng.normal(size=(*lead, *shape), scale=scale)
        return made.astype(np.float32).astype(np.float64)

    @cached_property
    def size(self) -> int:
        """How many numbers are solved for."""
        return math.prod(self.system.data.guess.shape)

    @cached_property
    def signals(self) -> tuple[tuple[int, ...], ...]:
        """The shapes of the arguments of f."""
        return tuple(tuple(y.shape) for y in self.system.shifted(self.system.data.guess))

    def sized(self, kind: Any) -> Any:
        """Return a structure that simplifies; of blocks those of a divisor of n."""
        n = self.signals[0][-1]
        return BlockDiagonal.of_size(next(b for b in (2, 3, n) if n % b == 0)) if kind is BlockDiagonal else kind

    def random_Gs(self, kind: Any = Dense, scale: float = 0.4) -> tuple[Structure, ...]:
        """Return random matrices at every point for each signal, of a structure."""
        made = []
        for shape in self.signals:
            full = self.random(shape[-1], like=shape, scale=scale / math.sqrt(shape[-1]))
            made.append(kind.simplify(Dense(self.array(np.moveaxis(full, 0, -1)))))
        return tuple(made)

    def dense(self, Gs: tuple[Structure, ...]) -> tuple[Array, ...]:
        """Return the matrices in full, in NumPy."""
        full = zip(Gs, self.signals, strict=True)
        return tuple(np.broadcast_to(self.numpy(G.to_dense()), (*s, s[-1])).astype(np.float64) for G, s in full)

    def residual(self, y: Any, fy: Any, Gs: tuple[Structure, ...] = (), system: System | None = None) -> Array:
        """Return ``M f - L y + g`` of given y and f, in NumPy."""
        system = system or self.system
        return self.numpy(system.residual(self.array(y), self.array(fy), Gs)).astype(np.float64)

    def shifted(self, y: Any) -> list[Array]:
        """Return the signals of y in NumPy."""
        return [self.numpy(a).astype(np.float64) for a in self.system.shifted(self.array(y))]

    def matrices(self, Gs: tuple[Structure, ...] = ()) -> Matrices:
        """Return residual and shifters as matrices, from their values at unit vectors; nothing else of the rule."""
        if self.rule.exact and "assembled" in vars(self):
            return self.assembled
        shape, f_shape = tuple(self.system.data.guess.shape), self.signals[0]
        y0, f0 = np.zeros(shape), np.zeros(f_shape)
        g, s = self.residual(y0, f0, Gs), self.shifted(y0)
        L = np.stack([(g - self.residual(e, f0, Gs)).reshape(-1) for e in _units(shape)], axis=1)
        M = np.stack([(self.residual(y0, e, Gs) - g).reshape(-1) for e in _units(f_shape)], axis=1)
        moved = [[(a - b).reshape(-1) for a, b in zip(self.shifted(e), s, strict=True)] for e in _units(shape)]
        return Matrices(L, M, g.reshape(-1), tuple(np.stack(rows, axis=1) for rows in zip(*moved, strict=True)))

    @cached_property
    def assembled(self) -> Matrices:
        """Those of a rule whose residual does not depend on G."""
        return self.matrices()

    @cached_property
    def is_small(self) -> bool:
        """Whether matrices are assembled."""
        return self.size <= MOST and math.prod(self.signals[0]) <= MOST

    @cached_property
    def reach(self) -> tuple[int, int]:
        """How many points back and ahead the rows of the equation see along the first axis, (0, 0) if not known."""
        shape, axis = self.system.data.guess.shape, self.system.grid.axis
        if not (self.is_small and self.rule.exact and self.rule.has_residual and self.signals[0] == tuple(shape)):
            return 0, 0
        m = self.assembled
        seen = np.abs(m.L) + np.abs(m.M) @ sum(np.abs(S) for S in m.S)
        place = np.broadcast_to(np.arange(shape[axis]).reshape(-1, *(1,) * (-axis - 1)), shape).reshape(-1)
        far = (place[:, None] - place[None, :])[seen > 0]
        return int(far.max(initial=0)), int(-far.min(initial=0))

    @cached_property
    def y(self) -> Array:
        """The solution as the solver has it, in NumPy."""
        return self.numpy(self.at.data.guess).astype(np.float64)

    @cached_property
    def scale(self) -> float:
        """The largest |y|, or the largest term of the equation where y is 0."""
        return float(np.abs(self.y).max()) or float(np.abs(self.terms).max()) or 1.0

    @cached_property
    def terms(self) -> Array:
        """The size of the terms of each row, ``|L||y| + |M|(|f| + sum_p |G_p||y_p|) + |g|``, a vector."""
        at, m = self.at.linearise(self.at.data.guess), self.assembled
        slopes = [np.einsum("...ij,...j->...i", np.abs(G), np.abs(y)) for G, y in self._pairs(at)]
        f = np.abs(self.numpy(at.fy)) + reduce(add, slopes)
        return np.asarray(np.abs(m.L) @ np.abs(self.y.reshape(-1)) + np.abs(m.M) @ f.reshape(-1) + np.abs(m.g))

    def _pairs(self, at: Any) -> list[tuple[Array, Array]]:
        return list(zip(self.dense(at.Gs), map(self.numpy, at.ys), strict=True))

    @cached_property
    def matrix(self) -> Array:
        """``L + M sum_p G_p S_p`` at the solution."""
        at = self.at.linearise(self.at.data.guess)
        return self.matrices(at.Gs).of(self.dense(at.Gs))

    @cached_property
    def amplified(self) -> float:
        """How many times as large as a residual of its terms y may be off, relative to the largest |y|; NaN if unknown.

        That is ``|L + M sum_p G_p S_p|^{-1}`` times the terms.
        """
        if not (self.is_small and self.rule.has_residual and self.rule.exact):
            return math.nan
        with quietly():
            return float((np.abs(np.linalg.inv(self.matrix)) @ self.terms).max()) / self.scale

    @cached_property
    def allowed(self) -> float:
        """How far two answers, whose residuals are a few eps of their terms, may be from one another, relatively."""
        return 1e6 * self.eps if math.isnan(self.amplified) else min(CAP, SLACK * self.eps * (1.0 + self.amplified))

    def off(self, found: Any, expected: Any) -> float:
        """Return the largest difference relative to the largest number expected."""
        a, b = np.asarray(found), np.asarray(expected)
        if a.shape != b.shape:
            raise AssertionError(f"expected shape {b.shape}; received {a.shape}")
        size = float(np.abs(b).max()) or float(np.abs(a).max())
        return float(np.abs(a - b).max()) / size if size else 0.0


def _units(shape: tuple[int, ...]) -> Iterator[Array]:
    """Yield the unit vectors of a shape."""
    count = math.prod(shape)
    for k in range(count):
        e = np.zeros(count)
        e[k] = 1.0
        yield e.reshape(shape)


def data_of(system: System, **changed: Any) -> System:
    """Return the same equation with other data."""
    data: Data = dataclasses.replace(system.data, **changed)
    return dataclasses.replace(system, data=data)
