"""The command ``deersolve``: ``demo``, ``info``, ``run FILE.py``, which solves what a file defines, and ``check``."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from ..backends.libraries import LIBRARIES
from ..errors import InputError
from ..testing.check_command import add_check
from .demo import demo
from .info import info, own_version
from .run import FAULT, load, run_file

EXIT_CODES = (
    "Exit codes: 0 where all went well; 1 where something did not converge, and what there is of it was written; "
    "2 where the call cannot be right; 3 where the file or f raised an error, or a result could not be written."
)


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
    parser.add_argument("--version", action="version", version=f"deersolve {own_version()}")
    commands = parser.add_subparsers(required=True, metavar="{demo,info,run,check}")
    shown = commands.add_parser("demo", help="solve three equations on every installed library")
    shown.add_argument("--backend", choices=LIBRARIES, action="append", help="only this library (repeatable)")
    shown.set_defaults(command=demo)
    told = commands.add_parser("info", help="show versions, devices and what would run where")
    told.add_argument("--calibrate", action="store_true", help="measure for a minute what Auto is to know, and keep it")
    told.set_defaults(command=info)
    run = commands.add_parser("run", help="solve the `problem` that a Python file defines", epilog=EXIT_CODES)
    run.add_argument("file", type=Path, metavar="FILE.py", help="defines `problem` (and `y_guess`)")
    run.add_argument("--backend", choices=LIBRARIES, help="move the file's NumPy arrays there first")
    run.add_argument("--method", default="auto", choices=("auto", "newton", "sequential"))
    run.add_argument("--out", type=Path, metavar="Y.npz", help="save y, status, t and y_corrected")
    run.add_argument("--plot", type=Path, metavar="Y.png", help="draw y (needs matplotlib)")
    run.add_argument("--checkpoint", type=Path, metavar="FOLDER", help="keep what is solved there, and go on from it")
    run.add_argument("-v", "--verbose", action="store_true", help="show every Newton step")
    run.set_defaults(command=run_file)
    add_check(commands, load, EXIT_CODES)
    return parser
