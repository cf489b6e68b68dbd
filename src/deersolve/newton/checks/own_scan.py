"""A scan that is not built in, at the returned y: what it makes of a right-hand side solves its recurrence."""

from __future__ import annotations

import dataclasses
from functools import reduce

from ...backends.namespace import Array, array_namespace, padded_behind
from ...errors import InputError
from ...linalg.scans import own_ways, probe
from ..blocks import Blockwise
from ..equation import System
from ..measures import eps_of, signs


def is_asked(system: System) -> bool:
    """Return whether a scan that is not built in may have run."""
    return system.rule.scans and bool(own_ways(system.rule.scan))


def scan_holds(system: System, y: Array) -> Array:
    """Return, for each batch element, whether scans, and those of the transposed solve, solve their recurrences.

    To half of the digits, row by row: products of many matrices lose some, a wrong scan misses by more.
    """
    if system.block is None:
        off = _off(dataclasses.replace(system, data=dataclasses.replace(system.data, guess=y)))
    else:
        off = Blockwise(system, y).rows(_off)
    return system.over_grid(array_namespace(y).max, off) <= eps_of(y) ** 0.5


def _off(system: System) -> Array:
    """Return how far the scans of both solves at the guess are off, (*B, *R, 1), the same everywhere on the grid."""
    y = system.data.guess
    xp, seen = array_namespace(y), probe(system.rule.scan)
    watched = dataclasses.replace(system, rule=system.rule.scanning(seen))
    Gs, r = watched.linearise(y).Gs, xp.broadcast_to(signs(system, y)[1], y.shape)
    watched.solve(Gs, r)
    if system.rule.offers("transpose"):
        watched.transpose(Gs, r)
    if not seen.off and not system.rule.is_builtin:
        raise InputError(
            f"scan: expected the rule {system.rule.key!r}, which says scans = True, to call affine_scan(..., "
            f"way=self.scan); received a solve that does not run the scan {seen.name!r}."
        )
    none = xp.zeros_like(y[..., :1])
    elements = (off if off.ndim == system.n_batch else system.over_grid(xp.max, off) for off in seen.off)
    return reduce(xp.maximum, (padded_behind(off, y.ndim) + none for off in elements), none)
