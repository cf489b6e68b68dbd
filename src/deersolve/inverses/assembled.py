"""The full matrix of a rule, for small sizes: the oracle of the tests."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..backends.namespace import Array
from ..backends.trees import tree_map
from ..linalg.structure import Structure
from .base import Rule


def assembled(
    rule: Rule, Gs: tuple[Structure, ...], like: Array, *, grid: Any, boundary: Any, shift: Any = None
) -> Any:
    """Return ``L + M sum_p G_p S_p`` as a NumPy matrix, built column by column from residual and shifts.

    Parameters
    ----------
    rule : Rule
        A rule with a residual.
    Gs : tuple of Structure
        G_p at every grid point, of a NumPy array.
    like : array, shape (T, n)
        For shape and dtype; no batch axes.
    grid, boundary
        Those of the problem; the boundary data is replaced by zeros.
    shift : tuple of callable, optional
        The shifters of the problem; by default lags, as the grid has them.

    Returns
    -------
    numpy.ndarray, shape (T n, T n)
        The residual is affine in (y, f), so column j is what ``-residual(e_j, -sum_p G_p S_p e_j)`` at zero
        boundary data has over that of 0. It shares no code with the rule's ``solve``.
    """
    import numpy as np

    zero = tree_map(np.zeros_like, boundary)
    shift = tuple(_lagged(k) for k in grid.lags) if shift is None else shift
    extra = {} if rule.exact else {"Gs": Gs}

    def left_side(y: Array) -> Array:
        f = -sum(G @ shifted(y, grid=grid, boundary=zero) for G, shifted in zip(Gs, shift, strict=True))
        return -rule.residual(y, f, grid=grid, boundary=zero, **extra).reshape(-1)

    units = np.eye(math.prod(like.shape), dtype=like.dtype).reshape(-1, *like.shape)
    start = left_side(0 * units[0])
    return np.stack([left_side(e) - start for e in units], axis=1)


def _lagged(k: int) -> Callable[..., Array]:
    """Return the shift by k points, zeros before the first."""
    import numpy as np

    def shifted(e: Array, **_: Any) -> Array:
        return np.concatenate([np.zeros_like(e[:k]), e[: max(e.shape[0] - k, 0)]]) if k else e

    return shifted
