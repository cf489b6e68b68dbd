"""Equations in conservation form, as a function of every cell and the cells around it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..backends.namespace import Array, Tree
from ..errors import mismatch
from ..grids.fluxes import reach_of


class Conserved:
    """f - H_s by what passes the faces of a cell: f(u, ...) - (H(u, u_behind) - H(u_before, u)) / h on each axis.

    The face between two cells is looked at from both sides with the same two states, so that what leaves one cell
    enters the other.

    Parameters
    ----------
    f : callable or None
        The source, ``f(u, u_s, [u_r,] x, params)``.
    fluxes : tuple of callable or None
        The numerical flux of each axis.
    """

    def __init__(self, f: Callable[..., Array] | None, fluxes: tuple[Callable[..., Array] | None, ...]) -> None:
        if f is not None and not callable(f):
            raise mismatch("f", "a callable f(u, u_s, x, params), or None with a flux", repr(f))
        self.f, self.fluxes = f, fluxes
        self.__name__ = "None" if f is None else getattr(f, "__name__", type(f).__name__)

    def __call__(self, u: Array, *given: Any) -> Array:
        """Return the rate at every point, of u, its slopes, the states around it, x and params."""
        *signals, x, params = given
        slopes, around = signals[: len(self.fluxes)], signals[len(self.fluxes) :]
        made = 0 * u if self.f is None else self.f(u, *slopes, x["cells"], params)
        for flux, faces in zip(self.fluxes, x["faces"], strict=True):
            if flux is None:
                continue
            reach = reach_of(flux)
            states = (*around[:reach], u, *around[reach : 2 * reach])
            around = around[2 * reach :]
            inflow = _passing(flux, states[:-1], faces["before"], params)
            outflow = _passing(flux, states[1:], faces["behind"], params)
            made = made - (faces["out"] * outflow - faces["in"] * inflow)
        return made


def _passing(flux: Callable[..., Array], states: tuple[Array, ...], x: Tree, params: Any) -> Array:
    """Return what passes a face."""
    made, u = flux(*states, x, params), states[0]
    if tuple(getattr(made, "shape", ())) != tuple(u.shape):
        shape = tuple(made.shape) if hasattr(made, "shape") else type(made).__name__
        advice = "Components are on the last axis: u[..., :1], u[..., 1:], joined by xp.concat([...], axis=-1)."
        raise mismatch("flux", f"an array of the shape of u, {tuple(u.shape)}", shape, advice)
    return made


def check_flux(fluxes: Any, cells: bool) -> None:
    """Raise unless each is None or can be called, and u is in cells."""
    for flux in fluxes:
        if flux is not None and not callable(flux):
            raise mismatch("flux", "a callable flux(u_left, u_right, x, params)", repr(flux))
        if flux is not None and not cells:
            advice = "s are then the edges of cells, one more than there are numbers of u."
            raise mismatch("flux", "cells=True, as it passes the faces of cells", "cells=False", advice)
