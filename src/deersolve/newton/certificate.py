"""The status of a solve: what must hold besides a small correction, of the rule, of derivatives of f and of y."""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import Any

from ..backends.namespace import Array, array_namespace
from ..backends.trees import tree_map
from ..solution.status import Status
from .checks.own_rule import RuleErrors, rule_errors
from .checks.own_scan import is_asked, scan_holds
from .equation import Linearised, System
from .iterate import Iterate
from .iteration import NEAR
from .measures import BACKWARD, ROUNDOFF, eps_of, scale_of, signs

PARTS = 4  # of the way from a level back to the one before, at the ends of which the slopes of f are looked at
OPEN = 1e-2  # the part of y that a residual at roundoff may move where nothing marches


def status_of(system: System, it: Iterate) -> tuple[Array, RuleErrors | None]:
    """Return the :class:`Status` of each batch element: that of its iterate, if all else holds.

    The second is how far a rule that is not built in is off.
    """
    xp = array_namespace(it.y)
    found = None if system.rule.is_builtin else rule_errors(system, it.y)
    has_part, is_conditioned = determined(system, it, 0 * it.error if found is None else found.growth)
    holds = ~it.belied & has_part
    if found is not None:
        holds = holds & found.hold(eps_of(it.y))
    if is_asked(system):
        holds = holds & scan_holds(system, it.y)
    status = xp.where(it.certified & ~holds, int(Status.UNCERTIFIED), it.status)
    strays = it.certified & ~stays_on_branch(system, it)
    status = xp.where(strays, int(Status.NO_DISCRETE_SOLUTION), status)
    lost = (it.certified | it.broken) & ~(has_one_solution(system, it) & is_conditioned)
    return xp.where(lost, int(Status.SINGULAR), status), found


def determined(system: System, it: Iterate, growth: Array) -> tuple[Array, Array]:
    """Return, for each batch element, whether f has a part in y, and whether y is more than the roundoff in it.

    A march goes on from a start, which holds it. Where nothing marches, a residual at roundoff alone says little. Where
    f saturates and no value is given at an end, every u that is large enough satisfies the equation to the roundoff of
    its differences, in which f is lost. And the linearised equation may be so ill-conditioned that a residual at
    roundoff moves y by a large part of itself: of that the full correction is a sign, and of a rule of one's own the
    growth of a vector in its solve. Wherever one of both may be, the linearised equation tells how far a residual at
    roundoff moves y. A component that is moved by all of itself may be 0, as a multiplier is: as large as shows, it is
    moved by a part of itself still only if the equation is singular.
    """
    xp, rule, y = array_namespace(it.y), system.rule, it.y
    yes = it.certified | True
    if system.marches or not rule.knows_size:
        return yes, yes
    eps = eps_of(y)
    lost, is_open = yes & False, it.certified & ((it.error > eps ** (1 / 3)) | (growth > eps ** (-1 / 3)))
    if system.grid.flow is not None:
        fy, no_data = xp.abs(system.f(*system.shifted(y))), tree_map(lambda a: 0 * a, system.data.boundary)
        terms = rule.magnitude(0 * y, fy, grid=system.data.grid, boundary=no_data)
        size = system.magnitude(xp.abs(y), fy)
        terms, most = (system.over_grid(xp.max, a) for a in (terms, size))
        lost = it.certified & (NEAR * terms <= BACKWARD * eps * most)

    def look(_: Array) -> Array:
        at, patterns = system.linearise(y), signs(system, y)
        solve = system.estimator(at.Gs, y)

        def moved_by(size: Array) -> Array:
            return reduce(xp.maximum, (xp.abs(solve(ROUNDOFF * eps * size * v)) for v in patterns))

        size = system.magnitude(xp.abs(y), xp.abs(at.fy))
        most = system.peaks(moved_by(size))
        own = xp.where(system.peaks(y) <= most, 2 / OPEN * most, 0.0)  # where roundoff may be all: any size that shows
        pairs = zip(at.Gs, system.shifted(y + own * patterns[1]), at.ys, strict=True)
        slopes = reduce(add, (abs(G) @ xp.abs(after - before) for G, after, before in pairs))
        moved = moved_by(system.magnitude(xp.abs(y) + own, xp.abs(at.fy) + slopes))
        return system.over_grid(xp.max, moved / xp.maximum(scale_of(system, y, size), own))

    moved = system.backend.rarely(lost | is_open, look, 0 * it.error)
    return ~(lost & ~(moved <= 1)), ~(is_open & ~(moved <= OPEN))


def stays_on_branch(system: System, it: Iterate) -> Array:
    """Return, for each batch element, whether y is on the branch that continues, as far as its rule can tell.

    That is so where the implicit matrix stays what it is for D = 0 on the straight way from each level to the next:
    of one number that is monotone then, and has one root. At y itself the iteration has looked, if it could.
    """
    xp, rule, y, known = array_namespace(it.y), system.rule, it.y, it.certified | True
    if not rule.offers("stays"):
        return known

    def stays(at: Linearised) -> Array:
        return system.over_grid(xp.all, rule.stays(at.Gs, grid=system.data.grid))

    def look(_: Array) -> Array:
        way = rule.before(y, grid=system.data.grid) - y

        def nearer(holds: Array, k: Any) -> tuple[Array, Array]:
            holds = holds & stays(system.linearise(y + (PARTS - k) * way / PARTS))
            return holds, holds

        last: Array = system.backend.scan(nearer, known, PARTS)[0]
        return last

    here = system.linearise(y)
    mild = rule.is_mild(here.Gs, y, here.fy, grid=system.data.grid)
    doubtful = it.certified & ~system.over_grid(xp.all, mild)
    passes: Array = system.backend.rarely(doubtful, look, known)
    is_seen = system.backend.is_concrete(y)
    holds = known if is_seen else stays(here)
    return holds & (passes | ~doubtful)


def has_one_solution(system: System, it: Iterate) -> Array:
    """Return, for each batch element, whether the linearised equation at y has one solution, as far as is known.

    A rule that can tell says so, be y certified or not: the residual has no part in it, as it has in
    :func:`determined`. Where G is not finite nothing is known, and another status speaks.
    """
    if not system.rule.offers("determines"):
        return it.certified | True
    xp, at = array_namespace(it.y), system.linearise(it.y)
    sizes = [system.over_grid(xp.max, abs(G) @ xp.ones_like(y_p)) for G, y_p in zip(at.Gs, at.ys, strict=True)]
    found = system.rule.determines(at.Gs, it.y, **system.where)
    return found | ~xp.isfinite(reduce(add, sizes))
