"""The command ``deersolve demo``: three equations on every installed library."""

from __future__ import annotations

import argparse

from ..backends.libraries import LIBRARIES
from ..errors import InputError
from ..solution.status import Status
from ..testing.demo import Row, rows
from .tables import libraries, progress, show


def demo(args: argparse.Namespace) -> int:
    """Solve, print a table, and return the exit code."""
    found, missing = libraries(args.backend or list(LIBRARIES))
    if args.backend and missing:
        raise InputError("; ".join(missing))
    done = []
    for what, compute in rows(found):
        progress(f"solving: {what} ...")
        done.append(compute())
    progress("")
    head = ("problem", "backend", "device", "steps", "error", "discretisation", "time", "loop")
    show((*head, "status"), [_cells(row) for row in done], right=range(3, 8))
    print()
    print("steps, time: Newton's method on all grid points at once (GRU and two lags: 10,000 steps;")
    print("             the pendulum: 1,000 intervals to t = 20). Best time after a warm-up.")
    print("error:       against an independent reference, relative to the largest |y|.")
    print("discretisation: the library's own estimate of the error of the grid.")
    print("loop:        the time of method='sequential' on the same library.")
    for library in missing:
        print(f"left out:    {library}")
    return 0 if all(row.passed for row in done) else 1


def _cells(row: Row) -> tuple[str, ...]:
    estimate = "-" if row.discretisation is None else f"{row.discretisation:.1e}"
    status = row.status
    if row.status == Status.CONVERGED.name and not row.passed:
        status = f"error above {row.bound:.1e}"
    times = (f"{1e3 * t:,.1f} ms" for t in (row.time, row.loop_time))
    numbers_ = (f"{row.steps}", f"{row.error:.1e}", estimate, *times)
    return (row.problem, row.library.name, row.library.device, *numbers_, status)
