"""What a check found: expected and received for each claim, and an error that shows them."""

from __future__ import annotations

import dataclasses
import math
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

SHOWN = 300  # letters of a message in a table


class CheckFailure(AssertionError):
    """At least one check of a report failed.

    Attributes
    ----------
    report : Report
        All that was checked, what passed included.
    """

    def __init__(self, report: Report) -> None:
        lines = [f"{c.name}: expected {c.expected}; received {c.received}" for c in report.failed]
        super().__init__("\n  ".join([f"{report.title} fails", *lines]))
        self.report = report


@dataclasses.dataclass(frozen=True)
class Check:
    """One claim: its name, what was expected, what was received, and the number behind it."""

    name: str
    expected: str
    received: str
    holds: bool
    value: float = math.nan
    applies: bool = True

    @property
    def mark(self) -> str:
        """Whether it holds, in a word."""
        return ("ok" if self.applies else "-") if self.holds else "FAIL"

    def __repr__(self) -> str:
        if not self.applies:
            return f"-    {self.name}: not applicable: {self.received}"
        return f"{self.mark:4} {self.name}: expected {self.expected}; received {self.received}"


def _short(text: Any) -> str:
    shown = " ".join(str(text).split())
    return shown if len(shown) <= SHOWN else f"{shown[:SHOWN]} ..."


def _place(error: Exception) -> str:
    """Return where outside of this package and of others it was raised, or nothing."""
    ours = str(Path(__file__).parents[1])
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(ours)]
    own = [f for f in frames if "site-packages" not in f.filename]
    return f" in {own[-1].name} ({Path(own[-1].filename).name}:{own[-1].lineno})" if own else ""


def _cells(check: Check) -> tuple[str, str, str, str]:
    received = check.received if check.applies else f"not applicable: {check.received}"
    return check.mark, check.name, check.expected, received


class Report:
    """The checks of one thing, in order.

    Attributes
    ----------
    title : str
        What was checked.
    checks : list of Check

    Examples
    --------
    >>> report = Report("arithmetic")
    >>> report.below("1 + 1", lambda: abs(1 + 1 - 2), 1e-12)
    >>> report
    Report(arithmetic: 1 of 1 hold)
      ok   1 + 1: expected at most 1.0e-12; received 0.0e+00
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self.checks: list[Check] = []

    def __repr__(self) -> str:
        held = len(self.checks) - len(self.failed)
        head = f"Report({self.title}: {held} of {len(self.checks)} hold)"
        return "\n  ".join([head, *map(repr, self.checks)])

    def __str__(self) -> str:
        """Return the checks as a table."""
        head, cells = ("", "check", "expected", "received"), [_cells(check) for check in self.checks]
        widths = [max(len(row[k]) for row in (head, *cells)) for k in range(3)]
        lines = [head, tuple("-" * w for w in (*widths, len(head[3]))), *cells]
        rows = ["  ".join([*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[3]]) for row in lines]
        held = sum(check.applies and check.holds for check in self.checks)
        asked = sum(check.applies for check in self.checks)
        return "\n".join([f"{self.title}: {held} of {asked} hold", *(row.rstrip() for row in rows)])

    def __iter__(self) -> Iterator[Check]:
        return iter(self.checks)

    def __getitem__(self, name: str) -> Check:
        """Return the check of that name."""
        for check in self.checks:
            if check.name == name:
                return check
        raise KeyError(f"{name!r} was not checked; {', '.join(c.name for c in self.checks)} were")

    def __contains__(self, name: str) -> bool:
        return any(check.name == name for check in self.checks)

    @property
    def failed(self) -> list[Check]:
        """The checks that do not hold."""
        return [check for check in self.checks if not check.holds]

    def below(self, name: str, measure: Callable[[], float], bound: float) -> None:
        """Check that a measured number is at most ``bound``; NaN and exceptions fail."""
        self.judge(name, f"at most {bound:.1e}", measure, lambda v: v <= bound, "{:.1e}")

    def note(self, name: str, measure: Callable[[], float], form: str = "{:.1e}") -> None:
        """Keep a number that nothing is claimed about; only an exception fails."""
        self.judge(name, "any number", measure, lambda v: True, form)

    def judge(
        self,
        name: str,
        expected: str,
        measure: Callable[[], float],
        holds: Callable[[float], bool],
        form: str = "{:.2f}",
    ) -> None:
        """Measure and judge; an exception of what is checked is a failure of the check."""
        try:
            value = float(measure())
        except Exception as error:
            found = _short(f"{type(error).__name__}{_place(error)}: {error}")
            self.checks.append(Check(name, expected, found, False))
            return
        self.checks.append(Check(name, expected, form.format(value), bool(holds(value)), value))

    def skip(self, name: str, why: Any) -> None:
        """Say that a check does not apply, and why."""
        self.checks.append(Check(name, "", _short(why), True, applies=False))

    def finish(self) -> Report:
        """Return the report, or raise :class:`CheckFailure` if a check does not hold."""
        if self.failed:
            raise CheckFailure(self)
        return self
