"""The command ``deersolve``: ``demo``, ``info``, ``run FILE.py``, which solves what a file defines, and ``check``."""

from __future__ import annotations

import argparse
import contextlib
import copy
import importlib.util
import platform
import runpy
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .backends import backend_of
from .backends.libraries import LIBRARIES, Library, open_library
from .backends.trees import tree_map
from .errors import CheckpointWarning, ConvergenceError, DiscretisationWarning, InputError, mismatch
from .grids.times import Initial
from .linalg.scans import which_scan
from .newton.listener import listening
from .newton.windows.checkpoint import Checkpoint
from .newton.windows.progress_bar import Progress
from .problems import Problem
from .solution.atomic_files import place, reason, replacing
from .solution.solution import Solution
from .solution.status import Status, numbers
from .solver import solve
from .testing.check_command import add_check
from .testing.demo import Row, rows

SIZES = (("dense", 1), ("dense", 4), ("dense", 32), ("diagonal", 32))
EXIT_CODES = (
    "Exit codes: 0 where all went well; 1 where something did not converge, and what there is of it was written; "
    "2 where the call cannot be right; 3 where the file or f raised an error, or a result could not be written."
)
FAULT = 3  # the exit code of what neither the equation nor the call explains
LENGTHS = ((100, 1), (10_000, 1), (10_000, 64))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; by default those of the process.

    Returns
    -------
    int
        One of ``EXIT_CODES``.
    """
    args = _parser().parse_args(argv)
    try:
        return int(args.command(args))
    except InputError as error:
        print(f"deersolve: error: {error}", file=sys.stderr)
        return 2
    except (Exception, SystemExit):  # of the file that was run, as well: Python's own exit code would be 1
        traceback.print_exc()
        return FAULT


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="deersolve",
        description="Recurrences and differential equations, solved for all grid points at once.",
        epilog=EXIT_CODES,
    )
    parser.add_argument("--version", action="version", version=f"deersolve {_version()}")
    commands = parser.add_subparsers(required=True, metavar="{demo,info,run,check}")
    demo = commands.add_parser("demo", help="solve three equations on every installed library")
    demo.add_argument("--backend", choices=LIBRARIES, action="append", help="only this library (repeatable)")
    demo.set_defaults(command=_demo)
    info = commands.add_parser("info", help="show versions, devices and what would run where")
    info.set_defaults(command=_info)
    run = commands.add_parser("run", help="solve the `problem` that a Python file defines", epilog=EXIT_CODES)
    run.add_argument("file", type=Path, metavar="FILE.py", help="defines `problem` (and `y_guess`)")
    run.add_argument("--backend", choices=LIBRARIES, help="move the file's NumPy arrays there first")
    run.add_argument("--method", default="auto", choices=("auto", "newton", "sequential"))
    run.add_argument("--out", type=Path, metavar="Y.npz", help="save y, status, t and y_corrected")
    run.add_argument("--plot", type=Path, metavar="Y.png", help="draw y (needs matplotlib)")
    run.add_argument("--checkpoint", type=Path, metavar="FOLDER", help="keep what is solved there, and go on from it")
    run.add_argument("-v", "--verbose", action="store_true", help="show every Newton step")
    run.set_defaults(command=run_file)
    add_check(commands, _load, EXIT_CODES)
    return parser


def _version() -> str:
    try:
        return version("deersolve")
    except PackageNotFoundError:
        return "(not installed)"


# --------------------------------------------------------------------------------------- tables


def _show(head: Sequence[str], body: Sequence[Sequence[str]], right: Sequence[int] = ()) -> None:
    """Print a table, the columns ``right`` flush right."""
    if sys.stdout.isatty() and importlib.util.find_spec("rich"):
        _show_rich(head, body, right)
        return
    lines = [head, *body]
    widths = [max(len(line[k]) for line in lines) for k in range(len(head))]
    for line in [head, ["-" * w for w in widths], *body]:
        cells = enumerate(zip(line, widths, strict=True))
        print("  ".join(c.rjust(w) if k in right else c.ljust(w) for k, (c, w) in cells).rstrip())


def _show_rich(head: Sequence[str], body: Sequence[Sequence[str]], right: Sequence[int] = ()) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for k, name in enumerate(head):
        table.add_column(name, justify="right" if k in right else "left")
    colours = {Status.CONVERGED.name: "green", **{s.name: "red" for s in Status if s}}
    for line in body:
        table.add_row(*(Text(cell, style=colours.get(cell.split(",")[0], "")) for cell in line))
    Console().print(table)


def _libraries(names: Sequence[str]) -> tuple[list[Library], list[str]]:
    """Return the libraries that can be used, and why not of the others."""
    found, missing = [], []
    for name in names:
        try:
            found.append(open_library(name))
        except InputError as error:
            missing.append(str(error))
    return found, missing


# ----------------------------------------------------------------------------------------- demo


def _demo(args: argparse.Namespace) -> int:
    found, missing = _libraries(args.backend or list(LIBRARIES))
    if args.backend and missing:
        raise InputError("; ".join(missing))
    done = []
    for what, compute in rows(found):
        _progress(f"solving: {what} ...")
        done.append(compute())
    _progress("")
    head = ("problem", "backend", "device", "steps", "error", "discretisation", "time", "loop")
    _show((*head, "status"), [_cells(row) for row in done], right=range(3, 8))
    print()
    print("steps, time: Newton's method on all grid points at once (GRU and two lags: 10,000 steps;")
    print("             the pendulum: 1,000 intervals to t = 20). Best time after a warm-up.")
    print("error:       against an independent reference, relative to the largest |y|.")
    print("discretisation: the library's own estimate of the error of the grid.")
    print("loop:        the time of method='sequential' on the same library.")
    for library in missing:
        print(f"left out:    {library}")
    return 0 if all(row.passed for row in done) else 1


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def _cells(row: Row) -> tuple[str, ...]:
    estimate = "-" if row.discretisation is None else f"{row.discretisation:.1e}"
    status = row.status
    if row.status == Status.CONVERGED.name and not row.passed:
        status = f"error above {row.bound:.1e}"
    times = (f"{1e3 * t:,.1f} ms" for t in (row.time, row.loop_time))
    numbers_ = (f"{row.steps}", f"{row.error:.1e}", estimate, *times)
    return (row.problem, row.library.name, row.library.device, *numbers_, status)


# ----------------------------------------------------------------------------------------- info


def _info(args: argparse.Namespace) -> int:
    print(f"deersolve {_version()}, Python {platform.python_version()}, {platform.platform()}")
    print()
    found, missing = _libraries(list(LIBRARIES))
    known = {library.name: (library.version, library.device) for library in found}
    known |= {(parts := text.split(": ", 1))[0]: (parts[1], "") for text in missing}
    _show(("backend", "version", "device"), [(name, *known[name]) for name in LIBRARIES])
    print()
    print("Scans that Newton's method would run in float64 (T points, B batch elements):")
    print()
    reasons: dict[str, str] = {}
    body = []
    for structure, n in SIZES:
        for T, B in LENGTHS:
            ways = [_way(structure, n, T, B, library, reasons) for library in found]
            body.append((structure, str(n), f"{T:,}", str(B), *ways))
    _show(("structure", "n", "T", "B", *(library.name for library in found)), body, right=(1, 2, 3))
    print()
    for why, way in reasons.items():
        print(f"{way}: {why}.")
    return 0


def _way(structure: str, n: int, T: int, B: int, library: Library, reasons: dict[str, str]) -> str:
    way, why = which_scan(structure, n, (1,), T, B, library.name, library.kind, "float64")
    reasons[why] = way
    return way


# ------------------------------------------------------------------------------------------ run


def run_file(args: argparse.Namespace) -> int:
    """Solve the ``problem`` of ``args.file``, save or draw it and print what is known of it; return the exit code."""
    out, plot = _places(args)
    watchers = _watchers(args)
    library = open_library(args.backend) if args.backend else None  # before the file, for float64
    problem, y_guess = _load(args.file)
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


def _load(path: Path) -> tuple[Problem, Any]:
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
