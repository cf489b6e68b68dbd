"""For those who extend: checks of rules, backends, scans and structures, and problems with answers.

``python -m deersolve.testing`` prints the table of the built-in rules.
"""

from .backend import check_backend
from .convergence import check_convergence
from .inverse import check_inverse
from .report import Check, CheckFailure, Report
from .scan import check_scan
from .structure import check_structure
from .table import rule_table

__all__ = [
    "Check",
    "CheckFailure",
    "Report",
    "check_backend",
    "check_convergence",
    "check_inverse",
    "check_scan",
    "check_structure",
    "rule_table",
]
