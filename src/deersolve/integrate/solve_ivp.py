"""``solve_ivp`` with the arguments, the shapes and the result of :func:`scipy.integrate.solve_ivp`."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable
from typing import Any

from ..adaptive.events import Event, cut, events_of, located
from ..adaptive.halts import Halts
from ..adaptive.method import Adaptive
from ..backends import backend_of
from ..backends.given import COMPLEX, REAL, in_floats, state
from ..backends.namespace import Array, array_namespace, joined, padded
from ..grids.times import Initial
from ..problems.initial_value import InitialValueProblem
from ..problems.scipy_form import FromScipy
from ..solution.dense import DenseOutput
from ..solution.solution import Solution, Stats
from ..solution.status import Status
from ..solver import solve
from .arguments import Calls, Jacobians, args_of, rule_for, span_of, times_of, tolerance_of
from .result import OdeResult, OdeSolution, in_columns

PIECE = 32  # steps that are tried before it is asked whether an event ended them, then twice as many

MESSAGES = ("The solver successfully reached the end of the integration interval.", "A termination event occurred.")
"""SciPy's, for programs that look at them."""


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
        "auto", the choice of the solver; SciPy's "RK45" and "DOP853" (Dormand and Prince of order 5 and 8), "Radau"
        (IIA of order 5), or the name of a rule. For "RK23" order 5 stands in, for "BDF" and "LSODA" the choice of the
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
        with NaN, (*B, E) and (*B, E, n), or None; ``nfev`` and ``njev``, calls of fun and jac, of all points at once
        one; ``nlu``, 0; ``status``, 0 at the end, 1 at a terminal event, -1 where it failed, of a batch an array;
        ``message``; ``success``; and ``solution``, a :class:`Solution` with the certificate and ``solution(t)``.

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
    extra, asked, (inverse, note) = args_of(args), events_of(events), rule_for(method)
    given, backend = state(in_floats(y0, "y0"), "y0", (*REAL, *COMPLEX))
    span = span_of(t_span, ends=any(event.terminal for event in asked))
    ends, calls = backend.convert(state(list(span), "t_span")[0], given, None), Calls(fun, jac)
    times = times_of(t_eval, span, ends)
    tolerance = tolerance_of(rtol, atol, given, first_step, max_step, abs(span[1] - span[0]))
    f = FromScipy(calls.fun, is_column=bool(vectorized))
    problem = InitialValueProblem(f, ends, given, params=extra)
    problem.jac = None if jac is None else Jacobians(calls.jac)
    terminal = [event for event in asked if event.terminal]
    problem.halts = Halts(terminal, extra or ()) if terminal else None
    found = _standing(problem) if span[0] == span[1] else _solved(problem, inverse, tolerance, asked)
    crossings, last = located(found.dense, asked, extra or ())
    dense = cut(found.dense, last) if any(event.terminal for event in asked) else found.dense
    (t, y), status = _values(dense, times), _status(found, last)
    return OdeResult(
        t=t,
        y=in_columns(y),
        sol=OdeSolution(dense) if dense_output else None,
        t_events=None if events is None else [_happened(c.t, c.count) for c in crossings],
        y_events=None if events is None else [_happened(c.y, c.count) for c in crossings],
        **calls.counts,
        nlu=0,
        status=status,
        message=_message(found, status) + note,
        success=_every(status >= 0),
        solution=dataclasses.replace(found, y=y, t=t, dense=dense),
    )


def _solved(problem: InitialValueProblem, inverse: Any, tolerance: Adaptive, events: list[Event]) -> Solution:
    """Return the solution; of one element with terminal events in pieces, so as not to go far behind the first."""
    options = {"inverse": inverse, "on_failure": "return"}
    is_open = any(e.terminal for e in events)  # to a time that is not known: a march
    tolerance = dataclasses.replace(tolerance, way="march") if is_open else tolerance
    if not is_open or problem.start.ndim > 1 or backend_of(problem.start).compiles:
        return solve(problem, method=tolerance, **options)
    pieces: list[Solution] = []
    end, first = float(problem.t[-1]), tolerance.first_step
    while True:
        most = PIECE * 2 ** len(pieces)
        sol = solve(problem, method=dataclasses.replace(tolerance, first_step=first, max_steps=most), **options)
        pieces.append(sol)
        whole = _joined(pieces)
        t = [float(sol.dense.t[k]) for k in (0, -2, -1)]
        goes_on = int(sol.status) == Status.UNDER_RESOLVED and t[0] != t[2] != end
        if not goes_on or bool(located(whole.dense, events, problem.params or ())[1] < math.inf):
            return whole
        problem = copy.copy(problem)
        problem.t, problem.boundary = joined([sol.dense.t[-1:], problem.t[-1:]], -1), Initial(sol.dense.y[-1, :])
        first = min(abs(t[2] - t[1]), abs(end - t[2]))


def _joined(pieces: list[Solution]) -> Solution:
    """Return the last solution, with dense output and steps of all that lie one behind the other."""
    stats = dataclasses.replace(pieces[-1].stats, steps=sum(sol.stats.steps for sol in pieces))
    return dataclasses.replace(pieces[-1], dense=pieces[0].dense.then(*(sol.dense for sol in pieces[1:])), stats=stats)


def _standing(problem: InitialValueProblem) -> Solution:
    """Return the solution over a span of no length: its start."""
    y0 = problem.boundary.y0[..., None, :]
    xp = array_namespace(y0)
    zero = xp.zeros(y0.shape[:-2], dtype=xp.int32, device=backend_of(y0).placement(y0))
    dense = DenseOutput(problem.t, y0[..., None, :, :])
    error = xp.zeros_like(xp.abs(y0[..., 0, 0]))
    return Solution(y0, zero, Stats(zero, error, error, error[..., None]), t=problem.t, dense=dense)


def _is_ragged(dense: DenseOutput) -> bool:
    """Tell whether arrays may have the lengths that they need: there is one element, whose numbers are known."""
    return dense.coefficients.ndim == 3 and backend_of(dense.t).is_concrete((dense.t, dense.coefficients))


def _values(dense: DenseOutput, times: Array | None) -> tuple[Array, Array]:
    """Return the times that are asked for and y there: up to the end of the one element, of several NaN behind."""
    if times is None:
        return dense.t, dense.y
    xp, end = array_namespace(dense.t), dense.t[..., -1:]
    ahead, at = xp.where(end < dense.t[..., :1], -1.0, xp.ones_like(end)), padded(times, end.ndim)
    inside = ahead * at <= ahead * end
    y = dense(ahead * xp.minimum(ahead * at, ahead * end))
    if not _is_ragged(dense):
        return times, xp.where(inside[..., None], y, xp.nan)
    count = int(xp.sum(xp.astype(inside, xp.int32)))
    return times[:count], y[:count, :]


def _happened(a: Array, count: Array) -> Array:
    """Return what happened to the one element, (0,) as SciPy if nothing did; of several NaN behind the last."""
    if count.ndim or not backend_of(a).is_concrete(a):
        return a
    return a[: int(count), ...] if int(count) else array_namespace(a).reshape(a[:0, ...], (0,))


def _status(sol: Solution, last: Array) -> Any:
    """Return SciPy's numbers: 0 at the end, 1 at a terminal event, -1 where it failed before."""
    xp = array_namespace(sol.status)
    failed = xp.where(sol.converged, 0 * sol.status, -1)
    codes = xp.where(xp.isfinite(last[..., 0]), 1, failed)
    return int(codes) if codes.ndim == 0 and backend_of(codes).is_concrete(codes) else codes


def _every(holds: Any) -> Any:
    if isinstance(holds, bool):
        return holds
    every = array_namespace(holds).all(holds)
    return bool(every) if backend_of(every).is_concrete(every) else every


def _message(sol: Solution, status: Any) -> str:
    if not isinstance(status, int):
        return "One status for each element."
    if status < 0:
        code, at = Status(int(sol.status)), float(sol.dense.t[-1])
        return f"{code.name} at t = {at:.6g}: {code.advice}."
    return MESSAGES[status]
