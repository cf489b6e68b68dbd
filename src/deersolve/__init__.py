"""Differential and difference equations solved for the whole trajectory at once (DEER, arXiv 2309.12252)."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

# isort: off
if TYPE_CHECKING:  # what the table says, for type checkers: tests/test_hygiene.py compares the two
    from . import inverses as inverses, testing as testing
    from .adaptive.method import Adaptive as Adaptive
    from .analysis.continuation import Branch as Branch, follow as follow
    from .analysis.lyapunov import lyapunov as lyapunov
    from .analysis.sensitivity import adjoint as adjoint, sensitivity as sensitivity
    from .backends.namespace import array_namespace as array_namespace
    from .errors import (
        CheckpointError as CheckpointError,
        CheckpointWarning as CheckpointWarning,
        ConvergenceError as ConvergenceError,
        DeerError as DeerError,
        DiscretisationWarning as DiscretisationWarning,
        FunctionError as FunctionError,
        InputError as InputError,
        LibraryError as LibraryError,
        UnknownKeyError as UnknownKeyError,
    )
    from .grids.conditions import (
        Coupled as Coupled,
        Dirichlet as Dirichlet,
        Neumann as Neumann,
        NoFlux as NoFlux,
        Periodic as Periodic,
        Robin as Robin,
    )
    from .grids.fluxes import central as central, limited as limited, upwind as upwind
    from .grids.shifters import identity as identity, lag as lag, slope as slope
    from .grids.signal import Signal as Signal
    from .grids.times import Initial as Initial, Steps as Steps, TimeGrid as TimeGrid
    from .integrate.solve_ivp import solve_ivp as solve_ivp
    from .inverses.operator import Operator as Operator
    from .linalg.structure import (
        BlockDiagonal as BlockDiagonal,
        Dense as Dense,
        Diagonal as Diagonal,
        Structure as Structure,
        Zero as Zero,
    )
    from .newton.approximate_jacobians import Hutchinson as Hutchinson, Picard as Picard
    from .newton.methods import Auto as Auto, Newton as Newton, Sequential as Sequential
    from .newton.steps.full import Damped as Damped, Full as Full
    from .newton.steps.levenberg_marquardt import LevenbergMarquardt as LevenbergMarquardt
    from .newton.steps.line_search import LineSearch as LineSearch
    from .newton.steps.pseudo_transient import PseudoTransient as PseudoTransient
    from .newton.windows.checkpoint import Checkpoint as Checkpoint
    from .newton.windows.progress_bar import Progress as Progress
    from .problems import (
        BoundaryValueProblem as BoundaryValueProblem,
        Elliptic as Elliptic,
        Elliptic1D as Elliptic1D,
        Elliptic2D as Elliptic2D,
        Evolution as Evolution,
        Evolution1D as Evolution1D,
        Evolution2D as Evolution2D,
        InitialValueProblem as InitialValueProblem,
        Problem as Problem,
        Recurrence as Recurrence,
        TwoPointProblem as TwoPointProblem,
    )
    from .problems.adapters import (
        from_scipy as from_scipy,
        pointwise as pointwise,
        ravel as ravel,
        rowwise as rowwise,
        unravel as unravel,
    )
    from .recurrent.scan import scan as scan
    from .solution.dense import DenseOutput as DenseOutput
    from .solution.named_axes import from_xarray as from_xarray
    from .solution.solution import Solution as Solution, Stats as Stats
    from .solution.status import Status as Status
    from .solution.window import SolvedWindow as SolvedWindow, Window as Window
    from .solver import solve as solve
# isort: on

_rooms = {
    "adaptive.method": "Adaptive",
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
    "grids.signal": "Signal",
    "grids.times": "Initial Steps TimeGrid",
    "integrate.solve_ivp": "solve_ivp",
    "inverses.operator": "Operator",
    "linalg.structure": "BlockDiagonal Dense Diagonal Structure Zero",
    "newton.approximate_jacobians": "Hutchinson Picard",
    "newton.methods": "Auto Newton Sequential",
    "newton.steps.full": "Damped Full",
    "newton.steps.levenberg_marquardt": "LevenbergMarquardt",
    "newton.steps.line_search": "LineSearch",
    "newton.steps.pseudo_transient": "PseudoTransient",
    "newton.windows.checkpoint": "Checkpoint",
    "newton.windows.progress_bar": "Progress",
    "problems": (
        "BoundaryValueProblem Elliptic Elliptic1D Elliptic2D Evolution Evolution1D Evolution2D InitialValueProblem "
        "Problem Recurrence TwoPointProblem"
    ),
    "problems.adapters": "from_scipy pointwise ravel rowwise unravel",
    "recurrent.scan": "scan",
    "solution.dense": "DenseOutput",
    "solution.named_axes": "from_xarray",
    "solution.solution": "Solution Stats",
    "solution.status": "Status",
    "solution.window": "SolvedWindow Window",
    "solver": "solve",
}
"""Each public name by the module that it comes from, which is imported when the name is first asked for."""

_home = {name: room for room, names in _rooms.items() for name in names.split()}

_packages = ("inverses", "testing")

__all__ = sorted([*_home, *_packages])


def __getattr__(name: str) -> Any:
    if name in _packages:
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
    return __all__
