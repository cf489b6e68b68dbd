"""Second-order equations on a line, with conditions at both ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..backends.generic import Backend
from ..backends.namespace import Array, Tree
from ..grids.base import Data
from ..grids.make_box import in_a_box
from ..grids.shifters import identity, slope
from .space import SpaceProblem


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
        As for every problem.
    cells : bool
        Whether u is in the midpoints of cells.

    Notes
    -----
    Central differences of second order; a condition with a derivative is met by a point beyond the end, which is
    eliminated. u starts from 0 unless ``solve`` is given a ``y_guess``, which also says how many components there
    are where the conditions do not.

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

    family: str = "d2dx2"
    fields = {"left": ("k",), "right": ("k",), **dict.fromkeys(("a", "b", "c", "x"), ("s", "k"))}  # noqa: RUF012

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
        super().__init__(f, shift=(identity, slope), inverse="d2dx2.blocktridiagonal", x=x, params=params, jac=jac)
        self._place((s,), {"left": left, "right": right}, cells, x)
        self.coefficients = {"a": a, "b": b, "c": c}

    def discretise(self, y_guess: Any, rule: Any) -> tuple[Backend, Data]:
        """Return the backend, and grid, data and guess as the solver takes them."""
        return in_a_box(self, y_guess)


class Elliptic1D(BoundaryValueProblem):
    """D u'' = f(u, u_s, x, params) between s[0] and s[-1].

    Parameters
    ----------
    f, s, left, right, x, params, cells, jac
        As for :class:`BoundaryValueProblem`.
    D : number or array
        The coefficient: a number, (n,), (N, 1), (N, n) or (*B, N, n), positive. It stands before the derivative; of
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

    fields = {"left": ("k",), "right": ("k",), "D": ("s", "k"), "x": ("s", "k")}  # noqa: RUF012

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
        super().__init__(f, s, left=left, right=right, a=D, x=x, params=params, cells=cells, jac=jac)
        self.coefficients = {"D": D}
