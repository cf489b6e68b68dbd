"""The trapezoidal rule for y' = f: order 2, A-stable."""

from __future__ import annotations

from ..linalg.structure import BlockDiagonal, Dense, Diagonal, Zero
from ._base import register
from ._theta import Theta


@register("ddt.trapezoid", structures=(Dense, Diagonal, BlockDiagonal, Zero), exact=True)
class Trapezoid(Theta):
    """y_{i+1} - y_i = D_i (f_i + f_{i+1}) / 2. It rings on a coarse, stiff grid."""

    order = 2
    theta = 0.5
