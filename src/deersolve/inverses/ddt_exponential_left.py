"""The exponential rule for y' = f, everything at the left end: `exact=False`, G does not cancel at its solution."""

from __future__ import annotations

from ..linalg.structure import Dense
from ._base import register
from ._exponential import Exponential


@register("ddt.exponential_left", structures=(Dense,), exact=False)
class Left(Exponential):
    """G and f + G y at the left end. Order 1; 2 for an autonomous equation, where it is Rosenbrock-Euler."""

    order = 1
    weights = (1.0, 0.0)
