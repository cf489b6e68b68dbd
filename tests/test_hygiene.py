"""What no reviewer should have to check: import purity, public names, layers, sizes, the README."""

from __future__ import annotations

import ast
import functools
import graphlib
import json
import re
import statistics
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "deersolve"

FLOORS = [
    {"errors"},
    {"backends"},
    {"linalg", "solution"},
    {"grids"},
    {"inverses", "problems"},
    {"newton", "adaptive"},
    {"solver"},
    {"analysis", "integrate", "recurrent"},
    {"__init__", "__main__", "cli", "flax", "testing", "torch"},
]
"""From the ground up: the packages and files at the top, each of which sees those below it and its own floor."""

KNOWS_LIBRARIES = {"backends", "linalg", "testing"}
"""The rooms that may ask which array library an array belongs to."""

ARRAY_LIBRARIES = ("numpy", "scipy", "torch", "jax", "flax", "cupy", "numba")
MAX_LINES = {"src": 400, "others": 1000}
MEDIAN = 121  # lines of a file
MOST_OF_A_FUNCTION = 50  # lines without its docstring
LINES_OF_SOURCE = 38159
"""Lowered whenever the package gets shorter."""


def room_of(path: Path) -> str:
    """Return the package or file at the top that a file belongs to."""
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


@functools.cache
def files_seen(path: Path) -> set[Path]:
    """Return the files that a file imports from."""
    seen = set()
    for node in relative_imports(ast.parse(path.read_text(encoding="utf-8"))):
        base = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
        if base.with_suffix(".py").exists():
            seen.add(base.with_suffix(".py"))
            continue
        for name in (alias.name for alias in node.names):
            found = (base / f"{name}.py", base / name / "__init__.py", base / "__init__.py")
            seen.add(next(file for file in found if file.exists()))
    return seen - {path}


def floor_of(path: Path) -> int:
    floor = next((k for k, floor in enumerate(FLOORS) if room_of(path) in floor), None)
    assert floor is not None, f"{room_of(path)}: new at the top; put it on a floor of FLOORS"
    return floor


def test_the_house_has_few_packages_files_and_floors():
    rooms = {room_of(path) for path in sources()}
    packages = {room for room in rooms if (SOURCE / room).is_dir()}
    assert len(packages) <= 14
    assert len(rooms - packages) <= 5
    assert len(FLOORS) <= 9
    assert rooms == set().union(*FLOORS)


@pytest.mark.parametrize("path", sources(), ids=names(sources()))
def test_nothing_imports_upwards(path):
    wrong = [seen for seen in files_seen(path) if floor_of(seen) > floor_of(path)]
    assert not wrong, f"{path.name} must not import from {names(wrong)}"


def test_no_circle_of_files():
    """An ``__init__`` that gathers names of its package is left out: its files import one another, not it."""
    graph = {path: {p for p in files_seen(path) if p.name != "__init__.py"} for path in sources()}
    try:
        in_order = [*graphlib.TopologicalSorter(graph).static_order()]
    except graphlib.CycleError as error:
        pytest.fail(f"these import one another: {names(error.args[1])}")
    assert {*graph} <= {*in_order}


def test_the_source_does_not_grow():
    assert sum(len(path.read_text(encoding="utf-8").splitlines()) for path in sources()) <= LINES_OF_SOURCE


@pytest.mark.parametrize("path", sources(), ids=names(sources()))
def test_only_backends_and_scans_know_the_libraries(path):
    if room_of(path) in KNOWS_LIBRARIES:
        return
    text = path.read_text(encoding="utf-8")
    found = re.findall(r"\bis_(?:jax|torch|numpy|cupy)\w*", text)
    assert not found, "a branch on the array library belongs in backends/ or scans/"


@pytest.mark.parametrize("path", sources(), ids=names(sources()))
def test_nobody_asks_what_a_grid_a_problem_a_rule_or_a_method_is(path):
    text = path.read_text(encoding="utf-8")
    asked = re.findall(r"(?:has|get)attr\((?:\w+\.)*(?:grid|problem|rule|method), .*", text)
    assert not asked, "give it a method, or an attribute in its base class"
    assert not re.findall(r"type\(\w*\.?(?:rule|grid|problem)\)\.\w+ is", text)


def test_no_file_is_long():
    long = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in sources()}
    assert not {path.name: count for path, count in long.items() if count > MAX_LINES["src"]}
    for folder in ("tests", "benchmarks", "examples"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES["others"], path
    assert statistics.median(long.values()) <= MEDIAN


@pytest.mark.parametrize("path", sources(), ids=names(sources()))
def test_no_function_is_long(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            first = node.body[0]
            has_text = ast.get_docstring(node) is not None
            text = (first.end_lineno or 0) - first.lineno + 1 if has_text else 0
            assert (node.end_lineno or 0) - node.lineno + 1 - text <= MOST_OF_A_FUNCTION, node.name


@pytest.mark.parametrize(
    ("what", "pattern"),
    [
        ("a loop over windows", r"while \w+\.goes_on\(\)"),
        ("a judgement of an iterate", r"^def judge\("),
        ("a march over levels", r"in_place\(backend\.scan\("),
    ],
)
def test_there_is_one_of(what, pattern):
    found = [
        path.name for path in sources() for _ in re.findall(pattern, path.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert len(found) == 1, f"{what}: {found}"


@pytest.mark.parametrize("path", sources(), ids=names(sources()))
def test_no_ladder_over_problem_classes(path):
    """A problem that is of one class or another has a method; that it is a problem at all may be asked."""
    classes = "BoundaryValueProblem|Elliptic|Evolution|InitialValueProblem|Recurrence|TwoPointProblem|SpaceProblem"
    assert not re.findall(rf"isinstance\([^()]*,[^()]*\b(?:{classes})", path.read_text(encoding="utf-8"))


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


def test_type_checkers_see_what_a_user_gets():
    import deersolve

    tree = ast.parse((SOURCE / "__init__.py").read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {(alias.name, alias.asname): node.module for node in block.body for alias in node.names}
    rooms = {name: room for room, names in deersolve._rooms.items() for name in names.split()}
    assert seen == {(name, name): rooms.get(name) for name in deersolve.__all__}


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
