"""For those who extend: checks of rules and backends, and problems with answers.

``python -m deersolve.testing`` prints the table of the built-in rules.
"""

from .answers import check_batch, check_equals_loop, check_windows
from .backend import check_backend
from .certificate import check_certificate
from .convergence import check_convergence
from .gradients import check_gradient
from .inverse import check_inverse
from .orders import check_order
from .problem import check_problem
from .report import Check, CheckFailure, Report
from .table import rule_table

__all__ = [
    "Check",
    "CheckFailure",
    "Report",
    "check_backend",
    "check_batch",
    "check_certificate",
    "check_convergence",
    "check_equals_loop",
    "check_gradient",
    "check_inverse",
    "check_order",
    "check_problem",
    "check_windows",
    "rule_table",
]
