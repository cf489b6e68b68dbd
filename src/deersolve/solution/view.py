"""What is drawn of a solution: one batch element, chosen, checked and copied to the host; no library of pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..backends import backend_of
from ..backends.pairs import is_complex, paired
from ..errors import mismatch
from .status import Status

if TYPE_CHECKING:
    from .solution import Solution

SHOWN = 6  # components
SMOOTH = 8  # points of a line on each interval of dense output


@dataclass(frozen=True)
class View:
    """What is drawn, as NumPy arrays; the B batch elements are flat."""

    axis: str  # of the grid: "t" or "step"
    x: Any  # grid points, (N,)
    y: Any  # of one element, (N, k)
    components: Any  # their numbers, or names, (k,)
    n: int  # how many there are
    batch: tuple[int, ...]  # the shape of the batch
    element: int
    status: Any  # (B,)
    steps: Any  # (B,)
    history: Any  # (B, K), NaN after the last iterate
    eps: float
    s: Any  # points along the second axis of a y of shape (N, X, k), or None
    across: str  # what that axis is called
    time: float | None  # of the level that is drawn, where there are two axes of space
    line: Any  # points of the axis and y there, (M,) and (M, k): of dense output more than those of the grid
    windows: Any  # where each begins and ends on the axis, its length, and its Newton steps, -1 of the loop, (W, 4)

    @property
    def failed(self) -> Any:
        """Whether each batch element failed."""
        return self.status != int(Status.CONVERGED)

    def name(self, k: int) -> str:
        """Return the name of a batch element; without a batch there is none."""
        at = [int(i) for i in np.unravel_index(k, self.batch)]
        return f"element {at[0] if len(at) == 1 else tuple(at)}" if at else ""


@dataclass(frozen=True)
class Element:
    """One element of a batch: its flat number, its place, the numbers of its y, and the status of all, (*B,).

    Of complex components both parts are drawn, one behind the other; ``parts`` is then 2.
    """

    number: int
    at: tuple[int, ...]
    y: Any
    status: Any
    parts: int

    def columns(self, what: str, components: Any) -> tuple[Any, Any]:
        """Return the places in y of a few components, and their numbers or, of both parts, names."""
        found = chosen(f"{what}: components", (self.y.shape[-1] // self.parts,), components)[: SHOWN // self.parts]
        if self.parts == 1:
            return found, found
        return (2 * found[:, None] + [0, 1]).reshape(-1), np.array([f"{p} {k}" for k in found for p in ("Re", "Im")])


def element_of(sol: Solution, element: Any, what: str = "plot") -> Element:
    """Copy to the host an element of the batch: the first that failed, or else the first, if none is named."""
    backend = backend_of(sol.y)
    if not backend.is_concrete((sol.y, sol.status)):
        raise mismatch(what, "a solution that holds numbers", "a traced one", "Plot what jit or vmap returns.")
    if sol.q is not None:
        raise mismatch(what, "a solution on at most two axes of space", "one on three", "Draw a slice of y.")
    status = backend.to_numpy(sol.status)
    first_failed = np.argmax(status.reshape(-1) != int(Status.CONVERGED))
    picked = first_failed if element is None else chosen(f"{what}: element", status.shape, element, ndim=0)
    at = tuple(map(int, np.unravel_index(picked, status.shape)))
    y, parts = backend.to_numpy(sol.y[(*at, ...)]), 1 + is_complex(sol.y)
    return Element(int(picked), at, paired(y) if parts == 2 else y, status, parts)


def view_of(sol: Solution, element: Any, points: slice, components: Any) -> View:
    """Copy to the host what is asked for."""
    backend, stats, picked = backend_of(sol.y), sol.stats, element_of(sol, element)
    steps, history = (backend.to_numpy(a) for a in (stats.steps, stats.history))
    at, y, batch, n = picked.at, picked.y, picked.status.shape, picked.y.shape[-1]
    is_image = sol.s is not None and (sol.t is not None or sol.r is not None)
    is_film = sol.r is not None and sol.t is not None
    times: Any = None if sol.t is None else backend.to_numpy(sol.t)
    y = y[-1] if is_film else y  # the last level
    y = y if is_image else y.reshape(-1, n)
    x: Any = np.arange(len(y))
    if is_image:
        x = times if sol.r is None else backend.to_numpy(sol.s)
    elif sol.t is not None:
        x = np.broadcast_to(backend.to_numpy(sol.t), sol.y.shape[:-1])[at].reshape(-1)
    elif sol.s is not None:
        x = backend.to_numpy(sol.s)
    edges = np.arange(len(y) + 1) if sol.t is None else (times if is_film else x)
    spans = [(edges[w.start], edges[w.end], w.length, -1 if w.by == "loop" else w.steps) for w in stats.windows]
    rows = chosen("plot: points", (len(y),), points)
    columns, names = picked.columns("plot", components)
    return View(
        axis="t" if sol.t is not None and not is_film else ("step" if sol.s is None else "s"),
        x=x[rows],
        y=y[rows][..., columns],
        components=names,
        n=n,
        batch=batch,
        element=picked.number,
        status=picked.status.reshape(-1),
        steps=steps.reshape(-1),
        history=history.reshape(-1, history.shape[-1]),
        eps=float(np.finfo(y.dtype).eps),
        s=backend.to_numpy(sol.s if sol.r is None else sol.r) if is_image else None,
        across="s" if sol.r is None else "r",
        time=float(times[-1]) if is_film and times is not None else None,
        line=_line(sol, at, x[rows], columns) or (x[rows], y[rows][..., columns]),
        windows=np.reshape(np.array(spans, dtype=float), (-1, 4)),
    )


def _line(sol: Solution, at: tuple[int, ...], x: Any, columns: Any) -> Any:
    """Return times on all intervals of dense output between the points drawn, and the components there."""
    if sol.dense is None or len(x) < 2:
        return None
    backend = backend_of(sol.y)
    dense = sol.dense.element(at)
    grid = backend.to_numpy(dense.t)
    inside = grid[(grid > x.min()) & (grid < x.max())]
    knots = np.unique(np.concatenate([x, inside]))
    spread = np.linspace(knots[:-1], knots[1:], SMOOTH, endpoint=False, axis=-1).reshape(-1)
    times = np.concatenate([spread, knots[-1:]])
    y = backend.to_numpy(dense(backend.convert(times, dense.t, dense.t.dtype)))
    return times, (paired(y) if is_complex(y) else y)[:, columns]


def chosen(what: str, shape: tuple[int, ...], index: Any, ndim: int = 1) -> Any:
    """Return the flat numbers of the entries that an index of an array of that shape picks."""
    try:
        found = np.arange(np.prod(shape, dtype=int)).reshape(shape)[index]
    except (IndexError, TypeError, ValueError):
        found = np.empty(0)
    if found.ndim != ndim or not found.size:
        kind = "the index of one entry" if ndim == 0 else "a slice or a list of numbers"
        raise mismatch(what, f"{kind} of shape {shape}", repr(index))
    return found
