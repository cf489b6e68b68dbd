"""From what a user gave to arrays that are ready: libraries, dtypes, shapes and grids are checked here."""

from __future__ import annotations

from typing import Any

from .arrays import batch_of, beside, expanded, plain, ranks, spanning, state
from .backends.generic import Backend
from .domain import Initial, Steps, TimeGrid
from .errors import InputError, LibraryError, mismatch
from .inverses import rule_of
from .planar import on_a_plane
from .planetime import in_a_volume
from .problems import (
    BoundaryValueProblem,
    Elliptic2D,
    Evolution1D,
    Evolution2D,
    InitialValueProblem,
    Problem,
    Recurrence,
    TwoPointProblem,
)
from .record import tree_leaves
from .space import on_a_line
from .spacetime import on_a_sheet
from .system import Data
from .twopoint import between_ends
from .typing import Array, array_namespace, dtype_name

CALLED = "as f(y_1, ..., y_P, x, params); ds.from_scipy takes SciPy's fun(t, y)"


def check_problem(problem: Any) -> None:
    """Raise unless it is a problem."""
    if not isinstance(problem, Problem):
        raise mismatch("problem", "a Recurrence, an InitialValueProblem or another Problem", repr(problem))


def prepare(problem: Problem, y_guess: Any, rule: Any = None) -> tuple[Backend, Data]:
    """Check everything that can be checked without calling f, and return backend and data.

    Raises
    ------
    LibraryError
        If libraries or devices are mixed, or the dtype is not float32 or float64.
    InputError
        If shapes do not fit, or a grid is empty, not finite or not monotone.
    """
    check_problem(problem)
    if isinstance(problem, BoundaryValueProblem):
        return on_a_line(problem, y_guess)
    if isinstance(problem, TwoPointProblem):
        return between_ends(problem, y_guess)
    if isinstance(problem, Elliptic2D):
        return on_a_plane(problem, y_guess)
    if isinstance(problem, Evolution1D | Evolution2D):
        stages = rule_of(problem.inverse if rule is None else rule, problem.family)
        if isinstance(problem, Evolution1D):
            return on_a_sheet(problem, y_guess, stages)
        return in_a_volume(problem, y_guess, stages)
    name, given = ("y0", problem.boundary.y0) if isinstance(problem.boundary, Initial) else ("y_guess", y_guess)
    if given is None and name == "y_guess":
        raise mismatch("solve", "y_guess, an array (*B, *R, n), for a Problem without ds.Initial", "None")
    like, backend = state(given, name)
    y_guess = None if y_guess is None else beside(y_guess, like, backend, "y_guess")
    if isinstance(problem, InitialValueProblem):
        return backend, _initial_value(problem, like, backend, y_guess)
    if isinstance(problem, Recurrence):
        return backend, _recurrence(problem, like, backend, y_guess)
    return backend, _general(problem, like, backend, y_guess)


def _guess(y_guess: Array | None, first: Array, shape: tuple[int, ...]) -> Array:
    """Return the user's guess, or the initial value everywhere, with all axes of y."""
    xp = array_namespace(first)
    if y_guess is None:
        return xp.broadcast_to(first, shape)
    try:
        return xp.broadcast_to(y_guess, shape)
    except Exception as error:
        raise mismatch("y_guess", f"an array that broadcasts to {shape}", tuple(y_guess.shape)) from error


def _recurrence(problem: Recurrence, y0: Array, backend: Backend, y_guess: Any) -> Data:
    K, xp = max(problem.lags), array_namespace(y0)
    if problem.lags == (1,):
        y0 = y0[..., None, :]
    elif y0.ndim < 2 or y0.shape[-2] != K:
        raise mismatch("y0", f"shape (*B, K, n) with K = max(lags) = {K}, oldest first", tuple(y0.shape))
    n = y0.shape[-1]
    rank = max(y0.ndim, ranks(problem.x), getattr(y_guess, "ndim", 0))
    x = expanded(problem.x, y0, backend, rank)
    T = problem.grid.n_points if problem.grid is not None else None
    if T is None:
        lengths = [leaf.shape[-2] for leaf in tree_leaves(x)]
        lengths += [y_guess.shape[-2]] if getattr(y_guess, "ndim", 0) >= 2 else []
        if not lengths:
            raise mismatch("Recurrence", "n_points=, or an x or y_guess that spans the grid", "none of them")
        T = 0 if 0 in lengths else max(lengths)
    if T < 1:
        raise mismatch("Recurrence", "a grid of at least one point", "an empty one")
    spanning(x, T)
    parts = [("y0", tuple(y0.shape[:-2]))] + [("x", tuple(a.shape[:-2])) for a in tree_leaves(x)]
    parts += [("y_guess", tuple(y_guess.shape[:-2]))] if getattr(y_guess, "ndim", 0) > 2 else []
    batch = batch_of(parts)
    y0 = xp.reshape(y0, (*(1 for _ in range(len(batch) + 2 - y0.ndim)), *y0.shape))
    guess = _guess(y_guess, y0[..., -1:, :], (*batch, T, n))
    return Data(x, Steps(T, problem.lags), Initial(y0), guess)


def _initial_value(problem: InitialValueProblem, y0: Array, backend: Backend, y_guess: Any) -> Data:
    grid = _time_grid(problem.t, y0, backend)
    xp, n, T = array_namespace(y0), y0.shape[-1], grid.n_points
    rank = max(y0.ndim + 1, grid.t.ndim + 1, ranks(problem.x), getattr(y_guess, "ndim", 0))
    if problem.x is None:
        x, is_seen = xp.astype(grid.t, y0.dtype), backend.is_concrete(grid.D)
        x = (x if is_seen and not bool(xp.any(grid.D == 0)) else grid.sided(x))[..., None]
        x = xp.reshape(x, (*(1 for _ in range(rank - x.ndim)), *x.shape))
    else:
        x = expanded(problem.x, y0, backend, rank)
    spanning(x, T)
    parts = [("y0", tuple(y0.shape[:-1])), ("t", tuple(grid.t.shape[:-1]))]
    parts += [("x", tuple(a.shape[:-2])) for a in tree_leaves(x)]
    parts += [("y_guess", tuple(y_guess.shape[:-2]))] if getattr(y_guess, "ndim", 0) > 2 else []
    batch = batch_of(parts)
    first = y0[..., None, :]
    first = xp.reshape(first, (*(1 for _ in range(len(batch) + 2 - first.ndim)), *first.shape))
    t = xp.reshape(grid.t, (*(1 for _ in range(len(batch) + 1 - grid.t.ndim)), *grid.t.shape))
    D = xp.reshape(grid.D, (*(1 for _ in range(len(batch) + 2 - grid.D.ndim)), *grid.D.shape))
    guess = _guess(y_guess, first, (*batch, T, n))
    start = xp.broadcast_to(first, (*batch, 1, n))
    return Data(x, TimeGrid(t, D), Initial(first), xp.concat([start, guess[..., 1:, :]], axis=-2))


def _time_grid(t: Any, y0: Array, backend: Backend) -> TimeGrid:
    """Return times and interval lengths; differences are taken in the dtype of t."""
    t, own = plain(t if hasattr(t, "shape") else beside(t, y0, backend, "t"), "t")
    if t.ndim < 1 or t.shape[-1] < 2 or 0 in t.shape:
        raise mismatch("t", "shape (T,) or (*B, T) with T >= 2", tuple(t.shape), "A single point has no interval.")
    kind = dtype_name(t)
    if kind not in ("float32", "float64"):
        raise LibraryError(f"t: expected float32 or float64; received {kind}. Write 1.0 instead of 1, or convert it.")
    if own is not backend and not backend.accepts(t):
        raise LibraryError(f"t: expected an array of {backend.name}, like y0; received one of {own.name}.")
    D = t[..., 1:] - t[..., :-1]
    if own.is_concrete(t):
        times = own.to_numpy(t)
        at_once = array_namespace(times)
        if not bool(at_once.all(at_once.isfinite(times))):
            raise mismatch("t", "finite times", "NaN or infinity")
        if not _is_ordered(at_once, times) and not _is_ordered(at_once, -times):
            what = "strictly increasing or strictly decreasing times; some may stand there twice, where f jumps"
            raise mismatch("t", what, "a grid that is neither")
    like = array_namespace(y0)
    if own is not backend:
        return TimeGrid(backend.convert(t, y0, None), backend.convert(D[..., None], y0, y0.dtype))
    beside(t, y0, backend, "t", cast=False)
    return TimeGrid(t, like.astype(D, y0.dtype)[..., None])


def _is_ordered(xp: Any, times: Array) -> bool:
    """Tell whether times rise, and none stands there more than twice, nor alone."""
    rises = times[..., 1:] > times[..., :-1]
    if bool(xp.all(rises)):
        return True
    is_pair = ~rises & (times[..., 1:] == times[..., :-1])
    apart = ~(is_pair[..., 1:] & is_pair[..., :-1])
    return bool(xp.all(rises | is_pair)) and bool(xp.all(apart)) and bool(xp.all(xp.any(rises, axis=-1)))


def _general(problem: Problem, like: Array, backend: Backend, guess: Array | None) -> Data:
    if guess is None:
        raise mismatch("solve", "y_guess, an array (*B, *R, n): a Problem has no default guess", "None")
    if guess.ndim < 2:
        raise mismatch("y_guess", "shape (*B, *R, n) with at least one grid axis", tuple(guess.shape))
    x = expanded(problem.x, guess, backend, max(guess.ndim, ranks(problem.x)))
    xp = array_namespace(guess)
    for leaf in tree_leaves(x):
        try:
            xp.broadcast_to(leaf[..., :1], (*guess.shape[:-1], 1))
        except Exception as error:
            raise mismatch("x", f"leaves that broadcast over {tuple(guess.shape[:-1])}", tuple(leaf.shape)) from error
    boundary, points = problem.boundary, problem.grid.n_points if isinstance(problem.grid, Steps | TimeGrid) else None
    if points not in (None, guess.shape[-2]):
        raise mismatch("y_guess", f"shape (*B, T, n) with the T = {points} points of the grid", tuple(guess.shape))
    if isinstance(boundary, Initial):
        _check_start(problem.grid, like, guess)
        boundary = Initial(xp.reshape(like, (*(1 for _ in range(guess.ndim - like.ndim)), *like.shape)))
    return Data(x, problem.grid, boundary, guess)


def _check_start(grid: Any, y0: Array, guess: Array) -> None:
    """Raise unless a start of a user's own problem has the components of y, and as many values as the lags reach."""
    K, (n, rank) = max(getattr(grid, "lags", (1,))), (guess.shape[-1], guess.ndim)
    if y0.ndim > rank or y0.shape[-1] != n or (K > 1 and (y0.ndim < 2 or y0.shape[-2] < K)):
        raise mismatch("y0", f"shape (*B, K, n) with K = {K} and n = {n}", tuple(y0.shape))


def closed(problem: Problem, grid: Any = None) -> dict[str, Any]:
    """Return f and jac as functions of ``(y_1, ..., y_P, x)``, and conditions that are a function as "ends".

    params goes in as it is. All of it is what the problem holds now: derivatives may be asked for after it was given
    other fields.
    """
    function, params = problem.f, problem.params

    def f(*args: Any) -> Any:
        try:
            return function(*args, params)
        except RuntimeError as error:
            if "dtype" in str(error):
                error.add_note(
                    f"f raised this error. It computes in {args[0].dtype}, the dtype of y0: cast y0 or the weights. "
                    "Autocast is switched off inside solve(); what it made before may be of half precision."
                )
            raise
        except TypeError as error:
            if "Tracer" in type(error).__name__ or isinstance(error, InputError):
                raise
            adapter = getattr(problem.f, "adapter", None)
            called = f"inside {adapter}, as {getattr(problem.f, 'contract', '')}" if adapter else CALLED
            hint = (
                f"f raised this TypeError. It is called {called}. If f closes over an array, is it of the library of "
                "y0? On NumPy and CuPy f is also called with dual numbers (see the page on errors in the docs); "
                "give jac= or write f with ds.array_namespace(y)."
            )
            error.add_note(hint)
            raise
        except (ValueError, LookupError, AttributeError, ArithmeticError) as error:
            if not isinstance(error, InputError):
                error.add_note(
                    "f raised this error. It is called as f(y_1, ..., y_P, x, params), on all points at once."
                )
            raise

    f.__wrapped__ = problem.f  # type: ignore[attr-defined]
    functions: dict[str, Any] = {"f": f if not hasattr(grid, "pointwise") else grid.pointwise(f)}
    if problem.jac is not None:
        jac = problem.jac
        functions["jac"] = lambda *args: jac(*args, params)
    conditions = getattr(problem, "functional", None)
    if conditions is not None:
        functions["ends"] = lambda *ends: conditions(*ends, params)
    return functions
