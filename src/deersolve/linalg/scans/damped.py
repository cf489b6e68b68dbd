"""The affine recurrence in damped least squares: a block tridiagonal system, by odd-even reduction.

    minimise |b - A y|^2 + damping |y|^2,      (A y)_i = P_i y_i - Q_i y_{i-1}.

The minimum is the mean of a Gaussian smoother: dynamics y_i = Q_i y_{i-1} + b_i + N(0, I) and observations
0 = y_i + N(0, 1 / damping) (for P = I; Gonzalez et al., arXiv 2407.19115). Here its normal equations

    (A^T A + damping I) y = A^T b

are solved: they are symmetric, positive definite and block tridiagonal, so that elimination in any order is stable.
"""

from __future__ import annotations

from ...backends import backend_of
from ...backends.namespace import Array, array_namespace, padded_behind
from ...errors import mismatch
from ..structure import Structure, identity
from .lag_one import to_lag_one, zeros
from .normal_form import normal_form


def damped_scan(As: tuple[Structure, ...], lags: tuple[int, ...], b: Array, damping: Array) -> Array:
    """Return the y of the smallest ``sum_i |b_i - y_i + A_i y_{i-k}|^2 + damping |y_i|^2``.

    Parameters
    ----------
    As, lags, b
        As for :func:`affine_scan`, of a single lag.
    damping : array, shape (*B,)
        At least 0; at 0 the result is that of the scan, but for the square of its condition number.

    Returns
    -------
    array, shape (*B, T, n)

    Raises
    ------
    InputError
        If there are several lags.

    Notes
    -----
    Depth ``O(log T)``, work ``O(T n^3)``, ``O(T n)`` for diagonal A.

    Examples
    --------
    >>> import numpy as np
    >>> from deersolve.linalg.scans import damped_scan
    >>> from deersolve.linalg.structure import Diagonal
    >>> y = damped_scan((Diagonal(np.full((2, 1), 0.5)),), (1,), np.ones((2, 1)), np.array(1.0))
    >>> y[:, 0].round(3).tolist()  # (A^T A + I) y = A^T b with A = [[1, 0], [-0.5, 1]]
    [0.353, 0.588]
    """
    form = normal_form(As, lags, b)
    if not form.lags:
        return form.restore(form.b / (1 + padded_behind(damping, form.b.ndim)))
    if len(form.lags) > 1:
        raise mismatch("the damped solve", "a recurrence of one lag", f"the lags {form.lags}", "Choose another step.")
    Q, rhs, restore = to_lag_one(form.As, form.lags, form.b)
    return form.restore(restore(bidiagonal(None, Q, rhs, damping)))


def bidiagonal(P: Array | None, Q: Array, b: Array, damping: Array) -> Array:
    """Return the same for ``(A y)_i = P_i y_i - Q_i y_{i-1}``.

    Parameters
    ----------
    P : array, shape (*B, T, n, n) or (*B, T, n) for diagonals, or None for the identity
    Q : array, shape (*B, T - 1, n, n) or (*B, T - 1, n), of points 1 to T - 1
    b : array, shape (*B, T, n)
    damping : array, shape (*B[:k],) for any k

    Returns
    -------
    array, shape (*B, T, n)
    """
    if Q.ndim == b.ndim:
        return _by_component(P, Q, b, damping)
    xp, (T, n) = array_namespace(b), b.shape[-2:]
    Q = xp.broadcast_to(Q, (*b.shape[:-2], T - 1, n, n))
    Qt, v = xp.matrix_transpose(Q), b[..., None]
    eye = identity(Q, n, Q.ndim)
    squares = eye if P is None else xp.matrix_transpose(P) @ P
    diagonal = squares + _to(T, Qt @ Q) + padded_behind(damping, b.ndim)[..., None] * eye
    below = -Q if P is None else -(xp.matrix_transpose(P)[..., 1:, :, :] @ Q)
    rhs = (v if P is None else xp.matrix_transpose(P) @ v) - _to(T, Qt @ v[..., 1:, :, :])
    return _tridiagonal(diagonal, below, rhs)[..., 0]


def _by_component(P: Array | None, Q: Array, b: Array, damping: Array) -> Array:
    """Make the components of a diagonal recurrence a batch axis."""
    xp = array_namespace(b)

    def apart(a: Array) -> Array:
        return xp.matrix_transpose(a)[..., None, None]

    y = bidiagonal(None if P is None else apart(P), apart(Q), xp.matrix_transpose(b)[..., None], damping)
    return xp.matrix_transpose(y[..., 0])


def _tridiagonal(D: Array, E: Array, g: Array) -> Array:
    """Solve ``E_i y_{i-1} + D_i y_i + E_{i+1}^T y_{i+1} = g_i``: without the odd points, half as many are left.

    D has the shape (*B, T, n, n), E (*B, T - 1, n, n), g (*B, T, n, 1).
    """
    xp, T, n = array_namespace(D, g), D.shape[-3], D.shape[-1]
    solve = backend_of(D).linear_solve
    if T == 1:
        return solve(D, g)
    odd, even = T // 2, T - T // 2
    left, right = E[..., 0::2, :, :], _to(odd, E[..., 1::2, :, :])  # E_1, E_3, ... and E_2, E_4, ..., 0 past the end
    known = xp.concat([left, xp.matrix_transpose(right), g[..., 1::2, :, :]], axis=-1)
    solved = solve(D[..., 1::2, :, :], known)  # [U, V, w] of y_i = w - U y_{i-1} - V y_{i+1}, i odd
    from_left, from_right = xp.matrix_transpose(left) @ solved, right @ solved
    here, next_one = _to(even, from_left), _to(even, _after_zero(from_right))
    outer = _tridiagonal(
        D[..., 0::2, :, :] - here[..., :n] - next_one[..., n : 2 * n],
        -from_right[..., : even - 1, :, :n],
        g[..., 0::2, :, :] - here[..., 2 * n :] - next_one[..., 2 * n :],
    )
    U, V, w = solved[..., :n], solved[..., n : 2 * n], solved[..., 2 * n :]
    inner = w - U @ outer[..., :odd, :, :] - V @ _to(odd, outer[..., 1:, :, :])
    pairs = xp.stack([outer[..., :odd, :, :], inner], axis=-3)
    joined = xp.reshape(pairs, (*inner.shape[:-3], 2 * odd, n, 1))
    return xp.concat([joined, outer[..., odd:, :, :]], axis=-3)


def _to(count: int, blocks: Array) -> Array:
    """Return so many blocks: cut, or with zeros behind."""
    missing = count - blocks.shape[-3]
    if missing <= 0:
        return blocks[..., :count, :, :]
    behind = zeros((*blocks.shape[:-3], missing, *blocks.shape[-2:]), blocks)
    return array_namespace(blocks).concat([blocks, behind], axis=-3)


def _after_zero(blocks: Array) -> Array:
    """Put a zero block in front of the others."""
    xp = array_namespace(blocks)
    return xp.concat([xp.zeros_like(blocks[..., :1, :, :]), blocks], axis=-3)
