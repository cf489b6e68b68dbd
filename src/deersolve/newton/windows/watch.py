"""Who is told of each window while a solve runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ...errors import mismatch
from ...solution.window import SolvedWindow

Callback = Callable[[SolvedWindow], Any]


class Watch:
    """The callbacks of one solve, told in their order; one that has ``stored``, the first of all, knows windows.

    Attributes
    ----------
    takes_over : bool
        Whether windows of ``store`` are to be looked at.
    done, total : int
        How many steps or intervals were told of, and how many there are.
    resumed : SolvedWindow or None
        What was told last of those that ``store`` had.
    """

    def __init__(self, callbacks: Callback | Sequence[Callback]) -> None:
        given: list[Any] = [*callbacks] if isinstance(callbacks, list | tuple) else [callbacks]
        for callback in given:
            if not callable(callback) or isinstance(callback, type):
                raise mismatch("on_window", "a function of one window, or a list of them", repr(callback))
        stores = [c for c in given if hasattr(c, "stored")]
        if len(stores) > 1:
            raise mismatch("on_window", "at most one Checkpoint", len(stores))
        self.store: Any = stores[0] if stores else None
        self.callbacks = [*stores, *(c for c in given if c is not self.store)]
        self.takes_over = bool(stores)
        self.done, self.total = 0, 0
        self.resumed: SolvedWindow | None = None

    def begin(self, total: int) -> None:
        """Tell those who want to know, how many steps or intervals there are."""
        self.total = total
        for callback in self.callbacks:
            if hasattr(callback, "begin"):
                callback.begin(total)

    def tell(self, window: SolvedWindow) -> None:
        """Tell everybody of a window, each with a copy of it."""
        self.done = window.end
        self.resumed = window if window.resumed else self.resumed
        for callback in self.callbacks:
            callback(window.copy())

    def starts_afresh(self) -> None:
        """Look at no window of ``store`` any more."""
        self.takes_over, self.resumed = False, None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Tell those who want to know that there are no more windows; an exception says what is not lost."""
        try:
            yield
            for callback in self.callbacks:
                _close(callback)
        except BaseException as error:
            for callback in self.callbacks:
                try:
                    _close(callback)
                except Exception as another:
                    error.add_note(f"on_window: {another}")
            error.add_note(self._note())
            raise

    def _note(self) -> str:
        """Return what is not lost where an exception ends the solve."""
        if not self.done:
            return "on_window: no window was finished."
        kept = min(self.store.end, self.done) if self.store else 0
        them = "they" if kept == self.done else f"{kept} of them"
        where = f"; {them} are in {self.store}, from which the same call goes on" if kept else ""
        return f"on_window: {self.done} of {self.total} steps had been solved{where}."


def _close(callback: Any) -> None:
    if hasattr(callback, "close"):
        callback.close()


NOBODY = Watch(())
