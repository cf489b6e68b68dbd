"""One step of a scan, f(carry, x) -> (carry, y), on the leaves of what it takes and gives."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from ..backends.generic import Backend
from ..backends.namespace import Array, moved
from ..errors import InputError, mismatch
from .inputs import Inputs, masked


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
    outputs: list[Any] = dataclasses.field(default_factory=list)  # one, known behind the first call

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
            begins = given.begins if given.holds is None else given.begins & given.holds
            carry = [masked(begins, a, b) for a, b in zip(start, carry, strict=True)]
        new, y = self._called(carry, given.xs, params)
        if given.holds is not None:
            new = [masked(given.holds, a, b) for a, b in zip(new, carry, strict=True)]
            y = [masked(given.holds, a, 0 * a) for a in y]
        return new, y

    def _called(self, carry: list[Array], xs: list[Array], params: Any) -> tuple[list[Array], list[Array]]:
        before = self.carry.unflatten(self.moved(carry))
        new, y = self.checked(self.by(params)(before, self.inputs.unflatten(self.moved(xs))), before)
        (leaves, _), (outputs, nested) = self.backend.flatten(new), self.backend.flatten(y)
        self.outputs[:] = [nested]
        return self.moved(leaves, back=True), self.moved(outputs, back=True)

    @property
    def n_batch(self) -> int:
        """How many axes the batch has."""
        return 0 if self.batch_axis is None else 1

    def by(self, params: Any) -> Callable[[Any, Any], Any]:
        """Return f of a carry and x alone."""
        return self.f if params is None else lambda carry, x: self.f(carry, x, params)

    def checked(self, made: Any, before: Any) -> tuple[Any, Any]:
        """Return what f made of a carry, numbers in y as arrays; raise where it cannot be a step."""
        if not isinstance(made, tuple) or len(made) != 2:
            received = f"{len(made)} of them" if isinstance(made, tuple) else type(made).__name__
            raise mismatch("f", "a pair back, f(carry, x) -> (carry, y)", received)
        (new, form), (outputs, nested), (old, _) = map(self.backend.flatten, (*made, before))
        self._check(new, form, old)
        if all(hasattr(a, "shape") for a in outputs):
            return made
        return made[0], nested.unflatten([self._array(a) for a in outputs])

    def moved(self, leaves: list[Array], back: bool = False) -> list[Array]:
        """Return leaves with the axis of the batch, the first, where f has it; or back."""
        if not self.batch_axis:
            return leaves
        ends = (self.batch_axis, 0) if back else (0, self.batch_axis)
        return [moved(a, *ends) if a.ndim > self.batch_axis else a for a in leaves]

    def moved_behind_time(self, leaves: list[Array], back: bool = False) -> list[Array]:
        """Return leaves (T, ...) with the axis of the batch, the second, where f has it behind time; or back."""
        if not self.batch_axis:
            return leaves
        ends = (self.batch_axis + 1, 1) if back else (1, self.batch_axis + 1)
        return [moved(a, *ends) if a.ndim > self.batch_axis + 1 else a for a in leaves]

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
                expected, received = (f"{kind[0]} and dtype {_name(kind[1])}" for kind in map(_kind, (old, new)))
                raise InputError(f"{name}: expected shape {expected} back, those of its argument; received {received}.")


def _kind(a: Any) -> tuple[tuple[int, ...], Any]:
    return (tuple(a.shape), a.dtype) if hasattr(a, "shape") else ((), type(a))


def _name(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) else str(kind).rsplit(".", maxsplit=1)[-1]


def _told(tree: Any) -> str:
    if isinstance(tree, dict):
        return f"a dict of {sorted(tree)}"
    return f"a {type(tree).__name__} of {len(tree)}" if isinstance(tree, list | tuple) else f"a {type(tree).__name__}"
