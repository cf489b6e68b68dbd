"""What is given at the ends and sides of space."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, NamedTuple

from ..backends.given import Given, batch_of, real_numbers
from ..backends.namespace import Array, array_namespace
from ..backends.trees import record, static
from ..errors import mismatch


class Condition:
    """What is given at one side of space: ``a u + b du/dn = value``, of which ``given`` is the name of the last."""

    a: Any = 0.0
    b: Any = 1.0
    given: ClassVar[str] = ""
    is_ring: ClassVar[bool] = False
    is_open: ClassVar[bool] = True
    """Whether a numerical flux passes."""

    @property
    def robin(self) -> tuple[Any, Any, Any]:
        """Return a, b and the value."""
        return self.a, self.b, getattr(self, self.given) if self.given else 0.0

    def of_pairs(self, value: Any) -> Any:
        """Return the condition on both parts of complex components, with this value."""
        return dataclasses.replace(self, **{self.given: value}) if self.given else self  # type: ignore[type-var]


@record
class Dirichlet(Condition):
    """u = value at one side.

    Attributes
    ----------
    value : number or array
        Of shape (n,) or (*B, n), or what broadcasts to that.
    """

    a, b, given = 1.0, 0.0, "value"
    value: Any = 0.0


@record
class Neumann(Condition):
    """du/dn = slope at one side, n the outward normal: at the left, du/ds = -slope.

    Attributes
    ----------
    slope : number or array
        As the value of :class:`Dirichlet`.
    """

    given = "slope"
    slope: Any = 0.0


@record
class Robin(Condition):
    """a u + b du/dn = value at one side, n the outward normal.

    Attributes
    ----------
    a, b : float or tuple of float
        The same for all components, or one for each. Where b is 0 the condition is Dirichlet's.
    value : number or array
        As the value of :class:`Dirichlet`.
    """

    given = "value"
    a: Any = static()
    b: Any = static()
    value: Any = 0.0

    def of_pairs(self, value: Any) -> Any:
        """Return the condition on both parts: what there is for each component is for both."""
        return Robin(_twice(self.a), _twice(self.b), value)


@record
class NoFlux(Condition):
    """Nothing passes one side: neither by diffusion nor, where a problem has one, by its ``flux``.

    Without a ``flux`` it is ``Neumann(0)``.
    """

    is_open: ClassVar[bool] = False


@record
class Periodic(Condition):
    """u at one side is u at the other; both sides have to say so."""

    is_ring: ClassVar[bool] = True


@record
class Coupled:
    """first @ u(a) + last @ u(b) = value, n conditions on the two ends of n components.

    A condition on one end alone has a row of zeros in the matrix of the other.

    Attributes
    ----------
    first, last : array, shape (n, n)
        A row for each condition.
    value : number or array
        Of shape (n,) or (*B, n).
    """

    first: Any
    last: Any
    value: Any = 0.0


class Side(NamedTuple):
    """``a u + b du/dn = value`` at one side: numbers a and b for each component, and value, (*B, n or 1)."""

    a: tuple[float, ...]
    b: tuple[float, ...]
    value: Array

    @property
    def fixes(self) -> list[bool]:
        """Whether it gives the value itself, of each component."""
        return [q == 0 for q in self.b]


def parts_of(side: Any) -> tuple[Any, ...]:
    """Return the conditions at a side: one, or one for each component."""
    return side if isinstance(side, tuple) else (side,)


def components_of(sides: tuple[Any, ...]) -> int:
    """Return for how many components the conditions are: the most that one of them says."""
    sizes: list[int] = []
    for parts in map(parts_of, sides):
        sizes += [len(parts)] if len(parts) > 1 else map(width_of, parts[0].robin)
    return max(sizes)


def width_of(value: Any) -> int:
    """Return the length of the last axis of what a user gave for a condition."""
    if isinstance(value, tuple | list) and value:
        is_row = not isinstance(value[0], tuple | list) and not getattr(value[0], "shape", ())
        return len(value) if is_row else width_of(value[0])
    shape = getattr(value, "shape", ())
    return int(shape[-1]) if shape else 1


def side_of(side: Any, n: int, given: Given, name: str) -> Side:
    """Return the conditions at one side as numbers and an array; raise unless they are for n components."""
    parts = parts_of(side)
    if len(parts) not in (1, n):
        raise mismatch(name, f"one condition, or n = {n} of them", f"{len(parts)}")
    every_a, every_b, values = zip(*(part.robin for part in parts), strict=True)
    a, b = _numbers(every_a, n, name), _numbers(every_b, n, name)
    if (0.0, 0.0) in zip(a, b, strict=True):
        raise mismatch(name, "a or b of a u + b du/dn = value not 0", "both 0")
    if any(q == 0 and p != 1 for p, q in zip(a, b, strict=True)):
        raise mismatch(name, "a = 1 where b = 0, in Robin(a, b, value)", f"a = {a}, b = {b}", "Divide the value by a.")
    value = value_of([given.array(name, v) for v in values], name)
    if value.shape[-1] not in (1, n):
        raise mismatch(name, f"a value for each of n = {n} components", tuple(value.shape))
    return Side(a, b, value)


def value_of(values: list[Array], name: str) -> Array:
    """Return the right-hand sides of the conditions of one side, (*B, n or 1)."""
    xp = array_namespace(values[0])
    values = [xp.reshape(v, (1,)) if v.ndim == 0 else v for v in values]
    if len(values) == 1:
        return values[0]
    if any(v.shape[-1] != 1 for v in values):
        raise mismatch(name, "a value of shape (*B, 1), or a number, for each component", "another shape")
    shape = batch_of([(name, tuple(v.shape[:-1])) for v in values])
    return xp.concat([xp.broadcast_to(v, (*shape, 1)) for v in values], axis=-1)


def _twice(given: Any) -> Any:
    """Return a number, or each of a row twice."""
    is_row = isinstance(given, tuple | list) or getattr(given, "ndim", 0) == 1
    return tuple(number for number in given for _ in range(2)) if is_row and len(given) > 1 else given


def _numbers(given: tuple[Any, ...], n: int, name: str) -> tuple[float, ...]:
    """Return n numbers."""
    flat = [number for value in given for number in real_numbers(value, f"a and b at the {name}")]
    if len(flat) not in (1, n):
        raise mismatch(name, f"a and b as numbers, or n = {n} of them", f"{len(flat)}")
    return tuple(flat) if len(flat) == n else tuple(flat * n)
