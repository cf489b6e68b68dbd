"""Implicit Runge-Kutta rules for y' = f: stages of all intervals are eliminated at once, a scan links the times."""

from __future__ import annotations

import abc
from typing import Any, ClassVar

from ..backends import backend_of
from ..backends.namespace import Array, array_namespace, joined, part
from ..grids import shifters
from ..grids.base import Data
from ..grids.levels import Stages
from ..grids.times import Initial
from ..linalg.scans import affine_scan, affine_scan_transposed
from ..linalg.structure import Dense, Structure, identity
from .lagrange import through
from .registration import register
from .runge_kutta import TABLEAUX, RungeKutta, Staged


class Eliminated(Staged):
    """The rows of :class:`Staged` of an ordinary differential equation.

    In an interval from delta_0 the stages are ``delta_k = P_k delta_0 + q_k``, by systems of all intervals at once. The
    last stage is that of the next delta_0: a scan.
    """

    shifts = (shifters.identity,)
    scans: ClassVar[bool] = True

    @abc.abstractmethod
    def forward(self, G: Array, rows: list[Array], grid: Stages) -> list[Array]:
        """Return ``P_k``, with q_k of the rows behind its columns where there are rows, (*B, T - 1, n, n or n + 1)."""

    @abc.abstractmethod
    def backward(self, G: Array, sums: list[Array], grid: Stages) -> list[Array]:
        """Return the rows u of each stage, of ``sum_k u_k (row k of delta) = sum_k sums_k delta_k``."""

    def solve(self, Gs: tuple[Structure, ...], r: Array, *, grid: Stages, boundary: Initial) -> Array:
        """Return delta: the systems of the stages, then a scan."""
        xp, n = array_namespace(r), grid.shape[-1]
        G = xp.broadcast_to(Gs[0].to_dense(), (*r.shape, n))
        rows = [grid.at(grid.behind(r), k)[..., None] for k in range(len(self.nodes))]
        solved = self.forward(G, rows, grid)
        P, q = [a[..., :n] for a in solved], [a[..., n] for a in solved]
        first = part(r, grid.axis, None, 1)
        last = affine_scan((self._after(P[-1]),), (1,), joined([grid.at(first, -1), q[-1]], -2), way=self.scan)
        before = part(last, -2, None, -1)
        others = [(Dense(A) @ before) + b for A, b in zip(P[:-1], q[:-1], strict=True)]
        made = xp.stack([*others, part(last, -2, 1, None)], axis=grid.stage_axis)
        return joined([first, made], grid.axis)

    def transpose(self, Gs: tuple[Structure, ...], c: Array, *, grid: Stages, boundary: Initial) -> Array:
        """Return u: the same steps, transposed, from last to first."""
        xp, n = array_namespace(c), grid.shape[-1]
        G = xp.broadcast_to(Gs[0].to_dense(), (*c.shape, n))
        P, late = [a[..., :n] for a in self.forward(G, [], grid)], grid.behind(c)
        *others, last = (grid.at(late, k) for k in range(len(self.nodes)))
        borne = sum(((Dense(A).mT @ w) for A, w in zip(P[:-1], others, strict=True)), start=0 * last)
        first = part(c, grid.axis, None, 1)
        start = grid.at(first, -1) + part(borne, -2, None, 1)
        behind = last + joined([part(borne, -2, 1, None), 0 * part(borne, -2, None, 1)], -2)
        v = affine_scan_transposed((self._after(P[-1]),), (1,), joined([start, behind], -2), way=self.scan)
        out = self.backward(G, [*others, part(v, -2, 1, None)], grid)
        head = joined([grid.at(first, slice(None, -1)), part(v, -2, None, 1)[..., None, :]], grid.stage_axis)
        return joined([head, xp.stack(out, axis=grid.stage_axis)], grid.axis)

    def steps(self, Gs: tuple[Structure, ...], r: Array, *, grid: Stages) -> Structure:
        """Return P of the last stage."""
        G = array_namespace(r).broadcast_to(Gs[0].to_dense(), (*r.shape, grid.shape[-1]))
        return self._after(self.forward(G, [], grid)[-1])

    def polynomials(self, y: Array, functions: dict[str, Any], data: Data) -> Array:
        """Return those through u at the beginning of each interval and its stages; of a further row at its end none."""
        grid, xp = data.grid, array_namespace(y)
        nodes = self.nodes[: len(self.tableau[-1]) - 1]
        before, stages = grid.before(y), grid.behind(y)[..., : len(nodes), :]
        weights = backend_of(y).convert(through(nodes), y, y.dtype)
        return joined([before, xp.matmul(weights, stages - before)], -2)

    def at_stages(self, G: Array) -> list[Array]:
        """Return the matrices of each stage, (*B, T - 1, n, n)."""
        return [G[..., 1:, k, :, :] for k in range(len(self.nodes))]

    def _after(self, P: Array) -> Structure:
        """Return P of each interval as that of the time at its end; nothing leads to the first."""
        return Dense(joined([0 * part(P, -3, None, 1), P], -3))


class Scanned(Eliminated, RungeKutta):
    """Stages that are implicit in themselves alone: n x n systems, one stage after the other.

        (I + h a_kk G_k) P_k = I - h (a_k0 G_0 + sum_{l < k} a_kl G_l P_l),
        (I + h a_kk G_k) q_k = r_k - h sum_{l < k} a_kl G_l q_l,

    of all intervals at once.
    """

    def forward(self, G: Array, rows: list[Array], grid: Stages) -> list[Array]:
        """Return ``P_k``, with q_k behind its columns."""
        xp, backend, h = array_namespace(G), backend_of(G), grid.steps[..., None, None]
        early, stages = G[..., :-1, -1, :, :], self.at_stages(G)
        eye, made = identity(G, G.shape[-1], early.ndim), list[Array]()
        for k, (first, *rest) in enumerate(self.tableau):
            right = eye - h * first * early
            right = xp.concat([right, *rows[k : k + 1]], axis=-1)
            for a, at, known in zip(rest, stages, made, strict=False):
                right = right - h * a * xp.matmul(at, known)
            made.append(backend.linear_solve(self._implicit(stages[k], h[..., 0], k), right))
        return made

    def backward(self, G: Array, sums: list[Array], grid: Stages) -> list[Array]:
        """Return the rows of the transposed systems, from the last stage to the first."""
        xp, backend, out = array_namespace(G), backend_of(G), list[Array]()
        h, stages, sums = grid.steps[..., None], self.at_stages(G), [*sums]
        for k in reversed(range(len(sums))):
            M = self._implicit(stages[k], h, k)
            out.insert(0, backend.linear_solve(xp.matrix_transpose(M), sums[k][..., None])[..., 0])
            for place, a in enumerate(self.tableau[k][1:-1]):
                sums[place] = sums[place] - h * a * (Dense(stages[place]).mT @ out[0])
        return out

    def _implicit(self, G: Array, h: Array, k: int) -> Array:
        """Return ``I + h a_kk G_k``."""
        return identity(G, G.shape[-1], G.ndim) + h[..., None] * self.own[k] * G


register("ddt.trbdf2", structures=(Dense,), exact=True)(Scanned(TABLEAUX["trbdf2"]))
