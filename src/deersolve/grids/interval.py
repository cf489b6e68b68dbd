"""The points between two ends, and what conditions say of both ends together: everything is checked here."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

from ..backends.generic import Backend
from ..backends.given import Given
from ..backends.namespace import Array, array_namespace, padded
from ..backends.trees import record
from ..errors import mismatch
from ..linalg.structure import identity
from .base import Data, Grid
from .conditions import Coupled
from .make_axis import check_points

if TYPE_CHECKING:
    from ..problems import TwoPointProblem

COUNT = "An unknown number, as an eigenvalue or a period, is a component p with p' = 0, and takes a condition more."


@record
class Values:
    """The right-hand sides of the conditions.

    Attributes
    ----------
    value : array, shape (*B, 1, n)
    """

    value: Array


@record
class Interval(Grid):
    """The points of a first-order system, and the conditions ``first u_0 + last u_{N-1} = value``.

    Attributes
    ----------
    s : array, shape (N,)
        The points.
    D : array, shape (1, ..., N - 1, 1)
        The distances between them, taken in the dtype of s.
    first, last : array, shape (n, n)
        One row for each condition; zeros where the conditions are a function.
    sizes : array, shape (n, n) or (*B, n, n)
        What each component weighs in each condition: ``|first| + |last|``, or the derivatives of a function at the
        guess.
    """

    linked: ClassVar[str] = "s"
    """The axis along which a row knows two neighbouring points."""
    s: Array
    D: Array
    first: Array
    last: Array
    sizes: Array

    @property
    def unit(self) -> Array:
        """What each condition is multiplied by, to be of the size of u, (*B, 1, n)."""
        xp = array_namespace(self.sizes)
        size = xp.max(self.sizes, axis=-1)[..., None, :]
        return 1 / xp.where((size > 0) & xp.isfinite(size), size, 1.0)

    @property
    def n_points(self) -> int:
        """The number of grid points N."""
        return int(self.s.shape[-1])

    @property
    def space(self) -> dict[str, Array]:
        """The points by the name of their axis."""
        return {"s": self.s}

    def named(self, boundary: Values) -> dict[str, Array]:
        """Return the data of the conditions by the names that :class:`deersolve.Coupled` gives them."""
        return {"first": self.first, "last": self.last, "value": boundary.value}

    def renamed(self, boundary: Values, new: dict[str, Array]) -> tuple[Interval, Values]:
        """Return the grid and the conditions with some of those in the place of the old ones."""
        now = {**self.named(boundary), **new}
        return dataclasses.replace(self, first=now["first"], last=now["last"]), Values(now["value"])

    def lay(self, name: str, given: Array, like: Array) -> Array:
        """Return what a user gave by that name, laid out like an array of :meth:`named` or of x."""
        given = given[..., None, :] if name == "value" and given.ndim else given
        return array_namespace(given).broadcast_to(given, like.shape)


def between_ends(problem: TwoPointProblem, y_guess: Any) -> tuple[Backend, Data]:
    """Return backend and data of a first-order system with conditions at both ends."""
    given = Given(2, y_guess=y_guess, s=problem.s)
    xp, like, backend = given.xp, given.first, given.backend
    s = given.array("s", problem.s, cast=False)
    check_points(s, "s", 3, backend)
    D, s = xp.astype(s[1:] - s[:-1], like.dtype)[:, None], xp.astype(s, like.dtype)
    N, n = int(s.shape[0]), components_of(problem.ends, given.guess)
    first, last, value = _linear(problem.ends, n, given)
    value, x = given.of_batch("value", value[..., None, :]), given.tree({"s": s[:, None], **(problem.x or {})}, N)
    guess = given.start(0 * s[:, None], N, n)
    if problem.functional is None:
        sizes = xp.abs(first) + xp.abs(last)
    else:
        sizes = _slopes(problem.functional, problem.params, guess, backend)
    interval = Interval(s, padded(D, given.rank), first, last, backend.without_gradient(sizes))
    return backend, Data(given.laid(x), interval, Values(given.full(value, 1, n)), guess)


def components_of(ends: Any, guess: Array | None) -> int:
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


def _linear(ends: Any, n: int, given: Given) -> tuple[Array, Array, Array]:
    """Return first and last, (n, n), and value, (*B, n); zeros where the conditions are a function."""
    xp, backend, like = given.xp, given.backend, given.first
    zero = backend.convert([[0.0] * n] * n, like, like.dtype)
    if callable(ends):
        return zero, zero, zero[0, :]
    if not isinstance(ends, Coupled):  # periodic
        eye = identity(like, n, 2)
        return eye, -eye, zero[0, :]
    matrices = {"first": given.array("first", ends.first), "last": given.array("last", ends.last)}
    for name, a in matrices.items():
        if tuple(a.shape) != (n, n):
            expected = f"shape ({n}, {n}): a row for each condition, as many as components"
            raise mismatch(name, expected, tuple(a.shape), COUNT)
    value = given.array("value", ends.value)
    value = xp.broadcast_to(value, (n,)) if value.ndim == 0 else value
    if value.shape[-1] != n:
        raise mismatch("value", f"shape ({n},) or (*B, {n}): one for each condition", tuple(value.shape))
    if backend.is_concrete([*matrices.values()]):
        _check_rank([backend.to_numpy(a) for a in matrices.values()], n)
    return matrices["first"], matrices["last"], value


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
    xp, n = array_namespace(guess), guess.shape[-1]
    at = [guess[..., :1, :] + 0, guess[..., -1:, :] + 0]  # of a view: alone in memory
    found = ends(*at, params)
    shape, own = tuple(getattr(found, "shape", ())), tuple(at[0].shape)
    if shape != own:
        expected = f"a function that returns an array of the shape of u_a, here {own}: as many conditions as components"
        raise mismatch("ends", expected, shape or type(found).__name__, COUNT)
    units = xp.zeros_like(at[0])[None, ...] + xp.moveaxis(identity(guess, n, guess.ndim + 1), -2, 0)
    directions = [xp.concat([units, 0 * units]), xp.concat([0 * units, units])]
    made = xp.moveaxis(backend.pushforward(lambda a, b: ends(a, b, params), at, directions), 0, -1)
    return (xp.abs(made[..., :n]) + xp.abs(made[..., n:]))[..., 0, :, :]
