"""Films of evolution equations: what each frame holds, what stays the same in all, and what is refused."""

from __future__ import annotations

import builtins
import stat
import sys

import numpy as np
import pytest

import deersolve as ds

matplotlib = pytest.importorskip("matplotlib")
film = pytest.importorskip("deersolve.solution.film")
Image = pytest.importorskip("PIL.Image")

T, S, R = np.linspace(0.0, 0.5, 11), np.linspace(0.0, 3.0, 31), np.linspace(-1.0, 1.0, 9)


def made_up(u, t=T, s=S, r=None, status=0):
    """Return a solution of any numbers; the batch has the shape of ``status``."""
    status = np.asarray(status)
    nothing = np.zeros(status.shape)
    return ds.Solution(u, status, ds.Stats(nothing, nothing, nothing, nothing[..., None]), None, t, s, r)


def wave(n=1, t=T):
    """Return u, (T, X, n), which falls with t: all of the range is in the first level."""
    return (np.exp(-3 * t)[:, None] * np.sin(np.pi * S))[..., None] * np.arange(1.0, n + 1)


def bump(n=1):
    space = np.exp(-((S[:, None] - 1) ** 2) - R**2)
    return ((1 + T)[:, None, None] * space)[..., None] * np.arange(1.0, n + 1)


def frames_of(path):
    with Image.open(path) as image:
        return image.n_frames


def moved(sol, frame, draw, **options):
    """Return the axes of a figure at a frame."""
    picked = {"element": None, "components": slice(None), "frames": 100, "units": {}, **options}
    shown = film.film_of(sol, **picked)
    figure, redraw = draw(shown)
    redraw(frame)
    return shown, figure


@pytest.mark.cases_backend("jax")
def test_a_line_moves_through_the_levels(lib):
    u = wave(2)
    stats = [lib.asarray(0.0)] * 3 + [lib.asarray([0.0])]
    status = lib.asarray(0, dtype="int32")
    sol = ds.Solution(lib.asarray(u), status, ds.Stats(*stats), None, lib.asarray(T), lib.asarray(S))
    for k in (0, 4, 10):
        _, figure = moved(sol, k, film.lines, units={"t": "h", "s": "m", "u": "K"})
        (axes,) = figure.axes
        lines = {line.get_label(): line for line in axes.lines}
        for c in range(2):
            np.testing.assert_array_equal(lines[f"u[{c}]"].get_ydata(), u[k, :, c])
            np.testing.assert_array_equal(lines[f"u[{c}]"].get_xdata(), S)
        assert axes.get_title("left") == f"t = {T[k]:.2f} h"
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("s (m)", "u (K)")
        low, high = axes.get_ylim()
        assert low < u.min() < u.max() < high  # those of all levels, in every frame


def test_an_image_changes_and_its_colours_stay():
    u = bump(2)
    for k in (0, 10):
        shown, figure = moved(made_up(u, r=R), k, film.images, units={"s": "km"})
        panels = [axes for axes in figure.axes if axes.get_xlabel() == "s (km)"]
        assert [axes.get_ylabel() for axes in panels] == ["r", "r"]
        for c, axes in enumerate(panels):
            (image,) = axes.collections
            np.testing.assert_array_equal(np.asarray(image.get_array()), u[k, :, :, c].T)
            assert image.get_clim() == (u[..., c].min(), u[..., c].max())
        assert figure.get_suptitle() == f"t = {T[k]:.2f}"
        assert not shown.caption


@pytest.mark.parametrize("r", [None, R], ids=["line", "plane"])
def test_the_file_has_a_frame_for_each_level(r, tmp_path):
    sol = made_up(wave() if r is None else bump(), r=r)
    path = sol.animate(tmp_path / "film.gif", fps=10)
    assert path == tmp_path / "film.gif"
    assert frames_of(path) == len(T)
    assert frames_of(sol.animate(str(tmp_path / "short.GIF"), frames=4)) == 4
    with Image.open(path) as image:
        assert image.info["duration"] == 100
        first = np.asarray(image.convert("RGB")).astype(int)
        image.seek(10)
        last = np.asarray(image.convert("RGB")).astype(int)
    assert first.shape == last.shape
    assert np.abs(first - last).max() > 100


def test_time_runs_evenly():
    t = np.concatenate([[0.0], np.geomspace(1e-3, 1.0, 40)])
    levels = film.nearest(t, np.linspace(0.0, 1.0, 21))
    assert (levels[0], levels[-1]) == (0, 40)
    for time, level in zip(np.linspace(0.0, 1.0, 21), levels, strict=True):
        assert np.abs(t - time).min() == abs(t[level] - time)
    np.testing.assert_array_equal(film.nearest(T, T), np.arange(11))
    shown, _ = moved(made_up(wave(t=t), t=t), 0, film.lines, frames=21)
    np.testing.assert_array_equal(shown.t, t[levels])


@pytest.mark.parametrize(
    ("t", "expected"),
    [
        ([0.0, 0.0125, 0.025], "t = 0.01"),
        ([0.0, 2.0, 4.0], "t = 2"),
        ([0.0, 2e-9, 4e-9], "t = 2.000e-09"),
        ([0.0, 1e6, 2e6], "t = 1.000e+06"),
    ],
)
def test_times_have_as_many_digits_as_they_need(t, expected):
    t = np.array(t)
    shown, _ = moved(made_up(wave(t=t), t=t), 0, film.lines)
    assert shown.time(1) == expected


def test_an_element_of_a_batch_and_what_failed():
    u = np.stack([wave(), 2 * wave(), 3 * wave()])[None]
    u[0, 1, 5:, 10:20] = np.inf
    sol = made_up(u, status=[[0, 2, 0]])
    shown, figure = moved(sol, 10, film.lines)
    assert shown.time(10) == "t = 0.50, element (0, 1), NONFINITE"
    line = figure.axes[0].lines[1].get_ydata()
    assert np.isnan(line[10:20]).all()
    assert np.isfinite(line[:10]).all()
    shown, figure = moved(sol, 0, film.lines, element=(0, 2))
    assert shown.caption == ", element (0, 2)"
    np.testing.assert_array_equal(figure.axes[0].lines[1].get_ydata(), u[0, 2, 0, :, 0])


def test_coordinates_that_were_mapped_over():
    u = np.stack([wave(), wave()])
    shown, _ = moved(made_up(u, np.stack([T, 2 * T]), np.stack([S, S]), status=[0, 0]), 0, film.lines, element=1)
    np.testing.assert_array_equal(shown.t, 2 * T)
    np.testing.assert_array_equal(shown.points[0], S)


@pytest.mark.slow
def test_nothing_finite_and_nothing_that_moves(tmp_path):
    for u in (np.full((11, 31, 1), np.nan), np.ones((11, 31, 1))):
        assert frames_of(made_up(u).animate(tmp_path / "still.gif")) >= 1
    still = np.broadcast_to(np.array([np.nan, 1.0]), (11, 31, 9, 2))
    assert frames_of(made_up(still, r=R).animate(tmp_path / "still.gif")) >= 1


def test_many_components():
    u = bump(9)
    shown, figure = moved(made_up(u, r=R), 0, film.images, components=[2, 5, 6, 8])
    assert shown.caption == ", 4 of 9 components"
    bars = [bar.get_ylabel() for axes in figure.axes for bar in axes.child_axes]
    assert bars == ["u[2]", "u[5]", "u[6]", "u[8]"]
    shown, _ = moved(made_up(u, r=R), 0, film.images)
    assert shown.u.shape[-1] == 6
    _, figure = moved(made_up(bump(5), r=R), 0, film.images)
    assert [axes.axison for axes in figure.axes if axes.get_xlabel() != "s" and not axes.get_ylabel()] == [False]


def test_of_a_solve(tmp_path):
    s, ends = np.linspace(0.0, 1.0, 21), {"left": ds.Dirichlet(), "right": ds.Dirichlet()}
    u0 = np.sin(np.pi * s)[:, None]
    heat = ds.Evolution1D(lambda u, u_s, x, p: 0.0 * u, np.linspace(0.0, 0.1, 6), s, u0, **ends)
    assert frames_of(ds.solve(heat).animate(tmp_path / "heat.gif")) == 6


WRONG = {
    "suffix": ({"path": "film.avi"}, r"a file named \*\.gif or \*\.mp4; received film.avi"),
    "folder": ({"path": "nowhere/film.gif"}, "a folder that exists"),
    "frames": ({"frames": 0}, "frames as an integer >= 1"),
    "fps": ({"fps": 0.0}, "fps as a finite number > 0"),
    "units": ({"units": {"x": "m"}}, "units of t, s, r, u"),
    "element": ({"element": 3}, "animate: element"),
    "components": ({"components": [4]}, "animate: components"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_out_of_range_is_an_error(name, tmp_path, monkeypatch):
    options, message = WRONG[name]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ds.InputError, match=message):
        made_up(wave()).animate(**{"path": "film.gif", **options})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("known", [{"t": None}, {"s": None}], ids=["no time", "no space"])
def test_other_solutions_have_no_film(known, tmp_path):
    with pytest.raises(ds.InputError, match=r"Evolution1D or Evolution2D.*sol\.plot"):
        made_up(wave(), **known).animate(tmp_path / "film.gif")


def test_without_ffmpeg_a_gif_is_proposed(tmp_path):
    nowhere = {"animation.ffmpeg_path": str(tmp_path / "no-ffmpeg")}
    with matplotlib.rc_context(nowhere), pytest.raises(ds.InputError, match=r"ffmpeg.*is not on the path.*\.gif"):
        made_up(wave()).animate(tmp_path / "film.mp4")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="a script of the shell stands for ffmpeg")
def test_ffmpeg_is_given_every_frame(tmp_path):
    stand_in = tmp_path / "ffmpeg"
    stand_in.write_text('#!/bin/sh\nfor last; do :; done\ncat > "$last"\n', encoding="utf-8")
    stand_in.chmod(stand_in.stat().st_mode | stat.S_IXUSR)
    with matplotlib.rc_context({"animation.ffmpeg_path": str(stand_in)}):
        path = made_up(wave()).animate(tmp_path / "film.mp4", frames=3)
    assert path.stat().st_size == 3 * 700 * 400 * 4  # raw RGBA


def test_without_matplotlib_the_extra_is_named(monkeypatch, tmp_path):
    load = builtins.__import__

    def missing(name, *args):
        if name.partition(".")[0] == "matplotlib":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return load(name, *args)

    for name in ("plot", "film"):
        monkeypatch.delitem(sys.modules, f"deersolve.solution.{name}", raising=False)
    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ds.InputError, match=r"pip install 'deersolve\[plot\]'"):
        made_up(wave()).animate(tmp_path / "film.gif")
