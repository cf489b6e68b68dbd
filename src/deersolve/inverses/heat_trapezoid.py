"""``heat.trapezoid``: order 2, A-stable; stiff components ring."""

from ..linalg.structure import BlockDiagonal
from ._heat import Heat
from .base import register


@register("heat.trapezoid", structures=(BlockDiagonal,), exact=True)
class Trapezoid(Heat):
    """u_j = u_{j-1} + h (F_{j-1} + F_j) / 2 (Crank and Nicolson)."""

    order = 2
    nodes = (1.0,)
    tableau = ((0.5, 0.5),)
