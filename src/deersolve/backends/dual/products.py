"""Products and linear algebra: f(da, b) + f(a, db) for what is linear in each of two arrays, and its inverses."""

from __future__ import annotations

from functools import partial
from typing import Any

from .array import RULES, DualArray, axes_of, from_end, pad, result, rule, split, strip, widen


def _parts(f: Any, a: Any, b: Any, left: int, right: int) -> tuple[Any, Any]:
    """Return f(da, b) and f(a, db), of an f that sums over one axis of each; None for a constant."""
    (va, ta), (vb, tb) = split(a), split(b)
    ndim = max(len(va.shape), len(vb.shape))
    return (
        None if ta is None else f(pad(widen(a, (left,)), ndim), vb),
        None if tb is None else f(va, pad(widen(b, (right,)), ndim)),
    )


def _along_one(xp: Any, f: Any, a: Any, b: Any, axis: int = -1) -> Any:
    axis = from_end(axis, max(len(a.shape), len(b.shape)))
    along = partial(f, axis=axis)
    return result(along(*strip((a, b))), *_parts(along, a, b, axis, axis))


RULES.update(dict.fromkeys(("vecdot", "cross"), _along_one))


@rule
def _matmul(xp: Any, f: Any, a: Any, b: Any) -> Any:
    """Multiply; a vector on the left is a row, one on the right a column."""
    y = f(*strip((a, b)))
    vectors = tuple(-2 + i for i, x in enumerate((a, b)) if len(x.shape) == 1)
    row, column = a[None, :] if -2 in vectors else a, b[:, None] if -1 in vectors else b
    parts = _parts(f, row, column, -1, -2)
    return result(y, *(t if t is None else xp.squeeze(t, axis=vectors) for t in parts))


@rule
def _tensordot(xp: Any, f: Any, a: Any, b: Any, axes: Any = 2) -> Any:
    (va, ta), (vb, tb) = split(a), split(b)
    na, nb = len(va.shape), len(vb.shape)
    left, right = (range(na - axes, na), range(axes)) if isinstance(axes, int) else axes
    left, right = (axes_of(tuple(s) if hasattr(s, "__iter__") else s, n) for s, n in ((left, na), (right, nb)))
    ta = None if ta is None else f(widen(a, left), vb, axes=(left, right))
    tb = None if tb is None else xp.moveaxis(f(va, widen(b, right), axes=(left, right)), na - len(left), 0)
    return result(f(va, vb, axes=(left, right)), ta, tb)


@rule
def _dot(xp: Any, f: Any, a: Any, b: Any) -> Any:
    left, right = (len(getattr(x, "shape", ())) for x in (a, b))
    if not left or not right:
        return a * b
    return a @ b if right <= 2 else xp.tensordot(a, b, axes=((left - 1,), (right - 2,)))


@rule
def _outer(xp: Any, f: Any, a: Any, b: Any) -> Any:
    column, row = (xp.reshape(x, shape) for x, shape in ((a, (-1, 1)), (b, (1, -1))))
    return column * row


@rule
def _einsum(xp: Any, f: Any, subscripts: Any, *operands: Any, **kwargs: Any) -> Any:
    """Sum over the operands what einsum makes of the tangent of one and of the values of the others."""
    if not isinstance(subscripts, str):
        raise TypeError("einsum is differentiated with its subscripts as a string only")
    terms, arrow, out = subscripts.replace(" ", "").partition("->")
    if not arrow:
        letters = terms.replace(",", "").replace(".", "")
        once = sorted(c for c in letters if letters.count(c) == 1)
        out = ("..." if "..." in terms else "") + "".join(once)
    inputs = terms.split(",")
    new = next(c for c in "zyxwvutsrqponmlkjihgfedcbaZ" if c not in terms)
    values, parts = list(strip(operands)), []
    for i, (term, x) in enumerate(zip(inputs, operands, strict=True)):
        if not isinstance(x, DualArray):
            continue
        head, _, tail = term.partition("...")
        places = [*enumerate(head), *enumerate(tail, -len(tail))]
        # Axes may stay lazy if they are neither summed nor repeated in their term.
        bound = [from_end(k, x.ndim) for k, c in places if c not in out or term.count(c) > 1]
        labels = ",".join([*inputs[:i], new + term, *inputs[i + 1 :]])
        arrays = [*values[:i], widen(x, bound), *values[i + 1 :]]
        parts.append(f(f"{labels}->{new}{out}", *arrays, **kwargs))
    return result(f(subscripts, *values, **kwargs), *parts)


@rule
def _solve(xp: Any, f: Any, a: Any, b: Any) -> DualArray:
    """Return x with A x = b, and dx with A dx = db - dA x."""
    (va, ta), (vb, tb) = split(a), split(b)
    x, is_vector = f(va, vb), len(vb.shape) == 1
    ndim = max(len(va.shape), len(vb.shape) + is_vector)
    column = x[..., None] if is_vector else x
    ta = None if ta is None else -pad(widen(a, (-2, -1)), ndim) @ column
    if tb is not None:
        tb = widen(b, (-1,) if is_vector else (-2,))
        tb = pad(tb[..., None] if is_vector else tb, ndim)
    dx = f(va, result(column, ta, tb).tangent)
    return DualArray(x, dx[..., 0] if is_vector else dx)


@rule
def _inv(xp: Any, f: Any, a: DualArray) -> DualArray:
    """Return the inverse, and -A^-1 dA A^-1."""
    y = f(a.value)
    return DualArray(y, -(y @ widen(a, (-2, -1)) @ y))


@rule
def _norm(xp: Any, f: Any, x: DualArray, ord: Any = None, axis: Any = None, keepdims: bool = False) -> DualArray:
    """Return the Euclidean norm over the axes, with the derivative 0 at 0."""
    axes = axes_of(axis, x.ndim)
    if ord not in (None, 2, "fro") or (ord == 2 and len(axes) > 1):
        raise TypeError("only the Euclidean (2- and Frobenius) norm has a derivative rule")
    y = xp.linalg.vector_norm(x.value, axis=axes, keepdims=keepdims)
    t = xp.sum(x.value * x.tangent, axis=axes, keepdims=keepdims)
    return DualArray(y, t / xp.where(y == 0, 1.0, y))


@rule
def _vector_norm(xp: Any, f: Any, x: DualArray, ord: Any = 2, **kwargs: Any) -> Any:
    return _norm(xp, f, x, None if ord == 2 else ord, **kwargs)
