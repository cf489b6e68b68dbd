"""What CONVERGED promises, recomputed beside the solver."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from ..backends.namespace import Array
from ..newton.measures import eps_of, judge, terms
from ..problems import Problem
from .answers import alone
from .report import Report
from .trial import Trial, data_of

PLACES = 24  # at which y is perturbed, each alone
LOOSE = 100  # times what the solver claims


def check_certificate(problem: Problem, y_guess: Any = None, *, inverse: Any = None) -> Report:
    """Check that CONVERGED means what it promises, and is not said of another y.

    Parameters
    ----------
    problem, y_guess, inverse
        As for :func:`deersolve.solve`.

    Returns
    -------
    Report
        - "backward error": ``|M f - L y|`` relative to ``|L||y| + |M|(|f| + sum_p |G_p||y_p|)``, of the matrices that
          residual and shifters are, not of the rule's ``magnitude``; at most 64 eps, or 100 times what ``sol.stats``
          claims where that is more;
        - "promise": the smaller of that in units of 64 eps and of the correction ``(L + M sum_p G_p S_p)^{-1} r``,
          solved with the assembled matrix, in units of eps^(2/3) of the largest |y|; at most 1;
        - "perturbed y": how many y that are off by sqrt(eps) of their terms, in all numbers or in one, would be
          certified; 0.

    Raises
    ------
    CheckFailure
        If a promise is not kept.
    """
    return alone("the certificate", certificate, Trial(problem, y_guess, inverse))


def certificate(report: Report, trial: Trial) -> None:
    """Recompute the certificate."""
    if not (trial.rule.has_residual and trial.rule.exact):
        report.skip("backward error", "the rule has no residual that G does not enter")
    elif not trial.is_small:
        report.skip("backward error", f"{trial.size:,} numbers, of which no matrix is made")
    else:
        claimed = float(np.max(trial.numpy(trial.sol.stats.residual)))
        bound = max(64 * trial.eps, 0.0 if math.isnan(claimed) else LOOSE * claimed)
        if math.isnan(claimed):
            report.note("backward error", partial(_backward, trial))
        else:
            report.below("backward error", partial(_backward, trial), bound)
        report.below("promise", partial(_promise, trial), 1.0)
    report.below("perturbed y", partial(_certified, trial), 0)


def _rows(trial: Trial) -> Array:
    """Return the residual of the returned y as a vector."""
    y = trial.at.data.guess
    at = trial.at.linearise(y)
    return trial.residual(trial.y, trial.numpy(at.fy), at.Gs).reshape(-1)


def _backward(trial: Trial) -> float:
    r, size = np.abs(_rows(trial)), trial.terms
    floor = trial.eps**2 * float(size.max()) + np.finfo(np.float64).tiny
    return float(np.max(r / (size + floor)))


def _promise(trial: Trial) -> float:
    forward = float(np.max(np.abs(np.linalg.solve(trial.matrix, _rows(trial))))) / trial.scale
    return float(min(_backward(trial) / (64 * trial.eps), forward / trial.eps ** (2 / 3)))


def _certified(trial: Trial) -> float:
    """Return how many of some wrong y the residual or the correction of the solver would certify."""
    lead = trial.y.shape[: trial.system.n_batch]
    flat = trial.y.reshape(math.prod(lead), -1)
    width = flat.shape[1]
    knows = trial.is_small and trial.rule.has_residual and trial.rule.exact
    beside = trial.terms.reshape(flat.shape) if knows else trial.scale * trial.eps
    size = np.abs(flat).max(axis=1, keepdims=True) + beside
    step = trial.eps**0.5 * np.where(size == 0, 1.0, size)
    signs = np.sign(trial.rng.normal(size=(1, width)))
    places = np.unique(np.linspace(0, width - 1, PLACES).astype(int))
    moves = [signs * step, *(step * (np.arange(width) == k) for k in places)]
    return float(sum(bool(_judged(trial, (flat + move).reshape(trial.y.shape))) for move in moves))


def _judged(trial: Trial, y: Array) -> bool:
    system = data_of(trial.system, guess=trial.array(y))
    guess = system.data.guess
    at = system.linearise(guess)
    r, delta = system.correction(at.Gs, guess, at.ys, at.fy)
    found = judge(system, guess, terms(system, guess, at), r, delta)
    return bool(trial.numpy(found.at_roundoff | (found.error <= eps_of(guess) ** (2 / 3))).any())
