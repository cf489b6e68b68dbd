"""Films of an evolution equation: a line, or an image, that moves in time."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..backends import backend_of
from ..errors import InputError, check_whole, mismatch
from .atomic_files import place, replacing
from .plot import BESIDE, COLOURS, Picture
from .status import Status
from .view import element_of

if TYPE_CHECKING:
    from .solution import Solution

try:
    from matplotlib.animation import FFMpegWriter, PillowWriter
    from matplotlib.layout_engine import ConstrainedLayoutEngine
except ModuleNotFoundError as error:
    raise InputError("animate: matplotlib is not installed. Try: pip install 'deersolve[plot]'") from error

WRITERS: dict[str, Any] = {".gif": PillowWriter, ".mp4": FFMpegWriter}
NAMES = ("t", "s", "r", "u")
MARGIN = 0.05  # of the range of u, above and below
FAINT = 0.35  # the first level, behind the others
ROW = 3  # images beside each other; of more there are two rows


@dataclass(frozen=True)
class Film:
    """The levels that are shown of one batch element, as NumPy arrays."""

    t: Any  # of each frame, (K,)
    points: tuple[Any, ...]  # of space, along each axis
    u: Any  # (K, X, k) or (K, X, Y, k)
    components: Any  # their numbers, or names, (k,)
    n: int  # how many there are
    ranges: Any  # the smallest and the largest value of each over all levels, (k, 2)
    caption: str  # what else the title says
    units: Mapping[str, str]

    def label(self, name: str) -> str:
        """Return the label of an axis."""
        return f"{name} ({self.units[name]})" if self.units.get(name) else name

    def name(self, k: int) -> str:
        """Return the name of the k-th component."""
        return f"u[{self.components[k]}]" if self.n > 1 else "u"

    def time(self, frame: int) -> str:
        """Return the time of a frame, with as many digits as tell it from its neighbours."""
        gap, far = np.ptp(self.t) / max(len(self.t) - 1, 1), np.max(np.abs(self.t))
        digits = 0 if gap == 0 else max(0, -math.floor(math.log10(gap)))
        number = f"{self.t[frame]:.{digits}f}" if far < 1e5 and digits < 5 else f"{self.t[frame]:.3e}"
        return f"t = {number} {self.units.get('t', '')}".rstrip() + self.caption


Redraw = Callable[[int], None]


def animate(  # noqa: PLR0913 - what, where, and how
    sol: Solution,
    path: Any,
    element: Any,
    components: Any,
    frames: int,
    fps: float,
    units: Mapping[str, str] | None,
) -> Path:
    """Write a film: see :meth:`Solution.animate`."""
    writer = _writer(Path(path), fps)
    file = place("animate", path)
    film = film_of(sol, element, components, frames, units or {})
    figure, redraw = (lines if len(film.points) == 1 else images)(film)
    with replacing(file) as draft, writer.saving(figure, str(draft), dpi=100):
        for frame in range(len(film.t)):
            redraw(frame)
            writer.grab_frame()
            figure.set_layout_engine("none")  # as the first frame is laid out, so are all
    return Path(path)


def _writer(path: Path, fps: float) -> Any:
    """Return what writes files of that kind."""
    kind = WRITERS.get(path.suffix.lower())
    if kind is None:
        raise mismatch("animate", "a file named *.gif or *.mp4", str(path))
    if not 0 < fps < float("inf"):
        raise mismatch("animate", "fps as a finite number > 0", repr(fps))
    if not kind.isAvailable():
        raise InputError("animate: ffmpeg, which writes *.mp4, is not on the path. Install it, or write a *.gif.")
    return kind(fps=fps)


def film_of(sol: Solution, element: Any, components: Any, frames: int, units: Mapping[str, str]) -> Film:
    """Copy to the host what is asked for."""
    if sol.t is None or sol.s is None:
        advice = "Draw it with sol.plot()."
        raise mismatch("animate", "a solution of Evolution1D or Evolution2D", "one without time or space", advice)
    check_whole("animate", "frames", frames)
    if set(units) - set(NAMES):
        raise mismatch("animate", f"units of {', '.join(NAMES)}", f"{dict(units)}")
    picked = element_of(sol, element, "animate")
    t, *points = (_of_element(sol, name, picked.at) for name in NAMES[:-1] if getattr(sol, name) is not None)
    n, status = picked.y.shape[-1], picked.status
    columns, names = picked.columns("animate", components)
    u = picked.y[..., columns]
    known = np.where(np.isfinite(u), u, np.nan).reshape(-1, len(columns))
    seen = np.where(np.isnan(known).all(axis=0), 0.0, known)
    place = picked.at[0] if len(picked.at) == 1 else picked.at
    parts = [f"element {place}"] if picked.at else []
    ended = Status(status[picked.at])
    parts += [ended.name] if ended != Status.CONVERGED else []
    parts += [f"{len(columns)} of {n} components"] if len(columns) < n else []
    levels = nearest(t, np.linspace(t[0], t[-1], min(frames, len(t))))
    return Film(
        t=t[levels],
        points=tuple(points),
        u=u[levels],
        components=names,
        n=n,
        ranges=np.stack([np.nanmin(seen, axis=0), np.nanmax(seen, axis=0)], axis=-1),
        caption="".join(f", {part}" for part in parts),
        units=units,
    )


def _of_element(sol: Solution, name: str, at: tuple[int, ...]) -> Any:
    """Return the coordinates along an axis, which a batch shares but where it was mapped over."""
    points = getattr(sol, name)
    values = np.asarray(backend_of(points).to_numpy(points))
    return np.broadcast_to(values, (*sol.status.shape, values.shape[-1]))[at]


def nearest(t: Any, times: Any) -> Any:
    """Return which of the increasing t are nearest to the times."""
    after = np.clip(np.searchsorted(t, times), 1, len(t) - 1)
    return after - (times - t[after - 1] < t[after] - times)


def lines(film: Film) -> tuple[Any, Redraw]:
    """Return a figure with the components over the line, and what moves them to a frame."""
    figure = _paper(7.0, 4.0)
    axes, s = figure.add_subplot(), film.points[0]
    style = {"marker": "."} if len(s) <= len(COLOURS) * 10 else {}
    drawn = []
    for k, colour in zip(range(len(film.components)), COLOURS, strict=False):
        axes.plot(s, _finite(film.u[0, :, k]), color=colour, linewidth=1.0, alpha=FAINT)
        drawn += axes.plot(s, _finite(film.u[0, :, k]), color=colour, linewidth=1.8, label=film.name(k), **style)
    low, high = film.ranges[:, 0].min(), film.ranges[:, 1].max()
    gap = MARGIN * (high - low) or 0.5
    axes.set(xlim=(s[0], s[-1]), ylim=(low - gap, high + gap), xlabel=film.label("s"), ylabel=film.label("u"))
    axes.spines[["top", "right"]].set_visible(False)
    if film.n > 1:
        axes.legend(**BESIDE)

    def redraw(frame: int) -> None:
        for k, line in enumerate(drawn):
            line.set_ydata(_finite(film.u[frame, :, k]))
        axes.set_title(film.time(frame), loc="left", fontsize="medium")

    return figure, redraw


def images(film: Film) -> tuple[Any, Redraw]:
    """Return a figure with an image of each component over the plane, and what changes them to a frame."""
    count, (s, r) = len(film.components), film.points
    rows = 1 if count <= ROW else 2
    columns = -(-count // rows)
    shape = np.clip(np.ptp(r) / np.ptp(s), 0.4, 2.0)
    figure = _paper(0.4 + 4.4 * columns, 0.6 + 3.5 * shape * rows)
    drawn = []
    for k, axes in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
        if k >= count:
            axes.set_axis_off()
            continue
        low, high = film.ranges[k]
        axes.set_facecolor("lightgrey")  # where u is not finite
        image = axes.pcolormesh(
            s, r, _masked(film.u[0, ..., k]).T, shading="nearest", cmap="viridis", vmin=low, vmax=high
        )
        bar = axes.inset_axes((1.03, 0.0, 0.05, 1.0))
        figure.colorbar(image, cax=bar, label=film.name(k) + film.label("u")[1:])
        axes.set(xlabel=film.label("s"), ylabel=film.label("r"), aspect="equal")
        drawn.append(image)

    def redraw(frame: int) -> None:
        for k, image in enumerate(drawn):
            image.set_array(_masked(film.u[frame, ..., k]).T)
        figure.suptitle(film.time(frame), x=0.03, ha="left", fontsize="medium")

    return figure, redraw


def _paper(width: float, height: float) -> Any:
    return Picture(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1))


def _finite(values: Any) -> Any:
    return np.where(np.isfinite(values), values, np.nan)


def _masked(values: Any) -> Any:
    return np.ma.masked_invalid(values)
