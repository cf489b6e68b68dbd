"""Solves compiled twice, whole and without what is rarely needed, of functions whose constants are arguments.

A short program leaves out what :meth:`Jax.rarely` is asked for, and tells whether its answer would need that.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

_left_out: ContextVar[list[Any] | None] = ContextVar("left_out", default=None)
"""Flags of what a short program leaves out, each of which says that the answer would need it; None in a whole one."""


def whole(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return the method with nothing left out: what it traces is inside a transformation that no flag can leave."""

    @functools.wraps(method)
    def run(*args: Any) -> Any:
        before = _left_out.set(None)
        try:
            return method(*args)
        finally:
            _left_out.reset(before)

    return run


def rarely(flag: Any, otherwise: Callable[[], Any], value: Any) -> Any:
    """Return ``otherwise()``, or of a short program the value, which is not enough where the flag holds."""
    flags = _left_out.get()
    if flags is None:
        return otherwise()
    flags.append(jnp.any(flag))
    return value


def while_loop(cond: Callable[[Any], Any], body: Callable[[Any], Any], state: Any) -> Any:
    """Return ``lax.while_loop(cond, body, state)``; a short program ends where it is not enough."""
    flags = _left_out.get()
    if flags is None:
        return jax.lax.while_loop(cond, body, state)

    def goes_on(carry: Any) -> Any:
        return cond(carry[0]) & ~carry[1]

    state, lacks = jax.lax.while_loop(goes_on, lambda carry: _short(body, carry[0]), (state, jnp.asarray(False)))
    flags.append(lacks)
    return state


def scan(body: Callable[[Any, Any], tuple[Any, Any]], carry: Any, length: int) -> tuple[Any, Any]:
    """Return ``lax.scan`` of ``body(carry, i)`` over ``i = 0 ... length - 1``."""
    flags = _left_out.get()
    if flags is None:
        last, outputs = jax.lax.scan(body, carry, jnp.arange(length))
        return last, outputs

    def short(carry: Any, i: Any) -> Any:
        (new, output), lacks = _short(lambda carry: body(carry, i), carry[0])
        return (new, carry[1] | lacks), output

    (last, lacks), outputs = jax.lax.scan(short, (carry, jnp.asarray(False)), jnp.arange(length))
    flags.append(lacks)
    return last, outputs


def _short(function: Callable[[Any], Any], value: Any) -> tuple[Any, Any]:
    """Return ``function(value)`` without what is rarely needed, and whether that is needed."""
    flags: list[Any] = []
    before = _left_out.set(flags)
    try:
        result = function(value)
    finally:
        _left_out.reset(before)
    return result, functools.reduce(jnp.logical_or, flags, jnp.asarray(False))


class Programs:
    """A function compiled: whole, and without what is needed rarely."""

    def __init__(self, run: Callable[..., Any], inner: list[Any]) -> None:
        self.whole = jax.jit(run)
        self.short = jax.jit(functools.wraps(run)(lambda *args: _short(lambda args: run(*args), args)))
        self.inner = inner  # kept so that their ids stay taken
        self.is_enough = True

    def __call__(self, is_seen: bool, *args: Any) -> Any:
        """Return what the short program gives where that is enough, as far as Python sees it."""
        if is_seen and self.is_enough:
            result, lacks = self.short(*args)
            self.is_enough = not bool(lacks)
            if self.is_enough:
                return result
        return self.whole(*args)


def rebuilt(
    traced: dict[str, list[Any]], constants: dict[str, list[Any]], trees: dict[str, list[Any]]
) -> dict[str, Callable[..., Any]]:
    """Return the functions again, with the constants given; the one traced for the shapes is used."""

    def one(name: str) -> Callable[..., Any]:
        table = {}
        for closed, consts, tree in zip(traced[name], constants[name], trees[name], strict=True):
            shapes = tuple(v.aval.shape for v in closed.jaxpr.invars)
            table[shapes] = jaxpr_as_fun(ClosedJaxpr(closed.jaxpr, consts)), tree

        def call(*args: Any) -> Any:
            leaves = jax.tree.leaves(args)
            run, tree = table[tuple(jnp.shape(a) for a in leaves)]
            return jax.tree.unflatten(tree, run(*leaves))

        return call

    return {name: one(name) for name in traced}


def nested_constants(jaxpr: Any) -> list[Any]:
    """Return the arrays that calls inside a jaxpr hold for themselves."""
    return [c for item in _items(jaxpr) if isinstance(item, ClosedJaxpr) for c in item.consts]


def callbacks(jaxpr: Any) -> list[Any]:
    """Return the functions of Python's that a jaxpr calls back, those that calls inside it do included."""
    return [item.callback_func for item in _items(jaxpr) if hasattr(item, "callback_func")]


def same(function: Any) -> Any:
    """Return what tells one function of Python's from another, as long as both are kept."""
    if isinstance(function, functools.partial):
        named = tuple(sorted(function.keywords.items()))
        return (same(function.func), *(same(a) if callable(a) else a for a in function.args), named)
    if hasattr(function, "__self__"):
        return id(function.__self__), id(getattr(function, "__func__", function.__name__))
    return id(function)


def _items(jaxpr: Any) -> Iterator[Any]:
    """Yield the parameters of all operations, those inside other ones included."""
    for equation in jaxpr.eqns:
        for value in equation.params.values():
            for item in value if isinstance(value, tuple | list) else (value,):
                yield item
                inner = getattr(item, "jaxpr", item)
                if hasattr(inner, "eqns"):
                    yield from _items(inner)
