"""Radau IIA of s stages as a stepper: for stiff equations.

    Z = h (A (x) I) F(t + c h, y + Z),    y(t + h) = y + Z_s

is solved by Newton's method with one Jacobian J for all stages, that of this step or of one before:

    dZ = (A^-1 (x) I - I (x) h J)^-1 (h F - A^-1 Z) = sum_k (P_k (x) (lambda_k - h J)^-1) (h F - A^-1 Z)

with the eigenvalues lambda_k of A^-1 and the projections P_k on its eigenvectors. E. Hairer and G. Wanner, Solving
Ordinary Differential Equations II, 2nd ed. (1996), section IV.8.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..backends import backend_of
from ..backends.generic import Backend
from ..backends.namespace import Array, array_namespace, padded
from ..backends.trees import record
from .base import Attempt, Field, Stepper
from .controller import SAFETY, norm
from .differences import jacobian as differences
from .modes import ENOUGH, LEAST, MOST, ROUNDOFF, SLOW, Modes
from .radau_alone import RadauAlone
from .radau_numbers import Collocation


@record
class Memory:
    """What is kept between steps.

    Attributes
    ----------
    f : array, shape (*B, 1, n)
        f(t, y), as the slope of the polynomial of the step before.
    path, h : array, shape (*B, s, n) and (*B, 1)
        Its coefficients of theta, theta^2, ..., and the length of that step.
    error : array, shape (*B,)
        What that step was judged by.
    J, is_fresh, is_slow : array, shape (*B, n, n), and of bool (*B,)
        The Jacobian; whether it is of this y; whether Newton's method wants another.
    is_again : array of bool, shape (*B,)
        Whether the step is the first one, or was rejected.
    ahead : array, shape (*B,)
        What was left of Z behind a change, in units of the change.
    """

    f: Array
    path: Array
    h: Array
    error: Array
    J: Array
    is_fresh: Array
    is_slow: Array
    is_again: Array
    ahead: Array


@record
class Iterate:
    """Newton's method for Z (*B, s, n): the last change, and where it goes on or has arrived."""

    count: Array
    Z: Array
    size: Array
    rate: Array
    ahead: Array
    goes_on: Array
    arrived: Array


class Radau(Stepper):
    """A collocation rule; the error is the defect ``h f(t, y) - h u'(t)`` at the start, of h^(s + 1)."""

    def __init__(self, rule: Collocation) -> None:
        self.rule, self.order = rule, len(rule.nodes) + 1

    def calls(self, y: Array, t: Array) -> list[tuple[Array, Array]]:
        """Return y and times of one point, and of all stages."""
        xp, s = array_namespace(y), len(self.rule.nodes)
        return [(y, t), tuple(xp.concat([a] * s, axis=-2) for a in (y, t))]

    def alone(self, backend: Any, single: Any, rtol: Array, atol: Array, looks: bool) -> RadauAlone:
        """Return the same for one element by numbers of Python."""
        return RadauAlone(backend, self.rule, single.slopes, single.jacobian, rtol, atol)

    def start(self, field: Field, t: Array, y: Array) -> Memory:
        """Return f and a polynomial of zeros; J is made in the first step."""
        xp, s = array_namespace(y), len(self.rule.nodes)
        f, zeros = field.slope(t, y), xp.concat([0 * y] * s, axis=-2)
        J = 0 * xp.matrix_transpose(y) * y
        one, yes = xp.abs(0 * y[..., 0, 0]) + 1, t[..., 0] == t[..., 0]
        return Memory(f, zeros, 0 * t + 1, one * xp.inf, J, ~yes, yes, yes, one)

    def attempt(self, field: Field, t: Array, y: Array, h: Array, carry: Memory) -> Attempt:
        """Return y at t + h and its error."""
        xp, backend, slope, scale = array_namespace(y), backend_of(y), field.slope, field.scale
        modes = Modes(backend, self.rule, carry.J)
        nodes = padded(backend.convert(self.rule.nodes, t, t.dtype), t.ndim)
        times, step, allowed = t + nodes * h, xp.astype(h, y.dtype)[..., None], scale(y, y)

        def residual(Z: Array) -> Array:
            return step * slope(times, y + Z) - xp.matmul(modes.rates, Z)

        def renewed(carry: Memory) -> Memory:
            new = differences(slope, t, y, allowed) if field.jacobian is None else field.jacobian(t, y)[..., 0, :, :]
            J = xp.where(carry.is_slow[..., None, None], new, carry.J)
            return replace(carry, J=J, is_fresh=carry.is_fresh | carry.is_slow)

        carry = backend.when(carry.is_slow, renewed, carry)
        inverse, real = modes.inverse(step * carry.J)
        enough = ENOUGH + ROUNDOFF * float(xp.finfo(y.dtype).eps) * norm(y, allowed)
        found = _newton(
            backend,
            lambda Z: modes.times(inverse, residual(Z)),
            lambda change: norm(change, allowed),
            self._guess(carry, h, nodes),
            carry.ahead,
            enough,
        )
        new, q = y + found.Z[..., -1:, :], xp.matmul(modes.fit, found.Z)
        defect = step * carry.f - q[..., :1, :]
        first = modes.times(real, defect)
        error = norm(first, scale(y, new))

        def again(error: Array) -> Array:
            second = defect + step * (slope(t, y + first) - slope(t, y))
            size = norm(modes.times(real, second), scale(y, new))
            return xp.where(carry.is_again & (error > 1), size, error)

        error = backend.when(carry.is_again & (error > 1), again, error)
        f = xp.matmul(modes.rates[..., -1:, :], found.Z) / xp.where(step == 0, 1, step)
        failed, no = ~found.arrived, carry.is_fresh & False
        kept = replace(carry, ahead=found.ahead, is_slow=failed & ~carry.is_fresh, is_again=~no)
        taken = Memory(f, q, h, error, carry.J, no, found.rate > SLOW, no, found.ahead)
        return Attempt(new, error, taken, failed, kept, self._growth(carry, h, error), path=q)

    def _growth(self, carry: Memory, h: Array, error: Array) -> Array:
        """Return how far the errors of two steps let the next one grow, as they change: Hairer and Wanner, IV.8."""
        xp = array_namespace(h)
        now, before = (xp.where(e > LEAST, e, LEAST) for e in (error, carry.error))
        return SAFETY * xp.abs(h / carry.h)[..., 0] * (before / now**2) ** (1 / self.order)

    def _guess(self, carry: Memory, h: Array, nodes: Array) -> Array:
        """Return Z of the polynomial of the step before, which goes on: u(1 + c r) - u(1), r is h by its h."""
        xp = array_namespace(h)
        place = 1 + nodes * h / carry.h
        powers = [place]
        for _ in self.rule.nodes[1:]:
            powers.append(powers[-1] * place)
        return xp.matmul(xp.astype(xp.stack(powers, axis=-1) - 1, carry.path.dtype), carry.path)


def _newton(
    backend: Backend,
    change_at: Callable[[Array], Array],
    sized: Callable[[Array], Array],
    Z: Array,
    ahead: Array,
    enough: Array,
) -> Iterate:
    """Return Z where what is left is small, or a mark where it is not.

    What is left of Z behind a change is rate / (1 - rate) times the change; of the first change by the last step's.
    """
    xp = array_namespace(Z)
    eps = float(xp.finfo(Z.dtype).eps)

    def body(s: Iterate) -> Iterate:
        change = change_at(s.Z)
        size = sized(change)
        rate = size / s.size
        is_first = s.size == xp.inf
        ahead = xp.where(is_first, (s.ahead + eps) ** 0.8, rate / xp.where(rate < 1, 1 - rate, eps))
        left = ahead * size
        arrived = left <= enough
        hopeless = ~(rate < 1) | (left * rate ** (MOST - 1 - s.count) > enough)
        on, flat = s.goes_on, s.goes_on[..., None, None]
        return Iterate(
            s.count + 1,
            xp.where(flat, s.Z + change, s.Z),
            xp.where(on, size, s.size),
            xp.where(on, rate, s.rate),
            xp.where(on, ahead, s.ahead),
            on & ~arrived & ~hopeless,
            xp.where(on, arrived, s.arrived),
        )

    infinite = 0 * ahead + xp.inf
    first = Iterate(0, Z, infinite, 0 * ahead, ahead, infinite > 0, infinite < 0)
    found: Iterate = backend.while_loop(lambda s: backend.any_true(s.goes_on) & (s.count < MOST), body, first)
    return found
