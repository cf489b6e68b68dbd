"""Numerical fluxes between two cells: H(u_left, u_right, x, params) of a flux F(u, x, params)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from ..backends.namespace import Array, array_namespace
from ..backends.registration import close_matches
from ..errors import UnknownKeyError, mismatch

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


@dataclass(frozen=True)
class Limited:
    """H of states that slopes in both cells lead to at the face between them."""

    flux: Flux
    limiter: Callable[[Array, Array], Array]
    reach: ClassVar[int] = 2
    """How many states on each side of a face it is given."""

    def around(self, wrap: Callable[[Flux], Flux]) -> Limited:
        """Return the same limiter of a function around the flux."""
        return Limited(wrap(self.flux), self.limiter)

    def __call__(self, *given: Any) -> Array:
        """Return what passes a face, of the two states before it and the two behind it."""
        before, left, right, behind, x, params = given
        step = right - left
        at_left = left + 0.5 * self.limiter(left - before, step)
        at_right = right - 0.5 * self.limiter(step, behind - right)
        return self.flux(at_left, at_right, x, params)


def van_leer(a: Array, b: Array) -> Array:
    """Return the harmonic mean of two steps, 0 where they differ in sign."""
    xp, both = array_namespace(a), a * b
    return xp.where(both > 0, 2 * both / xp.where(both > 0, a + b, 1.0), 0.0)


def minmod(a: Array, b: Array) -> Array:
    """Return the smaller one of two steps, 0 where they differ in sign."""
    xp = array_namespace(a)
    return xp.where(a * b > 0, xp.where(abs(a) < abs(b), a, b), 0.0)


LIMITERS = {"van_leer": van_leer, "minmod": minmod}


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


def limited(flux: Flux, limiter: Any = "van_leer") -> Limited:
    """Return a numerical flux between states at the face, u +- slope / 2: of second order where u is smooth.

    Parameters
    ----------
    flux : callable
        The numerical flux between two states, such as :func:`upwind` makes it.
    limiter : {"van_leer", "minmod"} or callable
        The slope of a cell from the steps to both of its neighbours, ``limiter(u - u_before, u_behind - u)``: 0 where
        u is largest or smallest, so that it does not oscillate.

    Notes
    -----
    The slopes are those of cells of one size. On a ring of one dimension the number of cells must be even.

    References
    ----------
    B. van Leer, "Towards the ultimate conservative difference scheme V", J. Comput. Phys. 32 (1979).

    Examples
    --------
    >>> import deersolve as ds
    >>> H = ds.limited(ds.upwind(lambda u, x, params: u, lambda u, x, params: 0.0 * u + 1.0))
    >>> H.reach
    2
    """
    _check(flux, "limited", "a flux(u_left, u_right, x, params)")
    if reach_of(flux) != 1:
        raise mismatch("limited", "a flux of the two states beside a face", repr(flux))
    if isinstance(limiter, str) and limiter not in LIMITERS:
        raise UnknownKeyError(f"limiter: unknown {limiter!r}." + close_matches(limiter, list(LIMITERS)))
    made = LIMITERS[limiter] if isinstance(limiter, str) else limiter
    _check(made, "limiter", "'van_leer', 'minmod' or a slope(a, b) of the steps to both neighbours")
    return Limited(flux, made)


def reach_of(flux: Flux) -> int:
    """Return how many states on each side of a face a flux is given."""
    reach = getattr(flux, "reach", 1)
    if reach not in (1, 2):
        raise mismatch("flux", "a reach of 1 or 2 states on each side of a face", repr(reach))
    return int(reach)


def within(flux: Flux, wrap: Callable[[Flux], Flux]) -> Flux:
    """Return a flux around which another function stands; inside what takes each number by itself, as a limiter."""
    made: Flux = getattr(flux, "around", lambda wrap: wrap(flux))(wrap)
    return made


def mirrors(flux: Flux) -> bool:
    """Return whether the state outside that a flux is given is mirrored at the wall."""
    return bool(getattr(flux, "mirrors", False))


def _check(given: Any, where: str, expected: str) -> None:
    if not callable(given):
        raise mismatch(where, expected, repr(given))
