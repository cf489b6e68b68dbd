"""The affine recurrence ``y_i = sum_p A_{p,i} y_{i-k_p} + b_i``: one file per way to run it.

A new way is one new file that ends in ``@register("<its name>")``; see :data:`Way` for what it is
given.
"""

from .affine import Way, affine_scan, affine_scan_transposed, own_ways, probe, register, ways
from .choose import is_obeyed, which_scan
from .damped import bidiagonal, damped_scan

__all__ = [
    "Way",
    "affine_scan",
    "affine_scan_transposed",
    "bidiagonal",
    "damped_scan",
    "is_obeyed",
    "own_ways",
    "probe",
    "register",
    "ways",
    "which_scan",
]
