"""The errors a user can meet. Wrong input raises at once; a numerical failure carries its partial result."""

from __future__ import annotations

from typing import Any


class DeerError(Exception):
    """Base class of every error of deersolve."""


class InputError(DeerError, ValueError):
    """The call cannot be right: the message says what was expected, what came, and what to do."""


class LibraryError(InputError, TypeError):
    """Arrays of two libraries or devices, or of a dtype that cannot be solved in."""


class FunctionError(InputError):
    """The user's ``f`` does not do what the contract of ``f`` asks; found by the one-point probe."""


class UnknownKeyError(InputError, LookupError):
    """No rule, method, backend or scan of that name; close matches are named."""


class ConvergenceError(DeerError, RuntimeError):
    """At least one batch element did not converge.

    Attributes
    ----------
    solution : Solution
        Everything that was computed: the other elements, the partial result, the reason.
    """

    def __init__(self, message: str, solution: Any = None) -> None:
        super().__init__(message)
        self.solution = solution


class DiscretisationWarning(UserWarning):
    """The iteration converged, but the grid is too coarse for the differential equation."""


def mismatch(what: str, expected: object, received: object, advice: str = "") -> InputError:
    """Compose the error message that every check of the package uses."""
    text = f"{what}: expected {expected}; received {received}."
    return InputError(f"{text} {advice}".rstrip())
