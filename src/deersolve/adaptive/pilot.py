"""The steps of a large batch, chosen by a few of its elements: a march that is thrown away costs as much again."""

from __future__ import annotations

import dataclasses
import math

from ..backends.namespace import array_namespace
from ..newton.measures import eps_of
from .march import ARRIVED
from .method import Adaptive
from .parts import has_parts, part_of
from .solver import Solver

FEW = 32  # elements that go ahead
MANY = 2**13  # numbers of y0 for which it pays: a march of few takes as many operations
ROUNDS = 3  # of smaller steps
WORST = 0.5  # times the tolerance: an error at which smaller steps aim


def piloted(solver: Solver, to: Adaptive) -> Solver:
    """Return the solver with steps whose errors together are as allowed, of every k-th element at least."""
    size, share, before = solver.data.guess.shape[0], 1.0, math.inf
    if (
        math.prod(solver.data.boundary.y0.shape) < MANY
        or to.estimate is not None
        or to.way != "march"
        or not has_parts(solver)
    ):
        return solver
    some, asked = part_of(solver, [*range(0, size, -(-size // FEW))]), dataclasses.replace(to, estimate=True)
    for _ in range(ROUNDS):
        ahead = dataclasses.replace(some, share=share)
        found = ahead.found(asked)
        if bool(array_namespace(found.y).any(found.code != ARRIVED)):
            break
        error = ahead.on(found, asked).size(asked)
        if error is None:
            return dataclasses.replace(solver, share=share)
        share, is_helped = share * max(WORST / error, 1e-4), error < 0.5 * before
        if not is_helped or to.least * share < 100 * eps_of(found.y):
            break
        before = error
    return solver
