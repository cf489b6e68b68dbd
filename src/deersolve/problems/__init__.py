"""One file per family of equations: data and shifters only, no numerics."""

from .base import Problem
from .initial_value import InitialValueProblem
from .recurrence import Recurrence

__all__ = ["InitialValueProblem", "Problem", "Recurrence"]
