"""Points of windows in a folder, from which a solve goes on that was interrupted.

What is read was written by anybody, and nothing in it is taken on trust.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from ...backends import backend_of
from ...errors import CheckpointError, CheckpointWarning, level_of_caller, mismatch
from ...solution.atomic_files import drafted, reason, replacing
from ...solution.window import SolvedWindow, within

NAME = re.compile(r"points-(0|[1-9][0-9]*)\.npz")
MAGIC = b"PK\x03\x04"
MOST = 2**31 - 1  # steps that a counter holds
NAMES = ("y", "windows", "by", "converged", "pace", "total")


class Checkpoint:
    """Keep what is solved in a folder, window by window; the same call goes on from there.

    Pass it as ``on_window``. A process that is killed loses the window in progress, and no file is ever half written.
    Where the folder holds points, a solve judges them first by its own equation, with one evaluation; what does not
    satisfy it is solved again, with a warning, and so is what cannot be read: it is renamed to ``*.unreadable``. A
    solve that goes on to no certified whole starts afresh. The horizon may be longer than it was.

    Parameters
    ----------
    folder : str or path
        Where the files ``points-<start>.npz`` are, made if it does not exist: one folder for each problem.
    every : float
        The seconds between two files; at 0 each window has its own. At most that much work is lost.

    Raises
    ------
    InputError
        If the folder is none, cannot be written to, or holds points of another batch, another n or another dtype than
        the problem.
    CheckpointError
        If windows cannot be written while there are more to solve; where there are none it is a warning.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import deersolve as ds
    >>> problem = ds.Recurrence(lambda y, x, r: r * y * (1 - y), np.array([0.3]), params=3.9, n_points=5000)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sol = ds.solve(problem, on_window=ds.Checkpoint(folder))
    ...     again = ds.solve(problem, on_window=ds.Checkpoint(folder))  # nothing is left to do
    >>> bool((sol.y == again.y).all())
    True
    """

    def __init__(self, folder: str | os.PathLike[str], every: float = 0.0) -> None:
        if not isinstance(folder, str | os.PathLike) or "\0" in os.fspath(folder):
            raise mismatch("Checkpoint", "the path of a folder", repr(folder))
        self.folder, self.every, self._name = Path(folder).absolute(), every, str(folder)
        if self.folder.exists() and not self.folder.is_dir():
            raise mismatch("Checkpoint", "a folder", f"{folder}, which is a file")
        if isinstance(every, bool) or not isinstance(every, int | float) or not every >= 0:
            raise mismatch("Checkpoint", "every as a number of seconds >= 0", repr(every))
        self.end = 0  # of what is known to be in the folder
        self._total = 0
        self._waiting: list[SolvedWindow] = []
        self._starts: set[int] = set()
        self._written = time.monotonic()

    def __str__(self) -> str:
        return f"Checkpoint({self._name!r})"

    def begin(self, total: int) -> None:
        """Forget a solve before this one."""
        self.end, self._total, self._waiting, self._written = 0, total, [], time.monotonic()

    def stored(self, shape: tuple[int, ...], dtype: str) -> list[SolvedWindow]:
        """Return the windows in the folder that follow each other from the first on, with y as NumPy arrays.

        ``shape`` is (*B, n); a later file stands for what it overlaps of one before it. Where that is not all, find out
        before the work whether files can be written.
        """
        found: list[SolvedWindow] = []
        self._starts, goes_on = set(), True
        for start, path in sorted(self._files().items()):
            windows = self._read(path, start, shape, dtype)
            self._starts |= {start} if windows else set()
            end = found[-1].end if found else 0
            if goes_on and windows and start > end:
                self._warn(f"the steps from {end} to {start} are missing; from there on all is solved again")
            goes_on = goes_on and bool(windows) and start <= end
            found = [*within(found, start), *windows] if goes_on else found
        if not found or found[-1].end < self._total:
            self._try()
        return found

    def _files(self) -> dict[int, Path]:
        """Return what is named as the files of a checkpoint are, by where they start."""
        files = {}
        for path in sorted(self.folder.glob("points-*.npz")):
            named = NAME.fullmatch(path.name)
            if named:
                files[int(named[1])] = path
            else:
                self._warn(f"{path.name} is not named as its files are, and left as it is")
        return files

    def _read(self, path: Path, start: int, shape: tuple[int, ...], dtype: str) -> list[SolvedWindow]:
        """Return the windows of a file, none if it cannot be read; raise if they are of another kind of problem."""
        try:
            windows = read(path, start)
        except Exception as error:  # of whatever kind: the file is anybody's
            self._put_aside(path, error)
            return []
        y = windows[0].y
        received = (*y.shape[: windows[0].axis], *y.shape[windows[0].axis + 1 :])
        if received != shape or str(y.dtype) != dtype:
            raise mismatch(
                f"Checkpoint: {path}",
                f"points of shape (*B, n) = {shape} in {dtype}, as the problem has",
                f"{received} in {y.dtype}",
                "Give each problem a folder of its own, or remove this one.",
            )
        return windows

    def _put_aside(self, path: Path, error: Exception) -> None:
        """Rename what cannot be read, so that nothing is written over it."""
        number, aside = 1, path.with_name(f"{path.name}.unreadable")
        while os.path.lexists(aside):
            number, aside = number + 1, path.with_name(f"{path.name}.{number}.unreadable")
        try:
            path.rename(aside)
            now = f"; it is {aside.name} now"
        except OSError as why:
            now = f", nor renamed ({reason(why)})"
        self._warn(f"{path.name} cannot be read ({error}){now}. From there on all is solved again")

    def _try(self) -> None:
        """Raise if no file can be written."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with drafted(self._file(0)):
                pass
        except OSError as error:
            raise mismatch(
                "Checkpoint", "a folder that can be written to", f"{self._name} ({reason(error)})"
            ) from error

    def _file(self, start: int) -> Path:
        return self.folder / f"points-{start}.npz"

    def _warn(self, text: str) -> None:
        warnings.warn(f"{self}: {text}.", CheckpointWarning, stacklevel=level_of_caller())

    def __call__(self, window: SolvedWindow) -> None:
        """Keep a window, and write what has been kept if it is time to."""
        if window.resumed:
            self.end = window.end
            return
        if self._waiting and window.start != self._waiting[-1].end:
            self.close()
        self._waiting.append(window)
        if time.monotonic() - self._written >= self.every:
            self.close()

    def close(self) -> None:
        """Write what has been kept."""
        if not self._waiting:
            return
        try:
            self._write(self._waiting)
        except OSError as error:
            self._failed(error)
        self._waiting, self._written = [], time.monotonic()

    def _write(self, windows: list[SolvedWindow]) -> None:
        start = windows[0].start
        with replacing(self._file(start)) as draft:
            write(draft, windows)
        self.end = windows[-1].end
        for later in {s for s in self._starts if s > start}:  # of a solve of something else
            with contextlib.suppress(OSError):  # what stays is judged like all else
                self._file(later).unlink()
        self._starts = {s for s in self._starts if s < start} | {start}

    def _failed(self, error: OSError) -> None:
        """Raise, or warn where the solution is there all the same."""
        windows, self._waiting = self._waiting, []
        start, end = windows[0].start, windows[-1].end
        text = f"{self._file(start).name} could not be written ({reason(error)}): steps {start} to {end} are not kept"
        if end < windows[-1].total:
            raise CheckpointError(f"{self}: {text}. Mend that, and the same call goes on.") from error
        self._warn(text)


def write(path: Path, windows: list[SolvedWindow]) -> None:
    """Write windows that follow each other."""
    arrays: dict[str, Any] = {
        "y": np.concatenate([_numpy(w.y) for w in windows], axis=windows[0].axis),
        "windows": np.array([(w.start, w.length, w.steps) for w in windows]),
        "by": np.array([w.by for w in windows]),
        "converged": np.stack([_numpy(w.converged) for w in windows]),
        "pace": np.array([w.pace for w in windows], dtype=np.int64),
        "total": np.array(windows[0].total),
    }
    with path.open("wb") as file:
        np.savez(file, **arrays)


def _numpy(array: Any) -> Any:
    return backend_of(array).to_numpy(array)


def read(path: Path, start: int) -> list[SolvedWindow]:
    """Return the windows of a file, of which the first is to begin at ``start``.

    Raises
    ------
    Exception
        Of any kind, if these are no windows.
    """
    if not path.is_file():  # a pipe would be waited for
        raise ValueError("it is no file")
    with path.open("rb") as opened:
        if opened.read(len(MAGIC)) != MAGIC:  # no pickle is tried
            raise ValueError("it is no archive of arrays")
        opened.seek(0)
        with np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in NAMES}
    _check(arrays, start)
    windows, whole = [], (slice(None),) * (arrays["converged"].ndim - 1)
    for k, (first, length, steps) in enumerate(arrays["windows"].tolist()):
        windows.append(
            SolvedWindow(
                start=first,
                length=length,
                steps=steps,
                by=str(arrays["by"][k]),
                total=int(arrays["total"]),
                y=arrays["y"][(*whole, slice(first - start, first - start + length))],
                converged=arrays["converged"][k],
                seconds=0.0,
                resumed=True,
                pace=tuple(arrays["pace"][k].tolist()),
            )
        )
    return windows


def _check(arrays: dict[str, Any], start: int) -> None:
    """Raise if the arrays do not fit together, or cannot be those of windows that begin at ``start``."""
    y, windows, axis = arrays["y"], arrays["windows"], arrays["converged"].ndim - 1
    if y.dtype.kind != "f" or not y.dtype.isnative or not 0 <= axis < y.ndim - 1 or y.size == 0:
        raise ValueError(f"y of shape {y.shape} in {y.dtype} is not that of points")
    count = windows.shape[0] if windows.ndim else 0
    shapes = {"windows": (count, 3), "by": (count,), "converged": (count, *y.shape[:axis]), "total": ()}
    kinds = {"windows": "i", "by": "U", "converged": "b", "pace": "i", "total": "i"}
    for name, shape in {**shapes, "pace": (count, *arrays["pace"].shape[-1:])}.items():
        if arrays[name].shape != shape or arrays[name].dtype.kind != kinds[name]:
            raise ValueError(f"{name} of shape {arrays[name].shape} in {arrays[name].dtype} is not that of windows")
    ends = [start]
    for first, length, steps in windows.tolist():
        if first != ends[-1] or not 0 < length <= y.shape[axis] or not 0 <= steps <= MOST:
            raise ValueError(f"a window of {length} steps from {first} on does not fit")
        ends.append(first + length)
    if ends[-1] - start != y.shape[axis] or not {*arrays["by"].tolist()} <= {"newton", "loop"}:
        raise ValueError("the windows are not those of the points")
