"""The loops of JAX, which are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from . import _jax_programs
from ._jax_programs import whole
from .loops import Loops
from .namespace import Array, joined, part
from .spans import end_to_end


class JaxLoops(Loops):
    """``lax.while_loop``, ``lax.scan`` and ``lax.cond``, as the algorithms need them."""

    def while_loop(self, cond: Callable[[Any], Any], body: Callable[[Any], Any], state: Any) -> Any:
        """Return ``lax.while_loop(cond, body, state)``; a short program ends where it is not enough."""
        return _jax_programs.while_loop(cond, body, state)

    def rarely(self, flag: Any, function: Callable[[Any], Any], value: Any) -> Any:
        """Return what :meth:`when` does; of a short program the value, and that it is not enough where the flag holds.

        Most of what is compiled is for the few solves that need it. See :meth:`call`.
        """
        return _jax_programs.rarely(flag, lambda: self.when(flag, function, value), value)

    def when(self, flag: Any, function: Callable[[Any], Any], value: Any) -> Any:
        """Return ``function(value)`` where the flag holds anywhere, else ``value``; mapped over, it computes one still.

        The branch in the loop keeps XLA from moving what does not depend on the state out of it, to be computed always.
        """
        light = whole(function)

        def once(state: Any) -> Any:
            return state[0] & False, jax.lax.cond(jnp.any(state[0]), light, lambda v: v, state[1])

        return self.while_loop(lambda s: jnp.any(s[0]), once, (flag, value))[1]

    def when_followed(self, flag: Any, function: Callable[[Any], Any], value: Any) -> Any:
        """Return ``function(value)`` where the flag holds anywhere, by ``lax.cond``; mapped over, it computes both."""
        return jax.lax.cond(jnp.any(flag), function, lambda v: v, value)

    @whole
    def bounded_loop(self, cond: Callable[[Any], Any], body: Callable[[Any], Any], state: Any, most: int) -> Any:
        """Return a scan of ``most`` rounds that are skipped from where ``cond`` no longer holds."""

        def round_or_none(state: Any, _: Any) -> tuple[Any, None]:
            return jax.lax.cond(cond(state), body, lambda s: s, state), None

        return jax.lax.scan(round_or_none, state, length=most)[0]

    @whole
    def recorded_loop(
        self, cond: Callable[[Any], Any], body: Callable[[Any], Any], state: Any, most: int
    ) -> tuple[Any, Any]:
        """Return ``most`` outputs of ``state, out = body(state)``, 0 once ``cond`` fails, and the last state."""
        shapes = jax.eval_shape(lambda s: body(s)[1], state)
        rows = jax.tree.map(lambda a: jnp.zeros((most, *a.shape), a.dtype), shapes)

        def goes_on(carry: Any) -> Any:
            return (carry[0] < most) & jnp.any(cond(carry[1]))

        def once(carry: Any) -> Any:
            count, state, rows = carry
            state, out = body(state)
            return count + 1, state, jax.tree.map(lambda a, v: a.at[count].set(v), rows, out)

        _, state, rows = jax.lax.while_loop(goes_on, once, (jnp.asarray(0), state, rows))
        return rows, state

    @whole
    def first_of_scan(
        self, body: Callable[[Any, Any], tuple[Any, Any]], carry: Any, count: Any, length: int, reverse: bool = False
    ) -> tuple[Any, Any]:
        """Return what :meth:`scan` does over ``i = 0 ... count - 1``, or back from there; outputs behind are 0."""
        shapes = jax.eval_shape(lambda c: body(c, jnp.asarray(0))[1], carry)
        rows = jax.tree.map(lambda a: jnp.zeros((length, *a.shape), a.dtype), shapes)

        def once(k: Any, state: Any) -> Any:
            carry, rows = state
            i = count - 1 - k if reverse else k
            carry, out = body(carry, i)
            return carry, jax.tree.map(lambda a, v: a.at[i].set(v), rows, out)

        made: tuple[Any, Any] = jax.lax.fori_loop(0, count, once, (carry, rows))
        return made

    def scan(self, body: Callable[[Any, int], tuple[Any, Any]], carry: Any, length: int) -> tuple[Any, Any]:
        """Return ``lax.scan`` of ``body(carry, i)`` over ``i = 0 ... length - 1``."""
        return _jax_programs.scan(body, carry, length)

    def steps(
        self, f: Callable[[Any, Any], tuple[Any, Any]], carry: Any, xs: Any, length: int, unroll: int
    ) -> tuple[Any, Any]:
        """Return ``lax.scan(f, carry, xs, length, unroll=unroll)``, with its own derivatives."""
        return jax.lax.scan(f, carry, xs, length, unroll=unroll)  # type: ignore[no-any-return]

    def over_spans(
        self, piece: Callable[..., Any], carry: Any, spans: list[tuple[int, int]], axis: int, overlap: int = 0
    ) -> Array:
        """Return the rows of all spans: one compiled piece for those of equal length, one for the last."""
        is_reverse, block = spans[0][0] > 0, max(steps for _, steps in spans)
        rest = [s for s in spans if s[1] < block]
        count, tail = len(spans) - len(rest), list[Array]()

        def body(carry: Any, i: Any) -> Any:
            return piece(carry, (count - 1 - i if is_reverse else i) * block, block)

        def shorter(carry: Any) -> Any:
            for start, steps in rest:
                carry, rows = piece(carry, start, steps)
                tail.append(part(rows, axis, overlap, None))
            return carry

        carry, stack = self.scan(body, shorter(carry) if is_reverse else carry, count)
        if not is_reverse:
            shorter(carry)
        return joined([end_to_end(jnp.flip(stack, 0) if is_reverse else stack, axis, overlap), *tail], axis)

    def any_true(self, flag: Array) -> Any:
        """Return a scalar boolean array."""
        return jnp.any(flag)
