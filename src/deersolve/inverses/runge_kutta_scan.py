"""Runge-Kutta rules for y' = f: the stages of all intervals are eliminated at once, and a scan links the times."""

from __future__ import annotations

from typing import ClassVar

from ..backends import backend_of
from ..backends.namespace import Array, array_namespace, joined, part
from ..grids import shifters
from ..grids.levels import Stages
from ..grids.times import Initial
from ..linalg.scans import affine_scan, affine_scan_transposed
from ..linalg.structure import Dense, Structure, identity
from .base import register
from .runge_kutta import TABLEAUX, RungeKutta


class Scanned(RungeKutta):
    """The rows of :class:`RungeKutta` of an ordinary differential equation.

    In an interval from delta_0 the stages are ``delta_k = P_k delta_0 + q_k``,

        (I + h a_kk G_k) P_k = I - h (a_k0 G_0 + sum_{l < k} a_kl G_l P_l),
        (I + h a_kk G_k) q_k = r_k - h sum_{l < k} a_kl G_l q_l,

    n x n systems of all intervals at once. The last stage is that of the next delta_0: a scan.
    """

    shifts = (shifters.identity,)
    scans: ClassVar[bool] = True

    def solve(self, Gs: tuple[Structure, ...], r: Array, *, grid: Stages, boundary: Initial) -> Array:
        """Return delta: n x n systems for each stage, then a scan."""
        xp, n = array_namespace(r), grid.shape[-1]
        G = xp.broadcast_to(Gs[0].to_dense(), (*r.shape, n))
        rows = [grid.at(grid.behind(r), k)[..., None] for k in range(len(self.own))]
        solved = self._stages(G, rows, grid)
        P, q = [a[..., :n] for a in solved], [a[..., n] for a in solved]
        first = part(r, grid.axis, None, 1)
        last = affine_scan((self._after(P[-1]),), (1,), joined([grid.at(first, -1), q[-1]], -2), way=self.scan)
        before = part(last, -2, None, -1)
        others = [(Dense(A) @ before) + b for A, b in zip(P[:-1], q[:-1], strict=True)]
        made = xp.stack([*others, part(last, -2, 1, None)], axis=grid.stage_axis)
        return joined([first, made], grid.axis)

    def transpose(self, Gs: tuple[Structure, ...], c: Array, *, grid: Stages, boundary: Initial) -> Array:
        """Return u: the same steps, transposed, from last to first."""
        xp, backend, n = array_namespace(c), backend_of(c), grid.shape[-1]
        G = xp.broadcast_to(Gs[0].to_dense(), (*c.shape, n))
        P, late = [a[..., :n] for a in self._stages(G, [], grid)], grid.behind(c)
        *others, last = (grid.at(late, k) for k in range(len(self.own)))
        borne = sum(((Dense(A).mT @ w) for A, w in zip(P[:-1], others, strict=True)), start=0 * last)
        first = part(c, grid.axis, None, 1)
        start = grid.at(first, -1) + part(borne, -2, None, 1)
        behind = last + joined([part(borne, -2, 1, None), 0 * part(borne, -2, None, 1)], -2)
        v = affine_scan_transposed((self._after(P[-1]),), (1,), joined([start, behind], -2), way=self.scan)
        sums, out = [*others, part(v, -2, 1, None)], list[Array]()
        h, stages = grid.steps[..., None], self._at_stages(G)
        for k in reversed(range(len(sums))):
            M = self._implicit(stages[k], h, k)
            out.insert(0, backend.linear_solve(xp.matrix_transpose(M), sums[k][..., None])[..., 0])
            for place, a in enumerate(self.tableau[k][1:-1]):
                sums[place] = sums[place] - h * a * (Dense(stages[place]).mT @ out[0])
        head = joined([grid.at(first, slice(None, -1)), part(v, -2, None, 1)[..., None, :]], grid.stage_axis)
        return joined([head, xp.stack(out, axis=grid.stage_axis)], grid.axis)

    def steps(self, Gs: tuple[Structure, ...], r: Array, *, grid: Stages) -> Structure:
        """Return P of the last stage."""
        G = array_namespace(r).broadcast_to(Gs[0].to_dense(), (*r.shape, grid.shape[-1]))
        return self._after(self._stages(G, [], grid)[-1])

    def _stages(self, G: Array, rows: list[Array], grid: Stages) -> list[Array]:
        """Return ``P_k``, with q_k of the rows behind its columns where there are rows, (*B, T - 1, n, n or n + 1)."""
        xp, backend, h = array_namespace(G), backend_of(G), grid.steps[..., None, None]
        early, stages = G[..., :-1, -1, :, :], self._at_stages(G)
        eye, made = identity(G, G.shape[-1], early.ndim), list[Array]()
        for k, (first, *rest) in enumerate(self.tableau):
            right = eye - h * first * early
            right = xp.concat([right, *rows[k : k + 1]], axis=-1)
            for a, at, known in zip(rest, stages, made, strict=False):
                right = right - h * a * xp.matmul(at, known)
            made.append(backend.linear_solve(self._implicit(stages[k], h[..., 0], k), right))
        return made

    def _at_stages(self, G: Array) -> list[Array]:
        """Return the matrices of each stage, (*B, T - 1, n, n)."""
        return [G[..., 1:, k, :, :] for k in range(len(self.own))]

    def _implicit(self, G: Array, h: Array, k: int) -> Array:
        """Return ``I + h a_kk G_k``."""
        return identity(G, G.shape[-1], G.ndim) + h[..., None] * self.own[k] * G

    def _after(self, P: Array) -> Structure:
        """Return P of each interval as that of the time at its end; nothing leads to the first."""
        return Dense(joined([0 * part(P, -3, None, 1), P], -3))


register("ddt.trbdf2", structures=(Dense,), exact=True)(Scanned(TABLEAUX["trbdf2"]))
