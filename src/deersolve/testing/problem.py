"""check_problem: everything that is promised of a problem, in one table."""

from __future__ import annotations

from functools import partial
from typing import Any

from ..problems import Problem
from .answers import batch, equals_loop, solved, windows
from .certificate import certificate
from .gradients import gradient
from .operator import check_operator
from .orders import observed_order
from .report import Report
from .trial import Trial, quietly

ON_SOLUTION: tuple[Any, ...] = (certificate, equals_loop, windows, batch, observed_order, gradient)


def check_problem(
    problem: Problem, y_guess: Any = None, *, inverse: Any = None, method: Any = None, title: str = ""
) -> Report:
    """Check everything that applies to a problem: its operator, its answer, its certificate, its derivatives.

    Parameters
    ----------
    problem, y_guess, inverse
        As for :func:`deersolve.solve`; small, at most some hundred numbers in y, so that matrices can be assembled.
    method : Newton, optional
        What finds the time-parallel answer; Newton's method on the whole trajectory by default.
    title : str
        What to call it in the report.

    Returns
    -------
    Report
        ``print(report)`` shows a table with a row for each check, "not applicable" and why included: "solve", the rows
        of :func:`check_inverse` on this problem, of :func:`check_certificate`, :func:`check_equals_loop`,
        :func:`check_windows`, :func:`check_batch`, :func:`check_order` and :func:`check_gradient`.

    Raises
    ------
    CheckFailure
        If a row fails; ``.report`` holds all rows.

    Examples
    --------
    >>> import numpy as np
    >>> import deersolve as ds
    >>> from deersolve.testing import check_problem
    >>> t = np.linspace(0.0, 1.0, 9)
    >>> problem = ds.InitialValueProblem(lambda y, t, k: -k * y * y, t, np.array([1.0]), params=np.array(2.0))
    >>> report = check_problem(problem)
    >>> report["equals loop"].holds, report["order"].holds
    (True, True)
    """
    trial, report = (
        Trial(problem, y_guess, inverse, method),
        Report(title or (repr(problem) if inverse is None else f"{problem!r} by {inverse!r}")),
    )
    with quietly():
        report.judge("solve", "CONVERGED", partial(solved, trial), bool)
        _part(report, trial, check_operator)
        for check in ON_SOLUTION:
            if report["solve"].holds:
                _part(report, trial, check)
            else:
                report.skip(check.__name__.replace("_", " "), "there is no solution")
    return report.finish()


def _part(report: Report, trial: Trial, check: Any) -> None:
    """Add the rows of a check; what it raises is a row."""
    try:
        check(report, trial)
    except Exception as error:
        report.judge(check.__name__.replace("_", " "), "no error", partial(_raise, error), bool)


def _raise(error: Exception) -> float:
    raise error
