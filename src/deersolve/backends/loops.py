"""Loops, as a library runs them: these run in Python."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from array_api_compat import device as device_of

from .namespace import Array, Tree, array_namespace, joined, part
from .trees import stacked, tree_leaves, tree_map, unstacked

HELD = 100_000  # numbers in small arrays that wait to be written into a large one


class Loops:
    """The loops of an array library, and what they are made of."""

    unbound: Callable[[Array], Sequence[Array]] = staticmethod(lambda a: array_namespace(a).unstack(a))

    def while_loop(self, cond: Callable[[Any], Any], body: Callable[[Any], Any], state: Any) -> Any:
        """Return the state after ``body`` was applied for as long as ``cond`` holds."""
        while self.any_true(cond(state)):
            state = body(state)
        return state

    def when(self, flag: Any, function: Callable[[Any], Any], value: Any) -> Any:
        """Return ``function(value)`` where the flag holds anywhere, else ``value``; both of the same kind."""
        return self.while_loop(
            lambda s: array_namespace(s[0]).any(s[0]), lambda s: (s[0] & False, function(s[1])), (flag, value)
        )[1]

    def rarely(self, flag: Any, function: Callable[[Any], Any], value: Any) -> Any:
        """Return what :meth:`when` does, of what hardly any solve needs: a library may compile it only then."""
        return self.when(flag, function, value)

    def when_followed(self, flag: Any, function: Callable[[Any], Any], value: Any) -> Any:
        """Return what :meth:`when` does; derivatives pass in every mode."""
        return self.when(flag, function, value)

    def bounded_loop(self, cond: Callable[[Any], Any], body: Callable[[Any], Any], state: Any, most: int) -> Any:
        """Return what :meth:`while_loop` does where ``most`` rounds are enough; derivatives pass in every mode."""
        return self.while_loop(cond, body, state)

    def scan(self, body: Callable[[Any, int], tuple[Any, Any]], carry: Any, length: int) -> tuple[Any, Any]:
        """Return the last carry and the stacked outputs of ``carry, out = body(carry, i)``."""
        outputs, whole, filled, size = list[Any](), None, 0, 0

        def write(array: Array, part: Array) -> None:
            array[filled : filled + part.shape[0], ...] = part

        for i in range(length):
            carry, out = body(carry, i)
            outputs.append(out)
            is_last = i == length - 1
            size = size or max((math.prod(a.shape) for a in tree_leaves(out)), default=1)
            if is_last or (len(outputs) * size >= HELD and self.can_write(out)):
                stack = stacked(outputs)
                if is_last and whole is None:
                    return carry, stack
                if whole is None:
                    whole = tree_map(lambda a: self.empty((length, *a.shape[1:]), a), stack)
                tree_map(write, whole, stack)
                filled, outputs = filled + len(outputs), []
        return carry, whole

    def first_of_scan(
        self, body: Callable[[Any, int], tuple[Any, Any]], carry: Any, count: int, length: int, reverse: bool = False
    ) -> tuple[Any, Any]:
        """Return what :meth:`scan` does over ``i = 0 ... count - 1``, or back from there; outputs behind are 0."""
        carry, rows = self.scan(lambda at, k: body(at, count - 1 - k if reverse else k), carry, count)

        def filled(a: Array) -> Array:
            a = array_namespace(a).flip(a, axis=0) if reverse else a
            return joined([a, *[0 * a[:1, ...]] * (length - count)], 0)

        return carry, tree_map(filled, rows)

    def steps(
        self, f: Callable[[Any, Any], tuple[Any, Any]], carry: Any, xs: Any, length: int, unroll: int
    ) -> tuple[Any, Any]:
        """Return the last carry and the stacked outputs of ``carry, out = f(carry, x)``, x each entry of a tree."""
        rows = [*unstacked(xs, length, self.unbound)]
        return self.scan(lambda carry, i: f(carry, rows[i]), carry, length)

    def recorded_loop(
        self, cond: Callable[[Any], Any], body: Callable[[Any], Any], state: Any, most: int
    ) -> tuple[Any, Any]:
        """Return the stacked outputs of ``state, out = body(state)`` while ``cond`` holds, and the last state."""
        outputs: list[Any] = []
        while len(outputs) < most and self.any_true(cond(state)):
            state, out = body(state)
            outputs.append(out)
        outputs = outputs or [body(state)[1]]
        return stacked(outputs), state

    def over_spans(
        self, piece: Callable[..., Any], carry: Any, spans: list[tuple[int, int]], axis: int, overlap: int = 0
    ) -> Array:
        """Return the rows of ``carry, rows = piece(carry, start, steps)``, run over the spans in turn, end to end.

        The first ``overlap`` rows of a span are the last of the one before it in the grid, which count.
        """
        total = overlap + sum(steps for _, steps in spans)
        whole, parts = None, {}
        for start, steps in spans:
            carry, rows = piece(carry, start, steps)
            first = overlap if start else 0
            rows = part(rows, axis, first, None)
            if not self.can_write(rows):
                parts[start] = rows
                continue
            if whole is None:
                whole = self.empty((*rows.shape[:axis], total, *rows.shape[axis + 1 :]), rows)
            part(whole, axis, start + first, start + first + rows.shape[axis])[...] = rows
        if whole is not None:
            return whole
        return joined([parts[start] for start in sorted(parts)], axis)

    def can_write(self, tree: Tree) -> bool:
        """Return whether arrays like these may be written into another: no derivative follows them."""
        from .dual import DualArray

        return not any(isinstance(a, DualArray) for a in tree_leaves(tree))

    def empty(self, shape: tuple[int, ...], like: Array) -> Array:
        """Return an array of any values, of the kind of ``like``."""
        return array_namespace(like).empty(shape, dtype=like.dtype, device=device_of(like))

    def any_true(self, flag: Array) -> bool:
        """Return whether a boolean array of any shape holds anywhere, as the loops can use it."""
        return bool(array_namespace(flag).any(flag)) if hasattr(flag, "shape") else bool(flag)
