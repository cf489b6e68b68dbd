"""Numerical fluxes between two cells: H(u_left, u_right, x, params) of a flux F(u, x, params)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from .errors import mismatch
from .typing import Array, array_namespace

Flux = Callable[..., Array]


@dataclass(frozen=True)
class Central:
    """H = (F(u_left) + F(u_right)) / 2."""

    F: Flux
    mirrors: ClassVar[bool] = True
    """Whether the state outside is that mirrored at the wall; else it is that at the wall."""

    def __call__(self, left: Array, right: Array, x: Any, params: Any) -> Array:
        """Return what passes a face."""
        return 0.5 * (self.F(left, x, params) + self.F(right, x, params))


@dataclass(frozen=True)
class Upwind:
    """H = (F(u_left) + F(u_right)) / 2 - a (u_right - u_left) / 2, a the larger one of two speeds."""

    F: Flux
    speed: Flux

    def __call__(self, left: Array, right: Array, x: Any, params: Any) -> Array:
        """Return what passes a face."""
        a = array_namespace(left).maximum(self.speed(left, x, params), self.speed(right, x, params))
        if a.ndim != left.ndim or a.shape[-1] not in (1, left.shape[-1]):
            expected = f"shape {(*left.shape[:-1], 1)}, or one for each component"
            raise mismatch("speed", expected, tuple(a.shape), "One speed for all: speed[..., None].")
        return 0.5 * (self.F(left, x, params) + self.F(right, x, params)) - 0.5 * a * (right - left)


def central(F: Flux) -> Central:
    """Return the numerical flux H = (F(u_left) + F(u_right)) / 2, of second order.

    Parameters
    ----------
    F : callable
        The flux ``F(u, x, params)``, of arrays (..., n).

    Notes
    -----
    Where the flux carries u over a cell faster than diffusion spreads it, |F'| h > 2 D, u may oscillate from cell to
    cell: see :func:`upwind`.

    Examples
    --------
    >>> import numpy as np
    >>> import deersolve as ds
    >>> H = ds.central(lambda u, x, params: u * u / 2)
    >>> float(H(np.array([1.0]), np.array([3.0]), None, None)[0])
    2.5
    """
    _check(F, "central", "a flux F(u, x, params)")
    return Central(F)


def upwind(F: Flux, speed: Flux) -> Upwind:
    """Return the numerical flux H = (F(u_left) + F(u_right)) / 2 - a (u_right - u_left) / 2, of first order.

    a is the larger one of the speeds of both states. For F = v u and speed |v| it is v u of the state upwind.

    Parameters
    ----------
    F : callable
        The flux ``F(u, x, params)``, of arrays (..., n).
    speed : callable
        ``speed(u, x, params)``, the largest absolute eigenvalue of dF/du, of shape (..., 1), or (..., n) for
        components that do not see each other.

    Notes
    -----
    The flux of Rusanov, or local one of Lax and Friedrichs. A scalar equation stays between the bounds of its start by
    backward Euler with any step, by the other rules with small ones.

    References
    ----------
    V. V. Rusanov, USSR Computational Mathematics and Mathematical Physics 1 (1961); R. J. LeVeque, "Finite volume
    methods for hyperbolic problems" (2002), section 12.5.

    Examples
    --------
    >>> import numpy as np
    >>> import deersolve as ds
    >>> H = ds.upwind(lambda u, x, params: u * u / 2, lambda u, x, params: abs(u))
    >>> float(H(np.array([3.0]), np.array([1.0]), None, None)[0])
    5.5
    """
    _check(F, "upwind", "a flux F(u, x, params)")
    _check(speed, "upwind", "a speed(u, x, params)")
    return Upwind(F, speed)


def mirrors(flux: Flux) -> bool:
    """Return whether the state outside that a flux is given is mirrored at the wall."""
    return bool(getattr(flux, "mirrors", False))


def _check(given: Any, where: str, expected: str) -> None:
    if not callable(given):
        raise mismatch(where, expected, repr(given))
