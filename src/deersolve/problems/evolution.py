"""Evolution equations on a line: u_t + H_s - D u_ss = f(u, u_s, x, params)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from ..backends.generic import Backend
from ..backends.namespace import Array, Tree
from ..errors import check_flag
from ..grids.base import Data
from ..grids.fluxes import reach_of
from ..grids.shifters import Along, identity
from ..grids.spacetime import on_a_sheet
from ..grids.times import Initial
from .conserved import Conserved, check_flux
from .space import SpaceProblem


class Evolution1D(SpaceProblem):
    """u_t + H_s - D u_ss = f(u, u_s, x, params) from u0 on, between s[0] and s[-1].

    Parameters
    ----------
    f : callable
        ``f(u, u_s, x, params)``, of arrays (*B, T, X, n) (with one more axis for the stages of a rule) and at every
        point by itself.
    t : array, shape (T,)
        The times, strictly increasing.
    s : array
        The points (X,), both ends included; with ``cells=True`` the X + 1 edges of cells. With periodic ends the last
        point is the image of the first.
    u0 : array, shape (X, n) or (*B, X, n)
        u at t[0].
    D : number or array
        The diffusion, positive, or with a flux at least 0: a number, (n,), (X, 1) or (X, n).
    left, right : Dirichlet, Neumann, Robin, NoFlux or Periodic
        As for :class:`BoundaryValueProblem`; their values may vary with time: a number, (n,), (T, n) or (*B, T, n).
    x : dict of array, optional
        What f is given beside ``x["t"]`` and ``x["s"]``: leaves (X, k), (T, X, k) or (*B, T, X, k). Between two
        levels a stage sees their mean by its place.
    params
        As for every problem.
    cells : bool
        Whether u is in the midpoints of cells.
    flux : callable, optional
        The numerical flux H between two cells, ``flux(u_left, u_right, x, params)``, of arrays like u and at every
        face by itself: :func:`deersolve.upwind`, :func:`deersolve.central` or your own. It takes ``cells=True``. Its
        ``x`` has the faces as ``x["s"]``, and those leaves that are given on the X + 1 faces, or are the same along
        s; f has those in the cells. At an end the outer state is u at the wall by the condition there; where that is
        ``NoFlux()`` nothing passes. f may then be None: no source.

    Notes
    -----
    Second order in space (of H: as it is made); in time by the rule, "heat.trbdf2" (order 2, L-stable), or
    ``inverse="backward_euler"``, ``inverse="trapezoid"``. ``sol.y`` has the shape (*B, T, X, n).

    What u holds altogether, the sum of h u over the cells, changes by roundoff only on a ring and between ``NoFlux()``,
    where D is the same along s and f is None.

    Examples
    --------
    >>> import numpy as np
    >>> import deersolve as ds
    >>> s, t = np.linspace(0.0, 1.0, 51), np.linspace(0.0, 0.1, 41)
    >>> ends = {"left": ds.Dirichlet(0.0), "right": ds.Dirichlet(0.0)}
    >>> heat = ds.Evolution1D(lambda u, u_s, x, p: 0.0 * u, t, s, np.sin(np.pi * s)[:, None], 1.0, **ends)
    >>> bool(abs(ds.solve(heat).y[-1, 25, 0] - np.exp(-0.1 * np.pi**2)) < 1e-3)
    True
    """

    family: str = "heat"
    is_causal: ClassVar[bool] = True
    axes: tuple[str, ...] = ("t", "s")
    fields = {  # noqa: RUF012
        **dict.fromkeys(("u0", "D"), ("s", "k")),
        **dict.fromkeys(("left", "right"), ("t", "k")),
        "x": ("t", "s", "k"),
        "t": ("t",),
    }

    def __init__(  # noqa: PLR0913 - an equation, its start and its two ends
        self,
        f: Callable[..., Array] | None,
        t: Array,
        s: Array,
        u0: Array,
        D: Any = 1.0,
        *,
        left: Any,
        right: Any,
        x: Tree = None,
        params: Any = None,
        cells: bool = False,
        flux: Callable[..., Array] | None = None,
    ) -> None:
        check_flag("cells", cells)
        check_flux((flux,), cells)
        beside = () if flux is None else tuple(map(Along, range(1, 1 + 2 * reach_of(flux))))
        f = f if flux is None else Conserved(f, (flux,))
        super().__init__(f, shift=(identity, Along(0), *beside), inverse="heat.trbdf2", x=x, params=params)  # type: ignore[arg-type]
        self.lie((s,), {"left": left, "right": right}, cells, x)
        self.flux = flux
        if flux is not None:  # both sides of a face hold x and t in copies
            self.fields = {k: axes for k, axes in self.fields.items() if k not in ("x", "t")}
        self.t, self.fluxes = t, (flux,)
        self.boundary, self.coefficients = Initial(u0), {"D": D}

    def points(self) -> dict[str, Any]:
        """Return the times, and the points, or edges, of each axis."""
        return {"t": self.t, **self.edges}

    def discretise(self, y_guess: Any, rule: Any) -> tuple[Backend, Data]:
        """Return the backend, and grid, data and guess as the solver takes them."""
        return on_a_sheet(self, y_guess, rule)
