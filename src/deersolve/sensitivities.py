"""Derivatives of a solution on every library, those without automatic differentiation included."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

from .backends._compilers import untraced
from .backends.generic import Backend
from .derivative import derivative_of
from .domain import Initial, TimeGrid
from .errors import InputError, UnknownKeyError, mismatch
from .implicit import Linear, has_transpose, inverse_at
from .inputs import closed, prepare
from .inverses import PaperForm, rule_of
from .newton import backward_error, magnitudes, slope_terms
from .problems import Evolution1D, Evolution2D, Problem
from .record import tree_leaves, tree_map
from .registry import close_matches
from .seeds import by_seeds
from .solution import Solution, Status, numbers
from .system import System
from .typing import Array, array_namespace

SIDES = ("left", "right", "bottom", "top")
GIVEN = (*SIDES, "value")  # at the ends
FIELDS = ("params", "y0", "x", "t", *GIVEN, "first", "last", "D", "a", "b", "c")
STALE = 100  # times the residual that the solver saw, or sqrt(eps): y solves another equation


@untraced
def sensitivity(problem: Problem, sol: Solution, directions: Any) -> Array:
    """Return dy, the change of the solution along a direction of the data: one linear solve.

        dy = (L + M sum_p G_p S_p)^{-1} d residual,      residual(y; theta) = M f(y) - L y at fixed y.

    Parameters
    ----------
    problem : Problem
        What was solved.
    sol : Solution
        Its solution, converged.
    directions : dict or sequence of dict
        ``{"params": dparams, "y0": dy0, "x": dx, "t": dt}`` or some of them, each of the shapes of that field of the
        problem; where there are conditions also "left", "right", "bottom", "top", their right-hand sides, (*B, n) or
        along a side (*B, N, n), and the coefficients "D", "a", "b", "c"; of coupled ends "value", (*B, n), "first" and
        "last". What f closes over is not a field. A sequence gives a stack of derivatives from one linearisation.

    Returns
    -------
    array
        dy of the shape of y, (*B, *R, n); for a sequence (m, *B, *R, n).

    Raises
    ------
    InputError
        If an element did not converge, y does not solve this problem (of changed params, say), a shape does not fit,
        or the rule's solution depends on G (exact=False).

    Notes
    -----
    Exact to roundoff for the discrete equation: by dual numbers on NumPy and CuPy (central differences where those
    cannot follow f), by forward mode on JAX and PyTorch. By the implicit function theorem, as in Lim et al.,
    arXiv 2309.12252, section 3.1.1.

    Examples
    --------
    An exact Jacobian for ``scipy.optimize.least_squares``:

    >>> import numpy as np
    >>> import deersolve as ds
    >>> t = np.linspace(0.0, 1.0, 101)
    >>> problem = ds.InitialValueProblem(lambda y, t, k: -k * y, t, np.array([1.0]), params=np.array(2.0))
    >>> dy = ds.sensitivity(problem, ds.solve(problem), {"params": np.array(1.0)})
    >>> bool(abs(dy[-1, 0] + np.exp(-2.0)) < 1e-4)
    True
    """
    system, params, linear = _prepared(problem, sol)
    many = not isinstance(directions, dict)
    listed = list(directions) if many else [directions]
    if not listed or not all(isinstance(d, dict) and d for d in listed):
        raise mismatch("directions", "a dict such as {'params': dparams}, or a sequence of them", repr(directions))
    names = tuple(k for k in FIELDS if any(k in d for d in listed))
    for name in {k for d in listed for k in d} - set(FIELDS):
        raise UnknownKeyError(f"directions: unknown field {name!r}." + close_matches(str(name), list(FIELDS)))
    fields = _fields(problem, system, params, names)
    rows = [_directions(problem, system, fields, d) for d in listed]
    xp = array_namespace(sol.y)
    stacked = [xp.stack(parts) for parts in zip(*rows, strict=True)]
    backend = system.backend
    with backend.quiet():
        changes = backend.pushforward(residual_of(problem, system, fields), [*tree_leaves(fields)], stacked)
        dys = [_presented(system, linear.solve(changes[k, ...])) for k in range(len(listed))]
    return xp.stack(dys) if many else dys[0]


@untraced
def adjoint(problem: Problem, sol: Solution, cotangent: Array, *, wrt: Any = None) -> dict[str, Any]:
    """Return the gradient of sum(cotangent * y) by fields of the problem: one transposed solve.

        theta_bar = (d residual / d theta)^T u,      (L + M sum_p G_p S_p)^T u = cotangent.

    Parameters
    ----------
    problem, sol
        As for :func:`sensitivity`.
    cotangent : array, shape of y
        d loss / d y.
    wrt : str or tuple of str, optional
        The fields, of those of :func:`sensitivity`; by default "params" and what is given at the ends. On
        NumPy and CuPy "t" is not offered, and "params" costs one evaluation of f in forward mode for each number in it.

    Returns
    -------
    dict
        For each field its gradient, of the shapes of the field.

    Raises
    ------
    InputError
        As for :func:`sensitivity`, or if the rule has no transposed solve.

    Examples
    --------
    >>> import numpy as np
    >>> import deersolve as ds
    >>> t = np.linspace(0.0, 1.0, 101)
    >>> problem = ds.InitialValueProblem(lambda y, t, k: -k * y, t, np.array([1.0]), params=np.array(2.0))
    >>> last = np.zeros((101, 1))
    >>> last[-1] = 1.0
    >>> found = ds.adjoint(problem, ds.solve(problem), last)
    >>> bool(abs(found["params"] + np.exp(-2.0)) < 1e-4), found["y0"].shape
    (True, (1,))
    """
    system, params, linear = _prepared(problem, sol)
    if not has_transpose(system.rule):
        raise InputError(f"adjoint: the rule {system.rule.key!r} has no transposed solve: give it a method transpose.")
    if wrt is None:
        sides = tuple(name for name in GIVEN if _is_spatial(problem, name))
        wrt = ("params", *(sides or (("y0",) if isinstance(problem.boundary, Initial) else ())))
    names = (wrt,) if isinstance(wrt, str) else tuple(wrt)
    for name in names:
        if name not in FIELDS:
            raise UnknownKeyError(f"wrt: unknown field {name!r}." + close_matches(str(name), list(FIELDS)))
    if tuple(cotangent.shape) != tuple(sol.y.shape):
        raise mismatch("cotangent", f"the shape of y, {tuple(sol.y.shape)}", tuple(cotangent.shape))
    fields = _fields(problem, system, params, names)
    function, primals = residual_of(problem, system, fields), tree_leaves(fields)
    backend = system.backend
    with backend.quiet():
        folded = getattr(system.data.grid, "folded", lambda c: c)
        u = linear.transpose(folded(cotangent))
        found = backend.pullback(function, primals, u)
        if found is None:
            found = list(by_seeds(system, function, fields, u))
    bars = iter(found)
    return {
        name: _as_given(problem, name, tree_map(lambda _: next(bars), part), system) for name, part in fields.items()
    }


def _prepared(problem: Problem, sol: Solution) -> tuple[System, Any, Linear]:
    """Return the system at the solution, params with numbers as arrays, and the linear solves at y."""
    system = at_the_solution(problem, sol)
    with system.backend.quiet():
        linear = _linear_solves(system, sol)
    return system, tree_map(lambda a: _number(system.backend, a, sol.y), problem.params), linear


def at_the_solution(problem: Problem, sol: Solution) -> System:
    """Return the discrete equation with its solution as guess; raise unless that is converged."""
    if isinstance(problem, Evolution1D | Evolution2D):
        raise InputError(
            f"problem: expected one whose y holds all that was solved for; received an {type(problem).__name__}, whose "
            "y leaves out the stages between levels. Differentiate solve() itself on JAX or PyTorch."
        )
    backend, data = prepare(problem, sol.y)
    shape = tuple(getattr(data.grid, "presented", lambda y: y)(data.guess).shape)
    if shape != tuple(sol.y.shape):
        raise mismatch("sol", f"the solution of this problem, {shape}", tuple(sol.y.shape))
    if backend.is_concrete(sol.status) and any(numbers(sol.status)):
        names = sorted({Status(int(c)).name for c in numbers(sol.status)} - {"CONVERGED"})
        raise InputError(f"sol: expected every element CONVERGED; received {', '.join(names)}: it has no derivative.")
    rule = rule_of(problem.inverse, problem.family)
    rule = rule if rule.key == sol.stats.rule else rule_of(sol.stats.rule, problem.family)
    if isinstance(rule, PaperForm) or not rule.exact:
        raise InputError(
            f"the rule {rule.key!r}: expected an exact rule with a linear solve, whose solution does not depend on G. "
            "Use ddt.trapezoid or ddt.backward_euler, or differentiate solve() itself on JAX or PyTorch."
        )
    if not hasattr(data.grid, "presented"):
        data = dataclasses.replace(data, guess=sol.y)
    grid_ndim = int(getattr(data.grid, "ndim", 1))
    system = System(backend, rule, problem.shift, closed(problem), data, grid_ndim)
    with backend.quiet():
        return dataclasses.replace(system, functions=derivative_of(system, False)[0])


def _linear_solves(system: System, sol: Solution) -> Linear:
    """Return the linear solves at y; raise if y does not solve this equation, but that of another x or params."""
    y, xp = system.data.guess, array_namespace(sol.y)
    at = system.linearise(y)
    r = system.rule.residual(y, at.fy, grid=system.data.grid, boundary=system.data.boundary)
    found = backward_error(system, magnitudes(system, y, at.fy, slope_terms(at)), r)
    allowed = float(xp.finfo(y.dtype).eps) ** 0.5 + STALE * xp.where(sol.stats.residual > 0, sol.stats.residual, 0.0)
    if system.backend.is_concrete((found, allowed)) and not bool(xp.all(found <= allowed)):
        raise InputError(
            f"sol: expected the solution of this problem; received one whose residual is {max(numbers(found)):.1e} of "
            "the equation's terms. Solve again after a change of params, x, y0, t or what f closes over."
        )
    return inverse_at(system, at)


def _number(backend: Backend, value: Any, like: Array) -> Any:
    return backend.convert(value, like, like.dtype) if isinstance(value, float) else value


def _is_float(leaf: Any) -> bool:
    return hasattr(leaf, "dtype") and array_namespace(leaf).isdtype(leaf.dtype, "real floating")


def _fields(problem: Problem, system: System, params: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """Return the named data as f and the rule see it; every leaf a floating array."""
    data, found = system.data, {}
    for name in names:
        if name == "params":
            found[name] = params
        elif name == "x" and problem.x is not None:
            found[name] = {k: data.x[k] for k in problem.x} if hasattr(data.grid, "named") else data.x
        elif _is_spatial(problem, name):
            found[name] = data.grid.named(data.boundary)[name]
        elif name == "y0" and isinstance(data.boundary, Initial):
            found[name] = data.boundary.y0
        elif name == "t" and isinstance(data.grid, TimeGrid):
            found[name] = data.grid.t
        leaves = tree_leaves(found.get(name))
        if not leaves or not all(map(_is_float, leaves)):
            raise mismatch(
                name, "arrays of floating-point numbers to differentiate by", repr(_given(problem, name, system))
            )
    return found


def residual_of(problem: Problem, system: System, fields: dict[str, Any]) -> Callable[..., Array]:
    """Return the residual at fixed y as a function of the leaves of the fields."""

    def at(y: Array, *leaves: Array) -> Array:
        rest = iter(leaves)
        new = {name: tree_map(lambda _: next(rest), part) for name, part in fields.items()}
        data, functions = system.data, system.functions
        if "params" in new:
            functions = closed(problem, params=new["params"])
        if "y0" in new:
            data = dataclasses.replace(data, boundary=Initial(new["y0"]))
        if "x" in new:
            data = dataclasses.replace(data, x={**data.x, **new["x"]} if hasattr(data.grid, "named") else new["x"])
        spatial = {name: part for name, part in new.items() if _is_spatial(problem, name)}
        if spatial:  # both ends meet in one array, so that they have to be of one kind
            both = tree_map(lambda a: system.backend.beside(a, leaves), data.boundary)
            grid, boundary = data.grid.renamed(both, spatial)
            data = dataclasses.replace(data, grid=grid, boundary=boundary)
        if "t" in new:
            t, kind = new["t"], y.dtype
            xp = array_namespace(t)
            D = xp.astype(t[..., 1:] - t[..., :-1], kind)[..., None]
            x = xp.astype(t, kind)[..., None] if problem.x is None else data.x
            data = dataclasses.replace(data, grid=TimeGrid(t, D), x=x)
        return dataclasses.replace(system, data=data, functions=functions).residual(y)

    return lambda *leaves: at(system.backend.beside(system.data.guess, leaves), *leaves)


def _directions(problem: Problem, system: System, fields: dict[str, Any], given: dict[str, Any]) -> list[Array]:
    """Return a direction for every leaf of the fields, zero where none is given."""
    flat: list[Array] = []
    for name, part in fields.items():
        leaves = tree_leaves(part)
        if name not in given:
            flat += [array_namespace(a).zeros_like(a) for a in leaves]
            continue
        changes = [_number(system.backend, d, system.data.guess) for d in tree_leaves(given[name])]
        there = tree_leaves(_given(problem, name, system))
        expected, received = ([_shape(a) for a in tree] for tree in (there, changes))
        if received != expected:
            raise mismatch(f"directions[{name!r}]", f"the shapes of {name}, {expected}", str(received))
        xp = array_namespace(system.data.guess)
        flat += [
            xp.reshape(_without_images(xp.astype(d, a.dtype), a), a.shape) for d, a in zip(changes, leaves, strict=True)
        ]
    return flat


def _without_images(d: Array, like: Array) -> Array:
    """Return d without what it says of images of first points, which are not among the data."""
    count = math.prod(like.shape)
    if math.prod(d.shape) == count:
        return d
    first = d.ndim - like.ndim
    sizes = [slice(like.shape[k - first]) if k >= first else slice(None) for k in range(d.ndim)]
    if first < 0:
        sizes = [slice(size) for size in like.shape[-d.ndim :]]
    return d[tuple(sizes)]


def _with_images(bar: Array, shape: tuple[int, ...]) -> Array:
    """Return a gradient in the shape given, 0 at images of first points."""
    xp = array_namespace(bar)
    if math.prod(bar.shape) == math.prod(shape):
        return xp.reshape(bar, shape)
    bar = xp.reshape(bar, bar.shape[bar.ndim - len(shape) :])
    for axis, size in enumerate(shape):
        if bar.shape[axis] < size:
            end = (*(slice(None) for _ in range(axis)), slice(0, 1), ...)
            bar = xp.concat([bar, 0 * bar[end]], axis=axis)
    return bar


def _as_given(problem: Problem, name: str, part: Any, system: System) -> Any:
    """Give gradients the shapes of the fields of the problem."""
    return tree_map(lambda bar, a: _with_images(bar, _shape(a)), part, _given(problem, name, system))


def _given(problem: Problem, name: str, system: System) -> Any:
    """Return a field as the user gave it, and conditions with all of their axes."""
    if _is_spatial(problem, name):
        there = system.data.grid.named(system.data.boundary).get(name)
        if name in GIVEN:
            return there[..., 0, :]
        if name in ("first", "last"):
            return there
        return problem.coefficients[name]  # type: ignore[attr-defined]
    return getattr(problem.boundary, "y0", None) if name == "y0" else getattr(problem, name, None)


def _is_spatial(problem: Problem, name: str) -> bool:
    """Return whether it is a condition or a coefficient of an equation in space."""
    coefficients = getattr(problem, "coefficients", {})
    return bool(coefficients) and (name in coefficients or (name in GIVEN and hasattr(problem, name)))


def _presented(system: System, dy: Array) -> Array:
    grid = system.data.grid
    return grid.presented(dy) if hasattr(grid, "presented") else dy


def _shape(leaf: Any) -> tuple[int, ...]:
    return tuple(getattr(leaf, "shape", ()))
