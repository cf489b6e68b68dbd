"""Adapters: functions written for one point, for rows or for SciPy, as an f of whole trajectories."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .backends import backend_of
from .errors import FunctionError, mismatch
from .options import check_whole
from .record import tree_map
from .typing import Array, array_namespace


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
    _check(f, "rowwise", "f(y_1 (N, n), ..., x (N, k), params)")

    def over_rows(*args: Any) -> Array:
        *ys, x, params = args
        shape = ys[0].shape
        N = math.prod(shape[:-1])

        def rows(a: Array) -> Array:
            xp = array_namespace(a)
            full = a if a.shape[:-1] == shape[:-1] else xp.broadcast_to(a, (*shape[:-1], a.shape[-1]))
            return xp.reshape(full, (N, a.shape[-1]))

        out = f(*(rows(y) for y in ys), tree_map(rows, x), params)
        if len(getattr(out, "shape", ())) != 2 or out.shape[0] != N:
            received = tuple(out.shape) if hasattr(out, "shape") else type(out).__name__
            raise FunctionError(f"rowwise: expected f to return rows (N, n), here N = {N}; received {received}.")
        return array_namespace(out).reshape(out, (*shape[:-1], out.shape[-1]))

    return over_rows


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
    _check(f, "pointwise", "f(y_1 (n,), ..., x (k,), params)")

    def of_rows(*args: Any) -> Array:
        *ys, x, params = args

        def at_a_point(*args: Any) -> Array:
            made = f(*args, params)
            if len(getattr(made, "shape", ())) != 1:
                received = tuple(made.shape) if hasattr(made, "shape") else type(made).__name__
                raise FunctionError(f"pointwise: expected f to return an array (n,) of a point; received {received}.")
            return made

        return backend_of(ys[0]).vmap(at_a_point, (*ys, x))

    return rowwise(of_rows)


def from_scipy(fun: Callable[..., Any]) -> Callable[..., Array]:
    """Turn SciPy's right-hand side ``fun(t, y)``, y of shape (n, N), into an f of trajectories.

    Parameters
    ----------
    fun : callable
        As for ``scipy.integrate.solve_ivp(fun, ...)``: components on the first axis, a list or an array back.
        ``params`` is passed on as a third argument if it is not None (a tuple is unpacked, as ``args`` is).

    Returns
    -------
    callable
        f of the contract; x must be the time, which is the default of ``InitialValueProblem``.

    Raises
    ------
    InputError
        If x is not the time.

    Examples
    --------
    >>> import numpy as np
    >>> import deersolve as ds
    >>> f = ds.from_scipy(lambda t, y: [y[1], -np.sin(y[0])])
    >>> f(np.ones((7, 2)), np.zeros((7, 1)), None).shape
    (7, 2)
    """
    _check(fun, "from_scipy", "SciPy's fun(t, y)")

    def of_trajectory(y: Array, x: Any, params: Any) -> Array:
        if not hasattr(x, "shape") or x.shape[-1] != 1:
            raise mismatch("from_scipy", "x to be the time, shape (T, 1)", type(x).__name__)
        extra = () if params is None else params if isinstance(params, tuple) else (params,)
        xp = array_namespace(y)
        out = fun(x[..., 0], xp.moveaxis(y, -1, 0), *extra)
        if isinstance(out, list | tuple):
            flat = y[..., 0] * 0
            return xp.stack([flat + part for part in out], axis=-1)
        return xp.moveaxis(out, 0, -1)

    return of_trajectory


def _check(given: Any, where: str, expected: str) -> None:
    if not callable(given):
        raise mismatch(where, f"a function {expected}", repr(given))


def ravel(*arrays: Array) -> Array:
    """Join several arrays into one state along the last axis; :func:`unravel` takes it apart.

    Examples
    --------
    >>> import numpy as np
    >>> import deersolve as ds
    >>> ds.ravel(np.zeros((5, 2)), np.ones((5, 3))).shape
    (5, 5)
    """
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
