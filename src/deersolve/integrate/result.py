"""What solve_ivp returns: the fields of SciPy's result, in its shapes."""

from __future__ import annotations

import dataclasses
from typing import Any

from ..backends.namespace import Array, array_namespace
from ..solution.dense import DenseOutput
from ..solution.solution import Solution


@dataclasses.dataclass(frozen=True)
class OdeSolution:
    """y(t) with the components before the times: (*B, n), or (*B, n, M) for M times.

    Attributes
    ----------
    dense : DenseOutput
        The polynomials.
    """

    dense: DenseOutput

    @property
    def ts(self) -> Array:
        """The points of the grid, (*B, N + 1)."""
        return self.dense.t

    @property
    def t_min(self) -> Any:
        """The smallest time."""
        return array_namespace(self.ts).min(self.ts)

    @property
    def t_max(self) -> Any:
        """The largest time."""
        return array_namespace(self.ts).max(self.ts)

    def __repr__(self) -> str:
        return f"OdeSolution(t_min={float(self.t_min):.6g}, t_max={float(self.t_max):.6g})"

    def __call__(self, t: Any, derivative: int = 0) -> Array:
        """Return y, or a derivative of it, at a time or several of the span."""
        y = self.dense(t, derivative)
        return y if y.ndim < self.dense.coefficients.ndim - 1 else in_columns(y)


class OdeResult(dict[str, Any]):
    """The result of :func:`deersolve.solve_ivp`: ``result.y`` and ``result["y"]`` are the same."""

    t: Array
    y: Array
    sol: OdeSolution | None
    t_events: list[Array] | None
    y_events: list[Array] | None
    nfev: int
    njev: int
    nlu: int
    status: Any
    message: str
    success: bool
    solution: Solution

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"{name}: expected one of {', '.join(self)}.") from None

    __setattr__ = dict.__setitem__
    __delattr__ = dict.__delitem__

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self]

    def __repr__(self) -> str:
        width = max(map(len, self))
        return "\n".join(f"{name:>{width}}: {_short(value)}" for name, value in self.items())


def in_columns(y: Array) -> Array:
    """Return y (*B, M, n) as (*B, n, M)."""
    return array_namespace(y).moveaxis(y, -1, -2)


def _short(value: Any) -> str:
    shape = getattr(value, "shape", None)
    if shape:
        return f"array of shape {tuple(shape)}, {value.dtype}"
    if isinstance(value, list):
        return f"[{', '.join(map(_short, value))}]"
    return " ".join(str(value).split())
