"""What a solution can be differentiated by: the data of a problem, as they were given and as the equation sees them."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..backends.given import alike
from ..backends.namespace import Array, array_namespace, padded_behind
from ..backends.registration import close_matches
from ..backends.trees import tree_leaves, tree_map
from ..errors import UnknownKeyError, mismatch
from ..grids.base import Data
from ..grids.box import SIDES as PAIRS
from ..grids.conditions import value_of
from ..grids.times import Initial, TimeGrid
from ..newton.equation import System
from ..newton.implicit import substituted

if TYPE_CHECKING:
    from ..problems import Problem

Fields = dict[str, Any]
SIDES = tuple(name for pair in PAIRS for name in pair)


def names_of(problem: Problem) -> tuple[str, ...]:
    """Return the names of everything a solution of this problem can be differentiated by."""
    return tuple(dict.fromkeys(("params", *problem.fields, *problem.domain)))


def check_name(problem: Problem, name: str, what: str) -> None:
    """Raise unless it is one of those."""
    known = names_of(problem)
    if not isinstance(name, str) or name not in known:
        raise UnknownKeyError(f"{what}: unknown field {name!r}." + close_matches(str(name), list(known)))


def fields_of(problem: Problem, system: System, names: tuple[str, ...]) -> Fields:
    """Return the named data in the layout of the user, every leaf an array of floating-point numbers."""
    found = {name: _given(problem, system, name) for name in names}
    for name, part in found.items():
        leaves = tree_leaves(part)
        if not leaves or not all(map(_is_float, leaves)):
            raise mismatch(name, "arrays of floating-point numbers to differentiate by", repr(part))
    return found


def offered(problem: Problem, system: System, name: str) -> bool:
    """Return whether there is something to differentiate by."""
    leaves = tree_leaves(_given(problem, system, name))
    return bool(leaves) and all(map(_is_float, leaves))


def residual_of(problem: Problem, system: System, fields: Fields, usable: Array | None = None) -> Callable[..., Array]:
    """Return the residual at fixed y as a function of the leaves of the fields, as :func:`fields_of` returns them.

    Where elements are not usable, their data are those of one that is, as in
    :func:`deersolve.newton.implicit.substituted`.
    """
    return function_of(problem, system, fields, lambda system, y: system.residual(y), usable)


def function_of(
    problem: Problem,
    system: System,
    fields: Fields,
    what: Callable[[System, Array], Array],
    usable: Array | None = None,
) -> Callable[..., Array]:
    """Return ``what(system, y)`` at fixed y as such a function."""

    def at(*leaves: Array) -> Array:
        rest = iter(leaves)
        new = {name: tree_map(lambda _: next(rest), part) for name, part in fields.items()}
        y = system.backend.beside(system.data.guess, leaves)
        moved = in_place(problem, system, new)
        if usable is not None:
            moved, y = substituted(moved, y, usable)
        return what(moved, y)

    return at


def in_place(problem: Problem, system: System, new: Fields) -> System:
    """Return the equation with these data in the place of its own."""
    data, functions = system.data, system.functions
    if "params" in new:
        functions = _with_params(problem, data.grid, new["params"])
    if "t" in new:
        data = _at_times(problem, data, new["t"])
    if "x" in new:
        if isinstance(data.x, dict):
            data = dataclasses.replace(data, x={**data.x, **_laid_x(data, {k: data.x[k] for k in new["x"]}, new["x"])})
        else:
            data = dataclasses.replace(data, x=_laid_x(data, data.x, new["x"]))
    if "y0" in new and isinstance(data.boundary, Initial):
        data = dataclasses.replace(data, boundary=Initial(data.grid.lay("y0", new["y0"], data.boundary.y0)))
    if "grid" in new:
        data = dataclasses.replace(
            data, grid=dataclasses.replace(data.grid, given=with_numbers(problem.grid, new["grid"]))
        )
    if "boundary" in new:
        given = with_numbers(problem.boundary, new["boundary"])
        data = dataclasses.replace(data, boundary=system.rule.laid(given, data.guess))
    known = {"params", "t", "x", "grid", "boundary"} | ({"y0"} if isinstance(data.boundary, Initial) else set())
    rest = {k: v for k, v in new.items() if k not in known}
    if rest:
        data = _renamed(system, data, rest)
    return dataclasses.replace(system, data=data, functions=functions)


def _renamed(system: System, data: Data, new: Fields) -> Data:
    """Return the data with other conditions, coefficients and starts."""
    leaves = tree_leaves(new)
    flat = {k: value_of(tree_leaves(v), k) if k in SIDES else v for k, v in new.items()}
    old = data.grid.named(data.boundary)
    laid = {k: data.grid.lay(k, v, old[k]) for k, v in flat.items()}
    # both ends meet in one array, so that they have to be of one kind
    ends = {k: system.backend.beside(old[k], leaves) for k in SIDES if k in old}
    grid, boundary = data.grid.renamed(data.boundary, {**ends, **laid})
    return dataclasses.replace(data, grid=grid, boundary=boundary)


def _with_params(problem: Problem, grid: Any, params: Any) -> dict[str, Callable[..., Array]]:
    """Return what there is of functions of params, with those."""

    def f(*args: Any) -> Array:
        made: Array = problem.f(*args, params)
        return made

    functions: dict[str, Callable[..., Array]] = {"f": f}
    conditions = problem.functional
    if conditions is not None:
        functions["ends"] = lambda *ends: conditions(*ends, params)
    return functions


def _numbers_in(own: Any, array: Callable[[Any], Any]) -> Any:
    """Return what of a record, of a mapping or of an object by the names of its attributes, is floating-point."""
    if hasattr(own, "shape"):
        return array(own)
    named = own if isinstance(own, dict) else vars(own)
    found = {name: tree_map(array, value) for name, value in named.items() if not callable(value)}
    return {name: part for name, part in found.items() if (held := tree_leaves(part)) and all(map(_is_float, held))}


def with_numbers(own: Any, new: Any) -> Any:
    """Return such a record with other numbers."""
    if not isinstance(new, dict):
        return new
    if isinstance(own, dict):
        return {**own, **new}
    made = copy.copy(own)
    vars(made).update(new)
    return made


def _laid_x(data: Data, old: Any, new: Any) -> Any:
    return tree_map(lambda like, a: data.grid.lay("x", a, like), old, new)


def _at_times(problem: Problem, data: Data, t: Array) -> Data:
    """Return the data at other times."""
    xp, kind = array_namespace(t), data.guess.dtype
    D = xp.reshape(xp.astype(t[..., 1:] - t[..., :-1], kind), data.grid.D.shape)
    own = xp.astype(t, kind)[..., None]
    x = data.x
    if problem.x is None and not data.grid.lines:
        x = data.grid.lay("x", own, x)
    elif data.grid.lines and "t" not in (problem.x or {}):
        x = {**x, "t": data.grid.lay("x", padded_behind(own, t.ndim + len(problem.axes)), x["t"])}
    return dataclasses.replace(data, grid=dataclasses.replace(data.grid, t=t, D=D), x=x)


def as_array(system: System, value: Any) -> Any:
    """Return a Python float as an array of the library of y, and anything else as it is."""
    like = system.data.guess
    return system.backend.convert(value, like, like.dtype) if isinstance(value, float) else value


def _given(problem: Problem, system: System, name: str) -> Any:
    """Return a field as the user gave it, numbers as arrays; of conditions their right-hand sides."""
    like, backend = system.data.guess, system.backend
    if name == "t":
        return system.data.grid.t if isinstance(system.data.grid, TimeGrid) else None
    if name in problem.domain:
        return _numbers_in(problem.domain[name], lambda a: _number(a, lambda a: alike(a, like, backend, name)))
    given = problem.given(name)
    if name == "params":
        return tree_map(lambda a: as_array(system, a), given)
    if name == "x" or (name in SIDES and isinstance(given, tuple)):
        return tree_map(lambda value: alike(value, like, backend, name), given)
    return None if given is None else alike(given, like, backend, name)


def _number(a: Any, array: Callable[[Any], Array]) -> Any:
    """Return an array of what is a number, and anything else as it is."""
    return array(a) if isinstance(a, float) or hasattr(a, "shape") else a


def _is_float(leaf: Any) -> bool:
    return hasattr(leaf, "dtype") and array_namespace(leaf).isdtype(leaf.dtype, "real floating")
