"""``cuda``: a chunk of the recurrence for each thread of a GPU, for CuPy arrays and PyTorch tensors."""

from __future__ import annotations

import functools
import importlib.resources
import math
from collections.abc import Callable
from typing import Any, TypeAlias

from ...backends.namespace import Array, array_namespace
from ...errors import InputError
from ..host import device_name, family, has_compiler
from .affine import register
from .lag_one import WIDEST, to_lag_one

Kernel: TypeAlias = Callable[[int, tuple[Any, ...]], None]
"""``kernel(count, arguments)`` runs so many threads; the arguments are arrays and integers."""

CHUNK = 16  # steps of a thread, half as many where n > 8: the recurrence of the last states is this much shorter
ALONE = 32  # steps that one thread takes by itself
THREADS = 64  # of a block


@register("cuda")
def cuda(As: tuple[Array, ...], lags: tuple[int, ...], b: Array) -> Array:
    """Return y by running all chunks at once, twice: for the recurrence of their last states, and for y.

    Notes
    -----
    Work ``O(T n^3)`` and two passes over A. Compiled once for each dtype and n, by NVRTC. Several lags
    need ``n * max(lags) <= 16``.

    References
    ----------
    Blelloch, "Prefix sums and their applications", 1990, section 1.3: reduce, scan the parts, apply.
    """
    A, d, restore = to_lag_one(As, lags, b)
    xp, batch, is_dense = array_namespace(d), d.shape[:-2], A.ndim == d.ndim + 1
    T, n = d.shape[-2:]
    side, size = (1, n) if is_dense else (n, 1)
    if not can_run(d, size):
        raise InputError(
            f"the scan 'cuda': expected float32 or float64 of CuPy, or of PyTorch on CUDA, and n <= {WIDEST}; received "
            f"{b.dtype} of {family(b)} on {device_name(b)} with n = {b.shape[-1]}. Leave way= out."
        )
    is_shared = math.prod(A.shape[: len(batch)]) == 1
    if not is_shared:
        A = xp.broadcast_to(A, (*batch, *A.shape[len(batch) :]))
    A = xp.reshape(A, (-1, T - 1, side, size, size))
    y = _scan(_compiler(b)(str(b.dtype).rpartition(".")[2], size), A, xp.reshape(d, (-1, T, side, size)), is_shared)
    return restore(xp.reshape(y, d.shape))


def can_run(b: Array, n: int) -> bool:
    """Return whether this way takes such an array."""
    is_float = str(b.dtype).rpartition(".")[2] in ("float32", "float64")
    return is_float and n <= WIDEST and device_name(b) == "cuda" and has_compiler(family(b))


def _scan(kernels: tuple[Kernel, Kernel], A: Array, b: Array, is_shared: bool) -> Array:
    """Scan b, shape (B, T, side, N), with A of points 1 to T - 1, shape (B or 1, T - 1, side, N, N)."""
    xp, (batches, T, side, N) = array_namespace(b), b.shape
    reduce, apply = kernels
    chunk = T if T <= ALONE else CHUNK if N <= 8 else CHUNK // 2
    chunks = -(-T // chunk)
    sizes = (T, chunk, chunks, side, batches, int(is_shared))
    A, b, y = _contiguous(A), _contiguous(b), xp.empty_like(_contiguous(b))
    states = b
    if chunks > 1:
        like = {"dtype": b.dtype, "device": b.device}
        P = xp.empty((batches, chunks - 1, side, N, N), **like)
        q = xp.empty((batches, chunks, side, N), **like)
        reduce(batches * chunks * side * (N + 1), (A, b, P, q, *sizes))
        states = _scan(kernels, P, q, False)
    apply(batches * chunks * side, (A, b, states, y, *sizes))
    return y


def _contiguous(a: Array) -> Array:
    if family(a) == "torch":
        return a.contiguous()
    return a if a.flags.c_contiguous else a.copy(order="C")


@functools.cache
def source(dtype: str, size: int) -> str:
    """Return the kernels for one dtype and size of a state."""
    text = importlib.resources.files(__package__).joinpath("cuda.cu").read_text(encoding="utf-8")
    return f"#define R {'float' if dtype == 'float32' else 'double'}\n#define N {size}\n{text}"


def _compiler(b: Array) -> Callable[[str, int], tuple[Kernel, Kernel]]:
    if family(b) == "cupy":
        return _by_cupy
    return functools.partial(_by_torch, b.device.index)


@functools.cache
def _by_cupy(dtype: str, size: int) -> tuple[Kernel, Kernel]:
    import cupy
    import numpy as np

    def kernel(name: str) -> Kernel:
        compiled = cupy.RawKernel(source(dtype, size), name)

        def launch(count: int, arguments: tuple[Any, ...]) -> None:
            typed = tuple(np.int32(a) if isinstance(a, int) else a for a in arguments)
            with arguments[0].device:
                compiled((-(-count // THREADS),), (THREADS,), typed)

        return launch

    return kernel("reduce"), kernel("apply")


@functools.cache
def _by_torch(index: int, dtype: str, size: int) -> tuple[Kernel, Kernel]:
    import torch

    def kernel(name: str) -> Kernel:
        with torch.cuda.device(index):
            compiled = torch.cuda._compile_kernel(source(dtype, size), name)

        def launch(count: int, arguments: tuple[Any, ...]) -> None:
            with torch.cuda.device(index):
                compiled((-(-count // THREADS), 1, 1), (THREADS, 1, 1), list(arguments))

        return launch

    return kernel("reduce"), kernel("apply")
