"""Exact forward-mode derivatives for NumPy, CuPy and array-api-strict arrays.

A `DualArray` carries a value of shape ``S`` and a tangent of shape ``(m, *S')``, one
slice per direction, where ``S'`` has the value's number of axes and broadcasts against
``S``.  Tangents stay lazy (axes of size 1) for as long as an operation allows: a seed is
``(m, 1, ..., 1, n)`` however large the batch.  Every rule is one vectorised call over the
leading axis of the tangent, and axes are counted from the end so that the same call serves
value and tangent.

A derivative is never dropped in silence: a function without a rule raises `TypeError`, and
so does every conversion to a plain array or a Python number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from array_api_compat import device as device_of

from ..namespace import array_namespace
from . import complex_rules, elementwise, products, shapes  # noqa: F401 - they fill the table of rules
from .array import FROZEN, DualArray, duals_in, split, tangent_of

__all__ = ["DualArray", "tangent_of", "value_and_tangents"]


def value_and_tangents(f: Callable[..., Any], ys: Sequence[Any], seeds: Any = None) -> tuple[Any, Any]:
    """Evaluate a function together with its exact derivatives along every input component.

    Parameters
    ----------
    f : callable
        Maps the P arrays of `ys` to one array of shape (*S, n_out), each batch element by
        itself.
    ys : sequence of P arrays
        The inputs, input p of shape (*S, n_p) and a real floating dtype.
    seeds : array of shape (k, n), optional
        Directions of every input of n components; by default its components.

    Returns
    -------
    value : array of shape (*S, n_out)
        ``f(*ys)``.
    tangents : array of shape (m, *S, n_out), with m = sum of the n_p, or P k
        Slice k is the derivative of the value with respect to component, or direction, k of the
        inputs, taken one after the other.  It may be a read-only broadcast view.

    Raises
    ------
    TypeError
        If `f` does something to its inputs that has no derivative rule, or does not return one
        array.

    """
    import numpy as np  # here, so that importing this module loads no array library

    if duals_in(list(ys)):
        raise TypeError("derivatives of derivatives are not supported")
    xp = array_namespace(*ys)
    if not all(xp.isdtype(y.dtype, "real floating") for y in ys):
        raise TypeError(f"derivatives need real floating-point arrays, got {[str(y.dtype) for y in ys]}")
    counts = [y.shape[-1] if seeds is None else seeds.shape[0] for y in ys]
    m, start, duals = sum(counts), 0, []
    for y, count in zip(ys, counts, strict=True):
        n = y.shape[-1]
        seed = xp.eye(m, count, k=-start, dtype=y.dtype, device=device_of(y))
        seed = seed if seeds is None else xp.matmul(seed, seeds)
        duals.append(DualArray(y, xp.reshape(seed, (m, *(1,) * (y.ndim - 1), n)), FROZEN))
        start += count
    # A derivative may be infinite where the value is not, as that of sqrt(x) is at 0.
    with np.errstate(divide="ignore", invalid="ignore"):
        out = f(*duals)
    if not hasattr(out, "shape"):
        raise TypeError(f"the function must return one array, not {type(out).__name__}")
    value, tangent = split(out)[0], tangent_of(out, duals[0])
    if xp.isdtype(value.dtype, "complex floating"):
        raise TypeError(f"the function must return real numbers, not {value.dtype}")
    if tangent.dtype != value.dtype:
        tangent = xp.astype(tangent, value.dtype)
    return value, xp.broadcast_to(tangent, (m, *value.shape))
