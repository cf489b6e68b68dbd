"""The points between two ends, and what conditions say of both ends together."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from ..backends.namespace import Array, array_namespace
from ..backends.trees import record
from .base import Grid


@record
class Given:
    """The right-hand sides of conditions.

    Attributes
    ----------
    value : array, shape (*B, 1, n)
    """

    value: Array


@record
class Span(Grid):
    """The points of a first-order system, and the conditions ``first u_0 + last u_{N-1} = value``.

    Attributes
    ----------
    s : array, shape (N,)
        The points.
    D : array, shape (1, ..., N - 1, 1)
        The distances between them, taken in the dtype of s.
    first, last : array, shape (n, n)
        One row for each condition; zeros where the conditions are a function.
    sizes : array, shape (n, n) or (*B, n, n)
        What each component weighs in each condition: ``|first| + |last|``, or the derivatives of a function at the
        guess.
    """

    linked: ClassVar[str] = "s"
    """The axis along which a row knows two neighbouring points."""
    s: Array
    D: Array
    first: Array
    last: Array
    sizes: Array

    @property
    def unit(self) -> Array:
        """What each condition is multiplied by, to be of the size of u, (*B, 1, n)."""
        xp = array_namespace(self.sizes)
        size = xp.max(self.sizes, axis=-1)[..., None, :]
        return 1 / xp.where((size > 0) & xp.isfinite(size), size, 1.0)

    @property
    def n_points(self) -> int:
        """The number of grid points N."""
        return int(self.s.shape[-1])

    @property
    def space(self) -> dict[str, Array]:
        """The points by the name of their axis."""
        return {"s": self.s}

    def named(self, boundary: Given) -> dict[str, Array]:
        """Return the data of the conditions by the names that :class:`deersolve.Coupled` gives them."""
        return {"first": self.first, "last": self.last, "value": boundary.value}

    def renamed(self, boundary: Given, new: dict[str, Array]) -> tuple[Span, Given]:
        """Return the grid and the conditions with some of those in the place of the old ones."""
        now = {**self.named(boundary), **new}
        return dataclasses.replace(self, first=now["first"], last=now["last"]), Given(now["value"])

    def lay(self, name: str, given: Array, like: Array) -> Array:
        """Return what a user gave by that name, laid out like an array of :meth:`named` or of x."""
        given = given[..., None, :] if name == "value" and given.ndim else given
        return array_namespace(given).broadcast_to(given, like.shape)

    def per_point(self, c: Array) -> Array:
        """Return the sums over the components at each point."""
        return array_namespace(c).sum(c, axis=-1)
