"""How fast neighbouring trajectories part: the largest Lyapunov exponent."""

from __future__ import annotations

from ..backends._compilers import untraced
from ..backends.namespace import Array
from ..errors import InputError, is_whole
from ..problems import Problem
from ..problems.complex_state import pairs_of
from ..problems.inputs import check_problem
from ..solution.solution import Solution
from .at_solution import at_the_solution, check_converged, y_of


@untraced
def lyapunov(problem: Problem, sol: Solution, skip: int = 0) -> Array:
    """Return the largest Lyapunov exponent of a solution, from the Jacobians along it.

        lambda = sum_i log(|A_i v_{i-1}| / |v_{i-1}|) / t,        v_i = A_i v_{i-1},

    with A_i the derivative of a point by the one before it, v_0 random, and t the number of steps, or the time that a
    differential equation runs. Positive: neighbours part by a factor e in 1 / lambda, and an error of roundoff is of
    order one after some ``36 / lambda`` (in float64): two right solutions of a longer run need not agree. Negative:
    errors die out, and Newton's method over the whole horizon converges fast.

    Parameters
    ----------
    problem : Recurrence of lag 1, or InitialValueProblem
    sol : Solution
        Its solution, converged.
    skip : int
        How many steps at the beginning do not count, over which v turns to the direction that grows.

    Returns
    -------
    array, shape (*B,)
        In 1 / step, or 1 / the unit of t; a NumPy array. minus infinity where the Jacobians are singular.

    Raises
    ------
    InputError
        If an element did not converge, y does not solve this problem, its rule has no steps from one point to the next,
        or none is left behind ``skip``.

    References
    ----------
    Benettin, Galgani, Giorgilli, Strelcyn, Meccanica 15 (1980); for the convergence of Newton's method over the horizon
    Gonzalez et al., arXiv 2508.16817.

    Examples
    --------
    >>> import numpy as np
    >>> import deersolve as ds
    >>> problem = ds.Recurrence(lambda y, x, r: r * y * (1.0 - y), np.array([0.3]), params=3.2, n_points=2000)
    >>> exponent = ds.lyapunov(problem, ds.solve(problem), skip=100)
    >>> bool(abs(exponent - np.log(0.16) / 2) < 1e-12)  # a cycle of two points
    True
    """
    import numpy as np

    check_problem(problem)
    pairs = pairs_of(problem, y_of(sol))
    if pairs is not None:
        return lyapunov(pairs.real(), pairs.hidden(sol), skip)
    _, system = at_the_solution(problem, sol)
    check_converged(system, sol)
    y, grid, backend = system.data.guess, system.data.grid, system.backend
    with backend.quiet():
        at = system.linearise(y)
        A = system.rule.steps(at.Gs, y * 0, grid=grid)
    if A is None:
        raise InputError(
            "lyapunov: expected a recurrence of lag 1, or an initial value problem with a theta rule; received the "
            f"rule {system.rule.key!r} with the lags {grid.lags if grid.lags != (0,) else None}."
        )
    made = backend.to_numpy(A.to_dense())
    made = np.broadcast_to(made, (*grid.present(y).shape, y.shape[-1]))[..., grid.overlap :, :, :]
    T, batch, n = made.shape[-3], made.shape[:-3], made.shape[-1]
    if not is_whole(skip) or not 0 <= skip < T:
        raise InputError(f"skip: expected 0 <= skip < {T}, the number of steps, a whole number; received {skip!r}.")
    matrices = np.moveaxis(made, -3, 0)
    start = np.random.default_rng(0).normal(size=n)
    v = np.broadcast_to(start / np.linalg.norm(start), (*batch, n))[..., None]
    total = np.zeros(batch)
    with np.errstate(divide="ignore", invalid="ignore"):
        for i in range(T):
            v = matrices[i] @ v
            size = np.sqrt(np.sum(v * v, axis=(-2, -1)))
            total = total + (np.log(size) if i >= skip else 0.0)
            v = np.where(size[..., None, None] > 0, v / size[..., None, None], v)
    if not grid.overlap:
        return total / (T - skip)
    t = backend.to_numpy(grid.t)
    return total / np.abs(t[..., -1] - t[..., skip])
