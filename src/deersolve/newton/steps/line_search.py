"""Newton's correction, shortened until the residual falls."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

from ...backends.namespace import Array, array_namespace
from ...errors import check_real, check_whole
from .base import Here, Step, norm


@dataclasses.dataclass(frozen=True)
class LineSearch(Step):
    """``y + s delta`` with the first s of 1, c, c^2, ... that lowers the norm of the residual.

    That is Armijo's condition,

        |r(y + s delta)| <= (1 - 1e-4 s) |r(y)|.

    The norm is the root mean square over grid and components, each batch element by itself; one that overflows is no
    decrease. ``delta`` must be a descent direction, as it is with the dense G; an element of which no s lowers the
    residual goes on by full steps.

    Parameters
    ----------
    factor : float
        c, in (0, 1).
    tries : int
        The largest number of evaluations of f in a step.

    Raises
    ------
    InputError
        If an option is out of range; in :func:`~deersolve.solve`, if the rule has no residual that is independent of G.

    Notes
    -----
    Where the linearised equation overflows over a long horizon, no multiple of delta helps: take
    :class:`LevenbergMarquardt`, or windows.

    References
    ----------
    Nocedal, Wright, "Numerical Optimization", 2nd ed., section 11.2.

    Examples
    --------
    >>> import numpy as np
    >>> import deersolve as ds
    >>> problem = ds.Recurrence(lambda y, x, p: 3.0 * np.arctan(y) - 1.0, np.array([2.0]), n_points=30)
    >>> bool(ds.solve(problem, method=ds.Newton(step=ds.LineSearch())).converged)
    True
    """

    factor: float = 0.5
    tries: int = 10
    searches: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_real("LineSearch", "factor in (0, 1)", self.factor, lambda value: 0 < value < 1)
        check_whole("LineSearch", "tries", self.tries)

    def __call__(self, here: Here) -> tuple[Array, Array, Array]:
        system, (r, delta) = here.system, here.correction()

        def propose(s: Array) -> Array:
            return system.per_element(s) * delta

        return r, search(here, norm(system, r), propose, here.damping * 0 + 1, self).change, here.damping

    def accepts(self, s: Array, after: Array, before: Array) -> Array:
        """Return whether a residual of that norm will do."""
        return after <= (1 - 1e-4 * s) * before


class Found(NamedTuple):
    """A proposal: its number, the change of y and the norm of the residual after it."""

    number: Array
    change: Array
    norm: Array


def search(
    here: Here,
    before: Array,
    propose: Callable[[Array], Array],
    first: Array,
    step: Any,
    left: Callable[[Array, Array], Array] | None = None,
) -> Found:
    """Return the first proposal of ``first, first factor, ...`` that the step accepts, for each batch element.

    It is judged by the norm of the residual after it, or of ``left(number, change)``. Where none of so many tries is
    accepted, the change is zero, or NaN where the residual is not finite.
    """
    system, xp, seeks = here.system, array_namespace(here.y), here.seeks(before)
    judged = left or (lambda _, change: system.residual(here.y + change))

    def unfinished(state: tuple[Found, Array, Array]) -> Array:
        return xp.any(state[1]) & (state[2] > 0)

    def again(state: tuple[Found, Array, Array]) -> tuple[Found, Array, Array]:
        found, fails, tries = state
        number = xp.where(fails, step.factor * found.number, found.number)
        change = propose(number)
        after = norm(system, judged(number, change))
        return Found(number, change, after), seeks & ~step.accepts(number, after, before), tries - 1

    untried = Found(first / step.factor, xp.zeros_like(here.y), before)
    tries = xp.asarray(step.tries, device=system.backend.placement(here.y))
    found, fails, _ = system.backend.while_loop(unfinished, again, (untried, xp.ones_like(seeks), tries))
    none = xp.where(xp.isfinite(before), 0.0, before * 0)
    return Found(found.number, xp.where(system.per_element(fails), system.per_element(none), found.change), found.norm)
