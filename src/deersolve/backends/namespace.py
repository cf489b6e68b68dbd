"""The array type of the package and the one way to find its namespace."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from ..errors import LibraryError

Array: TypeAlias = Any
"""An array of any library that follows the Array API: ``(*batch, *grid, n)``."""

Namespace: TypeAlias = Any
"""The functions of an array library, as given by :func:`array_namespace`."""

Tree: TypeAlias = Any
"""Arrays nested in dicts, lists, tuples and records."""


_KNOWN: dict[type, Namespace] = {}
"""The namespace of each type of array that was met: it is asked for at every turn."""


def array_namespace(*arrays: Array) -> Namespace:
    """Return ``xp``, the Array API functions of the library that ``arrays`` belong to.

    Parameters
    ----------
    *arrays : array
        Arrays of one library (NumPy, CuPy, JAX, PyTorch, ...) or the dual numbers that the
        Jacobians of NumPy and CuPy are computed with.

    Returns
    -------
    module
        The namespace; ``xp.tanh(y)``, ``xp.stack([...], axis=-1)``, ... work on the arrays.

    Raises
    ------
    LibraryError
        If an argument is not an array or if two libraries are mixed.

    Examples
    --------
    >>> import numpy as np
    >>> import deersolve as ds
    >>> xp = ds.array_namespace(np.zeros(3))
    >>> float(xp.cos(np.zeros(3))[0])
    1.0
    """
    if len(arrays) == 1 and (known := _KNOWN.get(type(arrays[0]))) is not None:
        return known
    import array_api_compat

    try:
        found = array_api_compat.array_namespace(*arrays)
    except TypeError as error:
        received = ", ".join(type(a).__name__ for a in arrays) or "none"
        raise LibraryError(f"array_namespace: expected arrays of one library; received {received}.") from error
    if len(arrays) == 1:
        _KNOWN[type(arrays[0])] = found
    return found


def padded(a: Array, rank: int) -> Array:
    """Return an array with at least so many axes, those of length 1 before its own."""
    if a.ndim >= rank:
        return a
    return array_namespace(a).reshape(a, (1,) * (rank - a.ndim) + tuple(a.shape))


def padded_behind(a: Array, rank: int) -> Array:
    """Return an array with at least so many axes, those of length 1 behind its own."""
    return a[(..., *(None,) * (rank - a.ndim))]


def moved(a: Array, source: int, destination: int) -> Array:
    """Return an array with one axis at another place: ``torch.func.vmap`` has no rule for ``torch.moveaxis``."""
    order = [k for k in range(a.ndim) if k != source % a.ndim]
    order.insert(destination % a.ndim, source % a.ndim)
    return array_namespace(a).permute_dims(a, tuple(order))


def part(a: Array, axis: int, start: int | None, stop: int | None, step: int | None = None) -> Array:
    """Return the points from start to stop along an axis, counted from the last; of those every ``step``-th."""
    return a[(..., slice(start, stop, step), *(slice(None),) * (-axis - 1))]


def joined(parts: Sequence[Array], axis: int) -> Array:
    """Return parts behind one another along an axis."""
    return array_namespace(parts[0]).concat(parts, axis=axis)


def dtype_name(array: Array) -> str:
    """Return "float64" for an array of float64 of any library."""
    return str(array.dtype).rsplit(".", maxsplit=1)[-1]
