"""Choices of G that need no Jacobian: steps that cost little more than f, and converge linearly or in at most T steps.

A step of a recurrence of one lag is ``y_i = f(old y_{i-1}) + A_i (y_{i-1} - old y_{i-1})`` with A = -G (arXiv
2509.21716). The error e of the iterates follows

    e_i = A_i e_{i-1} + (J_i - A_i) old e_{i-1} + O(old e^2),      J = d f / d y.

So after k steps the first k points are right, whatever A is, and T steps are always enough; the closer A is to J, the
fewer it takes.

| A | ``structure=`` | evaluations of a step | converges |
|---|---|---|---|
| J | ``Dense`` | f and n directions | quadratically near the solution |
| J, by blocks | ``BlockDiagonal.of_size(b)`` | f and n directions | linearly, by the couplings left out |
| diag J | ``Diagonal`` | f and n directions | linearly, by the couplings left out |
| about diag J | ``Hutchinson()`` | f and 1 direction | linearly, by the couplings, left out or mistaken |
| I | ``Picard`` | f | fast where y hardly changes from step to step |
| 0 | ``Zero`` (Jacobi) | f | linearly where f contracts |

What they end in does not depend on the choice: dense steps certify it.
"""

from __future__ import annotations

import dataclasses
import math
import random
from typing import Any, ClassVar

from ..backends.namespace import Array, array_namespace
from ..errors import check_whole
from ..linalg.structure import Choice, Diagonal, Structure

POOL = 4099  # signs drawn, to be used over and over; a prime, so that no two points of a small n have all in common


@dataclasses.dataclass(frozen=True)
class Picard(Choice):
    """A = I, G = -1 at every point of a recurrence of one lag: ``y_i = y_{i-1} + (f - 1)(old y_{i-1})``.

    Picard's iteration, a sum over time instead of a scan. It suits a recurrence that moves little in a step, as one of
    an explicit rule for a differential equation does: the first order of ``f = y + D g(y)`` is right, and convergence
    is that of ``D d g / d y`` summed over time. Of a differential equation itself Picard's iteration is ``Zero``.

    Raises
    ------
    InputError
        In :func:`~deersolve.solve`, if the problem is not a recurrence of one lag.

    Examples
    --------
    >>> import numpy as np
    >>> import deersolve as ds
    >>> problem = ds.Recurrence(lambda y, x, p: y - 0.01 * y * y, np.array([1.0]), n_points=50)
    >>> sol = ds.solve(problem, method=ds.Newton(structure=ds.Picard()))
    >>> bool(sol.converged)
    True
    """

    name: ClassVar[str] = "picard"

    def simplify(self, full: Structure) -> Structure:
        """Return the identity in the place of ``full``."""
        return Diagonal(array_namespace(full.values).ones_like(full.diagonal()))

    def linearise(self, system: Any, ys: tuple[Array, ...]) -> tuple[Array, tuple[Structure, ...]]:
        """Return f and the identity."""
        return system.f(*ys), tuple(Diagonal(array_namespace(y_p).ones_like(y_p)) for y_p in ys)


@dataclasses.dataclass(frozen=True)
class Hutchinson(Choice):
    """A = ``v (J v)`` with random signs v: an estimate of the diagonal of J by one direction.

    Its mean over v is diag J (Hutchinson, Communications in Statistics 19, 1990); the deviation of entry i is the
    root of the sum of the squares of the other entries of row i. v differs from point to point, so that deviations
    average out along time (with one v for all, a GRU of n = 32 needs ten times as many steps), and is the same in
    every step, so that the iteration has a fixed linear rate. Where the problem has a ``jac``, its diagonal is taken.

    Parameters
    ----------
    seed : int
        Of the signs.

    Examples
    --------
    >>> import numpy as np
    >>> import deersolve as ds
    >>> W = np.array([[0.5, 0.1], [-0.1, 0.4]])
    >>> problem = ds.Recurrence(lambda y, x, W: np.tanh(y @ W + 1), np.zeros(2), params=W, n_points=50)
    >>> sol = ds.solve(problem, method=ds.Newton(structure=ds.Hutchinson()))
    >>> bool(sol.converged)
    True
    """

    seed: int = 0
    name: ClassVar[str] = "hutchinson"

    def __post_init__(self) -> None:
        check_whole("Hutchinson", "seed", self.seed, least=0)

    def simplify(self, full: Structure) -> Structure:
        """Keep the diagonal."""
        return Diagonal.simplify(full)

    def linearise(self, system: Any, ys: tuple[Array, ...]) -> tuple[Array, tuple[Structure, ...]]:
        """Return f and ``v (J_p v)``."""
        if "jac" in system.functions:
            return super().linearise(system, ys)
        v = self._signs(system, ys[0])
        products = system.along(ys, v)
        return system.f(*ys), tuple(Diagonal(v * products[p, ...]) for p in range(len(ys)))

    def _signs(self, system: Any, like: Array) -> Array:
        """Return v, of the shape of ``like``; batch elements share it."""
        xp, shape = array_namespace(like), like.shape[system.n_batch :]
        pool = system.backend.convert(random.Random(self.seed).choices((-1.0, 1.0), k=POOL), like, like.dtype)
        places = xp.arange(math.prod(shape), device=system.backend.placement(like)) % POOL
        return xp.broadcast_to(xp.reshape(xp.take(pool, places, axis=0), shape), like.shape)
