"""check_inverse: what a rule claims, tested on small systems."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ..backends.namespace import Array
from ..inverses import PaperForm, Rule, assembled, rule_of
from ..linalg.structure import Dense, Structure
from ..newton.discretisation_error import discretisation
from ..newton.methods import Newton
from . import ends, lines, planes, problems
from ._systems import (
    DiagonalOfDense,
    Linear,
    family_of,
    iterate,
    linear_systems,
    nonlinear_problems,
    random_G,
    slope,
    system_of,
)
from .convergence import QUADRATIC, exponents
from .report import Report

SIZES = (20, 40, 80, 160, 320, 640)
EPS = float(np.finfo(np.float64).eps)


def check_inverse(rule: Any, *, family: str | None = None, order: float | None = None, seed: int = 0) -> Report:
    """Check everything that a rule claims, on small random systems in NumPy and float64.

    Parameters
    ----------
    rule : str, Rule or callable
        A key of the registry ("ddt.mine"), a rule, or the paper's callable ``(Gs, rhs) -> y``.
    family : {"d2dx2", "ddt", "ddx", "heat", "heat2d", "laplace2d", "shift"}, optional
        The kind of equation; by default the first part of the rule's key.
    order : float, optional
        The order of accuracy to expect; by default the rule's ``order``, and any if that is None.
    seed : int
        Of the random systems.

    Returns
    -------
    Report
        - "solve[structure]": ``solve`` against ``numpy.linalg.solve`` of the matrix assembled from
          ``residual``, for each declared structure; relative to the largest entry
          and in units of eps cond, at most 1e3;
        - "batch": a batch gives what its elements give one by one;
        - "transpose": ``<u, solve(v)> = <transpose(u), v>``;
        - "independent of G": y at rest for a dense G and for its diagonal, their relative
          difference; at most 1e-12 for ``exact=True``;
        - "exponent": that of Newton's last steps, at least 1.6 (2 is quadratic) for ``exact=True``;
        - "order", "order of y_corrected": observed on a non-autonomous non-linear equation on a
          non-uniform grid, N = 20 ... 640, within 0.1 of the order; for a recurrence instead
          "loop", the difference from the sequential loop.

    Raises
    ------
    CheckFailure
        If a claim is false; the message says what was expected and received, ``.report`` holds all.

    Examples
    --------
    >>> from deersolve.testing import check_inverse
    >>> check_inverse("ddt.trapezoid")["independent of G"].holds
    True
    """
    made = rule_of(rule)
    kind = family_of(made, family)
    rng = np.random.default_rng(seed)
    report = Report(f"the rule {made.key!r}")
    with np.errstate(all="ignore"):
        _check_linear(report, made, linear_systems(kind, rng, rule=made), rng)
        _check_newton(report, made, kind, rng)
        if kind != "shift":
            _check_order(report, made, kind, made.order if order is None else order)
        else:
            report.below("loop", lambda: _off_the_loop(made), 1e-12)
    return report.finish()


def _check_linear(report: Report, rule: Rule, systems: list[Linear], rng: np.random.Generator) -> None:
    if isinstance(rule, PaperForm):
        return
    for kind in rule.structures:
        name = f"solve[{getattr(kind, 'name', kind.__name__)}]"
        report.below(name, partial(_worst, _off, rule, systems, [kind], rng), 1e3)
    report.below("batch", lambda: _largest([_off_alone(rule, s, rng) for s in systems]), 1e-12)
    if type(rule).transpose is not Rule.transpose:
        measure = partial(_worst, _off_adjoint, rule, systems, rule.structures, rng)
        report.below("transpose", measure, 1e-12)


def _worst(off: Callable[..., float], rule: Rule, systems: Any, kinds: Any, rng: np.random.Generator) -> float:
    return _largest([off(rule, system, kind, rng) for system in systems for kind in kinds])


def _largest(values: list[float]) -> float:
    """Return the largest number, NaN if one is NaN."""
    return float(np.max(np.array(values)))


def _Gs(system: Linear, kind: type, rng: np.random.Generator, batch: Any = ()) -> Any:
    *inner, rows, n = system.r.shape
    shape = (*batch, *inner, rows + system.behind, n)
    return tuple(random_G(kind, shape, rng) for _ in range(system.count))


def _off(rule: Rule, system: Linear, kind: type, rng: np.random.Generator) -> float:
    """Return the difference from the assembled matrix in units of eps cond."""
    Gs = _Gs(system, kind, rng)
    matrix = assembled(rule, Gs, system.r, shift=system.shift, **system.where)
    expected = np.linalg.solve(matrix, system.r.reshape(-1)).reshape(system.r.shape)
    found = rule.solve(Gs, system.r, **system.where)
    return _relative(found, expected) / (EPS * float(np.linalg.cond(matrix)))


def _off_alone(rule: Rule, system: Linear, rng: np.random.Generator) -> float:
    kind = rule.structures[0]
    Gs = _Gs(system, kind, rng, (3,))
    r = rng.normal(size=(3, *system.r.shape))
    alone = [rule.solve(tuple(G.map(lambda v, i=i: v[i]) for G in Gs), r[i], **system.where) for i in range(3)]
    return _relative(rule.solve(Gs, r, **system.where), np.stack(alone))


def _off_adjoint(rule: Rule, system: Linear, kind: type, rng: np.random.Generator) -> float:
    """Return ``<u, solve(v)> - <transpose(u), v>`` relative to the sum of absolute terms."""
    Gs: tuple[Structure, ...] = _Gs(system, kind, rng)
    u, v = rng.normal(size=system.r.shape), system.r
    forward = u * rule.solve(Gs, v, **system.where)
    reverse = rule.transpose(Gs, u, **system.where) * v
    scale = np.abs(forward).sum() + np.abs(reverse).sum()
    return float(abs(forward.sum() - reverse.sum()) / scale)


def _check_newton(report: Report, rule: Rule, kind: str, rng: np.random.Generator) -> None:
    systems = [system_of(p, rule) for p in nonlinear_problems(kind, rng)]

    def difference() -> float:
        pairs = [(iterate(s, Dense)[0], iterate(s, DiagonalOfDense())[0]) for s in systems]
        return _largest([_relative(b, a) for a, b in pairs])

    def exponent() -> float:
        lasts = [exponents(iterate(s, Dense)[1], EPS) for s in systems]
        return min((p[-1] for p in lasts if p), default=math.nan)

    if rule.exact:
        report.below("independent of G", difference, 1e-12)
        text = f"at least {QUADRATIC} (quadratic)"
        report.judge("exponent", text, exponent, lambda p: p >= QUADRATIC)
    else:
        report.note("independent of G", difference)
        report.note("exponent", exponent, "{:.2f}")


def observed_errors(rule: Rule, sizes: tuple[int, ...] = SIZES) -> Array:
    """Return the largest errors of y and of y_corrected (NaN without one) for some grids.

    Parameters
    ----------
    rule : Rule
        A rule for y' = f.
    sizes : tuple of int
        Numbers of intervals.

    Returns
    -------
    numpy.ndarray, shape (len(sizes), 2)
    """
    errors = []
    for N in sizes:
        s = np.linspace(0.0, 1.0, N + 1)
        case = problems.bernoulli(np.asarray, 1.5 * (s + s * s))
        system = system_of(case.problem, rule)
        it = Newton().run(system)
        if not bool(np.all(it.certified)):
            raise ArithmeticError(f"Newton did not converge at N = {N}")
        estimate = discretisation(system, it.y)
        corrected = np.nan if estimate is None else np.abs(estimate.y_corrected - case.exact).max()
        errors.append((np.abs(it.y - case.exact).max(), corrected))
    return np.array(errors)


def errors_on_a_line(rule: Rule, sizes: tuple[int, ...] = SIZES) -> Array:
    """Return the largest errors of u and of what corrects it, for a slope at one end and a value at the other."""
    errors = []
    for N in sizes:
        s = np.linspace(0.0, 1.0, N + 1)
        case = lines.steady_burgers(np.asarray, 0.7 * (s + s * s))
        system = system_of(case.problem, rule)
        it = Newton().run(system)
        if not bool(np.all(it.certified)):
            raise ArithmeticError(f"Newton did not converge at N = {N}")
        estimate = discretisation(system, it.y)
        corrected = np.nan if estimate is None else np.abs(estimate.y_corrected - case.exact).max()
        errors.append((np.abs(it.y - case.exact).max(), corrected))
    return np.array(errors)


def errors_between_ends(rule: Rule, sizes: tuple[int, ...] = SIZES) -> Array:
    """Return the largest errors of u and of what corrects it, for conditions that couple both ends."""
    errors = []
    for N in sizes:
        s = np.linspace(0.0, 1.0, N + 1)
        case = ends.manufactured(np.asarray, 0.7 * s + 0.3 * s * s, "coupled", 4)
        system = system_of(case.problem, rule)
        it = Newton().run(system)
        if not bool(np.all(it.certified)):
            raise ArithmeticError(f"Newton did not converge at N = {N}")
        estimate = discretisation(system, it.y)
        corrected = np.nan if estimate is None else np.abs(estimate.y_corrected - case.exact).max()
        errors.append((np.abs(it.y - case.exact).max(), corrected))
    return np.array(errors)


def errors_in_time(rule: Rule, sizes: tuple[int, ...] = SIZES) -> Array:
    """Return the largest errors of u and of what corrects it, where the differences in space are exact."""
    errors = []
    for N in sizes:
        s = np.linspace(0.0, 1.0, N + 1)
        case = lines.swinging(np.asarray, s + s * s)
        system = system_of(case.problem, rule)
        it = Newton().run(system)
        if not bool(np.all(it.certified)):
            raise ArithmeticError(f"Newton did not converge at N = {N}")
        shown, estimate = system.data.grid.presented, discretisation(system, it.y)
        corrected = np.nan if estimate is None else np.abs(shown(estimate.y_corrected) - case.exact).max()
        errors.append((np.abs(shown(it.y) - case.exact).max(), corrected))
    return np.array(errors)


def errors_in_plane_and_time(rule: Rule, sizes: tuple[int, ...] = SIZES) -> Array:
    """Return the same in a rectangle, where the differences in space are exact, on half as many levels."""
    errors = []
    for N in sizes:
        s = np.linspace(0.0, 1.0, N // 2 + 1)
        case = planes.swinging(np.asarray, s + s * s)
        system = system_of(case.problem, rule)
        it = Newton().run(system)
        if not bool(np.all(it.certified)):
            raise ArithmeticError(f"Newton did not converge at N = {N}")
        shown, estimate = system.data.grid.presented, discretisation(system, it.y)
        corrected = np.nan if estimate is None else np.abs(shown(estimate.y_corrected) - case.exact).max()
        errors.append((np.abs(shown(it.y) - case.exact).max(), corrected))
    return np.array(errors)


def errors_in_a_plane(rule: Rule, sizes: tuple[int, ...] = SIZES) -> Array:
    """Return the largest errors of u, shape (len(sizes), 1), on half as many points an axis, with four conditions."""
    errors = []
    for N in sizes:
        s = np.linspace(0.0, 1.0, N // 2 + 1)
        case = planes.manufactured(np.asarray, (s, s), ("dirichlet", "robin", "neumann", "dirichlet"))
        it = Newton().run(system_of(case.problem, rule))
        if not bool(np.all(it.certified)):
            raise ArithmeticError(f"Newton did not converge at N = {N}")
        errors.append((np.abs(it.y - case.exact).max(), np.nan))
    return np.array(errors)


OBSERVED = {
    "ddt": observed_errors,
    "ddx": errors_between_ends,
    "d2dx2": errors_on_a_line,
    "heat": errors_in_time,
    "heat2d": errors_in_plane_and_time,
    "laplace2d": errors_in_a_plane,
}


def _check_order(report: Report, rule: Rule, kind: str, order: float | None) -> None:
    found: list[Array] = []

    def measured() -> float:
        found.append(OBSERVED[kind](rule))
        return slope(SIZES, found[0][:, 0])

    if order is None:
        report.note("order", measured, "{:.2f}")
    else:
        report.judge("order", f"{order} +- 0.1", measured, lambda p: abs(p - order) <= 0.1)
    if found and np.isfinite(found[0][:, 1]).all():
        report.note("order of y_corrected", lambda: slope(SIZES, found[0][:, 1]), "{:.2f}")


def _off_the_loop(rule: Rule) -> float:
    """Return the largest difference from closed forms of recurrences."""
    cases = [problems.harmonic(np.asarray, 50), problems.two_lags(np.asarray, 40)]
    off = []
    for case in cases:
        y = Newton().run(system_of(case.problem, rule)).y
        off.append(_relative(y, case.exact))
    return _largest(off)


def _relative(found: Array, expected: Array) -> float:
    return float(np.max(np.abs(found - expected)) / np.max(np.abs(expected)))
