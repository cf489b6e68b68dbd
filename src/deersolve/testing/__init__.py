"""For those who extend: checks of rules and backends, problems with answers, strategies.

``python -m deersolve.testing`` prints the table of the built-in rules. The strategies
for Hypothesis are in ``deersolve.testing.strategies``, the only module here that needs it.
"""

from .backend import check_backend
from .convergence import check_convergence
from .inverse import check_inverse
from .report import Check, CheckFailure, Report
from .table import rule_table

__all__ = [
    "Check",
    "CheckFailure",
    "Report",
    "check_backend",
    "check_convergence",
    "check_inverse",
    "rule_table",
]
