"""Block tridiagonal systems, open or closed to a ring: one function, and one file for each way to solve them."""

from ._choose import Blocks, repeated, series, solve, transposed, turned

__all__ = ["Blocks", "repeated", "series", "solve", "transposed", "turned"]
