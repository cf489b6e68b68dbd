"""A problem and its answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from ...backends.namespace import Array
from ...problems import Problem

AsArray = Callable[[Any], Array]


@dataclasses.dataclass(frozen=True)
class Case:
    """A problem and its answer.

    Attributes
    ----------
    problem : Problem
        Its arrays are of the library of ``asarray``.
    exact : numpy.ndarray, shape (T, n) or (n,), optional
        The solution at all points, or at the last one only (``is_final``).
    accuracy : float
        How well ``exact`` is known, relative to the largest entry.
    is_final : bool
        Whether only the last point is known.
    guess : array, optional
        Where Newton's method starts, for a problem that does not say it.
    """

    problem: Problem
    exact: Any = None
    accuracy: float = 1e-14
    is_final: bool = False
    guess: Any = None
