"""What a check found: expected and received for each claim, and an error that shows them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator


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

    def __repr__(self) -> str:
        mark = "ok  " if self.holds else "FAIL"
        return f"{mark} {self.name}: expected {self.expected}; received {self.received}"


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
            found = f"{type(error).__name__}: {error}"
            self.checks.append(Check(name, expected, found, False))
            return
        self.checks.append(Check(name, expected, form.format(value), bool(holds(value)), value))

    def finish(self) -> Report:
        """Return the report, or raise :class:`CheckFailure` if a check does not hold."""
        if self.failed:
            raise CheckFailure(self)
        return self
