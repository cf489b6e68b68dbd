"""Complex numbers that follow from real ones: where the rules of real numbers hold, and those of their parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .array import COMPLEX, DualArray, view

# Functions with a complex derivative, by the rule that they have of real numbers, and those that only move numbers.
SAME = """
    exp expm1 exp2 log log1p log2 log10 sqrt square reciprocal sin cos tan asin acos atan sinh cosh tanh asinh acosh
    atanh negative positive expit add subtract multiply divide pow where astype copy
    sum mean flip squeeze diff cumulative_sum take roll repeat prod tile concat stack hstack vstack take_along_axis
    asarray ravel reshape expand_dims moveaxis permute_dims swapaxes matrix_transpose broadcast_to broadcast_arrays
    split atleast_1d atleast_2d zeros_like ones_like full_like matmul tensordot dot outer einsum cross vecdot solve inv
    equal not_equal isnan isinf isfinite logical_not any all shape ndim size result_type can_cast isdtype iscomplexobj
    isrealobj isclose allclose array_equal
"""


def _part(xp: Any, f: Any, z: DualArray) -> DualArray:
    """Return what is linear in the real and the imaginary part."""
    return view(z, f(z.value), f(z.tangent))


def _of_size(slope: Callable[..., Any]) -> Callable[..., Any]:
    """Return the rule of a real function of z, from (xp, conj(z) dz, |z|, where that is 0 1)."""

    def rule(xp: Any, f: Any, z: DualArray) -> DualArray:
        size = abs(z.value)
        along = xp.plain.conj(z.value) * z.tangent
        return DualArray(f(z.value), slope(xp.plain, along, xp.plain.where(size == 0, xp.plain.ones_like(size), size)))

    return rule


COMPLEX.update(dict.fromkeys(SAME.split()))
COMPLEX.update(dict.fromkeys(("real", "imag", "conj"), _part))
COMPLEX["abs"] = _of_size(lambda xp, along, size: xp.real(along) / size)
COMPLEX["angle"] = _of_size(lambda xp, along, size: xp.imag(along) / size**2)
