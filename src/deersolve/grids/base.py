"""What every grid answers, whatever is on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from ..backends.namespace import Array, Tree, array_namespace
from ..backends.trees import record, static


class Grid:
    """Where y lives: an array (*B, *R, n) with ``ndim`` axes R of the grid.

    Attributes
    ----------
    marches : bool
        Whether the equation is causal along the grid, so that ``window`` cuts it.
    overlap : int
        How many points a window shares with what is before it: 1 of intervals, 0 of steps.
    lags : tuple of int
        How many points back the arguments of f are.
    stage_axis : int or None
        The axis of y that holds the stages of a Runge-Kutta rule.
    together : tuple of int
        The axes of y whose numbers are solved at once: a change of one is held against the largest of them.
    linked : str
        The axis along which a row knows two neighbouring points.
    lengths : array or None
        Those of the intervals, of the rank of y; None of steps.
    live : array or None
        Where the equation is looked at; None for everywhere.
    flow : array or None
        The sign with which ``u_tau = flow (L u - f)`` is well-posed; None where there is no such flow.
    space, lines : dict
        The points, and the axes, of space by their names.
    """

    ndim: Any = 1
    n_points: Any = 0
    marches: ClassVar[bool] = False
    overlap: ClassVar[int] = 0
    lags: Any = (0,)
    stage_axis: Any = None
    together: Any = (-1,)
    linked: ClassVar[str] = "t"
    live: Any = None
    flow: ClassVar[Any] = None
    length: ClassVar[Any] = 0
    times: ClassVar[Any] = None
    lengths: ClassVar[Any] = None
    space: ClassVar[Any] = {}
    lines: ClassVar[Any] = {}

    @property
    def axis(self) -> int:
        """The first axis of the grid in y, counted from the last: that along which it is cut, where it marches."""
        return -int(self.ndim) - 1

    @property
    def seen(self) -> Any:
        """The grid as shifters and rules see it."""
        return self

    def present(self, y: Array) -> Array:
        """Return what a solution holds of y."""
        return y

    def present_transposed(self, c: Array) -> Array:
        """Return the transpose of :meth:`present`, of c."""
        return c

    def stages(self, y: Array) -> Array | None:
        """Return what a solution holds of y between its points, or None."""
        return None

    def absorb(self, u: Array, stages: Array | None) -> Array:
        """Return y of what :meth:`present` and :meth:`stages` return."""
        return u

    def named(self, boundary: Any) -> dict[str, Array]:
        """Return the data of the equation by the names that a problem gives them."""
        return {}

    def renamed(self, boundary: Any, new: dict[str, Array]) -> tuple[Any, Any]:
        """Return grid and boundary data with some of those in the place of the old ones."""
        return self, boundary

    def with_conditions(self, change: Callable[[Array], Array]) -> Any:
        """Return the grid with what it holds of conditions changed."""
        return self

    def lay(self, name: str, given: Array, like: Array) -> Array:
        """Return what a user gave by that name, laid out like an array of :meth:`named` or of x."""
        return array_namespace(given).reshape(given, like.shape)

    def per_point(self, c: Array) -> Array:
        """Return the sums over the components at each point."""
        return array_namespace(c).sum(c, axis=-1)

    def shown(self, place: tuple[int, ...]) -> tuple[int, ...]:
        """Return the place, in what :meth:`present` returns, of one in y behind its batch axes."""
        return place

    @property
    def taken(self) -> Any:
        """How many steps there are; behind them y stands still, whatever moves."""
        return self.length

    def continued(self, rows: Array, last: Array, changes: Array) -> Array:
        """Return rows of steps, of which those behind ``taken`` are the last one and all changes since."""
        return rows

    def backwards(self, rows: Array) -> tuple[Any, Any]:
        """Return the sum of the rows behind ``taken``, and for each of those rows that of itself and what is behind."""
        return 0, 0

    def kept(self, values: Array) -> Array:
        """Return the values where the equation is looked at, and 0 elsewhere."""
        return values if self.live is None else array_namespace(values).where(self.live, values, 0.0)


@record
class Own(Grid):
    """The grid of a user's own problem: whatever shifters and rule are to be told of it."""

    given: Any
    ndim: int = static(default=1)

    @property
    def seen(self) -> Any:
        """What the user gave."""
        return self.given


def as_grid(given: Any, axes: int | None = None) -> Grid:
    """Return a grid, or one that holds what a user gave as such: of ``axes`` axes, of its ``ndim``, or of one.

    The ``ndim`` of an array is that of the array.
    """
    if isinstance(given, Grid):
        return given
    own = None if hasattr(given, "shape") else getattr(given, "ndim", None)
    return Own(given, int(own if own is not None else axes or 1))


@record
class Data:
    """The arrays of a problem, ready for use: x expanded to the rank of y, the guess of full shape."""

    x: Tree
    grid: Any
    boundary: Any
    guess: Array
