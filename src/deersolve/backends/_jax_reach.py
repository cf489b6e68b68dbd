"""Which components of y have a part in which of d f, by the operations that JAX traces: exact, and of no numbers.

Of the derivative along a direction every number gets the label of the one block whose directions it knows, NONE, or
MANY; an operation whose rule is not here makes MANY of what it is given.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from .namespace import Array, Tree

NONE, MANY = -1, -2
Labels = np.ndarray[Any, Any]

EACH = {"abs", "add", "add_any", "clamp", "complex", "conj", "convert_element_type", "copy", "copy_p", "div", "imag"}
EACH |= {"max", "min", "mul", "neg", "real", "reduce_precision", "select_n", "stop_gradient", "sub"}
INSIDE = ("jaxpr", "call_jaxpr", "fun_jaxpr")
CALLS = frozenset(
    ("jit", "pjit", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call", "remat2", "checkpoint")
)


def keeps_apart(f: Callable[..., Array], ys: tuple[Array, ...], x: Tree, blocks: list[int]) -> bool:
    """Return whether no component of d f has a part of a component of another block."""

    def change(directions: tuple[Array, ...], ys: tuple[Array, ...], x: Tree) -> Array:
        return jax.jvp(lambda *ys: f(*ys, x), ys, directions)[1]

    traced = jax.make_jaxpr(change)(ys, ys, x)
    given = [np.broadcast_to(np.asarray(blocks), y.shape) for y in ys]
    rest = [np.full(v.aval.shape, NONE) for v in traced.jaxpr.invars[len(ys) :]]
    (made,) = _followed(traced.jaxpr, [*given, *rest])
    return bool(np.all((made == np.asarray(blocks)) | (made == NONE)))


def _followed(jaxpr: Any, given: list[Labels]) -> list[Labels]:
    """Return the labels of what a jaxpr makes of labelled arguments."""
    known = dict(zip(jaxpr.invars, given, strict=True))

    def read(v: Any) -> Labels:
        return known[v] if not hasattr(v, "val") and v in known else np.full(v.aval.shape, NONE)

    for equation in jaxpr.eqns:
        made = _ruled(equation, [read(v) for v in equation.invars])
        known.update(zip(equation.outvars, made, strict=True))
    return [read(v) for v in jaxpr.outvars]


def _ruled(equation: Any, given: list[Labels]) -> list[Labels]:
    """Return the labels of what an operation makes."""
    name, params, shapes = equation.primitive.name, equation.params, [v.aval.shape for v in equation.outvars]
    if all((a == NONE).all() for a in given):
        return [np.full(shape, NONE) for shape in shapes]
    if name in EACH:
        return [_joined(*(np.broadcast_to(a, shape) for a in given)) for shape in shapes]
    if name in CALLS:
        inner = next(params[key] for key in INSIDE if key in params)
        return _followed(getattr(inner, "jaxpr", inner), given)
    if name in MOVES:
        return MOVES[name](params, *given)
    return [np.full(shape, MANY) for shape in shapes]


def _joined(first: Labels, *others: Labels) -> Labels:
    for b in others:
        first = np.where(first == NONE, b, np.where((b == NONE) | (first == b), first, MANY))
    return first


def _over(a: Labels, axes: tuple[int, ...]) -> Labels:
    """Return the label of all numbers along axes together."""
    if not all(a.shape[axis] for axis in axes):
        return np.full(np.max(a, axis=axes, initial=NONE).shape, NONE)
    most, least = a.max(axis=axes), np.where(a == NONE, np.iinfo(a.dtype).max, a).min(axis=axes)
    is_none = (a == NONE).all(axis=axes)
    return np.where(is_none, NONE, np.where(most == least, most, MANY))


def _product(params: Any, a: Labels, b: Labels) -> list[Labels]:
    (sums_a, sums_b), (batch_a, batch_b) = params["dimension_numbers"]

    def laid(labels: Labels, sums: tuple[int, ...], batch: tuple[int, ...]) -> Labels:
        free = [k for k in range(labels.ndim) if k not in (*sums, *batch)]
        turned = labels.transpose(*batch, *free, *sums)
        return _over(turned, tuple(range(turned.ndim - len(sums), turned.ndim)))

    a, b = laid(a, sums_a, batch_a), laid(b, sums_b, batch_b)
    shape = (*a.shape, *b.shape[len(batch_b) :])
    wide = a.reshape(*a.shape, *(1,) * (b.ndim - len(batch_b)))
    deep = b.reshape(*b.shape[: len(batch_b)], *(1,) * (a.ndim - len(batch_a)), *b.shape[len(batch_b) :])
    return [_joined(np.broadcast_to(wide, shape), np.broadcast_to(deep, shape))]


def _placed(params: Any, a: Labels, *_: Labels) -> list[Labels]:
    shape = params["shape"]
    places = [1] * len(shape)
    for size, axis in zip(a.shape, params["broadcast_dimensions"], strict=True):
        places[axis] = size
    return [np.broadcast_to(a.reshape(places), shape)]


def _cut(params: Any, a: Labels) -> list[Labels]:
    steps = params["strides"] or (None,) * a.ndim
    return [a[tuple(map(slice, params["start_indices"], params["limit_indices"], steps))]]


def _reduced(params: Any, a: Labels) -> list[Labels]:
    return [_over(a, tuple(params["axes"]))]


MOVES: dict[str, Callable[..., list[Labels]]] = {
    "broadcast_in_dim": _placed,
    "concatenate": lambda params, *parts: [np.concatenate(parts, axis=params["dimension"])],
    "dot_general": _product,
    "expand_dims": lambda params, a: [np.expand_dims(a, params["dimensions"])],
    "reshape": lambda params, a, *_: [a.reshape(params["new_sizes"])],
    "rev": lambda params, a: [np.flip(a, params["dimensions"])],
    "slice": _cut,
    "split": lambda params, a: np.split(a, np.cumsum(params["sizes"])[:-1], axis=params["axis"]),
    "squeeze": lambda params, a: [np.squeeze(a, tuple(params["dimensions"]))],
    "transpose": lambda params, a: [np.transpose(a, params["permutation"])],
    **dict.fromkeys(("reduce_sum", "reduce_max", "reduce_min", "reduce_prod"), _reduced),
}
