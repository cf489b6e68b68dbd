"""Equations with a Laplacian in a box: D Laplacian(u) = f(u, du/ds, ..., x, params)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..backends.generic import Backend
from ..backends.namespace import Array, Tree
from ..grids.base import Data
from ..grids.box import AXES, SIDES
from ..grids.make_box import in_a_box
from ..grids.shifters import Along, identity
from .space import SpaceProblem, on_axes, two_axes


class Elliptic(SpaceProblem):
    """D (u_ss + u_rr + ...) = f(u, u_s, u_r, ..., x, params) on one, two or three axes.

    Parameters
    ----------
    f : callable
        ``f(u, u_s, u_r, u_q, x, params)``, with as many slopes as there are axes, of arrays (*B, *R, n) and at every
        point by itself.
    points : tuple of one to three arrays
        The points of the axes "s", "r" and "q", both ends included, strictly increasing. With ``cells=True`` the edges
        of cells in whose midpoints u is. On a periodic axis the last point is the image of the first.
    D : number or array
        The coefficient, positive: a number, (n,), (*R, n) or what broadcasts to (*B, *R, n).
    sides : condition, or tuple of pairs
        ``((left, right), (bottom, top), (front, back))``, a pair for each axis, of :class:`Dirichlet`,
        :class:`Neumann`, :class:`Robin` or :class:`Periodic`; or one condition for all sides. Values are numbers, (n,),
        (*R', n) or (*B, *R', n), R' the other axes; derivatives are along the outward normal.
    x, params, cells, jac
        As for :class:`Elliptic2D`.

    Raises
    ------
    InputError
        If there are not one to three axes, or not a pair of conditions for each.

    Notes
    -----
    Central differences of second order. The rule is "laplace.krylov", a method of conjugate residuals with the fast
    diagonalisation of the constant part as preconditioner, work O(N^(d + 1)) an iteration on N^d points; or
    "laplace.direct", a sparse LU. On one axis it is that of :class:`Elliptic1D`.

    Examples
    --------
    >>> import numpy as np
    >>> import deersolve as ds
    >>> s = np.linspace(0.0, 1.0, 17)
    >>> bratu = ds.Elliptic(lambda u, u_s, u_r, u_q, x, p: -np.exp(u), (s, s, s), sides=ds.Dirichlet())
    >>> sol = ds.solve(bratu)
    >>> sol.y.shape, round(float(sol.y.max()), 4)
    ((17, 17, 17, 1), 0.0582)
    """

    def __init__(  # noqa: PLR0913 - an equation and its sides
        self,
        f: Callable[..., Array],
        points: tuple[Array, ...],
        D: Any = 1.0,
        *,
        sides: Any,
        x: Tree = None,
        params: Any = None,
        cells: bool = False,
        jac: Callable[..., Any] | None = None,
    ) -> None:
        points, named = on_axes(points, sides)
        d = len(points)
        self.family = "d2dx2" if d == 1 else "laplace"
        self.axes = tuple(AXES[:d])
        self.fields = dict.fromkeys(("D", "x"), (*self.axes, "k"))
        for axis, names in zip(self.axes, SIDES, strict=False):
            self.fields |= dict.fromkeys(names, (*(a for a in self.axes if a != axis), "k"))
        inverse = "d2dx2.blocktridiagonal" if d == 1 else "laplace.krylov"
        shift = (identity, *map(Along, range(d)))
        super().__init__(f, shift=shift, inverse=inverse, x=x, params=params, jac=jac)
        self._place(points, named, cells, x)
        self.coefficients = {"D": D}

    def discretise(self, y_guess: Any, rule: Any) -> tuple[Backend, Data]:
        """Return the backend, and grid, data and guess as the solver takes them."""
        return in_a_box(self, y_guess)


class Elliptic2D(Elliptic):
    """D (u_ss + u_rr) = f(u, u_s, u_r, x, params) in the rectangle of the points (s, r).

    Parameters
    ----------
    f : callable
        ``f(u, u_s, u_r, x, params)``, of arrays (*B, X, Y, n) and at every point by itself.
    points : tuple of two arrays
        s, shape (X,), and r, shape (Y,): the points of both axes, both ends included, strictly increasing. With
        ``cells=True`` the edges of cells in whose midpoints u is. On a periodic axis the last point is the image of the
        first.
    D : number or array
        The coefficient, positive: a number, (n,), (X, Y, n) or what broadcasts to (*B, X, Y, n). It stands before the
        Laplacian; of a flux, div(D grad u), the term with D's slope belongs to f.
    left, right : Dirichlet, Neumann, Robin or Periodic
        The conditions at the first and the last s: their values are numbers, (n,), (Y, n) or (*B, Y, n). A tuple is one
        condition for each component. Derivatives are along the outward normal.
    bottom, top : Dirichlet, Neumann, Robin or Periodic
        Those at the first and the last r, with X in the place of Y.
    x : dict of array, optional
        What f is given beside ``x["s"]`` and ``x["r"]``; leaves (X, Y, k) or (*B, X, Y, k).
    params, jac
        As for every problem.
    cells : bool
        Whether u is in the midpoints of cells.

    Notes
    -----
    Central differences of second order. Newton's method starts from 0 unless ``solve`` is given a ``y_guess``. The
    rule is "laplace2d.krylov"; ``inverse="direct"`` takes a sparse LU, for large first derivatives. In a corner that
    two sides give a value for, it is that of left or right.

    Examples
    --------
    >>> import numpy as np
    >>> import deersolve as ds
    >>> s = np.linspace(0.0, 1.0, 33)
    >>> zero = {side: ds.Dirichlet() for side in ("left", "right", "bottom", "top")}
    >>> bratu = ds.Elliptic2D(lambda u, u_s, u_r, x, p: -p * np.exp(u), (s, s), params=5.0, **zero)
    >>> round(float(ds.solve(bratu).y.max()), 3)
    0.557
    """

    def __init__(  # noqa: PLR0913 - an equation and its four sides
        self,
        f: Callable[..., Array],
        points: tuple[Array, Array],
        D: Any = 1.0,
        *,
        left: Any,
        right: Any,
        bottom: Any,
        top: Any,
        x: Tree = None,
        params: Any = None,
        cells: bool = False,
        jac: Callable[..., Any] | None = None,
    ) -> None:
        sides = (left, right), (bottom, top)
        super().__init__(f, two_axes(points), D, sides=sides, x=x, params=params, cells=cells, jac=jac)
        self.family, self.inverse = "laplace2d", "laplace2d.krylov"
