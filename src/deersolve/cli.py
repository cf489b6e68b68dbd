"""The command ``deersolve``: ``demo``, ``info`` and ``run FILE.py``."""

from __future__ import annotations

import argparse
import importlib.util
import platform
import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .demo import LIBRARIES, Library, Row, open_library, rows
from .errors import InputError
from .run_file import FAULT, run_file
from .scans import which_scan
from .solution import Status

SIZES = (("dense", 1), ("dense", 4), ("dense", 32), ("diagonal", 32))
EXIT_CODES = (
    "Exit codes: 0 where all went well; 1 where something did not converge, and what there is of it was written; "
    "2 where the call cannot be right; 3 where the file or f raised an error, or a result could not be written."
)
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
    commands = parser.add_subparsers(required=True, metavar="{demo,info,run}")
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
