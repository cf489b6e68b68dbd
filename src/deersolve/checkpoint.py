"""Points of windows in a folder, from which a solve goes on that was interrupted."""

from __future__ import annotations

import os
import time
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .backends import backend_of
from .errors import CheckpointWarning, level_of_caller, mismatch
from .watch import SolvedWindow, within

UNREADABLE = (OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error)


class Checkpoint:
    """Keep what is solved in a folder, window by window; the same call goes on from there.

    Pass it as ``on_window``. A process that is killed loses the window in progress, and no file is ever half written.
    Where the folder holds points, a solve judges them first by its own equation, with one evaluation; what does not
    satisfy it is solved again, with a warning. The horizon may be longer than it was.

    Parameters
    ----------
    folder : str or path
        Where the files ``points-<start>.npz`` are, made if it does not exist: one folder for each problem.
    every : float
        The seconds between two files; at 0 each window has its own. At most that much work is lost.

    Raises
    ------
    InputError
        If the folder is none, or holds points of another batch, another n or another dtype than the problem.

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
        self.folder, self.every = Path(folder), every
        if self.folder.exists() and not self.folder.is_dir():
            raise mismatch("Checkpoint", "a folder", f"{folder}, which is a file")
        if isinstance(every, bool) or not isinstance(every, int | float) or not every >= 0:
            raise mismatch("Checkpoint", "every as a number of seconds >= 0", repr(every))
        self._waiting: list[SolvedWindow] = []
        self._starts: set[int] = set()
        self._written = time.monotonic()

    def __str__(self) -> str:
        return f"Checkpoint({str(self.folder)!r})"

    def stored(self, shape: tuple[int, ...], dtype: str) -> list[SolvedWindow]:
        """Return the windows in the folder that follow each other from the first on, with y as NumPy arrays.

        ``shape`` is (*B, n); a later file stands for what it overlaps of one before it.
        """
        self._waiting, self._written = [], time.monotonic()
        files = {int(p.stem.partition("-")[2]): p for p in self.folder.glob("points-*.npz")}
        self._starts = set(files)
        found: list[SolvedWindow] = []
        for start in sorted(files):
            if start > (found[-1].end if found else 0):
                break
            try:
                windows = list(_read(files[start], shape, dtype))
            except UNREADABLE as error:
                text = f"{self}: {files[start].name} cannot be read ({error}); from there on all is solved again."
                warnings.warn(text, CheckpointWarning, stacklevel=level_of_caller())
                break
            found = [*within(found, start), *windows]
        return found

    def __call__(self, window: SolvedWindow) -> None:
        """Keep a window, and write what has been kept if it is time to."""
        if window.resumed:
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
        windows, self._waiting = self._waiting, []
        start = windows[0].start
        arrays: dict[str, Any] = {
            "y": np.concatenate([_numpy(w.y) for w in windows], axis=-2),
            "windows": np.array([(w.start, w.length, w.steps) for w in windows]),
            "by": np.array([w.by for w in windows]),
            "converged": np.stack([_numpy(w.converged) for w in windows]),
            "pace": np.array([w.pace for w in windows], dtype=np.int64),
            "total": np.array(windows[0].total),
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        final, draft = (self.folder / f"points-{start}.{kind}" for kind in ("npz", "tmp"))
        with draft.open("wb") as file:
            np.savez(file, **arrays)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(final)
        for later in {s for s in self._starts if s > start}:  # of a solve of something else
            (self.folder / f"points-{later}.npz").unlink(missing_ok=True)
        self._starts = {s for s in self._starts if s < start} | {start}
        self._written = time.monotonic()


def _numpy(array: Any) -> Any:
    return backend_of(array).to_numpy(array)


def _read(path: Path, shape: tuple[int, ...], dtype: str) -> Iterator[SolvedWindow]:
    """Yield the windows of a file."""
    with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
        arrays = {name: file[name] for name in ("y", "windows", "by", "converged", "pace", "total")}
    y = arrays["y"]
    received = (*y.shape[:-2], y.shape[-1])
    if received != shape or str(y.dtype) != dtype:
        raise mismatch(
            f"Checkpoint: {path}",
            f"points of shape (*B, n) = {shape} in {dtype}, as the problem has",
            f"{received} in {y.dtype}",
            "Give each problem a folder of its own, or remove this one.",
        )
    first = int(arrays["windows"][0, 0])
    for k, (start, length, steps) in enumerate(arrays["windows"].tolist()):
        yield SolvedWindow(
            start=start,
            length=length,
            steps=steps,
            by=str(arrays["by"][k]),
            total=int(arrays["total"]),
            y=y[..., start - first : start - first + length, :],
            converged=arrays["converged"][k],
            seconds=0.0,
            resumed=True,
            pace=tuple(arrays["pace"][k].tolist()),
        )
