"""Block tridiagonal systems, open or closed to a ring, and systems that link neighbours and the two ends.

One function for each, and one file for each way to solve them.
"""

from .choose import Blocks, linked, linked_transposed, linking, repeated, series, solve, transposed, turned

__all__ = [
    "Blocks",
    "linked",
    "linked_transposed",
    "linking",
    "repeated",
    "series",
    "solve",
    "transposed",
    "turned",
]
