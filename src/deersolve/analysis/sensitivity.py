"""Derivatives of a solution on every library, those without automatic differentiation included."""

from __future__ import annotations

from typing import Any

from ..backends import backend_of
from ..backends._compilers import untraced
from ..backends.columns import passed
from ..backends.given import alike, beside
from ..backends.namespace import Array, array_namespace
from ..backends.pairs import complex_of, paired
from ..backends.trees import tree_leaves, tree_map
from ..errors import InputError, mismatch
from ..newton.equation import System
from ..problems import Problem
from ..problems.complex_state import pairs_of
from ..problems.inputs import check_problem
from ..solution.solution import Solution
from .at_solution import at_the_solution, check_converged, linear_solves, y_of
from .colouring import by_seeds
from .fields import SIDES, Fields, check_name, fields_of, offered, residual_of
from .on_found_grid import on_found_grid
from .pointwise import by_points


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
        problem; of an evolution equation "u0". Where there are conditions also "left", "right", "bottom", "top", of the
        shape of the value or slope that was given (a tuple for a tuple of conditions), and the coefficients "D" or "a",
        "b", "c"; of coupled ends "first", "last" and "value"; of leads "y_end"; of your own records, and of
        :class:`Operator`, "grid" and "boundary", a dict by the names of their numbers. What f closes over is not a
        field. A sequence gives a stack of derivatives from one linearisation.

    Returns
    -------
    array
        dy of the shape of y, (*B, *R, n); for a sequence (m, *B, *R, n). NaN for elements that did not converge.

    Raises
    ------
    InputError
        If no element converged, y does not solve this problem (of changed params, say), a shape does not fit, or the
        rule's solution depends on G (exact=False).

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
    check_problem(problem)
    many = not isinstance(directions, dict)
    listed = [directions] if not isinstance(directions, list | tuple) else [*directions]
    if not listed or not all(isinstance(d, dict) and d for d in listed):
        raise mismatch("directions", "a dict such as {'params': dparams}, or a sequence of them", repr(directions))
    for name in {k for d in listed for k in d}:
        check_name(problem, name, "directions")
    pairs = pairs_of(problem, y_of(sol))
    if pairs is not None:
        changes = [pairs.changes(d) for d in listed]
        return complex_of(sensitivity(pairs.real(), pairs.hidden(sol), changes if many else changes[0]))
    if sol.dense is not None:
        fixed = on_found_grid(problem, sol, tuple(k for d in listed for k in d))
        return fixed.at_times(sensitivity(fixed.problem, fixed.sol, directions))
    problem, system = at_the_solution(problem, sol)
    _check_any(system, sol)
    backend, xp = system.backend, array_namespace(sol.y)
    with backend.quiet(), backend.frozen():
        linear = linear_solves(system, sol)
        fields = fields_of(problem, system, tuple(dict.fromkeys(k for d in listed for k in d)))
        rows = [_direction(system, fields, d) for d in listed]
        stacked = [xp.stack(parts) for parts in zip(*rows, strict=True)]
        residual = residual_of(problem, system, fields, sol.converged)
        changes = backend.pushforward(residual, [*tree_leaves(fields)], stacked)
        dys = [linear.solve(changes[k, ...]) for k in range(len(listed))]
        usable = system.per_element(sol.converged)
        dys = [system.grid.present(xp.where(usable, dy, xp.nan)) for dy in dys]
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
        The fields, of those of :func:`sensitivity`; by default "params" and what is given at the ends and sides. On
        NumPy and CuPy "t" is not offered, and "params" costs one evaluation of f in forward mode for each number in it.

    Returns
    -------
    dict
        For each field its gradient, of the shapes of the field as it was given: summed over what shares a number, 0 at
        the images of first points. Without ``wrt`` None where there is nothing to differentiate by.

    Raises
    ------
    InputError
        As for :func:`sensitivity`, if the rule has no transposed solve, or the cotangent is not 0 in an element that
        did not converge.

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
    check_problem(problem)
    pairs = pairs_of(problem, y_of(sol))
    if pairs is not None:
        c = pairs.numbers("cotangent", cotangent)
        bars = adjoint(pairs.real(), pairs.hidden(sol), paired(_like(c, sol.y)), wrt=wrt)
        return {name: pairs.together(name, bar) for name, bar in bars.items()}
    if sol.dense is not None:
        fixed = on_found_grid(problem, sol, (wrt,) if isinstance(wrt, str) else tuple(wrt or ()))
        bar = _like(alike(cotangent, sol.y, backend_of(sol.y), "cotangent"), sol.y)
        return adjoint(fixed.problem, fixed.sol, fixed.on_grid(bar), wrt=wrt)
    problem, system = at_the_solution(problem, sol)
    backend, xp = system.backend, array_namespace(sol.y)
    cotangent = _like(alike(cotangent, sol.y, system.backend, "cotangent"), sol.y)
    if system.backend.is_concrete(cotangent) and not bool(xp.all(xp.isfinite(cotangent))):
        raise mismatch("cotangent", "finite numbers", "NaN or infinity")
    if wrt is not None and not isinstance(wrt, str | list | tuple):
        raise mismatch("wrt", "the name of a field, or a tuple of them", repr(wrt))
    names = (wrt,) if isinstance(wrt, str) else tuple(_by_default(problem, system) if wrt is None else wrt)
    for name in names:
        check_name(problem, name, "wrt")
    if not system.rule.has_transpose:
        raise InputError(f"adjoint: the rule {system.rule.key!r} has no transposed solve: give it a method transpose.")
    asked = xp.any(cotangent != 0, axis=tuple(range(system.n_batch, cotangent.ndim)))
    _check_any(system, sol)
    check_converged(system, sol, asked)
    there = tuple(name for name in names if wrt is not None or offered(problem, system, name))
    fields = fields_of(problem, system, there)
    with backend.quiet(), backend.frozen():
        u = linear_solves(system, sol).transpose(system.grid.present_transposed(passed(cotangent, sol.converged)))
        function, primals = residual_of(problem, system, fields, sol.converged), tree_leaves(fields)
        found = backend.pullback(function, primals, u)
        if found is None:
            found = _by_forward(problem, system, fields, u, sol.converged)
    rest = iter(found)
    made = {name: tree_map(lambda _: next(rest), part) for name, part in fields.items()}
    return {name: made.get(name) for name in names}


def _by_forward(problem: Problem, system: System, fields: Fields, u: Array, usable: Array) -> list[Array]:
    """Return the gradient of sum(u * residual) by every leaf in forward mode: of what f alone knows by weights of f."""
    weights, found = system.rule.weights(u, **system.where), list[Array]()
    of_f = ("x", "params", *(("boundary",) if system.rule.offers("pulled") else ()))
    for one in ({name: part} for name, part in fields.items()):
        if weights is not None and one.keys() <= {*of_f}:
            found += by_points(problem, system, one, u, weights, usable)
        else:
            function = residual_of(problem, system, one, usable)
            found += by_seeds(system, function, one, u, problem.axes, problem.fields)
    return found


def _like(cotangent: Array, y: Array) -> Array:
    """Return the cotangent; raise unless it has the shape of y."""
    if tuple(cotangent.shape) != tuple(y.shape):
        raise mismatch("cotangent", f"the shape of y, {tuple(y.shape)}", tuple(cotangent.shape))
    return cotangent


def _by_default(problem: Problem, system: System) -> tuple[str, ...]:
    names = ("y0", "u0", "value", "y_end", *SIDES, *(("boundary",) if system.rule.offers("pulled") else ()))
    return ("params", *(name for name in problem.fields if name in names))


def _check_any(system: System, sol: Solution) -> None:
    """Raise unless an element converged."""
    if system.backend.is_concrete(sol.converged) and not bool(array_namespace(sol.y).any(sol.converged)):
        check_converged(system, sol)


def _by_name(part: Any, given: Any, what: str, is_own: bool = False) -> list[Any]:
    """Return the leaves of a direction in the order of those of the field; of a record of one's own 0 for the rest."""
    if isinstance(part, dict):
        if not isinstance(given, dict) or not (set(given) <= set(part) if is_own else set(given) == set(part)):
            received = ", ".join(map(str, given)) if isinstance(given, dict) else type(given).__name__
            raise mismatch(what, f"a dict by the names {', '.join(map(str, part))}", received or "an empty one")
        zero = {k: tree_map(lambda a: array_namespace(a).zeros_like(a), v) for k, v in part.items() if k not in given}
        pairs = ((v, {**zero, **given}[k], f"{what}[{k!r}]") for k, v in part.items())
        return [leaf for v, d, name in pairs for leaf in _by_name(v, d, name)]
    if isinstance(part, list | tuple):
        if not isinstance(given, list | tuple) or len(given) != len(part):
            raise mismatch(what, f"{len(part)} of them, as in the field", repr(given))
        pairs = ((v, d, f"{what}[{k}]") for k, (v, d) in enumerate(zip(part, given, strict=True)))
        return [leaf for v, d, name in pairs for leaf in _by_name(v, d, name)]
    if isinstance(given, dict):
        raise mismatch(what, "an array", f"a dict of {', '.join(map(str, given))}")
    return tree_leaves(given)


def _direction(system: System, fields: Fields, given: dict[str, Any]) -> list[Array]:
    """Return a direction for every leaf of the fields, zero where none is given."""
    flat: list[Array] = []
    for name, part in fields.items():
        leaves = tree_leaves(part)
        if name not in given:
            flat += [array_namespace(a).zeros_like(a) for a in leaves]
            continue
        what = f"directions[{name!r}]"
        listed = _by_name(part, given[name], what, is_own=name in ("grid", "boundary"))
        changes = [beside(d, system.data.guess, system.backend, what, cast=False) for d in listed]
        expected, received = ([tuple(getattr(a, "shape", ())) for a in tree] for tree in (leaves, changes))
        if received != expected:
            raise mismatch(what, f"the shapes of {name}, {expected}", str(received))
        flat += [array_namespace(a).astype(d, a.dtype) for d, a in zip(changes, leaves, strict=True)]
    return flat
