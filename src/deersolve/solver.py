"""solve(): check the inputs, pick rule and method, iterate, certify, attach the derivative."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable
from typing import Any

from .adaptive.method import asked_of
from .adaptive.report import complaint
from .adaptive.tolerance import solve_to
from .backends import backend_of
from .backends._compilers import untraced
from .backends.generic import Backend
from .backends.namespace import Array, array_namespace, dtype_name, padded_behind
from .backends.registration import close_matches
from .errors import (
    ConvergenceError,
    DiscretisationWarning,
    InputError,
    UnknownKeyError,
    check_flag,
    level_of_caller,
    mismatch,
)
from .grids.base import Grid
from .inverses import Rule, rule_of
from .linalg.scans import is_obeyed, ways, which_scan
from .linalg.structure import Dense
from .newton.checks.cell_peclet import worst_place
from .newton.checks.choices import check_method, check_rule, check_takes, check_unique
from .newton.checks.nonfinite import first_nonfinite
from .newton.checks.own_elements import check_elements
from .newton.checks.probe import probe
from .newton.checks.waves import shortest_wave
from .newton.discrete import discrete, mistuned
from .newton.equation import System
from .newton.finite_slopes import noticing
from .newton.implicit import described
from .newton.jacobians import derivative_of
from .newton.methods import Auto, Newton, method_of
from .newton.pattern import is_kept, layout_of
from .newton.plan import Plan, run
from .newton.steps.full import FULL
from .newton.windows.watch import NOBODY, Watch
from .newton.windows.watched import run_watched
from .problems import Problem
from .problems.complex_state import pairs_of
from .problems.inputs import check_problem, prepare
from .solution.solution import Solution
from .solution.status import Status, advice_on, numbers
from .solution.window import in_words

ON_FAILURE = ("raise", "nan", "return")
COARSE = 1e-2  # the relative discretisation error above which solve() warns
REFINE = "Refine the grid, or look at sol.y_corrected."
DISTRUST = (
    "Refine the grid: it is too coarse for sol.y_corrected, and for more than the order of this number "
    "(stats.is_asymptotic). If f jumps at known times, let them stand twice in the grid; in space "
    "an answer is of first order there."
)


@untraced
def solve(  # noqa: PLR0913 - the public signature
    problem: Problem,
    y_guess: Any = None,
    *,
    rtol: Any = None,
    atol: Any = None,
    inverse: Any = None,
    method: Any = None,
    on_failure: str | None = None,
    check_inputs: bool = True,
    on_window: Any = None,
) -> Solution:
    """Solve L[y] = f(y_1, ..., y_P, x, params) for the whole trajectory y.

    Parameters
    ----------
    problem : Recurrence, InitialValueProblem or Problem
        The equation.
    y_guess : array, optional
        Where to start, broadcast to (*B, *R, n); by default the initial value everywhere, or 0 between sides.
    rtol, atol : float or list of float, optional
        Of an :class:`InitialValueProblem`: solve it to a tolerance, an error of at most atol + rtol |y| in each
        component, on a grid that the solver finds. The times of the problem are then where y is wanted, and two are
        enough. With one of them the other is a thousand times larger or smaller. See :class:`Adaptive`.
    inverse : str, rule or callable, optional
        Another rule than the problem's own: "backward_euler", "exponential", ...
    method : Newton, Sequential, Auto, Adaptive or str, optional
        How to solve it; ``Auto()`` by default, explained in ``sol.stats.choice``.
    on_failure : {"raise", "nan", "return"}, optional
        What to do if an element does not converge: raise :class:`ConvergenceError`, which carries the whole
        Solution (default), fill its y with NaN (default under jit and vmap), or return its last iterate.
    check_inputs : bool
        Whether to probe f on one point before iterating.
    on_window : callable or list of callables, optional
        Called with a :class:`SolvedWindow` after each window, in their order: a :class:`Checkpoint`, a
        :class:`Progress` or a function of your own. What one of them raises ends the solve.

    Returns
    -------
    Solution
        y, the status of each batch element, the certificate; for a differential equation in time or on one axis also
        the estimated discretisation error and a solution of higher order.

    Raises
    ------
    InputError
        If the input cannot be right (shapes, libraries, grids, names): before any work.
    FunctionError
        If f does not act on each point by itself, is random or writes to its argument.
    ConvergenceError
        If an element did not converge and ``on_failure`` is "raise".

    Notes
    -----
    CONVERGED means: at the returned y, evaluated afresh, the componentwise residual is at roundoff of the
    equation's own terms, or the full Newton correction is within tolerance. Depth O(log T) for each step on a
    parallel machine, work O(T n^3 P), memory O(T n^2 P).

    A complex y0 or u0, or where there is none a complex guess or condition, makes a complex equation: y of n components
    is solved for as 2n real ones, and shown in complex numbers. f need not be holomorphic.

    On a CPU the default does not take all of a long trajectory at once: a recurrence that a loop runs faster is run by
    the loop, and a differential equation is solved in windows whose lengths follow it. ``sol.stats`` tells what was
    done.

    References
    ----------
    Lim, Zhu, Selfridge, Kasim, "Parallelizing non-linear sequential models over the sequence length",
    arXiv 2309.12252.

    Examples
    --------
    >>> import numpy as np
    >>> import deersolve as ds
    >>> t = np.linspace(0.0, 20.0, 1001)
    >>> def pendulum(y, t, params):
    ...     return np.stack([y[..., 1], -np.sin(y[..., 0])], axis=-1)
    >>> sol = ds.solve(ds.InitialValueProblem(pendulum, t, np.array([2.0, 0.0])))
    >>> bool(sol.converged), sol.y.shape
    (True, (1001, 2))
    """
    _check_options(on_failure, check_inputs)
    to, method = asked_of(method, rtol, atol)
    asked = method_of(Auto() if method is None else method)
    check_problem(problem)
    pairs = pairs_of(problem, y_guess)
    again = {"inverse": inverse, "method": to or method, "on_failure": on_failure, "check_inputs": check_inputs}
    if pairs is not None:
        return pairs.solved(solve, y_guess, on_window, again)
    if to is not None:
        _check_alone(y_guess, on_window)
        sol = solve_to(problem, to, inverse, check_inputs)
        return _finish(sol, backend_of(sol.y), lambda: complaint(sol), on_failure)
    rule = _rule_for(problem, inverse).scanning(asked.scan)
    backend, data = prepare(problem, y_guess, rule)
    problem, system = discrete(problem, rule, backend, data)
    with backend.quiet():
        check_takes(rule, problem)
        if check_inputs:
            probe(system)
            check_elements(system)
        functions, derivative = derivative_of(system, check_inputs)
        system = dataclasses.replace(system, functions=functions)
        if check_inputs and rule.offers("refuses"):
            check_unique(system)
        if on_window is None:  # who watches sees each window once
            system = dataclasses.replace(system, layout=layout_of(system))
        with noticing() as mends:
            sol, system, chosen, why = _run(system, asked, on_window)
    other = mistuned(problem, system, sol.y)
    if other is not None:
        return solve(other, y_guess, **again, on_window=on_window)
    derivative = _told(derivative, system, any(mends), getattr(problem.f, "way", ""))
    sol, y = _described(sol, system, chosen, why, derivative), sol.y
    if check_inputs:
        _warn_if_unresolved(system, sol)
    shown = _presented(sol, system.grid)
    return _finish(shown, system.backend, lambda: _complaint(shown, system, y), on_failure)


def _run(system: System, asked: Any, on_window: Any) -> tuple[Solution, System, Any, str]:
    """Return the solution, of whole Jacobians where blocks are not all of them; the system, its method and why."""
    chosen, why = asked.chosen(system, on_window is not None)
    check_method(system.rule, chosen, system.data.grid)
    watch = NOBODY if on_window is None else Watch(on_window)
    plan = Plan(system.backend, system.rule, system.shift, chosen, watch, system.layout)
    sol = (run if on_window is None else run_watched)(plan, system.functions, system.data)
    if is_kept(system, sol.y):
        return sol, system, chosen, why
    return _run(dataclasses.replace(system, layout=None), asked, on_window)


def _told(derivative: str, system: System, is_mended: bool, way: str) -> str:
    """Return how f is differentiated, and called."""
    blocks = "" if system.layout is None else str(system.layout)
    return ", ".join(
        filter(None, (derivative, blocks, "differences where those are not finite" if is_mended else "", way))
    )


def _rule_for(problem: Problem, inverse: Any) -> Rule:
    rule = rule_of(problem.inverse if inverse is None else inverse, problem.family)
    check_rule(rule, problem)
    return rule


def _check_alone(y_guess: Any, on_window: Any) -> None:
    """Raise where something stands beside a tolerance that has no part in a march."""
    for name, value in (("y_guess", y_guess), ("on_window", on_window)):
        if value is not None:
            advice = "A march has no guess and no windows: leave it out, or solve on a grid of your own."
            raise mismatch(name, "None beside a tolerance", type(value).__name__, advice)


def _check_options(on_failure: Any, check_inputs: Any) -> None:
    if on_failure is not None and (not isinstance(on_failure, str) or on_failure not in ON_FAILURE):
        raise UnknownKeyError(f"on_failure: unknown {on_failure!r}." + close_matches(str(on_failure), list(ON_FAILURE)))
    check_flag("check_inputs", check_inputs)


def _presented(sol: Solution, grid: Grid) -> Solution:
    """Return the solution as a user sees it."""
    corrected = None if sol.y_corrected is None else grid.present(sol.y_corrected)
    made = {"y": grid.present(sol.y), "y_corrected": corrected, "stages": grid.stages(sol.y)}
    return dataclasses.replace(sol, **made, **grid.space)


def _name(method: Any, length: int) -> str:
    if isinstance(method, Newton):
        parts = [f"window={method.window}"] if method.window and method.window < length else []
        parts += [] if method.structure is Dense else [f"structure={method.structure.name}"]
        parts += [] if method.step == FULL else [f"step={method.step}"]
        return f"newton({', '.join(parts)})" if parts else "newton"
    return "sequential"


def _described(sol: Solution, system: System, method: Any, why: str, derivative: str) -> Solution:
    y = sol.y
    batch, grid = math.prod(y.shape[: system.n_batch]), system.grid
    lags = tuple(max(lag, 1) for lag in grid.lags)
    structure = method.structure.name if system.layout is None else system.layout.name
    kind = system.backend.device_kind(y)
    dtype = dtype_name(y)
    windows = sol.stats.windows
    told = in_words(windows, "intervals" if grid.overlap else "steps", method.window)
    T = max((w.length + grid.overlap for w in windows), default=y.shape[grid.axis])
    scan = which_scan(structure, y.shape[-1], lags, T, batch, system.backend.name, kind, dtype)[0]
    if method.scan and scan != "none" and is_obeyed(method.scan, sol.status):
        scan = method.scan
    uses_scan = system.rule.scans and (isinstance(method, Newton) or method.scan is not None)
    stats = dataclasses.replace(
        sol.stats,
        rule=system.rule.key,
        method=_name(method, grid.length),
        scan=scan if uses_scan else "none",
        derivative=derivative,
        choice="; ".join(filter(None, (why, told))),
        gradient=described(system),
    )
    return dataclasses.replace(sol, stats=stats)


def _finish(sol: Solution, backend: Backend, complain: Callable[[], str], on_failure: str | None) -> Solution:
    """Warn of a coarse grid; raise, fill with NaN or return what failed."""
    concrete = backend.is_concrete((sol.status, sol.stats.discretisation_error))
    mode = on_failure or ("raise" if concrete else "nan")
    xp = array_namespace(sol.y)
    converged = sol.converged
    if concrete:
        _warn_if_coarse(sol)
        if bool(xp.all(converged)):
            return sol
        if mode == "raise":
            raise ConvergenceError(complain(), sol)
    elif mode == "raise":
        raise InputError(
            "on_failure: expected 'nan' or 'return' inside jit or vmap, where no status can be read; received 'raise'."
        )
    if mode == "return":
        return sol
    flags = padded_behind(converged, sol.y.ndim)
    blank = xp.where(flags, xp.zeros_like(sol.y), xp.nan)  # added, so that derivatives stay what they are
    corrected = sol.y_corrected
    return dataclasses.replace(sol, y=sol.y + blank, y_corrected=None if corrected is None else corrected + blank)


def _warn_if_coarse(sol: Solution) -> None:
    error = sol.stats.discretisation_error
    if error is None:
        return
    xp = array_namespace(error)
    coarse = sol.converged & ~(error <= COARSE)
    if not bool(xp.any(coarse)):
        return
    sure = bool(xp.all(sol.stats.is_asymptotic | ~coarse))
    worst = float(xp.max(xp.where(coarse & xp.isfinite(error), error, 0.0))) or float("inf")
    warnings.warn(
        f"the discretisation error is estimated at {worst:.1e} of the largest |y|: the discrete equation is "
        f"solved, the differential equation is not. {REFINE if sure else DISTRUST}",
        DiscretisationWarning,
        stacklevel=level_of_caller(),
    )


def _warn_if_unresolved(system: System, sol: Solution) -> None:
    with system.backend.frozen():
        place = worst_place(system, sol) or shortest_wave(system, sol)
    if place is not None:
        warnings.warn(str(place), DiscretisationWarning, stacklevel=level_of_caller())


def _complaint(sol: Solution, system: System, y: Array) -> str:
    codes = [int(c) for c in numbers(sol.status)]
    told = {c: advice_on(Status(c), system.marches) for c in sorted(set(codes)) if c}
    for c in {Status.MAX_STEPS, Status.NONFINITE, Status.UNCERTIFIED} & {*told}:
        if fault := _of_rule(sol, c):
            told[c] = fault if c == Status.UNCERTIFIED else f"{fault}; else, {told[c]}"
    counts = [f"{codes.count(c)} {Status(c).name} ({advice})" for c, advice in told.items()]
    advice = f"{system.rule.advice}. " if system.rule.advice else ""
    name = sol.stats.scan
    if ways.is_own(name):
        advice += f"The scan {name!r} is not built in: is it right? deersolve.testing.check_scan({name!r}) tells. "
    advice = first_nonfinite(sol, system, y) + _open_part(sol) + system.rule.doubt + advice
    return (
        f"{sum(c != 0 for c in codes)} of {len(codes)} batch elements did not converge: {'; '.join(counts)}. "
        f"Method {sol.stats.method}, rule {sol.stats.rule}. {advice}The partial result is in this error's .solution; "
        "on_failure='return' or 'nan' returns it instead."
    )


def _open_part(sol: Solution) -> str:
    """Return a sentence on what is left to correct of elements that are SINGULAR."""
    parts = [e for c, e in zip(numbers(sol.status), numbers(sol.stats.error), strict=True) if c == Status.SINGULAR]
    return f"What is left to correct of a singular one is {max(parts):.1e} of the size of its terms. " if parts else ""


def _of_rule(sol: Solution, code: int) -> str:
    """Return what of a rule of one's own is wrong at y of the elements of a status, in words."""
    found, eps = sol.stats.rule_errors, float(array_namespace(sol.y).finfo(sol.y.dtype).eps)
    if found is None:
        return ""
    failed = [c == code for c in numbers(sol.status)]
    told = found.worst(eps, lambda a: max((e for c, e in zip(failed, numbers(a), strict=True) if c), default=0.0))
    return f"at y the rule fails: {told}" if told else ""
