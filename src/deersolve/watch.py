"""Windows of a solve: the record of each, and who is told while it runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from .errors import mismatch
from .typing import Array, array_namespace


@dataclasses.dataclass(frozen=True)
class Window:
    """What became of one window.

    Attributes
    ----------
    start, length : int
        Where it begins, and how many of its steps were kept; of a differential equation its intervals.
    steps : int
        The Newton steps that it took; 0 of the loop.
    by : str
        "newton" or "loop".
    """

    start: int
    length: int
    steps: int
    by: str

    @property
    def end(self) -> int:
        """Where the next one begins."""
        return self.start + self.length


@dataclasses.dataclass(frozen=True, eq=False)
class SolvedWindow(Window):
    """A window as ``on_window`` is told of it, with copies of the arrays: whoever has one may write into it.

    Attributes
    ----------
    total : int
        How many steps or intervals there are.
    y : array, shape (*B, length, n)
        The new points: ``start`` to ``end`` of a recurrence, those at the ends of its intervals of a differential
        equation, whose first point is the y0 that you gave.
    converged : array of bool, shape (*B,)
        Which elements have not failed so far.
    seconds : float
        The time since the first window began.
    resumed : bool
        Whether a :class:`Checkpoint` had it.
    pace : tuple of int
        What the length of the next window depends on; a checkpoint keeps it.
    """

    total: int
    y: Array = dataclasses.field(repr=False)
    converged: Array
    seconds: float
    resumed: bool = False
    pace: tuple[int, ...] = dataclasses.field(default=(), repr=False)

    @property
    def record(self) -> Window:
        """The window without its arrays."""
        return Window(self.start, self.length, self.steps, self.by)

    def copy(self) -> SolvedWindow:
        """Return the window with arrays of its own."""
        xp = array_namespace(self.y)
        return dataclasses.replace(
            self, y=xp.asarray(self.y, copy=True), converged=xp.asarray(self.converged, copy=True)
        )


def within(windows: list[SolvedWindow], end: int) -> list[SolvedWindow]:
    """Return the windows before an end, the last of them cut there."""
    inside = [w for w in windows if w.start < end]
    if inside and inside[-1].end > end:
        last = inside[-1]
        short = end - last.start
        inside[-1] = dataclasses.replace(last, length=short, y=last.y[..., :short, :], pace=())
    return inside


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


def in_words(windows: tuple[Window, ...], what: str = "steps") -> str:
    """Return a few words on windows that differ in length or kind, "" if there are none such."""
    by_newton = [w.length for w in windows if w.by == "newton"]
    by_loop = sum(w.length for w in windows if w.by == "loop")
    if len({*by_newton[:-1]}) <= 1 and not (by_loop and by_newton) and by_newton[-1:] <= by_newton[:1]:
        return ""
    least, most = min(by_newton), max(by_newton)
    words = f"{len(by_newton)} window{'s' * (len(by_newton) > 1)} of {least}{f' to {most}' * (most > least)} {what}"
    words = words.removesuffix("s") if most == 1 else words
    return words + (f", the loop for {share(by_loop, windows[-1].end)} of them" if by_loop else "")


def share(part: int, whole: int) -> str:
    """Return a percentage that says neither nothing nor all where that is not so."""
    return f"{min(max(round(100 * part / whole), 1), 99)} %"
