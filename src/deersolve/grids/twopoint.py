"""From a first-order system and its conditions to arrays that are ready: everything is checked here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..backends.generic import Backend
from ..backends.given import batch_of, beside, expanded, ranks, spanning, state
from ..backends.namespace import Array, array_namespace
from ..backends.trees import tree_leaves
from ..errors import mismatch
from ..linalg.structure import identity
from .base import Data
from .conditions import Coupled
from .space import check_points
from .span import Given, Span

if TYPE_CHECKING:
    from ..problems import TwoPointProblem


def between_ends(problem: TwoPointProblem, y_guess: Any) -> tuple[Backend, Data]:
    """Return backend and data of a first-order system with conditions at both ends."""
    name, given = ("s", problem.s) if y_guess is None else ("y_guess", y_guess)
    like, backend = state(given, name)
    xp = array_namespace(like)
    s = beside(problem.s, like, backend, "s", cast=False)
    check_points(s, False, False, backend)
    D, s = xp.astype(s[1:] - s[:-1], like.dtype), xp.astype(s, like.dtype)
    N, n = int(s.shape[0]), _components(problem.ends, None if y_guess is None else like)
    first, last, value = _linear(problem.ends, n, like, backend)
    rank = max(2, value.ndim + 1, ranks(problem.x), like.ndim if y_guess is not None else 0)
    x = expanded({"s": s[:, None], **(problem.x or {})}, like, backend, rank)
    spanning(x, N)
    parts = [("value", tuple(value.shape[:-1]))] + [("x", tuple(a.shape[:-2])) for a in tree_leaves(x)]
    parts += [("y_guess", tuple(like.shape[:-2]))] if y_guess is not None and like.ndim > 2 else []
    batch = batch_of(parts)
    try:
        guess = xp.broadcast_to(0 * s[:, None] if y_guess is None else like, (*batch, N, n))
    except Exception as error:
        raise mismatch("y_guess", f"an array that broadcasts to {(*batch, N, n)}", tuple(like.shape)) from error
    if problem.functional is None:
        sizes = xp.abs(first) + xp.abs(last)
    else:
        sizes = _slopes(problem.functional, problem.params, guess, backend)
    value = xp.reshape(value, (*(1 for _ in range(len(batch) + 1 - value.ndim)), *value.shape))
    start = Given(xp.broadcast_to(value[..., None, :], (*batch, 1, n)))
    D = xp.reshape(D, (*(1 for _ in batch), N - 1, 1))
    return backend, Data(x, Span(s, D, first, last, backend.without_gradient(sizes)), start, guess)


def _components(ends: Any, guess: Array | None) -> int:
    """Return n: that of the guess, or of the matrices of the conditions."""
    if guess is not None:
        if guess.ndim < 2:
            raise mismatch("y_guess", "shape (N, n) or (*B, N, n)", tuple(guess.shape))
        return int(guess.shape[-1])
    if not isinstance(ends, Coupled):
        raise mismatch("solve", "y_guess, an array (N, n): such ends do not say how many components there are", "None")
    rows = ends.first
    if getattr(rows, "ndim", None) == 2:
        return int(rows.shape[-1])
    if isinstance(rows, list | tuple) and rows and isinstance(rows[0], list | tuple):
        return len(rows[0])
    raise mismatch("first", "a matrix (n, n), a row for each condition", repr(rows))


def _linear(ends: Any, n: int, like: Array, backend: Backend) -> tuple[Array, Array, Array]:
    """Return first and last, (n, n), and value, (*B, n); zeros where the conditions are a function."""
    zero = backend.convert([[0.0] * n] * n, like, like.dtype)
    if callable(ends):
        return zero, zero, zero[0, :]
    if not isinstance(ends, Coupled):  # periodic
        eye = identity(like, n, 2)
        return eye, -eye, zero[0, :]
    xp, made = array_namespace(like), []
    for name, matrix in (("first", ends.first), ("last", ends.last)):
        a = beside(matrix, like, backend, name)
        if tuple(a.shape) != (n, n):
            raise mismatch(
                name, f"shape ({n}, {n}): a row for each condition, as many as components", tuple(a.shape), COUNT
            )
        made.append(xp.astype(a, like.dtype))
    value = xp.astype(beside(ends.value, like, backend, "value"), like.dtype)
    value = xp.broadcast_to(value, (n,)) if value.ndim == 0 else value
    if value.shape[-1] != n:
        raise mismatch("value", f"shape ({n},) or (*B, {n}): one for each condition", tuple(value.shape))
    if backend.is_concrete(made):
        _check_rank([backend.to_numpy(a) for a in made], n)
    return made[0], made[1], value


COUNT = "An unknown number, as an eigenvalue or a period, is a component p with p' = 0, and takes a condition more."


def _check_rank(matrices: list[Any], n: int) -> None:
    """Raise unless the conditions are independent of each other."""
    import numpy as np

    both = np.concatenate(matrices, axis=-1)
    size = np.max(np.abs(both), axis=-1, keepdims=True)
    found = int(np.linalg.matrix_rank(both / np.where(size > 0, size, 1.0))) if np.isfinite(both).all() else -1
    if found != n:
        received = f"{found} among {n} rows of (first, last)" if found >= 0 else "numbers that are not finite"
        raise mismatch("first and last", f"{n} independent conditions", received)


def _slopes(ends: Any, params: Any, guess: Array, backend: Backend) -> Array:
    """Return the size of the derivatives of the conditions at the guess, (*B, n, n); raise if they are not n."""
    xp, at = (
        array_namespace(guess),
        (guess[..., :1, :] + 0, guess[..., -1:, :] + 0),
    )  # of a view: alone in memory
    found = ends(*at, params)
    shape = tuple(getattr(found, "shape", ()))
    if shape != tuple(at[0].shape):
        expected = f"a function that returns an array of the shape of u_a, here {tuple(at[0].shape)}"
        raise mismatch("ends", expected + ": as many conditions as components", shape or type(found).__name__, COUNT)
    n = guess.shape[-1]
    units = xp.zeros_like(at[0])[None, ...] + xp.moveaxis(identity(guess, n, guess.ndim + 1), -2, 0)
    directions = [xp.concat([units, 0 * units]), xp.concat([0 * units, units])]
    made = xp.moveaxis(backend.pushforward(lambda a, b: ends(a, b, params), list(at), directions), 0, -1)
    A, B = made[..., :n], made[..., n:]
    return (xp.abs(A) + xp.abs(B))[..., 0, :, :]
