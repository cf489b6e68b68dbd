"""The sequential loop in higher precision: one step or interval after the other, by residual and f alone, in NumPy."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from ..backends.namespace import Array
from ..backends.trees import tree_map
from ..newton.discrete import discrete
from ..newton.equation import System
from .trial import Trial

LONGEST = 2000  # steps
WIDEST = 120  # numbers in one interval, of which a full matrix is made
KINDS = (np.longdouble, np.float64)


class NoLoop(Exception):
    """There is no loop to compare with, and why."""


def loop_of(trial: Trial) -> tuple[Array, type]:
    """Return y as the loop finds it in the widest precision that f takes, and that precision.

    Of a recurrence ``y_i = f(y_{i-k_1}, ...)``, of a rule for differential equations the root of its residual on each
    interval, by Newton's method with differences from the y before. No scan and no solve of the rule is called.

    Raises
    ------
    NoLoop
        If nothing marches over the problem, f is of another library, or there is no root that can be reached so.
    """
    grid, rule = trial.system.grid, trial.rule
    if not (grid.overlap or rule.is_loop):
        raise NoLoop("nothing marches over it" if not grid.marches else "a row of the rule is not y_i = f")
    if not (rule.has_residual and rule.exact):
        raise NoLoop("the rule's solution depends on G, or it has no residual")
    if trial.reach[0] > (1 if grid.overlap else LONGEST) or trial.reach[1] > 0:
        raise NoLoop("its rows reach {} points back and {} ahead".format(*trial.reach))
    if trial.system.backend.name != "numpy":
        raise NoLoop(f"the loop computes in NumPy, f is of {trial.system.backend.name}")
    if grid.length > LONGEST:
        raise NoLoop(f"more than {LONGEST:,} steps")
    reasons = []
    for kind in KINDS:
        system = _cast(trial, kind)
        try:
            y = _by_intervals(system, kind) if grid.overlap else _by_steps(system)
        except (TypeError, ValueError, ArithmeticError) as error:
            reasons.append(f"{kind.__name__}: {error}")
            continue
        if y.dtype == kind:
            return y, kind
        reasons.append(f"f returns {y.dtype} of {kind.__name__}")
    raise NoLoop("; ".join(reasons))


def _cast(trial: Trial, kind: type) -> System:
    """Return the discrete equation with its numbers in another precision."""

    def wide(leaf: Any) -> Any:
        is_float = isinstance(leaf, np.ndarray | np.floating) and leaf.dtype.kind == "f"
        return np.asarray(leaf, dtype=kind) if is_float else leaf

    problem = copy.copy(trial.problem)
    problem.params = tree_map(wide, problem.params)
    return discrete(problem, trial.rule, trial.system.backend, tree_map(wide, trial.system.data))[1]


def _by_steps(system: System) -> Array:
    """Return ``y_i = f(S_1[y]_i, ..., S_P[y]_i, x_i)``, i = 0, 1, ...; what shifters see of later points is 0."""
    y, axis = np.zeros_like(system.data.guess), system.grid.axis
    for i in range(system.grid.length):
        ys = tuple(np.take(y_p, [i], axis=axis) for y_p in system.shifted(y))
        made = np.asarray(system.functions["f"](*ys, system.inputs(i, 1)))
        if made.dtype != y.dtype:
            return made
        y[..., i : i + 1, :] = made
    return y


def _by_intervals(system: System, kind: type) -> Array:
    """Return the root of the residual on each interval after the other."""
    parts, boundary, axis = [], system.start(), system.grid.axis
    for i in range(system.grid.length):
        window = system.window(i, 1, boundary)
        y = _root(window, kind)
        parts.append(y if i == 0 else np.take(y, [1], axis=axis))
        boundary = boundary.after(np.take(y, [1], axis=axis), axis)
    return np.concatenate(parts, axis=axis)


def _root(system: System, kind: type) -> Array:
    """Return the root of a residual from the value before, by Newton's method with differences in that precision."""
    axis, y0 = system.grid.axis, system.data.boundary.y0
    first = np.broadcast_to(y0, (*system.data.guess.shape[:axis], *y0.shape[axis:]))
    y = np.concatenate([first, first], axis=axis)
    shape, lead = y.shape, y.shape[: system.n_batch]
    flat, eps = y.reshape(*lead, -1), float(np.finfo(kind).eps)
    if flat.shape[-1] > WIDEST:
        raise NoLoop(f"an interval has more than {WIDEST} numbers")

    def residual(v: Array) -> Array:
        return system.residual(v.reshape(shape)).reshape(v.shape)

    for _ in range(30):
        r = residual(flat)
        h = kind(eps**0.5) * (1 + np.max(np.abs(flat)))
        units: Any = np.eye(flat.shape[-1], dtype=kind)
        matrix = np.stack([(residual(flat + h * e) - r) / h for e in units], axis=-1).astype(np.float64)
        delta: Any = np.linalg.solve(matrix, -r.astype(np.float64)[..., None])[..., 0].astype(kind)
        flat = flat + delta
        if np.max(np.abs(delta)) <= 4 * eps * (np.max(np.abs(flat)) + np.finfo(np.float64).tiny):
            return flat.reshape(shape)
        if not np.isfinite(flat).all():
            break
    raise NoLoop("an interval has no root that Newton's method reaches from the value before")
