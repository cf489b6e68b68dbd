"""Equations with a Laplacian in a rectangle: D (u_ss + u_rr) = f(u, u_s, u_r, x, params)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from ..backends.generic import Backend
from ..backends.namespace import Array, Tree
from ..grids.base import Data
from ..grids.make_box import in_a_box
from ..grids.shifters import Along, identity
from .space import SpaceProblem, check_points


class Elliptic2D(SpaceProblem):
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

    family: ClassVar[str] = "laplace2d"
    axes: ClassVar[tuple[str, ...]] = ("s", "r")
    fields = {  # noqa: RUF012
        **dict.fromkeys(("left", "right"), ("r", "k")),
        **dict.fromkeys(("bottom", "top"), ("s", "k")),
        **dict.fromkeys(("D", "x"), ("s", "r", "k")),
    }

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
        shift = (identity, Along(0), Along(1))
        super().__init__(f, shift=shift, inverse="laplace2d.krylov", x=x, params=params, jac=jac)
        sides = {"left": left, "right": right, "bottom": bottom, "top": top}
        self.lie(check_points(points), sides, cells, x)
        self.coefficients = {"D": D}

    def discretise(self, y_guess: Any, rule: Any) -> tuple[Backend, Data]:
        """Return the backend, and grid, data and guess as the solver takes them."""
        return in_a_box(self, y_guess)
