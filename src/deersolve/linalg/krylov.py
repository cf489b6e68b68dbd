"""Linear equations that are given as a function, of all batch elements at once, each until it is done."""

from __future__ import annotations

from collections.abc import Callable

from ..backends import backend_of
from ..backends.namespace import Array, array_namespace
from ..backends.trees import record

Map = Callable[[Array], Array]
Proposal = Callable[[Array], tuple[Array, Array]]
"""r -> (z, A z), z near the solution of A z = r."""

DIRECTIONS = 12  # that a new one is made orthogonal to
PASSES = 5  # solves for what is left
ENOUGH = 16  # in units of eps: what is left at roundoff
FAR = 1000  # the same, above which nothing has been solved


@record
class Search:
    """Where an iteration stands.

    Attributes
    ----------
    x, r : array
        The iterate and its residual.
    toward, images : tuple of DIRECTIONS arrays
        The last directions, the newest first, and their products with the matrix, which are orthonormal.
    active : array, shape (*B, 1, ..., 1)
        Which elements go on.
    step : array
        The number of iterations.
    """

    x: Array
    r: Array
    toward: tuple[Array, ...]
    images: tuple[Array, ...]
    active: Array
    step: Array


def solve(propose: Proposal, b: Array, grid_ndim: int, tol: Array | float | Map, limit: int) -> Array:
    """Return x with ``|b - A x| <= tol |b|`` in the 2-norm, by the method of generalised conjugate residuals.

    Parameters
    ----------
    propose : callable
        ``r -> (z, A z)``, z an approximation of what solves A z = r, by a linear map; all of them arrays like b.
    b : array, shape (*B, *R, n)
    grid_ndim : int
        The number of grid axes R.
    tol : float or array, shape (*B, 1, ..., 1), or a function that returns such for the first z
    limit : int
        The most iterations, of one proposal each.

    Returns
    -------
    array
        Of an element that runs into the limit, the last iterate.

    Notes
    -----
    The residual of the first ``DIRECTIONS`` steps is the smallest in their Krylov space, as that of GMRES; later steps
    are orthogonal to that many before them. For a symmetric matrix one would do.

    References
    ----------
    S. C. Eisenstat, H. C. Elman, M. H. Schultz, "Variational iterative methods for nonsymmetric systems of linear
    equations", SIAM Journal on Numerical Analysis 20 (1983): Orthomin(k).
    """
    xp, backend = array_namespace(b), backend_of(b)
    axes = tuple(range(-grid_ndim - 1, 0))
    largest = _largest(b, grid_ndim)  # squares of numbers near 1 neither overflow nor vanish
    scale = xp.where(largest > 0, largest, 1.0)
    b = b / scale

    def dot(u: Array, v: Array) -> Array:
        return xp.sum(u * v, axis=axes, keepdims=True)

    def along(now: Search, z: Array, q: Array, count: int) -> Search:
        for before, image in zip(now.toward[:count], now.images[:count], strict=True):
            share = dot(image, q)
            z, q = z - share * before, q - share * image
        size = xp.sqrt(dot(q, q))
        works = now.active & (size > 0) & xp.isfinite(size)
        size = xp.where(works, size, 1.0)
        z, q = xp.where(works, z / size, 0.0), xp.where(works, q / size, 0.0)
        share = dot(now.r, q)
        r = now.r - share * q
        return Search(
            now.x + share * z,
            r,
            (z, *now.toward[:-1]),
            (q, *now.images[:-1]),
            works & (dot(r, r) > enough) & (now.step + 1 < limit),
            now.step + 1,
        )

    def step(now: Search) -> Search:
        count = min(int(now.step), DIRECTIONS) if backend.is_concrete(now.step) else DIRECTIONS
        return along(now, *propose(now.r), count)

    zero, size = xp.zeros_like(b), dot(b, b)
    none = (zero,) * DIRECTIONS
    z, q = propose(b)
    tol = tol(z * scale) if callable(tol) else tol
    enough = tol * tol * size
    start = Search(zero, b, none, none, size > 0, xp.sum(0 * zero, dtype=xp.int32))
    last: Search = backend.while_loop(lambda now: xp.any(now.active), step, along(start, z, q, 0))
    return last.x * scale


@record
class Refinement:
    """An iterate, what is left of the right-hand side, and how often it was solved for."""

    x: Array
    rest: Array
    passes: Array


def to_roundoff(solve: Map, apply: Map, b: Array, grid_ndim: int) -> Array:
    """Return x with ``|b - A x|`` at roundoff of ``|A| |x| + |b|``, by solving for what is left.

    Parameters
    ----------
    solve : callable
        An approximate inverse, to half of the digits where all is well.
    apply : callable
        A, its rows in the units of x.
    b : array, shape (*B, *R, n)
    grid_ndim : int

    Returns
    -------
    array
        NaN for an element that a few passes leave far from it.
    """
    xp, backend, eps = array_namespace(b), backend_of(b), float(array_namespace(b).finfo(b.dtype).eps)

    def off(now: Refinement) -> Array:
        terms = 2 * _largest(now.x, grid_ndim) + _largest(b, grid_ndim)
        return _largest(now.rest, grid_ndim) / xp.where(terms > 0, terms, 1.0)

    def again(now: Refinement) -> Refinement:
        x = now.x + solve(now.rest)
        return Refinement(x, b - apply(x), now.passes + 1)

    def unfinished(now: Refinement) -> Array:
        return xp.any(off(now) > ENOUGH * eps) & (now.passes < PASSES)

    start = Refinement(xp.zeros_like(b), b, xp.sum(xp.zeros_like(b), dtype=xp.int32))
    last: Refinement = backend.while_loop(unfinished, again, start)
    return xp.where(off(last) <= FAR * eps, last.x, xp.nan)


def _largest(u: Array, grid_ndim: int) -> Array:
    """Return the largest absolute value of each batch element, (*B, 1, ..., 1)."""
    xp = array_namespace(u)
    return xp.max(xp.abs(u), axis=tuple(range(-grid_ndim - 1, 0)), keepdims=True)
