"""Auto: which method, by backend, device and size."""

from __future__ import annotations

from typing import Any

from ..errors import InputError
from .cost import cost_of, window_of
from .equation import System
from .memory import bytes_of, steps_within
from .methods import Auto, Newton, Sequential

SPARE = 1.25  # times the window that fits, for which two are not worth while
MARCH = 32  # intervals of a window where a compiled loop makes windows free


def choose(asked: Any, system: System, is_causal: bool) -> tuple[Newton | Sequential, str]:
    """Return the method to run and one sentence why."""
    if not isinstance(asked, Auto):
        if not system.grid.marches and (isinstance(asked, Sequential) or asked.window):
            raise InputError(
                "method: expected Newton() without window=, or 'auto', for a problem that nothing marches over; "
                f"received {asked!r}."
            )
        return asked, "as asked"
    tolerances: dict[str, Any] = {"rtol": asked.rtol, "atol": asked.atol, "memory": asked.memory}
    if not is_causal:
        return Newton(**tolerances), "only Newton solves what nothing marches over"
    backend, guess = system.backend, system.data.guess
    n, batch = system.sizes
    on_cpu = backend.device_kind(guess) == "cpu"
    is_ode = bool(system.data.grid.overlap)
    if backend.name == "jax" and on_cpu:
        if is_ode:
            return Newton(window=MARCH, **tolerances), "a compiled loop over short windows is fast and robust on a CPU"
        return Sequential(**tolerances), "on a CPU a compiled loop over the steps beats any parallel scan"
    most = steps_within(bytes_of(asked.memory), guess, system.grid)
    whole = Newton(window=most or system.data.grid.length, **tolerances)  # windows grow shorter where they must
    if not on_cpu:
        return whole, "an accelerator works on all grid points at once"
    cost, T = cost_of(system), system.data.grid.length
    if not is_ode and cost.of_loop(T, n, batch) < cost.of_newton(T, n, batch):
        sizes = f"{T:,} steps, n = {n} and {batch} elements"
        return Sequential(**tolerances), f"with {sizes} the loop costs less than the Jacobians"
    window = min(window_of(system), most or T)
    if SPARE * window >= T:
        return whole, "all points at once pay for every call once"
    return Newton(window=window, **tolerances), f"windows of {window} steps stay in fast memory"
