"""Pictures of a solution: what the lines hold, what the titles say, and what is left out."""

from __future__ import annotations

import builtins
import dataclasses
import io
import sys
import warnings

import numpy as np
import pytest

import deersolve as ds
from deersolve.backends import backend_of
from tests.references import pendulum

matplotlib = pytest.importorskip("matplotlib")
plot = pytest.importorskip("deersolve.solution.plot")

T = np.linspace(0.0, 6.0, 61)


def swing(lib, y0, **options):
    return lib.solve(ds.InitialValueProblem(pendulum, lib.asarray(T), lib.asarray(y0)), method="newton", **options)


def made_up(y, status=0, history=(1.0, 1e-3, 1e-17, np.nan)):
    """Return a solution of any numbers; the batch has the shape of ``status``."""
    status, history = np.asarray(status), np.asarray(history)
    steps = np.full(status.shape, 2)
    history = np.broadcast_to(history, (*status.shape, history.shape[-1]))
    return ds.Solution(np.asarray(y), status, ds.Stats(steps, steps * 0.0, steps * 0.0, history))


def one_fails(method="newton", on_failure="return"):
    r = np.array([2.5, 2.2, 6.0, 2.9])[:, None, None]
    problem = ds.Recurrence(lambda y, r, p: r * y * (1 - y), np.full((4, 1), 0.3), r, n_points=40)
    return ds.solve(problem, np.full((4, 1, 1), 0.6), method=method, on_failure=on_failure)


def labels(axes):
    return {text.get_text() for text in axes.get_legend().get_texts()}


def line(axes, label):
    return next(line for line in axes.lines if line.get_label() == label)


def test_the_lines_are_the_solution(lib):
    sol = swing(lib, [2.0, 0.0])
    above, below = sol.plot().axes
    for k in range(2):
        np.testing.assert_array_equal(line(above, str(k)).get_xdata(), T)
        np.testing.assert_array_equal(line(above, str(k)).get_ydata(), lib.to_numpy(sol.y)[:, k])
    steps = int(sol.stats.steps)
    history = lib.to_numpy(sol.stats.history)[: steps + 1]
    np.testing.assert_array_equal(line(below, "converged").get_ydata(), history)
    assert set(line(below, "roundoff").get_ydata()) == {np.finfo(float).eps}
    assert below.get_yscale() == "log"
    assert (above.get_xlabel(), below.get_xlabel()) == ("t", "Newton step")


def test_an_element_of_a_batch(lib):
    y0 = np.stack([np.linspace(0.1, 2.0, 6), np.zeros(6)], axis=-1).reshape(2, 3, 2)
    sol = swing(lib, y0)
    above, below = sol.plot((1, 2)).axes
    np.testing.assert_array_equal(line(above, "0").get_ydata(), lib.to_numpy(sol.y)[1, 2, :, 0])
    history = lib.to_numpy(sol.stats.history).reshape(6, -1)
    own = line(below, "element (1, 2)").get_ydata()
    np.testing.assert_array_equal(own, history[5, : len(own)])
    others = line(below, "converged").get_ydata().reshape(5, -1)[:, :-1]
    np.testing.assert_array_equal(others, history[:5, : others.shape[1]])


@pytest.mark.cases_backend("jax")
def test_to_numpy(lib):
    for value in ([1.0, np.nan], 3.0, np.zeros((2, 0))):
        array = lib.asarray(value)
        found = backend_of(array).to_numpy(array)
        assert isinstance(found, np.ndarray)
        np.testing.assert_array_equal(found, np.asarray(value))


def test_a_solution_on_a_graph():
    torch = pytest.importorskip("torch")
    k = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    t = torch.tensor(T)
    problem = ds.InitialValueProblem(lambda y, t, k: -k * y, t, torch.ones(1, dtype=torch.float64), params=k)
    sol = ds.solve(problem)
    assert sol.y.requires_grad
    drawn = sol.plot().axes[0].lines[0].get_ydata()
    np.testing.assert_array_equal(drawn, sol.y.detach().numpy()[:, 0])
    sol.y.sum().backward()
    assert k.grad is not None


@pytest.mark.slow
def test_under_jit_is_an_error_and_after_vmap_is_none():
    jax = pytest.importorskip("jax")

    def solved(y0):
        return ds.solve(ds.InitialValueProblem(pendulum, jax.numpy.asarray(T), y0))

    y0 = jax.numpy.asarray([[1.0, 0.0], [2.0, 0.0]])
    with pytest.raises(ds.InputError, match="Plot what jit or vmap returns"):
        jax.jit(lambda y0: solved(y0).plot() and y0)(y0[0])
    sol = jax.vmap(solved)(y0)
    drawn = line(sol.plot(1).axes[0], "0")
    np.testing.assert_array_equal(drawn.get_ydata(), np.asarray(sol.y)[1, :, 0])


def test_under_vmap_of_torch_is_an_error():
    torch = pytest.importorskip("torch")

    def drawn(y0):
        ds.solve(ds.InitialValueProblem(pendulum, torch.tensor(T), y0)).plot()
        return y0

    with pytest.raises(ds.InputError, match="Plot what jit or vmap returns"):
        torch.func.vmap(drawn)(torch.ones((2, 2), dtype=torch.float64))


def test_the_titles_name_what_failed():
    sol = one_fails()
    figure = sol.plot()
    assert figure.get_suptitle() == "newton, shift.scan: 3 of 4 converged\nelement 2 NONFINITE"
    above, below = figure.axes
    assert above.get_title("left") == "Trajectory of element 2, NONFINITE"
    assert labels(below) == {"converged", "element 2", "not finite", "roundoff"}
    assert line(below, "element 2").get_color() == plot.FAILED
    assert line(below, "not finite").get_xdata().tolist() == [int(sol.stats.steps[2])]
    assert above.get_yscale() == "symlog"
    assert sol.plot(0).axes[0].get_title("left") == "Trajectory of element 0"


def test_many_failures_are_counted():
    sol = made_up(np.zeros((2, 3, 5, 1)), [[0, 1, 0], [2, 1, 3]])
    headline = sol.plot().get_suptitle()
    assert headline.endswith("2 of 6 converged\nelement (0, 1) MAX_STEPS, element (1, 0) NONFINITE, 2 more failed")


def test_what_is_not_finite_is_shaded():
    y = np.linspace(100.0, 101.0, 50)[:, None]
    y[20:30] = np.nan
    axes = made_up(y, status=2).plot().axes[0]
    (shade,) = axes.collections
    (run,) = shade.get_paths()
    assert run.get_extents().intervalx.tolist() == [19.0, 30.0]
    assert axes.get_ylim()[0] > 99.0
    (shade,) = one_fails(on_failure="nan").plot().axes[0].collections
    assert shade.get_paths()[0].get_extents().intervalx.tolist() == [0.0, 39.0]


def test_thinning_keeps_extremes_and_the_ends():
    rng = np.random.default_rng(0)
    y = rng.normal(size=(100_001, 1))
    spikes = {777: 50.0, 54_321: -60.0, 100_000: 9.0}
    for place, value in spikes.items():
        y[place] = value
    axes = made_up(y).plot().axes[0]
    x, drawn = axes.lines[0].get_data()
    assert len(x) <= 2 * plot.STRETCHES + 2
    np.testing.assert_array_equal(drawn, y[x, 0])
    assert np.all(np.diff(x) > 0)
    assert {0, *spikes} <= set(x)
    assert "extremes of every 51 points" in axes.get_title("left")


def test_thinning_with_gaps():
    values = np.arange(10.0)
    values[3:8] = np.nan
    assert plot.extremes(values, 3).tolist() == [0, 2, 3, 8, 9]
    assert plot._gaps(np.arange(10), np.isnan(values), 3) == [(2, 7)]
    np.testing.assert_array_equal(plot.extremes(values, 1), np.arange(10))


def test_a_close_up():
    y = np.arange(28.0) + np.arange(50_000.0)[:, None]
    axes = made_up(y).plot(points=slice(100, 150), components=[3, 20]).axes[0]
    assert [line.get_label() for line in axes.lines] == ["3", "20"]
    np.testing.assert_array_equal(axes.lines[1].get_xdata(), np.arange(100, 150))
    np.testing.assert_array_equal(axes.lines[1].get_ydata(), y[100:150, 20])
    axes = made_up(y).plot().axes[0]
    assert len(axes.lines) == len(plot.COLOURS)
    assert "6 of 28 components" in axes.get_title("left")


def test_between_points_far_apart_the_line_is_the_dense_output():
    t = np.array([0.0, 1.0, 3.0, 3.0, 4.0])
    y = np.stack([t**2, 0 * t], axis=-1)
    h = np.diff(t)
    c = np.stack([t[:-1] ** 2, 2 * t[:-1] * h, h**2], axis=-1)[..., None] * [1.0, 0.0]
    sol = dataclasses.replace(made_up(y[[0, 2, 4]]), t=t[[0, 2, 4]], dense=ds.DenseOutput(t, c))
    axes = sol.plot().axes[0]
    x, parabola = line(axes, "0").get_data()
    assert len(x) > 20
    np.testing.assert_allclose(parabola, x**2, rtol=1e-14)
    np.testing.assert_array_equal(x[line(axes, "0").get_markevery()], t[[0, 2, 4]])


def test_infinite_and_zero_corrections_lie_on_the_edges():
    axes = made_up(np.zeros((9, 1)), history=[np.inf, 1e-3, 0.0, np.nan]).plot().axes[1]
    assert line(axes, "not finite").get_xdata().tolist() == [0]
    assert line(axes, "zero").get_xdata().tolist() == [2]
    low, high = axes.get_ylim()
    assert low < np.finfo(float).eps < 1.0 < high


def test_a_large_batch_is_a_band():
    history = 10.0 ** -np.random.default_rng(0).uniform(0, 9, size=(500, 4))
    axes = made_up(np.zeros((500, 9, 1)), np.zeros(500, int), history).plot().axes[1]
    (band,) = axes.collections
    low, high = band.get_paths()[0].get_extents().intervaly
    assert (low, high) == (history[1:].min(), history[1:].max())
    assert len(axes.lines) == 2


def test_the_loop_has_no_convergence():
    sol = ds.solve(ds.Recurrence(lambda y, x, r: r * y, np.ones(1), params=0.5, n_points=20), method="sequential")
    figure = sol.plot()
    assert len(figure.axes) == 1
    assert figure.axes[0].get_xlabel() == "step"


@pytest.mark.filterwarnings("ignore::deersolve.DiscretisationWarning")
def test_the_history_is_that_of_what_was_solved():
    """Newton's method fails over the whole horizon, and shorter windows do not."""

    def lotka_volterra(y, t, params):
        u, v = y[..., 0], y[..., 1]
        return np.stack([(1.5 - v) * u, (u - 3.0) * v], axis=-1)

    sol = ds.solve(ds.InitialValueProblem(lotka_volterra, np.linspace(0.0, 12.0, 1201), np.ones(2)))
    history = sol.stats.history[~np.isnan(sol.stats.history)]
    assert 1 < len(history) <= int(sol.stats.steps) + 1
    assert np.all(np.isfinite(history))
    assert history[-1] < 1e-8
    chaos = ds.Recurrence(lambda y, x, r: r * y * (1 - y), np.array([0.3]), params=2.8, n_points=100_000)
    history = ds.solve(chaos).stats.history
    assert np.all(np.isfinite(history[~np.isnan(history)]))


def test_windows_lie_where_they_were_solved():
    sol = ds.solve(ds.Recurrence(lambda y, x, r: r * y * (1 - y), np.array([0.3]), params=4.0, n_points=9000))
    records = sol.stats.windows
    assert {w.by for w in records} == {"newton", "loop"}
    axes = sol.plot().axes[-1]
    assert axes.get_title("left") == f"Lengths of {len(records)} windows"
    assert "loop" in labels(axes)
    corners = [path.get_extents() for group in axes.collections[: len(labels(axes))] for path in group.get_paths()]
    drawn = sorted((*box.intervalx, box.intervaly[1]) for box in corners)
    assert drawn == [(w.start, w.end, w.length) for w in records]
    close = sol.plot(points=slice(100, 200)).axes[-1]
    assert close.get_xlim() == (100, 199)
    assert axes.get_yscale() == "log"
    whole = ds.solve(ds.Recurrence(lambda y, x, r: r * y, np.ones(1), params=0.5, n_points=900))
    assert len(whole.plot().axes) == len(whole.stats.windows) + 1 == 2  # one window is no picture


def test_windows_of_a_differential_equation_lie_in_time():
    sol = ds.solve(ds.InitialValueProblem(pendulum, T, np.array([2.0, 0.0])), method=ds.Newton(window=25))
    axes = sol.plot().axes[2]
    boxes = [path.get_extents() for group in axes.collections for path in group.get_paths()]
    assert {0.0, T[25], T[50]} <= {box.x0 for box in boxes}
    assert {T[25], T[50], T[60]} <= {box.x1 for box in boxes}


def test_ranges_hold_all_numbers_of_steps():
    assert plot._ranges(np.array([3, 3, 5])) == [(3, 3), (5, 5)]
    assert plot._ranges(np.arange(1, 13)) == [(1, 3), (4, 6), (7, 9), (10, 12)]
    assert plot._ranges(np.array([])) == []


def test_pyplot_does_not_know_and_a_notebook_shows(lib):
    from matplotlib import pyplot

    figure = swing(lib, [1.0, 0.0]).plot()
    assert pyplot.get_fignums() == []
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_draws_in_a_figure_at_hand():
    from matplotlib.figure import Figure

    whole = Figure(figsize=(9.0, 4.0))
    left, right = whole.subfigures(1, 2)
    assert made_up(np.zeros((9, 1))).plot(figure=left) is left
    assert (len(left.axes), len(right.axes), len(whole.axes)) == (2, 0, 2)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"element": 4}, r"element: expected the index of one entry of shape \(4,\); received 4"),
        ({"element": (1, 0)}, "element"),
        ({"element": slice(2)}, "element"),
        ({"points": slice(0, 0)}, "points"),
        ({"points": 3}, "points"),
        ({"components": [7]}, "components"),
    ],
)
def test_what_is_not_there_is_an_error(options, expected):
    with pytest.raises(ds.InputError, match=expected):
        one_fails().plot(**options)


def test_no_warning_where_little_is_known():
    nothing = made_up(np.full((30, 2), np.nan), status=2, history=[np.nan, np.nan])
    one_point = made_up(np.ones((1, 1)), history=[0.0])
    huge = dataclasses.replace(one_fails(), y=np.full((4, 40, 1), 1e308))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for sol in (nothing, one_point, huge):
            sol.plot()._repr_png_()


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    sol, load = made_up(np.zeros((9, 1))), builtins.__import__

    def missing(name, *args):
        if name.partition(".")[0] == "matplotlib":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return load(name, *args)

    monkeypatch.delitem(sys.modules, "deersolve.solution.plot")
    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ds.InputError, match=r"pip install 'deersolve\[plot\]'"):
        sol.plot()


def test_space_and_time_are_an_image_for_each_component():
    s, t = np.linspace(0.0, 1.0, 21), np.linspace(0.0, 0.2, 11)
    u0 = np.stack([np.sin(np.pi * s), np.cos(np.pi * s)], axis=-1)
    ends = {"left": ds.Neumann(), "right": ds.Neumann()}
    sol = ds.solve(ds.Evolution1D(lambda u, u_s, x, p: -0.1 * u, t, s, u0, 0.1, **ends))
    figure = sol.plot()
    images = [axes for axes in figure.axes if axes.get_ylabel() == "s"]
    assert [axes.get_title("left") for axes in images] == ["Component 0", "Component 1"]
    drawn = images[1].collections[0].get_array()
    np.testing.assert_array_equal(np.asarray(drawn), sol.y[..., 1].T)
    figure.savefig(io.BytesIO())


def test_a_line_is_drawn_over_its_points():
    s = np.linspace(2.0, 3.0, 21)
    sol = ds.solve(ds.BoundaryValueProblem(lambda u, u_s, x, p: u, s, left=ds.Dirichlet(1.0), right=ds.Dirichlet(0.0)))
    axes = sol.plot().axes[0]
    assert axes.get_xlabel() == "s"
    np.testing.assert_array_equal(axes.lines[0].get_xdata(), s)
