"""Evolution equations: u_t + div H - D Laplacian(u) = f(u, du/ds, ..., x, params) on any number of axes of space."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from ..backends.generic import Backend
from ..backends.namespace import Array, Tree
from ..errors import mismatch
from ..grids.base import Data
from ..grids.make_levels import on_levels
from ..grids.times import Initial
from .space import SpaceProblem, on_axes, two_axes

FAMILIES = {1: "heat", 2: "heat2d", 3: "heat3d"}
"""Those of the rules on so many axes."""


class Evolution(SpaceProblem):
    """u_t - D (u_ss + u_rr + ...) = f(u, u_s, u_r, ..., x, params) from u0 on, on one, two or three axes.

    Parameters
    ----------
    f : callable
        ``f(u, u_s, u_r, u_q, x, params)``, with as many slopes as there are axes, of arrays (*B, T, m, *R, n), m the
        stages of the rule, and at every point by itself.
    t : array, shape (T,)
        The times, strictly increasing.
    points : tuple of one to three arrays
        The points of the axes "s", "r" and "q", as for :class:`Elliptic`.
    u0 : array, shape (*R, n) or (*B, *R, n)
        u at t[0].
    D : number or array
        The diffusion, positive, or with fluxes at least 0: a number, (n,) or (*R, n).
    sides : condition, or tuple of pairs
        As for :class:`Elliptic`; values may vary with time: (T, *R', n) or (*B, T, *R', n), R' the other axes.
    x : dict of array, optional
        What f is given beside ``x["t"]``, ``x["s"]``, ...: leaves (*R, k), (T, *R, k) or (*B, T, *R, k). Between two
        levels a stage sees their mean by its place, of whole numbers and flags those of the level before.
    params, cells
        As for :class:`BoundaryValueProblem`.
    flux : tuple of callables, optional
        A numerical flux along each of at most two axes, or None, as for :class:`Evolution1D` and
        :class:`Evolution2D`.

    Raises
    ------
    InputError
        If there are not one to three axes, not a pair of conditions for each, or fluxes on three axes.

    Notes
    -----
    Second order in space. In time TR-BDF2 (order 2, L-stable), ``inverse="backward_euler"`` or
    ``inverse="trapezoid"``; the rules are "heat.*", "heat2d.*" and "heat3d.*" by the number of axes. ``sol.y`` has the
    shape (*B, T, *R, n).

    Examples
    --------
    >>> import numpy as np
    >>> import deersolve as ds
    >>> s, t = np.linspace(0.0, 1.0, 9), np.linspace(0.0, 0.02, 6)
    >>> u0 = np.sin(np.pi * s) * np.sin(np.pi * s)[:, None] * np.sin(np.pi * s)[:, None, None]
    >>> f = lambda u, u_s, u_r, u_q, x, p: 0.0 * u
    >>> heat = ds.Evolution(f, t, (s, s, s), u0[..., None], sides=ds.Dirichlet())
    >>> sol = ds.solve(heat)
    >>> sol.y.shape, bool(abs(sol.y[-1, 4, 4, 4, 0] - np.exp(-0.06 * np.pi**2)) < 1e-2)
    ((6, 9, 9, 9, 1), True)
    """

    marches: ClassVar[bool] = True
    shows_all: ClassVar[bool] = False
    f: Any
    t: Any

    def __init__(  # noqa: PLR0913 - an equation, its start and its sides
        self,
        f: Callable[..., Array] | None,
        t: Array,
        points: tuple[Array, ...],
        u0: Array,
        D: Any = 1.0,
        *,
        sides: Any,
        x: Tree = None,
        params: Any = None,
        cells: bool = False,
        flux: tuple[Any, ...] | None = None,
    ) -> None:
        points, sides = on_axes(points, sides)
        fluxes, rule = _fluxes(flux, len(points)), f"{FAMILIES[len(points)]}.trbdf2"
        given = {"sides": sides, "cells": cells, "x": x, "params": params}
        super().__init__(f, points, {"D": D}, fluxes, inverse=rule, **given)
        fields = {"u0": self.fields["D"], **self.fields, "t": ("t",)}
        # both sides of a face hold x and t in copies
        without = () if self.fluxes == (None,) * len(points) else ("x", "t")
        self.fields = {k: axes for k, axes in fields.items() if k not in without}
        self.t, self.boundary = t, Initial(u0)

    @property
    def columns(self) -> Callable[..., Array] | None:
        """The derivatives of f by every signal, with fluxes: of each by the states that it is given."""
        return None if all(flux is None for flux in self.fluxes) else self.f.columns

    def points(self) -> dict[str, Any]:
        """Return the times, and the points, or edges, of each axis."""
        return {"t": self.t, **self.edges}

    def discretise(self, y_guess: Any, rule: Any) -> tuple[Backend, Data]:
        """Return the backend, and grid, data and guess as the solver takes them."""
        return on_levels(self, y_guess, rule)


def _fluxes(flux: Any, d: int) -> tuple[Any, ...]:
    """Return a flux, or None, for each axis; raise unless that is what was given."""
    if flux is None:
        return (None,) * d
    fluxes = tuple(flux) if isinstance(flux, tuple | list) else (flux,)
    expected = ("a numerical flux", "two numerical fluxes, along s and along r, or None for one of them", "none")[d - 1]
    if d > 2 or len(fluxes) != d or all(flux is None for flux in fluxes):
        raise mismatch("flux", expected, repr(flux), "On three axes there are none yet." if d > 2 else "")
    return fluxes


class Evolution1D(Evolution):
    """u_t + H_s - D u_ss = f(u, u_s, x, params) from u0 on, between s[0] and s[-1].

    Parameters
    ----------
    f : callable
        ``f(u, u_s, x, params)``, of arrays (*B, T, X, n) (with one more axis for the stages of a rule) and at every
        point by itself.
    t : array, shape (T,)
        The times, strictly increasing.
    s : array, shape (X,)
        The points, as for :class:`BoundaryValueProblem`; with ``cells=True`` the X + 1 edges of cells.
    u0 : array, shape (X, n) or (*B, X, n)
        u at t[0].
    D : number or array
        The diffusion, positive, or with a flux at least 0: a number, (n,), (X, 1) or (X, n).
    left, right : Dirichlet, Neumann, Robin, NoFlux or Periodic
        As for :class:`BoundaryValueProblem`; their values may vary with time: a number, (n,), (T, n) or (*B, T, n).
    x : dict of array, optional
        What f is given beside ``x["t"]`` and ``x["s"]``: leaves (X, k), (T, X, k) or (*B, T, X, k). Between two
        levels a stage sees their mean by its place.
    params, cells
        As for :class:`BoundaryValueProblem`.
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
        given = {"sides": ((left, right),), "flux": None if flux is None else (flux,)}
        super().__init__(f, t, (s,), u0, D, **given, x=x, params=params, cells=cells)


class Evolution2D(Evolution):
    """u_t + H_s + K_r - D (u_ss + u_rr) = f(u, u_s, u_r, x, params) from u0 on, in the rectangle of the points (s, r).

    Parameters
    ----------
    f : callable
        ``f(u, u_s, u_r, x, params)``, of arrays (*B, T, m, X, Y, n), m the stages of the rule, and at every point by
        itself.
    points : tuple of two arrays
        s and r, as for :class:`Elliptic2D`.
    u0 : array, shape (X, Y, n) or (*B, X, Y, n)
        u at t[0].
    D : number or array
        The diffusion, positive, or with fluxes at least 0: a number, (n,) or (X, Y, n).
    left, right, bottom, top : Dirichlet, Neumann, Robin, NoFlux or Periodic
        As for :class:`Elliptic2D`; their values may vary along the side, (N, n), and with time, (T, N, n) or
        (*B, T, N, n).
    t, x, params, cells
        As for :class:`Evolution1D`; x has ``x["r"]`` too, and leaves are (X, Y, k), (T, X, Y, k) or (*B, T, X, Y, k).
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
        sides = (left, right), (bottom, top)
        super().__init__(f, t, two_axes(points), u0, D, sides=sides, flux=flux, x=x, params=params, cells=cells)
