"""The derivative of a solution, by the implicit function theorem."""

from __future__ import annotations

import dataclasses
import math
import operator
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Protocol

from ..backends.generic import Later
from ..backends.namespace import Array, Tree, array_namespace, padded
from ..backends.trees import tree_map
from ..errors import FunctionError
from ..grids.axis import Sides
from ..grids.base import Data
from ..grids.interval import Values
from ..grids.times import Initial
from ..inverses import Rule
from ..inverses.operator import Known
from ..linalg.structure import Dense, Structure
from .blocks import Blockwise
from .by_steps import BySteps, Pieces, Posed, goes_by_steps, steps_of
from .equation import Linearised, System
from .iteration import newton_step
from .windows.loop import recorded

Unknowns = tuple[Array, Array, Pieces]
"""dy, dp and dz of :mod:`.by_steps`."""
INEXACT_STEPS = 4  # of a rule whose solution depends on G: each gains some digits
SOME = 8  # points of a longer grid that tell whether anything follows f
SAME = 1e3  # in units of eps: how far two evaluations of one f may differ, since libraries may round as they like
CHANGED = (
    "backward: f at the solution is not what it was in solve(): expected the same weights; received some that were "
    "modified by an inplace operation, or given another value. The Jacobians do not fit the memory and are computed in "
    "backward: call it before anything changes, or solve with a method of more memory, as Auto(memory=None)."
)


class Linear(NamedTuple):
    """A linear operator's inverse, as functions of its right-hand side."""

    solve: Callable[[Array], Array]
    transpose: Callable[[Array], Array]


def linearisation(system: System, y: Array) -> Linear:
    """Return ``(L + M sum_p G_p S_p)^{-1}`` at y, with the dense G, and its transpose."""
    if system.block is not None:
        return Linear(Blockwise(system, y).solve, Blockwise(system, y).transpose)
    return inverse_at(system, system.linearise(y))


def inverse_at(system: System, at: Linearised) -> Linear:
    """Return the same, with the Jacobians at hand."""
    return _inverse(system.rule, at.Gs, system.where)


def _inverse(rule: Rule, Gs: tuple[Structure, ...], where: dict[str, Any]) -> Linear:
    return Linear(partial(rule.solved, Gs, **where), partial(rule.transposed, Gs, **where))


def residual(system: System, y: Array) -> Array:
    """Return ``M f(y) - L y``."""
    return system.residual(y) if system.block is None else Blockwise(system, y).residual()


def _on_graph(system: System, y: Array) -> Array:
    """Return the residual as a place in a graph of derivatives: what it amounts to is not asked for."""
    return residual(system, y) if system.block is None else Blockwise(system, y).residual(system.backend.weightless)


def _step_on_graph(system: System, y: Array) -> Array:
    """Return one correction as a place in a graph: f, and numbers that rule and shifters hold, have a part in it."""
    ys = system.shifted(y)
    with system.backend.frozen():
        Gs = tuple(-J for J in system.jacobians(system.backend.without_gradient(ys))[1])
    return system.correction(Gs, y, ys, system.f(*ys))[1]


def _recorded(system: System, y: Array) -> tuple[Array, Later]:
    """Return the residual at y on the graph, and the linear solves there, of what this graph keeps of f.

    f is not called again for them: they are those of the x, the params and the weights that it was called with now.
    """
    by, ys, where = system.backend, system.shifted(y), system.where
    made = None if "jac" in system.functions or system.layout is not None else by.deferred(system.f, ys)
    if made is None:
        with by.frozen():
            Gs = tuple(-J for J in system.jacobians(by.without_gradient(ys))[1])
        fy = system.f(*ys)
        later: Later = (where, Gs), lambda held: _inverse(system.rule, held[1], held[0])
    else:
        fy, rows = made
        later = where, lambda where: _inverse(system.rule, tuple(-Dense(J) for J in rows()), where)
    return system.residual(y, fy), later


def _in_blocks(system: System, y: Array) -> Later:
    """Return the linear solves at y, for which f is called again: it has to be the f that was solved."""
    before = _trace(system, y)

    def made(data: Data) -> Linear:
        again = dataclasses.replace(system, data=dataclasses.replace(data, guess=y))
        after, xp = _trace(again, y), array_namespace(y)
        size = xp.abs(before) + xp.abs(after) + xp.max(xp.abs(y), axis=-1, keepdims=True)
        is_same = xp.abs(after - before) <= SAME * float(xp.finfo(y.dtype).eps) * size
        if not bool(xp.all(is_same | (before != before))):
            raise FunctionError(CHANGED)
        return linearisation(again, y)

    return dataclasses.replace(system.data, guess=None), made


def _trace(system: System, y: Array) -> Array:
    """Return a number for each point, (*B, T, 1), that tells the residual of one f at y from that of another."""
    xp, n = array_namespace(y), y.shape[-1]
    weights = 1 / (1 + xp.arange(n, dtype=y.dtype, device=system.backend.placement(y)))
    with system.backend.frozen():
        r = residual(system, y)
        return xp.sum(r * padded(weights, r.ndim), axis=-1, keepdims=True)


def described(system: System) -> str:
    """Return one sentence on the derivative that a solution has."""
    rule = system.rule
    if not rule.exact:
        return f"{INEXACT_STEPS} Newton steps differentiated: not exact, as the solution depends on G"
    if not rule.has_residual:
        return "exact, by a Newton step differentiated at the solution"
    if goes_by_steps(system):
        return "exact, by a derivative of each step, from the last to the first in reverse mode"
    return "exact, by one linear solve" + (", transposed in reverse mode" if rule.has_transpose else "")


def attach(live: System, y: Array, usable: Array) -> Array:
    """Return y with the derivatives of the implicit function theorem, for libraries that record a graph.

    At a solution of residual(y; theta) = 0, ``dy = (L + M sum_p G_p S_p)^{-1} d residual`` at fixed y. Where the
    library can keep that as one node of its graph, it does; else ``y + delta - stop(delta)`` with ``delta`` the Newton
    correction at y has the value of y and the exact first derivative, in forward and in reverse mode, whatever found y.
    Newton's method doubles the order to which a value is right: k such steps make 2^k - 1 derivatives exact.
    """
    if not live.backend.records:
        return y
    by, xp, is_node = live.backend, array_namespace(y), live.rule.has_transpose
    is_whole, steps = by.is_concrete(usable) and bool(xp.all(usable)), goes_by_steps(live)
    if steps and is_whole and by.recorded(lambda: y) is not None:  # the loop is on the graph
        return y
    y = by.without_gradient(y)
    system, at = substituted(live, y, usable)
    on_graph = _on_graph if is_node else _step_on_graph
    some = system.head(SOME) if system.marches and y.shape[system.grid.axis] > 4 * SOME else None
    if some is not None and by.recorded(lambda: on_graph(some, some.data.guess)) is None:
        return y
    if steps:
        moved = by.following(at, recorded(system))
        return moved if is_whole else _kept(system, moved, y, usable)
    made = by.recorded(lambda: on_graph(system, at))
    if made is None:
        return y
    again = partial(_recorded, system) if system.block is None else None  # a second order takes G of all points
    later = None if again or not is_node else _in_blocks(system, at)
    moved = by.implicit(at, made, later, again) if is_node else None
    if moved is None:
        moved = at
        for _ in range(by.orders(made).bit_length() if system.rule.exact else INEXACT_STEPS):
            _, _, delta = newton_step(system, moved, Dense)
            moved = moved + (delta - by.without_gradient(delta))
    return moved if is_whole else _kept(system, moved, y, usable)


def _kept(system: System, moved: Array, y: Array, usable: Array) -> Array:
    """Return y with the derivatives of ``moved``, of elements that are not usable NaN, or zero where none are asked."""
    by, xp = system.backend, array_namespace(y)
    moved = by.guarded(moved, usable)
    return xp.where(system.per_element(usable), moved, y + (moved - by.without_gradient(moved)))


class Transforms(Protocol):
    """What a library of function transformations supplies."""

    def jvp(self, function: Callable[..., Any], primals: Any, tangents: Any) -> tuple[Any, Any]:
        """Return the value and the derivative along ``tangents``."""

    def transposed(self, linear: Callable[[Array], Array], c: Array) -> Array:
        """Return the transpose of a linear function of arrays like c, applied to c."""

    def inverse(
        self,
        apply: Callable[[Array], Array],
        solve: Callable[[Array], Array],
        transpose: Callable[[Array], Array],
        b: Array,
    ) -> Array:
        """Return ``solve(b)``, differentiated as the inverse of ``apply`` and transposed by ``transpose``."""

    def guarded(self, y: Array, usable: Array) -> Array:
        """Return y, whose derivatives pass :func:`passed`."""

    def moving(self, tree: Tree, direction: Tree) -> tuple[list[Array], list[Array], Callable[[list[Array]], Tree]]:
        """Return the arrays that move along a direction, how they do, and what puts others in their place."""

    def pullback(self, function: Callable[..., Array], primals: list[Array], cotangent: Array) -> list[Array] | None:
        """Return the derivatives of ``sum(cotangent * function(*primals))``."""

    def flatten(self, tree: Tree) -> tuple[list[Any], Any]:
        """Return the leaves of a tree, and its form."""


def tangent(
    by: Transforms, system_at: Callable[[Tree], System], theta: Tree, direction: Tree, y: Array, usable: Array
) -> Array:
    """Return dy along a direction of theta: ``dy = (L + M sum_p G_p S_p)^{-1} d residual``, residual at fixed y.

    One linear solve, linear in the direction; the reverse mode is the transposed solve of the rule, and y and theta
    may be differentiated once more. A rule whose solution depends on G has no such solve: there the Newton step
    itself is differentiated, a few times over.
    """
    system, at = substituted(system_at(theta), y, usable)

    def there(theta: Tree) -> System:
        return substituted(system_at(theta), y, usable)[0]

    if not system.rule.exact or not system.rule.has_residual:

        def step(theta: Tree, y: Array) -> Array:
            return y + newton_step(there(theta), y, Dense)[2]

        dy = array_namespace(y).zeros_like(y)
        for _ in range(1 if system.rule.exact else INEXACT_STEPS):
            dy = by.jvp(step, (theta, at), (direction, dy))[1]
        return by.guarded(dy, usable)
    made = tangents_of_steps(by, system_at, theta, direction, y, usable)
    if made is not None:
        return made[0]
    change = by.jvp(lambda theta: residual(there(theta), at), (theta,), (direction,))[1]
    solve, transpose = linearisation(system, at)
    if not system.rule.has_transpose:
        transpose = partial(by.transposed, solve)
    dy = by.inverse(lambda d: -by.jvp(system.residual, (at,), (d,))[1], solve, transpose, change)
    return by.guarded(dy, usable)


def tangents_of_steps(  # noqa: PLR0913 - what a derivative is of, and how
    by: Transforms,
    system_at: Callable[[Tree], System],
    theta: Tree,
    direction: Tree,
    y: Array,
    usable: Array,
    posed: Posed = operator.attrgetter("posed"),
) -> tuple[Array, Array] | None:
    """Return dy, and that of what else ``posed`` says of each step, one step after the other; None if that is slower.

    Of n components of y and m more, (*B, T, m), the functions of ``posed`` return n + m.
    """
    system, at = substituted(system_at(theta), y, usable)
    if not goes_by_steps(system):
        return None

    def there(theta: Tree) -> System:
        return substituted(system_at(theta), y, usable)[0]

    here = dataclasses.replace(system, data=dataclasses.replace(system.data, guess=at))
    steps, dz = steps_of(here, system_at, there, theta, direction, posed)
    if not all(a.dtype == y.dtype for a in by.flatten(dz)[0]):
        return None
    dy, dp = _along_steps(by, steps, dz)
    return by.guarded(dy, usable), by.guarded(dp, usable)


def _along_steps(by: Transforms, steps: BySteps, dz: Pieces) -> tuple[Array, Array]:
    """Return dy and dp where the pieces move by dz.

    The unknowns are dy, dp and dz, so that the transposed solve gives what all of dz hears of c: in the same loop.
    Jacobians help out where a derivative of y has no slope of f; with p beside it, that would be most of a program.
    """
    system, y, xp = steps.system, steps.y, array_namespace(steps.y)
    pieces, form = by.flatten(steps.at)

    def is_lost(made: Array, given: Array) -> Array:
        return system.over_grid(xp.all, xp.isfinite(given)) & ~system.over_grid(xp.all, xp.isfinite(made))

    def mended(made: Any, given: Array, otherwise: Callable[[Any], Any]) -> Any:
        is_alone = 0 in p.shape
        return system.backend.when(is_lost(made[0], given), otherwise, made) if is_alone else made

    def moved(dz: Pieces, dy: Array) -> tuple[Array, Array]:
        r, p = by.jvp(steps.crossed, (steps.at, y), (dz, dy))[1]
        return r, p

    def apply(d: Unknowns) -> Unknowns:
        dy, dp, dz = d
        r, p = moved(dz, dy)
        return -r, dp - p, dz

    def solve(b: Unknowns) -> Unknowns:
        def otherwise(_: Any) -> tuple[Array, Array]:
            return linearisation(system, y).solve(b[0] + moved(b[2], xp.zeros_like(y))[0]), p

        dy, dp = mended(steps.solve(b[0], b[2]), b[0], otherwise)
        return dy, dp + b[1], b[2]

    def transpose(c: Unknowns) -> Unknowns:
        def otherwise(_: Any) -> tuple[Array, Pieces]:
            u = linearisation(system, y).transpose(c[0])
            return u, form.unflatten(by.pullback(lambda *z: steps.crossed(form.unflatten(z), y)[0], pieces, u))

        u, bar = mended(steps.transpose(*c[:2]), c[0], otherwise)
        return u, c[1], tree_map(operator.add, c[2], bar)

    p = xp.zeros_like(steps.crossed(steps.at, y)[1])
    nothing: Unknowns = (xp.zeros_like(y), p, dz)
    flat, back = packed(by, nothing)  # in one array: JAX transposes a solve of all of b, or of nothing

    def of_flat(function: Callable[[Any], Any]) -> Callable[[Array], Array]:
        return lambda b: packed(by, function(back(b)))[0]

    dy, dp, _ = back(by.inverse(of_flat(apply), of_flat(solve), of_flat(transpose), flat))
    return dy, dp


def packed(by: Transforms, tree: Tree) -> tuple[Array, Callable[[Array], Tree]]:
    """Return the arrays of a tree in one vector, and what makes such a tree of another vector."""
    leaves, form = by.flatten(tree)
    xp, shapes = array_namespace(*leaves), [a.shape for a in leaves]

    def back(flat: Array) -> Tree:
        made, start = list[Array](), 0
        for shape in shapes:
            end = start + math.prod(shape)
            made.append(xp.reshape(flat[start:end], shape))
            start = end
        return form.unflatten(made)

    return xp.concat([xp.reshape(a, (-1,)) for a in leaves]), back


def through(
    by: Transforms,
    function: Callable[[System, Array], Array],
    system_at: Callable[[Tree], System],
    primals: tuple[Tree, Array],
    tangents: tuple[Tree, Array],
    usable: Array,
) -> Array:
    """Return the derivative of ``function(system, y)`` where theta and y both move."""

    def there(theta: Tree, y: Array) -> Array:
        return function(*substituted(system_at(theta), y, usable))

    return by.guarded(by.jvp(there, primals, tangents)[1], usable)


def substituted(system: System, y: Array, usable: Array) -> tuple[System, Array]:
    """Return the system and y with the data of a usable element in place of those that are not.

    There f and its derivatives are finite, so that a product with zero is zero; and what a failed element shares with
    others hears nothing of the element it stands in for.
    """
    backend, xp = system.backend, array_namespace(y)
    if backend.is_concrete(usable) and bool(xp.all(usable)):
        return system, y
    stop, rank, sizes = backend.without_gradient, y.ndim, tuple(usable.shape)
    place = xp.argmax(xp.reshape(xp.astype(usable, xp.int32), (-1,)))
    places: list[Array] = []
    for size in reversed(sizes):
        places.insert(0, xp.reshape(place % size, (1,)))
        place = place // size

    def one_that_is(leaf: Array) -> Array:
        for axis, (size, k) in enumerate(zip(sizes, places, strict=True)):
            leaf = xp.take(leaf, k, axis=axis) if leaf.shape[axis] == size else leaf
        return leaf

    def replaced(leaf: Array) -> Array:
        if leaf.ndim < rank or all(size == 1 for size in leaf.shape[: len(sizes)]):
            return leaf
        shared = tuple(k for k, size in enumerate(sizes) if leaf.shape[k] != size)
        keep = xp.any(usable, axis=shared, keepdims=True) if shared else usable
        keep = keep[(..., *(None for _ in range(leaf.ndim - len(sizes))))]
        other = stop(one_that_is(leaf))
        if xp.isdtype(leaf.dtype, "real floating"):
            other = other + xp.where(xp.isfinite(leaf), leaf - stop(leaf), 0.0)
        return xp.where(keep, leaf, other)

    data = system.data
    given = isinstance(data.boundary, Initial | Sides | Values | Known)
    boundary = tree_map(replaced, data.boundary) if given else data.boundary
    grid = data.grid.with_conditions(replaced)
    data = dataclasses.replace(data, x=tree_map(replaced, data.x), grid=grid, boundary=boundary)
    system = dataclasses.replace(system, data=data)
    spare = xp.where(xp.any(usable), stop(one_that_is(y)), stop(data.guess))
    return system, xp.where(system.per_element(usable), y, spare)
