"""What the commands print: tables, and what goes on meanwhile."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence

from ..backends.libraries import Library, open_library
from ..errors import InputError
from ..solution.status import Status


def show(head: Sequence[str], body: Sequence[Sequence[str]], right: Sequence[int] = ()) -> None:
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


def libraries(names: Sequence[str]) -> tuple[list[Library], list[str]]:
    """Return the libraries that can be used, and why not of the others."""
    found, missing = [], []
    for name in names:
        try:
            found.append(open_library(name))
        except InputError as error:
            missing.append(str(error))
    return found, missing


def progress(text: str) -> None:
    """Show what goes on, on a terminal, in the place of what was shown before."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
