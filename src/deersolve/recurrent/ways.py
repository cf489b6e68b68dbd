"""The ways to run a scan: f in the loop that one would write, a step with masks in a loop, all steps at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..backends.namespace import Array, array_namespace
from ..errors import ConvergenceError, FunctionError, mismatch
from ..newton.cost import prefers_loop
from ..newton.methods import Auto, Sequential
from ..problems.recurrence import Recurrence
from ..solver import solve
from .inputs import Inputs
from .over_steps import OverSteps, Packing
from .step import Step

Leaves = list[Array]


def run(  # noqa: PLR0913 - what is asked for
    step: Step, given: Inputs, params: Any, T: int, method: Any, reverse: bool, unroll: int
) -> tuple[Any, Any]:
    """Return the last carry and all y, by the loop or by Newton's method, time turned round where it goes back."""
    last, ys, outputs = _run(step, given, params, T, method, unroll)
    ys = [array_namespace(a).flip(a, axis=0) for a in ys] if reverse else ys
    return step.carry.unflatten(last), outputs.unflatten(ys)


def _run(step: Step, given: Inputs, params: Any, T: int, method: Any, unroll: int) -> tuple[Leaves, Leaves, Any]:
    """Return the leaves of the last carry, those of all y, and the form of y."""
    is_auto, is_smooth = isinstance(method, Auto), all(map(_is_floating, step.start))
    loops = isinstance(method, Sequential) or T == 0
    if not (is_smooth or is_auto or loops):
        raise mismatch("init", "floating-point numbers beside Newton's method", "a leaf of integers")
    if not (loops or (is_auto and not (is_smooth and _pays(step, T)))):
        try:
            return _shown(step, *_at_once(step, given, params, T, method))
        except (ConvergenceError, FunctionError):
            if not is_auto:
                raise
    if given.flags or T == 0:
        return _shown(step, *_masked(step, given, params, T, unroll))
    return _plain(step, step.moved_behind_time(given.xs), params, T, unroll)


def _shown(step: Step, last: Leaves, ys: Leaves) -> tuple[Leaves, Leaves, Any]:
    return step.moved(last), step.moved_behind_time(ys), step.outputs[0]


def _plain(step: Step, xs: Leaves, params: Any, T: int, unroll: int) -> tuple[Leaves, Leaves, Any]:
    """Return what the loop gives that one would write, of f as it is."""
    carry, inputs = step.carry.unflatten(step.start), step.inputs.unflatten(xs)
    last, ys = step.backend.steps(step.by(params), carry, inputs, T, unroll, step.checked)
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
    return step.backend.steps(body, start, parts, T, unroll, lambda made, _: made)


def _at_once(step: Step, given: Inputs, params: Any, T: int, method: Any) -> tuple[Leaves, Leaves]:
    """Return what Newton's method gives."""
    start, n_batch, xp = step.moved(step.start, back=True), step.n_batch, array_namespace(step.start[0])
    shapes = tuple(tuple(a.shape[n_batch:]) for a in start)
    packing = Packing(shapes, tuple(a.dtype for a in start), xp.result_type(*start))
    y0, sizes = packing.rows(start), tuple(tuple(a.shape[n_batch + 1 :]) for a in given.xs)
    x = {str(k): xp.moveaxis(a, 0, n_batch) for k, a in enumerate(given.xs)}
    x = {name: xp.reshape(a, (*a.shape[: n_batch + 1], -1)) for name, a in x.items()}
    x |= {name: xp.moveaxis(a, 0, n_batch)[..., None] for name, a in given.flags.items()}
    x |= {"start": y0[..., None, :]} if given.begins is not None else {}
    f = OverSteps(step, packing, sizes)
    y = solve(Recurrence(f, y0, x, params, n_points=T), method=method).y
    before = xp.concat([y0[..., None, :], y[..., :-1, :]], axis=-2)
    outputs = f.tuned(step.backend, (before,), x, params).made(before, x, params)[1]
    return packing.leaves(y[..., -1, :]), [xp.moveaxis(a, n_batch, 0) for a in outputs]


def _is_floating(a: Array) -> bool:
    try:
        return bool(array_namespace(a).isdtype(a.dtype, ("real floating", "complex floating")))
    except TypeError:  # of keys of a random number generator
        return False


def _pays(step: Step, T: int) -> bool:
    """Return whether Newton's method on all steps at once is faster than the loop."""
    batch = 1 if step.batch_axis is None else int(step.start[0].shape[step.batch_axis])
    n = sum(math.prod(a.shape) for a in step.start) // batch
    return not prefers_loop(step.backend, step.start[0], T, n, batch)
