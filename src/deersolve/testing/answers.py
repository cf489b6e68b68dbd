"""One answer, whatever finds it: the whole trajectory at once, the loop, windows, a batch."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ..backends.namespace import Array
from ..errors import InputError
from ..newton.methods import Newton, Sequential
from ..problems import Problem
from .changes import changed
from .loop import NoLoop, loop_of
from .report import Report
from .trial import Trial, quietly


def check_equals_loop(problem: Problem, y_guess: Any = None, *, inverse: Any = None, method: Any = None) -> Report:
    """Check the time-parallel answer against the sequential loop in higher precision.

    Parameters
    ----------
    problem, y_guess, inverse
        As for :func:`deersolve.solve`.
    method : Newton, optional
        What finds the time-parallel answer; Newton's method on the whole trajectory by default.

    Returns
    -------
    Report
        "equals loop": the largest difference relative to the largest |y|, at most 1e3 eps times "roundoff amplified",
        and 1e-2 at most. The loop is ``y_i = f(y_{i-k_1}, ...)`` in ``numpy.longdouble``, or in float64 where f does
        not take that; of a rule for differential equations it finds the root of the residual on each interval. It
        calls neither a scan nor the solve of the rule.

    Raises
    ------
    CheckFailure
        If they differ, or Newton's method does not converge.

    Examples
    --------
    >>> import numpy as np
    >>> import deersolve as ds
    >>> from deersolve.testing import check_equals_loop
    >>> problem = ds.Recurrence(lambda y, x, r: r * np.cos(y), np.array([0.5]), params=0.8, n_points=50)
    >>> check_equals_loop(problem)["equals loop"].holds
    True
    """
    return alone("the loop", equals_loop, Trial(problem, y_guess, inverse, method))


def check_windows(problem: Problem, y_guess: Any = None, *, inverse: Any = None) -> Report:
    """Check that windows, and the loop, find what the whole trajectory at once does.

    Parameters
    ----------
    problem, y_guess, inverse
        As for :func:`deersolve.solve`.

    Returns
    -------
    Report
        "windows of k" for some k, and "method='sequential'", each the largest difference from the whole; or that
        ``solve`` refuses them, which a rule that reaches further than one point has to have done.

    Raises
    ------
    CheckFailure
        If they differ.
    """
    return alone("windows", windows, Trial(problem, y_guess, inverse))


def check_batch(problem: Problem, y_guess: Any = None, *, inverse: Any = None) -> Report:
    """Check that a batch gives what its elements give one by one, in any order.

    Parameters
    ----------
    problem, y_guess, inverse
        As for :func:`deersolve.solve`. Three elements are made: of the initial values, where the problem has some, else
        of the guess.

    Returns
    -------
    Report
        "batch = singles" and "batch: permuted", the largest differences.

    Raises
    ------
    CheckFailure
        If they differ.
    """
    return alone("batches", batch, Trial(problem, y_guess, inverse))


def alone(what: str, check: Any, trial: Trial) -> Report:
    """Return the report of one check; raise if it fails or there is no solution to look at."""
    report = Report(f"{what} of {trial.problem!r}")
    with quietly():
        report.judge("solve", "CONVERGED", partial(solved, trial), bool)
        if not report.failed:
            check(report, trial)
    return report.finish()


def solved(trial: Trial) -> float:
    """Return 1 if Newton's method converged; raise with the reason if not."""
    if trial.failure:
        raise ArithmeticError(trial.failure)
    return 1.0


def equals_loop(report: Report, trial: Trial) -> None:
    """Compare with the loop in higher precision."""
    try:
        y, kind = loop_of(trial)
    except NoLoop as why:
        report.skip("equals loop", why)
        return
    name = "equals loop" if kind is np.longdouble else f"equals loop ({kind.__name__})"
    report.below(name, lambda: trial.off(trial.y, y), trial.allowed)
    if not np.isnan(trial.amplified):
        report.note("roundoff amplified", lambda: trial.amplified)


def windows(report: Report, trial: Trial) -> None:
    """Compare with windows of several lengths, and with the library's own loop."""
    length = trial.system.grid.length
    if not trial.system.grid.marches:
        report.skip("windows", "nothing marches over it")
        return
    methods: dict[str, Any] = {f"windows of {w}": Newton(window=w) for w in sorted({1, 2, max(length // 3, 1)})}
    for name, method in (methods | {"method='sequential'": Sequential()}).items():
        try:
            sol = trial.solve(method=method)
        except InputError as refusal:
            report.skip(name, f"solve refuses it: {refusal}")
            continue
        except Exception as error:
            report.judge(name, "an answer, or an InputError", partial(_raise, error), bool)
            continue
        if not trial.numpy(sol.converged).all():
            _say_unsolved(report, trial, name)
            continue
        report.below(name, partial(_off_whole, trial, sol), trial.allowed)


def _off_whole(trial: Trial, sol: Any) -> float:
    return trial.off(trial.numpy(sol.y), trial.numpy(trial.sol.y))


def _say_unsolved(report: Report, trial: Trial, name: str) -> None:
    """Windows that find nothing are no fault; those of rows that reach beyond them have to be refused."""
    back, ahead = trial.reach
    if back <= max(trial.system.grid.overlap, *trial.system.grid.lags) and not ahead:
        report.skip(name, "does not converge, and says so")
        return
    text = f"refused: rows reach {back} points back and {ahead} ahead"
    report.judge(name, text, partial(_raise, ArithmeticError("solved in windows, without convergence")), bool)


def _raise(error: Exception) -> float:
    raise error


def batch(report: Report, trial: Trial) -> None:
    """Compare a batch of three with its elements, and with itself in another order."""
    start, order = trial.problem.start, [2, 0, 1]
    if start is not None:
        y0 = np.asarray(trial.numpy(trial.array(_plain(trial, start))))
        values = [trial.array(y0 * (1 + 0.02 * k) + 0.01 * k) for k in range(3)]
        made = [(changed(trial.problem, y0=v), trial.y_guess) for v in values]
        whole = [(changed(trial.problem, y0=_stack(trial, [values[k] for k in p])), trial.y_guess) for p in _orders()]
    else:
        y = trial.numpy(trial.sol.y)
        values = [trial.array(y * (1 + 0.01 * k)) for k in range(3)]
        made = [(trial.problem, v) for v in values]
        whole = [(trial.problem, _stack(trial, [values[k] for k in p])) for p in _orders()]
    singles: list[Any] = [_answer(trial, *pair) for pair in made]
    if any(y is None for y in singles):
        report.skip("batch = singles", "a problem beside this one has no solution")
        return
    try:
        together = [_answer(trial, *pair) for pair in whole]
    except InputError as refusal:
        report.skip("batch = singles", f"solve refuses it: {refusal}")
        return
    bound = max(trial.allowed, 1e4 * trial.eps)
    report.below("batch = singles", lambda: trial.off(_all(together[0]), np.stack(singles)), bound)
    report.below("batch: permuted", lambda: trial.off(_all(together[1]), _all(together[0])[order]), bound)


def _orders() -> tuple[list[int], list[int]]:
    return [0, 1, 2], [2, 0, 1]


def _plain(trial: Trial, value: Any) -> Any:
    return trial.numpy(value) if hasattr(value, "shape") else np.asarray(value, dtype=np.float64)


def _stack(trial: Trial, values: list[Any]) -> Array:
    return trial.array(np.stack([trial.numpy(v) for v in values]))


def _answer(trial: Trial, problem: Problem, y_guess: Any) -> Array | None:
    sol = trial.solve(problem=problem, y_guess=y_guess)
    return trial.numpy(sol.y) if trial.numpy(sol.converged).all() else None


def _all(y: Array | None) -> Array:
    if y is None:
        raise ArithmeticError("every element alone converges, in a batch not all do")
    return y
