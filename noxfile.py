"""The checks, one session each: ``nox -s tests``; all of the default ones: ``nox``.

Every session also runs in an environment that has the packages: ``nox --no-venv -s tests``.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2024.10"
nox.options.sessions = ["lint", "types", "tests", "doctest", "examples"]
nox.options.reuse_venv = "yes"

TEST_TOOLS = ("pytest", "pytest-xdist", "hypothesis")
BACKENDS = {
    "numpy": (".", *TEST_TOOLS),
    "jax": (".[test,jax]",),
    "torch": (".[test,torch]",),
    "strict": (".[test]",),
}
FIND_GPU = """
import importlib.util, sys
def torch():
    import torch
    return torch.cuda.is_available()
def jax():
    import jax
    return jax.default_backend() == "gpu"
def cupy():
    import cupy
    return cupy.cuda.is_available()
found = [f.__name__ for f in (torch, jax, cupy) if importlib.util.find_spec(f.__name__) and f()]
print(*found)
sys.exit(not found)
"""


def install(session: nox.Session, *what: str) -> None:
    """Install in the session's environment, in the tested versions; nothing where it has none."""
    if session.venv_backend != "none":
        session.install("-c", "constraints.txt", *what)


def examples_of(folder: str) -> list[str]:
    """Return the programs of a folder; nothing where there is none."""
    return [str(path) for path in sorted(Path(folder).glob("*.py"))]


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff and codespell."""
    install(session, "ruff", "codespell")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("codespell")


@nox.session
def types(session: nox.Session) -> None:
    """The type checker, strict, on src."""
    install(session, ".", "mypy")
    session.run("mypy")


@nox.session
@nox.parametrize("backend", list(BACKENDS), ids=list(BACKENDS))
def tests(session: nox.Session, backend: str) -> None:
    """The tests with one array library beside NumPy; those of the others are skipped."""
    install(session, *BACKENDS[backend])
    session.run("python", "-m", "pytest", "-n", "2", *(session.posargs or ["tests"]))


@nox.session
def full(session: nox.Session) -> None:
    """Every test in every case on every library: half an hour on two cores."""
    install(session, ".[all]")
    session.run("python", "-m", "pytest", "-n", "auto", "-m", "", *(session.posargs or ["tests"]))


@nox.session
def doctest(session: nox.Session) -> None:
    """The examples of the docstrings."""
    install(session, ".[all]")
    options = ["--doctest-modules", "--import-mode=prepend"]
    no_device = "--ignore=src/deersolve/backends/cupy.py"
    session.run("python", "-m", "pytest", *options, no_device, "src")


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation; a warning is an error."""
    install(session, ".[docs]")
    session.run("sphinx-build", "-W", "-n", "--keep-going", "-b", "html", "docs", "docs/_build")


@nox.session
def examples(session: nox.Session) -> None:
    """Every example, in its small size."""
    install(session, ".[all]")
    for path in examples_of("examples"):
        session.run("python", path, env={"MPLBACKEND": "Agg", "DEERSOLVE_SMALL": "1"})


@nox.session
def bench(session: nox.Session) -> None:
    """The benchmarks of the CPU, or those named: ``nox -s bench -- benchmarks/bench_scans.py``."""
    install(session, ".[all]")
    every = [path for path in examples_of("benchmarks") if "bench_" in path and "gpu" not in path]
    for path in session.posargs or every:
        session.run("python", path)


@nox.session(venv_backend="none")
def gpu(session: nox.Session) -> None:
    """The tests and the benchmark of the GPU, with this Python; needs no network."""
    probe = [sys.executable, "-c", FIND_GPU]
    found = subprocess.run(probe, capture_output=True, text=True, check=False)
    if found.returncode:
        session.skip(f"no library sees a GPU. {found.stderr.strip()[-300:]}")
    session.log(f"on a GPU: {found.stdout.strip()}")
    env = {"PYTHONPATH": "src", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    session.run(sys.executable, "-m", "pytest", "-n", "auto", "-p", "no:benchmark", "-m", "gpu", "tests", env=env)
    if Path("benchmarks/bench_gpu.py").exists():
        session.run(sys.executable, "benchmarks/bench_gpu.py", *session.posargs, env=env)


@nox.session
def coverage(session: nox.Session) -> None:
    """The tests with branch coverage; too little is an error."""
    install(session, ".[all]")
    report = ["--cov", "--cov-report=term-missing"]
    session.run("python", "-m", "pytest", "-n", "2", "-m", "", *report, *(session.posargs or ["tests"]))


@nox.session
def build(session: nox.Session) -> None:
    """The wheel, in dist/."""
    session.run("python", "-m", "pip", "wheel", "--no-deps", "--wheel-dir", "dist", ".")
