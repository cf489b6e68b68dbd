"""Which way to run the recurrence, and why: one table of rules, the first that holds wins."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from ...backends.namespace import Array
from ...errors import mismatch
from ..host import device_name, family, has_compiler, is_installed, is_recorded
from .lag_one import LARGEST, WIDEST, state_size
from .normal_form import NormalForm

UNROLLED = 8  # components up to which the products of matrices are written out in a kernel


@dataclass(frozen=True)
class Case:
    """What the choice depends on."""

    is_dense: bool
    n: int
    lags: tuple[int, ...]
    T: int
    B: int
    backend: str
    device: str
    dtype: str
    is_recorded: bool = False

    @property
    def size(self) -> int:
        """The size of the matrices that an associative scan would multiply."""
        return state_size(self.is_dense, self.n, self.lags)

    @property
    def work(self) -> int:
        """The number of multiplications of a loop."""
        return self.T * self.B * self.n * (self.n if self.is_dense else 1) * len(self.lags)

    @property
    def on_host(self) -> bool:
        """Whether NumPy can see the memory and nobody records the operations."""
        floats = self.dtype in ("float32", "float64")
        known = self.backend == "numpy" or (self.backend == "torch" and self.device == "cpu")
        return floats and known and not self.is_recorded

    @property
    def on_cuda(self) -> bool:
        """Whether a kernel compiled at run time can see the memory and nobody records the operations."""
        known = self.backend in ("cupy", "torch") and self.device == "cuda" and self.dtype in ("float32", "float64")
        return known and not self.is_recorded and has_compiler(self.backend)

    @property
    def compiled_from(self) -> int:
        """The work from which on a kernel pays, compiled in about a second: of large matrices BLAS is as fast."""
        return 2_000_000 if self.is_dense and self.n > UNROLLED else 20_000

    @property
    def lapack_ns(self) -> float:
        """The cost of a band solve in ns per point, fitted to measurements."""
        rows, K = (self.n if self.is_dense else 1), (1 if len(self.lags) == 1 else max(self.lags))
        return self.B * self.n * (4 + 2 * rows * len(self.lags) + 0.15 * rows * (K + 1))

    @property
    def loop_ns(self) -> float:
        """The cost of a loop over NumPy calls in ns per point, fitted to measurements."""
        call = 1200 if self.lags == (1,) else 2000
        entries = 8 * self.n + self.n**2 / 4 if self.is_dense else 1.7 * self.n
        return len(self.lags) * (call / min(self.lags) + self.B * entries)


class Rule(NamedTuple):
    """A way, the reason for it, and when it holds."""

    way: str
    why: str
    holds: Callable[[Case], bool]


RULES = (
    Rule(
        "associative",
        "an accelerator runs log2(T) large operations faster than T small ones",
        lambda c: c.backend == "jax" and c.device != "cpu" and c.size <= LARGEST,
    ),
    Rule(
        "lax",
        "a compiled loop does the least work, and its ring buffer takes any lags",
        lambda c: c.backend == "jax",
    ),
    Rule(
        "numba",
        "one compiled pass over the data, at the speed of the memory",
        lambda c: c.on_host and is_installed("numba") and c.work >= c.compiled_from,
    ),
    Rule(
        "lapack",
        "a band solve needs no compilation and no loop in Python",
        lambda c: c.on_host and is_installed("scipy") and c.lapack_ns < c.loop_ns,
    ),
    Rule(
        "sequential",
        "NumPy's own products are as fast as anything for this size, with nothing to compile",
        lambda c: c.on_host,
    ),
    Rule(
        "cuda",
        "each thread of the GPU runs one chunk, in two passes over the data",
        lambda c: c.on_cuda and c.size <= (WIDEST if len(c.lags) == 1 else LARGEST),
    ),
    Rule(
        "sequential",
        "fewer than four rounds leave nothing to gain",
        lambda c: 4 * min(c.lags) > c.T,
    ),
    Rule(
        "blelloch",
        "log2(T) large operations cost less than T small ones, and can be differentiated",
        lambda c: c.size <= LARGEST,
    ),
    Rule(
        "sequential",
        "the matrices are too large for an associative scan, which multiplies them",
        lambda _: True,
    ),
)


FOLLOWED = ("associative", "blelloch", "lax", "sequential")
"""The ways that consist of operations of the array library, which a recorded derivative follows."""

WANTS: dict[str, tuple[str, Callable[[Case], bool]]] = {
    "associative": ("arrays of JAX", lambda c: c.backend == "jax"),
    "lapack": ("float32 or float64 of NumPy, or of PyTorch on the CPU", lambda c: c.on_host),
    "lax": ("arrays of JAX", lambda c: c.backend == "jax"),
    "numba": ("float32 or float64 of NumPy, or of PyTorch on the CPU", lambda c: c.on_host),
}
"""What the ways that are for some libraries, and do not say so themselves, run on."""


def choose(case: Case) -> tuple[str, str]:
    """Return the name of the way and one sentence why."""
    rule = next(rule for rule in RULES if rule.holds(case))
    return rule.way, rule.why


def pick(form: NormalForm, wanted: str | None = None) -> tuple[str, str]:
    """Choose for a normal form with at least one lag: what is wanted, or what the table says."""
    b = form.b
    case = Case(
        is_dense=form.is_dense,
        n=b.shape[-1],
        lags=form.lags,
        T=b.shape[-2],
        B=math.prod(b.shape[:-2]),
        backend=family(b),
        device=device_name(b),
        dtype=_dtype_name(b.dtype),
        is_recorded=is_recorded(*form.As, b),
    )
    if wanted is None or not is_obeyed(wanted, *form.As, b):
        return choose(case)
    expected, holds = WANTS.get(wanted, ("", lambda _: True))
    if not holds(case):
        received = f"{case.dtype} of {case.backend} on {case.device}"
        raise mismatch(f"the scan {wanted!r}", expected, received, "Choose another one, or none.")
    return wanted, "as asked"


def is_obeyed(wanted: str, *arrays: Array) -> bool:
    """Return whether the way of that name runs where it is asked for: a recorded derivative has to follow it."""
    return wanted in FOLLOWED or not is_recorded(*arrays)


def which_scan(  # noqa: PLR0913 - the facts of a case, each a plain value
    structure: str,
    n: int,
    lags: tuple[int, ...],
    T: int,
    B: int,
    backend: str,
    device: str,
    dtype: object,
) -> tuple[str, str]:
    """Return the name of the way that :func:`affine_scan` would run, and one sentence why.

    Parameters
    ----------
    structure : str
        "dense", "block-diagonal(<size>)" or "zero"; all others are diagonal.
    n, lags, T, B : int, tuple of int, int, int
        The size, the lags, the number of points and the number of batch elements.
    backend : str
        "numpy", "torch", "jax", "cupy", "array_api_strict", ...
    device : str
        "cpu", "cuda", "gpu", "tpu", ...
    dtype : str or dtype
        "float64", ...

    Returns
    -------
    tuple of two str
        ("none", ...) where y = b.

    Examples
    --------
    >>> from deersolve.linalg.scans import which_scan
    >>> which_scan("dense", 4, (1,), 10_000, 1, "jax", "cpu", "float64")[0]
    'lax'
    """
    used = tuple(sorted({k for k in lags if k < T}))
    if structure == "zero" or not used or not n * B:
        return "none", "no coefficient is used, so y = b"
    block = re.search(r"\d+", structure)
    size = int(block[0]) if block else n
    is_dense = structure.startswith(("dense", "block")) and size > 1
    B, n = B * n // size, size
    return choose(Case(is_dense, n, used, T, B, backend, device.partition(":")[0], _dtype_name(dtype)))


def _dtype_name(dtype: object) -> str:
    """Return "float64" for the float64 of any library."""
    found = re.search(r"(?:b|c)?(?:float|complex)\d+", str(dtype))
    return found[0] if found else str(dtype)
