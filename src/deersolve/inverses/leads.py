"""Recurrences that look ahead as well as back: y_i = f(y_{i-k_1}, ..., y_{i-k_P}, x_i, params), k_p of both signs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from ..backends.namespace import Array, array_namespace, joined
from ..backends.trees import record
from ..grids.base import Grid
from ..grids.shifters import BuiltIn
from .operator import Operator


@record
class Ends:
    """Values before the first point, oldest first, and behind the last, nearest first: (*B, K, n) or None."""

    y0: Array | None
    y_end: Array | None
    given: ClassVar[None] = None


@record
class Between(Grid):
    """The points between them."""

    def named(self, boundary: Ends) -> dict[str, Array]:
        """Return both."""
        return {"y0": boundary.y0, "y_end": boundary.y_end}

    def renamed(self, boundary: Ends, new: dict[str, Array]) -> tuple[Between, Ends]:
        """Return the grid, and other ends."""
        return self, replace(boundary, **new)


@dataclass(frozen=True)
class Shift(BuiltIn):
    """S[y]_i = y_{i-k}, for k of any sign, with the values beyond both ends."""

    k: int

    def __call__(self, y: Array, *, grid: Any, boundary: Ends) -> Array:
        """Return the signal, (*B, T, n)."""
        T, k = y.shape[-2], abs(self.k)
        beyond = boundary.y0 if self.k > 0 else boundary.y_end
        if beyond is None or k == 0:
            return y
        beyond = array_namespace(y).broadcast_to(beyond, (*y.shape[:-2], *beyond.shape[-2:]))
        if self.k > 0:
            return joined([beyond[..., beyond.shape[-2] - k :, :], y], -2)[..., :T, :]
        return joined([y, beyond[..., :k, :]], -2)[..., k:, :]


class TwoSided(Operator):
    """y = f(S y): L and M are the identity, and each S_p has one diagonal."""

    def __init__(self, n_points: int, lags: tuple[int, ...]) -> None:
        from scipy.sparse import eye_array

        super().__init__(eye_array(n_points), shifts=tuple(eye_array(n_points, k=-k) for k in lags))
        self.shifts: tuple[Any, ...] = tuple(map(Shift, lags))

    def prepared(self, boundary: Ends, guess: Array) -> Ends:
        """Return the ends as they are."""
        return boundary
