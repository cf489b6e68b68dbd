"""Newton's correction, damped by Levenberg and Marquardt."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from ...backends.namespace import Array, array_namespace
from ...errors import check_real, check_whole
from .base import Here, Step, norm
from .line_search import search


@dataclasses.dataclass(frozen=True)
class LevenbergMarquardt(Step):
    """``y + delta`` with delta of the smallest ``|r - A delta|^2 + damping |delta|^2``, ``A = L + M sum_p G_p S_p``.

    The damping is divided by ``factor`` where the norm of the residual falls, and multiplied by it where that rises,
    for each batch element by itself; a step after which the residual overflows is not taken, but tried again with more
    damping. However far the linearised equation grows, ``|delta| <= |r| / (2 sqrt(damping))``; as the damping falls,
    the step becomes Newton's. Known as ELK: for a recurrence of one lag delta is the mean of a Kalman smoother.

    Steps that raise the residual are taken: Newton's method solves a recurrence from its beginning, while what
    follows is still wrong, and the norm of the whole is no guide there.

    Parameters
    ----------
    damping : float
        That of the first step, > 0, in the unit of A^2, which is 1 on the diagonal for a recurrence.
    factor : float
        How it changes, > 1.
    tries : int
        The largest number of dampings tried in a step.

    Raises
    ------
    InputError
        If an option is out of range; in :func:`~deersolve.solve`, if the rule has no damped solve, as a recurrence of
        several lags.

    Notes
    -----
    Depth ``O(log T)``, work ``O(T n^3)``, a few times that of a full step, and one more evaluation of f.

    References
    ----------
    Gonzalez, Warrington, Smith, Linderman, "Towards Scalable and Stable Parallelization of Nonlinear RNNs",
    arXiv 2407.19115. Nocedal, Wright, "Numerical Optimization", 2nd ed., section 10.3.

    Examples
    --------
    >>> import deersolve as ds
    >>> ds.Newton(step=ds.LevenbergMarquardt(damping=1e-4)).step.damping
    0.0001
    """

    damping: float = 1e-6
    factor: float = 10.0
    tries: int = 10
    searches: ClassVar[bool] = True
    damps: ClassVar[bool] = True

    def __post_init__(self) -> None:
        what, largest = "LevenbergMarquardt", float("inf")
        check_real(what, "damping as a finite number > 0", self.damping, lambda value: 0 < value < largest)
        check_real(what, "factor as a finite number > 1", self.factor, lambda value: 1 < value < largest)
        check_whole("LevenbergMarquardt", "tries", self.tries)

    def __call__(self, here: Here) -> tuple[Array, Array, Array]:
        system = here.system
        r = system.residual(here.y, here.at.fy)
        before = norm(system, r)

        def propose(damping: Array) -> Array:
            return system.grid.kept(system.rule.damped(here.at.Gs, r, damping, **system.where))

        found = search(here, before, propose, here.damping, self)
        xp = array_namespace(r)
        least = float(xp.finfo(r.dtype).eps)
        less = xp.where(found.norm < before, xp.maximum(found.number / self.factor, least), found.number * self.factor)
        return r, found.change, less

    def accepts(self, damping: Array, after: Array, before: Array) -> Array:
        """Return whether a residual of that norm will do."""
        return after < float("inf")
