"""``heat.trbdf2``: order 2, L-stable (Bank et al., IEEE Trans. Electron Devices 32, 1985)."""

import math

from ..linalg.structure import BlockDiagonal
from ._heat import Heat
from .base import register

GAMMA = 2.0 - math.sqrt(2.0)
WEIGHT = math.sqrt(2.0) / 4.0


@register("heat.trbdf2", structures=(BlockDiagonal,), exact=True)
class TRBDF2(Heat):
    """A trapezoid to t_{j-1} + gamma h, gamma = 2 - sqrt(2), and the BDF of second order through the three points."""

    order = 2
    nodes = (GAMMA, 1.0)
    tableau = ((GAMMA / 2, GAMMA / 2, 0.0), (WEIGHT, WEIGHT, GAMMA / 2))
