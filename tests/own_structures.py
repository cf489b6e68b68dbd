"""Structures of G of one's own, and a rule that keeps them."""

from __future__ import annotations

from typing import Any

import numpy as np

import deersolve as ds
from deersolve.backends.trees import record


@record
class Tridiagonal(ds.Structure):
    """Three bands, ``values`` of shape (*S, 3, n): entry i of them is that in row i of column i - 1, i and i + 1."""

    name, tail = "tridiagonal", 2
    values: Any
    n = property(lambda self: int(self.values.shape[-1]))

    @classmethod
    def simplify(cls, full: ds.Structure) -> Tridiagonal:
        xp, A = ds.array_namespace(full.values), full.to_dense()
        zero, rows = xp.zeros_like(A[..., :1, 0]), [xp.linalg.diagonal(A, offset=k) for k in (-1, 0, 1)]
        return cls(
            xp.stack([xp.concat([zero, rows[0]], axis=-1), rows[1], xp.concat([rows[2], zero], axis=-1)], axis=-2)
        )

    @property
    def mT(self) -> Tridiagonal:
        below, middle, above = self._bands()
        xp = ds.array_namespace(self.values)
        return Tridiagonal(xp.stack([_ahead(above), middle, _behind(below)], axis=-2))

    def to_dense(self) -> Any:
        xp, n = ds.array_namespace(self.values), self.n
        place = xp.arange(n)
        rows = [
            band[..., None] * xp.astype(place[:, None] + k == place, band.dtype)
            for k, band in zip((-1, 0, 1), self._bands(), strict=True)
        ]
        return rows[0] + rows[1] + rows[2]

    def apply(self, v: Any) -> Any:
        below, middle, above = self._bands()
        return below * _ahead(v) + middle * v + above * _behind(v)

    def diagonal(self) -> Any:
        return self.values[..., 1, :]

    def _bands(self) -> list[Any]:
        return [self.values[..., k, :] for k in range(3)]


def _ahead(v: Any) -> Any:
    """Return v_{i-1}, 0 in front."""
    return ds.array_namespace(v).concat([0 * v[..., :1], v[..., :-1]], axis=-1)


def _behind(v: Any) -> Any:
    """Return v_{i+1}, 0 at the end."""
    return ds.array_namespace(v).concat([v[..., 1:], 0 * v[..., :1]], axis=-1)


class WithoutMatrices(Tridiagonal):
    """One whose matrices do not fit: whoever asks for them fails."""

    def to_dense(self) -> Any:
        raise AssertionError("the matrices were asked for")

    @property
    def mT(self) -> Any:
        return WithoutMatrices(Tridiagonal(self.values).mT.values)


record(WithoutMatrices)


@record
class LowRank(ds.Structure):
    """A diagonal and U V^T of rank r, ``values`` of shape (*S, n, 1 + 2 r)."""

    name, tail = "low rank", 2
    values: Any
    n = property(lambda self: int(self.values.shape[-2]))

    @property
    def parts(self) -> tuple[Any, Any, Any]:
        r = self.values.shape[-1] // 2
        return self.values[..., 0], self.values[..., 1 : 1 + r], self.values[..., 1 + r :]

    @classmethod
    def of(cls, d: Any, U: Any, V: Any) -> LowRank:
        return cls(ds.array_namespace(d).concat([d[..., None], U, V], axis=-1))

    @property
    def mT(self) -> LowRank:
        d, U, V = self.parts
        return LowRank.of(d, V, U)

    def to_dense(self) -> Any:
        d, U, V = self.parts
        return U @ ds.array_namespace(d).matrix_transpose(V) + ds.Diagonal(d).to_dense()

    def apply(self, v: Any) -> Any:
        d, U, V = self.parts
        xp = ds.array_namespace(d)
        return d * v + (U @ (xp.matrix_transpose(V) @ v[..., None]))[..., 0]

    def __neg__(self) -> LowRank:
        d, U, V = self.parts
        return LowRank.of(-d, -U, V)


@ds.inverses.register("ddt.banded", structures=(Tridiagonal,), exact=True)
class Banded:
    """Backward Euler, y_{i+1} - y_i = D f_{i+1}, by one tridiagonal solve for each interval."""

    order = 1

    def residual(self, y, fy, *, grid, boundary):
        rows = grid.D * fy[..., 1:, :] - (y[..., 1:, :] - y[..., :-1, :])
        return self._stacked(boundary.y0 - y[..., :1, :], rows)

    def magnitude(self, y, fy, *, grid, boundary):
        return self._stacked(y[..., :1, :], abs(grid.D) * fy[..., 1:, :] + y[..., 1:, :] + y[..., :-1, :])

    def solve(self, Gs, r, *, grid, boundary):
        rows = [r[..., 0, :]]
        for i in range(r.shape[-2] - 1):
            rows.append(_thomas(self._bands(Gs[0], grid, i), rows[-1] + r[..., i + 1, :]))
        return ds.array_namespace(r).stack(rows, axis=-2)

    def transpose(self, Gs, c, *, grid, boundary):
        behind, rows = 0 * c[..., 0, :], []
        for i in reversed(range(c.shape[-2] - 1)):
            behind = _thomas(self._bands(Gs[0].mT, grid, i), c[..., i + 1, :] + behind)
            rows.insert(0, behind)
        return ds.array_namespace(c).stack([c[..., 0, :] + behind, *rows], axis=-2)

    def defect(self, y, fy, *, grid, boundary):
        from deersolve.inverses.quadrature import quadrature_defect

        return quadrature_defect(y, fy, grid.D)

    def _bands(self, G, grid, i):
        below, middle, above = (grid.D[..., i, :] * G.values[..., i + 1, k, :] for k in range(3))
        return below, 1 + middle, above

    def _stacked(self, first, rows):
        xp = ds.array_namespace(rows)
        return xp.concat([xp.broadcast_to(first, (*rows.shape[:-2], 1, rows.shape[-1])), rows], axis=-2)


def _thomas(bands, b):
    """Solve the tridiagonal system by elimination, without pivots."""
    below, middle, above = bands
    n, c, d = b.shape[-1], [above[..., 0] / middle[..., 0]], [b[..., 0] / middle[..., 0]]
    for k in range(1, n):
        pivot = middle[..., k] - below[..., k] * c[-1]
        c.append(above[..., k] / pivot)
        d.append((b[..., k] - below[..., k] * d[-1]) / pivot)
    x = [d[-1]]
    for k in reversed(range(n - 1)):
        x.insert(0, d[k] - c[k] * x[0])
    return ds.array_namespace(b).stack(x, axis=-1)


def chain(make=Tridiagonal, n=8, points=12, asarray=np.asarray, batch=()):
    """Return a chain of cells that exchange with their neighbours and decay by p u^3, with its tridiagonal Jacobian."""

    def f(u, t, p):
        return _ahead(u) - 2 * u + _behind(u) - p * u * u * u

    def jac(u, t, p):
        xp, one = ds.array_namespace(u), 0 * u + 1
        return make(xp.stack([_ahead(one), -2 - 3 * p * u * u, _behind(one)], axis=-2))

    u0 = np.sin(np.arange(np.prod((*batch, n)))).reshape(*batch, n)
    t = asarray(np.linspace(0.0, 1.0, points))
    return ds.InitialValueProblem(f, t, asarray(u0), params=asarray(np.array(0.7)), jac=jac)
