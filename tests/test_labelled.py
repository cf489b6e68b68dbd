"""Solutions as xarray has them, and the way back to a guess: every kind of problem, every library."""

from __future__ import annotations

import builtins

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import deersolve as ds
from tests.references import pendulum

xarray = pytest.importorskip("xarray")

T, S, R = np.linspace(0.0, 0.2, 5), np.linspace(0.0, 1.0, 9), np.linspace(-1.0, 1.0, 7)
SIDES = {side: ds.Dirichlet() for side in ("left", "right", "bottom", "top")}
ENDS = {side: ds.Dirichlet() for side in ("left", "right")}
EPS = np.finfo(np.float64).eps


def recurrence(put, T=12):
    return ds.Recurrence(lambda y, x, p: 0.5 * y + x, put(np.ones(2)), put(np.ones((T, 1))))


def swing(put, t=T):
    return ds.InitialValueProblem(pendulum, put(t), put(np.array([1.0, 0.0])))


def rod(put, s=S, cells=False):
    return ds.Elliptic1D(lambda u, u_s, x, p: u - 1.0, put(s), cells=cells, **ENDS)


def plate(put, s=S, r=R, cells=False):
    return ds.Elliptic2D(lambda u, u_s, u_r, x, p: u - 1.0, (put(s), put(r)), cells=cells, **SIDES)


def heat(put, t=T, s=S, cells=False):
    u0 = np.sin(np.pi * (0.5 * (s[1:] + s[:-1]) if cells else s))[:, None]
    return ds.Evolution1D(lambda u, u_s, x, p: -u, put(t), put(s), put(u0), 0.1, cells=cells, **ENDS)


def heat2d(put, t=T, s=S, r=R, cells=False):
    s_, r_ = ((0.5 * (a[1:] + a[:-1]) if cells else a) for a in (s, r))
    u0 = (np.sin(np.pi * s_)[:, None] * np.cos(np.pi * r_ / 2))[..., None]
    return ds.Evolution2D(lambda u, a, b, x, p: -u, put(t), (put(s), put(r)), put(u0), 0.1, cells=cells, **SIDES)


KINDS = {
    "step": recurrence,
    "t": swing,
    "s": rod,
    "s r": plate,
    "t s": heat,
    "t s r": heat2d,
}
POINTS = {"step": np.arange(12), "t": T, "s": S, "r": R}


def same(a):
    return a


@pytest.mark.parametrize("names", KINDS)
def test_axes_coordinates_and_numbers(lib, names):
    if lib.is_jax and names != "t":
        pytest.skip("compiled in other tests")
    problem = KINDS[names](lib.asarray)
    sol = lib.solve(problem)
    data = sol.to_xarray()
    assert data.y.dims == (*names.split(), "component")
    for name in names.split():
        np.testing.assert_array_equal(data[name], POINTS[name])
    np.testing.assert_array_equal(data.y, lib.to_numpy(sol.y))
    assert all(type(v.values) is np.ndarray for v in data.variables.values())
    assert data.status.dims == ()
    assert int(data.status) == 0
    assert data.attrs["status"] == "1 CONVERGED"
    assert data.attrs["rule"] == sol.stats.rule
    assert ("y_corrected" in data) is (sol.y_corrected is not None)
    guess = ds.from_xarray(data, problem)
    assert type(guess) is type(sol.y)
    assert guess.dtype == sol.y.dtype
    np.testing.assert_array_equal(lib.to_numpy(guess), lib.to_numpy(sol.y))


def test_what_is_corrected_and_estimated():
    sol = ds.solve(swing(same))
    data = sol.to_xarray(components=["angle", "rate"])
    np.testing.assert_array_equal(data.y_corrected.sel(component="rate"), sol.y_corrected[:, 1])
    assert float(data.discretisation_error) == sol.stats.discretisation_error
    assert data.attrs["largest_discretisation_error"] == sol.stats.discretisation_error
    assert data.attrs["largest_residual"] == sol.stats.residual
    known = sol.stats.history[~np.isnan(sol.stats.history)]
    np.testing.assert_array_equal(data.history, known)
    assert not any("units" in v.attrs for v in data.variables.values())


@pytest.mark.cases_backend("jax")
def test_a_batch_with_a_failure(lib):
    r = lib.asarray(np.array([[2.5, 6.0], [2.2, 2.9], [2.0, 2.1]])[..., None, None])
    problem = ds.Recurrence(lambda y, r, p: r * y * (1 - y), lib.asarray(np.full((3, 2, 1), 0.3)), r, n_points=40)
    sol = lib.solve(problem, on_failure="nan")
    data = sol.to_xarray()
    assert data.y.dims == ("batch_0", "batch_1", "step", "component")
    assert data.attrs["status"] == "5 CONVERGED, 1 NONFINITE"
    flags = dict(zip(data.status.attrs["flag_meanings"].split(), data.status.attrs["flag_values"], strict=True))
    assert flags == {s.name: int(s) for s in ds.Status}
    assert data.status.where(data.status > 0, drop=True).values.tolist() == [[2]]
    assert bool(data.y.isnull().any("step").sel(batch_0=0, batch_1=1, component=0))
    named = sol.to_xarray(batch={"run": list("abc"), "rate": [1, 2]}, components=["y"])
    assert float(named.y.sel(run="b", rate=1, component="y")[-1]) == float(data.y[1, 0, -1, 0])
    with pytest.raises(ds.InputError, match="expected finite numbers"):
        ds.from_xarray(data, problem)
    filled = lib.to_numpy(ds.from_xarray(named.fillna(0.0).transpose("rate", "component", ...), problem))
    np.testing.assert_array_equal(filled, named.y.fillna(0.0).transpose("rate", "run", "step", "component"))


def test_times_of_their_own_for_each_element():
    t = np.stack([T, 2 * T])
    sol = ds.solve(ds.InitialValueProblem(pendulum, t, np.ones((2, 2))))
    data = sol.to_xarray()
    assert data.y.dims == ("batch", "t_index", "component")
    np.testing.assert_array_equal(data.t, t)
    with pytest.raises(ds.InputError, match="expected the axes t of InitialValueProblem"):
        ds.from_xarray(data, swing(same))
    shared = ds.solve(ds.InitialValueProblem(pendulum, np.stack([T, T]), np.ones((2, 2)))).to_xarray()
    assert shared.y.dims == ("batch", "t", "component")
    with pytest.raises(ds.InputError, match="a grid t that a batch shares"):
        ds.from_xarray(shared, ds.InitialValueProblem(pendulum, t, np.ones((2, 2))))


@pytest.mark.slow
def test_after_vmap_and_inside_jit():
    jax = pytest.importorskip("jax")
    t = jax.numpy.asarray(T)

    def solved(y0):
        return ds.solve(ds.InitialValueProblem(pendulum, t, y0))

    y0 = jax.numpy.asarray([[1.0, 0.0], [2.0, 0.0]])
    with pytest.raises(ds.InputError, match="Label what jit or vmap returns"):
        jax.jit(lambda y0: solved(y0).to_xarray())(y0[0])
    sol = jax.vmap(solved)(y0)
    data = sol.to_xarray()
    assert data.y.dims == ("batch", "t", "component")
    np.testing.assert_array_equal(data.t, T)
    guess = jax.jit(lambda y0: ds.from_xarray(data.isel(batch=1), ds.InitialValueProblem(pendulum, t, y0)))(y0[1])
    np.testing.assert_array_equal(guess, sol.y[1])


def test_a_problem_of_ones_own_has_axes_without_names():
    def inverse(Gs, rhs):
        return rhs / (1 + Gs[0].diagonal())

    problem = ds.Problem(lambda y, x, p: np.cos(y), shift=ds.identity, inverse=inverse)
    data = ds.solve(problem, np.zeros((3, 1))).to_xarray()
    assert data.y.dims == ("step", "component")
    with pytest.raises(ds.InputError, match="whose axes have names; received Problem"):
        ds.from_xarray(data, problem)


def spread(data, seed):
    """Return coordinates inside those of the data, both ends among them."""
    rng = np.random.default_rng(seed)
    return np.concatenate([data[:1], np.sort(rng.uniform(data[0], data[-1], 6)), data[-1:]])


@given(seed=st.integers(0, 999), order=st.permutations(["t", "s", "r", "batch", "component"]))
def test_multilinear_data_is_met_exactly_on_any_grid(seed, order):
    rng = np.random.default_rng(seed)
    t, s, r = spread(T, seed), spread(S, seed + 1), spread(R, seed + 2)
    c = rng.normal(size=(2, 3, 4))

    def function(t, s, r):
        a, b = (v[:, None, None, None, :] for v in (c[..., 0], c[..., 1]))
        t, s, r = t[:, None, None, None], s[:, None, None], r[:, None]
        return (a + t) * (b - s) * (1 + r) + s * r

    dims = ("batch", "t", "s", "r", "component")
    data = xarray.DataArray(function(T, S, R), {"t": T, "s": S, "r": R}, dims).transpose(*order)
    start = np.zeros((len(s), len(r), 3))
    problem = ds.Evolution2D(lambda u, a, b, x, p: u, t, (s, r), start, **SIDES)
    found = ds.from_xarray(data, problem)
    assert found.shape == (2, len(t), len(s), len(r), 3)
    expected = function(t, s, r)
    np.testing.assert_allclose(found, expected, rtol=0, atol=64 * EPS * np.abs(function(T, S, R)).max())


def test_from_coarse_cells_to_fine_ones(lib):
    """The first midpoints of the fine cells lie outside; a plane is met there too."""
    edges, fine = np.linspace(0.0, 1.0, 6), np.linspace(0.0, 1.0, 21)
    s = 0.5 * (edges[1:] + edges[:-1])
    data = xarray.DataArray((2.0 - 3.0 * s)[:, None], {"s": s}, ("s", "component"))
    found = ds.from_xarray(data, rod(lib.asarray, fine, cells=True))
    expected = 2.0 - 3.0 * 0.5 * (fine[1:] + fine[:-1])
    np.testing.assert_allclose(lib.to_numpy(found)[:, 0], expected, rtol=0, atol=16 * EPS)


def test_a_guess_from_a_coarse_grid_saves_steps():
    def bratu(N):
        s = np.linspace(0.0, 1.0, N)
        return ds.Elliptic1D(lambda u, u_s, x, p: -3.5 * np.exp(u), s, **ENDS)

    coarse, fine = ds.solve(bratu(41)), ds.solve(bratu(401))
    warm = ds.solve(bratu(401), ds.from_xarray(coarse.to_xarray(), bratu(401)))
    assert int(warm.stats.steps) < int(fine.stats.steps)
    np.testing.assert_allclose(warm.y, fine.y, rtol=1e-9)


def test_steps_of_a_recurrence_may_be_fewer():
    data = ds.solve(recurrence(same)).to_xarray()
    np.testing.assert_array_equal(ds.from_xarray(data, recurrence(same, 7)), data.y[:7])
    free = ds.Recurrence(lambda y, x, p: 0.5 * y, np.ones(2))
    np.testing.assert_array_equal(ds.from_xarray(data, free), data.y)


def test_plain_arrays_and_descending_times():
    down = T[::-1].copy()
    data = xarray.DataArray(np.stack([T, -T]), {"t": T}, ("component", "t"))
    found = ds.from_xarray(data, swing(same, down[::2].copy()))
    np.testing.assert_allclose(found, np.stack([down[::2], -down[::2]], axis=-1), rtol=0, atol=EPS)
    single = xarray.DataArray(np.arange(9), dims="s")  # neither coordinates nor components, whole numbers
    np.testing.assert_array_equal(ds.from_xarray(single, rod(same)), np.arange(9.0)[:, None])


FULL = xarray.DataArray(np.ones((5, 2)), {"t": T}, ("t", "component"))
WRONG = {
    "no data": (np.ones((5, 2)), swing, "a DataArray or Dataset of xarray; received ndarray"),
    "no y": (xarray.Dataset({"u": FULL}), swing, r"a variable y; received \['u'\]"),
    "complex": (FULL.astype(complex), swing, "real numbers; received complex128"),
    "missing axis": (FULL.rename(t="time"), swing, r"axes t of .*; received dimensions \('time', 'component'\)"),
    "axis left over": (FULL.expand_dims(s=3), swing, "axes t of"),
    "components": (FULL.isel(component=[0, 1, 1]), swing, "n = 2 components; received 3"),
    "too short": (FULL.assign_coords(t=T / 3), swing, "data on t from 0 to 0.2; received 0 to 0.0666667"),
    "no coordinates": (FULL.drop_vars("t").isel(t=slice(3)), swing, "5 points of t.*; received 3 points without"),
    "not monotone": (FULL.assign_coords(t=[0.0, 1.0, 0.5, 2.0, 3.0]), swing, "strictly monotone"),
    "one point": (FULL.isel(t=[0]), swing, "two or more coordinates"),
    "words": (FULL.assign_coords(t=list("abcde")), swing, "numbers as coordinates of t"),
    "time of a rod": (FULL.expand_dims(s=S), rod, "axes s of Elliptic1D"),
}


@pytest.mark.parametrize("name", WRONG)
def test_data_that_does_not_fit_is_an_error(name):
    data, problem, message = WRONG[name]
    with pytest.raises(ds.InputError, match=message):
        ds.from_xarray(data, problem(same))


@pytest.mark.parametrize(
    "names", [{"components": ["one"]}, {"batch": {"b": [0]}}, {"batch": {"b": 1}}, {"batch": {"t": [0]}}], ids=str
)
def test_names_that_do_not_fit_are_an_error(names):
    with pytest.raises(ds.InputError, match=next(iter(names))):
        ds.solve(swing(same)).to_xarray(**names)


def test_files_keep_it(tmp_path):
    data = ds.solve(heat(same), inverse="trapezoid").to_xarray()
    data.to_netcdf(tmp_path / "heat.nc", engine="scipy")
    with xarray.open_dataset(tmp_path / "heat.nc", engine="scipy") as read:
        assert read.identical(data)
        np.testing.assert_array_equal(ds.from_xarray(read, heat(same)), data.y)


def test_without_xarray_the_extra_is_named(monkeypatch):
    sol, load = ds.solve(swing(same)), builtins.__import__

    def missing(name, *args):
        if name.partition(".")[0] == "xarray":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return load(name, *args)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ds.InputError, match=r"pip install 'deersolve\[xarray\]'"):
        sol.to_xarray()
    with pytest.raises(ds.InputError, match=r"pip install 'deersolve\[xarray\]'"):
        ds.from_xarray(FULL, swing(same))
