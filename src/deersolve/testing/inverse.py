"""check_inverse: what a rule claims, tested on small systems."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ..backends.namespace import Array
from ..inverses import PaperForm, Rule, assembled, rule_of
from ..linalg.structure import OURS, Dense
from ..newton.discretisation_error import discretisation
from ..newton.equation import System
from ..newton.methods import Newton
from ..problems import Problem
from .cases import Case, in_time
from .convergence import QUADRATIC, exponents
from .operator import check_operator
from .report import Report
from .systems import SIZES, DiagonalOfDense, Family, family_of, iterate, random_Gs, system_of, systems_of
from .trial import Trial, quietly

EPS = float(np.finfo(np.float64).eps)


def check_inverse(
    rule: Any = None,
    *,
    problem: Problem | None = None,
    y_guess: Any = None,
    family: str | None = None,
    order: float | None = None,
    seed: int = 0,
) -> Report:
    """Check everything that a rule claims, on a problem of yours, or on small random systems in NumPy and float64.

    Parameters
    ----------
    rule : str, Rule or callable
        A key of the registry ("ddt.mine"), a rule, or the paper's callable ``(Gs, rhs) -> y``; by default that of the
        problem.
    problem : Problem, optional
        With grid, shifters and boundary data of your own, of any number of axes; small, at most 700 numbers in y.
    y_guess : array, optional
        As for :func:`deersolve.solve`: the shape of y, where the problem does not say it.
    family : {"d2dx2", "ddt", "ddx", "heat", "heat2d", "laplace", "laplace2d", "shift"}, optional
        The kind of equation; by default the first part of the rule's key.
    order : float, optional
        The order of accuracy to expect; by default the rule's ``order``, and any if that is None.
    seed : int
        Of the random systems.

    Returns
    -------
    Report
        On a problem of yours all linear maps are assembled as matrices from what ``residual`` and the shifters return:

        - "shapes", "arguments": what is returned has shape and dtype of y; arguments are not written to, and a second
          call returns the same;
        - "shift: linear", "residual: affine"; "residual: NaN", "solve: NaN": what is not a number is not hidden;
        - "residual: unit": the largest entry of a row of L within a factor of 100 of 1, since tolerances are of y;
        - "magnitude": within a factor of 100 of ``|L| y + |M| f`` in every row, and of each term alone;
        - "solve[structure]", "solver", "transpose": against the matrix ``L + M sum_p G_p S_p`` with random G, in units
          of eps cond, at most 1e3; "solve: linear", "solve: homogeneous": no boundary data enter;
          "solve: other G": nothing is kept of another G in the same array;
        - "inverse": of the paper's callable, that the same y comes of another G and ``rhs + (H - G) S y``;
        - "batch", "batch: transpose": a batch gives what its elements give one by one;
        - "boundary data": each array of it, and each value of a history, has an effect.

        Without a problem:

        - "solve[structure]": ``solve`` against ``numpy.linalg.solve`` of the matrix assembled from
          ``residual``, for each declared structure; relative to the largest entry
          and in units of eps cond, at most 1e3;
        - "batch": a batch gives what its elements give one by one;
        - "transpose": ``<u, solve(v)> = <transpose(u), v>``;
        - "independent of G": y at rest for a dense G and for its diagonal, their relative
          difference; at most 1e-12 for ``exact=True``;
        - "exponent": the larger of Newton's last two, at least 1.6 (2 is quadratic) for ``exact=True``;
        - "order", "order of y_corrected": observed on a non-autonomous non-linear equation on a
          non-uniform grid, N = 20 ... 640, within 0.1 of the order (above 2: on fewer intervals, within 0.3); for a
          recurrence instead
          "loop", the difference from the sequential loop.

        Of a rule that takes structures of one's own alone, only what comes before "independent of G": the equations
        have full matrices, of which ``simplify`` keeps a part.

    Raises
    ------
    CheckFailure
        If a claim is false; the message says what was expected and received, ``.report`` holds all.

    Examples
    --------
    >>> from deersolve.testing import check_inverse
    >>> check_inverse("ddt.trapezoid")["independent of G"].holds
    True

    On a problem, with the paper's callable for ``y = f``:

    >>> import numpy as np
    >>> import deersolve as ds
    >>> def inverse(Gs, rhs):
    ...     return rhs / (1 + Gs[0].diagonal())
    >>> problem = ds.Problem(lambda y, x, params: np.cos(y), shift=ds.identity, inverse=inverse)
    >>> check_inverse(problem=problem, y_guess=np.zeros((3, 1)))["inverse"].holds
    True
    """
    if problem is not None:
        trial = Trial(problem, y_guess, rule, seed=seed)
        report = Report(f"the rule {trial.rule.key!r} on {problem!r}")
        with quietly():
            check_operator(report, trial)
        return report.finish()
    made, rng = rule_of(rule), np.random.default_rng(seed)
    kind, report = family_of(made, family), Report(f"the rule {made.key!r}")
    with np.errstate(all="ignore"):
        systems = systems_of(kind, made, rng)
        if not isinstance(made, PaperForm):
            _check_linear(report, made, systems, rng)
        if not any(kind in OURS for kind in made.structures):
            return report.finish()
        _check_newton(report, made, systems)
        if kind.refined is None:
            report.below("loop", lambda: _off_the_loop(made), 1e-12)
        else:
            _check_order(report, made, kind, made.order if order is None else order)
    return report.finish()


def _check_linear(report: Report, rule: Rule, systems: list[System], rng: np.random.Generator) -> None:
    def worst(off: Callable[..., float], *kinds: type) -> float:
        return _largest([off(system, kind, rng) for system in systems for kind in kinds])

    for kind in rule.structures:
        name = f"solve[{getattr(kind, 'name', kind.__name__)}]"
        report.below(name, partial(worst, _off_matrix, kind), 1e3)
    report.below("batch", partial(worst, _off_alone, rule.structures[0]), 1e-12)
    if rule.offers("transpose"):
        report.below("transpose", partial(worst, _off_adjoint, *rule.structures), 1e-12)


def _largest(values: list[float]) -> float:
    """Return the largest number, NaN if one is NaN."""
    return float(np.max(np.array(values)))


def _where(system: System) -> dict[str, Any]:
    return {"grid": system.data.grid, "boundary": system.data.boundary}


def _off_matrix(system: System, kind: type, rng: np.random.Generator) -> float:
    """Return the difference from the assembled matrix in units of eps cond."""
    Gs, r, where = random_Gs(system, kind, rng), rng.normal(size=system.data.guess.shape), _where(system)
    matrix = assembled(system.rule, Gs, r, shift=system.shift, **where)
    expected = np.linalg.solve(matrix, r.reshape(-1)).reshape(r.shape)
    return _relative(system.rule.solve(Gs, r, **where), expected) / (EPS * float(np.linalg.cond(matrix)))


def _off_alone(system: System, kind: type, rng: np.random.Generator) -> float:
    """Return the difference of a batch from its elements one by one."""
    Gs, r, where = random_Gs(system, kind, rng, (3,)), rng.normal(size=(3, *system.data.guess.shape)), _where(system)
    alone = [system.rule.solve(tuple(G.map(lambda v, i=i: v[i]) for G in Gs), r[i], **where) for i in range(3)]
    return _relative(system.rule.solve(Gs, r, **where), np.stack(alone))


def _off_adjoint(system: System, kind: type, rng: np.random.Generator) -> float:
    """Return ``<u, solve(v)> - <transpose(u), v>`` relative to the sum of absolute terms."""
    Gs, where = random_Gs(system, kind, rng), _where(system)
    u, v = rng.normal(size=(2, *system.data.guess.shape))
    forward = u * system.rule.solve(Gs, v, **where)
    reverse = system.rule.transpose(Gs, u, **where) * v
    scale = np.abs(forward).sum() + np.abs(reverse).sum()
    return float(abs(forward.sum() - reverse.sum()) / scale)


def _check_newton(report: Report, rule: Rule, systems: list[System]) -> None:
    def difference() -> float:
        pairs = [(iterate(s, Dense)[0], iterate(s, DiagonalOfDense())[0]) for s in systems]
        return _largest([_relative(b, a) for a, b in pairs])

    def exponent() -> float:
        found = [exponents(iterate(s, Dense)[1], EPS)[-2:] for s in systems]
        return min((max(p) for p in found if p), default=math.nan)  # a poor step comes before or after a lucky one

    if rule.exact:
        report.below("independent of G", difference, 1e-12)
        text = f"at least {QUADRATIC} (quadratic)"
        report.judge("exponent", text, exponent, lambda p: p >= QUADRATIC)
    else:
        report.note("independent of G", difference)
        report.note("exponent", exponent, "{:.2f}")


def observed_errors(rule: Rule, refined: Callable[[int], Case], sizes: tuple[int, ...] = SIZES) -> Array:
    """Return the largest errors of y and of y_corrected (NaN without one) for some numbers of intervals.

    Returns
    -------
    numpy.ndarray, shape (len(sizes), 2)
    """
    errors = []
    for N in sizes:
        case = refined(N)
        system = system_of(case.problem, rule, case.guess)
        it = Newton().run(system)
        if not bool(np.all(it.certified)):
            raise ArithmeticError(f"Newton did not converge at N = {N}")
        shown = system.grid.present
        estimate = discretisation(system, it.y)
        corrected = np.nan if estimate is None else np.abs(shown(estimate.y_corrected) - case.exact).max()
        errors.append((np.abs(shown(it.y) - case.exact).max(), corrected))
    return np.array(errors)


def _check_order(report: Report, rule: Rule, family: Family, order: float | None) -> None:
    found: list[Array] = []
    refined, sizes, off = family.refinement(order)
    assert refined is not None

    def measured() -> float:
        found.append(observed_errors(rule, refined, sizes))
        return _slope(sizes, found[0][:, 0])

    if order is None:
        report.note("order", measured, "{:.2f}")
    else:
        report.judge("order", f"{order} +- {off}", measured, lambda p: abs(p - order) <= off)
    if found and np.isfinite(found[0][:, 1]).all():
        report.note("order of y_corrected", lambda: _slope(sizes, found[0][:, 1]), "{:.2f}")


def _slope(sizes: tuple[int, ...], errors: Array) -> float:
    """Return the observed order, the slope of log error over -log N."""
    return -float(np.polyfit(np.log(sizes), np.log(errors), 1)[0])


def _off_the_loop(rule: Rule) -> float:
    """Return the largest difference from closed forms of recurrences."""
    cases = [in_time.harmonic(np.asarray, 50), in_time.two_lags(np.asarray, 40)]
    return _largest([_relative(Newton().run(system_of(case.problem, rule)).y, case.exact) for case in cases])


def _relative(found: Array, expected: Array) -> float:
    return float(np.max(np.abs(found - expected)) / np.max(np.abs(expected)))
