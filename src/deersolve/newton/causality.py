"""Which rule, shifters, grid and history belong together, and whether an equation can be marched over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..backends.namespace import Array
from ..errors import InputError, mismatch
from ..grids.base import Data
from ..grids.shifters import Shifter, as_shifters
from ..grids.times import Initial
from ..inverses import Rule

SAY = "does not say how far its rows look: give it an attribute reach = (points back, points ahead)"


def check_together(
    rule: Rule, shift: tuple[Shifter, ...], data: Data, signals: Callable[[], tuple[Array, ...]]
) -> None:
    """Raise unless the rule is for these shifters, as many axes and values before the first point.

    Raises
    ------
    InputError
        With what the rule declares, and what it was handed.
    """
    grid, declared = data.grid, rule.shifts_on(data.grid)
    if isinstance(declared, int):
        if declared != (count := len(signals())):
            received = f"{count}: {named(shift)}"
            raise mismatch("shift", f"{declared} shifted signals for the rule {rule.key!r}", received)
    elif declared is not None and as_shifters(declared) != shift:
        expected = f"{named(as_shifters(declared))} for the rule {rule.key!r}, which takes no G of others"
        alike = named(as_shifters(declared)) == named(shift)
        raise mismatch("shift", expected, named(shift), "Those are others of the same names." if alike else "")
    if rule.axes is not None and rule.axes != grid.ndim:
        raise mismatch("grid", f"one of {rule.axes} axes for the rule {rule.key!r}", f"one of {grid.ndim}")
    if rule.history is not None and isinstance(data.boundary, Initial):
        K = history_of(data)
        if rule.history != K:
            raise mismatch("y0", f"K = {rule.history} values before or at the first point for {rule.key!r}", f"K = {K}")


def named(shift: tuple[Shifter, ...]) -> str:
    """Return the shifters as a user would write them."""
    shown = ", ".join(map(str, shift))
    return f"({shown})" if len(shift) > 1 else shown


def history_of(data: Data) -> int:
    """Return how many values are given before the first point of a march."""
    return int(data.boundary.y0.shape[data.grid.axis])


def why_whole(rule: Rule, shift: tuple[Shifter, ...], data: Data) -> str:
    """Return why the equation has to be solved on all points at once; "" where it can be cut.

    A window knows the K values before it, and nothing behind it: no row may look further, by itself or by a shifter.
    """
    if not data.grid.marches:
        return "nothing marches over its grid"
    if not isinstance(data.boundary, Initial):
        return f"its boundary data is {type(data.boundary).__name__}, not ds.Initial"
    own = f"the rule {rule.key!r}"
    reaches: list[tuple[str, Any]] = [(own, rule.reach), (own, rule.reach_of_f or rule.reach)]
    reaches += [(str(s), s.reach) for s in shift]
    for name, reach in reaches:
        if reach is None:
            return f"{name} {SAY}"
        if reach[1] > 0:
            return f"{name} looks {reach[1]} points ahead"
    back, K = reach_of(rule, shift)[0], history_of(data)
    return f"its rows look {back} points back, and {K} are given before the first" if back > K else ""


def reach_of(rule: Rule, shift: tuple[Shifter, ...]) -> tuple[int, int]:
    """Return how many points back and ahead the rows look, in y and, by shifters too, in f, where all say so."""
    in_f, shifted = rule.reach_of_f or rule.reach or (0, 0), [s.reach or (0, 0) for s in shift]
    in_y = rule.reach or (0, 0)
    back, ahead = (max(in_y[k], in_f[k] + max(s[k] for s in shifted)) for k in (0, 1))
    return back, ahead


def check_window(why: str, method: Any) -> None:
    """Raise where a method goes window by window, and the equation cannot."""
    if why and method.window:
        raise InputError(
            "method: expected Newton() without window=, or 'auto', for an equation that is solved on all points at "
            f"once: {why}. Received {method!r}."
        )
