"""Equations of second order in space: D Laplacian(u) = f(u, du/ds, ..., x, params) in a box, and a u'' + b u' + c u."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..backends.namespace import Array, Tree
from .space import SpaceProblem, on_axes, two_axes


class BoundaryValueProblem(SpaceProblem):
    """a u'' + b u' + c u = f(u, u_s, x, params) between s[0] and s[-1].

    Parameters
    ----------
    f : callable
        ``f(u, u_s, x, params)``, of arrays (*B, N, n) and at every point by itself.
    s : array, shape (N,)
        The points, both ends included, strictly increasing. With ``cells=True`` the edges of N - 1 cells in whose
        midpoints u is. With periodic ends the last point is the image of the first.
    left, right : Dirichlet, Neumann, Robin or Periodic
        The conditions, or a tuple of one for each component. Derivatives are along the outward normal.
    a, b, c : number or array, optional
        The coefficients of L, by default 1, 0, 0: numbers, (n,), (N, 1), (N, n) or (*B, N, n).
    x : dict of array, optional
        What f is given beside ``x["s"]``, the points; leaves (N, k) or (*B, N, k).
    params, jac
        As for :class:`Problem`.
    cells : bool
        Whether u is in the midpoints of cells.

    Notes
    -----
    Central differences of second order; a condition with a derivative is met by a point beyond the end, which is
    eliminated. u starts from 0 unless ``solve`` is given a ``y_guess``, which also says how many components there are
    where the conditions do not.

    Examples
    --------
    Bratu's problem u'' + e^u = 0, u(0) = u(1) = 0:

    >>> import numpy as np
    >>> import deersolve as ds
    >>> s = np.linspace(0.0, 1.0, 101)
    >>> bratu = ds.BoundaryValueProblem(lambda u, u_s, x, p: -np.exp(u), s, left=ds.Dirichlet(), right=ds.Dirichlet())
    >>> f"{float(ds.solve(bratu).y[50, 0]):.4f}"
    '0.1405'
    """

    def __init__(  # noqa: PLR0913 - an equation and its two ends
        self,
        f: Callable[..., Array],
        s: Array,
        *,
        left: Any,
        right: Any,
        a: Any = 1.0,
        b: Any = 0.0,
        c: Any = 0.0,
        x: Tree = None,
        params: Any = None,
        cells: bool = False,
        jac: Callable[..., Any] | None = None,
    ) -> None:
        L, sides, rule = {"a": a, "b": b, "c": c}, {"left": left, "right": right}, "d2dx2.blocktridiagonal"
        super().__init__(f, (s,), L, sides=sides, inverse=rule, x=x, params=params, cells=cells, jac=jac)


class Elliptic(SpaceProblem):
    """D (u_ss + u_rr + ...) = f(u, u_s, u_r, ..., x, params) on one, two or three axes.

    Parameters
    ----------
    f : callable
        ``f(u, u_s, u_r, u_q, x, params)``, with as many slopes as there are axes, of arrays (*B, *R, n) and at every
        point by itself.
    points : tuple of one to three arrays
        The points of the axes "s", "r" and "q", each as s of :class:`BoundaryValueProblem`.
    D : number or array
        The coefficient, positive: a number, (n,), (*R, n) or what broadcasts to (*B, *R, n). It stands before the
        Laplacian; of a flux, div(D grad u), the term with D's slope belongs to f.
    sides : condition, or tuple of pairs
        ``((left, right), (bottom, top), (front, back))``, a pair for each axis, of :class:`Dirichlet`,
        :class:`Neumann`, :class:`Robin` or :class:`Periodic`, or of a tuple of one for each component; or one
        condition for all sides. Values are numbers, (n,), (*R', n) or (*B, *R', n), R' the other axes; derivatives are
        along the outward normal. In a corner that two sides give a value for, it is that of the first axis.
    x : dict of array, optional
        What f is given beside the points, ``x["s"]``, ``x["r"]`` and ``x["q"]``; leaves (*R, k) or (*B, *R, k).
    params, cells, jac
        As for :class:`BoundaryValueProblem`.

    Raises
    ------
    InputError
        If there are not one to three axes, or not a pair of conditions for each.

    Notes
    -----
    Central differences of second order. Newton's method starts from 0 unless ``solve`` is given a ``y_guess``. The
    rule is "laplace.krylov", a method of conjugate residuals with the fast diagonalisation of the constant part as
    preconditioner, work O(N^(d + 1)) an iteration on N^d points; or "laplace.direct", a sparse LU, for large first
    derivatives. On one axis it is that of :class:`Elliptic1D`.

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
        points, sides = on_axes(points, sides)
        rule = "d2dx2.blocktridiagonal" if len(points) == 1 else "laplace.krylov"
        super().__init__(f, points, {"D": D}, sides=sides, inverse=rule, x=x, params=params, cells=cells, jac=jac)


class Elliptic1D(Elliptic):
    """D u'' = f(u, u_s, x, params) between s[0] and s[-1].

    Parameters
    ----------
    f, s, left, right, x, params, cells, jac
        As for :class:`BoundaryValueProblem`.
    D : number or array
        The coefficient, positive: a number, (n,), (N, 1), (N, n) or (*B, N, n). It stands before the derivative; of
        a flux, div(D grad u) = D u'' + D' u', the second term belongs to f.

    Examples
    --------
    >>> import numpy as np
    >>> import deersolve as ds
    >>> s = np.linspace(0.0, 1.0, 11)
    >>> rod = ds.Elliptic1D(lambda u, u_s, x, p: 2.0 + 0.0 * u, s, left=ds.Dirichlet(), right=ds.Neumann(2.0))
    >>> bool(np.allclose(ds.solve(rod).y[:, 0], s * s))
    True
    """

    def __init__(  # noqa: PLR0913 - an equation and its two ends
        self,
        f: Callable[..., Array],
        s: Array,
        D: Any = 1.0,
        *,
        left: Any,
        right: Any,
        x: Tree = None,
        params: Any = None,
        cells: bool = False,
        jac: Callable[..., Any] | None = None,
    ) -> None:
        super().__init__(f, (s,), D, sides=((left, right),), x=x, params=params, cells=cells, jac=jac)


class Elliptic2D(Elliptic):
    """D (u_ss + u_rr) = f(u, u_s, u_r, x, params) in the rectangle of the points (s, r).

    Parameters
    ----------
    f, points, D, x, params, cells, jac
        As for :class:`Elliptic` on two axes, s of shape (X,) and r of shape (Y,): D is a number, (n,), (X, Y, n) or
        what broadcasts to (*B, X, Y, n), leaves of x are (X, Y, k) or (*B, X, Y, k).
    left, right : Dirichlet, Neumann, Robin or Periodic
        The conditions at the first and the last s: their values are numbers, (n,), (Y, n) or (*B, Y, n). A tuple is one
        condition for each component. Derivatives are along the outward normal.
    bottom, top : Dirichlet, Neumann, Robin or Periodic
        Those at the first and the last r, with X in the place of Y.

    Notes
    -----
    The rule is "laplace2d.krylov"; ``inverse="direct"`` takes a sparse LU, for large first derivatives. In a corner
    that two sides give a value for, it is that of left or right.

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
