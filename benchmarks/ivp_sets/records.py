"""One initial value problem of a test set: y' = fun(t, y), y(0) = y0, and y(t_end) as it is known."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

REFERENCES = Path(__file__).with_name("references.json")
ATOL = 1e-3
"""An absolute tolerance is ATOL * size of the problem * the relative one, as SciPy's defaults, 1e-3 and 1e-6, are."""


@dataclass(frozen=True)
class Problem:
    """``fun(t, y)`` takes y of shape (n,) or (n, ...), and t that goes with the trailing axes.

    ``size`` is that of the smallest component whose digits matter; ``published`` is y(t_end) as printed with the set,
    of the first components if it is shorter than y.
    """

    name: str
    fun: Callable[[Any, Any], Any]
    y0: tuple[float, ...]
    t_end: float
    is_stiff: bool
    size: float = 1.0
    published: tuple[float, ...] = ()
    jac: Any = None  # of linear problems
    breaks: tuple[float, ...] = ()  # where fun, or a derivative of it, jumps

    def atol(self, rtol: float) -> float:
        return ATOL * self.size * rtol

    @property
    def known(self) -> dict[str, Any]:
        """The entry of references.json: y at t_end, largest |y_i| on the way, how, and how well two methods agree."""
        return known_references()[self.name]

    def error(self, y: Any, rtol: float) -> float:
        """Return max_i |y_i - reference_i| / (atol + rtol * largest |y_i| on the way): 1 is the tolerance."""
        off = np.abs(np.asarray(y) - np.array(self.known["y"]))
        return float((off / (self.atol(rtol) + rtol * np.array(self.known["largest"]))).max())


def row(parts: Sequence[Any]) -> Any:
    """The components as one array; unlike np.array it passes what stands in for an array, dual numbers for instance."""
    return np.stack([*parts])


@functools.cache
def known_references() -> dict[str, Any]:
    return json.loads(REFERENCES.read_text(encoding="utf-8"))


def linear(name: str, A: Any, y0: Sequence[float], t_end: float, is_stiff: bool, **more: Any) -> Problem:
    """y' = A y + b, ``A`` given, or (A, b)."""
    A, b = A if isinstance(A, tuple) else (A, None)
    A = np.asarray(A, dtype=float)

    def fun(t: Any, y: Any) -> Any:
        out = np.tensordot(A, y, axes=1)
        return out if b is None else out + np.reshape(b, (-1,) + (1,) * (np.ndim(y) - 1))

    return Problem(name, fun, tuple(map(float, y0)), t_end, is_stiff, jac=A, **more)
