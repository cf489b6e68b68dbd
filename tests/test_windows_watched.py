"""Windows that are recorded, told of and kept: callbacks, checkpoints, killed processes, wrong folders."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import deersolve as ds
from tests.references import gru, gru_weights, loop, lorenz, on, pendulum

quiet = pytest.mark.filterwarnings("ignore::deersolve.DiscretisationWarning")


def logistic(y, x, r):
    return r * y * (1.0 - y)


def calm(y, x, r):
    """Return what Newton's method solves in windows of any length."""
    return r * ds.array_namespace(y).tanh(y) + (0.1 if x is None else x)


def calmly(T, r=0.8, y0=0.3, f=calm):
    return ds.Recurrence(f, np.array([y0]), params=r, n_points=T)


def by_element(y, r, params):
    return logistic(y, r, r)


def fibonacci_like(a, b, x, params):
    xp = ds.array_namespace(a)
    return xp.tanh(a + 0.5 * b + x)


def chaos(lib, T=3000, r=4.0):
    return ds.Recurrence(logistic, lib.asarray([0.3]), params=r, n_points=T)


def two_lags(lib):
    x = np.random.default_rng(0).normal(size=(2500, 1))
    return ds.Recurrence(fibonacci_like, lib.asarray(np.zeros((2, 1))), lib.asarray(x), lags=(1, 2))


def grus(lib):
    x = np.random.default_rng(0).normal(size=(2, 1300, 3))
    return ds.Recurrence(gru, lib.asarray(np.zeros((2, 3))), lib.asarray(x), on(lib, gru_weights(3, scale=6.0)))


def swing(lib):
    return ds.InitialValueProblem(pendulum, lib.asarray(np.linspace(0.0, 30.0, 2401)), lib.asarray([2.0, 0.0]))


CASES = [(two_lags, "auto"), (grus, "sequential"), (grus, ds.Newton(window=300)), (swing, "auto")]
every_case = pytest.mark.parametrize(("make", "method"), CASES, ids=["lags", "loop", "windows", "equation"])


def length_of(sol):
    return sol.y.shape[-2] - (sol.t is not None)


def assert_cover(windows, length):
    """Windows follow each other from the first step to the last."""
    assert [w.start for w in windows] == [0, *(w.start + w.length for w in windows[:-1])]
    assert sum(w.length for w in windows) == length
    assert all(w.by in ("newton", "loop") and (w.steps == 0 or w.by == "newton") for w in windows)


# ------------------------------------------------------------------------------------- records


@pytest.mark.skip_backend("jax", reason="compiled windows are not recorded")
def test_records_add_up(lib):
    sol = lib.solve(chaos(lib), method=ds.Newton(window=3000))
    assert_cover(sol.stats.windows, 3000)
    assert {w.by for w in sol.stats.windows} == {"newton", "loop"}
    assert "the loop for" in sol.stats.choice


@quiet
def test_the_choice_says_where_windows_shrank():
    t = np.linspace(0.0, 15.0, 3001)
    sol = ds.solve(ds.InitialValueProblem(lorenz, t, np.ones(3)))
    lengths = [w.length for w in sol.stats.windows]
    assert_cover(sol.stats.windows, 3000)
    assert f"{len(lengths)} windows of {min(lengths)} to {max(lengths)} intervals" in sol.stats.choice
    calm = ds.solve(ds.InitialValueProblem(pendulum, t / 15, np.array([2.0, 0.0])), method=ds.Newton(window=700))
    lengths = [w.length for w in calm.stats.windows]
    assert lengths[0] < max(lengths) == 700
    assert min(lengths[:-1]) >= 350  # where half as long is tried
    assert calm.stats.choice == f"as asked; {len(lengths)} windows of {min(lengths)} to 700 intervals"


def test_compiled_windows_have_no_records():
    jax = pytest.importorskip("jax")
    sol = ds.solve(ds.Recurrence(logistic, jax.numpy.asarray([0.3]), params=2.8, n_points=50))
    assert sol.stats.windows == ()
    seen = jax.jit(lambda sol: sol)(sol)  # static fields pass
    assert seen.stats.windows == ()


# ----------------------------------------------------------------------------------- callbacks


@every_case
def test_windows_are_told_in_order_and_make_the_solution(lib, make, method):
    told = []
    sol = lib.solve(make(lib), method=method, on_window=told.append)
    plain = lib.solve(make(lib), method=method)
    assert bool(ds.array_namespace(sol.y).all(sol.converged))
    assert_cover(told, length_of(sol))
    assert len(told) > 1
    assert tuple(w.record for w in told) == sol.stats.windows
    assert {w.total for w in told} == {length_of(sol)}
    assert np.all(np.diff([w.seconds for w in told]) >= 0)
    y = np.concatenate([lib.to_numpy(w.y) for w in told], axis=-2)
    np.testing.assert_allclose(y, lib.to_numpy(sol.y)[..., sol.t is not None :, :], rtol=0, atol=1e-9)
    np.testing.assert_allclose(lib.to_numpy(sol.y), lib.to_numpy(plain.y), rtol=0, atol=1e-9)


@pytest.mark.slow
def test_the_loop_of_a_differential_equation():
    problem = ds.InitialValueProblem(pendulum, np.linspace(0.0, 12.0, 1201), np.array([2.0, 0.0]))
    told = []
    sol = ds.solve(problem, method="sequential", on_window=told.append)
    assert [(w.start, w.length, w.by) for w in told] == [(0, 1024, "loop"), (1024, 176, "loop")]
    np.testing.assert_allclose(sol.y, ds.solve(problem, method="sequential").y, rtol=0, atol=1e-12)


def test_jax_compiles_stretches_once():
    jax = pytest.importorskip("jax")
    traced = []

    def f(y, x, r):
        traced.append(y.shape)
        return logistic(y, x, r)

    from deersolve.backends.jax import registry

    problem = ds.Recurrence(f, jax.numpy.asarray([0.3]), params=3.9, n_points=5000)
    before = set(registry["jax"]._compiled)
    told = []
    sol = ds.solve(problem, on_window=told.append)
    assert len(told) == 5
    assert len(set(registry["jax"]._compiled) - before) == 3  # a stretch, what is left, and the whole
    np.testing.assert_array_equal(sol.y, ds.solve(problem).y)


def test_several_callbacks_are_called_in_order():
    calls = []
    ds.solve(
        calmly(90),
        method=ds.Newton(window=30),
        on_window=[lambda w: calls.append(("first", w.start)), lambda w: calls.append(("second", w.start))],
    )
    assert calls == [(who, start) for start in (0, 30, 60) for who in ("first", "second")]


@pytest.mark.skip_backend("jax", reason="its arrays cannot be written to")
@every_case
@pytest.mark.deep_backend("strict")
def test_what_is_told_is_a_copy(lib, make, method, tmp_path):
    """A callback that spoils what it is told changes neither the solution nor what the others are told or keep."""
    kept = []

    def spoil(window):
        window.y[...] = 1e30
        window.converged[...] = False

    def keep(window):
        kept.append((lib.to_numpy(window.y), lib.to_numpy(window.converged)))

    plain = lib.solve(make(lib), method=method, on_window=lambda w: None)
    for _ in range(2):  # windows that are solved, and that a checkpoint had
        kept.clear()
        sol = lib.solve(make(lib), method=method, on_window=[spoil, ds.Checkpoint(tmp_path, every=1e9), keep])
        np.testing.assert_allclose(lib.to_numpy(sol.y), lib.to_numpy(plain.y), rtol=0, atol=1e-13)
        assert lib.to_numpy(sol.converged).all()
        assert all(converged.all() and np.abs(y).max() < 1e3 for y, converged in kept)


def test_derivatives_do_not_notice(lib, tmp_path):
    if not (lib.is_torch or lib.is_jax):
        pytest.skip("records no graph")
    told = []
    watched = [ds.Checkpoint(tmp_path), told.append]

    def value(r, on_window=watched):
        problem = ds.Recurrence(logistic, lib.asarray([0.3]) + 0 * r, params=r, n_points=2500)
        return (ds.solve(problem, on_window=on_window).y ** 2).sum()

    if lib.is_jax:
        import jax

        grad = jax.grad
    else:
        grad = lib.xp.func.grad
        r = lib.asarray(2.9).requires_grad_()
        value(r).backward()
        found = [float(r.grad)]
    plain = float(grad(lambda r: value(r, None))(lib.asarray(2.9)))
    found = [float(grad(value)(lib.asarray(2.9))) for _ in range(2)] + ([] if lib.is_jax else found)
    np.testing.assert_allclose(found, plain, rtol=1e-12)
    assert {w.resumed for w in told} == {True, False}


def test_an_exception_says_what_is_not_lost(tmp_path):
    def stop(window):
        if window.end == 60:
            raise KeyboardInterrupt

    problem = calmly(90)
    method = ds.Newton(window=30)
    with pytest.raises(KeyboardInterrupt) as caught:
        ds.solve(problem, method=method, on_window=[ds.Checkpoint(tmp_path, every=1e9), stop])
    assert "60 of 90 steps had been solved" in caught.value.__notes__[0]
    told = []
    ds.solve(problem, method=method, on_window=[ds.Checkpoint(tmp_path), told.append])
    assert [(w.start, w.resumed) for w in told] == [(0, True), (30, True), (60, False)]


def test_a_checkpoint_comes_before_a_callback_that_raises(tmp_path):
    def stop(window):
        raise Stop

    problem, method, told = calmly(90), ds.Newton(window=30), []
    with pytest.raises(Stop) as caught:
        ds.solve(problem, method=method, on_window=[stop, ds.Checkpoint(tmp_path)])
    assert "30 of 90 steps had been solved; they are in" in caught.value.__notes__[0]
    ds.solve(problem, method=method, on_window=[told.append, ds.Checkpoint(tmp_path)])
    assert [w.resumed for w in told] == [True, False, False]


def test_everybody_is_told_of_the_end(tmp_path, monkeypatch):
    """What fails when others are told of the end is noted on the first error, which stays what it is."""

    class Bar:
        is_closed = False

        def __call__(self, window):
            raise KeyboardInterrupt

        def close(self):
            self.is_closed = True

    bar = Bar()
    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(KeyboardInterrupt) as caught:
        ds.solve(calmly(90), method=ds.Newton(window=30), on_window=[ds.Checkpoint(tmp_path, every=1e9), bar])
    assert bar.is_closed
    first, second = caught.value.__notes__
    assert "points-0.npz could not be written (No space left" in first
    assert second == "on_window: 30 of 90 steps had been solved."


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"on_window": 3}, "on_window: expected a function"),
        ({"method": "newton", "on_window": print}, "such as Newton"),
        ({"on_window": [ds.Checkpoint("a"), ds.Checkpoint("b")]}, "at most one Checkpoint"),
    ],
)
def test_what_cannot_be_watched_is_an_error(options, expected):
    with pytest.raises(ds.InputError, match=expected):
        ds.solve(calmly(90), **options)


def test_a_general_problem_has_no_windows():
    cosine = ds.Problem(lambda y, x, params: np.cos(y), shift=ds.identity, inverse=lambda Gs, rhs: rhs)
    with pytest.raises(ds.InputError, match="an equation solved at once: nothing marches"):
        ds.solve(cosine, np.ones((3, 1)), on_window=print, check_inputs=False)


@pytest.mark.parametrize("where", ["y0", "params"])
@pytest.mark.parametrize("transform", ["jit", "vmap", "torch.vmap"])
def test_compiled_code_cannot_call_back(transform, where):
    library = pytest.importorskip("torch" if "torch" in transform else "jax")
    asarray = library.tensor if "torch" in transform else library.numpy.asarray
    over = library.func.vmap if "torch" in transform else getattr(library, transform)

    def solved(a):
        y0, r = (a[None], 2.8) if where == "y0" else (asarray([0.3]), a)
        return ds.solve(ds.Recurrence(logistic, y0, params=r, n_points=20), on_window=print).y

    values = asarray([0.3, 0.4])
    with pytest.raises(ds.InputError, match="on_window: expected a solve outside jit and vmap"):
        over(solved)(values[0] if transform == "jit" else values)


# --------------------------------------------------------------------------------- checkpoints


class Stop(Exception):
    pass


def stopping_at(step):
    def stop(window):
        if not window.resumed and window.end >= step:
            raise Stop

    return stop


@every_case
@pytest.mark.deep_backend("strict")
def test_a_solve_goes_on(lib, make, method, tmp_path):
    whole = lib.solve(make(lib), method=method, on_window=lambda w: None)
    with pytest.raises(Stop):
        lib.solve(make(lib), method=method, on_window=[ds.Checkpoint(tmp_path), stopping_at(1000)])
    told = []
    sol = lib.solve(make(lib), method=method, on_window=[ds.Checkpoint(tmp_path), told.append])
    assert_cover(told, length_of(sol))
    assert 1000 <= sum(w.length for w in told if w.resumed) < length_of(sol)
    assert sol.stats.windows == whole.stats.windows
    np.testing.assert_allclose(lib.to_numpy(sol.y), lib.to_numpy(whole.y), rtol=0, atol=1e-13)


PROGRAM = """
import os, signal, sys
import numpy as np
import deersolve as ds
from tests.test_windows_watched import logistic

def die(file, **arrays):
    file.write(b"PK half a file")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)

def kill(window):
    if window.end >= int(sys.argv[2]):
        if sys.argv[3] == "between":
            os.kill(os.getpid(), signal.SIGKILL)
        np.savez = die

problem = ds.Recurrence(logistic, np.array([0.3]), params=4.0, n_points=40_000)
ds.solve(problem, method=ds.Newton(window=10_000), on_window=[ds.Checkpoint(sys.argv[1]), kill])
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
@pytest.mark.parametrize("when", ["between", "while writing"])
@pytest.mark.parametrize("step", [1, 3000, 20_000])
@pytest.mark.deep_but("1-between", "3000-while writing")
def test_a_killed_process_loses_one_window(tmp_path, step, when):
    """The logistic map at r = 4 doubles differences each step: equal bit by bit, or not at all."""
    root = Path(__file__).parents[1]
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), str(step), when]
    killed = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    problem = ds.Recurrence(logistic, np.array([0.3]), params=4.0, n_points=40_000)
    whole = ds.solve(problem, method=ds.Newton(window=10_000))
    told = []
    sol = ds.solve(problem, method=ds.Newton(window=10_000), on_window=[ds.Checkpoint(tmp_path), told.append])
    np.testing.assert_array_equal(sol.y, whole.y)
    records = tuple(w.record for w in told)
    assert records == whole.stats.windows
    kept = sum(w.resumed for w in told)
    killed_at = next(k for k, w in enumerate(records) if w.end >= step)
    assert kept == killed_at + 1


def test_the_work_behind_a_checkpoint_is_what_was_left(tmp_path):
    """Evaluations of f: those of the windows that were left, and one for each point that is judged."""
    seen = []

    def f(y, x, r):
        seen.append(y.shape[-2])
        return calm(y, x, r)

    x = np.random.default_rng(0).normal(size=(1000, 1))
    problem = ds.Recurrence(f, np.array([0.3]), x, 0.8)
    options = {"method": ds.Newton(window=100), "check_inputs": False}
    starts = [0]
    ds.solve(problem, on_window=lambda w: starts.append(sum(seen)), **options)
    costs = np.diff(starts)
    seen.clear()
    with pytest.raises(Stop):
        ds.solve(problem, on_window=[ds.Checkpoint(tmp_path), stopping_at(600)], **options)
    assert sum(seen) == costs[:6].sum()
    seen.clear()
    ds.solve(problem, on_window=ds.Checkpoint(tmp_path), **options)
    before = seen.pop(0)  # a look at the derivatives of f, which costs[0] holds too
    assert before < 50
    assert sum(seen) == 600 + costs[6:].sum()
    assert np.all(costs >= 300)


def full(file, **arrays):
    """Stand for ``np.savez`` on a disk without room."""
    file.write(b"half")
    raise OSError("No space left on device")


def test_files_are_whole_or_not_there(tmp_path, monkeypatch):
    problem = calmly(100)
    method = ds.Newton(window=50)
    ds.solve(problem, method=method, on_window=ds.Checkpoint(tmp_path))
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    assert set(before) == {"points-0.npz", "points-50.npz"}
    monkeypatch.setattr(np, "savez", full)
    other = calmly(100, y0=0.4)
    with pytest.warns(ds.CheckpointWarning, match="all is solved again"), pytest.raises(OSError, match="No space"):
        ds.solve(other, method=method, on_window=ds.Checkpoint(tmp_path))
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_a_write_that_fails_says_so(tmp_path, monkeypatch):
    problem, method, folder = calmly(90), ds.Newton(window=30), tmp_path / "run"
    whole = ds.solve(problem, method=method)

    def lose(window):
        if window.end == 30:
            monkeypatch.setattr(np, "savez", full)

    with pytest.raises(
        ds.CheckpointError, match=r"points-30.npz could not be written \(No space.*\): steps 30 to 60"
    ) as caught:
        ds.solve(problem, method=method, on_window=[ds.Checkpoint(folder), lose])
    assert "60 of 90 steps had been solved; 30 of them are in Checkpoint" in caught.value.__notes__[0]
    monkeypatch.undo()
    told = []
    ds.solve(problem, method=method, on_window=[ds.Checkpoint(folder), told.append])
    assert [w.resumed for w in told] == [True, False, False]
    for path in folder.iterdir():
        path.unlink()
    with pytest.warns(ds.CheckpointWarning, match="steps 0 to 90 are not kept"):  # the solution is not lost with them
        sol = ds.solve(problem, method=method, on_window=[ds.Checkpoint(folder, every=1e9), lose])
    np.testing.assert_array_equal(sol.y, whole.y)


def test_a_folder_that_goes_away(tmp_path):
    def remove(window):
        for path in tmp_path.glob("run/*"):
            path.unlink()
        (tmp_path / "run").rmdir()

    with pytest.raises(ds.CheckpointError, match=r"points-30.npz could not be written \(No such file"):
        ds.solve(calmly(90), method=ds.Newton(window=30), on_window=[ds.Checkpoint(tmp_path / "run"), remove])


def test_ctrl_c_while_a_file_is_written(tmp_path, monkeypatch):
    """The file is written when the solve ends by it: no window that was solved is lost."""
    problem, method, savez, calls = calmly(90), ds.Newton(window=30), np.savez, []

    def interrupted(file, **arrays):
        calls.append(file)
        if len(calls) == 2:
            file.write(b"PK half")
            raise KeyboardInterrupt
        savez(file, **arrays)

    monkeypatch.setattr(np, "savez", interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:
        ds.solve(problem, method=method, on_window=ds.Checkpoint(tmp_path))
    assert "60 of 90 steps had been solved; they are in" in caught.value.__notes__[0]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["points-0.npz", "points-30.npz"]


def test_a_file_that_cannot_be_read_ends_what_is_taken_over(tmp_path):
    problem = calmly(150)
    method = ds.Newton(window=50)
    sol = ds.solve(problem, method=method, on_window=ds.Checkpoint(tmp_path))
    broken = tmp_path / "points-50.npz"
    broken.write_bytes(broken.read_bytes()[:100])
    told = []
    with pytest.warns(ds.CheckpointWarning, match=r"points-50\.npz cannot be read"):
        again = ds.solve(problem, method=method, on_window=[ds.Checkpoint(tmp_path), told.append])
    assert [(w.start, w.resumed) for w in told] == [(0, True), (50, False), (100, False)]
    np.testing.assert_array_equal(again.y, sol.y)
    ds.solve(problem, method=method, on_window=[ds.Checkpoint(tmp_path), told.append])
    assert all(w.resumed for w in told[3:])


class Evil:
    """What a pickle would do when it is loaded."""

    def __reduce__(self):
        return (pytest.fail, ("a pickle was loaded",))


def arrays_with(**changed):
    """Return what writes the arrays of a file anew, some of them changed or, where None, left out."""

    def spoil(path):
        with np.load(path) as file:
            arrays = {**file, **{name: made(file) if callable(made) else made for name, made in changed.items()}}
        with path.open("wb") as file:
            np.savez(file, **{name: array for name, array in arrays.items() if array is not None})

    return spoil


def as_bytes(made):
    return lambda path: path.write_bytes(made(path.read_bytes()))


def another_in_its_place(make):
    def spoil(path):
        path.unlink()
        make(path)

    return spoil


UNREADABLE = {
    "empty": as_bytes(lambda raw: b""),
    "truncated": as_bytes(lambda raw: raw[: len(raw) // 2]),
    "random": as_bytes(lambda raw: np.random.default_rng(0).bytes(500)),
    "random, as an archive": as_bytes(lambda raw: b"PK\x03\x04" + np.random.default_rng(0).bytes(500)),
    "random, as an array": as_bytes(lambda raw: b"\x93NUMPY\x01\x00" + np.random.default_rng(0).bytes(100)),
    "a bit": as_bytes(lambda raw: raw[:150] + bytes([raw[150] ^ 1]) + raw[151:]),
    "a pickle": as_bytes(lambda raw: pickle.dumps(Evil())),
    "a pickled y": arrays_with(y=np.array([Evil()], dtype=object)),
    "no y": arrays_with(y=None),
    "y without components": arrays_with(y=lambda file: file["y"][..., :0]),
    "y a number": arrays_with(y=np.float64(3.0)),
    "y complex": arrays_with(y=lambda file: file["y"] + 0j),
    "y of another machine": arrays_with(y=lambda file: file["y"].astype(file["y"].dtype.newbyteorder())),
    "no windows": arrays_with(windows=np.zeros((0, 3), int)),
    "a long window": arrays_with(windows=np.array([[50, 10**9, 1]])),
    "a window of length 0": arrays_with(windows=np.array([[50, 0, 1]])),
    "another start": arrays_with(windows=np.array([[0, 50, 1]])),
    "countless steps": arrays_with(windows=np.array([[50, 50, 10**12]])),
    "by nobody": arrays_with(by=np.array(["magic"])),
    "converged of another batch": arrays_with(converged=np.ones((1, 3), bool)),
    "pace without rows": arrays_with(pace=np.zeros(0, int)),
    "two totals": arrays_with(total=np.array([1, 2])),
    "a folder": another_in_its_place(lambda path: path.mkdir()),
    "a link to itself": another_in_its_place(lambda path: path.symlink_to(path)),
    "a pipe": another_in_its_place(os.mkfifo),
}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
@pytest.mark.parametrize("kind", UNREADABLE)
def test_what_cannot_be_read_is_solved_again(kind, tmp_path):
    problem, method, told = calmly(150), ds.Newton(window=50), []
    sol = ds.solve(problem, method=method, on_window=ds.Checkpoint(tmp_path))
    UNREADABLE[kind](tmp_path / "points-50.npz")
    with pytest.warns(
        ds.CheckpointWarning, match=r"points-50\.npz cannot be read .* it is points-50\.npz\.unreadable now"
    ):
        again = ds.solve(problem, method=method, on_window=[ds.Checkpoint(tmp_path), told.append])
    assert [(w.start, w.resumed) for w in told] == [(0, True), (50, False), (100, False)]
    np.testing.assert_array_equal(again.y, sol.y)
    assert os.path.lexists(tmp_path / "points-50.npz.unreadable")
    ds.solve(problem, method=method, on_window=[ds.Checkpoint(tmp_path), told.append])
    assert all(w.resumed for w in told[3:])


@pytest.mark.parametrize(
    "numbers", [lambda p: 0 * p, lambda p: -p, lambda p: p[:, :3], lambda p: np.where(np.arange(10) == 1, 10**12, p)]
)
def test_a_pace_that_cannot_be(numbers, tmp_path):
    """Windows of length 0 would go on for ever, and of any length beyond the memory that was asked for."""
    problem, method, told = calmly(90), ds.Newton(window=30), []
    with pytest.raises(Stop):
        ds.solve(problem, method=method, on_window=[ds.Checkpoint(tmp_path), stopping_at(30)])
    with np.load(tmp_path / "points-0.npz") as file:
        pace = file["pace"]
    assert pace.shape == (1, 10)
    changed = np.array(numbers(pace))
    changed[:, 0] = pace[:, 0]
    arrays_with(pace=changed)(tmp_path / "points-0.npz")
    sol = ds.solve(problem, method=method, on_window=[ds.Checkpoint(tmp_path), told.append])
    assert [w.length for w in told] == [30, 30, 30]
    np.testing.assert_array_equal(sol.y, ds.solve(problem, method=method).y)


def test_names_that_are_not_its_own_are_left_alone(tmp_path):
    names = ["points-.npz", "points-abc.npz", "points-0 (copy).npz", "points--5.npz", "points-00.npz"]
    for name in names:
        (tmp_path / name).write_text("mine", encoding="utf-8")
    with pytest.warns(ds.CheckpointWarning, match="is not named as its files are") as warned:
        sol = ds.solve(calmly(90), on_window=ds.Checkpoint(tmp_path))
    assert len(warned) == len(names)
    assert all((tmp_path / name).read_text(encoding="utf-8") == "mine" for name in names)
    np.testing.assert_array_equal(sol.y, ds.solve(calmly(90)).y)


def test_a_gap_is_solved_again(tmp_path):
    problem, method, told = calmly(150), ds.Newton(window=50), []
    sol = ds.solve(problem, method=method, on_window=ds.Checkpoint(tmp_path))
    (tmp_path / "points-50.npz").unlink()
    with pytest.warns(ds.CheckpointWarning, match="the steps from 50 to 100 are missing"):
        again = ds.solve(problem, method=method, on_window=[ds.Checkpoint(tmp_path), told.append])
    assert [w.resumed for w in told] == [True, False, False]
    np.testing.assert_array_equal(again.y, sol.y)


@pytest.mark.parametrize("relative", [1e-14, 2e-14])
def test_a_resume_that_leads_nowhere_starts_afresh(lib, relative, tmp_path):
    """An orbit of almost the same equation holds, window by window; the whole of it is nobody's."""
    method = "sequential" if lib.is_jax else "auto"
    lib.solve(chaos(lib, r=3.9), method=method, on_window=ds.Checkpoint(tmp_path))
    problem, told = chaos(lib, r=3.9 * (1 + relative)), []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ds.CheckpointWarning)  # what of it holds differs between libraries
        sol = lib.solve(problem, method=method, on_window=[ds.Checkpoint(tmp_path), told.append])
    again = lib.solve(problem, method=method, on_window=[ds.Checkpoint(tmp_path), told.append])
    assert told[-1].resumed
    for found in (sol, again):
        assert bool(found.converged)
        y = lib.to_numpy(found.y)
        before = np.concatenate([[[0.3]], y[:-1]])
        off = np.abs(3.9 * (1 + relative) * before * (1 - before) - y) / (y + 3.9 * before)
        assert np.all(off <= 64 * np.finfo(np.float64).eps)


def test_a_resume_that_leads_nowhere_says_so(tmp_path):
    numpy = SimpleNamespace(asarray=np.asarray)
    ds.solve(chaos(numpy, r=3.9), on_window=ds.Checkpoint(tmp_path))
    with pytest.warns(ds.CheckpointWarning, match="came to no certified whole. All is solved again"):
        ds.solve(chaos(numpy, r=3.9 * (1 + 1e-14)), on_window=ds.Checkpoint(tmp_path))


def test_points_that_f_cannot_take_are_solved_again(tmp_path):
    """f of a table raises outside of it, where the points of another equation lie."""

    def table(y, x, r):
        if np.any(np.asarray(y) > 2.0):
            raise ValueError("above the table")
        return calm(y, x, r)

    ds.solve(
        ds.Recurrence(lambda y, x, r: 0.5 * y + r, np.array([0.3]), params=3.0, n_points=60),
        on_window=ds.Checkpoint(tmp_path),
    )
    with pytest.warns(ds.CheckpointWarning, match="0 from the first on satisfy"):
        sol = ds.solve(calmly(60, f=table), on_window=ds.Checkpoint(tmp_path))
    np.testing.assert_array_equal(sol.y, ds.solve(calmly(60)).y)


def test_two_solves_in_one_folder(tmp_path):
    """One that starts while another is running; each has its own solution, and what is left is judged."""
    problem, method = calmly(90), ds.Newton(window=30)
    inner = []

    def other(window):
        if window.start == 30:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ds.CheckpointWarning)
                inner.append(ds.solve(calmly(120, y0=0.7), method=method, on_window=ds.Checkpoint(tmp_path)))

    sol = ds.solve(problem, method=method, on_window=[ds.Checkpoint(tmp_path), other])
    np.testing.assert_array_equal(sol.y, ds.solve(problem, method=method).y)
    np.testing.assert_array_equal(inner[0].y, ds.solve(calmly(120, y0=0.7), method=method).y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ds.CheckpointWarning)
        again = ds.solve(problem, method=method, on_window=ds.Checkpoint(tmp_path))
    np.testing.assert_allclose(again.y, sol.y, rtol=1e-13)


@pytest.mark.parametrize("change", ["params", "y0", "late x"])
def test_points_of_another_equation_are_not_used(lib, change, tmp_path):
    x = np.random.default_rng(0).normal(size=(1500, 1))
    late = x + 0.1 * (np.arange(1500) >= 700)[:, None]

    def problem(x=x, y0=0.3, rate=0.5):
        return ds.Recurrence(lambda y, x, r: r * y + x, lib.asarray([y0]), lib.asarray(x), params=rate)

    lib.solve(problem(), on_window=ds.Checkpoint(tmp_path))
    new = {"params": {"rate": 0.51}, "y0": {"y0": 0.4}, "late x": {"x": late}}[change]
    told = []
    with pytest.warns(
        ds.CheckpointWarning, match=f"holds 1500 steps; {700 if change == 'late x' else 0} from the first"
    ):
        sol = lib.solve(problem(**new), on_window=[ds.Checkpoint(tmp_path), told.append])
    assert_cover(told, 1500)
    np.testing.assert_allclose(lib.to_numpy(sol.y), lib.to_numpy(lib.solve(problem(**new)).y), rtol=0, atol=1e-12)
    again = lib.solve(problem(**new), on_window=ds.Checkpoint(tmp_path))  # and no warning
    np.testing.assert_allclose(lib.to_numpy(again.y), lib.to_numpy(sol.y), rtol=0, atol=1e-13)


def test_a_longer_and_a_shorter_horizon(lib, tmp_path):
    lib.solve(chaos(lib, 2500, 3.7), on_window=ds.Checkpoint(tmp_path))
    for T in (4000, 1500):
        told = []
        sol = lib.solve(chaos(lib, T, 3.7), on_window=[ds.Checkpoint(tmp_path), told.append])
        assert sum(w.length for w in told if w.resumed) == min(T, 2500 if T == 4000 else 4000)
        assert_cover(told, T)
        expected = loop(logistic, np.array([[0.3]]), None, 3.7, n_points=T)[:50]
        np.testing.assert_allclose(lib.to_numpy(sol.y)[:50], expected, rtol=1e-9)


@pytest.mark.parametrize("method", ["sequential", ds.Newton(window=600)], ids=["loop", "windows"])
def test_elements_that_had_failed(lib, method, tmp_path):
    if lib.is_jax and method == "sequential":
        pytest.skip("windows are enough to compile")
    r, y0 = np.array([2.5, 3.9, 6.0, 4.0])[:, None, None], np.full((4, 1), 0.3)
    problem = ds.Recurrence(by_element, lib.asarray(y0), lib.asarray(r), n_points=2500)
    options = {"method": method, "on_failure": "return"}
    plain = lib.to_numpy(lib.solve(problem, **options).status)  # compiled windows do not solve chaos
    whole = lib.solve(problem, on_window=lambda w: None, **options)
    with pytest.raises(Stop):
        lib.solve(problem, on_window=[ds.Checkpoint(tmp_path), stopping_at(1000)], **options)
    told = []
    sol = lib.solve(problem, on_window=[ds.Checkpoint(tmp_path), told.append], **options)
    np.testing.assert_array_equal(lib.to_numpy(sol.status), plain)
    assert plain[0] == 0
    assert plain[2] == int(ds.Status.NONFINITE)
    assert any(w.resumed for w in told)
    assert not all(w.resumed for w in told)
    good = plain == 0
    np.testing.assert_array_equal(lib.to_numpy(sol.y)[good], lib.to_numpy(whole.y)[good])


def test_stretches_of_a_chaotic_orbit_join(lib):
    """A last stretch that began earlier would find another orbit of the same equation."""
    r, y0 = np.array([3.9, 4.0])[:, None, None], np.full((2, 1), 0.3)
    problem = ds.Recurrence(by_element, lib.asarray(y0), lib.asarray(r), n_points=2500)
    for method in ("sequential", ds.Newton(window=600)):
        sol = lib.solve(problem, method=method, on_window=lambda w: None)
        y = lib.to_numpy(sol.y)
        before = np.concatenate([y0[:, None], y[:, :-1]], axis=1)
        off = np.abs(r * before * (1 - before) - y) / (y + r * before)
        assert np.all(off <= 16 * 4 * np.finfo(np.float64).eps)


def test_an_element_that_no_longer_fails_is_solved_again(tmp_path):
    """The windows before the one in which it failed hold still, and so do all points of the other element."""
    x = np.random.default_rng(0).normal(size=(2, 300, 1))
    spoilt = x.copy()
    spoilt[1, 150] = np.inf

    def problem(x):
        return ds.Recurrence(calm, np.full((2, 1), 0.3), x, 0.8)

    method = ds.Newton(window=100)
    sol = ds.solve(problem(spoilt), method=method, on_failure="return", on_window=ds.Checkpoint(tmp_path))
    assert sol.status.tolist() == [0, int(ds.Status.NONFINITE)]
    with pytest.warns(ds.CheckpointWarning, match="100 from the first on satisfy"):
        sol = ds.solve(problem(x), method=method, on_window=ds.Checkpoint(tmp_path))
    np.testing.assert_allclose(sol.y, ds.solve(problem(x)).y, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("y0", "dtype"), [(np.zeros((2, 1)), "float64"), (np.zeros(2), "float64"), (np.zeros(1), "float32")]
)
def test_points_of_another_shape_are_an_error(y0, dtype, tmp_path):
    def solve(y0):
        problem = ds.Recurrence(lambda y, x, p: 0.5 * y + 1, y0, n_points=50)
        return ds.solve(problem, on_window=ds.Checkpoint(tmp_path))

    solve(np.zeros(1))
    with pytest.raises(ds.InputError, match="a folder of its own"):
        solve(y0.astype(dtype))


def test_a_checkpoint_has_a_folder_and_a_time(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ds.InputError, match="which is a file"):
        ds.Checkpoint(tmp_path / "file")
    with pytest.raises(ds.InputError, match="every"):
        ds.Checkpoint(tmp_path, every=-1.0)
    with pytest.raises(ds.InputError, match="the path of a folder"):
        ds.Checkpoint(None)
    with pytest.raises(ds.InputError, match=r"a folder that can be written to; received .*\(Not a directory\)"):
        ds.solve(calmly(10), on_window=ds.Checkpoint(tmp_path / "file" / "run"))


def test_every_so_many_seconds(tmp_path):
    problem = calmly(300)
    ds.solve(problem, method=ds.Newton(window=30), on_window=ds.Checkpoint(tmp_path, every=3600.0))
    assert [p.name for p in tmp_path.iterdir()] == ["points-0.npz"]
    told = []
    ds.solve(problem, method=ds.Newton(window=30), on_window=[ds.Checkpoint(tmp_path), told.append])
    assert len(told) == 10
    assert all(w.resumed for w in told)


# ------------------------------------------------------------------------------------ progress


def test_progress_on_a_terminal(tmp_path):
    console = pytest.importorskip("rich.console")
    with (tmp_path / "screen").open("w+", encoding="utf-8") as file:
        screen = console.Console(file=file, force_terminal=True, width=120)
        bar = ds.Progress(screen)
        problem = calmly(3000)
        with pytest.raises(Stop):
            ds.solve(
                problem, method=ds.Newton(window=1000), on_window=[ds.Checkpoint(tmp_path / "run"), bar, stopping_at(1)]
            )
        ds.solve(problem, method=ds.Newton(window=1000), on_window=[ds.Checkpoint(tmp_path / "run"), bar])
        file.seek(0)
        shown = file.read()
    assert "1000/3000" in shown
    assert "3000/3000" in shown
    assert "steps/s" in shown


def test_progress_without_rich(monkeypatch):
    monkeypatch.setitem(sys.modules, "rich.console", None)
    with pytest.raises(ds.InputError, match=r"pip install 'deersolve\[cli\]'"):
        ds.Progress()
