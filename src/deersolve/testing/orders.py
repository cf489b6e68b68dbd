"""The observed order of a rule on refined grids of a problem."""

from __future__ import annotations

import math
from functools import partial, reduce
from typing import Any

import numpy as np

from ..backends.namespace import Array
from ..problems import Problem
from .answers import alone
from .changes import changed
from .report import Report
from .trial import SLACK, Trial

SHORT = 0.4  # by how much an observed order may be below that of the rule
LEVELS = 5  # grids, each with half the spacing of the one before
LARGEST = 30_000  # numbers on the finest grid


class NoOrder(Exception):
    """There is no order to observe, and why."""


def check_order(problem: Problem, y_guess: Any = None, *, inverse: Any = None, order: float | None = None) -> Report:
    """Check the order of accuracy that is observed on refined grids.

    Parameters
    ----------
    problem, y_guess, inverse
        As for :func:`deersolve.solve`. Of an evolution equation times are refined, else all axes.
    order : float, optional
        What to expect. By default a rule of your own is held to its ``order``; of a rule of the package the number is
        only shown, as it tells how smooth f is.

    Returns
    -------
    Report
        "order": ``log2(|y_h - y_{h/2}| / |y_{h/2} - y_{h/4}|)`` at the points of the first grid, at least the order
        less 0.4 on one of up to three refinements. Not applicable to recurrences, to data that live on the grid, and
        where all differences are roundoff.

    Raises
    ------
    CheckFailure
        If the order is lower.
    """
    trial = Trial(problem, y_guess, inverse)
    return alone("the order", lambda report, trial: observed_order(report, trial, order), trial)


def observed_order(report: Report, trial: Trial, order: float | None = None) -> None:
    """Refine and compare."""
    expected = trial.rule.order if order is None else order
    try:
        seen = _orders(trial, math.inf if expected is None else expected)
    except NoOrder as why:
        report.skip("order", why)
        return
    if expected is None or (order is None and trial.rule.is_builtin):  # of a smooth f they have it
        report.note("order", lambda: seen, "{:.2f}")
    else:
        report.judge("order", f"at least {expected - SHORT:.1f}", lambda: seen, lambda p: p >= expected - SHORT)


def _orders(trial: Trial, expected: float) -> float:
    """Return the largest order seen on the way, until it is the one expected."""
    problem, points = trial.problem, _refined(trial.problem)
    best, before, y = -math.inf, math.nan, trial.numpy(trial.sol.y).astype(np.float64)
    first, axes = y, [problem.axes.index(name) - len(problem.axes) - 1 for name in points]
    for level in range(1, LEVELS):
        points = {name: trial.array(_halved(trial.numpy(trial.array(p)))) for name, p in points.items()}
        y = reduce(_between, axes, y)
        if y.size > LARGEST:
            break
        y = _answer(trial, changed(problem, **points), y)
        coarse = reduce(partial(_every, 2**level), axes, y)
        difference = float(np.abs(coarse - first).max())
        if difference <= 30 * trial.allowed / SLACK * trial.scale:
            break
        best = max(best, math.log2(before / difference)) if level > 1 else best
        before, first = difference, coarse
        if best >= expected - SHORT:
            break
    if best == -math.inf:
        raise NoOrder(f"differences are roundoff, or finer grids have more than {LARGEST:,} numbers")
    return best


def _refined(problem: Problem) -> dict[str, Any]:
    """Return the points to refine by the names of their axes: the times, where there are some."""
    points = {name: p for name, p in problem.points().items() if name in problem.axes}
    points = {"t": points["t"]} if "t" in points else points
    if not points:
        raise NoOrder("there is no grid to refine")
    if problem.cells and "t" not in points:
        raise NoOrder("the midpoints of cells move")
    if problem.x is not None and problem.x != {}:
        raise NoOrder("x is given on the grid")
    return points


def _every(step: int, values: Array, axis: int) -> Array:
    return np.take(values, range(0, values.shape[axis], step), axis=axis)


def _answer(trial: Trial, problem: Problem, guess: Array) -> Array:
    try:
        sol = trial.solve(problem=problem, y_guess=trial.array(guess))
    except ValueError as error:
        raise NoOrder(f"a finer grid: {error}") from error
    if not trial.numpy(sol.converged).all():
        raise NoOrder("a finer grid does not converge")
    return trial.numpy(sol.y).astype(np.float64)


def _halved(points: Array) -> Array:
    """Return the points with one in each middle."""
    if not (np.diff(points, axis=-1) != 0).all():
        raise NoOrder("a point stands twice")
    return _between(points, -1)


def _between(values: Array, axis: int) -> Array:
    values = np.moveaxis(values, axis, -1)
    made = np.empty((*values.shape[:-1], 2 * values.shape[-1] - 1))
    made[..., ::2], made[..., 1::2] = values, (values[..., 1:] + values[..., :-1]) / 2
    return np.moveaxis(made, -1, axis)
