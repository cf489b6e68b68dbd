"""Steps in a time that the equation does not have, towards a steady state: from a guess that is far away."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from ...backends.namespace import Array, array_namespace
from ...errors import check_real, check_whole
from .base import Here, Step, norm
from .line_search import search

HELD = 0.8  # of the residual: the most that a step may leave of what it should have removed
AIM = 0.2  # how much it is meant to leave
MOST = 10.0  # how much dt changes from step to step


@dataclasses.dataclass(frozen=True)
class PseudoTransient(Step):
    """``y + delta``, a step of backward Euler, linearised, of the flow whose steady state is sought.

    Of ``L u = f`` with the highest derivative ``a u''`` that flow is the one that is well-posed,

        u_tau = sign(a) (L u - f),      (L + G_0 - sign(a) / dt) delta + ... = f - L u,

    and dt grows as the residual falls (switched evolution relaxation), until the steps are Newton's:

        dt_next = dt max(|F(u)| / |F(u + delta)|, 0.2 / rho),     rho = |F(u + delta) - delta / dt| / |F(u)|,

    at most by a factor of 10. rho is what the linearisation has missed; a step with more than 0.8 is not taken, but
    tried again with a quarter of dt, for each batch element by itself. Where the residual rises, as it does where the
    flow leaves an unstable state, dt does not grow. What is found is as a rule stable, that to which the guess flows,
    where Newton's method may go anywhere. For a steady state that is unstable take another step.

    Parameters
    ----------
    dt : float
        The first step in tau, > 0; its unit is that in which ``u_tau`` has the unit of f.
    tries : int
        The largest number of steps tried in one.

    Raises
    ------
    InputError
        If an option is out of range; in :func:`~deersolve.solve`, if the equation is not one in space alone, as
        :class:`~deersolve.BoundaryValueProblem` and :class:`~deersolve.Elliptic2D` are.

    Notes
    -----
    A step costs one of Newton's method and an evaluation of f. Where the flow has a slow drift, as of a front that
    hardly feels its ends, so have the steps; what they leave is finished by full steps.

    References
    ----------
    Mulder, van Leer, "Experiments with implicit upwind methods for the Euler equations", Journal of Computational
    Physics 59 (1985). Kelley, Keyes, "Convergence analysis of pseudo-transient continuation", SIAM Journal on
    Numerical Analysis 35 (1998). Ceze, Fidkowski, "Constrained pseudo-transient continuation", International Journal
    for Numerical Methods in Engineering 102 (2015): rho as the measure of a step.

    Examples
    --------
    A rate that saturates, with too large a guess; Newton's method jumps to and fro:

    >>> import numpy as np
    >>> import deersolve as ds
    >>> s = np.linspace(0.0, 1.0, 101)
    >>> ends = {"left": ds.Dirichlet(1.0), "right": ds.Dirichlet(0.0)}
    >>> tissue = ds.Elliptic1D(lambda u, u_s, x, p: u / np.sqrt(1 + u * u), s, 0.01, **ends)
    >>> guess = 5.0 * np.sin(np.pi * s)[:, None]
    >>> ds.Status(ds.solve(tissue, guess, method="newton", on_failure="return").status).name
    'MAX_STEPS'
    >>> sol = ds.solve(tissue, guess, method=ds.Newton(step=ds.PseudoTransient()))
    >>> bool(sol.converged), int(sol.stats.steps) < 20
    (True, True)
    """

    dt: float = 0.1
    tries: int = 10
    searches: ClassVar[bool] = True
    flows: ClassVar[bool] = True
    factor: ClassVar[float] = 4.0

    def __post_init__(self) -> None:
        expected = "dt as a finite number > 0"
        check_real("PseudoTransient", expected, self.dt, lambda value: 0 < value < float("inf"))
        check_whole("PseudoTransient", "tries", self.tries)

    @property
    def damping(self) -> float:  # type: ignore[override]
        """1 / dt of the first step."""
        return 1 / self.dt

    def __call__(self, here: Here) -> tuple[Array, Array, Array]:
        system, y = here.system, here.y
        flow, (G, *others) = system.data.grid.flow, here.at.Gs
        r = system.residual(y, here.at.fy)
        before, nothing = norm(system, flow * r), 0 * y

        def shift(rate: Array) -> Array:
            return flow * system.per_element(rate)

        def propose(rate: Array) -> Array:
            Gs = (G.shifted(-shift(rate)), *others)
            return system.correction(Gs, y, here.at.ys, here.at.fy)[1]

        def missed(rate: Array, delta: Array) -> Array:
            moved = system.residual(nothing, shift(rate) * delta) - system.residual(nothing, nothing)
            return flow * (system.residual(y + delta) + moved)

        found = search(here, before, propose, here.damping, self, missed)
        after = norm(system, flow * system.residual(y + found.change))
        return r, found.change, found.number * self.slower(before, after, found.norm)

    def slower(self, before: Array, after: Array, missed: Array) -> Array:
        """Return by how much 1 / dt changes."""
        xp = array_namespace(before)
        safe = xp.where(before > 0, before, 1.0)
        ratio, rho = after / safe, missed / (AIM * safe)
        slower = xp.where(ratio < 1, xp.minimum(ratio, rho), xp.maximum(rho, 1.0))
        return xp.clip(xp.where(xp.isfinite(slower), slower, MOST), min=1 / MOST, max=MOST)

    def accepts(self, rate: Array, missed: Array, before: Array) -> Array:
        """Return whether a step that has missed that much of the residual will do."""
        return missed <= HELD * before
