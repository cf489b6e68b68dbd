"""A problem that is none is refused here, and what a user's functions raise gets a note."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..backends.generic import Backend
from ..errors import InputError, mismatch
from ..grids.base import Data
from ..inverses import rule_of
from . import Problem

CALLED = "as f(y_1, ..., y_P, x, params); ds.from_scipy takes SciPy's fun(t, y)"


def check_problem(problem: Any) -> None:
    """Raise unless it is a problem."""
    if not isinstance(problem, Problem):
        raise mismatch("problem", "a Recurrence, an InitialValueProblem or another Problem", repr(problem))


def prepare(problem: Problem, y_guess: Any, rule: Any = None) -> tuple[Backend, Data]:
    """Check everything that can be checked without calling f, and return backend and data."""
    check_problem(problem)
    return problem.discretise(y_guess, rule_of(problem.inverse if rule is None else rule, problem.family))


def closed(problem: Problem, grid: Any) -> dict[str, Any]:
    """Return f and jac as functions of ``(y_1, ..., y_P, x)``, and conditions that are a function as "ends".

    "columns" are all derivatives of f by a pushforward that it is given first.

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
    others = {"jac": problem.jac, "columns": problem.columns, "ends": problem.functional}
    made = {name: _closed(g, params) for name, g in others.items() if g is not None}
    return {"f": f, **made}


def _closed(function: Callable[..., Any], params: Any) -> Callable[..., Any]:
    """Return a function with its params."""
    return lambda *args: function(*args, params)
