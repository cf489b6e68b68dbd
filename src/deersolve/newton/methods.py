"""The methods a user can choose: Newton on the whole trajectory, the sequential loop, or Auto."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from ..backends.registration import close_matches
from ..errors import UnknownKeyError, check_real, check_whole, mismatch
from ..linalg.structure import Choice, Dense, Diagonal, Zero
from .approximate_jacobians import Hutchinson, Picard
from .equation import System
from .iteration import REUSE, Iterate, Options, start_at
from .memory import bytes_of
from .steps.base import Step
from .steps.full import FULL
from .windows.adaptive import can_slide, sliding
from .windows.compiled import sequential, windowed
from .windows.homotopy import newton_on_branch

MEMORY = "2GiB"  # for what is linearised at once
STEPS = "Full(), Damped(...), LineSearch(...), LevenbergMarquardt(...) or PseudoTransient(...)"
STRUCTURES = {"dense": Dense, "diagonal": Diagonal, "zero": Zero, "picard": Picard(), "hutchinson": Hutchinson()}


@dataclasses.dataclass(frozen=True)
class Newton:
    """Newton's method on all grid points at once, y_next = y + (L + M sum_p G_p S_p)^{-1} [M f(y) - L y].

    Parameters
    ----------
    rtol : float, optional
        Stop when the correction is below ``rtol`` times the size of the equation's terms at its point.
        By default the iteration goes on to roundoff. This is the error of the *discrete* equation; the
        grid decides the error of a differential equation (``stats.discretisation_error``).
    atol : float
        Added to that, in the unit of y.
    max_steps : int
        The largest number of steps (in each window).
    structure : type or str
        ``Dense``, ``Diagonal``, ``BlockDiagonal.of_size(b)``, ``Hutchinson()``, ``Picard()`` or ``Zero``: what is kept
        of G (:mod:`deersolve.newton.approximate_jacobians` compares them). Anything but ``Dense`` is certified and
        finished by dense steps.
    window : int, optional
        Solve stretches of at most that many steps one after the other: less memory, and convergence where the
        whole horizon is too far from the guess. Those of a recurrence follow the equation, outside JAX: shorter where
        Newton's method fails, with the loop as the last resort.
    step : Full, Damped, LineSearch, LevenbergMarquardt or PseudoTransient
        How much of the correction is taken: all of it by default. Anything else is for a guess from which full steps
        fail, and is certified and finished by full steps.
    reuse : int
        How many evaluations of f alone, with the last G, may be spent to save one of f and its Jacobians where the
        corrections promise that they suffice (the chord method); 0 for full steps only.
    memory : str or int, optional
        How many bytes Jacobians may take at once where they need not be known together, as 2e9 or "2GiB": in the
        gradient, in the estimates behind a solve, and in windows that Auto chooses. None for no limit.

    Raises
    ------
    InputError
        If an option is out of range.
    """

    rtol: float | None = None
    atol: float | None = None
    max_steps: int = 100
    structure: Any = Dense
    window: int | None = None
    step: Step = FULL
    reuse: int = REUSE
    memory: Any = MEMORY

    def __post_init__(self) -> None:
        _check_tolerances(self.rtol, self.atol)
        bytes_of(self.memory)
        structure = (
            STRUCTURES.get(self.structure, self.structure) if isinstance(self.structure, str) else self.structure
        )
        if not isinstance(structure, Choice) and not any(structure is known for known in STRUCTURES.values()):
            hint = close_matches(str(self.structure), list(STRUCTURES))
            if isinstance(structure, type):
                hint = " Use BlockDiagonal.of_size(b), Hutchinson() or Picard()."
            raise UnknownKeyError(f"Newton: unknown structure {self.structure!r}.{hint}")
        object.__setattr__(self, "structure", structure)
        check_whole("Newton", "max_steps", self.max_steps)
        if self.window is not None:
            check_whole("Newton", "window", self.window)
        if not isinstance(self.step, Step):
            raise mismatch("Newton", f"step as {STEPS}", repr(self.step))
        check_whole("Newton", "reuse", self.reuse, least=0)

    @property
    def options(self) -> Options:
        """The part of the options that one window needs."""
        return Options(self.rtol, self.atol or 0.0, self.max_steps, self.structure, self.step, self.reuse)

    def run(self, system: System) -> Iterate:
        """Solve the system."""
        if self.window is not None:
            march = sliding if can_slide(system, self.options) else windowed
            return march(system, self.options, self.window)
        return newton_on_branch(system, start_at(system, system.data.guess, self.options), self.options)

    def points(self, length: int, overlap: int) -> list[int]:
        """Return the numbers of grid points that f will be evaluated on at once."""
        if self.window is None or self.window >= length:
            return [length + overlap]
        rest = 0 if overlap else length % self.window
        return sorted({length + overlap, self.window + overlap, *([rest + overlap] if rest else [])})


@dataclasses.dataclass(frozen=True)
class Sequential:
    """The loop: y_i = f(y_{i-1}, ...) one after the other; an ODE's rule is solved interval by interval.

    Parameters
    ----------
    rtol, atol : float, optional
        For the implicit rules, as for :class:`Newton`.
    memory : str or int, optional
        As for :class:`Newton`.
    """

    structure: ClassVar[Any] = Dense
    step: ClassVar[Step] = FULL
    rtol: float | None = None
    atol: float | None = None
    memory: Any = MEMORY

    def __post_init__(self) -> None:
        _check_tolerances(self.rtol, self.atol)
        bytes_of(self.memory)

    def run(self, system: System) -> Iterate:
        """Solve the system step by step."""
        return sequential(system, Options(self.rtol, self.atol or 0.0))

    def points(self, length: int, overlap: int) -> list[int]:
        """Return the numbers of grid points that f will be evaluated on at once."""
        return sorted({1 + overlap, length + overlap})


@dataclasses.dataclass(frozen=True)
class Auto:
    """Choose between Newton, windows and the loop by backend, device and size; ``stats.choice`` says why.

    Parameters
    ----------
    rtol, atol : float, optional
        Passed on to the method chosen.
    memory : str or int, optional
        As for :class:`Newton`; also the longest window.
    """

    rtol: float | None = None
    atol: float | None = None
    memory: Any = MEMORY

    def __post_init__(self) -> None:
        _check_tolerances(self.rtol, self.atol)
        bytes_of(self.memory)


def method_of(method: Any) -> Newton | Sequential | Auto:
    """Return the method that a user named or made."""
    names = {"newton": Newton, "sequential": Sequential, "auto": Auto}
    if isinstance(method, str):
        if method.lower() not in names:
            raise UnknownKeyError(f"no method is named {method!r}." + close_matches(method.lower(), list(names)))
        return names[method.lower()]()  # type: ignore[no-any-return]
    if isinstance(method, type) and method in names.values():
        return method()  # type: ignore[no-any-return]
    if not isinstance(method, Newton | Sequential | Auto):
        raise mismatch("method", "Newton(...), Sequential(...), Auto(...) or a name", repr(method))
    return method


def _check_tolerances(rtol: float | None, atol: float | None) -> None:
    if rtol is not None:  # a correction of all of y certifies nothing
        check_real("rtol", "a number >= 0 and below 1, or None for roundoff", rtol, lambda value: 0 <= value < 1)
    if atol is not None:
        expected = "a finite number >= 0, or None for roundoff"
        check_real("atol", expected, atol, lambda value: 0 <= value < float("inf"))
