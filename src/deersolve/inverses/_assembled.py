"""The full matrix of a rule, for small sizes: the oracle of the tests."""

from __future__ import annotations

import math
from typing import Any

from ..structure import Structure
from ..typing import Array
from ._base import Rule


def assembled(rule: Rule, Gs: tuple[Structure, ...], like: Array, *, grid: Any, boundary: Any) -> Any:
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

    Returns
    -------
    numpy.ndarray, shape (T n, T n)
        The residual is affine in (y, f), so column j is ``-residual(e_j, -sum_p G_p S_p e_j)`` at zero
        boundary data. It shares no code with the rule's ``solve``.
    """
    import numpy as np

    from ..domain import Initial

    size = math.prod(like.shape)
    zero = Initial(np.zeros_like(boundary.y0))
    lags = getattr(grid, "lags", (0,))
    extra = {} if rule.exact else {"Gs": Gs}
    columns = []
    for j in range(size):
        e = np.zeros(size, dtype=like.dtype)
        e[j] = 1
        e = e.reshape(like.shape)
        f = np.zeros_like(e)
        for G, k in zip(Gs, lags, strict=True):
            shifted = np.concatenate([np.zeros_like(e[:k]), e[: max(e.shape[0] - k, 0)]]) if k else e
            f = f - (G.to_dense() @ shifted[..., None])[..., 0]
        columns.append(-rule.residual(e, f, grid=grid, boundary=zero, **extra).reshape(size))
    return np.stack(columns, axis=1)
