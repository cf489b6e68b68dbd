"""Inputs given by data: what f is given at any time, from values at knots."""

from __future__ import annotations

import copy
from typing import Any

from ..backends import backend_of
from ..backends.given import COMPLEX, REAL, beside, state
from ..backends.namespace import Array, array_namespace, joined, padded, part
from ..errors import InputError, mismatch
from ..linalg.scans import affine_scan
from ..linalg.structure import Diagonal
from ..solution.dense import DenseOutput

LEAST = {"hold": 2, "linear": 2, "cubic": 4}
OUTSIDE = ("error", "hold")


class Signal:
    """u(t) from values at knots: held from knot to knot, linear between them, or a cubic spline.

    A leaf of x of an :class:`InitialValueProblem`, ``x={"t": t[:, None], "u": ds.Signal(...)}``: f is given u at the
    times where it is called. A solve to a tolerance has its ``breaks`` among the points of its grid.

    Parameters
    ----------
    t : array, shape (M,)
        The knots, strictly ascending and known, in the unit of the problem's t; shared by the batch.
    values : array, shape (*B, M, k) or (M,)
        u there; (M,) is one component. Its library is that of the problem.
    kind : {"hold", "linear", "cubic"}
        ``values[i]`` from t[i] until t[i + 1]; a line between knots; the cubic spline whose third derivative does not
        jump at the second and the last but one knot, as :class:`scipy.interpolate.CubicSpline`.
    outside : {"error", "hold"}
        What is before the first and behind the last knot: nothing, or the values there.

    Attributes
    ----------
    breaks : array of NumPy, shape (S,)
        Knots where u jumps ("hold") or has a kink ("linear"); with ``outside="hold"`` both ends too.

    Raises
    ------
    InputError
        If knots are not finite and ascending, values are not finite, shapes do not match, or there are too few knots:
        2, of a spline 4.

    Notes
    -----
    It is differentiable by the values, on JAX and PyTorch.

    References
    ----------
    C. de Boor, A Practical Guide to Splines, Springer 1978, chapter IV.

    Examples
    --------
    >>> import numpy as np
    >>> import deersolve as ds
    >>> dose = ds.Signal([0.0, 1.0, 3.0], [2.0, 0.0, 1.0])
    >>> dose([0.5, 1.0, 3.0])[:, 0].tolist(), dose(1.0, side="left").tolist(), dose.breaks.tolist()
    ([2.0, 0.0, 1.0], [2.0], [1.0])
    """

    def __init__(self, t: Any, values: Any, kind: str = "hold", *, outside: str = "error") -> None:
        for name, value, known in (("kind", kind, tuple(LEAST)), ("outside", outside, OUTSIDE)):
            if value not in known:
                raise mismatch(f"Signal: {name}", f"one of {', '.join(known)}", repr(value))
        knots, u = _knots(t, LEAST[kind]), _values(values)
        if tuple(u.shape[-2:-1]) != knots.shape:
            what = f"shape (*B, M, k) or (M,) with M = {knots.shape[0]}, a value for each knot"
            raise mismatch("Signal: values", what, tuple(u.shape))
        inner, ends = knots[1:-1], knots[:: len(knots) - 1]
        breaks = joined([inner[: 0 if kind == "cubic" else None], ends[: 0 if outside == "error" else None]], -1)
        self.kind, self.outside, self.breaks = kind, outside, array_namespace(breaks).sort(breaks)
        self.last, grid = part(u, -2, -1, None), backend_of(u).convert(knots, u, None)
        self.dense = DenseOutput(grid, _pieces(kind, knots, u))

    @property
    def numbers(self) -> tuple[Array, Array]:
        """What u is made of for each element, in a row: (*B, m) and (*B, k)."""
        c = self.dense.coefficients
        return array_namespace(c).reshape(c, (*c.shape[:-3], -1)), self.last[..., 0, :]

    def holding(self, numbers: Array, last: Array) -> Signal:
        """Return the signal of the same knots that is made of other numbers."""
        new = copy.copy(self)
        c = array_namespace(numbers).reshape(numbers, (*numbers.shape[:-1], *self.dense.coefficients.shape[-3:]))
        new.dense, new.last = DenseOutput(self.dense.t, c), last[..., None, :]
        return new

    def __call__(self, t: Any, *, side: str = "right") -> Array:
        """Return u at any times, in any order.

        Parameters
        ----------
        t : float or array, shape (M',) or (*B, M')
        side : {"right", "left"}
            At a knot the value from there on, or the one up to there.

        Returns
        -------
        array, shape (*B, M', k), for a number (*B, k)

        Raises
        ------
        InputError
            If a time is outside of the knots and ``outside`` is "error"; of traced times u is NaN there.
        """
        end, backend = self.dense.t[-1], backend_of(self.dense.t)
        xp, given = array_namespace(end), beside(t, end, backend, "Signal: t")
        times = xp.reshape(given, (1,)) if given.ndim == 0 else given
        if self.outside == "hold":
            times = xp.minimum(xp.maximum(times, self.dense.t[0]), end)
        try:
            u = self.dense(times, side=side)
        except InputError as error:
            raise InputError(f"Signal: outside of its knots there is none, unless outside='hold'. {error}") from None
        if self.kind == "hold" and side == "right":
            u = xp.where(padded((times >= end)[..., None], u.ndim), padded(self.last, u.ndim), u)
        return u[..., 0, :] if given.ndim == 0 else u


def _knots(t: Any, least: int) -> Any:
    """Return the knots as a NumPy array."""
    given, backend = state(t, "Signal: t")
    if not backend.is_concrete(given):
        advice = "Make them outside of what jit transforms, or with NumPy."
        raise mismatch("Signal: t", "knots that are known", "a traced array", advice)
    knots = backend.to_numpy(given)
    if knots.ndim != 1 or knots.shape[0] < least:
        raise mismatch("Signal: t", f"shape (M,) with M >= {least}", knots.shape)
    if not bool((knots[1:] > knots[:-1]).all()):
        raise mismatch("Signal: t", "knots that ascend, each once", "some that do not")
    return knots.astype("float64")


def _values(values: Any) -> Array:
    u, _ = state(values, "Signal: values", (*REAL, *COMPLEX))
    return u[:, None] if u.ndim == 1 else u


def _pieces(kind: str, knots: Any, u: Array) -> Array:
    """Return the coefficients of the polynomials between knots, (*B, M - 1, d + 1, k)."""
    xp, u_0, rise = array_namespace(u), part(u, -2, None, -1), part(u, -2, 1, None) - part(u, -2, None, -1)
    if kind == "hold":
        return u_0[..., None, :]
    if kind == "linear":
        return xp.stack([u_0, rise], axis=-2)
    h = backend_of(u).convert((knots[1:] - knots[:-1])[:, None], u, rise.dtype)
    slopes = _slopes(knots, padded(1 / h, u.ndim) * rise)
    left, right = (padded(h, u.ndim) * part(slopes, -2, *ends) for ends in ((None, -1), (1, None)))
    return xp.stack([u_0, left, 3 * rise - 2 * left - right, left + right - 2 * rise], axis=-2)


def _slopes(knots: Any, s: Array) -> Array:
    """Return the slopes of the spline at its knots, (*B, M, k), by those of the lines between, s (*B, M - 1, k).

    h_i m_{i-1} + 2 (h_{i-1} + h_i) m_i + h_{i-1} m_{i+1} = 3 (h_i s_{i-1} + h_{i-1} s_i), and a row at each end: of a
    tridiagonal matrix, whose factors are of the knots alone, so that two scans are left.
    """
    xp, backend, h = array_namespace(s), backend_of(s), knots[1:] - knots[:-1]
    wide, far = h[:-1] + h[1:], (h[0] + h[1], h[-1] + h[-2])
    lower, middle, upper = [0.0, *h[1:], far[1]], [h[1], *(2 * wide), h[-2]], [far[0], *h[:-1], 0.0]
    factors = [0.0]
    for i in range(1, len(middle)):
        factors.append(lower[i] / middle[i - 1])
        middle[i] -= factors[i] * upper[i - 1]

    def of(*numbers: Any) -> Array:
        return padded(backend.convert([[float(a)] for a in numbers], s, s.dtype), s.ndim)

    inner = 3 * (of(*h[1:]) * part(s, -2, None, -1) + of(*h[:-1]) * part(s, -2, 1, None))
    of_first = of((h[0] + 2 * far[0]) * h[1] / far[0], h[0] ** 2 / far[0]) * part(s, -2, None, 2)
    of_last = of(h[-1] ** 2 / far[1], (h[-1] + 2 * far[1]) * h[-2] / far[1]) * part(s, -2, -2, None)
    first, last = (xp.sum(row, axis=-2, keepdims=True) for row in (of_first, of_last))
    r = joined([first, inner, last], -2)
    z = affine_scan((Diagonal(-of(*factors) + 0 * r),), (1,), r)
    turned = of(*([0.0] + [-upper[i] / middle[i] for i in reversed(range(len(middle) - 1))]))
    back = affine_scan((Diagonal(turned + 0 * r),), (1,), xp.flip(z / of(*middle), axis=-2))
    return xp.flip(back, axis=-2)
