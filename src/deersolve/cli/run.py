"""The command ``deersolve run FILE.py``: solve what a file defines, save it, draw it, go on from a checkpoint."""

from __future__ import annotations

import argparse
import contextlib
import copy
import importlib.util
import runpy
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from ..backends import backend_of
from ..backends.libraries import Library, open_library
from ..backends.trees import tree_map
from ..errors import CheckpointWarning, ConvergenceError, DiscretisationWarning, InputError, mismatch
from ..grids.times import Initial
from ..newton.listener import listening
from ..newton.windows.checkpoint import Checkpoint
from ..newton.windows.progress_bar import Progress
from ..problems import Problem
from ..solution.atomic_files import place, reason, replacing
from ..solution.solution import Solution
from ..solution.status import numbers
from ..solver import solve

FAULT = 3  # the exit code of what neither the equation nor the call explains


def run_file(args: argparse.Namespace) -> int:
    """Solve the ``problem`` of ``args.file``, save or draw it and print what is known of it; return the exit code."""
    out, plot = _places(args)
    watchers = _watchers(args)
    library = open_library(args.backend) if args.backend else None  # before the file, for float64
    problem, y_guess = load(args.file)
    if library is not None:
        problem, y_guess = _moved(problem, library), _move(y_guess, library)
    is_shown = args.verbose or sys.stderr.isatty()
    told: list[int] = []

    def tell(step: int, correction: float) -> None:
        told.append(step)
        print(_line(step, correction), file=sys.stderr, flush=True)

    with _short_warnings(), listening(tell) if is_shown else contextlib.nullcontext():
        try:
            sol, code = solve(problem, y_guess, method=args.method, on_window=watchers), 0
        except ConvergenceError as error:
            print(f"deersolve: not converged: {error}", file=sys.stderr)
            sol, code = error.solution, 1
    saved = _written("--out", out, partial(_save, sol))  # before anything is printed, which nobody may be reading
    if is_shown and not told:  # a compiled loop, or windows
        for line in _history(sol):
            print(line, file=sys.stderr)
    print(sol)
    is_there = _told(*saved)
    drawn = _written("--plot", plot, partial(_plot, sol, args))
    return code if _told(*drawn) and is_there else FAULT


def _watchers(args: argparse.Namespace) -> list[Any] | None:
    """Return who is told of each window, None for nobody: windows are as long as they should be then."""
    if args.checkpoint is None:
        return None
    is_shown = sys.stderr.isatty() and importlib.util.find_spec("rich") is not None
    return [Checkpoint(args.checkpoint), *([Progress()] if is_shown else [])]


def _places(args: argparse.Namespace) -> tuple[Path | None, Path | None]:
    """Find out before the work whether its results can be written, and where: the file may go to another folder."""
    if args.out is not None and args.out.suffix not in ("", ".npz"):
        raise mismatch("--out", "a file name that ends in .npz", str(args.out))
    if args.plot is not None:
        _check_plot(args.plot)
    places = [_place(args, option) for option in ("out", "plot")]
    if None not in places and places[0] == places[1]:
        raise mismatch("--plot", "another file than that of --out", str(args.plot))
    return places[0], places[1]


def _place(args: argparse.Namespace, option: str) -> Path | None:
    """Return where a file is to be written, which is neither that of the problem nor that of a checkpoint."""
    path = getattr(args, option)
    if path is None:
        return None
    file = place(f"--{option}", path)
    if file.exists() and args.file.exists() and file.samefile(args.file):
        raise mismatch(f"--{option}", "another file than that of the problem", str(path))
    if args.checkpoint is not None and file.match("points-*.npz") and file.parent == args.checkpoint.resolve():
        raise mismatch(f"--{option}", "another file than those of --checkpoint", str(path))
    return file


def _check_plot(plot: Path) -> None:
    """Raise if nothing can be drawn to a file of that name."""
    if importlib.util.find_spec("matplotlib") is None:
        raise InputError("--plot: matplotlib is not installed. Try: pip install 'deersolve[plot]'")
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    kinds = sorted(FigureCanvasAgg.get_supported_filetypes())
    if plot.suffix[1:].lower() not in kinds:
        raise mismatch("--plot", f"a file name that ends in one of {', '.join(kinds)}", str(plot))


def load(path: Path) -> tuple[Problem, Any]:
    """Run the file and return its ``problem`` and ``y_guess``."""
    if not path.is_file():
        raise mismatch("FILE.py", "a Python file", f"{path}, which is none")
    sys.path.insert(0, str(path.resolve().parent))
    try:
        names = runpy.run_path(str(path))
    finally:
        del sys.path[0]
    example = "such as problem = ds.Recurrence(f, y0, x)"
    if "problem" not in names:
        raise InputError(f"{path}: expected a global `problem`, {example}; it defines none.")
    if not isinstance(names["problem"], Problem):
        received = type(names["problem"]).__name__
        raise mismatch(str(path), f"`problem` to be a deersolve Problem, {example}", received)
    return names["problem"], names.get("y_guess")


def _move(tree: Any, library: Library) -> Any:
    """Move every NumPy array of a tree to the library."""
    import numpy as np

    return tree_map(lambda a: library.asarray(a) if isinstance(a, np.ndarray) else a, tree)


def _moved(problem: Problem, library: Library) -> Problem:
    """Return the problem with its NumPy arrays moved to the library."""
    import numpy as np

    new, held = copy.copy(problem), dict(vars(problem))
    if isinstance(problem.boundary, Initial) and isinstance(problem.boundary.y0, int | float | list | tuple):
        held["boundary"] = Initial(np.asarray(problem.boundary.y0))
    vars(new).update(_move(held, library))
    if isinstance(new.boundary, Initial) and backend_of(new.boundary.y0).name != library.name:
        received = f"an array of {backend_of(new.boundary.y0).name}"
        raise mismatch("--backend", f"y0 of NumPy, to be moved to {library.name}", received)
    return new


@contextlib.contextmanager
def _short_warnings() -> Iterator[None]:
    """Print the text of warnings, without the line of code that they came from, as soon as they come."""

    def tell(message: Warning | str, *_: Any, **__: Any) -> None:
        print(f"deersolve: warning: {message}", file=sys.stderr, flush=True)

    with warnings.catch_warnings():
        warnings.simplefilter("always", DiscretisationWarning)
        warnings.simplefilter("always", CheckpointWarning)
        warnings.showwarning = tell
        yield


def _history(sol: Solution) -> list[str]:
    """Return one line for each Newton step; the worst batch element counts."""
    import numpy as np

    history = np.asarray(numbers(sol.stats.history)).reshape(-1, sol.stats.history.shape[-1])
    worst = np.where(np.isnan(history), -1.0, history).max(axis=0)
    return [_line(k, c) for k, c in enumerate(worst) if c >= 0]


def _line(step: int, correction: float) -> str:
    return f"step {step}: relative correction {correction:.1e}"


def _written(option: str, file: Path | None, write: Callable[[Path], None]) -> tuple[bool, str]:
    """Write a file, if one is asked for; return whether it is there, and what to say of it."""
    if file is None:
        return True, ""
    try:
        with replacing(file) as draft:
            write(draft)
    except OSError as error:
        return False, f"deersolve: error: {option}: {file} could not be written ({reason(error)})."
    return True, f"wrote {file}"


def _told(is_there: bool, text: str) -> bool:
    """Say what became of a file, and return whether it is there."""
    if text:
        print(text, file=sys.stdout if is_there else sys.stderr)
    return is_there


def _save(sol: Solution, path: Path) -> None:
    import numpy as np

    arrays = {name: getattr(sol, name) for name in ("y", "status", "t", "y_corrected")}
    with path.open("wb") as file:  # np.savez would append .npz to other names
        np.savez(file, **{k: backend_of(a).to_numpy(a) for k, a in arrays.items() if a is not None})


def _plot(sol: Solution, args: argparse.Namespace, path: Path) -> None:
    figure = sol.plot()
    figure.suptitle(f"{args.file.name}: {figure.get_suptitle()}")
    figure.savefig(path, dpi=150, format=args.plot.suffix[1:].lower())
