"""What a user gave, as arrays of one library, device and dtype, with the axes that they broadcast over."""

from __future__ import annotations

from typing import Any

from .backends import backend_of
from .backends.generic import Backend
from .errors import LibraryError, mismatch
from .record import tree_leaves, tree_map
from .typing import Array, Tree, array_namespace, dtype_name


def state(given: Any, name: str) -> tuple[Array, Backend]:
    """Return y0 (or the guess) as an array, and its backend."""
    if isinstance(given, int | float | list | tuple):
        import numpy as np

        given = np.asarray(given, dtype=None)
    backend = backend_of(given)
    kind = dtype_name(given)
    if "float16" in kind:
        raise LibraryError(
            f"{name}: expected float32 or float64; received {kind}. Newton's method stalls at the roundoff of "
            "half precision (about 3e-3); convert with float32 and cast the result back."
        )
    if kind not in ("float32", "float64"):
        raise LibraryError(
            f"{name}: expected float32 or float64; received {kind}. Write 1.0 instead of 1, or convert it."
        )
    if given.ndim < 1 or 0 in given.shape:
        raise mismatch(name, "shape (*B, n) with n >= 1", tuple(given.shape))
    return given, backend


def beside(value: Any, like: Array, backend: Backend, name: str, cast: bool = True) -> Array:
    """Return ``value`` as an array of the library, device and dtype of ``like``."""
    if isinstance(value, int | float | list | tuple) or backend.accepts(value):
        return backend.convert(value, like, like.dtype if cast else None)
    if not hasattr(value, "shape"):
        advice = "Give its values at the points." if callable(value) else ""
        raise mismatch(name, f"an array of {backend.name}", type(value).__name__, advice)
    if backend_of(value) is not backend:
        raise LibraryError(
            f"{name}: expected an array of {backend.name}, like y0; received one of {backend_of(value).name}. "
            "Convert it: the library of y0 decides."
        )
    xp = array_namespace(like)
    if backend.placement(value) != backend.placement(like):
        raise LibraryError(
            f"{name}: expected device {backend.device(like)}, like y0; received {backend.device(value)}."
        )
    floating = xp.isdtype(value.dtype, "real floating")
    return xp.astype(value, like.dtype) if cast and floating and value.dtype != like.dtype else value


def expanded(x: Tree, like: Array, backend: Backend, rank: int) -> Tree:
    """Expand every leaf of x to the rank of y."""

    def expand(leaf: Any) -> Array:
        a = beside(leaf, like, backend, "x")
        if a.ndim == 1:
            raise mismatch("x", "leaves of shape (T, k) or (*B, T, k)", f"shape {tuple(a.shape)}", "Use x[:, None].")
        if a.ndim > rank:
            return a
        return array_namespace(a).reshape(a, (*(1 for _ in range(rank - a.ndim)), *a.shape))

    return tree_map(expand, x)


def ranks(x: Tree) -> int:
    """Return the largest number of axes of a leaf of x."""
    return max((getattr(a, "ndim", 0) for a in tree_leaves(x)), default=0)


def batch_of(parts: list[tuple[str, tuple[int, ...]]]) -> tuple[int, ...]:
    """Broadcast batch shapes; an error names who disagrees."""
    rank = max((len(s) for _, s in parts), default=0)
    out = [1] * rank
    for name, shape in parts:
        for k, size in enumerate(reversed(shape), start=1):
            if size != 1 and out[-k] not in (1, size):
                listed = ", ".join(f"{who} {s}" for who, s in parts)
                raise mismatch(name, f"batch axes that broadcast with {tuple(out)}", shape, f"Batch axes: {listed}.")
            out[-k] = max(out[-k], size)
    return tuple(out)


def spanning(x: Tree, T: int) -> None:
    """Raise unless every leaf of x has one point, or one for each of the grid."""
    for leaf in tree_leaves(x):
        if leaf.shape[-2] not in (1, T):
            raise mismatch("x", f"1 or T = {T} points on axis -2", f"shape {tuple(leaf.shape)}")
