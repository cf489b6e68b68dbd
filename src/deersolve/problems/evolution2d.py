"""Evolution equations in a rectangle: u_t + H_s + K_r - D (u_ss + u_rr) = f(u, u_s, u_r, x, params)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from ..backends.generic import Backend
from ..backends.namespace import Array, Tree
from ..errors import check_flag, mismatch
from ..grids.base import Data
from ..grids.fluxes import reach_of
from ..grids.planetime import in_a_volume
from ..grids.shifters import Along, identity
from ..grids.times import Initial
from .conserved import Conserved, check_flux
from .space import SpaceProblem, check_points


class Evolution2D(SpaceProblem):
    """u_t + H_s + K_r - D (u_ss + u_rr) = f(u, u_s, u_r, x, params) from u0 on, in the rectangle of the points (s, r).

    Parameters
    ----------
    f : callable
        ``f(u, u_s, u_r, x, params)``, of arrays (*B, T, m, X, Y, n), m the stages of the rule, and at every point by
        itself.
    t : array, shape (T,)
        The times, strictly increasing.
    points : tuple of two arrays
        s and r, as for :class:`Elliptic2D`.
    u0 : array, shape (X, Y, n) or (*B, X, Y, n)
        u at t[0].
    D : number or array
        The diffusion, positive, or with fluxes at least 0: a number, (n,) or (X, Y, n).
    left, right, bottom, top : Dirichlet, Neumann, Robin, NoFlux or Periodic
        As for :class:`Elliptic2D`; their values may vary along the side, (N, n), and with time, (T, N, n) or
        (*B, T, N, n).
    x : dict of array, optional
        What f is given beside ``x["t"]``, ``x["s"]`` and ``x["r"]``: leaves (X, Y, k), (T, X, Y, k) or
        (*B, T, X, Y, k). Between two levels a stage sees their mean by its place.
    params
        As for every problem.
    cells : bool
        Whether u is in the midpoints of cells.
    flux : tuple of two callables, optional
        The numerical fluxes H along s and K along r, or None for one of them, as for :class:`Evolution1D`. Leaves of x
        on the faces of s are (X + 1, Y, k), on those of r (X, Y + 1, k).

    Notes
    -----
    Second order in space; in time by the rule, "heat2d.trbdf2" (order 2, L-stable), ``inverse="backward_euler"`` or
    ``inverse="trapezoid"``. ``sol.y`` has the shape (*B, T, X, Y, n).

    Examples
    --------
    >>> import numpy as np
    >>> import deersolve as ds
    >>> s, t = np.linspace(0.0, 1.0, 17), np.linspace(0.0, 0.02, 9)
    >>> u0 = np.sin(np.pi * s)[:, None, None] * np.sin(np.pi * s)[:, None]
    >>> zero = {side: ds.Dirichlet() for side in ("left", "right", "bottom", "top")}
    >>> heat = ds.Evolution2D(lambda u, u_s, u_r, x, p: 0.0 * u, t, (s, s), u0, 1.0, **zero)
    >>> bool(abs(ds.solve(heat).y[-1, 8, 8, 0] - np.exp(-0.04 * np.pi**2)) < 2e-3)
    True
    """

    family: str = "heat2d"
    is_causal: ClassVar[bool] = True
    axes: tuple[str, ...] = ("t", "s", "r")
    fields = {  # noqa: RUF012
        **dict.fromkeys(("u0", "D"), ("s", "r", "k")),
        **dict.fromkeys(("left", "right"), ("t", "r", "k")),
        **dict.fromkeys(("bottom", "top"), ("t", "s", "k")),
        "x": ("t", "s", "r", "k"),
        "t": ("t",),
    }

    def __init__(  # noqa: PLR0913 - an equation, its start and its four sides
        self,
        f: Callable[..., Array] | None,
        t: Array,
        points: tuple[Array, Array],
        u0: Array,
        D: Any = 1.0,
        *,
        left: Any,
        right: Any,
        bottom: Any,
        top: Any,
        x: Tree = None,
        params: Any = None,
        cells: bool = False,
        flux: tuple[Any, Any] | None = None,
    ) -> None:
        self.flux = (None, None) if flux is None else tuple(flux) if isinstance(flux, tuple | list) else (flux,)
        if len(self.flux) != 2 or (flux is not None and self.flux == (None, None)):
            raise mismatch("flux", "two numerical fluxes, along s and along r, or None for one of them", repr(flux))
        check_flag("cells", cells)
        check_flux(self.flux, cells)
        count = sum(2 * reach_of(one) for one in self.flux if one is not None)
        shift = (identity, *map(Along, range(2 + count)))
        if flux is not None:  # both sides of a face hold x and t in copies
            self.fields = {k: axes for k, axes in self.fields.items() if k not in ("x", "t")}
        f = f if flux is None else Conserved(f, self.flux)
        super().__init__(f, shift=shift, inverse="heat2d.trbdf2", x=x, params=params)  # type: ignore[arg-type]
        sides = {"left": left, "right": right, "bottom": bottom, "top": top}
        self.lie(check_points(points), sides, cells, x)
        self.t, self.fluxes = t, self.flux
        self.boundary, self.coefficients = Initial(u0), {"D": D}

    def points(self) -> dict[str, Any]:
        """Return the times, and the points, or edges, of each axis."""
        return {"t": self.t, **self.edges}

    def discretise(self, y_guess: Any, rule: Any) -> tuple[Backend, Data]:
        """Return the backend, and grid, data and guess as the solver takes them."""
        return in_a_volume(self, y_guess, rule)
