"""Options that are numbers: each is checked where it is given."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable
from typing import Any

from .errors import mismatch

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
