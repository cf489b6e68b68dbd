"""Grids and boundary data: where the equation lives and what is given at its edge."""

from __future__ import annotations

from .record import record, static
from .typing import Array


@record
class Steps:
    """The grid of a recurrence: ``n_points`` steps, each coupled to those ``lags`` steps before it."""

    n_points: int = static()
    lags: tuple[int, ...] = static((1,))


@record
class TimeGrid:
    """The grid of an initial value problem.

    Attributes
    ----------
    t : array, shape (*B, T)
        The times, in the unit that ``f = dy/dt`` uses and in the dtype they were given in.
    D : array, shape (*B, T - 1, 1)
        The interval lengths ``t[1:] - t[:-1]``, taken in the dtype of ``t``, then cast to that of y.
    """

    t: Array
    D: Array

    @property
    def n_points(self) -> int:
        """The number of grid points T."""
        return int(self.t.shape[-1])


@record
class Initial:
    """Data before (a recurrence) or at (a differential equation) the first point.

    Attributes
    ----------
    y0 : array, shape (*B, K, n)
        The K values before the first point, oldest first; K = 1 for a differential equation.
    """

    y0: Array
