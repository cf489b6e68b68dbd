"""Problems with known answers, for any array library.

Every function takes ``asarray``, which turns a NumPy array of float64 into one of the library, and returns a
:class:`Case`; f is written with :func:`deersolve.array_namespace`.
"""

from .base import AsArray, Case

__all__ = ["AsArray", "Case"]
