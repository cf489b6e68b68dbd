"""The affine recurrence ``y_i = sum_p A_{p,i} y_{i-k_p} + b_i``: one file per way to run it.

A new way is one new file that ends in ``@register("<its name>")``; see :data:`Way` for what it is
given.
"""

from ._choose import which_scan
from ._damped import bidiagonal, damped_scan
from ._run import affine_scan, affine_scan_transposed
from ._ways import Way, register, ways

__all__ = [
    "Way",
    "affine_scan",
    "affine_scan_transposed",
    "bidiagonal",
    "damped_scan",
    "register",
    "ways",
    "which_scan",
]
