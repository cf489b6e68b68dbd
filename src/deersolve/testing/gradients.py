"""Derivatives of a solution against differences of solutions."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from ..analysis.fields import fields_of, names_of, offered
from ..analysis.sensitivity import adjoint, sensitivity
from ..backends.namespace import Array
from ..backends.trees import tree_leaves, tree_map
from ..errors import DeerError, InputError
from ..problems import Problem
from .answers import alone
from .changes import changed
from .report import Report
from .trial import CAP, SLACK, Trial

CLOSE = 1e-5  # the error of a difference of fourth order
ROUNDOFF = 8  # in units of eps, of each of two solutions
STEPS = (1.0, 0.1)  # of a difference: over the longer one f may have a kink


def check_gradient(
    problem: Problem, y_guess: Any = None, *, inverse: Any = None, make: Any = None, at: Any = None
) -> Report:
    """Check ``sensitivity``, ``adjoint`` and the library's own ``grad`` against differences of solves.

    Parameters
    ----------
    problem, y_guess, inverse
        As for :func:`deersolve.solve`.
    make, at : callable and tree of arrays, optional
        ``make(at)`` is the problem. Where an operator, a shifter or a grid of your own holds a number that you
        differentiate by, this finds out whether the gradient knows of it; on JAX and PyTorch.

    Returns
    -------
    Report
        For every field of the problem "sensitivity[field]" and "adjoint[field]", along a random direction; on JAX and
        PyTorch "grad", of all fields together, and "grad[at]". Each relative to the largest number, at most 1e-5 and
        what roundoff leaves of a difference.

    Raises
    ------
    CheckFailure
        If a derivative is wrong.

    Examples
    --------
    >>> import numpy as np
    >>> import deersolve as ds
    >>> from deersolve.testing import check_gradient
    >>> t = np.linspace(0.0, 1.0, 11)
    >>> decay = ds.InitialValueProblem(lambda y, t, k: -k * y * y, t, np.array([1.0]), params=np.array(2.0))
    >>> check_gradient(decay)["adjoint[params]"].holds
    True
    """
    trial = Trial(problem, y_guess, inverse)
    return alone("derivatives", partial(gradient, make=make, at=at), trial)


def gradient(report: Report, trial: Trial, make: Any = None, at: Any = None) -> None:
    """Check every derivative that is offered."""
    by = GRADS.get(trial.system.backend.name)
    if make is not None and by is None:
        report.skip("grad[at]", f"{trial.system.backend.name} has no gradient of its own")
    elif make is not None:
        _check_grad(report, trial, "grad[at]", make, at)
    if not (trial.rule.has_residual and trial.rule.exact):
        report.skip("sensitivity", "the rule's solution depends on G, or it has no residual")
        return
    if trial.allowed >= CAP:
        report.skip("sensitivity", "roundoff is amplified so much that no difference tells")
        return
    names = [name for name in names_of(trial.problem) if offered(trial.problem, trial.system, name)]
    if not names:
        report.skip("sensitivity", "the problem holds no numbers to differentiate by")
    for name in names:
        _check_field(report, trial, name)
    if by is not None and make is None and names:
        fields = fields_of(trial.problem, trial.system, tuple(names))
        _check_grad(report, trial, "grad", lambda fields: changed(trial.problem, **fields), fields)


def _check_field(report: Report, trial: Trial, name: str) -> None:
    problem, sol = trial.problem, trial.sol
    value = fields_of(problem, trial.system, (name,))[name]
    direction = tree_map(lambda leaf: trial.array(_direction(trial, name, leaf)), value)
    ends, bound = trial.random(like=sol.y.shape), _bound(trial)
    beside = _differences(trial, lambda step: changed(problem, **{name: _moved(trial, value, direction, step)}))
    try:
        known = [next(beside)]
    except Unsolved as why:
        report.skip(f"sensitivity[{name}]", why)
        return

    def ahead() -> float:
        dy = trial.numpy(sensitivity(problem_of(trial), sol, {name: direction}))
        return _closest(known, beside, lambda d: _off(trial, dy, d, bound), bound)

    report.below(f"sensitivity[{name}]", ahead, bound)
    try:
        bar = adjoint(problem_of(trial), sol, trial.array(ends), wrt=name)[name]
    except InputError as refusal:
        report.skip(f"adjoint[{name}]", f"refused: {refusal}")
        return
    found = _product(trial, bar, direction)
    report.below(
        f"adjoint[{name}]",
        lambda: _closest(known, beside, lambda d: _off_product(trial, found, ends, d, bound), bound),
        bound,
    )


def problem_of(trial: Trial) -> Problem:
    """Return the problem with the rule that solved it."""
    return trial.problem if trial.inverse is None else changed(trial.problem, inverse=trial.inverse)


def _direction(trial: Trial, name: str, leaf: Any) -> Array:
    """Return a random direction of the size of what is moved; times move by a part of an interval."""
    value: Any = trial.numpy(leaf)
    made: Array = trial.rng.normal(size=value.shape)
    if name == "t":
        made *= 0.2 * np.abs(np.diff(value, axis=-1)).min()
    else:
        made *= np.abs(value) + 0.1 * (np.abs(value).max() if value.size else 0.0) + 1e-3
    return made


def _moved(trial: Trial, value: Any, direction: Any, step: float) -> Any:
    return tree_map(lambda a, d: trial.array(trial.numpy(a) + step * trial.numpy(d)), value, direction)


def _bound(trial: Trial) -> float:
    return float(min(0.1, CLOSE + 30 * trial.allowed / SLACK / (STEPS[-1] * trial.eps**0.2)))


class Unsolved(Exception):
    """A problem beside this one has no solution, and why."""


def _differences(trial: Trial, at: Callable[[float], Problem]) -> Iterator[Array]:
    """Yield the change of y along a direction, of fourth order, by steps of one size after the other."""
    for size in STEPS:
        h, ys = size * trial.eps**0.2, []
        for k in (-2, -1, 1, 2):
            try:
                sol = trial.solve(problem=at(k * h), y_guess=trial.sol.y)
            except DeerError as error:
                raise Unsolved(f"a problem beside this one: {error}") from error
            if not trial.numpy(sol.converged).all():
                raise Unsolved("a problem beside this one has no solution")
            ys.append(trial.numpy(sol.y).astype(np.float64))
        yield (ys[0] - 8 * ys[1] + 8 * ys[2] - ys[3]) / (12 * h)


def _closest(known: list[Array], beside: Iterator[Array], off: Callable[[Array], float], bound: float) -> float:
    """Return how far a derivative is off the first difference that it is near to, or else off the nearest."""
    best = min(map(off, known), default=np.inf)
    while not best <= bound:
        d = next(beside, None)
        if d is None:
            break
        known.append(d)
        best = min(best, off(d))
    return float(best)


def _floor(trial: Trial, bound: float) -> float:
    """Return the size of a derivative of which a difference knows no more than the bound: y has its roundoff."""
    more = 0.0 if np.isnan(trial.amplified) else trial.amplified
    return float(ROUNDOFF * trial.eps * (1.0 + more) * trial.scale / (STEPS[-1] * trial.eps**0.2) / bound)


def _off(trial: Trial, found: Array, d: Array, bound: float) -> float:
    """Return how far a derivative is from a difference, relative to its largest number."""
    size = max(float(np.abs(d).max()), _floor(trial, bound))
    return float(np.abs(found - d).max()) / size if size else 0.0


def _off_product(trial: Trial, found: float, ends: Array, d: Array, bound: float) -> float:
    """Return how far a number is from ``sum(ends * d)``, relative to the terms of that."""
    size = float(np.sum(np.abs(ends) * np.maximum(np.abs(d), _floor(trial, bound))))
    off = abs(found - float(np.sum(ends * d)))
    return off / size if size else off


def _product(trial: Trial, bars: Any, direction: Any) -> float:
    parts: list[float] = []
    tree_map(lambda d, bar: parts.append(float(np.sum(trial.numpy(d) * trial.numpy(bar)))), direction, bars)
    return sum(parts)


# ------------------------------------------------------------------------------- by the library


def _check_grad(report: Report, trial: Trial, name: str, make: Callable[[Any], Problem], at: Any) -> None:
    """Compare the gradient of ``sum(c * y)`` by the library with differences."""
    ends, bound = trial.random(like=trial.sol.y.shape), _bound(trial)
    direction = tree_map(lambda leaf: trial.array(_direction(trial, "", leaf)), at)

    def loss(theta: Any) -> Any:
        sol = trial.solve(problem=make(theta), y_guess=trial.y_guess)
        return (trial.array(ends) * sol.y).sum()

    try:
        found = _product(trial, GRADS[trial.system.backend.name](loss, at), direction)
        beside = _differences(trial, lambda step: make(_moved(trial, at, direction, step)))
        value = _closest([], beside, lambda d: _off_product(trial, found, ends, d, bound), bound)
    except (InputError, Unsolved) as refusal:
        report.skip(name, refusal)
    except Exception as error:
        report.judge(name, "a gradient, or an InputError", partial(_raise, error), bool)
    else:
        report.below(name, lambda: value, bound)


def _raise(error: Exception) -> float:
    raise error


def _by_jax(loss: Callable[[Any], Any], at: Any) -> Any:
    return importlib.import_module("jax").grad(loss)(at)


def _by_torch(loss: Callable[[Any], Any], at: Any) -> Any:
    torch = importlib.import_module("torch")
    leaves = tree_map(lambda a: a.detach().clone().requires_grad_(True), at)
    flat = tree_leaves(leaves)
    found = torch.autograd.grad(loss(leaves), flat, allow_unused=True)
    bars = iter([torch.zeros_like(a) if g is None else g for a, g in zip(flat, found, strict=True)])
    return tree_map(lambda _: next(bars), at)


GRADS: dict[str, Callable[[Callable[[Any], Any], Any], Any]] = {"jax": _by_jax, "torch": _by_torch}
"""The gradients of the libraries that have their own."""
