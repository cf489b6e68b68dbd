"""Whether the eigenvalues of many small matrices lie in the right half plane, without computing them."""

from __future__ import annotations

from ..backends import backend_of
from ..backends.namespace import Array, array_namespace
from .structure import identity

SIGN_STEPS = 40  # in which Newton's iteration comes to rest, if it does


def in_right_half_plane(M: Array) -> Array:
    """Return whether every eigenvalue of (*S, n, n) has a positive real part, (*S,).

    At once where the diagonal outweighs the rows; else by the sign of the matrix, which is I then, from Newton's
    iteration X <- (c X + (c X)^{-1}) / 2 (N. J. Higham, "Functions of Matrices", SIAM, 2008, section 5.3).
    """
    xp, n = array_namespace(M), M.shape[-1]
    if n == 1:
        return M[..., 0, 0] > 0
    diagonal = xp.linalg.diagonal(M)
    trace = xp.sum(diagonal, axis=-1)
    if n == 2:
        return (trace > 0) & (M[..., 0, 0] * M[..., 1, 1] > M[..., 0, 1] * M[..., 1, 0])
    outweighs = xp.all(diagonal > xp.sum(xp.abs(M), axis=-1) - xp.abs(diagonal), axis=-1)
    found: Array = backend_of(M).when(~outweighs, lambda flags: flags | _has_sign_one(M), outweighs)
    return found


def _has_sign_one(M: Array) -> Array:
    backend, n = backend_of(M), M.shape[-1]
    xp, eye = array_namespace(M), identity(M, n, M.ndim) + 0 * M

    def size(X: Array) -> Array:
        rows, columns = (xp.max(xp.sum(xp.abs(X), axis=axis), axis=-1) for axis in (-1, -2))
        return rows * columns

    def unfinished(state: tuple[Array, Array, Array]) -> Array:
        return xp.any(state[1]) & (state[2] < SIGN_STEPS)

    def advance(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        X, _, k = state
        inverse = backend.linear_solve(X, eye)
        c = (size(inverse) / size(X))[..., None, None] ** 0.25
        new = (c * X + inverse / c) / 2
        moved = xp.max(xp.abs(new - X), axis=(-2, -1)) > 1e-2 * xp.max(xp.abs(new), axis=(-2, -1))
        return new, moved, k + 1

    flags = xp.any(xp.isfinite(M), axis=(-2, -1))
    X, _, _ = backend.while_loop(unfinished, advance, (M + 0, flags | True, xp.asarray(0, device=backend.placement(M))))
    return xp.sum(xp.linalg.diagonal(X), axis=-1) > n - 0.5
