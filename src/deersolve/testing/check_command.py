"""The command ``deersolve check FILE.py``: the table of a file's problem, and problems drawn around it."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..problems import Problem
from .answers import equals_loop, solved
from .certificate import certificate
from .changes import shortened
from .loop import NoLoop, loop_of
from .problem import check_problem
from .report import CheckFailure, Report
from .strategies import around, hypothesis
from .trial import MOST, Trial, quietly

Load = Callable[[Path], tuple[Problem, Any]]
SOURCE = """import runpy

from deersolve.testing import changed, shortened

given = runpy.run_path("{}")["problem"]"""
POINTS = 12  # of a problem too large for matrices


def add_check(commands: Any, load: Load, epilog: str) -> None:
    """Add the command to a parser."""
    check = commands.add_parser("check", help="property-test the `problem` that a Python file defines", epilog=epilog)
    check.add_argument("file", type=Path, metavar="FILE.py", help="defines `problem` (and `y_guess`)")
    check.add_argument("--draws", type=int, default=20, metavar="N", help="problems to draw around it (0: none)")
    check.add_argument("--points", type=int, default=200, metavar="T", help="the most points in time of a draw")
    check.set_defaults(command=lambda args: check_file(args, load))


def check_file(args: argparse.Namespace, load: Load) -> int:
    """Check the ``problem`` of ``args.file`` and problems around it; print what was found, return the exit code."""
    hypothesis()
    problem, y_guess = load(args.file)
    small, note = _small(problem, y_guess)
    report = _report(small, y_guess, f"{args.file.name}{note}")
    print(report)
    found = _searched(problem, y_guess, args) if args.draws else None
    print()
    if found is None:
        print(f"{args.draws} problems drawn around it: all hold.")
    else:
        drawn, failed = found
        print("A problem drawn around it fails, the simplest that was found:")
        print(*(f"  {check}" for check in failed), "", drawn.code, sep="\n")
    return 1 if report.failed or found else 0


def _report(problem: Problem, y_guess: Any, title: str) -> Report:
    try:
        return check_problem(problem, y_guess, title=title)
    except CheckFailure as failure:
        return failure.report


def _small(problem: Problem, y_guess: Any) -> tuple[Problem, str]:
    """Return the problem, of a large one in time its first points, and a remark."""
    if y_guess is not None or Trial(problem).size <= MOST:
        return problem, ""
    return shortened(problem, POINTS), f", its first {POINTS} points"


def check_draw(problem: Problem, y_guess: Any = None) -> Report | None:
    """Check that Newton's method on the whole trajectory converges, to the loop; None where the loop has no answer."""
    trial, report = Trial(problem, y_guess), Report("the draw")
    with quietly():
        try:
            y = loop_of(trial)[0]
            if not np.isfinite(y).all():
                return None
        except NoLoop as why:
            if "no root" in str(why):
                return None
        report.judge("solve", "CONVERGED", lambda: solved(trial), bool)
        if not report.failed:
            equals_loop(report, trial)
            certificate(report, trial)
    return report.finish()


def _searched(problem: Problem, y_guess: Any, args: argparse.Namespace) -> tuple[Any, Report] | None:
    """Return the simplest draw that fails, and its report; None if none does."""
    hy, failing = hypothesis(), []
    source = SOURCE.format(args.file)

    def holds(drawn: Problem) -> None:
        try:
            if check_draw(drawn, y_guess) is None:
                hy.reject()
        except CheckFailure as failure:
            failing.append((drawn, failure.report))
            raise

    options: dict[str, Any] = {"deadline": None, "database": None, "derandomize": True, "report_multiple_bugs": False}
    options |= {"phases": (hy.Phase.generate, hy.Phase.shrink)}  # what explains a failure draws as much again
    options |= {"suppress_health_check": list(hy.HealthCheck), "verbosity": hy.Verbosity.quiet}
    tried = hy.settings(max_examples=args.draws, **options)(hy.given(around(problem, source, args.points))(holds))
    try:
        tried()
    except CheckFailure:
        return failing[-1]
    return None
