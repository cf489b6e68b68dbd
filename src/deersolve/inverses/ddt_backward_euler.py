"""The backward Euler rule for y' = f: order 1, L-stable."""

from __future__ import annotations

from ..linalg.structure import BlockDiagonal, Dense, Diagonal, Zero
from ._base import register
from ._theta import Theta


@register("ddt.backward_euler", structures=(Dense, Diagonal, BlockDiagonal, Zero), exact=True)
class BackwardEuler(Theta):
    """y_{i+1} - y_i = D_i f_{i+1}. Damps stiff components at once, on any grid."""

    order = 1
    theta = 1.0
