"""The command line: what is printed, what is written, and the exit codes."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from deersolve.cli import main, tables
from deersolve.testing import demo
from deersolve.testing.cases import in_time

DECAY = """
import numpy as np
import deersolve as ds
problem = ds.InitialValueProblem(
    lambda y, t, k: -k * y, np.linspace(0.0, 1.0, 101), np.ones((5, 1)), params=np.array([2.0]))
"""
LOGISTIC = """
import deersolve as ds
problem = ds.Recurrence(lambda y, x, r: r * y * (1 - y), [0.5], params=2.8, n_points=100)
"""
BLOW_UP = """
import numpy as np
import deersolve as ds
problem = ds.Recurrence(lambda y, x, p: y * y, np.array([[0.5], [3.0]]), n_points=30)
"""


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a program and returns its path."""

    def to_file(text):
        path = tmp_path / "equation.py"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return to_file


def test_python_m_deersolve_info():
    command = [sys.executable, "-m", "deersolve", "info"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert f"Python {sys.version_info.major}.{sys.version_info.minor}" in run.stdout
    assert np.__version__ in run.stdout
    if importlib.util.find_spec("cupy") is None:
        assert "not installed" in run.stdout
    assert "diagonal" in run.stdout
    assert "10,000" in run.stdout


def test_run_goes_on_from_a_checkpoint(write, tmp_path, capsys):
    folder = tmp_path / "kept"
    command = ["run", write(LOGISTIC), "--checkpoint", str(folder)]
    assert main(command) == 0
    assert (folder / "points-0.npz").exists()
    before = {p: p.stat().st_mtime_ns for p in folder.iterdir()}
    assert main(command) == 0
    assert {p: p.stat().st_mtime_ns for p in folder.iterdir()} == before
    assert main(["run", write(LOGISTIC.replace("2.8", "2.9")), "--checkpoint", str(folder)]) == 0
    assert "0 from the first on satisfy this equation" in capsys.readouterr().err
    assert main([*command, "--method", "newton"]) == 2
    assert "on_window" in capsys.readouterr().err


def test_info_without_the_optional_libraries(capsys, monkeypatch):
    for name in ("torch", "jax", "cupy"):
        monkeypatch.setitem(sys.modules, name, None)
    assert main(["info"]) == 0
    assert capsys.readouterr().out.count("not installed") >= 3


@pytest.mark.slow
def test_demo_on_numpy(capsys):
    assert main(["demo", "--backend", "numpy"]) == 0
    out = capsys.readouterr().out
    assert out.count(" CONVERGED") == 3
    header, _, first = out.splitlines()[:3]
    assert header.index("status") == first.index("CONVERGED")


def test_demo_fails_where_an_error_exceeds_its_bound(capsys, monkeypatch):
    pendulum = in_time.pendulum(np.asarray, 1000)
    wrong = dataclasses.replace(pendulum, exact=np.array([-1.6, -0.8]))
    monkeypatch.setitem(demo.EQUATIONS, "pendulum", (lambda asarray: wrong, demo.EQUATIONS["pendulum"][1]))
    monkeypatch.setattr(demo, "STEPS", 50)
    assert main(["demo", "--backend", "numpy"]) == 1
    assert "error above 3.3e-04" in capsys.readouterr().out


def test_table_with_rich(capsys, monkeypatch):
    pytest.importorskip("rich")
    tables._show_rich(("problem", "status"), [("GRU", "CONVERGED")], right=(0,))
    assert "CONVERGED" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["numpy", "torch", "jax"])
@pytest.mark.parametrize("method", ["auto", "newton", "sequential"])
@pytest.mark.deep_but("numpy", "torch", "newton-jax")
def test_run_saves_the_solution(name, method, write, tmp_path, capsys):
    pytest.importorskip(name)
    out = tmp_path / "y.npz"
    assert main(["run", write(DECAY), "--backend", name, "--method", method, "--out", str(out)]) == 0
    assert "Solution(y: (5, 101, 1) float64, 5 CONVERGED" in capsys.readouterr().out
    with np.load(out) as saved:
        assert set(saved) == {"y", "status", "t", "y_corrected"}
        assert saved["y"].shape == saved["y_corrected"].shape == (5, 101, 1)
        assert not saved["status"].any()
        exact = np.exp(-2.0 * np.linspace(0.0, 1.0, 101))[:, None]
        assert np.max(np.abs(saved["y"] - exact)) < 2e-5
        assert np.max(np.abs(saved["y_corrected"] - exact)) < 2e-9


def test_run_shows_every_step(write, capsys):
    text = LOGISTIC.replace("2.8", "1.5")
    assert main(["run", write(text), "--method", "newton", "-v"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("step 0: relative correction ")
    assert len(lines) >= 3


def test_run_shows_a_step_when_it_is_done(write, capsys):
    """f stops the run at its fifth call of all points, the first of which makes the guess: steps are shown by then."""
    text = """
        import numpy as np, deersolve as ds
        calls = []
        def f(y, x, r):
            calls.append(y.shape)
            if calls.count((500, 1)) == 5:
                raise KeyboardInterrupt
            return r * np.sin(y)
        problem = ds.Recurrence(f, np.array([0.5]), n_points=500, params=1.5)
        """
    with pytest.raises(KeyboardInterrupt):
        main(["run", write(textwrap.dedent(text)), "--method", "newton", "-v"])
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["step 0", "step 1", "step 2"]


def test_run_moves_a_list_to_torch(write, capsys):
    pytest.importorskip("torch")
    assert main(["run", write(LOGISTIC), "--backend", "torch"]) == 0
    assert "float64" in capsys.readouterr().out


def test_run_moves_the_points_and_conditions_of_an_equation_in_space(write, capsys):
    pytest.importorskip("torch")
    text = """
        import numpy as np, deersolve as ds
        problem = ds.BoundaryValueProblem(lambda u, u_s, x, p: u + p * x["g"], np.linspace(0.0, 1.0, 20),
            x={"g": np.ones((20, 1))}, params=np.ones(1), left=ds.Dirichlet(np.zeros(1)), right=ds.Dirichlet())
        """
    assert main(["run", write(textwrap.dedent(text)), "--backend", "torch"]) == 0
    assert "Solution(y: (20, 1) float64, 1 CONVERGED" in capsys.readouterr().out


def test_run_imports_what_lies_beside_the_file(write, tmp_path):
    (tmp_path / "deersolve_test_helper.py").write_text("rate = 2.8", encoding="utf-8")
    assert main(["run", write("import deersolve_test_helper\n" + LOGISTIC)]) == 0


def test_run_that_fails_still_saves(write, tmp_path, capsys):
    out = tmp_path / "partial"
    assert main(["run", write(BLOW_UP), "--out", str(out)]) == 1
    streams = capsys.readouterr()
    assert "1 of 2 batch elements did not converge" in streams.err
    assert "NONFINITE" in streams.out
    with np.load(out) as saved:
        assert saved["status"][0] == 0
        assert saved["status"][1] != 0
        assert saved["y"].shape == (2, 30, 1)


def test_run_warns_in_one_line_of_a_coarse_grid(write, capsys):
    assert main(["run", write(DECAY.replace("101", "11").replace("[2.0]", "[20.0]"))]) == 0
    warning = capsys.readouterr().err
    assert warning.startswith("deersolve: warning: the discretisation error")
    assert warning.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a = 1", "expected a global `problem`"),
        ("problem = 1", "received int"),
        (LOGISTIC.replace(", n_points=100", ""), "n_points"),
    ],
)
def test_wrong_file_is_a_message_and_exit_code_2(text, expected, write, capsys):
    assert main(["run", write(text)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("deersolve: error: ")
    assert expected in error


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--out", "no_such_folder/y.npz"], "--out: expected a file in a folder that exists"),
        (["--out", "."], "--out: expected the name of a file"),
        (["--out", "loop.npz"], "--out: expected the name of a file"),
        (["--out", "pipe.npz"], "--out: expected the name of a file"),
        (["--out", "y" * 300], "--out: expected a file that can be written"),
        (["--out", "y.csv"], "--out: expected a file name that ends in .npz"),
        (["--out", "equation.py"], "--out: expected a file name that ends in .npz"),
        (["--out", "link.npz"], "--out: expected another file than that of the problem"),
        (["--out", "hard.npz"], "--out: expected another file than that of the problem"),
        (["--out", "folder/../hard.npz"], "--out: expected another file than that of the problem"),
        (["--plot", "hard.png"], "--plot: expected another file than that of the problem"),
        (["--out", "folder/points-0.npz", "--checkpoint", "folder"], "--out: expected another file than those of"),
        (["--plot", "y.nonsense"], "--plot"),
        (["--plot", "no_such_folder/y.png"], "--plot: expected a file in a folder that exists"),
        (["--out", "both.npz", "--plot", "same.png"], "--plot: expected another file than that of --out"),
        (["--checkpoint", "equation.py"], "Checkpoint: expected a folder"),
    ],
)
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_outputs_are_checked_before_the_work(options, expected, write, tmp_path, capsys, monkeypatch):
    if "--plot" in options:
        pytest.importorskip("matplotlib")
    file = Path(write("raise SystemError"))
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("loop.npz").symlink_to("loop.npz")
    Path("link.npz").symlink_to("equation.py")
    Path("same.png").symlink_to("both.npz")
    os.mkfifo("pipe.npz")
    for name in ("hard.npz", "hard.png"):
        Path(name).hardlink_to(file)
    before = sorted(Path().iterdir())
    assert main(["run", str(file), *options]) == 2
    assert expected in capsys.readouterr().err
    assert file.read_text(encoding="utf-8") == "raise SystemError"
    assert sorted(Path().iterdir()) == before


def test_a_protected_file_is_not_replaced(write, tmp_path, capsys, monkeypatch):
    out = tmp_path / "y.npz"
    out.write_text("mine", encoding="utf-8")
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write to everything
    assert main(["run", write(LOGISTIC), "--out", str(out)]) == 2
    assert "which is protected" in capsys.readouterr().err
    assert out.read_text(encoding="utf-8") == "mine"


def test_a_result_goes_through_a_link_and_where_it_was_asked_for(write, tmp_path, monkeypatch):
    """The file may change the folder, and what stood there may be read while it is solved."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "y.npz").symlink_to(tmp_path / "elsewhere" / "kept.npz")
    np.savez("elsewhere/kept.npz", y=0)
    (tmp_path / "elsewhere" / "kept.npz").chmod(0o600)
    text = "import os; os.chdir('/')\n" + LOGISTIC
    assert main(["run", write(text), "--out", "y.npz", "--checkpoint", "run"]) == 0
    assert (tmp_path / "y.npz").is_symlink()
    assert (tmp_path / "elsewhere" / "kept.npz").stat().st_mode & 0o777 == 0o600
    with np.load(tmp_path / "y.npz") as saved:
        assert saved["y"].shape == (100, 1)
    assert (tmp_path / "run" / "points-0.npz").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["elsewhere", "equation.py", "run", "y.npz"]


@pytest.mark.parametrize(("error", "code"), [(OSError("No space left on device"), 3), (KeyboardInterrupt(), None)])
def test_a_result_that_cannot_be_written_leaves_what_was_there(error, code, write, tmp_path, capsys, monkeypatch):
    out = tmp_path / "y.npz"
    out.write_text("before", encoding="utf-8")

    def fails(file, **arrays):
        file.write(b"half")
        raise error

    monkeypatch.setattr(np, "savez", fails)
    if code is None:
        with pytest.raises(KeyboardInterrupt):
            main(["run", write(LOGISTIC), "--out", str(out)])
    else:
        assert main(["run", write(LOGISTIC), "--out", str(out)]) == code
        streams = capsys.readouterr()
        assert "y.npz could not be written (No space left on device)" in streams.err
        assert "CONVERGED" in streams.out
    assert out.read_text(encoding="utf-8") == "before"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["equation.py", "y.npz"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("import sys; sys.exit(0)", "SystemExit: 0"),
        ("import sys; sys.exit(1)", "SystemExit: 1"),
        ("import deersolve as ds; raise ds.ConvergenceError('of another solve')", "of another solve"),
        ("def f(:", "SyntaxError"),
    ],
)
def test_a_fault_is_not_taken_for_want_of_convergence(text, expected, write, tmp_path, capsys):
    out = tmp_path / "y.npz"
    assert main(["run", write(text), "--out", str(out)]) == 3
    assert expected in capsys.readouterr().err
    assert not out.exists()


def test_help_tells_the_exit_codes(capsys):
    for command in (["--help"], ["run", "--help"]):
        with pytest.raises(SystemExit, match="0"):
            main(command)
        assert "3 where the file or f raised an error" in " ".join(capsys.readouterr().out.split())


def test_no_such_file(tmp_path, capsys):
    assert main(["run", str(tmp_path / "none.py")]) == 2
    assert "none.py" in capsys.readouterr().err


def test_backend_of_another_library_than_the_file(write, capsys):
    pytest.importorskip("torch")
    text = "import torch\n" + LOGISTIC.replace("[0.5]", "torch.tensor([0.5])")
    assert main(["run", write(text), "--backend", "numpy"]) == 2
    assert "received an array of torch" in capsys.readouterr().err


def test_library_that_is_not_installed(write, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert main(["run", write(LOGISTIC), "--backend", "torch"]) == 2
    assert main(["demo", "--backend", "torch"]) == 2
    assert "torch: not installed" in capsys.readouterr().err


@pytest.mark.parametrize("text", [DECAY, LOGISTIC])
def test_plot(text, write, tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "y.png"
    assert main(["run", write(text), "--plot", str(path)]) == 0
    assert path.read_bytes().startswith(b"\x89PNG")


def test_plot_without_matplotlib_names_the_extra(write, capsys, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *a: None if name == "matplotlib" else find(name, *a),
    )
    assert main(["run", write(LOGISTIC), "--plot", "y.png"]) == 2
    assert "deersolve[plot]" in capsys.readouterr().err


def test_unknown_command_is_exit_code_2(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["solve"])
    assert "invalid choice" in capsys.readouterr().err
