"""The array libraries that the tests run on, and the settings that all tests share.

A test with the argument ``lib`` runs once for every entry of ``BACKENDS``; what is not installed,
or has no device here, is skipped. ``@pytest.mark.skip_backend("torch", reason=...)`` leaves one
out, ``xfail_backend`` expects it to fail; a name without a device means all of its devices.
Tests marked ``transformed`` run with "jax:vmap" and "torch:vmap" too: every ``lib.solve`` inside vmap, on JAX in jit.

``pytest`` alone runs a set that has each claim: of the tests with ``lib`` every case on NumPy and PyTorch, one on
``array_api_strict`` and inside PyTorch's vmap, and none on JAX, which compiles each anew. A test says otherwise with
``cases_backend("jax")``, which is its first case, ``cases_backend("jax", "end of the case's id")``, or
``deep_backend("strict")``, none; ``deep_but("a", "b")`` leaves a test only these cases. The rest is marked ``deep``.
What is marked ``slow``, or ``slow_backend("jax")``, is for .ci/run. ``pytest -m ""`` runs everything, and tries more
examples of each property.
"""

from __future__ import annotations

import contextlib
import copy
import gc
import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

import deersolve as ds
from deersolve.backends.trees import tree_leaves, tree_map

BACKENDS = (
    "numpy",
    "strict",  # array-api-strict, on a device that is not the default one
    "torch",
    "torch:gpu",
    "jax",
    "jax:gpu",
    "cupy",
)
TRANSFORMED = ("jax:vmap", "torch:vmap")
EVERY_CASE = ("numpy", "torch", "torch:gpu", "jax:gpu", "cupy")
ONE_CASE = ("strict", "torch:vmap")
REPEATED = {"ddt.dopri8", "ddt.gauss10", "ddt.gauss2", "ddt.gauss6", "ddt.gauss8", "ddt.radau9"}
"""Rules that are others with other numbers: what is tested of every rule is tested of these in the full set."""
MODULES = {"numpy": "numpy", "strict": "array_api_strict", "torch": "torch", "jax": "jax"}
MODULES["cupy"] = "cupy"


def is_installed(name: str) -> bool:
    """Tell whether the library of a backend can be imported."""
    return importlib.util.find_spec(MODULES[name.partition(":")[0]]) is not None


os.environ["DEERSOLVE_CACHE"] = str(Path(__file__).with_name("no cache"))  # the stated constants

if is_installed("jax"):
    # Most of the time of the tests is compilation; with these flags it is a quarter of it. XLA ends the process at a
    # flag that it does not know: the jaxlib of constraints.txt knows them; with another one set XLA_FLAGS, also to "".
    flags = ("cpu_use_fusion_emitters=false", "backend_optimization_level=0", "llvm_disable_expensive_passes=true")
    os.environ.setdefault("XLA_FLAGS", " ".join(f"--xla_{flag}" for flag in flags))
    import jax

    jax.config.update("jax_enable_x64", True)

if is_installed("torch") and "PYTEST_XDIST_WORKER" in os.environ:
    import torch

    torch.set_num_threads(1)

# The fixture `lib` may be shared by the examples of one test: it holds no state.
_shared = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}
settings.register_profile("deersolve", max_examples=25, derandomize="CI" in os.environ, **_shared)
settings.register_profile("quick", max_examples=5, derandomize=True, **_shared)
settings.register_profile("thorough", max_examples=1000, **_shared)


@dataclass(frozen=True)
class Library:
    """An array library on one device."""

    name: str
    xp: Any
    device: Any

    @property
    def is_jax(self) -> bool:
        return self.name.startswith("jax")

    @property
    def is_transformed(self) -> bool:
        return self.name in TRANSFORMED

    @property
    def is_torch(self) -> bool:
        return self.name.startswith("torch")

    @property
    def is_strict(self) -> bool:
        return self.name.startswith("strict")

    @property
    def is_numpy(self) -> bool:
        return self.name == "numpy"

    def asarray(self, value: Any, dtype: str | None = "float64") -> Any:
        """Return an array on the device; ``dtype=None`` keeps the one that NumPy finds."""
        value = np.asarray(value, dtype=dtype)
        if self.is_torch:
            # A copy: PyTorch warns of NumPy arrays that it must not write to.
            return self.xp.asarray(value.copy(), device=self.device)
        return self.xp.asarray(value, device=self.device)

    def solve(self, problem: ds.Problem, y_guess: Any = None, **options: Any) -> ds.Solution:
        """Return ``ds.solve`` of the problem; under vmap with its arrays as arguments."""
        if not self.is_transformed:
            return ds.solve(problem, y_guess, **options)
        names = [name for name in ("x", "params", "grid", "boundary", "t") if hasattr(problem, name)]
        tree = ([getattr(problem, name) for name in names], y_guess)
        arrays = [leaf for leaf in tree_leaves(tree) if self.is_array(leaf)]
        seen: list[ds.Solution] = []

        def run(arrays: list[Any]) -> list[Any]:
            given, new = iter(arrays), copy.copy(problem)
            fields, guess = tree_map(lambda leaf: next(given) if self.is_array(leaf) else leaf, tree)
            for name, field in zip(names, fields, strict=True):
                setattr(new, name, field)
            seen.append(ds.solve(new, guess, **options))
            return tree_leaves(seen[-1])

        mapped = jax.jit(jax.vmap(run)) if self.is_jax else self.xp.func.vmap(run)
        both = mapped([self.xp.stack([a, a]) for a in arrays])
        np.testing.assert_array_equal(both[0][0], both[0][1])
        leaves = [a[0] for a in both]
        found = iter(leaves)
        return tree_map(lambda _: next(found), seen[-1])

    def is_array(self, value: Any) -> bool:
        return isinstance(value, jax.Array if self.is_jax else self.xp.Tensor)

    def to_numpy(self, array: Any) -> np.ndarray:
        """Return a NumPy copy of an array on any device."""
        if self.is_strict:
            return np.array(array.to_device(self.xp.Device("CPU_DEVICE")))
        if self.is_torch:
            return array.detach().cpu().resolve_conj().resolve_neg().numpy().copy()
        if self.name == "cupy":
            return np.array(array.get())
        return np.array(array)


def library(name: str) -> Library:
    """Return the library of that name, or skip the test."""
    if not is_installed(name):
        pytest.skip(f"{MODULES[name.partition(':')[0]]} is not installed")
    root, _, place = name.partition(":")
    if root == "torch":
        import torch
        from array_api_compat import torch as xp

        if place == "gpu" and not torch.cuda.is_available():
            pytest.skip("PyTorch has no GPU here")
        return Library(name, xp, torch.device("cuda" if place == "gpu" else "cpu"))
    if root == "jax":
        import jax.numpy as jnp

        return Library(name, jnp, _jax_device("gpu" if place == "gpu" else "cpu"))
    if root == "cupy":
        import cupy
        from array_api_compat import cupy as xp

        if not cupy.cuda.is_available():
            pytest.skip("CuPy has no GPU here")
        return Library(name, xp, cupy.cuda.Device(0))
    if root == "strict":
        import array_api_strict

        return Library(name, array_api_strict, array_api_strict.Device("device1"))
    from array_api_compat import numpy as xp

    return Library(name, xp, "cpu")


def _jax_device(kind: str) -> Any:
    try:
        return jax.devices(kind)[0]
    except RuntimeError:
        pytest.skip(f"JAX has no {kind} here")


def pytest_configure(config: pytest.Config) -> None:
    """Choose how many examples of a property are tried; a test module asks ``settings.default``."""
    usual = "quick" if "not deep" in config.getoption("markexpr") else "deersolve"
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", usual))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give ``lib`` every library, and JAX's transformations where the test is marked for them."""
    if "lib" not in metafunc.fixturenames:
        return
    is_marked = metafunc.definition.get_closest_marker("transformed") is not None
    names = (*BACKENDS, *TRANSFORMED) if is_marked else BACKENDS
    on_gpu = [name == "cupy" or name.endswith(":gpu") for name in names]
    marks = [[pytest.mark.gpu] if gpu else [] for gpu in on_gpu]
    metafunc.parametrize("lib", [pytest.param(n, marks=m) for n, m in zip(names, marks, strict=True)], indirect=True)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as deep what repeats a claim: see above."""
    had: set[tuple[str, str]] = set()
    for item in items:
        test, _, case = item.nodeid.partition("[")
        cases = [mark.args for mark in item.iter_markers("deep_but")]
        name = item.callspec.params.get("lib", "numpy") if hasattr(item, "callspec") else "numpy"
        if any(mark.args[0] == name for mark in item.iter_markers("slow_backend")):
            item.add_marker("slow")
        repeats = hasattr(item, "callspec") and item.callspec.params.get("key") in REPEATED
        is_brief = _is_brief(item, name, case, (test, name) in had) and not repeats
        if not is_brief or any(not _ends(case, ends) for ends in cases):
            item.add_marker("deep")
        had.add((test, name))


def pytest_collection_finish() -> None:
    """Leave what was imported and collected out of the rounds of the garbage collector."""
    gc.freeze()


def _is_brief(item: pytest.Item, name: str, case: str, had: bool) -> bool:
    """Tell whether a case of a test is the one that a library has."""
    if any(mark.args[0] == name for mark in item.iter_markers("deep_backend")):
        return False
    chosen = [mark.args[1:] for mark in item.iter_markers("cases_backend") if mark.args[0] == name]
    if chosen:
        return any(_ends(case, ends) if ends else not had for ends in chosen)
    return name in EVERY_CASE or (name in ONE_CASE and not had)


def _ends(case: str, ends: tuple[str, ...]) -> bool:
    return case.removesuffix("]").endswith(ends)


@pytest.fixture
def lib(request: pytest.FixtureRequest) -> Iterator[Library]:
    """Every array library in turn; JAX with implicit rank promotion forbidden."""
    name = request.param
    names = {name, name.partition(":")[0]}
    for mark in request.node.iter_markers("skip_backend"):
        if mark.args[0] in names:
            pytest.skip(mark.kwargs["reason"])
    for mark in request.node.iter_markers("xfail_backend"):
        if mark.args[0] in names:
            request.applymarker(pytest.mark.xfail(reason=mark.kwargs["reason"]))
    made = library(name)
    with contextlib.ExitStack() as stack:
        if made.is_jax:
            stack.enter_context(jax.numpy_rank_promotion("raise"))
            stack.enter_context(jax.default_device(made.device))
        yield made
