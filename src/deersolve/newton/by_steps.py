"""The derivative of a loop, a step at a time: no Jacobian is formed, and no more is kept than the trajectory.

Of y_i = Phi(z, z_i; y_{i-k_1}, ..., y_{i-k_P}), z what all steps share and z_i what one has of its own, the tangent
follows the steps by forward mode, dy_i = r_i + dPhi_i. The adjoint goes back over them by reverse mode: u_i = c_i and
what is borne of the steps behind, and (d Phi_i)^T u_i is what z, z_i and each y before it hear of u_i.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cached_property
from typing import Any

from ..backends.namespace import Array, Tree, array_namespace, joined, part
from ..backends.spans import end_to_end
from ..backends.trees import record
from ..grids.shifters import BuiltIn
from .cost import prefers_steps
from .equation import System

Posed = Callable[[System], tuple[dict[str, Callable[..., Any]], Tree]]
"""The functions that a step is made of, and what they are given beside y."""


def goes_by_steps(system: System) -> bool:
    """Return whether the derivative of a solution takes one step after the other: of a loop, where that costs less."""
    is_loop = system.rule.is_loop and system.rule.is_builtin and system.marches and system.grid.live is None
    is_plain = (
        "jac" not in system.functions and system.layout is None and all(isinstance(s, BuiltIn) for s in system.shift)
    )
    return is_loop and is_plain and prefers_steps(system)


def records_steps(system: System) -> bool:
    """Return whether that is the derivative of the loop itself, on a library that records a graph."""
    return system.backend.records and goes_by_steps(system)


@record
class Pieces:
    """What the steps are made of, each a list of arrays.

    Attributes
    ----------
    shared : list of array
        What all steps have alike.
    rows : list of array, each of shape (*B, T, m)
        What varies from point to point.
    first : list of array, none or one
        y before the first step, or at the first point.
    """

    shared: list[Array]
    rows: list[Array]
    first: list[Array]


@dataclasses.dataclass(frozen=True)
class BySteps:
    """The steps of a loop at y: ``phi(shared, rows, held, ys)`` is y at the next point, of each point by itself.

    Behind its n components phi may have more, p, what the step says of the way there. ``held`` varies from point to
    point as ``at.rows`` do, and no derivative is asked by it.
    """

    system: System
    y: Array
    phi: Callable[[list[Array], list[Array], list[Array], list[Array]], Array]
    at: Pieces
    held: list[Array]

    def crossed(self, z: Pieces, y: Array) -> tuple[Array, Array]:
        """Return ``Phi - y`` at every point, and p of every step."""
        grid, axis, first, n = self.system.grid, self.system.grid.axis, self._first(z), y.shape[-1]
        known = self._known(z, y)
        ys = [part(known, axis, reach, reach + y.shape[axis]) for reach in self._reaches]
        made = self.phi(z.shared, z.rows, self.held, ys)
        made, p = made[..., :n], part(made, axis, None, grid.length)[..., n:]
        return (joined([first, part(made, axis, None, grid.length)], axis) if grid.overlap else made) - y, p

    def solve(self, r: Array, dz: Pieces) -> tuple[Array, Array]:
        """Return dy and dp."""
        grid, by, axis, xp = self.system.grid, self.system.backend, self.system.grid.axis, array_namespace(r)
        moved, n = dz.first[0] if dz.first else xp.zeros_like(self._first(self.at)), r.shape[-1]
        start, known = part(r, axis, None, 1) + moved if grid.overlap else moved, self._known(self.at, self.y)

        def body(before: Array, i: Any) -> tuple[Array, tuple[Array, Array]]:
            step, primals = self._step(known, i)
            tangents = [*dz.shared, *self._cut(dz.rows, i), *(by.slice(before, k, 1, axis) for k in self._reaches)]
            change = by.pushforward(step, primals, [d[None, ...] for d in tangents])[0, ...]
            dy = by.slice(r, i + grid.overlap, 1, axis) + change[..., :n]
            return joined([part(before, axis, 1, None), dy], axis), (dy, change[..., n:])

        last, stacks = by.first_of_scan(body, start, grid.taken, grid.length)
        rows, dp = (end_to_end(stack, axis) for stack in stacks)
        rows = grid.continued(rows, last, part(r, axis, grid.overlap, None))
        return (joined([start, rows], axis) if grid.overlap else rows), dp

    def transpose(self, c: Array, of_p: Array) -> tuple[Array, Pieces]:
        """Return u, and what z hears of it and of what is asked of p."""
        grid, by, axis, xp = self.system.grid, self.system.backend, self.system.grid.axis, array_namespace(c)
        count, K = (len(self.at.shared), len(self.at.rows)), self._first(self.at).shape[axis]
        known, (ahead, sums) = self._known(self.at, self.y), grid.backwards(part(c, axis, grid.overlap, None))

        def body(carry: tuple[Array, list[Array]], i: Any) -> tuple[Any, Any]:
            (bears, total), (step, primals) = carry, self._step(known, i)
            u = by.slice(c, i + grid.overlap, 1, axis) + part(bears, axis, K - 1, None)
            bars = by.pullback(step, primals, joined([u, by.slice(of_p, i, 1, axis)], -1))
            assert bars is not None
            shared, rows, borne = bars[: count[0]], bars[count[0] : sum(count)], bars[sum(count) :]
            earlier = joined([xp.zeros_like(u), part(bears, axis, None, K - 1)], axis) if K > 1 else 0 * u
            return (self._borne(earlier, borne), [a + b for a, b in zip(total, shared, strict=True)]), (u, rows)

        nothing = xp.zeros_like(self._first(self.at)) + ahead, [xp.zeros_like(a) for a in self.at.shared]
        (bears, shared), stacks = by.first_of_scan(body, nothing, grid.taken, grid.length, True)
        u, *rows = (end_to_end(stack, axis) for stack in (stacks[0], *stacks[1]))
        u = u + sums
        if grid.overlap:  # of the last point no step starts
            rows = [joined([a, xp.zeros_like(part(a, axis, None, 1))], axis) for a in rows]
            bears = part(c, axis, None, 1) + bears
            u = joined([bears, u], axis)
        return u, Pieces(shared, rows, [bears] if self.at.first else [])

    @cached_property
    def _reaches(self) -> list[int]:
        """Where among the K values before a step each of its arguments is."""
        grid = self.system.grid
        return [0] if grid.overlap else [self._first(self.at).shape[grid.axis] - k for k in grid.lags]

    def _known(self, z: Pieces, y: Array) -> Array:
        """Return y with what is before it."""
        return y if self.system.grid.overlap else joined([self._first(z), y], self.system.grid.axis)

    def _first(self, z: Pieces) -> Array:
        return z.first[0] if z.first else self.system.start().y0

    def _cut(self, rows: list[Array], i: Any) -> list[Array]:
        return [self.system.backend.slice(a, i, 1, self.system.grid.axis) for a in rows]

    def _step(self, known: Array, i: Any) -> tuple[Callable[..., Array], list[Array]]:
        """Return step i as a function of arrays, and where it is taken."""
        cut, axis, n = self.system.backend.slice, self.system.grid.axis, len(self.at.shared)
        held, behind = self._cut(self.held, i), n + len(self.at.rows)

        def step(*args: Array) -> Array:
            return self.phi(list(args[:n]), list(args[n:behind]), held, list(args[behind:]))

        ys = [cut(known, i + reach, 1, axis) for reach in self._reaches]
        return step, [*self.at.shared, *self._cut(self.at.rows, i), *ys]

    def _borne(self, bears: Array, shares: list[Array]) -> Array:
        """Return what the K values before a step bear, with the share of each lag."""
        axis, xp = self.system.grid.axis, array_namespace(bears)
        for reach, share in zip(self._reaches, shares, strict=True):
            ends = part(bears, axis, None, reach), part(bears, axis, reach + 1, None)
            bears = bears + joined([xp.zeros_like(ends[0]), share, xp.zeros_like(ends[1])], axis)
        return bears


def steps_of(
    system: System,
    system_at: Callable[[Tree], System],
    there: Callable[[Tree], System],
    theta: tuple[Tree, Tree],
    direction: tuple[Tree, Tree],
    posed: Posed,
) -> tuple[BySteps, Pieces]:
    """Return the steps of a system at its guess, and how their pieces move with theta.

    theta is what functions hold, and the data: ``system_at(theta)`` has those functions, ``there(theta)`` those data.
    """
    by: Any = system.backend
    constants, changes, put = by.moving(theta[0], direction[0])
    moves, form = bool(by.moving(direction[1], direction[1])[0]), by.flatten(posed(system)[1])[1]
    leaves, xp = _leaves(system, posed), array_namespace(system.data.guess)
    of_all = [k for k, a in enumerate(leaves) if moves and xp.isdtype(a.dtype, "real floating")]
    spans = [k for k, a in enumerate(leaves) if system.spans(a)]
    shared, rows = [k for k in of_all if k not in spans], [k for k in of_all if k in spans]
    held = [k for k in spans if k not in rows]

    def data(theta: Tree) -> Pieces:
        here = there(theta)
        now = _leaves(here, posed)
        return Pieces([now[k] for k in shared], [now[k] for k in rows], [here.start().y0])

    def phi(alike: list[Array], varying: list[Array], still: list[Array], ys: list[Array]) -> Array:
        places = [*shared, *rows, *held]
        given = dict(zip(places, [*alike[len(constants) :], *varying, *still], strict=True))
        x = [given.get(k, a) for k, a in enumerate(leaves)]
        D = None if system.grid.lengths is None else x.pop()
        fy, n = (
            posed(system_at((put(alike[: len(constants)]), theta[1])))[0]["f"](*ys, form.unflatten(x)),
            ys[0].shape[-1],
        )
        return joined([system.rule.advanced(ys[0], fy[..., :n], D), fy[..., n:]], -1)

    at, change = by.jvp(data, (theta,), (direction,)) if moves else (Pieces([], [], []), Pieces([], [], []))
    at, change = (dataclasses.replace(z, shared=[*own, *z.shared]) for z, own in ((at, constants), (change, changes)))
    return BySteps(system, system.data.guess, phi, at, [leaves[k] for k in held]), change


def _leaves(system: System, posed: Posed) -> list[Array]:
    """Return what f is given beside y, and the lengths of the intervals, with none behind the last point."""
    leaves, D, axis = system.backend.flatten(posed(system)[1])[0], system.grid.lengths, system.grid.axis
    return leaves if D is None else [*leaves, joined([D, 0 * part(D, axis, -1, None)], axis)]
