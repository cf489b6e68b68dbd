"""The ways to run a scan: f in the loop that one would write, a step with masks in a loop, all steps at once."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from ..backends.namespace import Array, array_namespace, dtype_name, moved
from ..errors import ConvergenceError, FunctionError, mismatch
from ..inverses import rule_of
from ..newton.cost import PACKED, prefers_loop
from ..newton.discrete import discrete
from ..newton.methods import Auto, Sequential
from ..newton.pattern import layout_of
from ..problems.inputs import prepare
from ..problems.recurrence import Recurrence
from ..solution.solution import Solution
from ..solver import solve
from .inputs import Inputs
from .over_steps import OverSteps, Packing
from .step import Step

Leaves = list[Array]


class Scanned(NamedTuple):
    """The last carry, all y, and of Newton's method the :class:`Solution`, whose y are the carries, (*B, T, n)."""

    carry: Any
    ys: Any
    solution: Solution | None


def run(  # noqa: PLR0913 - what is asked for
    step: Step, given: Inputs, params: Any, T: int, method: Any, reverse: bool, unroll: int, y_guess: Any = None
) -> Scanned:
    """Return the last carry and all y, by the loop or by Newton's method, time turned round where it goes back."""
    y_guess = _turned(y_guess, -2) if reverse and y_guess is not None else y_guess
    last, ys, outputs, sol = _run(step, given, params, T, method, unroll, y_guess)
    if reverse:
        ys = [_turned(a, 0) for a in ys]
        sol = sol and dataclasses.replace(sol, y=_turned(sol.y, -2))
    return Scanned(step.carry.unflatten(last), outputs.unflatten(ys), sol)


def _turned(a: Array, axis: int) -> Array:
    return array_namespace(a).flip(a, axis=axis)


def _run(  # noqa: PLR0913 - what is asked for
    step: Step, given: Inputs, params: Any, T: int, method: Any, unroll: int, y_guess: Any
) -> tuple[Leaves, Leaves, Any, Solution | None]:
    """Return the leaves of the last carry, those of all y, the form of y, and what Newton's method found."""
    is_auto, is_smooth = isinstance(method, Auto), all(map(_is_floating, step.start))
    loops = isinstance(method, Sequential) or T == 0
    if not (is_smooth or is_auto or loops):
        raise mismatch("init", "floating-point numbers beside Newton's method", "a leaf of integers")
    if not (loops or (is_auto and not (is_smooth and _pays(step, T)))):
        try:
            made = _at_once(step, given, params, T, method, y_guess)
            if made is not None:
                return *_shown(step, *made[:2]), made[2]
        except (ConvergenceError, FunctionError):
            if not is_auto:
                raise
    if given.flags or T == 0:
        return *_shown(step, *_masked(step, given, params, T, unroll)), None
    return *_plain(step, step.moved_behind_time(given.xs), params, T, unroll), None


def _shown(step: Step, last: Leaves, ys: Leaves) -> tuple[Leaves, Leaves, Any]:
    return step.moved(last), step.moved_behind_time(ys), step.outputs[0]


def _plain(step: Step, xs: Leaves, params: Any, T: int, unroll: int) -> tuple[Leaves, Leaves, Any]:
    """Return what the loop gives that one would write, of f as it is."""
    f, looks = step.by(params), [True]

    def body(carry: Any, x: Any) -> tuple[Any, Any]:
        made = f(carry, x)
        if not looks:
            return made  # type: ignore[no-any-return]
        checked = step.checked(made, carry)
        if checked is made:  # nothing had to be converted
            looks.clear()
        return checked

    way = f if step.backend.compiles else body  # a compiler knows f by itself, and looks at what it returns
    given = step.carry.unflatten(step.start), step.inputs.unflatten(xs)
    loop = partial(step.backend.steps, way, length=T, unroll=unroll)
    last, ys = loop(*given) if f is step.f else step.backend.evaluated(loop, *given)  # f itself a compiler knows again
    return step.backend.flatten(last)[0], *step.backend.flatten(ys)


def _masked(step: Step, given: Inputs, params: Any, T: int, unroll: int) -> tuple[Leaves, Leaves]:
    """Return what the loop gives of a step with ragged ends and restarts; of no steps, arrays without entries."""
    start, names, count = step.moved(step.start, back=True), [*given.flags], len(given.xs)
    parts, xp = [*given.xs, *given.flags.values()], array_namespace(step.start[0])

    def body(carry: Leaves, parts: Sequence[Array]) -> tuple[Leaves, Leaves]:
        return step(carry, Inputs([*parts[:count]], **dict(zip(names, parts[count:], strict=True))), start, params)

    if T == 0:
        blank = [xp.zeros(a.shape[1:], dtype=a.dtype) for a in parts]
        return start, [a[None, ...][:0, ...] for a in body(start, blank)[1]]
    loop = partial(step.backend.steps, body, length=T, unroll=unroll)
    last, ys = step.backend.evaluated(loop, start, parts)
    return last, ys


def _at_once(
    step: Step, given: Inputs, params: Any, T: int, method: Any, y_guess: Any
) -> tuple[Leaves, Leaves, Solution] | None:
    """Return what Newton's method gives, without the guess where it fails from there.

    It is None where the method was to be chosen, and the Jacobians cost too much.
    """
    start, n_batch, xp = step.moved(step.start, back=True), step.n_batch, array_namespace(step.start[0])
    shapes = tuple(tuple(a.shape[n_batch:]) for a in start)
    packing = Packing(shapes, tuple(a.dtype for a in start), xp.result_type(*start))
    y0, sizes = packing.rows(start), tuple(tuple(a.shape[n_batch + 1 :]) for a in given.xs)
    x = {str(k): moved(a, 0, n_batch) for k, a in enumerate(given.xs)}
    x = {name: xp.reshape(a, (*a.shape[: n_batch + 1], -1)) for name, a in x.items()}
    x |= {name: moved(a, 0, n_batch)[..., None] for name, a in given.flags.items()}
    x |= {"start": y0[..., None, :]} if given.begins is not None else {}
    f = OverSteps(step, packing, sizes)
    problem = Recurrence(f, y0, x, params, n_points=T)
    if isinstance(method, Auto) and not _pays(step, T, partial(_width, problem)):
        return None
    try:
        sol = solve(problem, y_guess, method=method)
    except ConvergenceError:
        if y_guess is None:
            raise
        sol = solve(problem, method=method)
    y = sol.y
    before = xp.concat([y0[..., None, :], y[..., :-1, :]], axis=-2)
    made = f.tuned(step.backend, (before,), x, params).made
    outputs = step.backend.evaluated(lambda y, x: made(y, x, params)[1], before, x)
    return packing.leaves(y[..., -1, :]), [moved(a, n_batch, 0) for a in outputs], sol


def _is_floating(a: Array) -> bool:
    try:
        return bool(array_namespace(a).isdtype(a.dtype, ("real floating", "complex floating")))
    except TypeError:  # of keys of a random number generator
        return False


def _pays(step: Step, T: int, width: Callable[[], int] = lambda: 1) -> bool:
    """Return whether Newton's method on all steps at once is faster than the loop, of Jacobians of that width.

    It must have digits to converge in. The width is asked for where it matters; by default it is 1, which
    is the most that can be hoped for.
    """
    if any("float16" in dtype_name(a) for a in step.start):
        return False
    batch = 1 if step.batch_axis is None else int(step.start[0].shape[step.batch_axis])
    n = sum(math.prod(a.shape) for a in step.start) // batch

    def loses(width: int) -> bool:
        return prefers_loop(step.backend, step.start[0], T, (n, batch), width, PACKED)

    return not (loses(n) and (loses(1) or loses(width())))


def _width(problem: Recurrence) -> int:
    """Return how many numbers a row of a Jacobian has."""
    rule = rule_of(problem.inverse, problem.family)
    backend, data = prepare(problem, None, rule)
    with backend.quiet():
        system = discrete(problem, rule, backend, data)[1]
        return dataclasses.replace(system, layout=layout_of(system)).width
