"""``heat2d.trapezoid``: order 2, A-stable: stiff components ring."""

from ..linalg.structure import BlockDiagonal
from ._heat2d import Heat2D
from .base import register
from .heat_trapezoid import Trapezoid as OnALine


@register("heat2d.trapezoid", structures=(BlockDiagonal,), exact=True)
class Trapezoid(Heat2D):
    """u_j = u_{j-1} + h (F_{j-1} + F_j) / 2 (Crank and Nicolson)."""

    order, nodes, tableau = OnALine.order, OnALine.nodes, OnALine.tableau
