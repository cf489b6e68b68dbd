"""Adapters: functions written for one point, for rows or for SciPy, as an f of whole trajectories."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

from ..backends import backend_of
from ..backends.namespace import Array, array_namespace
from ..backends.trees import tree_map
from ..errors import FunctionError, check_whole, mismatch
from .scipy_form import FromScipy


@dataclasses.dataclass(frozen=True)
class Adapted:
    """An f of rows as an f of trajectories; by which adapter, and what the function inside has to be."""

    function: Callable[..., Array]
    adapter: str
    contract: str

    def __call__(self, *args: Any) -> Array:
        """Return f over (*B, T, n), all leading axes flattened into rows and back."""
        *ys, x, params = args
        shape, xp = tuple(ys[0].shape), array_namespace(ys[0])
        lead, N = shape[:-1], math.prod(shape[:-1])

        def rows(a: Array) -> Array:
            full = a if a.shape[:-1] == lead else xp.broadcast_to(a, (*lead, a.shape[-1]))
            return xp.reshape(full, (N, a.shape[-1]))

        out = self.function(*map(rows, ys), rows(x) if hasattr(x, "shape") else tree_map(rows, x), params)
        found = tuple(out.shape) if hasattr(out, "shape") else type(out).__name__
        if found != (N, shape[-1]):
            raise FunctionError(f"f, inside {self.adapter}: expected rows {(N, shape[-1])}; received {found}.")
        return xp.reshape(out, shape)


def rowwise(f: Callable[..., Array]) -> Callable[..., Array]:
    """Turn an f of rows, ``f(y_1 (N, n), ..., x (N, k), params) -> (N, n)``, into an f of trajectories.

    Parameters
    ----------
    f : callable
        Such as ``torch.nn.GRUCell`` with its arguments in the order of the contract.

    Returns
    -------
    callable
        f with the contract's shapes: all leading axes are flattened into rows and back.

    Examples
    --------
    >>> import numpy as np
    >>> import deersolve as ds
    >>> W = np.array([[0.5, 0.1], [0.0, 0.3]])
    >>> f = ds.rowwise(lambda y, x, params: np.tanh(y @ W + x))
    >>> f(np.ones((3, 5, 2)), np.zeros((3, 5, 2)), None).shape
    (3, 5, 2)
    """
    _check(f, "rowwise", "f(y_1, ..., y_P, x, params) of rows")
    return Adapted(f, "ds.rowwise", "f(y_1 (N, n), ..., x (N, k), params) -> (N, n), each row by itself")


def pointwise(f: Callable[..., Array]) -> Callable[..., Array]:
    """Turn an f of one point, ``f(y_1 (n,), ..., x (k,), params) -> (n,)``, into an f of trajectories.

    Parameters
    ----------
    f : callable
        A function of one grid point.

    Returns
    -------
    callable
        f with the contract's shapes: by vmap on JAX and PyTorch, by a Python loop over the points on
        NumPy and CuPy, where it is slow.

    Examples
    --------
    >>> import numpy as np
    >>> import deersolve as ds
    >>> f = ds.pointwise(lambda y, x, params: np.stack([y[1], -y[0]]))
    >>> f(np.ones((4, 2)), None, None).shape
    (4, 2)
    """
    _check(f, "pointwise", "f(y_1, ..., y_P, x, params) of one point")

    def of_rows(*args: Any) -> Array:
        *ys, x, params = args

        def at_a_point(*args: Any) -> Array:
            made = f(*args, params)
            if len(getattr(made, "shape", ())) != 1:
                received = tuple(made.shape) if hasattr(made, "shape") else type(made).__name__
                raise FunctionError(f"pointwise: expected f to return an array (n,) of a point; received {received}.")
            return made

        return backend_of(ys[0]).vmap(at_a_point, (*ys, x))

    return Adapted(of_rows, "ds.pointwise", "f(y_1 (n,), ..., x (k,), params) -> (n,), of one point")


def from_scipy(fun: Callable[..., Any], *, vectorized: bool = False, unknowns: int = 0) -> FromScipy:
    """Turn SciPy's right-hand side ``fun(t, y)`` into an f of trajectories, or its ``bc(ya, yb)`` into conditions.

    Parameters
    ----------
    fun : callable
        As for ``scipy.integrate.solve_ivp``: of a number t and y of shape (n,), a list, tuple or array of n numbers
        back. ``params`` is passed on as a third argument if it is not None (a tuple is unpacked, as ``args`` is). As
        for ``solve_bvp``: ``fun(x, y)`` for the f of a :class:`TwoPointProblem`, ``bc(ya, yb)`` for its ``ends``.
    vectorized : bool
        Whether fun takes arrays of many points, t of shape (N,) and y of shape (n, N), for sure. By default that is
        tried on a stretch of the grid and again at the solution: where it fails or has other values, fun is called
        point by point (by ``vmap`` on JAX and PyTorch), and ``sol.stats.derivative`` says so.
    unknowns : int
        How many unknown numbers p solve_bvp would be given a guess of: they stand behind y in the state, and fun and
        bc are called with p as third argument.

    Returns
    -------
    callable
        f of the contract; x must be the time, which is the default of ``InitialValueProblem``, or the points s.

    Raises
    ------
    InputError
        If x is not the time.
    FunctionError
        From ``solve``: if fun cannot be called at a point, or ``vmap`` cannot follow it on JAX or PyTorch.

    Examples
    --------
    >>> import numpy as np
    >>> import deersolve as ds
    >>> def fun(t, y):
    ...     return [y[1], -np.sin(y[0])] if t < 0.5 else [y[1], 0.0]
    >>> t = np.linspace(0.0, 1.0, 401)
    >>> sol = ds.solve(ds.InitialValueProblem(ds.from_scipy(fun), t, np.array([1.0, 0.0])))
    >>> sol.stats.derivative
    'dual numbers, point by point'
    """
    _check(fun, "from_scipy", "SciPy's fun(t, y) or bc(ya, yb)")
    if isinstance(unknowns, bool) or not isinstance(unknowns, int) or unknowns < 0:
        raise mismatch("unknowns", "how many unknown numbers there are, an integer", repr(unknowns))
    return FromScipy(fun, bool(vectorized), unknowns)


def _check(f: Any, name: str, expected: str) -> None:
    if not callable(f):
        raise mismatch(name, f"a function, {expected}", repr(f))


def ravel(*arrays: Array) -> Array:
    """Join several arrays into one state along the last axis; :func:`unravel` takes it apart.

    Examples
    --------
    >>> import numpy as np
    >>> import deersolve as ds
    >>> ds.ravel(np.zeros((5, 2)), np.ones((5, 3))).shape
    (5, 5)
    """
    for array in arrays:
        array_namespace(array)  # refuses what is no array
    return array_namespace(*arrays).concat(list(arrays), axis=-1)


def unravel(state: Array, *sizes: int) -> tuple[Array, ...]:
    """Split a state into arrays of the given sizes along the last axis.

    Examples
    --------
    >>> import numpy as np
    >>> import deersolve as ds
    >>> [part.shape for part in ds.unravel(np.zeros((5, 5)), 2, 3)]
    [(5, 2), (5, 3)]
    """
    for size in sizes:
        check_whole("unravel", "each size", size, least=0)
    array_namespace(state)  # refuses what is no array
    if (sum(sizes),) != tuple(state.shape[-1:]):
        raise mismatch("unravel", f"sizes that add up to the last axis of {tuple(state.shape)}", sizes)
    parts, end = [], 0
    for size in sizes:
        parts.append(state[..., end : end + size])
        end += size
    return tuple(parts)
