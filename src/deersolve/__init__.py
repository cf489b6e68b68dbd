"""Differential and difference equations solved for the whole trajectory at once (DEER, arXiv 2309.12252)."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import inverses, testing
    from .analysis.continuation import Branch, follow
    from .analysis.lyapunov import lyapunov
    from .analysis.sensitivity import adjoint, sensitivity
    from .backends.namespace import array_namespace
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
    from .grids.conditions import Coupled, Dirichlet, Neumann, NoFlux, Periodic, Robin
    from .grids.fluxes import central, limited, upwind
    from .grids.shifters import identity, lag, slope
    from .grids.times import Initial, Steps, TimeGrid
    from .linalg.structure import BlockDiagonal, Dense, Diagonal, Zero
    from .newton.approximate_jacobians import Hutchinson, Picard
    from .newton.methods import Auto, Newton, Sequential
    from .newton.steps.full import Damped, Full
    from .newton.steps.levenberg_marquardt import LevenbergMarquardt
    from .newton.steps.line_search import LineSearch
    from .newton.steps.pseudo_transient import PseudoTransient
    from .newton.windows.checkpoint import Checkpoint
    from .newton.windows.progress_bar import Progress
    from .problems import (
        BoundaryValueProblem,
        Elliptic,
        Elliptic1D,
        Elliptic2D,
        Evolution1D,
        Evolution2D,
        InitialValueProblem,
        Problem,
        Recurrence,
        TwoPointProblem,
    )
    from .problems.adapters import from_scipy, pointwise, ravel, rowwise, unravel
    from .solution.named_axes import from_xarray
    from .solution.solution import Solution, Stats
    from .solution.status import Status
    from .solution.window import SolvedWindow, Window
    from .solver import solve

_places = {
    "analysis.continuation": "Branch follow",
    "analysis.lyapunov": "lyapunov",
    "analysis.sensitivity": "adjoint sensitivity",
    "backends.namespace": "array_namespace",
    "errors": (
        "CheckpointError CheckpointWarning ConvergenceError DeerError DiscretisationWarning FunctionError InputError "
        "LibraryError UnknownKeyError"
    ),
    "grids.conditions": "Coupled Dirichlet Neumann NoFlux Periodic Robin",
    "grids.fluxes": "central limited upwind",
    "grids.shifters": "identity lag slope",
    "grids.times": "Initial Steps TimeGrid",
    "linalg.structure": "BlockDiagonal Dense Diagonal Zero",
    "newton.approximate_jacobians": "Hutchinson Picard",
    "newton.methods": "Auto Newton Sequential",
    "newton.steps.full": "Damped Full",
    "newton.steps.levenberg_marquardt": "LevenbergMarquardt",
    "newton.steps.line_search": "LineSearch",
    "newton.steps.pseudo_transient": "PseudoTransient",
    "newton.windows.checkpoint": "Checkpoint",
    "newton.windows.progress_bar": "Progress",
    "problems": (
        "BoundaryValueProblem Elliptic Elliptic1D Elliptic2D Evolution1D Evolution2D InitialValueProblem Problem "
        "Recurrence TwoPointProblem"
    ),
    "problems.adapters": "from_scipy pointwise ravel rowwise unravel",
    "solution.named_axes": "from_xarray",
    "solution.solution": "Solution Stats",
    "solution.status": "Status",
    "solution.window": "SolvedWindow Window",
    "solver": "solve",
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
    "Elliptic",
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
