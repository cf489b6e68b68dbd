"""Auto: which method, by backend, device and size, and what to try where it fails."""

from __future__ import annotations

import math
from typing import Any

from .methods import Auto, Newton, Sequential
from .slide import can_slide
from .system import System

CACHE = 2_000_000  # bytes of Jacobians and the like that a window on NumPy should hold: it stays in the cache
MARCH = 32  # intervals of a window where a compiled loop makes windows free


def choose(asked: Any, system: System, is_causal: bool) -> tuple[Newton | Sequential, str]:
    """Return the method to run and one sentence why."""
    if not isinstance(asked, Auto):
        return asked, "as asked"
    tolerances: dict[str, Any] = {"rtol": asked.rtol, "atol": asked.atol}
    if not is_causal:
        return Newton(**tolerances), "only Newton knows a Problem with shifters and a rule of its own"
    backend, guess = system.backend, system.data.guess
    n, batch = guess.shape[-1], math.prod(guess.shape[:-2])
    on_cpu = backend.device_kind(guess) == "cpu"
    is_ode = bool(system.data.grid.overlap)
    if backend.name == "jax" and on_cpu:
        if is_ode:
            return Newton(window=MARCH, **tolerances), "a compiled loop over short windows is fast and robust on a CPU"
        return Sequential(**tolerances), "on a CPU a compiled loop over the steps beats any parallel scan"
    whole = {} if backend.name == "jax" else {"window": system.data.grid.length}  # eager windows shrink where they must
    if not on_cpu:
        return Newton(**whole, **tolerances), "an accelerator works on all grid points at once"
    if not is_ode and n * math.sqrt(batch) > (8 if backend.name == "numpy" else 16):
        return Sequential(**tolerances), f"with n = {n} and {batch} elements the Jacobians cost more than the loop"
    if backend.name == "torch":
        return Newton(**whole, **tolerances), "eager PyTorch pays for every call, so all points go into one"
    window = max(256, CACHE // (8 * batch * (n * n + 10 * n)))
    if window >= system.data.grid.length:
        return Newton(**whole, **tolerances), "all points at once stay in the cache"
    return Newton(window=window, **tolerances), f"windows of {window} steps stay in the cache"


def fallbacks(method: Newton | Sequential, system: System) -> list[Newton | Sequential]:
    """Return what to try, one after the other, where a method failed; windows that slide have tried it all."""
    if isinstance(method, Sequential) or (method.window and can_slide(system, method.options)):
        return []
    length = min(system.data.grid.length, method.window or system.data.grid.length)
    shorter = [w for w in (length // 8, length // 64) if w > 1]
    windows = [Newton(method.rtol, method.atol, window=w) for w in shorter]
    return [*windows, Sequential(method.rtol, method.atol)]
