"""The exponential rule for y' = f, everything at the right end: `exact=False`, G does not cancel at its solution."""

from __future__ import annotations

from ..linalg.structure import Dense
from ._base import register
from ._exponential import Exponential


@register("ddt.exponential_right", structures=(Dense,), exact=False)
class Right(Exponential):
    """G and f + G y at the right end. Order 1."""

    order = 1
    weights = (0.0, 1.0)
