"""Complex numbers as pairs of real ones: n components are 2n, each imaginary part behind its real one."""

from __future__ import annotations

import numbers
from typing import Any

from .namespace import Array, array_namespace, dtype_name


def is_complex(value: Any) -> bool:
    """Return whether an array, a number or a list is complex, or holds what is."""
    if isinstance(value, list | tuple):
        return any(map(is_complex, value))
    if hasattr(value, "dtype"):
        return "complex" in dtype_name(value)
    return isinstance(value, numbers.Complex) and not isinstance(value, numbers.Real)


def as_complex(a: Array) -> Array:
    """Return an array in the complex dtype of its precision."""
    xp = array_namespace(a)
    return a if is_complex(a) else xp.astype(a, xp.complex64 if dtype_name(a) == "float32" else xp.complex128)


def complex_of(pairs: Array) -> Array:
    """Return complex numbers, (..., n), of their pairs, (..., 2n)."""
    return as_complex(pairs[..., 0::2]) + 1j * as_complex(pairs[..., 1::2])


def paired(z: Array) -> Array:
    """Return the pairs, (..., 2n), of complex or real numbers, (..., n)."""
    xp = array_namespace(z)
    return _interleaved(xp.real(z), xp.imag(z)) if is_complex(z) else _interleaved(z, 0 * z)


def repeated(a: Array) -> Array:
    """Return each of real numbers twice: what is the same for both parts."""
    return _interleaved(a, a)


def matrices_of_pairs(A: Array) -> Array:
    """Return the matrices, (..., 2m, 2n), that act on pairs as complex ones, (..., m, n), on complex numbers."""
    xp = array_namespace(A)
    columns = xp.stack([paired(A), paired(1j * as_complex(A))], axis=-1)  # what 1 and what i become, by parts
    columns = xp.reshape(columns, (*A.shape, 2, 2))  # (m, n, part, of)
    order = (*range(A.ndim - 2), A.ndim - 2, A.ndim, A.ndim - 1, A.ndim + 1)
    return xp.reshape(xp.permute_dims(columns, order), (*A.shape[:-2], 2 * A.shape[-2], 2 * A.shape[-1]))


def _interleaved(a: Array, b: Array) -> Array:
    xp = array_namespace(a)
    return xp.reshape(xp.stack([a, b], axis=-1), (*a.shape[:-1], 2 * a.shape[-1]))
