"""``heat2d.backward_euler``: order 1, L-stable."""

from ..linalg.structure import BlockDiagonal
from ._heat2d import Heat2D
from .base import register
from .heat_backward_euler import BackwardEuler as OnALine


@register("heat2d.backward_euler", structures=(BlockDiagonal,), exact=True)
class BackwardEuler(Heat2D):
    """u_j = u_{j-1} + h F_j."""

    order, nodes, tableau = OnALine.order, OnALine.nodes, OnALine.tableau
