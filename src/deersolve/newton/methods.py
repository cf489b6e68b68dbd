"""The methods a user can choose: Newton on the whole trajectory, the sequential loop, or Auto between them."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from ..backends.registration import close_matches
from ..errors import UnknownKeyError, check_real, check_whole, mismatch
from ..linalg.scans import ways
from ..linalg.structure import Choice, Dense, Diagonal, Zero
from .approximate_jacobians import Hutchinson, Picard
from .causality import check_window
from .cost import prefers_loop, window_of
from .equation import System
from .first_guess import first_guess
from .iterate import REUSE, Iterate, Options, start_at
from .memory import bytes_of, steps_within
from .steps.base import Step
from .steps.full import FULL
from .windows.compiled import windowed
from .windows.homotopy import newton_on_branch
from .windows.loop import loop
from .windows.march import adaptive, can_follow
from .windows.pace import stretch_of
from .windows.watch import NOBODY, Watch

MEMORY = "2GiB"  # for what is linearised at once
SPARE = 1.25  # times the window that fits, for which two are not worth while
MARCH = 32  # intervals of a window where a compiled loop makes windows free
STEPS = "Full(), Damped(...), LineSearch(...), LevenbergMarquardt(...) or PseudoTransient(...)"
STRUCTURES = {"dense": Dense, "diagonal": Diagonal, "zero": Zero, "picard": Picard(), "hutchinson": Hutchinson()}


class Method:
    """What all methods have: tolerances, and a limit of memory."""

    rtol: float | None
    atol: float | None
    memory: Any
    scan: Any
    window: Any

    def __post_init__(self) -> None:
        if self.rtol is not None:  # a correction of all of y certifies nothing
            expected = "a number >= 0 and below 1, or None for roundoff"
            check_real("rtol", expected, self.rtol, lambda value: 0 <= value < 1)
        if self.atol is not None:
            expected = "a finite number >= 0, or None for roundoff"
            check_real("atol", expected, self.atol, lambda value: 0 <= value < float("inf"))
        bytes_of(self.memory)
        if self.scan is not None:
            if not isinstance(self.scan, str):
                advice = "A function of your own is registered by @deersolve.linalg.scans.register(name)."
                raise mismatch(type(self).__name__, "scan as the name of a scan", repr(self.scan), advice)
            ways.check(self.scan)

    def chosen(self, system: System, is_watched: bool) -> tuple[Any, str]:
        """Return the method to run and one sentence why."""
        check_window(system.why_whole, self)
        return self, "as asked"


@dataclasses.dataclass(frozen=True)
class Newton(Method):
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
        The largest number of steps of what cannot be cut; a window that 12 steps do not solve is cut before.
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
    scan : str, optional
        How recurrences are run, of rules that scan along time, in the iteration, the certificate and the gradient: a
        name in ``deersolve.linalg.scans.ways``, one of your own included. By default a table chooses.

    Raises
    ------
    InputError
        If an option is out of range.
    UnknownKeyError
        If a structure or scan has no such name.
    """

    by: ClassVar[str] = "newton"
    rtol: float | None = None
    atol: float | None = None
    max_steps: int = 100
    structure: Any = Dense
    window: int | None = None
    step: Step = FULL
    reuse: int = REUSE
    memory: Any = MEMORY
    scan: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
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

    def is_seen(self, system: System) -> bool:
        """Return whether Python sees each window."""
        return self.window is not None and can_follow(system, self.options)

    def run(self, system: System, watch: Watch = NOBODY) -> Iterate:
        """Solve the system."""
        if self.window is None:
            return newton_on_branch(system, start_at(system, first_guess(system), self.options), self.options)
        if self.is_seen(system):
            return adaptive(system, self.options, self.window, watch)
        return windowed(system, self.options, self.window)

    def points(self, length: int, overlap: int) -> list[int]:
        """Return the numbers of grid points that f will be evaluated on at once."""
        if self.window is None or self.window >= length:
            return [length + overlap]
        rest = 0 if overlap else length % self.window
        return sorted({length + overlap, self.window + overlap, *([rest + overlap] if rest else [])})


@dataclasses.dataclass(frozen=True)
class Sequential(Method):
    """The loop: y_i = f(y_{i-1}, ...) one after the other; an ODE's rule is solved interval by interval.

    Its certificate is f of all points at once, which must give back the same; of a loop over more than 2^15 numbers, or
    a compiled one, f of evenly spaced steps, 16 at least. What goes wrong between those alone is not seen.

    Parameters
    ----------
    rtol, atol : float, optional
        For the implicit rules, as for :class:`Newton`.
    memory, scan
        As for :class:`Newton`.
    """

    structure: ClassVar[Any] = Dense
    step: ClassVar[Step] = FULL
    window: int = dataclasses.field(default=1, init=False, repr=False)
    by: ClassVar[str] = "loop"
    rtol: float | None = None
    atol: float | None = None
    memory: Any = MEMORY
    scan: str | None = None

    @property
    def options(self) -> Options:
        """The part of the options that one interval needs."""
        return Options(self.rtol, self.atol or 0.0)

    def is_seen(self, system: System) -> bool:
        """Return whether Python sees each step, to tell of it."""
        return False

    def run(self, system: System, watch: Watch = NOBODY) -> Iterate:
        """Solve the system step by step."""
        return loop(system, self.options) if system.rule.is_loop else windowed(system, self.options, 1)

    def points(self, length: int, overlap: int) -> list[int]:
        """Return the numbers of grid points that f will be evaluated on at once."""
        return sorted({1 + overlap, length + overlap})


@dataclasses.dataclass(frozen=True)
class Auto(Method):
    """Choose between Newton, windows and the loop by backend, device and size; ``stats.choice`` says why.

    Parameters
    ----------
    rtol, atol : float, optional
        Passed on to the method chosen.
    memory : str or int, optional
        As for :class:`Newton`; also the longest window.
    scan : str, optional
        As for :class:`Newton`. It has no part in the choice of the method.
    """

    rtol: float | None = None
    atol: float | None = None
    memory: Any = MEMORY
    scan: str | None = None

    def chosen(self, system: System, is_watched: bool) -> tuple[Any, str]:
        """Return the method to run, with windows short enough to watch if somebody does, and one sentence why."""
        whole = f"all points at once: {system.why_whole}"
        method, why = self._cheapest(system) if system.marches else (self._newton(), whole)
        most = stretch_of(system.grid.length)
        if not is_watched or (method.window or 0) <= most:
            return method, why
        return dataclasses.replace(method, window=most), f"{why}; windows of {most} to be watched"

    @property
    def _passed(self) -> dict[str, Any]:
        return {"rtol": self.rtol, "atol": self.atol, "memory": self.memory, "scan": self.scan}

    def _newton(self, window: int | None = None) -> Newton:
        return Newton(window=window, **self._passed)

    def _loop(self) -> Sequential:
        return Sequential(**self._passed)

    def _cheapest(self, system: System) -> tuple[Any, str]:
        """Return the method for what is causal, by backend, device and size."""
        backend, guess, T = system.backend, system.data.guess, system.grid.length
        if system.rule.is_loop and prefers_loop(backend, guess, T, system.sizes, system.width):
            return self._loop(), "on a CPU the loop over the steps costs less than Jacobians of all of them"
        is_on_cpu = backend.device_kind(guess) == "cpu"
        if backend.compiles and is_on_cpu:
            return self._newton(MARCH), "a compiled loop over short windows is fast and robust on a CPU"
        most = steps_within(bytes_of(self.memory), guess, system.grid, system.layout)
        whole = self._newton(most or T)  # windows grow shorter where they must
        if not is_on_cpu:
            return whole, "an accelerator works on all grid points at once"
        window = min(window_of(system), most or T)
        if SPARE * window >= T:
            return whole, "all points at once pay for every call once"
        return self._newton(window), f"windows of {window} steps stay in fast memory"


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
