"""``solve_ivp`` with the arguments, the shapes and the result of :func:`scipy.integrate.solve_ivp`."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable
from typing import Any

from ..adaptive.events import Crossings, Event, cut, events_of, located
from ..adaptive.method import Adaptive
from ..backends import backend_of
from ..backends.generic import Backend
from ..backends.given import COMPLEX, REAL, state
from ..backends.namespace import Array, array_namespace
from ..backends.registration import close_matches
from ..errors import InputError, UnknownKeyError, level_of_caller, mismatch
from ..problems.initial_value import InitialValueProblem
from ..problems.scipy_form import FromScipy
from ..solution.dense import DenseOutput
from ..solution.solution import Solution
from ..solution.status import Status
from ..solver import solve
from .result import OdeResult, OdeSolution, in_columns

METHODS: dict[str, str | None] = {
    "auto": None,
    "RK45": "dopri5",
    "RK23": "dopri5",
    "DOP853": "dopri8",
    "Radau": "radau5",
    "BDF": None,
    "LSODA": None,
}
"""The rules that stand for SciPy's methods; None is the choice of the solver."""

NEAREST = ("RK23", "BDF", "LSODA")
LEAST_RTOL = 100  # in units of eps
"""Those that are not the same rule, of which the message says what ran."""


def solve_ivp(  # noqa: PLR0913 - the signature of SciPy
    fun: Callable[..., Any],
    t_span: Any,
    y0: Any,
    method: Any = "auto",
    t_eval: Any = None,
    dense_output: bool = False,
    events: Any = None,
    vectorized: bool = False,
    args: Any = None,
    *,
    rtol: Any = 1e-3,
    atol: Any = 1e-6,
    jac: Any = None,
    first_step: float | None = None,
    max_step: float = math.inf,
    jac_sparsity: Any = None,
    lband: Any = None,
    uband: Any = None,
    min_step: float = 0.0,
) -> OdeResult:
    """Solve dy/dt = fun(t, y), y(t_0) = y0, to a tolerance, as :func:`scipy.integrate.solve_ivp` does.

    Parameters
    ----------
    fun : callable
        ``fun(t, y, *args)`` of a number t and y of shape (n,), which returns n numbers.
    t_span : pair of float
        From where to where, in the unit of t; it may descend.
    y0 : array, shape (*B, n)
        The start, of any library; lists are NumPy. Batch elements have a grid each. Complex numbers make a complex
        equation.
    method : str
        "auto", the choice of the solver; SciPy's "RK45" and "DOP853" (Dormand and Prince of order 5 and 8), "Radau" (IIA
        of order 5), or the name of a rule. For "RK23" order 5 stands in, for "BDF" and "LSODA" the choice of the
        solver, and ``message`` says so.
    t_eval : array, shape (M,), optional
        Where y is wanted, in the order of t_span; by default at the steps of the solver.
    dense_output : bool
        Whether to return ``sol``.
    events : callable or list of callables, optional
        ``event(t, y, *args)`` of one point, 0 where something happens. Attributes: ``terminal``, True or the number
        of crossings at which the solve ends; ``direction``, of upward crossings alone if > 0, downward if < 0.
    vectorized : bool
        Whether fun is called with y of shape (n, 1) and (n, M), as SciPy calls such a function.
    args : tuple, optional
        What fun, events and jac are given behind y.
    rtol, atol : float or array, shape (n,)
        What the error of a step may be: atol + rtol |y|. rtol is at least 100 eps.
    jac : callable or array, shape (n, n), optional
        ``jac(t, y, *args)``, df_i/dy_j, or the matrix where it is constant; by default it is computed.
    first_step, max_step : float, optional
        The length of the first and of the longest step.
    jac_sparsity, lband, uband, min_step : optional
        Taken as SciPy takes them, and not used: Jacobians are not differences, and steps have no least length.

    Returns
    -------
    OdeResult
        ``t`` (N,) and ``y`` (n, N), of a batch (*B, N) and (*B, n, N); ``sol``, None unless asked for; ``t_events``
        and ``y_events``, for each event arrays (E,) and (E, n), of a batch and inside ``jit`` and ``grad`` filled up
        with NaN, (*B, E) and (*B, E, n), or None; ``nfev``, calls of fun; ``njev`` and ``nlu``; ``status``, 0 at the end, 1 at a
        terminal event, -1 where it failed, of a batch an array; ``message``; ``success``; and ``solution``, a
        :class:`Solution` with the certificate, ``solution(t)`` and the estimated global error.

    Raises
    ------
    InputError
        If the arguments cannot be right: spans and times that are not finite, t_eval that is not sorted or outside of
        t_span, an empty y0, tolerances below 0, an unknown method, an event that cannot be called.
    FunctionError
        If fun or an event returns what is not of its shape.

    Notes
    -----
    A failure does not raise: ``success`` is False, and what was solved is there. Functions of one point are called for
    all points of the grid at once where that gives the same values.

    References
    ----------
    P. Virtanen et al., SciPy 1.0, Nature Methods 17 (2020) 261.

    Examples
    --------
    >>> from deersolve import solve_ivp
    >>> sol = solve_ivp(lambda t, y: -0.5 * y, [0, 10], [2, 4, 8], t_eval=[0, 1, 10], rtol=1e-8, atol=1e-10)
    >>> sol.y.shape, sol.success, [round(float(y), 6) for y in sol.y[:, 1]]
    ((3, 3), True, [1.213061, 2.426123, 4.852245])
    """
    start, end = _span(t_span)
    given, backend = _start(y0)
    extra, asked = _args(args), events_of(events)
    inverse, note = _rule(method)
    times = None if t_eval is None else _times(t_eval, start, end)
    tolerance = _tolerance(rtol, atol, given, first_step, max_step)
    f = FromScipy(_callable(fun), is_column=bool(vectorized))
    problem = InitialValueProblem(f, backend.convert([start, end], given, None), given, params=extra)
    problem.jac = None if jac is None else Jacobian(jac)
    sol = solve(problem, inverse=inverse, method=tolerance, on_failure="return")
    ...
