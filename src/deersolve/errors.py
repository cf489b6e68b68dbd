"""The errors a user can meet, and the checks of options that raise them.

Wrong input raises at once; a numerical failure carries its partial result.
"""

from __future__ import annotations

import math
import numbers
import sys
from collections.abc import Callable
from typing import Any

SHOWN = 200  # characters of what was received


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


class CheckpointError(DeerError, OSError):
    """Windows that are solved could not be written to the folder of a checkpoint."""


class DiscretisationWarning(UserWarning):
    """The iteration converged, but the grid is too coarse for the differential equation."""


class CheckpointWarning(UserWarning):
    """Points of a checkpoint do not hold or cannot be read, and are solved again; or the last could not be kept."""


def mismatch(what: str, expected: object, received: object, advice: str = "") -> InputError:
    """Compose the error message that every check of the package uses."""
    shown = " ".join(str(received).split())
    shown = shown if len(shown) <= SHOWN else f"{shown[:SHOWN]} ..."
    return InputError(f"{what}: expected {expected}; received {shown}. {advice}".rstrip())


def level_of_caller() -> int:
    """Return the ``stacklevel`` of a warning that points to the user's line, past wrappers of PyTorch's compiler."""
    frame, level = sys._getframe(1), 1
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] in ("deersolve", "torch"):
        frame, level = frame.f_back, level + 1
    return level


MOST = 2**31 - 1


def is_real(value: Any) -> bool:
    """Return whether a value is a real number; a bool is none, and NaN is not one either."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return False
    try:
        return not math.isnan(float(value))
    except OverflowError:  # an integer of hundreds of digits
        return False


def is_whole(value: Any) -> bool:
    """Return whether a value is an integer; a bool is none."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def check_real(what: str, expected: str, value: Any, holds: Callable[[Any], bool]) -> None:
    """Raise unless the option is a real number of which that holds."""
    if not is_real(value) or not holds(value):
        raise mismatch(what, expected, repr(value))


def check_whole(what: str, name: str, value: Any, least: int = 1) -> None:
    """Raise unless the option is an integer from ``least`` on that a machine counts to."""
    if not is_whole(value) or not least <= value <= MOST:
        raise mismatch(what, f"{name} as an integer >= {least}", repr(value))


def check_flag(what: str, value: Any) -> None:
    """Raise unless the option is True or False."""
    if not isinstance(value, bool):
        raise mismatch(what, "True or False", repr(value))
