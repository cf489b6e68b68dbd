"""The tolerance of a solve, as a user gives it."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from ..backends.given import real_numbers
from ..backends.registration import close_matches
from ..errors import UnknownKeyError, check_real, check_whole, mismatch

WAYS = ("auto", "march", "newton")
RTOL, RATIO = 1e-6, 1e-3  # the relative tolerance where only the absolute one is given; atol by rtol where it is not


@dataclasses.dataclass(frozen=True)
class Adaptive:
    """Steps of an initial value problem on a grid that the solver finds, so that errors are those allowed.

    Parameters
    ----------
    rtol, atol : float or list of float
        What an error may be: atol + rtol |y|, of each component. By default rtol is 1e-6, and atol a thousandth of it.
    first_step, max_step : float, optional
        The length of the first step, and of the longest, in the unit of t. By default f tells the first.
    max_steps : int, optional
        How many steps may be tried. By default 10^7. On JAX it is the size of what is kept: by default 4,096, and for
        large batches as many as are 2^23 numbers, but not below 256; outside of ``jit`` 4,096 if those do not do. With
        ``way="newton"`` it is the largest number of steps of the grid, on JAX 256 and 4,096 likewise.
    estimate : bool, optional
        Whether to estimate the error that all steps together have made, where y is wanted, and to halve the steps, or
        solve again with smaller ones, where it is far above the tolerance. By default it is done for up to 16,384
        numbers of y, of a larger batch for a sample of its elements, except on JAX, where it is another program to
        compile. Inside ``jit`` it is never done. With True it is done for all, of a large batch in parts.
    way : {"auto", "march", "newton"}
        How the grid is found. "march": step after step, each as long as its error allows. "newton": all steps at once
        by Newton's method, on a grid that is divided anew from round to round until each step is good enough, by
        "radau5" or "radau9"; no step waits for the one before. By default that is the way on a GPU where nothing is
        compiled and batch elements are few, and a march everywhere else.

    Raises
    ------
    InputError
        If an option is out of range, or there is a first step where none is first.
    UnknownKeyError
        If there is no such way.
    """

    rtol: Any = None
    atol: Any = None
    first_step: float | None = None
    max_step: float | None = None
    max_steps: int | None = None
    estimate: bool | None = None
    way: str = "auto"

    def __post_init__(self) -> None:
        for name in ("rtol", "atol"):
            given = getattr(self, name)
            if given is not None:
                entries = real_numbers(given, name)
                if min(entries) < 0 or (name == "rtol" and max(entries) >= 1):
                    raise mismatch(name, "numbers >= 0" + (" and below 1" if name == "rtol" else ""), repr(given))
                object.__setattr__(self, name, entries[0] if len(entries) == 1 else tuple(entries))
        rtol, atol = self.rtol, self.atol
        if rtol is None:
            rtol = RTOL if atol is None else min(RTOL / RATIO, min(real_numbers(atol, "atol")) / RATIO) or RTOL
            object.__setattr__(self, "rtol", rtol)
        if atol is None:
            least = min(real_numbers(rtol, "rtol"))
            object.__setattr__(self, "atol", RATIO * least)
        if not max(*real_numbers(self.rtol, "rtol"), *real_numbers(self.atol, "atol")) > 0:
            raise mismatch("rtol", "a tolerance above 0: rtol or atol", "0 and 0")
        for name in ("first_step", "max_step"):
            value = getattr(self, name)
            if value is not None:
                check_real(name, "a number > 0", value, lambda length: length > 0)
        if self.max_steps is not None:
            check_whole("Adaptive", "max_steps", self.max_steps)
        self._check_way()

    def _check_way(self) -> None:
        if not isinstance(self.way, str) or self.way not in WAYS:
            raise UnknownKeyError(f"way: there is no {self.way!r}." + close_matches(str(self.way), [*WAYS]))
        if self.way == "newton" and self.first_step is not None:
            raise mismatch("first_step", 'None beside way="newton", which has all steps at once', self.first_step)

    @property
    def least(self) -> float:
        """The smallest relative tolerance."""
        return min(real_numbers(self.rtol, "rtol"))

    def check(self, n: int) -> None:
        """Raise unless it is of n components."""
        for name, value in (("rtol", self.rtol), ("atol", self.atol)):
            if isinstance(value, tuple) and len(value) != n:
                raise mismatch(name, f"a number, or one for each of {n} components", f"{len(value)} numbers")

    def tighter(self, by: float) -> Adaptive:
        """Return a tolerance smaller by a factor."""
        parts = {name: _times(getattr(self, name), by) for name in ("rtol", "atol")}
        return dataclasses.replace(self, **parts)

    def looser(self, most: float, order: int) -> tuple[Adaptive, float]:
        """Return a tolerance larger by a factor, and that: rtol stays below 1, and the longest step goes with it."""
        by = min(most, max(real_numbers(self.rtol, "rtol")) ** -0.5) if self.least else most
        longest = None if self.max_step is None else self.max_step * by ** (1 / order)
        return dataclasses.replace(self.tighter(by), max_step=longest), by

    @property
    def longest(self) -> float:
        """The length of the longest step."""
        return math.inf if self.max_step is None else self.max_step


def asked_of(method: Any, rtol: Any, atol: Any) -> tuple[Adaptive | None, Any]:
    """Return the tolerance that a solve is to, None where the grid is given, and its method.

    Raises
    ------
    InputError
        If a tolerance stands beside a method for a given grid.
    """
    if isinstance(method, str) and method.lower() == "adaptive":
        method = Adaptive(rtol, atol)
    elif rtol is not None or atol is not None:
        given = {name: value for name, value in (("rtol", rtol), ("atol", atol)) if value is not None}
        if method is not None and not isinstance(method, Adaptive):
            advice = "Newton(rtol=...) and Sequential(rtol=...) have tolerances of their own, of the discrete equation."
            raise mismatch("rtol", "a tolerance, or a method for a given grid", f"both, with {method!r}", advice)
        method = dataclasses.replace(Adaptive() if method is None else method, **given) if method else Adaptive(**given)
    return (method, None) if isinstance(method, Adaptive) else (None, method)


def _times(value: Any, by: float) -> Any:
    return tuple(v * by for v in value) if isinstance(value, tuple) else value * by
