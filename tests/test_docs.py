"""The code of README and docs runs as printed, each page in a process of its own."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
IGNORED = "The .grad attribute of a Tensor that is not a leaf"  # a warning of torch.compile itself


BLOCK = re.compile(r"^(?:<!-- needs (\w+) -->\n)?```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[str]:
    """Return the Python blocks of a page, but those that need a library that is not installed."""
    found = BLOCK.findall(page.read_text(encoding="utf-8"))
    return [code for needed, code in found if not needed or importlib.util.find_spec(needed)]


def in_turn() -> list[Any]:
    """Return the pages that have code; those after README are slow."""
    pages = [page for page in PAGES if blocks(page)]
    return [pytest.param(p, id=p.name, marks=[] if p.name == "README.md" else pytest.mark.slow) for p in pages]


@pytest.mark.parametrize("page", in_turn())
def test_the_code_runs(page, tmp_path):
    program = "\n".join(blocks(page))
    for library in re.findall(r"^import (\w+)", program, re.MULTILINE):
        pytest.importorskip(library)
    quiet = ["-W", "error", "-W", f"ignore:{IGNORED}"]
    run = [sys.executable, *quiet, "-c", program]
    done = subprocess.run(run, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
