"""``deersolve check FILE.py``: the table, the draw that fails as code, and the exit codes."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import deersolve as ds
from deersolve.cli import main

GROWING = """
import numpy as np
import deersolve as ds

x = {"u": np.random.default_rng(1).normal(size=(40, 1)), "gain": 1.3 ** np.arange(40)[:, None]}
problem = ds.Recurrence(lambda h, x, p: np.sin(x["gain"] * h + x["u"]), np.zeros(1), x)
"""
SOUND = """
import numpy as np
import deersolve as ds
problem = ds.Recurrence(lambda h, x, p: np.tanh(p * h + x), np.ones(2), np.ones((8, 2)), np.array(0.3))
"""
LONG = SOUND.replace("(8, 2)", "(9000, 2)")


@pytest.fixture
def write(tmp_path):
    def to_file(text):
        path = tmp_path / "equation.py"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return to_file


def test_weights_that_grow_are_found_and_the_draw_is_code(write, capsys):
    assert main(["check", write(GROWING), "--draws", "8"]) == 1
    out = capsys.readouterr().out
    code = out[out.index("import runpy") :]
    names = {}
    exec(code, names)  # as a user pastes it
    problem = names["problem"]
    sol = ds.solve(problem, method="newton", on_failure="return")
    h, loop = np.zeros(1, dtype=np.longdouble), []
    for gain, u in zip(problem.x["gain"], problem.x["u"], strict=True):
        h = np.sin(gain * h + u)
        loop.append(h)
    assert 2 <= len(loop) < 40
    assert not sol.converged or np.abs(sol.y - loop).max() > 1e-6
    assert "FAIL solve" in out or "FAIL equals loop" in out


def test_a_sound_file_passes_with_a_table(write, capsys):
    assert main(["check", write(SOUND), "--draws", "3"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("equation.py: ")
    assert "equals loop" in out
    assert "not applicable: there is no grid to refine" in out
    assert "3 problems drawn around it: all hold." in out


def test_of_a_long_problem_the_first_points_are_checked(write, capsys):
    assert main(["check", write(LONG), "--draws", "0"]) == 0
    assert "equation.py, its first 12 points: " in capsys.readouterr().out


def test_without_a_file_or_hypothesis_the_exit_code_is_2(write, capsys, monkeypatch):
    assert main(["check", "nowhere.py"]) == 2
    assert "expected a Python file" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    assert main(["check", write(SOUND)]) == 2
    assert "deersolve[check]" in capsys.readouterr().err
