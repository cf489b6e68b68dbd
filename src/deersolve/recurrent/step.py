"""One step of a scan, f(carry, x) -> (carry, y), on the leaves of what it takes and gives."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from ..backends.generic import Backend
from ..backends.namespace import Array, array_namespace, dtype_name, padded_behind
from ..backends.trees import record
from ..errors import InputError, mismatch


@record
class Inputs:
    """What a step is given.

    Attributes
    ----------
    xs : list of array
        The leaves of x.
    holds : array of bool or None
        Whether the step is one of the element, (*B,): else the carry stays as it is, and y is 0.
    begins : array of bool or None
        Whether it starts from the initial carry.
    """

    xs: list[Array]
    holds: Any = None
    begins: Any = None

    @property
    def flags(self) -> dict[str, Array]:
        """Those that there are, by their names."""
        both = {"holds": self.holds, "begins": self.begins}
        return {name: a for name, a in both.items() if a is not None}


@dataclasses.dataclass(frozen=True)
class Step:
    """f, and the trees it takes and gives.

    Attributes
    ----------
    f : callable
        ``f(carry, x) -> (carry, y)``; with a third argument where there are params.
    carry, inputs, outputs : form of a tree
        How the leaves of carry, x and y are nested; of y it is known behind the first call.
    start : list of array
        The leaves of the initial carry, as f has them.
    batch_axis : int or None
        Where f has the axis of the batch. Outside of f it is the first.
    """

    backend: Backend
    f: Callable[..., Any]
    carry: Any
    inputs: Any
    start: list[Array]
    batch_axis: int | None
    outputs: list[Any] = dataclasses.field(default_factory=list)

    def __call__(
        self, carry: list[Array], given: Inputs, start: list[Array], params: Any
    ) -> tuple[list[Any], list[Any]]:
        """Return the leaves of the carry behind the step, and those of y.

        Raises
        ------
        InputError
            If f returns no pair, or a carry of another form than the first.
        """
        if given.begins is not None:
            carry = [_where(given.begins, a, b) for a, b in zip(start, carry, strict=True)]
        new, y = self._called(carry, given.xs, params)
        if given.holds is not None:
            new = [_where(given.holds, a, b) for a, b in zip(new, carry, strict=True)]
            y = [_where(given.holds, a, 0 * a) for a in y]
        return new, y

    def _called(self, carry: list[Array], xs: list[Array], params: Any) -> tuple[list[Array], list[Array]]:
        old = self.moved(carry)
        args = self.carry.unflatten(old), self.inputs.unflatten(self.moved(xs))
        made = self.f(*args) if params is None else self.f(*args, params)
        if not isinstance(made, tuple) or len(made) != 2:
            received = f"{len(made)} of them" if isinstance(made, tuple) else type(made).__name__
            raise mismatch("f", "a pair back, f(carry, x) -> (carry, y)", received)
        (new, form), (outputs, nested) = map(self.backend.flatten, made)
        if not self.outputs:
            self._check(new, form, old)
            self.outputs.append(nested)
        outputs = [self._array(a) for a in outputs]
        return self.moved(new, back=True), self.moved(outputs, back=True)

    def moved(self, leaves: list[Array], back: bool = False) -> list[Array]:
        """Return leaves with the axis of the batch, the first, where f has it; or back."""
        if not self.batch_axis:
            return leaves
        ends = (self.batch_axis, 0) if back else (0, self.batch_axis)
        return [array_namespace(a).moveaxis(a, *ends) if a.ndim > self.batch_axis else a for a in leaves]

    def moved_behind_time(self, leaves: list[Array], back: bool = False) -> list[Array]:
        """Return leaves (T, ...) with the axis of the batch, the second, where f has it behind time; or back."""
        if not self.batch_axis:
            return leaves
        ends = (self.batch_axis + 1, 1) if back else (1, self.batch_axis + 1)
        return [array_namespace(a).moveaxis(a, *ends) if a.ndim > self.batch_axis + 1 else a for a in leaves]

    def _array(self, a: Any) -> Array:
        return a if hasattr(a, "shape") else self.backend.convert(a, self.start[0], None)

    def _check(self, leaves: list[Any], form: Any, before: list[Array]) -> None:
        """Raise where the carry that f returns is not like the one that it was given."""
        if form != self.carry:
            trees = self.carry.unflatten(self.start), form.unflatten(leaves)
            raise mismatch("f", f"a carry like init, {_told(trees[0])}", _told(trees[1]))
        for k, (new, old) in enumerate(zip(leaves, before, strict=True)):
            if _kind(new) != _kind(old):
                name = "f" if len(leaves) == 1 else f"f, leaf {k} of the carry"
                expected, received = (" and dtype ".join(map(str, _kind(a))) for a in (old, new))
                raise InputError(f"{name}: expected shape {expected} back, those of its argument; received {received}.")


def _kind(a: Any) -> tuple[tuple[int, ...], str]:
    return (tuple(a.shape), dtype_name(a)) if hasattr(a, "shape") else ((), type(a).__name__)


def _told(tree: Any) -> str:
    if isinstance(tree, dict):
        return f"a dict of {sorted(tree)}"
    return f"a {type(tree).__name__} of {len(tree)}" if isinstance(tree, list | tuple) else f"a {type(tree).__name__}"


def _where(flags: Array, a: Array, b: Array) -> Array:
    xp = array_namespace(b)
    return xp.where(padded_behind(flags, a.ndim), a, b)
