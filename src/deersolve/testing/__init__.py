"""Checks of problems, rules and backends, and Hypothesis strategies around an f of yours.

``python -m deersolve.testing`` prints the table of the built-in rules.
"""

from .answers import check_batch, check_equals_loop, check_windows
from .backend import check_backend
from .certificate import check_certificate
from .changes import changed, shortened
from .convergence import check_convergence
from .gradients import check_gradient
from .inverse import check_inverse
from .orders import check_order
from .problem import check_problem
from .report import Check, CheckFailure, Report
from .scan import check_scan
from .strategies import around, arrays, batches, conditions, dtypes, grids, libraries, methods, problems, settings
from .structure import check_structure
from .table import rule_table

__all__ = [
    "Check",
    "CheckFailure",
    "Report",
    "around",
    "arrays",
    "batches",
    "changed",
    "check_backend",
    "check_batch",
    "check_certificate",
    "check_convergence",
    "check_equals_loop",
    "check_gradient",
    "check_inverse",
    "check_order",
    "check_problem",
    "check_scan",
    "check_structure",
    "check_windows",
    "conditions",
    "dtypes",
    "grids",
    "libraries",
    "methods",
    "problems",
    "rule_table",
    "settings",
    "shortened",
]
