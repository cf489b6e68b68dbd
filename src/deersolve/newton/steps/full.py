"""Newton's correction as it is, or a fraction of it."""

from __future__ import annotations

import dataclasses

from ...backends.namespace import Array
from ...errors import check_real
from .base import Here, Step


@dataclasses.dataclass(frozen=True)
class Full(Step):
    """``y + delta``: Newton's method as it is, quadratic near the solution, finite in T steps of a recurrence."""

    def __call__(self, here: Here) -> tuple[Array, Array, Array]:
        r, delta = here.correction()
        return r, delta, here.damping


FULL = Full()


@dataclasses.dataclass(frozen=True)
class Damped(Step):
    """``y + fraction delta``: linear convergence, by ``1 - fraction``, for where full steps oscillate.

    Parameters
    ----------
    fraction : float
        In (0, 1].

    Examples
    --------
    >>> import deersolve as ds
    >>> ds.Newton(step=ds.Damped(0.5)).step
    Damped(fraction=0.5)
    """

    fraction: float

    def __post_init__(self) -> None:
        check_real("Damped", "fraction in (0, 1]", self.fraction, lambda value: 0 < value <= 1)

    def __call__(self, here: Here) -> tuple[Array, Array, Array]:
        r, delta = here.correction()
        return r, self.fraction * delta, here.damping
