"""The table of the built-in rules: what each one claims and what was measured."""

from __future__ import annotations

import math

from ..inverses import registry
from .convergence import QUADRATIC
from .inverse import check_inverse
from .report import CheckFailure, Report

HEAD: tuple[str, ...] = (
    *("rule", "exact", "y by diag G", "exponent", "Newton", "adjoint"),
    *("order", "seen", "corrected", "checks"),
)


def builtin_rules() -> list[str]:
    """Return the keys of all rules that come with the package."""
    for key in _keys():
        registry[key]  # loads its file, which may hold more than one rule
    return [key for key in _keys() if registry[key].is_builtin]


def _keys() -> list[str]:
    known = registry.keys()
    return [key for key in known if "." in key]


def rule_table() -> str:
    """Return one line for each built-in rule: claims, and what :func:`check_inverse` measured.

    Returns
    -------
    str
        Columns: the claim ``exact``; the relative difference of y between a dense G and its
        diagonal; the exponent of Newton's last steps (2: quadratic); the error of the adjoint
        identity; the declared and the observed order, and that of ``y_corrected``; whether all
        checks hold.
    """
    rows = [HEAD]
    for key in builtin_rules():
        try:
            report = check_inverse(key)
        except CheckFailure as failure:
            report = failure.report
        rows.append(_row(key, report))
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEAD))]
    padded = [[v.ljust(w) for v, w in zip(row, widths, strict=True)] for row in rows]
    lines = ["  ".join(row).rstrip() for row in padded]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def _row(key: str, report: Report) -> tuple[str, ...]:
    rule = registry[key]

    def show(name: str, form: str) -> str:
        value = report[name].value if name in report else math.nan
        return "-" if math.isnan(value) else form.format(value)

    kind = "quadratic" if report["exponent"].value >= QUADRATIC else "linear"
    return (
        key,
        "yes" if rule.exact else "no",
        show("independent of G", "{:.0e}"),
        show("exponent", "{:.2f}"),
        kind,
        show("transpose", "{:.0e}"),
        "-" if rule.order is None else str(rule.order),
        show("order", "{:.2f}"),
        show("order of y_corrected", "{:.2f}"),
        "FAIL" if report.failed else "ok",
    )
