"""What a solve returns: the trajectory, its status, and the numbers that certify it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..backends.namespace import Array, dtype_name
from ..backends.trees import record, static
from ..errors import mismatch
from .status import Status, numbers, tally
from .window import Window

if TYPE_CHECKING:
    from os import PathLike
    from pathlib import Path

    from matplotlib.figure import Figure
    from xarray import Dataset


@record
class Stats:
    """The numbers beside a solution; the arrays have one entry for each batch element.

    Attributes
    ----------
    steps : array, shape (*B,)
        Newton steps taken, of windows the most that one took (0 for the sequential loop).
    error : array, shape (*B,)
        The forward error: the largest full Newton correction at the returned y, relative to the size of
        the equation's terms at its grid point; where f alone was evaluated last, with the Jacobian of the
        step before; by a rule that iterates, as far as that went. NaN where the sequential loop found y.
    residual : array, shape (*B,)
        The backward error: the largest |M f - L y| relative to |L||y| + |M|(|f| + sum_p |G_p||y_p|); of the loop that
        of f of all points at once, or of some of a long one, beside the largest component of its terms, without G.
    history : array, shape (*B, max_steps + 1)
        ``error`` at every iterate, NaN after the last; of windows the largest, those left out that were not solved.
    rule_errors : RuleErrors or None
        Of a rule that is not built in: how far ``solve``, ``transpose`` and ``magnitude`` are off at y, each (*B,).
    discretisation_error : array, shape (*B,) or None
        For a differential equation in time or on one axis of space: the estimated error of y, per component the
        largest over t relative to the largest |y|, the worst component.
    is_asymptotic : array of bool, shape (*B,) or None
        Whether that is right within a factor of 2 and ``y_corrected`` better than y, as a second correction and the
        spread of the quadrature tell. Where not, the number is a guess: f jumps, is stiff, or the grid too coarse. Of a
        large batch solved to a tolerance it tells which elements the error was estimated of: ``choice`` counts them.
    local_error : array, shape (*B, T) or None
        The same at each point of time (of a :class:`TwoPointProblem`, each point), relative to the size of y there and
        at the two points beside it: the largest |error| by the largest |y|, each component in units of its own largest
        value, over all components and space. Where y decays it grows to 1 and more while ``discretisation_error`` is
        small.
    rule, method, scan, derivative, choice : str
        What ran, and why.
    gradient : str
        How y is differentiated, and whether that is exact.
    tolerance : tuple
        rtol and atol of a solve to a tolerance; of another one it is empty.
    windows : tuple of Window
        The windows that were solved one after the other, from the first; empty where compiled code did, or all was
        solved at once.
    """

    steps: Array
    error: Array
    residual: Array
    history: Array
    rule_errors: Any = None
    discretisation_error: Any = None
    is_asymptotic: Any = None
    local_error: Any = None
    rule: str = static(default="")
    method: str = static(default="")
    scan: str = static(default="")
    derivative: str = static(default="")
    choice: str = static(default="")
    gradient: str = static(default="")
    tolerance: tuple[Any, ...] = static(default=())
    windows: tuple[Window, ...] = static(default=())


@record
class Solution:
    """The trajectory of every batch element.

    Attributes
    ----------
    y : array, shape (*B, *R, n)
        The solution of the discrete equation; where an element failed, its last finite iterate.
    status : array of int, shape (*B,)
        A :class:`Status` for each batch element.
    stats : Stats
        The certificate and the course of the iteration.
    y_corrected : array, shape (*B, *R, n) or None
        For a differential equation in time or on one axis: y after one deferred correction, of 4th order for the
        trapezoid.
    t : array or None
        The times of a differential equation, (T,) or (*B, T).
    s, r, q : array or None
        The points of space along its first axis, (X,), its second, (Y,), and its third, (Z,), where there are some.
    stages : array or None
        Of a rule with stages between two times: y there, (*B, T, m - 1, n) or (*B, T, m - 1, *R, n), those of the
        interval that ends at a time. ``adjoint`` and ``sensitivity`` need them.
    dense : DenseOutput or None
        Of a solve to a tolerance: y between the points of the grid that the solver found.
    """

    y: Array
    status: Array
    stats: Stats
    y_corrected: Any = None
    t: Any = None
    s: Any = None
    r: Any = None
    q: Any = None
    stages: Any = None
    dense: Any = None

    def __call__(self, t: Any, derivative: int = 0, *, side: str = "right") -> Array:
        """Return y at any times, or a derivative of it: see :meth:`DenseOutput.__call__`.

        Raises
        ------
        InputError
            If the solve was on a grid of the caller's, which has no dense output, or a time is outside of the span.
        """
        if self.dense is None:
            advice = "Give ds.solve(problem, rtol=...), or interpolate sol.y between the points of sol.t."
            raise mismatch("sol(t)", "a solution to a tolerance", "one on a given grid, without dense output", advice)
        y: Array = self.dense(t, derivative, side=side)
        return y

    @property
    def grid(self) -> Any:
        """The times that the solver stepped over, (*B, N + 1); of a solve on a given grid those."""
        return self.t if self.dense is None else self.dense.t

    @property
    def converged(self) -> Array:
        """Whether each batch element converged, an array of bool of shape (*B,)."""
        return self.status == int(Status.CONVERGED)

    def plot(
        self,
        element: int | tuple[int, ...] | None = None,
        *,
        points: slice = slice(None),
        components: slice | Sequence[int] = slice(None),
        figure: Figure | None = None,
    ) -> Figure:
        """Draw one batch element over time or space, how the iteration of all of them converged, and in which windows.

        Needs matplotlib: ``pip install 'deersolve[plot]'``. A long trajectory is drawn by the extremes of short
        stretches. Where windows were solved one by one, the correction shown is the largest of all at each step;
        where the loop found y, there is none.

        Parameters
        ----------
        element : int or tuple of int, optional
            The batch element; by default the first that failed, or else the first.
        points : slice
            Which points of the grid, by number.
        components : slice or list of int, optional
            Which components; of many only six are drawn.
        figure : matplotlib.figure.Figure, optional
            Where to draw; by default in a new one, which pyplot does not know of. A notebook shows it.

        Returns
        -------
        matplotlib.figure.Figure

        Examples
        --------
        >>> import numpy as np
        >>> import deersolve as ds
        >>> sol = ds.solve(ds.Recurrence(lambda y, x, r: r * y * (1 - y), np.array([0.5]), params=2.8, n_points=300))
        >>> figure = sol.plot(points=slice(0, 50))
        >>> len(figure.axes[0].lines[0].get_ydata())
        50
        """
        from .plot import draw

        return draw(self, element, points, components, figure)

    def animate(
        self,
        path: str | PathLike[str],
        element: int | tuple[int, ...] | None = None,
        *,
        components: slice | Sequence[int] = slice(None),
        frames: int = 100,
        fps: float = 20.0,
        units: Mapping[str, str] | None = None,
    ) -> Path:
        """Write a film of one batch element of an evolution equation: a line that moves in time, or an image.

        Time runs evenly: each frame is the level nearest to its time. Axes and colours are those of all levels. A line
        has its start behind it, pale; where u is not finite a line has a gap and an image is grey.

        Needs matplotlib, ``pip install 'deersolve[plot]'``, and for an mp4 also ffmpeg.

        Parameters
        ----------
        path : str or path
            The file, "*.gif" or "*.mp4".
        element : int or tuple of int, optional
            The batch element; by default the first that failed, or else the first.
        components : slice or list of int, optional
            Which components; of many only six are drawn.
        frames : int
            How many, at most as there are levels.
        fps : float
            Frames per second.
        units : dict, optional
            Units to name, of "t", "s", "r" and "u", as ``{"t": "h", "u": "K"}``.

        Returns
        -------
        pathlib.Path
            The file.

        Raises
        ------
        InputError
            If the solution has no time or no space, an option is out of range, or matplotlib or ffmpeg is missing.

        Examples
        --------
        >>> import numpy as np
        >>> import deersolve as ds
        >>> s, ends = np.linspace(0.0, 1.0, 51), {"left": ds.Dirichlet(), "right": ds.Dirichlet()}
        >>> u0 = np.sin(np.pi * s)[:, None]
        >>> heat = ds.Evolution1D(lambda u, u_s, x, p: 0.0 * u, np.linspace(0.0, 0.2, 41), s, u0, **ends)
        >>> ds.solve(heat).animate("heat.gif", units={"t": "h", "s": "m", "u": "K"})  # doctest: +SKIP
        """
        from .film import animate

        return animate(self, path, element, components, frames, fps, units)

    def to_xarray(self, *, components: Sequence[Any] | None = None, batch: Mapping[str, Any] | None = None) -> Dataset:
        """Return the solution with named axes, in NumPy arrays, as :mod:`xarray` has them.

        The axes of ``y`` are those of the batch, then "t", "s" and "r", or "step" of a recurrence, and "component".
        Beside ``y`` and ``y_corrected`` there are, for each batch element, its ``status``, ``steps``, ``error``,
        ``residual``, ``discretisation_error`` and ``history``, and at each point its ``local_error``; in the attributes
        what ran, how many elements have which status, and the largest errors. Units are yours, and none are named.
        Where times differ between batch elements, the axis is "t_index", and "t" a coordinate over it and the batch.

        Needs xarray: ``pip install 'deersolve[xarray]'``. :func:`from_xarray` is the way back, to a guess.

        Parameters
        ----------
        components : list of str, optional
            Names of the n components; by default their numbers.
        batch : dict, optional
            A name for each axis of the batch, with its coordinates, as ``{"rate": [0.1, 0.2]}``; by default "batch",
            or "batch_0", "batch_1", ..., and numbers.

        Returns
        -------
        xarray.Dataset

        Raises
        ------
        InputError
            If names do not fit y, the solution is traced, or xarray is not installed.

        Examples
        --------
        >>> import numpy as np
        >>> import deersolve as ds
        >>> y0 = np.array([[1.0], [2.0]])
        >>> decay = ds.InitialValueProblem(lambda y, t, p: -y, np.linspace(0.0, 1.0, 101), y0)
        >>> data = ds.solve(decay).to_xarray(components=["mass"], batch={"start": y0[:, 0]})
        >>> round(float(data.y.sel(start=2.0, t=1.0, component="mass")), 4)
        0.7358
        """
        from .named_axes import to_xarray

        return to_xarray(self, components, batch)

    def __repr__(self) -> str:
        s = self.stats
        try:
            counts = tally(numbers(self.status))
        except Exception:  # a tracer has no numbers
            return f"Solution(y={tuple(self.y.shape)}, traced)"
        lines = [
            f"Solution(y: {tuple(self.y.shape)} {dtype_name(self.y)}, {counts}",
            f"  method {s.method}, rule {s.rule}, {_largest(s.steps):.0f} steps",
            f"  {_forward(s)}backward error {_backward(s)} (relative)",
        ]
        if s.discretisation_error is not None:
            is_sample = s.tolerance and _largest(s.discretisation_error) < math.inf
            doubt = ", of a sample" if is_sample else ", not asymptotic: refine the grid to trust it"
            sure = "" if _every(s.is_asymptotic) else doubt
            lines.append(f"  discretisation error {_largest(s.discretisation_error):.1e} (relative{sure})")
        return "\n".join(lines) + ")"


def _largest(a: Array) -> float:
    return max(numbers(a), default=float("nan"))


def _forward(stats: Stats) -> str:
    size = _largest(stats.error)
    return f"forward error {size:.1e}, " if size == size else ""


def _backward(stats: Stats) -> str:
    size = _largest(stats.residual)
    return f"{size:.1e}" if size == size else "not offered by the rule"


def _every(a: Array) -> bool:
    return all(numbers(a))
