"""The record of a window of a solve."""

from __future__ import annotations

import dataclasses

from ..backends.namespace import Array, array_namespace


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
    def axis(self) -> int:
        """The axis of y along which windows follow each other, counted from the first."""
        return int(self.converged.ndim)

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
        inside[-1] = dataclasses.replace(
            last, length=short, y=last.y[(*(slice(None),) * last.axis, slice(short), ...)], pace=()
        )
    return inside


def in_words(windows: tuple[Window, ...], what: str = "steps", asked: int | None = None) -> str:
    """Return a few words on windows of other lengths than was asked for, or of two kinds; "" if there are none such."""
    by_newton = [w.length for w in windows if w.by == "newton"]
    by_loop = sum(w.length for w in windows if w.by == "loop")
    is_as_asked = asked is not None and {*by_newton[:-1]} <= {asked} and by_newton[-1:] <= [asked]
    if len(windows) < 2 or not by_newton or (is_as_asked and not by_loop):
        return ""
    least, most = min(by_newton), max(by_newton)
    words = f"{len(by_newton)} window{'s' * (len(by_newton) > 1)} of {least}{f' to {most}' * (most > least)} {what}"
    words = words.removesuffix("s") if most == 1 else words
    return words + (f", the loop for {share(by_loop, windows[-1].end)} of them" if by_loop else "")


def share(part: int, whole: int) -> str:
    """Return a percentage that says neither nothing nor all where that is not so."""
    return f"{min(max(round(100 * part / whole), 1), 99)} %"
