"""What no reviewer should have to check: import purity, public names, layers, sizes, the README."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "deersolve"

ROOMS = [
    {"typing", "errors", "options", "progress", "memory", "watch", "atomic"},
    {"record", "registry"},
    {"domain", "fluxes", "line", "span"},
    {"sheet", "plane"},
    {"volume"},
    {"backends", "dual", "shifters", "bar"},
    {"structure", "mend"},
    {"matrix_sign"},
    {"scans", "bands", "krylov", "sparse"},
    {"inverses"},
    {"jacobian", "system", "solution", "plot", "checkpoint", "arrays", "space", "spacetime", "planar", "planetime"}
    | {"labelled", "view", "film", "faces", "archive"},
    {"twopoint"},
    {"cost"},
    {"globalise", "newton", "homotopy", "pseudotime", "quasi"},
    {"blockwise", "prefix"},
    {"walk", "pace"},
    {"branch", "certificate", "estimate", "implicit", "march", "seeds", "fields", "resume", "shelter", "slide"}
    | {"peclet", "resolution"},
    {"methods", "adapters", "inputs", "probe", "scipy_form", "waves"},
    {"derivative", "plan", "settle"},
    {"choose", "stretches", "at_solution"},
    {"solver", "failure", "sensitivities"},
    {"continuation", "lyapunov"},
    {"__init__", "testing"},
    {"cli", "demo", "run_file", "__main__"},
]
"""From the ground up: a room sees those below it and its neighbours on the same floor."""

SEES_ONLY = {"problems": {"domain", "fluxes", "shifters", "typing", "errors", "options", "record"}}
"""Rooms beside the tower, which see these and nothing else."""

BUILDERS = {"inputs", "space", "spacetime", "planar", "planetime", "twopoint"}
SEES_PROBLEMS = BUILDERS | {
    "adapters",
    "continuation",
    "lyapunov",
    "solver",
    "at_solution",
    "sensitivities",
    "settle",
    "__init__",
    "testing",
    "cli",
    "run_file",
    "__main__",
}
"""The rooms that may look into ``problems``."""

ALLOWED: dict[tuple[str, str], str] = {}
"""Exceptions, ``(from, to): reason``."""

KNOWS_LIBRARIES = {"backends", "scans", "bands", "testing", "inputs", "arrays"}
"""The rooms that may ask which array library an array belongs to."""

ARRAY_LIBRARIES = ("numpy", "scipy", "torch", "jax", "cupy", "numba")
MAX_LINES = 1000


def room_of(path: Path) -> str:
    """Return the part of the package that a file belongs to."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def sources() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def names(paths: list[Path]) -> list[str]:
    return [path.relative_to(ROOT).as_posix() for path in paths]


def relative_imports(tree: ast.AST) -> Iterator[ast.ImportFrom]:
    """Yield the imports of the package itself, at any depth, but not those for type checkers."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.ImportFrom) and node.level:
            yield node
        yield from relative_imports(node)


def rooms_seen(path: Path) -> set[str]:
    """Return the rooms that a file imports from, its own left out."""
    seen = set()
    package = path.relative_to(SOURCE).parent.parts
    for node in relative_imports(ast.parse(path.read_text(encoding="utf-8"))):
        base = package[: len(package) - (node.level - 1)]
        for name in (alias.name for alias in node.names):
            parts = (*base, *(node.module or "").split("."), name)
            first = next(part for part in parts if part)
            is_room = (SOURCE / first).is_dir() or (SOURCE / f"{first}.py").exists()
            seen.add(first if is_room else "__init__")
    return seen - {room_of(path)}


def may_see(room: str) -> set[str]:
    """Return the rooms that a room may import from."""
    extra = {to for start, to in ALLOWED if start == room}
    if room in SEES_ONLY:
        return SEES_ONLY[room] | extra
    floor = next((i for i, floor in enumerate(ROOMS) if room in floor), None)
    assert floor is not None, f"{room}: a new room; put it on a floor of ROOMS"
    below: set[str] = set().union(*ROOMS[: floor + 1])
    return below | extra | ({"problems"} if room in SEES_PROBLEMS else set())


@pytest.mark.parametrize("path", sources(), ids=names(sources()))
def test_nothing_imports_upwards(path):
    room = room_of(path)
    wrong = rooms_seen(path) - may_see(room)
    assert not wrong, f"{room} must not import from {sorted(wrong)}"


@pytest.mark.parametrize("path", sources(), ids=names(sources()))
def test_only_backends_and_scans_know_the_libraries(path):
    if room_of(path) in KNOWS_LIBRARIES:
        return
    text = path.read_text(encoding="utf-8")
    found = re.findall(r"\bis_(?:jax|torch|numpy|cupy)\w*", text)
    assert not found, "a branch on the array library belongs in backends/ or scans/"


def test_no_file_is_long():
    folders = ("src", "tests", "benchmarks", "examples")
    files = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert not names([path for path, n in lengths.items() if n > MAX_LINES])


def in_a_new_process(program: str) -> object:
    """Run a program that prints JSON."""
    run = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_import_loads_no_array_library():
    program = "import json, sys, deersolve; print(json.dumps(sorted(sys.modules)))"
    loaded = in_a_new_process(program)
    assert not set(ARRAY_LIBRARIES) & set(loaded)
    assert "array_api_compat" not in loaded


def test_all_is_exact():
    import deersolve

    public = deersolve.__all__
    assert len(public) == len(set(public))
    for name in public:
        assert getattr(deersolve, name) is not None
    assert set(public) <= set(dir(deersolve))
    ours = {n: getattr(deersolve, n) for n in dir(deersolve) if not n.startswith("_")}
    defined = {n for n, v in ours.items() if getattr(v, "__module__", "").startswith("deersolve")}
    assert not defined - set(public), "public, but not in __all__"


def test_unknown_name_is_an_attribute_error():
    import deersolve

    with pytest.raises(AttributeError, match="no_such_name"):
        deersolve.no_such_name  # noqa: B018 - the access is what is tested


def test_version_is_that_of_the_project_and_in_the_changelog():
    import deersolve

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert deersolve.__version__ == project["version"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{project['version']}]" in changelog or f"## {project['version']}" in changelog


def test_ci_runs_the_test_command_of_the_readme():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"^<!-- test command -->\n+```\w*\n(.*?)\n```$", readme, re.DOTALL | re.MULTILINE)
    assert block, "README.md: expected a fenced block after the line <!-- test command -->"
    command = ["bash", str(ROOT / ".ci" / "run"), "--print-test-command"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == block[1].strip()
    assert '-c constraints.txt ".[all]"' in block[1]
    assert "python -m pytest -n 2 tests" in block[1]


def test_constraints_cover_what_the_project_asks_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *(r for k, v in extras.items() if k != "cupy" for r in v)]
    wanted = {re.split(r"[<>=\[ ]", r)[0] for r in wanted} - {"deersolve"}
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {line.partition("==")[0] for line in lines if "==" in line}
    assert not wanted - pinned
