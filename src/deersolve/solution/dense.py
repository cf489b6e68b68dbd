"""Dense output: the solution between the points of its grid, a polynomial on each interval."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import cached_property
from typing import Any

from ..backends import backend_of
from ..backends.given import batch_of, beside
from ..backends.namespace import Array, array_namespace, joined, padded
from ..backends.trees import record
from ..errors import check_whole, mismatch
from .lookup import Table, horner, table

SLACK = 8  # units in the last place that a time may be outside: a caller's own sum
SIDES = ("left", "right")


@record
class DenseOutput:
    """y(t_i + theta h_i) = sum_k coefficients[..., i, k, :] theta^k, theta from 0 to 1, h_i = t_{i+1} - t_i.

    Attributes
    ----------
    t : array, shape (*B, N + 1)
        The grid, ascending or descending, in the unit of the problem's t. A time may stand there twice: y or its
        derivative jumps. Intervals of length 0 at the end fill up elements of the batch that need fewer.
    coefficients : array, shape (*B, N, d + 1, n)
        Of the polynomial of each interval.

    Examples
    --------
    The parabola t^2 on [0, 2], cut at 1:

    >>> import numpy as np
    >>> import deersolve as ds
    >>> c = np.array([[0.0, 0.0, 1.0], [1.0, 2.0, 1.0]])
    >>> parabola = ds.DenseOutput(np.array([0.0, 1.0, 2.0]), c[..., None])
    >>> parabola([0.5, 1.5])[:, 0].tolist(), parabola(1.5, derivative=1).tolist()
    ([0.25, 2.25], [3.0])
    """

    t: Array
    coefficients: Array

    def __call__(self, times: Any, derivative: int = 0, *, side: str = "right") -> Array:
        """Return y, or a derivative of it, at any times of the span.

        It is differentiable, on JAX and PyTorch, by the coefficients and the times. Where an interval begins it is
        exactly the value of the grid point, at the end of the last one it is to roundoff.

        Parameters
        ----------
        times : float or array, shape (M,) or (*B, M)
            Within the span of the grid, in any order.
        derivative : int
            Which derivative by t, 0 for y.
        side : {"right", "left"}
            At a point of the grid the polynomial of the interval that begins there, or of the one that ends there, in
            the order of the grid: where a time stands twice they may differ.

        Returns
        -------
        array, shape (*B, M, n), for a number (*B, n)

        Raises
        ------
        InputError
            If a time is outside of the span of all batch elements that are asked for it. Where only some end before
            it, those are NaN, and where times are traced, all that is outside.
        """
        check_whole("sol(t)", "derivative", derivative, least=0)
        if side not in SIDES:
            raise mismatch("sol(t): side", "'left' or 'right'", repr(side))
        if isinstance(times, float) and self._table is not None:
            quick = self._table.at(float(times), derivative, side == "right")
            if quick is not None:
                return quick
        xp = array_namespace(self.coefficients)
        at = beside(times, self.t, backend_of(self.coefficients), "sol(t): t")
        if at.ndim == 1 and self._table is not None:
            quick = self._table.at_several(at, derivative, side == "right")
            if quick is not None:
                return quick
        given = xp.reshape(at, (1,)) if at.ndim == 0 else at
        batch = batch_of([("sol", tuple(self.coefficients.shape[:-3])), ("sol(t): t", tuple(given.shape[:-1]))])
        outside = self._outside(given, len(batch))
        grid, given = padded(self.t, len(batch) + 1), padded(given, len(batch) + 1)
        index = located(grid, given, side == "right")
        start = picked(grid, index)
        h = picked(grid, index + 1) - start
        theta = (given - start) / xp.where(h == 0, 1.0, h)
        y = polynomial(picked(padded(self.coefficients, len(batch) + 3), index, 2), theta, derivative)
        y = y / (xp.astype(h, y.dtype) ** derivative)[..., None] if derivative else y
        y = y if outside is None else xp.where(outside[..., None], xp.nan, y)
        return y[..., 0, :] if at.ndim == 0 else y

    @cached_property
    def _table(self) -> Table | None:
        return table(backend_of(self.t).numbers(self.t, self.coefficients), self.t, self.coefficients)

    @property
    def y(self) -> Array:
        """The values at the points of the grid, (*B, N + 1, n)."""
        last = self.coefficients[..., -1:, :, :]
        return joined([self.coefficients[..., 0, :], array_namespace(last).sum(last, axis=-2)], -2)

    def map(self, change: Callable[[Array], Array]) -> DenseOutput:
        """Return what a linear function of the components makes of y."""
        return dataclasses.replace(self, coefficients=change(self.coefficients))

    def then(self, *later: DenseOutput) -> DenseOutput:
        """Return one output of several, each from the time where the one before it ends: y may jump there.

        At that time ``side="left"`` is y before the jump.

        Examples
        --------
        >>> import numpy as np
        >>> import deersolve as ds
        >>> def fade(t, y):
        ...     return ds.solve(ds.InitialValueProblem(lambda y, t, p: -y, np.array([t, t + 1.0]), y), rtol=1e-6)
        >>> first = fade(0.0, np.array([1.0]))
        >>> both = first.dense.then(fade(1.0, first.y[-1] + 1.0).dense)
        >>> [round(float(y), 4) for y in (both(1.0, side="left")[0], both(1.0)[0], both(2.0)[0])]
        [0.3679, 1.3679, 0.5032]
        """
        outputs, xp = (self, *later), array_namespace(self.t)
        most = max(dense.coefficients.shape[-2] for dense in outputs)
        filled = []
        for c in (dense.coefficients for dense in outputs):
            more = [xp.zeros_like(c[..., :1, :])] * (most - c.shape[-2])
            filled.append(joined([c, *more], -2))
        return DenseOutput(joined([self.t, *(dense.t[..., 1:] for dense in later)], -1), joined(filled, -3))

    def element(self, at: tuple[int, ...]) -> DenseOutput:
        """Return that of one element of the batch."""
        xp = array_namespace(self.t)
        t = xp.broadcast_to(self.t, (*self.coefficients.shape[:-3], self.t.shape[-1]))
        return DenseOutput(t[(*at, ...)], self.coefficients[(*at, ...)])

    def _outside(self, times: Array, axes: int) -> Array | None:
        """Return which times are outside of the span, (*B, M), None where none is; raise where that helps nobody."""
        xp, backend = array_namespace(self.t), backend_of(self.t)
        first, last = self.t[..., :1], self.t[..., -1:]
        slack = SLACK * xp.finfo(self.t.dtype).eps * xp.maximum(xp.abs(first), xp.abs(last))
        low, high = (padded(a, axes + 1) for a in (xp.minimum(first, last) - slack, xp.maximum(first, last) + slack))
        at = padded(times, axes + 1)
        outside = (at < low) | (at > high)
        if not backend.is_concrete((self.t, times)):
            return outside
        if not bool(xp.any(outside)):
            return None
        lost = xp.all(xp.reshape(outside, (-1, times.shape[-1])), axis=0) if times.ndim == 1 else outside
        if bool(xp.any(lost)):
            where = backend.to_numpy(times)[backend.to_numpy(lost)].flat[0]
            span = f"[{float(xp.min(self.t)):.15g}, {float(xp.max(self.t)):.15g}]"
            raise mismatch("sol(t): t", f"times within the span {span}", f"{where:.15g}")
        return outside


def located(grid: Array, times: Array, begins: bool) -> Array:
    """Return the number of the interval of each time, of those of a length: at a point the one that begins there.

    Parameters
    ----------
    grid : array, shape (*B, N + 1)
    times : array, shape (*B, M)
    begins : bool
        Whether of two intervals that meet there it is the one that begins, or the one that ends.
    """
    xp = array_namespace(grid)
    ahead = xp.where(grid[..., -1:] < grid[..., :1], -1.0, xp.ones_like(grid[..., :1]))
    grid, times = grid * ahead, times * ahead
    first = xp.sum(xp.astype(grid <= grid[..., :1], xp.int32), axis=-1, keepdims=True) - 1
    last = xp.sum(xp.astype(grid < grid[..., -1:], xp.int32), axis=-1, keepdims=True) - 1
    index = before(grid, times, begins) - 1
    return xp.clip(xp.minimum(xp.maximum(index, first), last), 0, grid.shape[-1] - 2)


def before(grid: Array, times: Array, begins: bool) -> Array:
    """Return how many points of an ascending grid are before each time, or at it too."""
    xp = array_namespace(grid)
    if math.prod(grid.shape[:-1]) == 1:
        row = xp.searchsorted(xp.reshape(grid, (-1,)), xp.reshape(times, (-1,)), side="right" if begins else "left")
        return xp.reshape(row, times.shape)
    backend = backend_of(grid)
    grid, times = backend.without_gradient((grid, times))
    count = xp.zeros_like(times + 0 * grid[..., :1], dtype=xp.int32)

    def halve(state: tuple[Array, Any]) -> tuple[Array, Any]:
        count, size = state
        tried = count + size
        point = picked(grid, xp.clip(tried - 1, 0, grid.shape[-1] - 1))
        is_before = (point <= times if begins else point < times) & (tried <= grid.shape[-1])
        return xp.where(is_before, tried, count), size // 2

    largest = 2 ** (grid.shape[-1].bit_length() - 1)
    found: Array = backend.while_loop(lambda state: state[1] > 0, halve, (count, largest))[0]
    return found


def picked(a: Array, index: Array, tail: int = 0) -> Array:
    """Return the entries a[..., index, *tail] of an array (*B, K, *tail) for an index (*B, M), axes of B may be 1."""
    xp = array_namespace(a)
    axis = a.ndim - 1 - tail
    batch, count = math.prod(a.shape[:axis]), a.shape[axis]
    if batch > 1:
        rows = xp.arange(batch, dtype=index.dtype, device=backend_of(index).placement(index))
        index = index + xp.reshape(rows * count, (*a.shape[:axis], 1))
    flat = xp.reshape(a, (batch * count, *a.shape[axis + 1 :]))
    return xp.reshape(xp.take(flat, xp.reshape(index, (-1,)), axis=0), (*index.shape, *a.shape[axis + 1 :]))


def polynomial(coefficients: Array, theta: Array, derivative: int = 0) -> Array:
    """Return a derivative by theta, (*S,), of polynomials, (*S, d + 1, n) -> (*S, n)."""
    theta = array_namespace(coefficients).astype(theta, coefficients.dtype)
    return horner(coefficients, theta[..., None], derivative)
