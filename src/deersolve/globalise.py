"""How much of Newton's correction is taken: in full, damped, after a line search, or by Levenberg and Marquardt.

Each is a small object, for ``Newton(step=...)``. What is certified does not depend on it: where the residual is not at
roundoff, full dense steps finish.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

from .domain import kept
from .options import check_real, check_whole
from .structure import Structure
from .system import Linearised, System
from .typing import Array, array_namespace

Correct = Callable[[Array, tuple[Array, ...], Array], tuple[Array, Array]]


@dataclasses.dataclass(frozen=True)
class Here:
    """The iterate, its linearisation and what a step may need to know of it.

    ``damping`` is what the last step handed on, of shape (*B,); elements that are not in ``seeks`` are not searched
    for: they are finished, or the norm of their residual is at roundoff. ``correct`` is of ``(y, ys, fy)``, with G.
    """

    system: System
    y: Array
    at: Linearised
    damping: Array
    seeks: Callable[[Array], Array]
    correct: Correct

    @property
    def Gs(self) -> tuple[Structure, ...]:
        """``G_p = -d f / d y_p``, or what is kept of it."""
        return tuple(-J for J in self.at.Js)

    def correction(self) -> tuple[Array, Array]:
        """Return the residual and Newton's correction."""
        return self.correct(self.y, self.at.ys, self.at.fy)


class Step:
    """What a globalisation is: it returns the residual, the change of y and the damping of the next step."""

    damping: float = 0.0
    """The damping of the first step."""
    searches: ClassVar[bool] = False
    """Whether it compares residuals, so that only rules with one will do."""
    damps: ClassVar[bool] = False
    """Whether it solves in damped least squares, so that only rules which can will do."""
    flows: ClassVar[bool] = False
    """Whether it goes along a flow to a steady state, so that only equations in space will do."""

    def __call__(self, here: Here) -> tuple[Array, Array, Array]:
        """Return the residual at y, the change of y and the damping of the next step."""
        raise NotImplementedError


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


@dataclasses.dataclass(frozen=True)
class LevenbergMarquardt(Step):
    """``y + delta`` with delta of the smallest ``|r - A delta|^2 + damping |delta|^2``, ``A = L + M sum_p G_p S_p``.

    The damping is divided by ``factor`` where the norm of the residual falls, and multiplied by it where that rises,
    for each batch element by itself; a step after which the residual overflows is not taken, but tried again with more
    damping. However far the linearised equation grows, ``|delta| <= |r| / (2 sqrt(damping))``; as the damping falls,
    the step becomes Newton's. Known as ELK: for a recurrence of one lag delta is the mean of a Kalman smoother.

    Steps that raise the residual are taken: Newton's method solves a recurrence from its beginning, while what
    follows is still wrong, and the norm of the whole is no guide there.

    Parameters
    ----------
    damping : float
        That of the first step, > 0, in the unit of A^2, which is 1 on the diagonal for a recurrence.
    factor : float
        How it changes, > 1.
    tries : int
        The largest number of dampings tried in a step.

    Raises
    ------
    InputError
        If an option is out of range; in :func:`~deersolve.solve`, if the rule has no damped solve, as a recurrence of
        several lags.

    Notes
    -----
    Depth ``O(log T)``, work ``O(T n^3)``, a few times that of a full step, and one more evaluation of f.

    References
    ----------
    Gonzalez, Warrington, Smith, Linderman, "Towards Scalable and Stable Parallelization of Nonlinear RNNs",
    arXiv 2407.19115. Nocedal, Wright, "Numerical Optimization", 2nd ed., section 10.3.

    Examples
    --------
    >>> import deersolve as ds
    >>> ds.Newton(step=ds.LevenbergMarquardt(damping=1e-4)).step.damping
    0.0001
    """

    damping: float = 1e-6
    factor: float = 10.0
    tries: int = 10
    searches: ClassVar[bool] = True
    damps: ClassVar[bool] = True

    def __post_init__(self) -> None:
        what, largest = "LevenbergMarquardt", float("inf")
        check_real(what, "damping as a finite number > 0", self.damping, lambda value: 0 < value < largest)
        check_real(what, "factor as a finite number > 1", self.factor, lambda value: 1 < value < largest)
        check_whole("LevenbergMarquardt", "tries", self.tries)

    def __call__(self, here: Here) -> tuple[Array, Array, Array]:
        system, rule, Gs = here.system, here.system.rule, here.Gs
        where = {"grid": system.data.grid, "boundary": system.data.boundary}
        r = kept(system.data.grid, rule.residual(here.y, here.at.fy, **where))
        before = norm(system, r)

        def propose(damping: Array) -> Array:
            return kept(system.data.grid, rule.damped(Gs, r, damping, **where))

        found = search(here, before, propose, here.damping, self)
        xp = array_namespace(r)
        least = float(xp.finfo(r.dtype).eps)
        less = xp.where(found.norm < before, xp.maximum(found.number / self.factor, least), found.number * self.factor)
        return r, found.change, less

    def accepts(self, damping: Array, after: Array, before: Array) -> Array:
        """Return whether a residual of that norm will do."""
        return after < float("inf")


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


def norm(system: System, r: Array) -> Array:
    """Return the root mean square of r over grid and components, free of overflow, of each batch element."""
    xp = array_namespace(r)
    peak = system.over_grid(xp.max, xp.abs(r))
    scale = xp.where((peak > 0) & (peak < xp.inf), peak, 1.0)
    return scale * xp.sqrt(system.over_grid(xp.mean, (r / system.per_element(scale)) ** 2))
