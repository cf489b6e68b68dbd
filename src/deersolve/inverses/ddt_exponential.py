"""The exponential rule for y' = f, the paper's midpoint: `exact=False`, G does not cancel at its solution."""

from __future__ import annotations

from ..linalg.structure import Dense
from ._base import register
from ._exponential import Exponential


@register("ddt.exponential", structures=(Dense,), exact=False)
class Midpoint(Exponential):
    """The paper's midpoint: the mean of the two ends. Order 2."""

    order = 2
