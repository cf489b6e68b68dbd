"""The general problem of the paper, L[y] = f(y_1, ..., y_P, x, params)."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from ..backends.generic import Backend
from ..backends.given import Given, at_points
from ..backends.namespace import Array, Tree, array_namespace, padded
from ..backends.trees import tree_map
from ..errors import mismatch
from ..grids.base import Data, Grid, as_grid
from ..grids.shifters import as_shifters
from ..grids.times import Initial
from ..inverses import rule_of

if TYPE_CHECKING:
    from .complex_state import Pairs


class Problem:
    """L[y](r) = f(y_1(r), ..., y_P(r), x(r), params), with your own f, shifters and inverse operator.

    Parameters
    ----------
    f : callable
        ``f(y_1, ..., y_P, x, params) -> array``, every array of shape (*B, *R, n): it acts on each grid
        point by itself, all of them in one call. ``x`` and ``params`` are passed even when None.
    shift : callable or tuple of callables
        The shifters S_p: ``ds.identity``, ``ds.lag(k)`` or your own ``(y) -> y_p`` or
        ``(y, *, grid, boundary) -> y_p``; one may return a tuple of several signals.
    inverse : str, rule or callable
        A registered rule ("ddt.trapezoid"), or the paper's ``(Gs, rhs) -> y``,
        ``y = L_G^{-1}[rhs]`` with boundary data included.
    x : tree of arrays, optional
        All that varies over grid or batch; each leaf (*B or 1, *R or 1, k).
    params : any, optional
        Shared by all points; never inspected.
    grid, boundary : optional
        Passed on to shifters and rule: ``ds.Steps``, ``ds.TimeGrid``, ``ds.Initial`` or your own records. An attribute
        ``ndim`` of your own grid, or ``axes`` of the rule, says how many axes of y before the last are of the grid; by
        default one. Those before them count batch elements.
    jac : callable, optional
        ``jac(y_1, ..., y_P, x, params)`` -> d f / d y_p, (*B, *R, n, n) or (*B, *R, n) if all of it is
        diagonal, or a :class:`deersolve.Structure`; a tuple of P for several arguments.

    Raises
    ------
    InputError
        If f, jac, shift or inverse is of the wrong kind.

    References
    ----------
    Lim, Zhu, Selfridge, Kasim, arXiv 2309.12252, algorithm 1.

    Examples
    --------
    Newton's method on y = cos(y), everywhere at once (L is the identity):

    >>> import numpy as np
    >>> import deersolve as ds
    >>> def inverse(Gs, rhs):
    ...     return rhs / (1 + Gs[0].diagonal())
    >>> p = ds.Problem(lambda y, x, params: np.cos(y), shift=ds.identity, inverse=inverse)
    >>> float(ds.solve(p, np.zeros((3, 1))).y[0, 0])
    0.7390851332151607
    """

    family: str = ""
    takes_tolerance: ClassVar[bool] = False
    """Whether it can be solved to a tolerance, on a grid that the solver finds."""
    halts: Any = None
    """Terminal events, with which an element of a march ends."""
    t: Any = None
    breaks: Any = ()
    """Times where y is wanted, and those where its inputs jump or have a kink."""
    cells: bool = False
    """Whether u is in cells between the points of space, not on them."""
    shows_all: ClassVar[bool] = True
    """Whether y holds all that is solved for; not the stages between two levels."""
    axes: tuple[str, ...] = ("t",)
    """The names of the axes of the grid."""
    fields: dict[str, tuple[str, ...]] = {"y0": ("lag", "k"), "x": ("t", "k"), "boundary": ("t", "k")}  # noqa: RUF012
    """The data beside params that a solution can be differentiated by, and the names of their last axes."""

    coefficients: dict[str, Any] = {}  # noqa: RUF012
    """Data of the equation by the names of their fields."""

    def __init__(  # noqa: PLR0913 - the paper's algorithm has this many inputs
        self,
        f: Callable[..., Array],
        *,
        shift: Any,
        inverse: Any,
        x: Tree = None,
        params: Any = None,
        grid: Any = None,
        boundary: Any = None,
        jac: Callable[..., Any] | None = None,
    ) -> None:
        if not callable(f):
            raise mismatch(type(self).__name__, "a callable f(y_1, ..., y_P, x, params)", repr(f))
        if jac is not None and not callable(jac):
            raise mismatch(type(self).__name__, "jac as a callable like f", repr(jac))
        if not (isinstance(inverse, str) or callable(inverse) or hasattr(inverse, "solve")):
            raise mismatch("inverse", "a name, a rule or a callable (Gs, rhs) -> y", repr(inverse))
        self.f, self.jac, self.x, self.params = f, jac, x, params
        self.shift = as_shifters(shift)
        self.inverse, self.grid, self.boundary = inverse, grid, boundary

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute, but not by the name of data that are held elsewhere: solve would not see it."""
        held = vars(self)
        is_start = name in ("y0", "u0") and held.get("boundary") is not None
        elsewhere = (held.get(part, ()) for part in ("coefficients", "edges", "sides"))
        if name not in held and (is_start or any(name in part for part in elsewhere)):
            raise mismatch(name, "a new problem with it; that of a problem is given when it is made", "an assignment")
        super().__setattr__(name, value)

    @property
    def domain(self) -> dict[str, Any]:
        """The records of a user's own that shifters and rule are told, by the names of their arguments."""
        given = {"grid": self.grid, "boundary": self.boundary}
        return {name: own for name, own in given.items() if not isinstance(own, Grid | Initial | None)}

    @property
    def functional(self) -> Callable[..., Array] | None:
        """Conditions on both ends that are a function, or None."""
        return None

    @property
    def columns(self) -> Callable[..., Array] | None:
        """The derivatives of f by every component of every signal, where f knows a short way to them, or None."""
        return None

    @property
    def start(self) -> Any:
        """The values that a march starts from, None where the problem has none."""
        return self.boundary.y0 if isinstance(self.boundary, Initial) else None

    def given(self, name: str) -> Any:
        """Return a field as it was given, None where there is none."""
        if name in ("y0", "u0") and self.start is not None:
            return self.start
        if name in self.coefficients:
            return self.coefficients[name]
        return None if name in ("y0", "u0", "boundary", "grid") else getattr(self, name)

    def held(self) -> list[Any]:
        """Return what is given of y at the ends."""
        return []

    def components(self) -> int:
        """Return how many components there are by what is given at the ends."""
        return 1

    def in_pairs(self, pairs: Pairs) -> Problem:
        """Return the problem of pairs of real numbers, as they are laid out."""
        new = copy.copy(self)
        new.f, new.x, new.params = pairs.function(self.f), pairs.apart("x", self.x), pairs.apart("params", self.params)
        new.jac = None if self.jac is None else pairs.jacobians(self.jac)
        if self.start is not None:
            new.boundary = Initial(pairs.apart("y0", self.start))
        if not self.family:
            rule = rule_of(self.inverse)
            new.inverse, boundary = rule.in_pairs(pairs.added, None if self.start is not None else self.boundary)
            new.boundary = new.boundary if self.start is not None else boundary
        return new

    def points(self) -> dict[str, Any]:
        """Return the points of the grid by the names of its axes, {} where they have none."""
        return {}

    def discretise(self, y_guess: Any, rule: Any) -> tuple[Backend, Data]:
        """Return the backend, and grid, data and guess as the solver takes them, laid out for the stages of a rule.

        Raises
        ------
        LibraryError
            If libraries or devices are mixed, or the dtype is not float32 or float64.
        InputError
            If shapes do not fit, or a grid is empty, not finite or not monotone.
        """
        held = {"y0": self.start} if isinstance(self.boundary, Initial) else {}
        if not held and y_guess is None:
            raise mismatch("solve", "y_guess, an array (*B, *R, n), for a Problem without ds.Initial", "None")
        given, grid = Given(2, **held, y_guess=y_guess), as_grid(self.grid, rule.axes)
        guess, like = given.guess, given.first
        if guess is None:
            raise mismatch("solve", "y_guess, an array (*B, *R, n): a Problem has no default guess", "None")
        if guess.ndim < 2:
            raise mismatch("y_guess", "shape (*B, *R, n) with at least one grid axis", tuple(guess.shape))
        if held and grid.ndim == 1 and like.ndim > guess.ndim == 2:  # one guess for a batch of starts
            guess = array_namespace(guess).broadcast_to(guess, (*like.shape[:-2], *guess.shape)) + 0
        boundary = rule.prepared(self.boundary, guess)
        x = tree_map(lambda value: over_points(at_points(given.leaf("x", value)), guess), self.x)
        if grid.marches and guess.shape[-2] != grid.n_points:
            expected = f"shape (*B, T, n) with the T = {grid.n_points} points of the grid"
            raise mismatch("y_guess", expected, tuple(guess.shape))
        if held:
            _check_start(grid, like, guess)
            boundary = Initial(padded(like, guess.ndim))
        return given.backend, Data(x, grid, boundary, guess)

    def __repr__(self) -> str:
        name = getattr(self.f, "__name__", type(self.f).__name__)
        return f"{type(self).__name__}(f={name}, inverse={self.inverse!r})"


def over_points(leaf: Array, y: Array) -> Array:
    """Return a leaf of x with as many axes as y; raise unless it broadcasts over its points."""
    leaf = padded(leaf, y.ndim)
    try:
        array_namespace(leaf).broadcast_to(leaf[..., :1], (*y.shape[:-1], 1))
    except Exception as error:
        expected = f"leaves that broadcast over {tuple(y.shape[:-1])}"
        raise mismatch("x", expected, tuple(leaf.shape)) from error
    return leaf


def _check_start(grid: Any, y0: Array, guess: Array) -> None:
    """Raise unless a start of a user's own problem has the components of y, and as many values as the lags reach."""
    K, (n, rank) = max(1, *grid.lags), (guess.shape[-1], guess.ndim)
    if y0.ndim > rank or y0.shape[-1] != n or (K > 1 and (y0.ndim < 2 or y0.shape[-2] < K)):
        raise mismatch("y0", f"shape (*B, K, n) with K = {K} and n = {n}", tuple(y0.shape))
