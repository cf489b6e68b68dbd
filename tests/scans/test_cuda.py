"""The kernels for GPUs: as C++, thread by thread, where there is a compiler, and on a device where there is one."""

from __future__ import annotations

import ctypes
import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import library

from deersolve.errors import InputError
from deersolve.linalg.scans import affine_scan, affine_scan_transposed, cuda, which_scan
from deersolve.linalg.structure import BlockDiagonal, Dense, Diagonal

KINDS = {"dense": Dense, "diagonal": Diagonal, "block-diagonal": BlockDiagonal}
SHIM = """
struct Place { int x; };
static Place blockIdx, blockDim, threadIdx;
#define __global__
#define __device__ static
"""
LAUNCH = """
extern "C" void launch_{name}(
    int blocks, int threads, const R* a, const R* b, R* c, R* d, int T, int L, int C, int s, int B, int one) {{
    blockDim.x = threads;
    for (blockIdx.x = 0; blockIdx.x < blocks; ++blockIdx.x)
        for (threadIdx.x = 0; threadIdx.x < threads; ++threadIdx.x) {name}(a, b, c, d, T, L, C, s, B, one);
}}
"""


@functools.cache
def compiled(dtype, size):
    """Return the two kernels as functions of NumPy arrays."""
    folder = Path(tempfile.mkdtemp())
    launches = "".join(LAUNCH.format(name=name) for name in ("reduce", "apply"))
    (folder / "kernels.cpp").write_text(SHIM + cuda.source(dtype, size) + launches)
    command = ["c++", "-O1", "-w", "-shared", "-fPIC", "-o", folder / "kernels.so", folder / "kernels.cpp"]
    subprocess.run(command, check=True)
    library = ctypes.CDLL(str(folder / "kernels.so"))

    def kernel(name):
        def launch(count, arguments):
            made = [a.ctypes.data_as(ctypes.c_void_p) if isinstance(a, np.ndarray) else a for a in arguments]
            getattr(library, f"launch_{name}")(-(-count // cuda.THREADS), cuda.THREADS, *made)

        return launch

    return kernel("reduce"), kernel("apply")


@pytest.fixture
def on_cpu():
    """Run the kernels on NumPy arrays."""
    if not shutil.which("c++"):
        pytest.skip("no C++ compiler")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cuda, "_compiler", lambda b: compiled)
        patch.setattr(cuda, "can_run", lambda b, n: True)
        yield


@given(st.data())
@settings(max_examples=100)
def test_the_kernels_run_the_loop(on_cpu, data):
    kind = data.draw(st.sampled_from(list(KINDS)))
    T = data.draw(st.sampled_from([1, 2, 16, 31, 32, 33, 47, 48, 49, 500, 1200]))
    n, batch = data.draw(st.sampled_from([2, 4])), data.draw(st.sampled_from([(), (3,), (2, 3)]))
    shared = data.draw(st.sampled_from([batch, tuple(1 for _ in batch), (1, *batch[1:])[: len(batch)], ()]))
    lags = data.draw(st.sampled_from([(1,), (3,), (1, 2)]))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    core = {"dense": (n, n), "diagonal": (n,), "block-diagonal": (n // 2, 2, 2)}[kind]
    As = tuple(KINDS[kind](rng.uniform(-1, 1, size=(*shared, T, *core)) * 0.4 / n) for _ in lags)
    b = rng.normal(size=(*batch, T, n))
    for scan in (affine_scan, affine_scan_transposed):
        ours, theirs = (scan(As, lags, b, way=way) for way in ("cuda", "sequential"))
        # A contraction by 0.8 makes at most 5 of an error of (n + 2) roundings a step, in both.
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=10 * (2 * n + 2) * 2.2e-16 * np.max(np.abs(theirs)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("kind", "n", "T"), [("dense", 1, 3000), ("dense", 4, 3000), ("dense", 20, 500), ("diagonal", 40, 3000)]
)
@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.gpu) for name in ("cupy", "torch:gpu")])
def test_on_a_device(name, kind, n, T, dtype):
    lib = library(name)
    rng = np.random.default_rng(n)
    core = (n, n) if kind == "dense" else (n,)
    A, b = rng.uniform(-1, 1, size=(2, T, *core)) * 0.4 / n, rng.normal(size=(2, T, n))
    ours = affine_scan((KINDS[kind](lib.asarray(A, dtype)),), (1,), lib.asarray(b, dtype), way="cuda")
    theirs = affine_scan((KINDS[kind](A),), (1,), b, way="sequential")
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(lib.to_numpy(ours), theirs, rtol=0, atol=10 * (2 * n + 2) * eps * np.max(np.abs(theirs)))


def test_it_is_chosen_on_a_gpu_only():
    assert which_scan("dense", 4, (1,), 10_000, 1, "cupy", "cuda", "float32")[0] == "cuda"
    assert which_scan("diagonal", 400, (2,), 10_000, 1, "cupy", "cuda", "float64")[0] == "cuda"
    assert which_scan("dense", 8, (1, 3), 10_000, 1, "cupy", "cuda", "float64")[0] != "cuda"  # 24 in one state
    assert which_scan("dense", 33, (1,), 10_000, 1, "cupy", "cuda", "float64")[0] != "cuda"
    assert which_scan("dense", 4, (1,), 10_000, 1, "cupy", "cuda", "complex128")[0] != "cuda"
    with pytest.raises(InputError, match=r"'cuda': expected float32 or float64 of CuPy.*received float64 of numpy"):
        affine_scan((Dense(np.ones((40, 2, 2))),), (1,), np.ones((40, 2)), way="cuda")
