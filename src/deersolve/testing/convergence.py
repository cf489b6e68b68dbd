"""How Newton's method converges: the exponents of its history."""

from __future__ import annotations

import math
import warnings
from functools import partial
from typing import Any

import numpy as np

from ..backends.namespace import array_namespace
from ..errors import DiscretisationWarning
from ..newton.methods import Newton
from ..problems import Problem
from ..solution.status import numbers
from ..solver import solve
from .report import Report

QUADRATIC = 1.6  # an exponent from which convergence counts as quadratic
ASYMPTOTIC = 0.1  # corrections from which an exponent is taken
NOISE = 1e3  # in units of eps: corrections below are roundoff


def exponents(history: Any, eps: float = 2.3e-16) -> list[float]:
    """Return the p_k of ``e_{k+1} = C e_k^{p_k}``, from three corrections in a row above roundoff.

    Parameters
    ----------
    history : sequence of float
        The sizes e_k of the corrections, relative to y; NaN after the last.
    eps : float
        The roundoff of the dtype.

    Returns
    -------
    list of float
        ``log(e_{k+1} / e_k) / log(e_k / e_{k-1})`` where e_k < 0.1. If there is none with e_{k+1}
        above roundoff, a lower bound, should it tell quadratic from linear; else empty.

    Examples
    --------
    >>> [round(p, 3) for p in exponents([1e-1, 1e-2, 1e-4, 1e-8, 1e-16])]
    [2.0, 2.0]
    >>> [round(p, 3) for p in exponents([1e-2, 1e-4, 1e-6, 1e-8])]
    [1.0, 1.0]
    """
    e = [float(v) for v in history if math.isfinite(v)]
    floor = NOISE * eps
    found: list[float] = []
    for before, now, after in zip(e, e[1:], e[2:], strict=False):
        if not floor < now < min(before, ASYMPTOTIC):
            continue
        p = math.log(max(after, floor) / now) / math.log(now / before)
        if after > floor or (p >= QUADRATIC and not found):
            found.append(p)
    return found


def check_convergence(problem: Problem, y_guess: Any = None, *, inverse: Any = None) -> Report:
    """Check that Newton's method on the whole horizon converges quadratically until roundoff.

    Parameters
    ----------
    problem : Problem
        Small enough for Newton to converge from ``y_guess`` without windows.
    y_guess, inverse
        As for :func:`deersolve.solve`.

    Returns
    -------
    Report
        For each batch element the checks "steps", "exponent" (the last one measured) and "status".

    Raises
    ------
    CheckFailure
        If an element did not converge, or its last exponent is below 1.6: with a ``jac`` that is
        not the Jacobian of f, or a rule with ``exact=False``, convergence is linear.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DiscretisationWarning)
        # No check of the inputs: what a wrong jac does to the convergence is to be seen.
        sol = solve(problem, y_guess, inverse=inverse, method=Newton(reuse=0), on_failure="return", check_inputs=False)
    xp = array_namespace(sol.y)
    eps = float(xp.finfo(sol.y.dtype).eps)
    width = sol.stats.history.shape[-1]
    rows = np.reshape(np.array(numbers(sol.stats.history)), (-1, width))
    report = Report(f"the convergence of {problem!r}")
    codes, steps = numbers(sol.status), numbers(sol.stats.steps)
    for i, row in enumerate(rows):
        where = f"[{i}]" if len(rows) > 1 else ""
        last = (exponents(row, eps) or [math.inf])[-1]
        expected = f"at least {QUADRATIC} (2 is quadratic; inf: too few steps to tell)"
        report.judge(f"status{where}", "0 (CONVERGED)", partial(codes.__getitem__, i), _is_zero, "{:.0f}")
        report.note(f"steps{where}", partial(steps.__getitem__, i), "{:.0f}")
        report.judge(f"exponent{where}", expected, partial(float, last), lambda p: p >= QUADRATIC)
    return report.finish()


def _is_zero(value: float) -> bool:
    return value == 0
