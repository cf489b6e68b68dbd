"""The command ``deersolve``: ``demo``, ``info`` and ``run FILE.py``."""

from __future__ import annotations

import argparse
import contextlib
import copy
import importlib.util
import platform
import runpy
import sys
import warnings
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from . import Initial, Problem, Solution, solve
from .backends import backend_of
from .demo import LIBRARIES, Library, Row, open_library, rows
from .errors import ConvergenceError, DiscretisationWarning, InputError, mismatch
from .record import tree_map
from .scans import which_scan
from .solution import Status, numbers

SIZES = (("dense", 1), ("dense", 4), ("dense", 32), ("diagonal", 32))
LENGTHS = ((100, 1), (10_000, 1), (10_000, 64))
MAX_LINES, MAX_ELEMENTS = 8, 3  # of a plot


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; by default those of the process.

    Returns
    -------
    int
        0 where all went well, 1 where something did not converge, 2 where the call cannot be right.
    """
    args = _parser().parse_args(argv)
    try:
        return int(args.command(args))
    except InputError as error:
        print(f"deersolve: error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="deersolve",
        description="Recurrences and differential equations, solved for all grid points at once.",
    )
    parser.add_argument("--version", action="version", version=f"deersolve {_version()}")
    commands = parser.add_subparsers(required=True, metavar="{demo,info,run}")
    demo = commands.add_parser("demo", help="solve three equations on every installed library")
    demo.add_argument("--backend", choices=LIBRARIES, action="append", help="only this library (repeatable)")
    demo.set_defaults(command=_demo)
    info = commands.add_parser("info", help="show versions, devices and what would run where")
    info.set_defaults(command=_info)
    run = commands.add_parser("run", help="solve the `problem` that a Python file defines")
    run.add_argument("file", type=Path, metavar="FILE.py", help="defines `problem` (and `y_guess`)")
    run.add_argument("--backend", choices=LIBRARIES, help="move the file's NumPy arrays there first")
    run.add_argument("--method", default="auto", choices=("auto", "newton", "sequential"))
    run.add_argument("--out", type=Path, metavar="Y.npz", help="save y, status, t and y_corrected")
    run.add_argument("--plot", type=Path, metavar="Y.png", help="draw y (needs matplotlib)")
    run.add_argument("-v", "--verbose", action="store_true", help="show every Newton step")
    run.set_defaults(command=_run)
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
    for reason in missing:
        print(f"left out:    {reason}")
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
    for reason, way in reasons.items():
        print(f"{way}: {reason}.")
    return 0


def _way(structure: str, n: int, T: int, B: int, library: Library, reasons: dict[str, str]) -> str:
    kind = library.kind
    way, why = which_scan(structure, n, (1,), T, B, library.name, kind, "float64")
    reasons[why] = way
    return way


# ------------------------------------------------------------------------------------------ run


def _run(args: argparse.Namespace) -> int:
    _check_outputs(args.out, args.plot)
    library = open_library(args.backend) if args.backend else None  # before the file, for float64
    problem, y_guess = _load(args.file)
    if library is not None:
        problem, y_guess = _moved(problem, library), _move(y_guess, library)
    with _short_warnings():
        try:
            sol, code = solve(problem, y_guess, method=args.method), 0
        except ConvergenceError as error:
            print(f"deersolve: not converged: {error}", file=sys.stderr)
            sol, code = error.solution, 1
    if args.verbose or sys.stderr.isatty():
        for line in _history(sol):
            print(line, file=sys.stderr)
    print(sol)
    if args.out:
        _save(sol, args.out)
    if args.plot:
        _plot(sol, args.plot, args.file.name)
    return code


def _check_outputs(out: Path | None, plot: Path | None) -> None:
    """Find out before the work whether its results can be written."""
    for option, path in (("--out", out), ("--plot", plot)):
        if path is not None and not path.parent.is_dir():
            raise mismatch(option, "a file in a folder that exists", str(path))
    if plot is None:
        return
    if importlib.util.find_spec("matplotlib") is None:
        raise InputError("--plot: matplotlib is not installed. Try: pip install 'deersolve[plot]'")
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    kinds = sorted(FigureCanvasAgg.get_supported_filetypes())
    if plot.suffix[1:].lower() not in kinds:
        raise mismatch("--plot", f"a file name that ends in one of {', '.join(kinds)}", str(plot))


def _load(path: Path) -> tuple[Problem, Any]:
    """Run the file and return its ``problem`` and ``y_guess``."""
    if not path.is_file():
        raise mismatch("run", "a Python file", f"{path}, which is none")
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

    new = copy.copy(problem)
    boundary = problem.boundary
    if isinstance(boundary, Initial) and isinstance(boundary.y0, int | float | list | tuple):
        boundary = Initial(np.asarray(boundary.y0))
    new.boundary = _move(boundary, library)
    for name in ("x", "params", "grid", "t"):
        if hasattr(problem, name):
            setattr(new, name, _move(getattr(problem, name), library))
    if isinstance(new.boundary, Initial) and backend_of(new.boundary.y0).name != library.name:
        received = f"an array of {backend_of(new.boundary.y0).name}"
        raise mismatch("--backend", f"y0 of NumPy, to be moved to {library.name}", received)
    return new


@contextlib.contextmanager
def _short_warnings() -> Iterator[None]:
    """Print the text of warnings, without the line of code that they came from."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DiscretisationWarning)
        try:
            yield
        finally:
            for warning in caught:
                print(f"deersolve: warning: {warning.message}", file=sys.stderr)


def _history(sol: Solution) -> list[str]:
    """Return one line for each Newton step; the worst batch element counts."""
    import numpy as np

    history = np.asarray(numbers(sol.stats.history)).reshape(-1, sol.stats.history.shape[-1])
    worst = np.where(np.isnan(history), -1.0, history).max(axis=0)
    return [f"step {k}: relative correction {c:.1e}" for k, c in enumerate(worst) if c >= 0]


def _to_numpy(array: Any) -> Any:
    return open_library(backend_of(array).name).to_numpy(array)


def _save(sol: Solution, path: Path) -> None:
    import numpy as np

    arrays = {name: getattr(sol, name) for name in ("y", "status", "t", "y_corrected")}
    with path.open("wb") as file:  # np.savez would append .npz to other names
        np.savez(file, **{k: _to_numpy(a) for k, a in arrays.items() if a is not None})
    print(f"saved {path}")


def _plot(sol: Solution, path: Path, title: str) -> None:
    """Draw the components of the first batch elements, over t or the number of the point."""
    import numpy as np
    from matplotlib.figure import Figure

    y = _to_numpy(sol.y)
    elements = y.reshape(-1, *y.shape[-2:])
    t = np.arange(y.shape[-2]) if sol.t is None else _to_numpy(sol.t)
    ts = np.broadcast_to(t, y.shape[:-1]).reshape(-1, y.shape[-2])
    figure = Figure(figsize=(8.0, 4.5), layout="constrained")
    axes = figure.add_subplot()
    is_batch = len(elements) > 1
    for b, element in enumerate(elements[:MAX_ELEMENTS]):
        for k in range(min(y.shape[-1], MAX_LINES)):
            label = f"y[{b}, :, {k}]" if is_batch else f"y[:, {k}]"
            axes.plot(ts[b], element[:, k], label=label, linewidth=1.2)
    axes.set_xlabel("point i" if sol.t is None else "t")
    axes.set_ylabel("y")
    shown = f" (first {MAX_ELEMENTS} of {len(elements)})" if len(elements) > MAX_ELEMENTS else ""
    axes.set_title(f"{title}: {sol.stats.method}, {sol.stats.rule}{shown}")
    figure.legend(loc="outside right upper")
    figure.savefig(path, dpi=150)
    print(f"drew {path}")
