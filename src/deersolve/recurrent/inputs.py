"""The inputs of a scan: x, which steps an element has, and which start anew."""

from __future__ import annotations

from typing import Any

from ..backends import backend_of
from ..backends.namespace import Array, array_namespace, dtype_name, padded_behind
from ..backends.trees import record
from ..errors import mismatch

WHERE = "batch_axis=... says where the elements of a batch stand."


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

    def without_padding(self) -> Inputs:
        """Return them with the x of the first step, or 0 where it is not finite, where an element has no step.

        f is called there too: on what it was made for, so that no NaN comes back in a derivative.
        """
        return (
            self if self.holds is None else Inputs([_filled(a, self.holds) for a in self.xs], self.holds, self.begins)
        )

    def reversed(self) -> Inputs:
        """Return all from the last step to the first."""
        flags = {name: array_namespace(a).flip(a, axis=0) for name, a in self.flags.items()}
        return Inputs([array_namespace(a).flip(a, axis=0) for a in self.xs], **flags)


def holds_of(lengths: Any, T: int, batch: tuple[int, ...], like: Array) -> Array | None:
    """Return whether each step is one of its element, (T, *B); None where all have all."""
    if lengths is None:
        return None
    a = _beside("lengths", lengths, like, "integral", "whole numbers")
    if tuple(a.shape) != batch:
        expected = f"shape {batch}, a number of steps for each element of the batch"
        raise mismatch("lengths", expected, tuple(a.shape), "" if batch else WHERE)
    xp, backend = array_namespace(a), backend_of(a)
    known = backend.to_numpy(a) if backend.is_concrete(a) else None
    if known is not None and ((known < 0) | (known > T)).any():
        raise mismatch("lengths", f"numbers of steps from 0 to T = {T}", known.tolist())
    steps = xp.arange(T, dtype=a.dtype, device=backend.placement(like))
    return padded_behind(steps, a.ndim + 1) < a[None, ...]


def begins_of(reset: Any, T: int, batch: tuple[int, ...], like: Array) -> Array | None:
    """Return whether each step starts from the first carry, (T, *B)."""
    if reset is None:
        return None
    a = _beside("reset", reset, like, "bool", "flags")
    if tuple(a.shape) not in {(T,), (T, *batch)}:
        expected = f"shape {(T,)}" + (f" or {(T, *batch)}" if batch else "")
        raise mismatch("reset", expected, tuple(a.shape), "" if batch else WHERE)
    xp = array_namespace(a)
    return xp.broadcast_to(padded_behind(a, 1 + len(batch)), (T, *batch))


def _filled(a: Array, holds: Array) -> Array:
    xp = array_namespace(a)
    first = a[:1, ...]
    if xp.isdtype(a.dtype, ("real floating", "complex floating")):
        first = xp.where(xp.isfinite(first), first, xp.zeros_like(first))
    return xp.where(padded_behind(holds, a.ndim), a, first)


def _beside(name: str, value: Any, like: Array, kind: str, expected: str) -> Array:
    """Return whole numbers or flags as an array beside the carry."""
    import numpy as np

    backend = backend_of(like)
    a = value if backend.is_array(value) else backend.convert(np.asarray(value), like, None)
    if not array_namespace(a).isdtype(a.dtype, kind):
        raise mismatch(name, expected, dtype_name(a), "Such as reset.astype(bool)." if kind == "bool" else "")
    return a


def masked(flags: Array, a: Array, b: Array) -> Array:
    """Return a where the flags hold, (*B,), else b."""
    return array_namespace(a).where(padded_behind(flags, a.ndim), a, b)
