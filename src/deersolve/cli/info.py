"""The command ``deersolve info``: versions, devices, what would run where, and what Auto goes by."""

from __future__ import annotations

import argparse
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from ..backends.libraries import LIBRARIES, Library
from ..linalg.scans import which_scan
from ..newton.measured import keep, told
from ..testing.calibration import calibrations
from .tables import libraries, progress, show

SIZES = (("dense", 1), ("dense", 4), ("dense", 32), ("diagonal", 32))
LENGTHS = ((100, 1), (10_000, 1), (10_000, 64))


def own_version() -> str:
    """Return the version of deersolve."""
    try:
        return version("deersolve")
    except PackageNotFoundError:
        return "(not installed)"


def info(args: argparse.Namespace) -> int:
    """Print what is there, measure if that is asked for, and return the exit code."""
    print(f"deersolve {own_version()}, Python {platform.python_version()}, {platform.platform()}")
    print()
    found, missing = libraries(list(LIBRARIES))
    known = {library.name: (library.version, library.device) for library in found}
    known |= {(parts := text.split(": ", 1))[0]: (parts[1], "") for text in missing}
    show(("backend", "version", "device"), [(name, *known[name]) for name in LIBRARIES])
    print()
    print("Scans that Newton's method would run in float64 (T points, B batch elements):")
    print()
    reasons: dict[str, str] = {}
    body = []
    for structure, n in SIZES:
        for T, B in LENGTHS:
            ways = [_way(structure, n, T, B, library, reasons) for library in found]
            body.append((structure, str(n), f"{T:,}", str(B), *ways))
    show(("structure", "n", "T", "B", *(library.name for library in found)), body, right=(1, 2, 3))
    print()
    for why, way in reasons.items():
        print(f"{way}: {why}.")
    print()
    if args.calibrate:
        keep(_measured(found))
    print(f"Auto goes by {told()}.")
    return 0


def _measured(found: list[Library]) -> dict[str, Any]:
    """Return the constants of the libraries, and say meanwhile what is measured."""
    known: dict[str, Any] = {}
    for what, measure in calibrations(found):
        progress(f"measuring: {what} ...")
        known |= measure()
    progress("")
    return known


def _way(structure: str, n: int, T: int, B: int, library: Library, reasons: dict[str, str]) -> str:
    way, why = which_scan(structure, n, (1,), T, B, library.name, library.kind, "float64")
    reasons[why] = way
    return way
