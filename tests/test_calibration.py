"""The constants of the cost model: fitted, kept in the user's cache, and what Auto makes of them."""

from __future__ import annotations

import json

import numpy as np
import pytest

import deersolve as ds
from deersolve.backends import backend_of
from deersolve.cli import main
from deersolve.newton import measured
from deersolve.newton.cost import NUMPY, cost_of
from deersolve.recurrent.kernels import FORWARD
from deersolve.testing import calibration


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DEERSOLVE_CACHE", str(tmp_path / "deersolve"))
    measured.here.cache_clear()
    yield tmp_path / "deersolve" / "cost.json"
    measured.here.cache_clear()


def backend():
    return backend_of(np.zeros(1))


def test_constants_are_found_from_exact_times_and_stay_in_proportion_where_times_say_nothing():
    """Times of a + T b with a = 100, b = 3; of sizes that are all alike only a + 10 b = 130 is known."""
    rows = [(1.0, T) for T in (1, 10, 100, 1000)]
    exact = calibration.fitted(rows, [100 + 3 * T for _, T in rows], (100.0, 3.0))
    np.testing.assert_allclose(exact, (100, 3), rtol=1e-12)
    np.testing.assert_allclose(
        calibration.fitted(rows, [100 + 3 * T for _, T in rows], (50.0, 2.0)), (100, 3), rtol=0.01
    )
    alike = calibration.fitted([(1.0, 10.0)] * 3, [260.0] * 3, (100.0, 3.0))
    np.testing.assert_allclose(alike, (200, 6), rtol=1e-6)


def test_constants_are_never_negative():
    assert min(calibration.fitted([(1.0, 1.0), (1.0, 2.0)], [10.0, 4.0], (5.0, 5.0))) >= 0


def test_calibrate_measures_and_keeps(cache, capsys, monkeypatch):
    sizes = ((8, 1, 1), (16, 2, 1), (8, 2, 4))
    for name in ("LOOP", "NEWTON", "KERNELS", "AT_ONCE"):
        monkeypatch.setattr(calibration, name, sizes)
    monkeypatch.setattr(calibration, "SECONDS", 0.0)
    assert "two cores of an AMD EPYC" in measured.told()
    assert main(["info", "--calibrate"]) == 0
    assert str(cache) in capsys.readouterr().out
    found = json.loads(cache.read_text())[measured.machine()]
    assert set(found) in ({"numpy"}, {"numpy", "torch", "kernels", "kernels, forward"})
    assert cost_of(backend()) != NUMPY
    assert cost_of(backend()).call == found["numpy"]["call"] > 0
    assert cost_of(backend()).cache == NUMPY.cache


@pytest.mark.parametrize(("call", "method"), [(1e9, "sequential"), (0.0, "newton")])
def test_auto_goes_by_what_was_measured(cache, call, method):
    measured.keep({"numpy": {"call": call, "loop": [20.0, 0.1], "newton": [0.1, 0.01]}})
    problem = ds.Recurrence(lambda y, x, params: np.tanh(y + x), np.zeros(2), np.ones((2000, 2)))
    assert ds.solve(problem).stats.method == method


def test_what_another_machine_wrote_stays(cache, monkeypatch):
    measured.keep({"numpy": {"call": 5.0}})
    monkeypatch.setattr(measured, "machine", lambda: "another")
    measured.keep({"numpy": {"call": 7.0}})
    assert measured.constants("numpy", NUMPY).call == 7.0
    monkeypatch.undo()
    assert len(json.loads(cache.read_text())) == 2


@pytest.mark.parametrize(
    "known",
    [
        {"steps": 1.0},
        {"loop": [1.0]},
        {"loop": 1.0},
        {"call": [1.0, 2.0]},
        {"newton": [0.0, 0.0]},
        {"loop": [[1.0], 2.0]},
    ],
)
def test_constants_of_another_version_are_left_aside(cache, known):
    measured.keep({"numpy": known})
    with pytest.warns(UserWarning, match="left aside; measure again"):
        assert cost_of(backend()) == NUMPY
    problem = ds.Recurrence(lambda y, x, params: np.tanh(y + x), np.zeros(2), np.ones((20, 2)))
    with pytest.warns(UserWarning, match="left aside"):
        assert ds.solve(problem).converged


def test_what_cannot_be_understood_is_written_over(cache):
    cache.parent.mkdir()
    cache.write_text("[]")
    measured.keep({"numpy": {"call": 5.0}})
    assert measured.constants("numpy", NUMPY).call == 5.0


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"%s": 3}', '{"%s": {"numpy": {"call": -1}}}', '{"%s": {"numpy": {"call": "x"}}}']
)
def test_a_file_that_is_none_is_left_aside_with_a_warning(cache, text):
    cache.parent.mkdir()
    cache.write_text(text.replace("%s", measured.machine()))
    with pytest.warns(UserWarning, match=r"left aside.*Delete it"):
        assert cost_of(backend()) == NUMPY
    assert measured.constants("kernels, forward", FORWARD) == FORWARD


def test_a_place_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DEERSOLVE_CACHE", str(tmp_path / "file"))
    with pytest.raises(ds.InputError, match="set DEERSOLVE_CACHE"):
        measured.keep({})


def test_a_file_that_cannot_be_replaced_is_named(cache):
    cache.mkdir(parents=True)  # a folder stands in its place
    with pytest.raises(ds.InputError, match="set DEERSOLVE_CACHE"):
        measured.keep({})
