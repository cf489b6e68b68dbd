"""Radau IIA rules: the numbers of implicit rules whose stages are points of one polynomial.

    u(t + theta h) = y + sum_k q_k theta^k,    u(t + c_i h) = y + Z_i,
    h u'(t + c_i h) = (A^-1 Z)_i = h f(t + c_i h, y + Z_i)

The last node is the end of the step. E. Hairer and G. Wanner, Solving Ordinary Differential Equations II, 2nd ed.
(1996), section IV.5 and IV.8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any

Row = tuple[float, ...]
Matrix = Sequence[Sequence[Any]]
Mode = tuple[complex, Matrix]
"""An eigenvalue of A^-1, and the projection on its eigenvector."""


@dataclass(frozen=True)
class Collocation:
    """An implicit rule of s stages.

    Attributes
    ----------
    order : int
        That of y at the end of a step.
    nodes : tuple of float
        c_i.
    eigenvalues : tuple of complex
        Those of A^-1 with an imaginary part that is not negative, the real one first.
    """

    order: int
    nodes: Row
    eigenvalues: tuple[complex, ...]

    @cached_property
    def polynomial(self) -> tuple[Row, ...]:
        """Return V^-1, q = V^-1 Z: row k - 1: the coefficients of theta^k of the polynomials that are 1 at a node."""
        columns = []
        for i, c in enumerate(self.nodes):
            basis = [1 / c]
            for other in (b for j, b in enumerate(self.nodes) if j != i):
                shifted = zip([0.0, *basis], [*basis, 0.0], strict=True)
                basis = [(low - other * high) / (c - other) for low, high in shifted]
            columns.append(basis)
        return tuple(zip(*columns, strict=True))

    @cached_property
    def inverse(self) -> Matrix:
        """Return A^-1: its row i is the derivative at c_i of the polynomial through Z."""
        powers = [[(k + 1) * c**k for k in range(len(self.nodes))] for c in self.nodes]
        return _product(powers, self.polynomial)

    @cached_property
    def modes(self) -> tuple[Mode, ...]:
        """Return all eigenvalues with their projections, those of ``eigenvalues`` first."""
        values = [*self.eigenvalues, *(v.conjugate() for v in self.eigenvalues if v.imag)]
        return tuple((v, self._projection(v, [w for w in values if w != v])) for v in values)

    def _projection(self, value: complex, others: list[complex]) -> Matrix:
        """Return the product of ``(A^-1 - w) / (value - w)`` over the other eigenvalues."""

        def factor(w: complex) -> Matrix:
            return [[(a - w * (i == j)) / (value - w) for j, a in enumerate(row)] for i, row in enumerate(self.inverse)]

        return reduce(_product, map(factor, others))


def _product(a: Matrix, b: Matrix) -> Matrix:
    columns = [*zip(*b, strict=True)]
    return [[sum(x * y for x, y in zip(row, column, strict=True)) for column in columns] for row in a]


RADAU_5 = Collocation(
    5,
    (0.15505102572168219018, 0.64494897427831780982, 1.0),
    (3.6378342527444957322, 2.6810828736277521339 + 3.0504301992474105694j),
)
RADAU_9 = Collocation(
    9,
    (0.057104196114517682193, 0.27684301363812382768, 0.58359043236891682006, 0.86024013565621944785, 1.0),
    (
        6.2867047517292766452,
        5.7009532986717894192 + 3.2102656003085498884j,
        3.6556943254635722582 + 6.543736899360077294j,
    ),
)
