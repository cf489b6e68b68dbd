"""Complex states: the same equation of pairs of real numbers, whose solution is shown in complex ones.

Inside all is real, so that every f has its exact derivative, with conj, abs and real too.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

from ..backends.generic import Backend
from ..backends.given import COMPLEX, REAL, alike, finite, state
from ..backends.namespace import Array, Tree, array_namespace, dtype_name
from ..backends.pairs import as_complex, complex_of, is_complex, matrices_of_pairs, paired
from ..backends.trees import tree_leaves, tree_map
from ..errors import ConvergenceError, FunctionError, mismatch
from ..linalg.structure import BlockDiagonal
from ..solution.solution import Solution
from .around import Around, Signals
from .base import Problem
from .layouts import LAYOUTS

NOTE = "Components 2k and 2k + 1 of a solve are the real and the imaginary part of component k of y."


@dataclasses.dataclass(frozen=True)
class Pairs:
    """How a problem with a complex state is laid out in real numbers.

    Attributes
    ----------
    problem : Problem
        As the user gave it.
    like : array
        Complex numbers of the library, device and dtype of the state.
    backend : Backend
        Theirs.
    n : int
        The number of complex components.
    """

    problem: Problem
    like: Array
    backend: Backend
    n: int

    def numbers(self, name: str, value: Any) -> Array:
        """Return what a user gave as an array of finite complex numbers."""
        a = alike(value, self.like, self.backend, name)
        xp = array_namespace(a)
        if not xp.isdtype(a.dtype, "numeric"):
            raise mismatch(name, "complex or real numbers", dtype_name(a))
        finite(a, name, self.backend)
        return xp.astype(a, self.like.dtype)

    def added(self, value: Any) -> Any:
        """Return what an operator adds, real or complex and alike in all components where it has one, in pairs."""
        if value is None:
            return None
        a, xp = self.numbers("given", value), array_namespace(self.like)
        a = a if a.ndim else xp.reshape(a, (1,))
        return paired(a + xp.zeros((self.n,), dtype=a.dtype)) if a.shape[-1] == 1 else paired(a)

    def apart(self, name: str, value: Any) -> Any:
        """Return a field of the problem, or a change of it, in real numbers."""
        return None if value is None else LAYOUTS[name].apart(self, name, value, self.problem.given(name))

    def together(self, name: str, gradient: Any) -> Any:
        """Return the gradient by a field, of the kind of the field, of that by its real numbers."""
        if gradient is None:
            return None
        return LAYOUTS[name].together(self, gradient, self.problem.given(name))

    def changes(self, directions: dict[str, Any]) -> dict[str, Any]:
        """Return a direction of the fields in real numbers; raise unless each has the shapes of its field."""
        for name, change in directions.items():
            expected, received = _shapes(self.problem.given(name)), _shapes(change)
            if expected != received:
                raise mismatch(f"directions[{name!r}]", f"the shapes of {name}, {expected}", str(received))
        return {name: self.apart(name, change) for name, change in directions.items()}

    def _flags(self) -> tuple[Any, Any]:
        """Return which leaves of x and of params are complex."""
        x, params = (LAYOUTS[field].flags(self.problem.given(field)) for field in ("x", "params"))
        return x, params

    def real(self) -> Problem:
        """Return the problem in real numbers."""
        return self.problem.in_pairs(self)

    def guess(self, y_guess: Any) -> Any:
        """Return the guess in real numbers."""
        return y_guess if y_guess is None else LAYOUTS["y0"].apart(self, "y_guess", y_guess, None)

    def function(self, f: Callable[..., Any], name: str = "f") -> OfPairs:
        """Return a function of pairs around one of complex numbers."""
        return OfPairs(f, *self._flags(), name)

    def jacobians(self, jac: Callable[..., Any]) -> OfPairs:
        """Return the Jacobians by pairs around those of a holomorphic f."""
        return JacobiansOfPairs(jac, *self._flags())

    def conditions(self, ends: Callable[..., Any]) -> OfPairs:
        """Return conditions of pairs around those of complex numbers."""
        return EndsOfPairs(ends, *self._flags())

    def shown(self, sol: Solution) -> Solution:
        """Return the solution in complex numbers."""
        with self.backend.quiet():
            return _with(sol, complex_of)

    def hidden(self, sol: Solution) -> Solution:
        """Return a solution that is :meth:`shown` in real numbers."""
        return _with(sol, paired)

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """Show what a failure carries in complex numbers."""
        try:
            yield
        except ConvergenceError as error:
            error.solution = self.shown(error.solution)
            error.add_note(NOTE)
            raise

    def solved(self, solve: Callable[..., Solution], y_guess: Any, on_window: Any, options: dict[str, Any]) -> Solution:
        """Return what a solver makes of the problem in real numbers, in complex ones."""
        with self.told():
            sol = solve(self.real(), self.guess(y_guess), on_window=self.watched(on_window), **options)
        return self.shown(sol)

    def watched(self, on_window: Any) -> Any:
        """Return callbacks that are told of windows in complex numbers; a store keeps the real ones."""
        if isinstance(on_window, list | tuple):
            return [self.watched(callback) for callback in on_window]
        is_other = isinstance(on_window, type) or not callable(on_window) or hasattr(on_window, "stored")
        return on_window if is_other or on_window is None else Shown(on_window)


def pairs_of(problem: Problem, y_guess: Any) -> Pairs | None:
    """Return how a problem is laid out in real numbers, None where its state is real.

    The start decides; where there is none the guess and what is given at the ends do.
    """
    start, name = problem.start, "u0" if "u0" in problem.fields else "y0"
    given = [y_guess, *problem.held()] if start is None else [start]
    if not any(map(is_complex, given)):
        return None
    if start is None:
        start, name = y_guess, "y_guess"
    if start is not None:
        like, backend = state(start, name, (*REAL, *COMPLEX))
        return Pairs(problem, as_complex(like), backend, int(like.shape[-1]))
    name, points = next(iter(problem.points().items()))
    like, backend = state(points, name)
    return Pairs(problem, as_complex(like), backend, problem.components())


@dataclasses.dataclass(frozen=True)
class OfPairs(Around):
    """A function of pairs around one of complex numbers, ``function(y_1, ..., y_P, x, params)``.

    ``x`` and ``params`` tell which of their leaves are pairs.
    """

    x: Any = False
    params: Any = False
    name: str = "f"

    def __call__(self, *given: Any) -> Any:
        """Return the value in pairs."""
        *ys, x, params = given
        signals, x, params = self.inside(tuple(ys), x, params)
        return paired(self._checked(self.function(*signals, x, params), signals[0]))

    def inside(self, ys: Signals, x: Tree, params: Any) -> tuple[Signals, Tree, Any]:
        """Return signals, x and params with the numbers that are complex."""
        held = LAYOUTS["x"].joined(x, self.x), LAYOUTS["params"].joined(params, self.params)
        return (tuple(map(complex_of, ys)), *held)

    @property
    def way(self) -> str:
        """How the function is called."""
        return ", ".join(filter(None, (super().way, "in pairs of real numbers")))

    @property
    def reach(self) -> Any:
        """How many states on each side of a face a flux is given."""
        return getattr(self.function, "reach", 1)

    @property
    def mirrors(self) -> bool:
        """Whether the state outside is that mirrored at the wall."""
        return getattr(self.function, "mirrors", False)

    def _checked(self, made: Any, y: Array) -> Array:
        """Return numbers of the shape and precision of y, complex or real; raise of others."""
        shape = getattr(made, "shape", None)
        if shape is None or not hasattr(made, "dtype"):
            advice = "For a list of components use xp.stack([...], axis=-1)."
            raise FunctionError(f"{self.name}: expected an array; received {type(made).__name__}. {advice}")
        if tuple(shape) != tuple(y.shape):
            raise FunctionError(f"{self.name}: expected the shape of y, {tuple(y.shape)}; received {tuple(shape)}.")
        xp = array_namespace(y)
        if made.dtype not in (y.dtype, xp.real(y).dtype):
            raise FunctionError(f"{self.name}: expected dtype {y.dtype}, that of y; received {made.dtype}.")
        return made


@dataclasses.dataclass(frozen=True)
class EndsOfPairs(OfPairs):
    """Conditions of pairs, ``ends(u_a, u_b, params)``, around those of complex numbers."""

    name: str = "ends"

    def __call__(self, *given: Any) -> Any:
        """Return the conditions in pairs."""
        *ends, params = given
        (a, b), _, params = self.inside(tuple(ends), None, params)
        return paired(self._checked(self.function(a, b, params), a))

    def inside(self, ys: Signals, x: Tree, params: Any) -> tuple[Signals, Tree, Any]:
        """Return the ends and params with the numbers that are complex."""
        return tuple(map(complex_of, ys)), x, LAYOUTS["params"].joined(params, self.params)


@dataclasses.dataclass(frozen=True)
class JacobiansOfPairs(OfPairs):
    """The Jacobians by pairs around the complex ones of a holomorphic f."""

    name: str = "jac"

    def __call__(self, *given: Any) -> Any:
        """Return a matrix of pairs for each signal."""
        *ys, x, params = given
        signals, x, params = self.inside(tuple(ys), x, params)
        made = self.function(*signals, x, params)
        return tuple(self._matrix(J, signals[0]) for J in (made if isinstance(made, tuple | list) else (made,)))

    def _matrix(self, J: Any, y: Array) -> Any:
        diagonal = tuple(y.shape)
        full, shape = (*diagonal, diagonal[-1]), tuple(getattr(J, "shape", ()))
        if shape not in (full, diagonal):
            expected = f"arrays d f_i / d y_j of shape {full}, or {diagonal} for a diagonal Jacobian"
            raise FunctionError(f"jac: expected {expected}; received {shape or type(J).__name__}.")
        if shape == diagonal:
            return BlockDiagonal(matrices_of_pairs(as_complex(J)[..., None, None]))
        return matrices_of_pairs(as_complex(J))


@dataclasses.dataclass(frozen=True)
class Shown:
    """A callback that is told of windows in complex numbers."""

    callback: Any

    def __call__(self, window: Any) -> None:
        """Tell it of a window."""
        self.callback(dataclasses.replace(window, y=complex_of(window.y)))

    def begin(self, total: int) -> None:
        """Tell it how many steps there are, where it wants to know."""
        getattr(self.callback, "begin", lambda total: None)(total)

    def close(self) -> None:
        """Tell it that there are no more, where it wants to know."""
        getattr(self.callback, "close", lambda: None)()


def _shapes(tree: Tree) -> list[tuple[int, ...]]:
    return [tuple(getattr(a, "shape", ())) for a in tree_leaves(tree)]


def _with(sol: Solution, change: Callable[[Array], Array]) -> Solution:
    new = {name: tree_map(change, getattr(sol, name)) for name in ("y", "y_corrected", "stages")}
    dense = None if sol.dense is None else sol.dense.map(change)
    return dataclasses.replace(sol, **new, dense=dense)
