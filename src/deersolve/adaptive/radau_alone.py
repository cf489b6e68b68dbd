"""Radau IIA for one element where nothing is compiled: :mod:`deersolve.adaptive.radau` with numbers of Python."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..backends.generic import Backend
from ..backends.namespace import Array, array_namespace
from .controller import FAILED, LONGEST, SAFETY, SHORTEST
from .differences import jacobian as differences
from .march import ARRIVED, TOO_MANY, TOO_SMALL, ULPS
from .march_alone import Steps
from .modes import Modes
from .radau import ENOUGH, LEAST, MOST, ROUNDOFF, SLOW
from .radau_numbers import Collocation

Slopes = Callable[[Array, Array], Array]
"""f of times (K,) and y (K, n)."""


class RadauAlone:
    """A rule, f and a tolerance; what it holds is that of the step before.

    Parameters
    ----------
    slopes : callable
        f of K times and y (K, n).
    jacobian : callable or None
        df/dy, (n, n), of a time and y (n,); None for differences.
    """

    def __init__(
        self, backend: Backend, rule: Collocation, slopes: Slopes, jacobian: Any, rtol: Array, atol: Array
    ) -> None:
        self.backend, self.rule, self.slopes, self.jacobian = backend, rule, slopes, jacobian
        self.rtol, self.atol, self.order, self.s = rtol, atol, len(rule.nodes) + 1, len(rule.nodes)

    def start(self, t: float, y: Array) -> None:
        """Begin at a time, with no step before."""
        xp = array_namespace(y)
        like, size = y * y[:, None], abs(y)
        self.modes, self.eps = Modes(self.backend, self.rule, like), float(xp.finfo(y.dtype).eps)
        self.nodes = self.backend.convert([[c] for c in self.rule.nodes], like, size.dtype)
        self.powers = self.backend.convert([range(1, self.s + 1)], like, size.dtype)
        self.clock = 0 * self.nodes[:, 0]
        path: Any = None
        self.f, self.path, self.h, self.before = (
            self.slopes(self.clock[:1] + t, y[None, :])[0, ...],
            path,
            1.0,
            math.inf,
        )
        self.J, self.is_fresh, self.is_slow, self.is_again, self.ahead = like, False, True, True, 1.0

    def attempt(self, t: float, y: Array, h: float) -> tuple[Array, float, float]:
        """Return y at t + h, its error (that of no such y is NaN), and by what the next step is longer at most."""
        xp, modes = array_namespace(y), self.modes
        allowed = self.atol + self.rtol * abs(y)
        if self.is_slow:
            self.J, self.is_fresh, self.is_slow = self._slope_of(t, y, allowed), True, False
        inverse, real = modes.inverse(h * self.J)
        Z, rate = self._newton(inverse, t, y, h, allowed)
        self.is_slow, was_again, self.is_again = not (self.is_fresh or rate < 1), self.is_again, True
        if not rate < 1:
            return y, math.nan, FAILED
        new, q = y + Z[-1, ...], modes.fit @ Z
        allowed = self.atol + self.rtol * xp.maximum(abs(y), abs(new))
        defect = h * self.f - q[0, ...]
        first = real @ defect
        error = _size(first / allowed)
        if was_again and error > 1:
            two = self.slopes(self.clock[:2] + t, xp.stack([y + first, y]))
            error = _size((real @ (defect + h * (two[0, ...] - two[1, ...]))) / allowed)
        now, before = max(error, LEAST), max(self.before, LEAST)
        growth = SAFETY * abs(h / self.h) * (before / now**2) ** (1 / self.order)
        if error <= 1:
            self.f, self.path, self.h, self.before = (modes.rates[-1, ...] @ Z) / h, q, h, error
            self.is_fresh, self.is_again, self.is_slow = False, False, rate > SLOW
        return new, error, growth

    def _slope_of(self, t: float, y: Array, allowed: Array) -> Array:
        """Return df/dy."""
        if self.jacobian is not None:
            made: Array = self.jacobian(t, y)
            return made
        return differences(self.slopes, self.clock[:1] + t, y[None, :], allowed)

    def _newton(self, inverse: Array, t: float, y: Array, h: float, allowed: Array) -> tuple[Array, float]:
        """Return Z and the rate of convergence, which is not below 1 where there is no Z."""
        modes, eps = self.modes, self.eps
        times = t + h * self.nodes[:, 0]
        enough = ENOUGH + ROUNDOFF * eps * _size(y / allowed)
        Z: Any = 0 * self.nodes * y
        if self.path is not None:
            Z = ((1 + self.nodes * (h / self.h)) ** self.powers - 1) @ self.path
        ahead, before, rate = (self.ahead + eps) ** 0.8, math.inf, 0.0
        for k in range(MOST):
            residual = h * self.slopes(times, y + Z) - modes.rates @ Z
            change = (inverse @ residual.reshape(-1)).reshape(Z.shape)
            Z = Z + change
            size = _size(change / allowed)
            if k:
                rate = size / before
                ahead = rate / (1 - rate) if rate < 1 else math.inf
            left = ahead * size
            if left <= enough:
                self.ahead = ahead
                return Z, rate
            if not left * rate ** (MOST - 1 - k) <= enough and (k or not left < math.inf):
                break
            before = size
        self.ahead = 1.0
        return Z, math.inf


def _size(part: Array) -> float:
    """Return the root of the mean square."""
    flat = abs(part).reshape(-1)
    return math.sqrt(float(flat @ flat) / flat.shape[0])


def march(stepper: RadauAlone, times: list[float], y: Array, h: float, longest: float, most: int) -> Steps:
    """Go from the first of the times to the last, with a step that ends at each."""
    at, t = Steps([times[0]], [y]), times[0]
    for stop in times[1:]:
        stepper.start(t, y)
        rejected = False
        while t != stop:
            if at.tried == most:
                at.code = TOO_MANY
                return at
            at.tried += 1
            length = h if abs(h) <= longest else math.copysign(longest, h)
            is_last = abs(length) >= 0.999 * abs(stop - t)
            step = stop - t if is_last else length
            new, error, growth = stepper.attempt(t, y, step)
            best = min(SAFETY * max(error, 1e-30) ** (-1 / stepper.order), growth) if error == error else FAILED
            by = min(max(best, SHORTEST), 1.0 if rejected else LONGEST)
            rejected = not error <= 1
            if rejected:
                h = step * by
                if abs(h) <= ULPS * math.ulp(t):
                    at.code = TOO_SMALL
                    return at
                continue
            h = h if is_last and abs(step * by) < abs(h) else step * by
            t, y = stop if is_last else t + step, new
            at.t.append(t)
            at.y.append(y)
    at.code = ARRIVED
    return at
