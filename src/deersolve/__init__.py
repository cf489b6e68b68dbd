"""Differential and difference equations solved for the whole trajectory at once (DEER, arXiv 2309.12252)."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import inverses, testing
    from .adapters import from_scipy, pointwise, ravel, rowwise, unravel
    from .bar import Progress
    from .checkpoint import Checkpoint
    from .continuation import Branch, follow
    from .domain import Coupled, Dirichlet, Initial, Neumann, NoFlux, Periodic, Robin, Steps, TimeGrid
    from .errors import (
        CheckpointError,
        CheckpointWarning,
        ConvergenceError,
        DeerError,
        DiscretisationWarning,
        FunctionError,
        InputError,
        LibraryError,
        UnknownKeyError,
    )
    from .fluxes import central, limited, upwind
    from .globalise import Damped, Full, LevenbergMarquardt, LineSearch
    from .labelled import from_xarray
    from .lyapunov import lyapunov
    from .methods import Auto, Newton, Sequential
    from .problems import (
        BoundaryValueProblem,
        Elliptic1D,
        Elliptic2D,
        Evolution1D,
        Evolution2D,
        InitialValueProblem,
        Problem,
        Recurrence,
        TwoPointProblem,
    )
    from .pseudotime import PseudoTransient
    from .quasi import Hutchinson, Picard
    from .sensitivities import adjoint, sensitivity
    from .shifters import identity, lag, slope
    from .solution import Solution, Stats, Status
    from .solver import solve
    from .structure import BlockDiagonal, Dense, Diagonal, Zero
    from .typing import array_namespace
    from .watch import SolvedWindow, Window

_places = {
    "adapters": "from_scipy pointwise ravel rowwise unravel",
    "bar": "Progress",
    "checkpoint": "Checkpoint",
    "continuation": "Branch follow",
    "domain": "Coupled Dirichlet Initial Neumann NoFlux Periodic Robin Steps TimeGrid",
    "errors": (
        "CheckpointError CheckpointWarning ConvergenceError DeerError DiscretisationWarning FunctionError InputError "
        "LibraryError UnknownKeyError"
    ),
    "fluxes": "central limited upwind",
    "globalise": "Damped Full LevenbergMarquardt LineSearch",
    "labelled": "from_xarray",
    "lyapunov": "lyapunov",
    "methods": "Auto Newton Sequential",
    "problems": (
        "BoundaryValueProblem Elliptic1D Elliptic2D Evolution1D Evolution2D InitialValueProblem Problem Recurrence "
        "TwoPointProblem"
    ),
    "pseudotime": "PseudoTransient",
    "quasi": "Hutchinson Picard",
    "sensitivities": "adjoint sensitivity",
    "shifters": "identity lag slope",
    "solution": "Solution Stats Status",
    "solver": "solve",
    "structure": "BlockDiagonal Dense Diagonal Zero",
    "typing": "array_namespace",
    "watch": "SolvedWindow Window",
}
_home = {name: room for room, names in _places.items() for name in names.split()}

__all__ = [
    "Auto",
    "BlockDiagonal",
    "BoundaryValueProblem",
    "Branch",
    "Checkpoint",
    "CheckpointError",
    "CheckpointWarning",
    "ConvergenceError",
    "Coupled",
    "Damped",
    "DeerError",
    "Dense",
    "Diagonal",
    "Dirichlet",
    "DiscretisationWarning",
    "Elliptic1D",
    "Elliptic2D",
    "Evolution1D",
    "Evolution2D",
    "Full",
    "FunctionError",
    "Hutchinson",
    "Initial",
    "InitialValueProblem",
    "InputError",
    "LevenbergMarquardt",
    "LibraryError",
    "LineSearch",
    "Neumann",
    "Newton",
    "NoFlux",
    "Periodic",
    "Picard",
    "Problem",
    "Progress",
    "PseudoTransient",
    "Recurrence",
    "Robin",
    "Sequential",
    "Solution",
    "SolvedWindow",
    "Stats",
    "Status",
    "Steps",
    "TimeGrid",
    "TwoPointProblem",
    "UnknownKeyError",
    "Window",
    "Zero",
    "adjoint",
    "array_namespace",
    "central",
    "follow",
    "from_scipy",
    "from_xarray",
    "identity",
    "inverses",
    "lag",
    "limited",
    "lyapunov",
    "pointwise",
    "ravel",
    "rowwise",
    "sensitivity",
    "slope",
    "solve",
    "testing",
    "unravel",
    "upwind",
]


def __getattr__(name: str) -> Any:
    if name in ("inverses", "testing"):
        return importlib.import_module(f".{name}", __name__)
    if name == "__version__":
        from importlib.metadata import version

        return version(__name__)
    if name not in _home:
        raise AttributeError(f"module 'deersolve' has no attribute {name!r}")
    found = getattr(importlib.import_module(f".{_home[name]}", __name__), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
