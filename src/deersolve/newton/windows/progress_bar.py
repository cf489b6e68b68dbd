"""A line on the terminal that says how far a solve has come."""

from __future__ import annotations

from typing import Any

from ...errors import InputError, mismatch
from ...solution.window import SolvedWindow


class Progress:
    """Show how many steps are solved, how fast, and how much time is left; pass it as ``on_window``.

    Needs rich: ``pip install 'deersolve[cli]'``. The line goes to the standard error, and is drawn again as windows are
    finished; where that is no terminal, only the last one appears.

    Parameters
    ----------
    console : rich.console.Console, optional
        Where to draw instead.

    Raises
    ------
    InputError
        If rich is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> import deersolve as ds
    >>> problem = ds.Recurrence(lambda y, x, r: r * y * (1 - y), np.array([0.3]), params=3.9, n_points=5000)
    >>> sol = ds.solve(problem, on_window=ds.Progress())
    """

    def __init__(self, console: Any = None) -> None:
        try:
            from rich.console import Console
        except ModuleNotFoundError as error:
            raise InputError("Progress: rich is not installed. Try: pip install 'deersolve[cli]'") from error
        if console is not None and not isinstance(console, Console):
            raise mismatch("Progress", "a console of rich", type(console).__name__)
        self.console = Console(stderr=True) if console is None else console
        self._bar: Any = None

    def begin(self, total: int) -> None:
        """Draw the line."""
        from rich import progress

        self.close()
        columns = (
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.TaskProgressColumn(),
            progress.MofNCompleteColumn(),
            progress.TextColumn("{task.fields[rate]}"),
            progress.TimeElapsedColumn(),
            progress.TextColumn("left"),
            progress.TimeRemainingColumn(),
        )
        self._bar = progress.Progress(*columns, console=self.console)
        self._task = self._bar.add_task("solving", total=total, rate="")
        self._first = 0
        self._bar.start()

    def __call__(self, window: SolvedWindow) -> None:
        """Draw it again."""
        if window.resumed:
            self._first = window.end
            self._bar.reset(self._task, completed=window.end)
            return
        done, seconds = window.end - self._first, window.seconds
        rate = f"{done / seconds:,.0f} steps/s" if seconds > 0 else ""
        what = "the loop" if window.by == "loop" else f"{window.length} in {window.steps} Newton steps"
        self._bar.update(self._task, completed=window.end, rate=rate, description=what)

    def close(self) -> None:
        """Leave the line as it is."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
