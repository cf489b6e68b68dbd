"""Ordinary differential equations with an initial value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from ..domain import Initial
from ..shifters import identity
from ..typing import Array, Tree
from .base import Problem


class InitialValueProblem(Problem):
    """dy/dt = f(y, x, params), y(t_0) = y0, on any grid t_0 < t_1 < ... (or descending).

    Parameters
    ----------
    f : callable
        ``f(y, x, params)``, (*B, T, n) -> (*B, T, n), the time derivative in the unit of t.
    t : array, shape (T,) or (*B, T)
        The grid; it may be wider than y0 (float64 grid, float32 state): differences are taken first. Where f jumps
        the time may stand there twice, as in ``[0, 0.5, 1, 1, 1.5]``: y is the same at both, f has the value before
        the jump at the first and the one behind it at the second.
    y0 : array, shape (*B, n)
        The value at t[0]. The solution y, (*B, T, n), contains it: y[..., 0, :] is y0.
    x : tree of arrays, optional
        All that varies, each leaf (*B or 1, T or 1, k). By default the time, shape (T, 1), of two that are the same
        one a rounding error earlier and the other later, so that ``t > 1`` and ``t >= 1`` are the two sides of 1;
        pass ``x={"t": t[:, None], "u": u}`` for both. What is passed stays as it is: there u may have two values.
    params : any, optional
        Passed to f as it is.
    jac : callable, optional
        See :class:`Problem`.

    Raises
    ------
    InputError
        By :func:`solve`, if the grid is not monotone and finite, or a time stands there more than twice, or shapes do
        not match.

    Examples
    --------
    >>> import numpy as np
    >>> import deersolve as ds
    >>> t = np.linspace(0.0, 1.0, 1001)
    >>> decay = ds.InitialValueProblem(lambda y, t, k: -k * y, t, np.array([1.0]), params=2.0)
    >>> sol = ds.solve(decay)
    >>> bool(abs(sol.y[-1, 0] - np.exp(-2.0)) < 1e-6)
    True

    A tap that opens at t = 1:

    >>> t = np.concatenate([np.linspace(0.0, 1.0, 101), np.linspace(1.0, 2.0, 101)])
    >>> tap = ds.InitialValueProblem(lambda y, t, p: (t > 1) - y, t, np.array([0.0]))
    >>> sol = ds.solve(tap)
    >>> bool(abs(sol.y[-1, 0] - (1 - np.exp(-1.0))) < 1e-5), bool(sol.stats.is_asymptotic)
    (True, True)
    """

    family: ClassVar[str] = "ddt"
    is_causal: ClassVar[bool] = True
    fields = {"y0": ("k",), "x": ("t", "k"), "t": ("t",)}  # noqa: RUF012

    def __init__(
        self,
        f: Callable[..., Array],
        t: Array,
        y0: Array,
        x: Tree = None,
        params: Any = None,
        *,
        jac: Callable[..., Any] | None = None,
    ) -> None:
        super().__init__(f, shift=identity, inverse="ddt.trapezoid", x=x, params=params, jac=jac)
        self.t, self.boundary = t, Initial(y0)
