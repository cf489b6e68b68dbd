"""The matrix of Newton's method for all stages of a collocation rule, from one n x n inverse for each eigenvalue."""

from __future__ import annotations

from typing import Any

from ..backends.generic import Backend
from ..backends.namespace import Array, array_namespace, padded
from ..linalg.structure import identity
from .radau_numbers import Collocation

MOST = 10  # Newton steps
ENOUGH = 0.01  # of the tolerance: what is left of Z
SLOW = 1e-2  # rate of convergence from which on J is made anew
LEAST = 1e-2  # of an error, where two are compared
ROUNDOFF = 10  # times eps |y|: nothing below is asked for


class Modes:
    """The numbers of a rule as arrays beside matrices ``like``, (*B, n, n).

    ``rates`` is A^-1 and ``fit`` V^-1, (*B, s, s). An eigenvalue that is not real stands for its conjugate too, unless
    y is complex: of the inverse of its matrix real and imaginary part are weighted.
    """

    def __init__(self, backend: Backend, rule: Collocation, like: Array) -> None:
        xp, modes, s = array_namespace(like), rule.modes, len(rule.nodes)
        is_complex = bool(xp.isdtype(like.dtype, "complex floating"))
        self.backend, self.s, self.n = backend, s, like.shape[-1]
        self.kind = xp.result_type(like.dtype, xp.complex64)
        self.halves = modes if is_complex else modes[: s // 2 + 1]
        rows = [[P[i][j] for _, P in self.halves] for i in range(s) for j in range(s)]
        numbers = (*rule.inverse, *rule.polynomial, *(rows if is_complex else map(_of_parts, rows)))
        table = padded(backend.convert(numbers, like, like.dtype), like.ndim)
        self.rates, self.fit, self.weights = (table[..., a:b, :] for a, b in ((0, s), (s, 2 * s), (2 * s, None)))
        self.eye = xp.astype(identity(like, self.n, like.ndim + 1), self.kind)
        values = padded(backend.convert([v for v, _ in self.halves], like, self.kind), like.ndim)
        self.shifts = values[..., 0, :, None, None] * self.eye

    def inverse(self, hJ: Array) -> tuple[Array, Array]:
        """Return ``sum_k (P_k (x) (lambda_k - h J)^-1)``, (*B, s n, s n), and that of the real lambda, (*B, n, n)."""
        xp, (*B, _, n), s = array_namespace(hJ), hJ.shape, self.s
        parts = self.backend.linear_solve(self.shifts - xp.astype(hJ, self.kind)[..., None, :, :], self.eye)
        if len(self.halves) < s:
            parts = xp.concat([xp.real(parts), xp.imag(parts[..., 1:, :, :])], axis=-3)
        product = xp.matmul(self.weights, xp.reshape(parts, (*B, s, n * n)))
        b, blocks = len(B), xp.reshape(product, (*B, s, s, n, n))
        blocks = xp.permute_dims(blocks, (*range(b), b, b + 2, b + 1, b + 3))
        return xp.reshape(blocks, (*B, s * n, s * n)), parts[..., 0, :, :]

    def times(self, matrix: Array, rows: Array) -> Array:
        """Return the product with all rows behind one another, (*B, k n, k n) and (*B, k, n), as rows."""
        xp = array_namespace(rows)
        return xp.reshape(self.backend.matvec(matrix, xp.reshape(rows, matrix.shape[:-1])), rows.shape)


def _of_parts(row: Any) -> list[float]:
    """Return the weights of the real parts, and of the imaginary ones, of eigenvalues that stand for two each."""
    first, *others = row
    return [first.real, *(2 * w.real for w in others), *(-2 * w.imag for w in others)]
