"""Who is told of each window while a solve runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
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
    last, resumed : SolvedWindow or None
        What was told last, and what was told last of those that ``store`` had.
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
        self.last: SolvedWindow | None = None
        self.resumed: SolvedWindow | None = None

    def begin(self, total: int) -> None:
        """Tell those who want to know, how many steps or intervals there are."""
        for callback in self.callbacks:
            if hasattr(callback, "begin"):
                callback.begin(total)

    def tell(self, window: SolvedWindow) -> None:
        """Tell everybody of a window, each with a copy of it."""
        self.last = window
        self.resumed = window if window.resumed else self.resumed
        for callback in self.callbacks:
            callback(window.copy())

    def starts_afresh(self) -> None:
        """Look at no window of ``store`` any more."""
        self.takes_over, self.resumed = False, None

    def close(self) -> None:
        """Tell those who want to know that there are no more windows."""
        for callback in self.callbacks:
            if hasattr(callback, "close"):
                callback.close()

    def ended_by(self, error: BaseException) -> None:
        """Tell those who want to know, and note on the error what is not lost and what else went wrong."""
        for callback in self.callbacks:
            try:
                if hasattr(callback, "close"):
                    callback.close()
            except Exception as another:
                error.add_note(f"on_window: {another}")
        error.add_note(self.note())

    def note(self) -> str:
        """Return what is not lost where an exception ends the solve."""
        if self.last is None:
            return "on_window: no window was finished."
        done, kept = self.last.end, min(self.store.end, self.last.end) if self.store else 0
        them = "they" if kept == done else f"{kept} of them"
        where = f"; {them} are in {self.store}, from which the same call goes on" if kept else ""
        return f"on_window: {done} of {self.last.total} steps had been solved{where}."


_watch: ContextVar[Watch | None] = ContextVar("watch", default=None)


@contextmanager
def watching(watch: Watch | None) -> Iterator[None]:
    """Tell ``watch`` of each window that Python sees; an exception gets a note of what is not lost."""
    before = _watch.set(watch)
    try:
        yield
        if watch is not None:
            watch.close()
    except BaseException as error:
        if watch is not None:
            watch.ended_by(error)
        raise
    finally:
        _watch.reset(before)


def watcher() -> Watch | None:
    """Return who watches, or None."""
    return _watch.get()
