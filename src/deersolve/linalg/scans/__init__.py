"""The affine recurrence ``y_i = sum_p A_{p,i} y_{i-k_p} + b_i``: one file per way to run it.

A new way is one new file that ends in ``@register("<its name>")``; see :data:`Way` for what it is
given.
"""

from .affine import Way, affine_scan, affine_scan_transposed, register, ways
from .choose import which_scan
from .damped import bidiagonal, damped_scan

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
