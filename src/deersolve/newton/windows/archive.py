"""Windows in a file of NumPy arrays; what is read was written by anybody, and nothing in it is taken on trust."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...backends import backend_of
from ...solution.window import SolvedWindow

MAGIC = b"PK\x03\x04"
MOST = 2**31 - 1  # steps that a counter holds
NAMES = ("y", "windows", "by", "converged", "pace", "total")


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
