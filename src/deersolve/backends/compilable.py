"""What a backend runs, and compiles where it can: an algorithm with everything chosen but the arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from .namespace import Tree


class Solver(Protocol):
    """What :meth:`Backend.call` runs: an algorithm with everything chosen but the arrays."""

    @property
    def key(self) -> Any:
        """What makes two solvers the same program."""

    @property
    def cacheable(self) -> bool:
        """Whether nothing in it can change between two calls."""

    @property
    def operator(self) -> Any:
        """What may hold numbers that are no argument."""

    def with_operator(self, operator: Any, /) -> Any:
        """Return the solver with another operator."""

    def tried(self, arrays: Tree, /) -> list[Any]:
        """Return what the operator makes of arrays like these."""

    def solve(self, functions: Any, arrays: Tree, /) -> Any:
        """Return a record with fields y and y_corrected (or None); no derivative passes."""

    def attach(self, functions: Any, arrays: Tree, result: Any, /) -> Any:
        """Return the result with its derivative on the graph, for libraries that record one."""

    def tangent(self, by: Any, at: Callable[[Tree], Any], theta: Tree, direction: Tree, result: Any, /) -> Any:
        """Return the derivatives of y and y_corrected along a direction, for libraries that transform functions."""
