"""One file per family of equations: what a user gives, and the grid that is made of it."""

from .base import Problem
from .elliptic import BoundaryValueProblem, Elliptic, Elliptic1D, Elliptic2D
from .evolution import Evolution, Evolution1D, Evolution2D
from .initial_value import InitialValueProblem
from .recurrence import Recurrence
from .two_point import TwoPointProblem

__all__ = [
    "BoundaryValueProblem",
    "Elliptic",
    "Elliptic1D",
    "Elliptic2D",
    "Evolution",
    "Evolution1D",
    "Evolution2D",
    "InitialValueProblem",
    "Problem",
    "Recurrence",
    "TwoPointProblem",
]
