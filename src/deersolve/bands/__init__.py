"""Block tridiagonal systems, open or closed to a ring: one function, and one file for each way to solve them."""

from ._choose import series, solve, transposed

__all__ = ["series", "solve", "transposed"]
