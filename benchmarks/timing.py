"""Fair timings: interleaved medians after a warm-up, with every device synchronised."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple


class Timing(NamedTuple):
    """Seconds per call."""

    median: float
    q1: float
    q3: float


def compare(candidates: Mapping[str, Callable[[], Any]], repeats: int = 7) -> dict[str, Timing]:
    """Time all candidates in turn, ``repeats`` times, after one call of each that is not counted.

    Taking turns lets a busy machine slow all of them alike, so that their ratios can be trusted.
    """
    samples: dict[str, list[float]] = {name: [] for name in candidates}
    for candidate in candidates.values():
        synchronise(candidate())
    for _ in range(repeats):
        for name, candidate in candidates.items():
            start = time.perf_counter()
            synchronise(candidate())
            samples[name].append(time.perf_counter() - start)
    return {name: _quartiles(sorted(times)) for name, times in samples.items()}


def _quartiles(times: list[float]) -> Timing:
    def at(part: float) -> float:
        place = part * (len(times) - 1)
        low = int(place)
        high = min(low + 1, len(times) - 1)
        return times[low] + (place - low) * (times[high] - times[low])

    return Timing(at(0.5), at(0.25), at(0.75))


def synchronise(result: Any) -> Any:
    """Wait until ``result`` (an array, or a tuple, list or dict of them) is computed."""
    parts = result.values() if isinstance(result, dict) else result
    if isinstance(result, dict | list | tuple):
        for part in parts:
            synchronise(part)
    elif hasattr(result, "block_until_ready"):
        result.block_until_ready()
    elif getattr(result, "is_cuda", False):
        sys.modules["torch"].cuda.synchronize(result.device)
    elif type(result).__module__.startswith("cupy"):
        sys.modules["cupy"].cuda.get_current_stream().synchronize()
    return result


def header(*packages: str) -> str:
    """Return one line on the hardware and one on the versions of the packages that are installed."""
    found = []
    for name in packages:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"no {name}")
    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if "model name" in line] if info.exists() else []
    chip = names[0].partition(":")[2].strip() if names else platform.processor() or platform.machine()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{chip}, {cores} cores, {platform.system()}\nPython {platform.python_version()}, {', '.join(found)}"


def table(titles: list[str], rows: list[list[Any]]) -> str:
    """Return a Markdown table; floats get three significant digits."""
    cells = [titles, *([f"{v:.3g}" if isinstance(v, float) else str(v) for v in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(titles))]
    lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in cells]
    lines.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
    return "\n".join(lines)


def ratios(timings: Mapping[str, Timing], base: str) -> str:
    """Return a table of the medians and quartiles in milliseconds and of the ratios to ``base``."""
    rows: list[list[Any]] = [
        [name, 1e3 * t.median, f"{1e3 * t.q1:.3g}-{1e3 * t.q3:.3g}", t.median / timings[base].median]
        for name, t in timings.items()
    ]
    return table(["", "ms", "quartiles", f"ratio to {base}"], rows)
