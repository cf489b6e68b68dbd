"""exp(A), phi_1(A) = (exp(A) - 1) / A and phi_2(A) = (phi_1(A) - 1) / A of small matrices at every grid point."""

from __future__ import annotations

import math

from ..backends import backend_of
from ..backends.namespace import Array, array_namespace
from ..linalg.structure import Dense, Diagonal, Structure, Zero, identity

DEGREE = 14  # Taylor degree of phi_1 for a norm up to 1/2: the remainder is below 2^-54
RADIUS = 0.5
MAX_SQUARINGS = 60


def exp_and_phi(A: Structure) -> tuple[Structure, Structure]:
    """Return exp(A) and phi_1(A).

    Notes
    -----
    A diagonal A uses ``expm1(z) / z``. A dense one is scaled, each point by its own power of two, until its
    norm is at most 1/2, summed by Horner, and squared back by phi_1(2z) = (exp(z) + 1) phi_1(z) / 2, where a
    point that needs no more squarings is left alone.
    """
    if isinstance(A, Diagonal | Zero) or A.n == 1:
        values = A.diagonal()
        return Diagonal(array_namespace(values).exp(values)), Diagonal(_phi_scalar(values))
    dense = A.to_dense()
    xp = array_namespace(dense)
    norm = xp.max(xp.sum(xp.abs(dense), axis=-1), axis=-1)
    norm = xp.where(xp.isfinite(norm), norm, 0.0)
    squarings = xp.clip(xp.ceil(xp.log2(norm / RADIUS + 1e-30)), min=0.0, max=float(MAX_SQUARINGS))
    eye = identity(dense, A.n, dense.ndim)
    small = dense * (2.0**-squarings)[..., None, None]
    phi = _horner(small, eye)
    e = eye + xp.matmul(small, phi)
    return _squared_back(e, phi, squarings, eye)


def phi_two(A: Structure) -> Structure:
    """Return phi_2(A) from phi_1 of a larger matrix, which needs no inverse of A."""
    dense = A.to_dense()
    xp = array_namespace(dense)
    zero = xp.zeros_like(dense)
    top = xp.concat([dense, zero + identity(dense, A.n, dense.ndim)], axis=-1)
    _, phi = exp_and_phi(Dense(xp.concat([top, xp.concat([zero, zero], axis=-1)], axis=-2)))
    return Dense(phi.to_dense()[..., : A.n, A.n :])


def _squared_back(e: Array, phi: Array, squarings: Array, eye: Array) -> tuple[Structure, Structure]:
    xp, backend = array_namespace(e), backend_of(e)

    def body(state: tuple[Array, ...]) -> tuple[Array, ...]:
        left, e, phi = state
        more = (left > 0)[..., None, None]
        phi = xp.where(more, xp.matmul(e + eye, phi) / 2, phi)
        return left - 1, xp.where(more, xp.matmul(e, e), e), phi

    def unfinished(state: tuple[Array, ...]) -> Array:
        return ~xp.all(state[0] <= 0)

    _, e, phi = backend.bounded_loop(unfinished, body, (squarings, e, phi), MAX_SQUARINGS)
    return Dense(e), Dense(phi)


def _horner(small: Array, eye: Array) -> Array:
    xp = array_namespace(small)
    total = xp.zeros_like(small) + eye / math.factorial(DEGREE + 1)
    for k in range(DEGREE, 0, -1):
        total = eye / math.factorial(k) + xp.matmul(small, total)
    return total


def _phi_scalar(z: Array) -> Array:
    """Return expm1(z) / z, by its series where z is small."""
    xp = array_namespace(z)
    is_small = xp.abs(z) < 1e-4
    safe = xp.where(is_small, xp.ones_like(z), z)
    return xp.where(is_small, 1 + z / 2 + z * z / 6, xp.expm1(safe) / safe)
