"""Pictures of a solution: one batch element, how the iteration of all of them converged, and in which windows."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ..backends import backend_of
from ..errors import InputError
from .status import Status
from .view import View, view_of

if TYPE_CHECKING:
    from .solution import Solution

try:
    from matplotlib.axes import Axes
    from matplotlib.collections import PolyCollection
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter
except ModuleNotFoundError as error:
    raise InputError("plot: matplotlib is not installed. Try: pip install 'deersolve[plot]'") from error

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#000000")  # of Okabe and Ito: safe for all eyes
FAILED = "#D55E00"  # theirs too
LOOP = COLOURS[1]
SHADES = ("#B3CDE3", "#6FA8D6", "#2F7FC1", "#0B4C86")  # of blue, for few to many Newton steps
STRETCHES = 2000  # of a long trajectory, each drawn by its smallest and its largest value
FEW = 100  # points that are marked, or elements that have a line each; more are a band of their extremes
FAR = 1e8  # corrections this much above 1 or below roundoff have no place in the picture
STEEP = 1e6  # the growth of a failed element beyond which only a logarithmic scale shows it
NAMED = 2  # failed elements in the headline
BESIDE: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0), "frameon": False}


Panel: TypeAlias = Callable[[Axes, View], None]


def panels(view: View) -> list[Panel]:
    """Return what there is to draw, from top to bottom: the loop takes no Newton steps, and a window is the whole."""
    count = 1 if view.s is None else len(view.components)
    drawn: list[Panel] = [trajectory] if view.s is None else [partial(space_and_time, k=k) for k in range(count)]
    drawn += [] if np.isnan(view.history).all() else [convergence]
    return drawn + ([windows] if len(view.windows) > 1 else [])


class Picture(Figure):
    """A figure that a notebook shows by itself; pyplot does not know of it."""

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.savefig(file, format="png")
        return file.getvalue()


def draw(sol: Solution, element: Any, points: slice, components: Any, figure: Figure | None) -> Figure:
    """Draw a solution: see :meth:`Solution.plot`."""
    view = view_of(sol, element, points, components)
    drawn = panels(view)
    if figure is None:
        figure = Picture(figsize=(8.0, 0.5 + 2.5 * len(drawn)), layout="constrained")
    for panel, axes in zip(drawn, figure.subplots(len(drawn), squeeze=False)[:, 0], strict=True):
        panel(axes, view)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(_headline(sol, view), fontsize="large")
    return figure


def _headline(sol: Solution, view: View) -> str:
    """Return how the solve went: what ran, and the status of each element that failed."""
    what = ", ".join(filter(None, (sol.stats.method, sol.stats.rule))) or "solution"
    if not view.batch:
        return f"{what}: {Status(view.status[0]).name}"
    failed = np.flatnonzero(view.failed)
    counts = f"{what}: {len(view.status) - len(failed)} of {len(view.status)} converged"
    named = [f"{view.name(k)} {Status(view.status[k]).name}" for k in failed[:NAMED]]
    more = [f"{len(failed) - NAMED} more failed"] if len(failed) > NAMED else []
    return "\n".join([counts, ", ".join(named + more)]) if named else counts


# --------------------------------------------------------------------------------------- panels


def trajectory(axes: Axes, view: View) -> None:
    """Draw the components of one element over the grid; shaded where they are not finite."""
    finite, (x, y) = np.isfinite(view.y), view.line
    width = -(-len(x) // STRETCHES) if len(x) > 2 * STRETCHES else 1
    style: dict[str, Any] = {"linewidth": 1.2} if width == 1 else {"linewidth": 0.8, "alpha": 0.7}
    style |= {"marker": ".", "markevery": np.isin(x, view.x)} if len(view.x) <= FEW and width == 1 else {}
    for k, values, colour in zip(view.components, np.where(np.isfinite(y), y, np.nan).T, COLOURS, strict=False):
        shown = extremes(values, width)
        axes.plot(x[shown], values[shown], color=colour, label=str(k) if view.n > 1 else "y", **style)
    gaps = _gaps(view.x, ~finite.all(axis=1), width)
    if gaps:
        shade: dict[str, Any] = {"color": FAILED, "alpha": 0.2, "linewidth": 1.0, "label": "not finite"}
        axes.broken_barh(gaps, (0, 1), transform=axes.get_xaxis_transform(), **shade)
    if len(view.x) > 1:
        axes.set_xlim(np.min(view.x), np.max(view.x))
    axes.set(xlabel=view.axis, ylabel="y")
    _scale(axes, view, finite)
    axes.set_title(_what_is_drawn(view, width), loc="left", fontsize="medium")
    if view.n > 1 or gaps:
        axes.legend(title="component" if view.n > 1 else None, **BESIDE)


def space_and_time(axes: Axes, view: View, k: int) -> None:
    """Draw one component as an image over time and space, or over a plane with its contours; grey where not finite."""
    finite = np.isfinite(view.y[..., k])
    values = np.ma.masked_where(~finite, view.y[..., k])
    axes.set_facecolor("lightgrey")
    image = axes.pcolormesh(view.x, view.s, values.T, shading="nearest", cmap="viridis", rasterized=True)
    axes.figure.colorbar(image, ax=axes, pad=0.01)
    if view.axis == "s" and finite.all() and np.ptp(values) > 0:
        axes.contour(view.x, view.s, values.T, levels=8, colors="white", linewidths=0.6, alpha=0.7)
    if view.across == "r":
        axes.set_aspect("equal")
    axes.set(xlabel=view.axis, ylabel=view.across)
    name = f"Component {view.components[k]}" if view.n > 1 else "u"
    of = f" of {view.name(view.element)}" if view.batch else ""
    of += f" at t = {view.time:.4g}" if view.time is not None else ""
    failed = f", {Status(view.status[view.element]).name}" if view.failed[view.element] else ""
    axes.set_title(f"{name}{of}{failed}", loc="left", fontsize="medium")


def _scale(axes: Axes, view: View, finite: Any) -> None:
    """Set a logarithmic scale for an element that exploded, and none for one of which nothing is finite."""
    first, largest = np.max(np.abs(view.y[0])), np.max(np.abs(view.y), where=finite, initial=0.0)
    start = first if 0 < first < 1 else 1.0
    if not finite.any():
        axes.set_yticks([])
    elif view.failed[view.element] and largest / STEEP > start:
        decades = int(np.log10(largest))
        axes.set_yscale("symlog", linthresh=start)
        axes.minorticks_off()
        axes.set_yticks([sign * 10.0**k for k in (decades, decades // 2) for sign in (-1, 1)] + [0.0])


def _what_is_drawn(view: View, width: int) -> str:
    parts = [f"Trajectory of {view.name(view.element)}" if view.batch else "Trajectory"]
    if view.failed[view.element]:
        parts[0] += f", {Status(view.status[view.element]).name}"
    if len(view.components) < view.n:
        parts.append(f"{len(view.components)} of {view.n} components")
    if width > 1:
        parts.append(f"extremes of every {width} points")
    return "; ".join(parts)


def convergence(axes: Axes, view: View) -> None:
    """Draw the correction of every element at each Newton step, against the roundoff of its dtype."""
    history, failed, k = view.history, view.failed, np.arange(view.history.shape[1])
    has_begun = failed & ~np.isnan(history[:, 0])
    lost = np.isinf(history) | (np.isnan(history) & has_begun[:, None] & (k <= view.steps[:, None]))
    last = int(np.flatnonzero((lost | ~np.isnan(history)).any(axis=0))[-1])
    known = np.where(np.isfinite(history), np.minimum(history, FAR**2), np.nan)[:, : last + 1]
    is_drawn = np.arange(len(known)) == view.element
    groups = (("converged", ~failed & ~is_drawn, COLOURS[0]), ("failed", failed & ~is_drawn, FAILED))
    for label, who, colour in groups:
        rows = known[who]
        if len(rows) > FEW:
            most, least = np.fmax.reduce(rows), np.fmin.reduce(rows)
            axes.fill_between(k[: last + 1], least, most, color=colour, alpha=0.3, linewidth=0.0, label=label)
        elif len(rows):
            axes.plot(*_joined(rows), ".-", color=colour, alpha=0.6, linewidth=1.0, label=label)
    has_failed = bool(failed[view.element])
    own: dict[str, Any] = {"color": FAILED if has_failed else COLOURS[0], "linewidth": 1.8, "fillstyle": "none"}
    name = view.name(view.element) or ("failed" if has_failed else "converged")
    if not np.isnan(known[view.element]).all():
        axes.plot(k[: last + 1], known[view.element], "o-", label=name, **own)
    for label, where, edge, marker in (("not finite", lost, 1.0, "^"), ("zero", known == 0, 0.0, "v")):
        at = np.flatnonzero(where.any(axis=0))
        style: dict[str, Any] = {"marker": marker, "linestyle": "none", "color": "dimgrey", "clip_on": False}
        if len(at):
            axes.plot(at, np.full(len(at), edge), transform=axes.get_xaxis_transform(), label=label, **style)
    axes.axhline(view.eps, color="grey", linestyle="--", linewidth=1.0, label="roundoff")
    positive = known[known > 0]
    axes.set_yscale("log")
    bottom, top = np.min(positive, initial=view.eps), np.max(positive, initial=1.0)
    axes.set_ylim(max(bottom / 10, view.eps / FAR), min(10 * top, FAR))
    axes.set_xlim(-0.2, max(last, 1) + 0.2)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="Newton step", ylabel="relative correction")
    axes.set_title("Convergence", loc="left", fontsize="medium")
    for line in axes.legend(**BESIDE).get_lines():
        line.set_alpha(1.0)


def windows(axes: Axes, view: View) -> None:
    """Draw the length of each window where it lies, in the colour of its Newton steps or of the loop."""
    left, right, lengths, steps = view.windows.T
    bottom = 0.5 * np.min(lengths)
    low, up = np.full_like(lengths, bottom), lengths
    corners = np.stack([[left, low], [left, up], [right, up], [right, low]])  # (4, 2, W)
    kinds = [("loop", steps < 0, LOOP)] if (steps < 0).any() else []
    for (first, last), shade in zip(_ranges(steps[steps >= 0]), SHADES, strict=False):
        name = f"{first}" if first == last else f"{first} to {last}"
        kinds.append((name, (steps >= first) & (steps <= last), shade))
    for _, where, colour in kinds:
        bars = list(np.moveaxis(corners[..., where], -1, 0))
        axes.add_collection(PolyCollection(bars, facecolor=colour, edgecolor="none"))
    if len(left) <= FEW:
        axes.vlines(left[1:], bottom, np.minimum(lengths[:-1], lengths[1:]), color="white", linewidth=0.6)
    axes.set_yscale("log")
    axes.set_ylim(bottom, 1.5 * np.max(lengths))
    ends = view.x if view.time is None else view.windows[:, :2]
    if len(view.x) > 1:
        axes.set_xlim(np.min(ends), np.max(ends))
    along = view.axis if view.time is None else "t"
    axes.set(xlabel=along, ylabel="steps" if along == "step" else "intervals")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0,) if np.max(lengths) > 50 * bottom else (1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_title(f"Lengths of {len(left)} windows", loc="left", fontsize="medium")
    axes.legend(handles=[Patch(color=c, label=name) for name, _, c in kinds], title="Newton steps", **BESIDE)


def _ranges(steps: Any) -> list[tuple[int, int]]:
    """Return up to as many ranges of whole numbers as there are shades, which together hold all."""
    seen = np.unique(steps).astype(int)
    groups = np.array_split(seen, min(len(SHADES), len(seen))) if len(seen) else []
    return [(int(g[0]), int(g[-1])) for g in groups]


def extremes(values: Any, width: int) -> Any:
    """Return where the smallest and the largest value of every ``width`` are, in order."""
    if width == 1:
        return np.arange(len(values))
    starts = np.arange(0, len(values), width)
    padded = np.pad(values, (0, len(starts) * width - len(values)), mode="edge").reshape(-1, width)
    lows = np.argmin(np.where(np.isnan(padded), np.inf, padded), axis=1)
    highs = np.argmax(np.where(np.isnan(padded), -np.inf, padded), axis=1)
    found = np.concatenate([starts + lows, starts + highs, [0, len(values) - 1]])
    return np.unique(np.minimum(found, len(values) - 1))


def _gaps(x: Any, bad: Any, width: int) -> list[tuple[Any, Any]]:
    """Return where runs of bad points begin, and how far they reach: from the last good point to the next."""
    starts = np.arange(0, len(bad), width)
    coarse = np.concatenate([[False], np.logical_or.reduceat(bad, starts), [False]])
    ends = np.flatnonzero(coarse[1:] != coarse[:-1]).reshape(-1, 2) * width
    left = x[np.maximum(ends[:, 0] - 1, 0)]
    right = x[np.minimum(ends[:, 1], len(x) - 1)]
    return list(zip(left, right - left, strict=True))


def _joined(rows: Any) -> tuple[Any, Any]:
    """Return all rows as one line, with NaN between them."""
    padded = np.pad(rows, ((0, 0), (0, 1)), constant_values=np.nan)
    return np.broadcast_to(np.arange(padded.shape[1]), padded.shape).reshape(-1), padded.reshape(-1)


def branch(found: Any, component: int) -> Figure:
    """Draw the largest ``|y|`` of a component over the parameter of a :class:`~deersolve.Branch`, folds marked."""
    from matplotlib.figure import Figure

    backend = backend_of(found.y)
    params, y = backend.to_numpy(found.params), backend.to_numpy(found.y)[..., component]
    height = np.abs(y).reshape(len(params), -1).max(axis=1)
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(params, height, marker="o", markersize=3, color=COLOURS[0])
    for param, at in found.folds:
        top = np.abs(backend.to_numpy(at)[..., component]).max()
        axes.plot(param, top, "s", color="tab:red")
        axes.annotate(f"fold at {param:.5g}", (param, top), xytext=(-8, 0), textcoords="offset points", ha="right")
    axes.set(xlabel="parameter", ylabel="largest |y|")
    axes.set_title(f"{len(params)} points; {found.stopped}", loc="left", fontsize="medium")
    return figure
