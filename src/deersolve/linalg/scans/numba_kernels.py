"""The source of the Numba kernels, written out for each small n, and their compilation."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

UNROLLED = 8
"""The largest n whose products are written out, with the last point in local variables."""


class Kind(NamedTuple):
    """What a kernel is compiled for; n = 0 stands for any n."""

    is_dense: bool
    n: int
    n_lags: int
    starts_at_one: bool
    dtype: str

    @property
    def simplest(self) -> Kind:
        """The kind that serves this one: itself where it is small enough to be written out."""
        products = self.n_lags * self.n * (self.n if self.is_dense else 1)
        is_small = 0 < self.n <= UNROLLED and products <= 2 * UNROLLED**2
        return self if is_small else self._replace(n=0, starts_at_one=False)

    @property
    def is_flat(self) -> bool:
        """Whether matrices are passed as one flat array, its place, strides and order."""
        return self.is_dense and self.n == 0


@functools.cache
def kernel(kind: Kind) -> Any:
    """Return the compiled ``run(y, b, *term_0, *term_1, ...)``, which writes y; lags ascend.

    y and b have the shape (S, T, n). A term is k, A with A of shape (S, T - k, n) or
    (S, T - k, n, n); if the kind is flat it is k, A, start, S stride, T stride, by rows (or by
    columns).
    """
    import numba

    nb: Any = numba
    scope: dict[str, Any] = {}
    exec(source(kind), scope)
    scalar = {"f": nb.float32, "d": nb.float64}[kind.dtype]

    def strided(ndim: int, order: str = "A") -> Any:
        return nb.types.Array(scalar, ndim, order, readonly=True)

    term = [nb.int64, strided(4 if kind.is_dense else 3)]
    if kind.is_flat:
        term = [nb.int64, strided(1, "C"), nb.int64, nb.int64, nb.int64, nb.boolean]
    signature = nb.void(scalar[:, :, ::1], strided(3), *term * kind.n_lags)
    return nb.njit(signature, nogil=True, fastmath={"contract", "reassoc"})(scope["run"])


def source(kind: Kind) -> str:
    """Return the text of a kernel: a careful loop up to the largest lag, then the fast one."""
    extra = ", start{p}, by_s{p}, by_t{p}, by_rows{p}" if kind.is_flat else ""
    head = "".join((", k{p}, A{p}" + extra).format(p=p) for p in range(kind.n_lags))
    last = f"k{kind.n_lags - 1}"
    fast = _written_out(kind) if kind.n else _loops(kind, careful=False)
    lines = [
        f"def run(y, b{head}):",
        "    S, T, n = b.shape",
        "    for s in range(S):",
        f"        for i in range(min({last}, T)):",
        *_indent(3, _loops(kind, careful=True)),
        *(f"        v0_{c} = y[s, {last} - 1, {c}]" for c in range(kind.n) if kind.starts_at_one),
        f"        for i in range({last}, T):",
        *_indent(3, fast),
    ]
    return "\n".join(lines)


def _loops(kind: Kind, *, careful: bool) -> list[str]:
    """One point, with loops over the components; careful: without the lags that reach too far."""
    lines = ["for r in range(n):", "    y[s, i, r] = b[s, i, r]"]
    template = FLAT if kind.is_flat else DENSE if kind.is_dense else DIAGONAL
    for p in range(kind.n_lags):
        body = template.replace("#", str(p)).strip().splitlines()
        lines += [f"if i >= k{p}:", *_indent(1, body)] if careful else body
    return lines


DIAGONAL = """
for r in range(n):
    y[s, i, r] += A#[s, i - k#, r] * y[s, i - k#, r]
"""

DENSE = """
for r in range(n):
    total = y[s, i, r]
    for c in range(n):
        total += A#[s, i - k#, r, c] * y[s, i - k#, c]
    y[s, i, r] = total
"""

# The memory is walked in one direction, that of time: a prefetcher that sees both gives up.
FLAT = """
now, past, ahead = y[s, i], y[s, i - k#], by_t# >= 0
place = start# + s * by_s# + (i - k#) * by_t#
M = A#[place : place + n * n].reshape(n, n)
if by_rows# and ahead:
    for r in range(n):
        total = now[r]
        for c in range(n):
            total += M[r, c] * past[c]
        now[r] = total
elif by_rows#:
    for q in range(n):
        r = n - 1 - q
        total = now[r]
        for c in range(n):
            total += M[r, c] * past[c]
        now[r] = total
else:
    for q in range(0, n - n % 4, 4):
        c = q if ahead else n - 4 - q
        v0, v1, v2, v3 = past[c], past[c + 1], past[c + 2], past[c + 3]
        for r in range(n):
            now[r] += M[c, r] * v0 + M[c + 1, r] * v1 + M[c + 2, r] * v2 + M[c + 3, r] * v3
    for q in range(n - n % 4, n):
        c = q if ahead else n - 1 - q
        v0 = past[c]
        for r in range(n):
            now[r] += M[c, r] * v0
"""


def _written_out(kind: Kind) -> list[str]:
    """One point, every product written out."""
    n, terms = range(kind.n), range(kind.n_lags)
    reads = terms[1:] if kind.starts_at_one else terms
    lines = [f"v{p}_{c} = y[s, i - k{p}, {c}]" for p in reads for c in n]
    for r in n:
        products = (
            [f"A{p}[s, i - k{p}, {r}, {c}] * v{p}_{c}" for p in terms for c in n]
            if kind.is_dense
            else [f"A{p}[s, i - k{p}, {r}] * v{p}_{r}" for p in terms]
        )
        lines.append(" + ".join([f"t{r} = b[s, i, {r}]", *products]))
    lines += [f"y[s, i, {r}] = t{r}" for r in n]
    return lines + [f"v0_{r} = t{r}" for r in n if kind.starts_at_one]


def _indent(depth: int, lines: list[str]) -> list[str]:
    return ["    " * depth + line for line in lines]
