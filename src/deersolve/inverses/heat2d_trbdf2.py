"""``heat2d.trbdf2``: order 2, L-stable."""

from ..linalg.structure import BlockDiagonal
from ._heat2d import Heat2D
from .base import register
from .heat_trbdf2 import TRBDF2 as OnALine


@register("heat2d.trbdf2", structures=(BlockDiagonal,), exact=True)
class TRBDF2(Heat2D):
    """A trapezoid to t_{j-1} + gamma h, gamma = 2 - sqrt(2), and the BDF of second order through the three points."""

    order, nodes, tableau = OnALine.order, OnALine.nodes, OnALine.tableau
