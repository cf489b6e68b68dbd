"""Collocation rules for y' = f, Radau IIA and Gauss: all stages of an interval are coupled.

The polynomial of degree s that starts from u_{j-1} and has the slope f at s nodes c_k of the interval,

    U_k = u_{j-1} + h sum_l a_kl F_l,    a_kl = integral of the Lagrange polynomial l_l from 0 to c_k.

Radau IIA: the roots of P_s(2 c - 1) - P_{s-1}(2 c - 1), the last of which is the end; order 2 s - 1, L-stable. Gauss:
those of P_s(2 c - 1); order 2 s, A-stable and symplectic, and u_j is a further row, whose own f has no part in it. P_s
are the Legendre polynomials (E. Hairer, G. Wanner, Solving Ordinary Differential Equations II, 1996, section IV.5).
"""

from __future__ import annotations

from fractions import Fraction

from ..backends import backend_of
from ..backends.namespace import Array, array_namespace, joined
from ..grids.levels import Stages
from ..grids.times import Initial
from ..linalg.structure import Dense, Structure, identity
from .lagrange import integrals, legendre, roots
from .registration import register
from .runge_kutta import Tableau
from .runge_kutta_scan import Eliminated
from .theta import has_positive_determinant


def radau(s: int) -> Tableau:
    """Return the rule of s stages, Radau IIA."""
    nodes = [*roots(lambda c: legendre(s, c) - legendre(s - 1, c)), Fraction(1)]
    return _tableau(2 * s - 1, nodes, nodes)


def gauss(s: int) -> Tableau:
    """Return the rule of s stages and the end."""
    nodes = roots(lambda c: legendre(s, c))
    return _tableau(2 * s, nodes, [*nodes, Fraction(1)])


def _tableau(order: int, nodes: list[Fraction], ends: list[Fraction]) -> Tableau:
    weights = tuple((0.0, *map(float, row)) for row in integrals(nodes, ends))
    return Tableau(order, tuple(map(float, ends)), weights)


class Collocation(Eliminated):
    """One system of s n rows for all stages of an interval: ``delta_k + h sum_l a_kl G_l delta_l = delta_0 + r_k``."""

    def __init__(self, tableau: Tableau) -> None:
        super().__init__(tableau)
        self.coupled = len(tableau.weights[0]) - 1

    def continues(
        self, Gs: tuple[Structure, ...], y: Array, fy: Array, *, grid: Stages, boundary: Initial
    ) -> tuple[Array, Array]:
        """Return where the determinant of the s n rows is positive, twice: it is 1 for h = 0 and 0 in a fold."""
        xp = array_namespace(y)
        G = xp.broadcast_to(Gs[0].to_dense(), (*y.shape, y.shape[-1]))
        holds = has_positive_determinant(Dense(self._matrix(self.at_stages(G), grid)))
        found = xp.concat([xp.ones_like(holds[..., :1]), holds], axis=-1)
        return found, found

    def _matrix(self, stages: list[Array], grid: Stages) -> Array:
        """Return ``delta_kl I + h a_kl G_l``, (*B, T - 1, s n, s n)."""
        h, s, n = grid.steps[..., None, None], self.coupled, grid.shape[-1]
        rows = [joined([h * a * G for a, G in zip(row[1:], stages, strict=False)], -1) for row in self.tableau[:s]]
        made = joined(rows, -2)
        return identity(made, s * n, made.ndim) + made

    def forward(self, G: Array, rows: list[Array], grid: Stages) -> list[Array]:
        """Return ``P_k``, with q_k behind its columns."""
        xp, n, s, stages = array_namespace(G), grid.shape[-1], self.coupled, self.at_stages(G)
        eye = xp.broadcast_to(identity(G, n, stages[0].ndim), stages[0].shape)
        right = [xp.concat([eye, *rows[k : k + 1]], axis=-1) for k in range(len(self.nodes))]
        solved = backend_of(G).linear_solve(self._matrix(stages, grid), joined(right[:s], -2))
        made = [solved[..., k * n : (k + 1) * n, :] for k in range(s)]
        h = grid.steps[..., None, None]
        for row, late in zip(self.tableau[s:], right[s:], strict=True):
            for a, at, known in zip(row[1:], stages, made[:s], strict=False):
                late = late - h * a * xp.matmul(at, known)
            made.append(late)
        return made

    def backward(self, G: Array, sums: list[Array], grid: Stages) -> list[Array]:
        """Return the rows of the transposed systems."""
        xp, n, s, stages = array_namespace(G), grid.shape[-1], self.coupled, self.at_stages(G)
        first, ends, h = list(sums[:s]), sums[s:], grid.steps[..., None]
        for row, end in zip(self.tableau[s:], ends, strict=True):
            first = [c - h * a * (Dense(at).mT @ end) for c, a, at in zip(first, row[1:], stages, strict=False)]
        matrix = xp.matrix_transpose(self._matrix(stages, grid))
        u = backend_of(G).linear_solve(matrix, joined(first, -1)[..., None])[..., 0]
        return [*(u[..., k * n : (k + 1) * n] for k in range(s)), *ends]


for _name, _made in {
    "radau5": radau(3),
    "radau9": radau(5),
    "gauss2": gauss(1),
    "gauss4": gauss(2),
    "gauss6": gauss(3),
    "gauss8": gauss(4),
    "gauss10": gauss(5),
}.items():
    register(f"ddt.{_name}", structures=(Dense,), exact=True)(Collocation(_made))
