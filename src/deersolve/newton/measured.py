"""Constants of the cost model that were measured on a machine, kept in the user's cache."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import platform
import sys
import warnings
from pathlib import Path
from typing import Any, TypeVar

from ..errors import InputError
from ..solution.atomic_files import replacing

T = TypeVar("T")


def place() -> Path:
    """Return the file of the constants: in ``DEERSOLVE_CACHE``, or where the system keeps what can be made again."""
    home = Path.home()
    system = {
        "win32": os.environ.get("LOCALAPPDATA", home / "AppData" / "Local"),
        "darwin": home / "Library" / "Caches",
    }
    folder = system.get(sys.platform, os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return Path(os.environ.get("DEERSOLVE_CACHE") or Path(folder) / "deersolve") / "cost.json"


def machine() -> str:
    """Return what the constants belong to: a home folder may be that of many machines."""
    return f"{platform.node()}, {platform.machine()}, {os.cpu_count()} cores"


def constants(name: str, default: T) -> T:
    """Return the constants of that name, as they were measured here, or the default: both are of one dataclass.

    Those of another version, of other names or numbers, are left aside with a warning.
    """
    known, stated = here().get(name), vars(default)
    if known is None:
        return default
    odd = [key for key, value in known.items() if key not in stated or not _is_like(value, stated[key])]
    if odd:
        warnings.warn(f"{place()}: {name}, {', '.join(odd)} left aside; measure again.", stacklevel=2)
        return default
    return dataclasses.replace(default, **known)  # type: ignore[type-var]


def _is_like(value: Any, stated: Any) -> bool:
    """Return whether a number, or so many of them of which one is not 0, stand where they did."""
    if not isinstance(stated, tuple):
        return isinstance(value, float)
    return (
        isinstance(value, tuple)
        and len(value) == len(stated)
        and all(isinstance(a, float) for a in value)
        and any(value)
    )


@functools.cache
def here() -> dict[str, Any]:
    """Return what was measured on this machine: nothing, with a warning, where the file cannot be understood."""
    file = place()
    try:
        found = json.loads(file.read_text(encoding="utf-8"))[machine()]
        return {str(name): {key: _number(value) for key, value in known.items()} for name, known in found.items()}
    except (FileNotFoundError, KeyError):
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        warnings.warn(f"{file} is left aside, it does not hold constants ({error}). Delete it.", stacklevel=2)
        return {}


def told() -> str:
    """Return where the constants come from, in words."""
    if here():
        return f"times of this machine, in {place()}"
    return "times of two cores of an AMD EPYC; deersolve info --calibrate measures those of this machine"


def keep(found: dict[str, Any]) -> Path:
    """Write what was measured on this machine, beside what others wrote, and return the file."""
    file = place()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        known = {**_others(file), machine(): found}
        with replacing(file) as draft:
            draft.write_text(json.dumps(known, indent=1), encoding="utf-8")
    except OSError as error:
        raise InputError(f"{file}: cannot be written ({error}). Another folder: set DEERSOLVE_CACHE.") from error
    here.cache_clear()
    return file


def _others(file: Path) -> dict[str, Any]:
    """Return what a file holds of other machines, nothing where it is none."""
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _number(value: Any) -> Any:
    """Return positive microseconds, or a tuple of them."""
    if isinstance(value, list):
        return tuple(map(_number, value))
    if not 0 <= float(value) < float("inf"):
        raise ValueError(f"{value} is no time")
    return float(value)
