"""``heat.backward_euler``: order 1, L-stable."""

from ..linalg.structure import BlockDiagonal
from ._heat import Heat
from .base import register


@register("heat.backward_euler", structures=(BlockDiagonal,), exact=True)
class BackwardEuler(Heat):
    """u_j = u_{j-1} + h F_j."""

    order = 1
    nodes = (1.0,)
    tableau = ((0.0, 1.0),)
